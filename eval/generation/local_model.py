"""A model whose weights are here: its tokenizer, its identity, and the checks before it is asked anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.chat.replies import split_thinking
from data_prep.core.manifest import content_hash
from data_prep.core.records import Generation
from data_prep.core.text import first_line
from data_prep.prompts.end_tokens import before_end, end_ids
from data_prep.prompts.student import count_tokens, render
from eval.decoding.loops import finished
from eval.decoding.thoughts import ended
from eval.generation.requests import GenerationRequest, PromptPrefix

if TYPE_CHECKING:
    from eval.decoding.grounded import Row


@dataclass(frozen=True)
class LocalModel:
    """`context`: tokens that prompt and summary may take together, None where the model sets no limit. `end_ids`: the tokens that
    end its turn, whichever it says."""

    place: str  # a folder or a Hub id
    revision: str | None  # the commit, for a Hub id
    identity: str
    tokenizer: Any
    context: int | None
    end_ids: tuple[int, ...]


def open_model(place: str, revision: str | None) -> LocalModel:
    """Tokenizer and facts of a model, without its weights. Raises ValueError where folder, Hub id or template is missing."""
    from huggingface_hub import try_to_load_from_cache
    from transformers import AutoConfig, AutoTokenizer

    folder = Path(place)
    if (place.startswith(("/", ".", "~")) or place.count("/") > 1) and not folder.is_dir():
        raise ValueError(f"there is no folder {place}; run the stage that makes it, or correct systems")
    if (folder / "adapter_config.json").exists() and not (folder / "config.json").exists():
        raise ValueError(f"{place} holds an adapter, no whole model; run training.merge and name the folder that it writes")
    try:
        config = AutoConfig.from_pretrained(place, revision=revision)
        if not folder.is_dir():
            # Pinned, so that tokenizer and weights come from the same commit, and another one later is another model.
            cached = try_to_load_from_cache(place, "config.json", revision=revision)
            revision = Path(cached).parent.name if isinstance(cached, str) else revision
        tokenizer = AutoTokenizer.from_pretrained(place, revision=revision, padding_side="left")
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f'cannot load the model "{place}": {first_line(error)}; run the stage that makes it, or correct systems'
        ) from None
    if not tokenizer.chat_template:
        raise ValueError(
            f'"{place}" has no chat template, so there is no prompt for it; name a chat model, or serve it and use backend: endpoint'
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    identity = content_hash(folder) or f"{place}@{revision or 'main'}"
    ends = end_ids(tokenizer, _generation_config(place, revision))
    return LocalModel(place, revision, identity, tokenizer, getattr(config, "max_position_embeddings", None), ends)


def _generation_config(place: str, revision: str | None) -> Any:
    """None where the model has none: a tokenizer's folder, an old model."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(place, revision=revision)  # type: ignore[arg-type]  # None works, as elsewhere
    except (OSError, ValueError):
        return None


def render_for(model: LocalModel, card_id: str, messages: list[dict[str, str]], think: bool = False) -> str:
    """The prompt's text. Raises ValueError as `chat_format` does, and where a card's text would become control tokens of this model: prompts are made
    safe for the tokenizer of the data recipe."""
    control = [token.content for token in model.tokenizer.added_tokens_decoder.values() if token.special]
    for message in messages:
        for token in control:
            if token in message["content"]:
                raise ValueError(
                    f'the prompt of card {card_id} holds "{token}", which "{model.place}" reads as a control token: its tokenizer '
                    "is another than the one the data were built with; build data for it, or serve it and use backend: endpoint"
                )
    return render(messages, model.tokenizer, think)


def check_lengths(model: LocalModel, openings: Sequence[PromptPrefix], stage: str, new_tokens: int, limit: int | None) -> None:
    """Raises ValueError where prompt and summary do not fit into what the model takes: nothing is cut silently."""
    context = min(filter(None, (model.context, limit)), default=None)
    if context is None:
        return
    for opening in openings:
        tokens = count_tokens(opening.text, model.tokenizer)
        if tokens + new_tokens > context:
            raise ValueError(
                f'the prompt of card {opening.card_id} takes {tokens} tokens and {stage}.max_new_tokens {new_tokens} more, but "{model.place}" '
                f"takes {context} in all; lower {stage}.max_new_tokens, or build the data with a smaller max_prompt_tokens"
            )


def summary(
    model: LocalModel,
    ask: GenerationRequest,
    system: str,
    ids: list[int],
    prompt_tokens: int,
    grounded: Row | None = None,
    thinks: bool = False,
) -> Generation:
    """The row of the new tokens `ids`, which end with one of its end tokens where the model came to an end. `grounded` is what
    they were decoded under; `thinks`: it was asked to think first."""
    length = before_end(ids, model.end_ids)
    was_cut = length is None or (grounded is not None and grounded.was_cut)
    # Special tokens stay visible: a summary that spells one is faulty and must look it.
    said = ask.opening.said + model.tokenizer.decode(ids[:length], skip_special_tokens=False)
    if grounded:
        said = grounded.kept(said, was_cut)
    said, reason = finished(said, was_cut)
    if thinks:
        reason = ended(reason, said)
    text, thinking = split_thinking(said)
    return Generation(
        key=ask.key,
        id=ask.opening.card_id,
        system=system,
        text=text,
        finish_reason=reason,
        prompt_tokens=prompt_tokens,
        completion_tokens=len(ids[:length]) + (not was_cut),
        sample=ask.decoding.sample,
        repairs=ask.opening.repairs,
        decoding=ask.decoding.name,
        thinking=thinking,
        interventions=grounded.counts if grounded else {},
    )
