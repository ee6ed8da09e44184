"""Builds the demo's base model: a SmolLM3 of about two million parameters that can copy from its prompt.

    python -m training.tiny_base --output recipes/demo/base

It is to the demo what SmolLM3-3B is to a real run: a model that reads cards and answers questions about them in
SmolLM3's chat format, and has never seen a summary. Trained from scratch on the invented world, seeded; the weights in
the repository were made by this command. Copying appears late and suddenly, first on short excerpts, so those come first.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import math
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, SmolLM3Config, SmolLM3ForCausalLM

from data_prep.prompts import TEMPLATE_KWARGS, build_completion, build_prompt
from data_prep.recipe import exit_on_mistake
from data_prep.schema import write_json
from data_prep.synthetic import raw_cards
from data_prep.synthetic_text import conversations

# SmolLM3's special tokens by the same strings, so that prompts, checks of control tokens and templates behave alike.
SPECIAL = (
    "<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>", "<|im_start|>", "<|im_end|>",
)  # fmt: skip
ADDED = ("<think>", "</think>", "<tool_response>", "</tool_response>", "<tool_call>", "</tool_call>", "<code>", "</code>")
# The behaviour of SmolLM3's template in our own words: think mode unless told otherwise, flags in the system message,
# `/system_override` without the dated block, an empty think block before every answer that is not thought about.
CHAT_TEMPLATE = """\
{%- if enable_thinking is not defined -%}{%- set enable_thinking = true -%}{%- endif -%}
{%- set mode = "/think" if enable_thinking else "/no_think" -%}
{%- set system = "" -%}
{%- if messages[0].role == "system" -%}
  {%- set system = messages[0].content -%}
  {%- if "/no_think" in system -%}{%- set mode = "/no_think" -%}
  {%- elif "/think" in system -%}{%- set mode = "/think" -%}{%- endif -%}
{%- endif -%}
{%- set custom = system.replace("/no_think", "").replace("/think", "").rstrip() -%}
{{- "<|im_start|>system\\n" -}}
{%- if "/system_override" in system -%}
  {{- custom.replace("/system_override", "").rstrip() -}}
{%- else -%}
  {{- "## Metadata\\n\\nToday Date: " ~ strftime_now("%d %B %Y") ~ "\\nReasoning Mode: " ~ mode -}}
  {{- "\\n\\n## Custom Instructions\\n\\n" ~ (custom or "You are a helpful assistant.") -}}
{%- endif -%}
{{- "<|im_end|>\\n" -}}
{%- set empty = "<think>\\n\\n</think>\\n" if mode == "/no_think" else "" -%}
{%- for message in messages -%}
  {%- if message.role == "user" -%}
    {{- "<|im_start|>user\\n" ~ message.content ~ "<|im_end|>\\n" -}}
  {%- elif message.role == "assistant" -%}
    {%- generation -%}
      {{- "<|im_start|>assistant\\n" ~ empty ~ message.content.lstrip("\\n") ~ "<|im_end|>\\n" -}}
    {%- endgeneration -%}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|im_start|>assistant\\n" ~ empty -}}{%- endif -%}
"""


@dataclass(frozen=True)
class Stage:
    """A part of the training: share of the steps, rows per step, questions per row, whole cards or excerpts of them."""

    share: float
    rows: int
    questions: int
    whole_card: bool


CURRICULUM = (Stage(0.25, 8, 8, False), Stage(0.75, 8, 12, True))
MUON_SCALE = 5.0  # Muon's step is a rotation of fixed size: its rate is not AdamW's


def build_tokenizer(vocabulary: int, cards: int = 1500) -> PreTrainedTokenizerFast:
    """Byte-level BPE on the invented world: words whole, digits singly (a number is copied digit by digit)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|\s*\n+| ?[^\sA-Za-z\d]+|\d|\s+"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        # Names are drawn from syllables; rare long pieces would tie a name to the training text.
        min_frequency=20,
    )
    tokenizer.train_from_iterator(tokenizer_text(cards), trainer)
    tokenizer.add_tokens(list(ADDED))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def tokenizer_text(cards: int) -> Iterator[str]:
    """Cards, notes, conversations and summaries: a vocabulary is not knowledge, and SmolLM3's covers Markdown too."""
    for raw in raw_cards(seed=1, cards=cards):
        yield from (str(raw.content), *(note.text for note in raw.notes), *raw.summaries)
    for messages in itertools.islice(conversations(random.Random(1), 20, whole_card=True), cards):
        yield from (message["content"] for message in messages)


def build_model(tokenizer: PreTrainedTokenizerFast, hidden: int = 128, layers: int = 4) -> SmolLM3ForCausalLM:
    """SmolLM3's architecture in small: grouped keys, tied embeddings, every fourth layer without positions."""
    size = 64 * math.ceil(len(tokenizer) / 64)
    return SmolLM3ForCausalLM(
        SmolLM3Config(
            vocab_size=size,
            hidden_size=hidden,
            intermediate_size=hidden * 8 // 3 // 32 * 32,
            num_hidden_layers=layers,
            num_attention_heads=hidden // 32,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            rope_theta=50_000.0,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            use_cache=True,
        )
    )


def batches(tokenizer: PreTrainedTokenizerFast, stage: Stage, rng: random.Random) -> Iterator[torch.Tensor]:
    """Token ids (rows, length), right-padded with -1. Rows of like length share a batch, so that little is padding."""
    source = conversations(rng, stage.questions, stage.whole_card)
    while True:
        rendered = [
            tokenizer.apply_chat_template(messages, tokenize=False, **TEMPLATE_KWARGS)
            for messages in itertools.islice(source, 16 * stage.rows)
        ]
        rows = sorted(tokenizer(rendered, add_special_tokens=False)["input_ids"], key=len)
        groups = [rows[start : start + stage.rows] for start in range(0, len(rows), stage.rows)]
        rng.shuffle(groups)
        for group in groups:
            width = max(map(len, group))
            yield torch.tensor([row + [-1] * (width - len(row)) for row in group])


def step_loss(model: SmolLM3ForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    # Right padding needs no attention mask: no real token looks at a later one.
    hidden = model.model(input_ids=ids.clamp(min=0)).last_hidden_state[:, :-1]
    targets = ids[:, 1:]
    logits = model.lm_head(hidden[targets >= 0])
    return torch.nn.functional.cross_entropy(logits.float(), targets[targets >= 0])


def train(model: SmolLM3ForCausalLM, tokenizer: PreTrainedTokenizerFast, options: argparse.Namespace) -> dict[str, float]:
    """Muon for the layers' matrices, AdamW for the rest, under bf16 autocast; warm-up, linear decay over the second half.

    Returns counts and the mean loss of the last 50 steps. Saves the model every 500 steps.
    """
    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    inside = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in inside]
    peaks = (options.learning_rate * MUON_SCALE, options.learning_rate)
    optimisers = (
        torch.optim.Muon(matrices, lr=peaks[0], momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(others, lr=peaks[1], betas=(0.9, 0.95), weight_decay=0.0),
    )
    tokens, losses, start = 0, [], time.monotonic()
    for step, ids in enumerate(curriculum(tokenizer, options.steps, options.seed), 1):
        for optimiser, peak in zip(optimisers, peaks, strict=True):
            optimiser.param_groups[0]["lr"] = peak * min(1.0, step / 50) * max(0.02, min(1.0, 2 * (1 - step / options.steps)))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = step_loss(model, ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        tokens += int((ids >= 0).sum())
        losses = [*losses[-49:], loss.item()]
        if step % 50 == 0:
            minutes = (time.monotonic() - start) / 60
            print(
                f"step {step} of {options.steps}  {tokens:,} tokens  {minutes:.1f} min  loss {sum(losses) / len(losses):.4f}",
                flush=True,
            )
        if step % 500 == 0:
            print(f"answers right on unseen cards: {recall(model, tokenizer):.0%}", flush=True)
            save(model, tokenizer, options.output, {"step": step})
    return {"tokens": tokens, "minutes": round((time.monotonic() - start) / 60, 1), "loss": sum(losses) / len(losses)}


def curriculum(tokenizer: PreTrainedTokenizerFast, steps: int, seed: int) -> Iterator[torch.Tensor]:
    for number, stage in enumerate(CURRICULUM):
        rng = random.Random(f"pretraining:{seed}:{number}")
        yield from itertools.islice(batches(tokenizer, stage, rng), round(stage.share * steps))


@torch.no_grad()
def recall(model: SmolLM3ForCausalLM, tokenizer: PreTrainedTokenizerFast, cards: int = 40) -> float:
    """Share of answers about unseen cards whose every token is the model's first choice, given what stands before it."""
    right = total = 0
    for messages in itertools.islice(conversations(random.Random("recall"), 12, whole_card=True), cards):
        prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True, **TEMPLATE_KWARGS)
        encoded = tokenizer(prompt + messages[-1]["content"], return_tensors="pt", return_offsets_mapping=True)
        hits = (model(encoded["input_ids"]).logits[0, :-1].argmax(-1) == encoded["input_ids"][0, 1:]).tolist()
        # Answers end with a full stop before white space or the end.
        ends = [len(prompt) + match.end() for match in re.finditer(r"\.(?=\s|$)", messages[-1]["content"])]
        for start, end in itertools.pairwise([len(prompt), *ends]):
            tokens = [hit for hit, (first, _) in zip(hits, encoded["offset_mapping"][0, 1:].tolist(), strict=True) if start <= first < end]
            # The first tokens say which of several wordings comes, which nobody can foresee.
            right, total = right + all(tokens[6:]), total + 1
    return right / total


def save(model: SmolLM3ForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path, facts: dict[str, object]) -> None:
    """Weights in bf16 safetensors as SmolLM3's own, tokenizer, and what was measured."""
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(output)
    tokenizer.save_pretrained(output)
    write_json(output / "training_record.json", facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("recipes/demo/base"), help="folder for model and tokenizer")
    parser.add_argument("--steps", type=int, default=3200, help="of 8 rows each; some 40 minutes on two cores")
    parser.add_argument("--vocabulary", type=int, default=2048, help="entries of the tokenizer")
    parser.add_argument("--hidden", type=int, default=128, help="width, a multiple of 64")
    parser.add_argument("--layers", type=int, default=4, help="depth, a multiple of 4")
    parser.add_argument("--learning_rate", type=float, default=3e-3, help="peak, after 100 steps")
    parser.add_argument("--seed", type=int, default=0, help="of weights and text")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    tokenizer = build_tokenizer(options.vocabulary)
    model = build_model(tokenizer, options.hidden, options.layers)
    print(
        f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens in the vocabulary; {prompt_lengths(tokenizer)}",
        flush=True,
    )
    result = train(model, tokenizer, options)
    model.eval()
    result["answers_right"] = recall(model, tokenizer)
    print(result)
    save(model, tokenizer, options.output, {**vars(options), "output": str(options.output), **result})


def prompt_lengths(tokenizer: PreTrainedTokenizerFast, cards: int = 100) -> str:
    prompts, summaries = [], []
    for raw in raw_cards(seed=2, cards=cards):
        prompts.append(build_prompt(raw.model_id, str(raw.content), raw.notes, tokenizer, 4096).tokens)
        summaries += [
            len(tokenizer(turn["content"])["input_ids"]) for text in raw.summaries for turn in build_completion(text, tokenizer)
        ]
    return f"prompts {min(prompts)} to {max(prompts)} tokens, summaries {min(summaries)} to {max(summaries)}"


if __name__ == "__main__":
    exit_on_mistake(main, "training.tiny_base")
