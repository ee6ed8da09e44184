"""Which cards are worth a summary: an ordered table of filters, each a pure function from a card to what is wrong with it.

Most cards on the Hub were written by a tool or are a form nobody filled in. All filters but the one for short cards are off
by default; what a recipe for real cards sets is in each key's docstring. The shares of 20,680 cards of 2023 that each
sets aside are printed by `python -m data_prep.benchmark cards`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import Field, field_validator

from data_prep.cards.language import KNOWN_LANGUAGES, MIN_CHARACTERS, language_of
from data_prep.cards.parse import Draft, licence
from data_prep.checks.licences import PERMISSIVE
from data_prep.core.recipe import Block
from data_prep.core.records import Rejected

MORE_INFORMATION = re.compile(r"more information needed", re.IGNORECASE)

# Cards that a tool writes: its name, the words of prose in a card of it that nobody touched (upper quartile of 2023; for TRL
# counted in its template; for PEFT and quantisers, whom 2023 hardly knew, an estimate), and sentences by which its cards are known.
TOOLS: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("the Trainer", 52, ("information the Trainer had",)),
    ("Keras", 85, ("information Keras had", "uploaded using the Keras library")),
    ("AutoTrain", 56, ("Model Trained Using AutoTrain",)),
    ("TRL", 65, ("It has been trained using [TRL]", "This is a [TRL language model]")),
    ("PEFT", 40, ("\n- PEFT 0.", "\n- PEFT 1.")),
    ("sentence-transformers", 136, ("This is a [sentence-transformers](", "This is a [SetFit model](")),
    ("a reinforcement-learning course", 93, ("** Agent playing", "This is a trained model of a")),
    ("a quantiser", 120, (
        "repo contains GGUF", "repo contains GGML", "repo contains GPTQ", "repo contains AWQ", "These files are GGML",
        "static quants of https://", "imatrix quants of https://", "Llamacpp imatrix Quantizations of", "Llamacpp Quantizations of",
        "was converted to GGUF format from", "was converted to MLX format from",
    )),
    ("OPUS-MT", 78, ("normalization + SentencePiece",)),
    ("ESPnet", 96, ("# ESPnet2 ", "# Example ESPnet2 ")),
    ("spaCy", 25, ("| Feature | Description |",)),
    ("an adapter template", 132, ("# Adapter `", "ONNX export of Adapter `")),
    ("DreamBooth", 47, ("concept with DreamBooth", "Diffusion with DreamBooth", "Dreambooth model trained by [")),
    ("skops", 80, ("The model is trained with below hyperparameters.",)),
)  # fmt: skip


class FilterConfig(Block):
    min_body_words: int = 20
    """A card with fewer words of prose is set aside: front matter, code, tables and template lines do not count. Real cards: 60."""
    max_metadata_share: float = Field(1.0, ge=0, le=1)
    """At most this share of a card's characters may be front matter: above it, the card is a list of tags
    and results. Real cards: 0.9."""
    max_template_share: float = Field(1.0, ge=0, le=1)
    """At most this share of a card's words may stand in lines that templates write. Real cards: 0.5."""
    max_more_information: int | None = Field(None, ge=0)
    """A card that says "More Information Needed" more often than this is a form nobody filled in; null allows any number.
    Real cards: 20."""
    min_words_beyond_tool: int | None = Field(None, ge=0)
    """A card that a tool wrote (Trainer, TRL, AutoTrain, Keras, PEFT, a quantiser and others) needs this many words of prose
    more than the tool writes; null takes it as any other. Real cards: 40."""
    licences: list[str] = ["any"]
    """Licences accepted, as the Hub spells them: [mit, apache-2.0]. `permissive` stands for those that ask for no more than
    attribution, `any` also for none stated. Real cards: any, or permissive where the text of cards is to be published."""
    languages: list[str] | None = None
    """Languages of the prose, as two letters, found by py3langid where there are 200 characters to tell by; null takes all.
    Real cards: [en]."""

    @field_validator("licences", mode="before")
    @classmethod
    def one_word_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("languages")
    @classmethod
    def can_be_told_apart(cls, value: list[str] | None) -> list[str] | None:
        if unknown := set(value or []) - set(KNOWN_LANGUAGES):
            raise ValueError(f"{', '.join(sorted(unknown))} cannot be told apart; write some of {' '.join(KNOWN_LANGUAGES)}")
        return value


# --- the filters: None, or what was measured ---------------------------------------------------------------------------


def little_prose(card: Draft, config: FilterConfig) -> str | None:
    if card.own_words >= config.min_body_words:
        return None
    return f"{card.own_words} words, collect.min_body_words is {config.min_body_words}"


def mostly_metadata(card: Draft, config: FilterConfig) -> str | None:
    share = 1 - len(card.front.body.strip()) / max(1, len(card.text.strip()))
    if share <= config.max_metadata_share:
        return None
    return f"{share:.0%} front matter, collect.max_metadata_share is {config.max_metadata_share}"


def mostly_template(card: Draft, config: FilterConfig) -> str | None:
    share = card.template_words / max(1, card.own_words + card.template_words)
    if share <= config.max_template_share:
        return None
    return f"{share:.0%} of the words, collect.max_template_share is {config.max_template_share}"


def unfilled_form(card: Draft, config: FilterConfig) -> str | None:
    most = config.max_more_information
    if most is None or (count := len(MORE_INFORMATION.findall(card.front.body))) <= most:
        return None
    return f"{count} times, collect.max_more_information is {most}"


def written_by_tool(card: Draft, config: FilterConfig) -> str | None:
    most = config.min_words_beyond_tool
    if most is None:
        return None
    body = card.front.body
    tool = next(((name, words) for name, words, sentences in TOOLS if any(sentence in body for sentence in sentences)), None)
    if tool is None or card.own_words - tool[1] >= most:
        return None
    return f"{tool[0]}: {card.own_words} words, the tool writes {tool[1]}, collect.min_words_beyond_tool is {most}"


def licence_refused(card: Draft, config: FilterConfig) -> str | None:
    if "any" in config.licences:
        return None
    accepted = {name.lower() for name in config.licences} | (PERMISSIVE if "permissive" in config.licences else set())
    stated = licence(card.front.metadata)
    return None if stated in accepted else f"{stated or 'none stated'}, collect.licences is {', '.join(config.licences)}"


def other_language(card: Draft, config: FilterConfig) -> str | None:
    if config.languages is None or len(card.prose.strip()) < MIN_CHARACTERS:
        return None
    found = language_of(card.prose)
    return None if found in config.languages else f"{found}, collect.languages is {', '.join(config.languages)}"


Filter = Callable[[Draft, FilterConfig], str | None]
# Cheap ones first; the first that speaks gives the reason.
FILTERS: dict[str, Filter] = {
    "licence not accepted": licence_refused,
    "too little prose": little_prose,
    "mostly front matter": mostly_metadata,
    "a form nobody filled in": unfilled_form,
    "mostly template lines": mostly_template,
    "written by a tool": written_by_tool,
    "another language": other_language,
}


def reject(card: Draft, config: FilterConfig) -> Rejected | None:
    """Why `card` is set aside, by the first filter that has a reason."""
    for reason, examine in FILTERS.items():
        if detail := examine(card, config):
            return Rejected("collect", card.id, reason, f"{card.raw.model_id}: {detail}")
    return None
