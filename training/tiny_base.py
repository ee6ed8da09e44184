"""Builds the demo's base model: a SmolLM3 of a million parameters that can copy from its prompt.

    python -m training.tiny_base --output recipes/demo/base

It is to the demo what SmolLM3-3B is to a real run: a model that reads cards and answers questions about them in
SmolLM3's chat format, and has never seen a summary. Trained from scratch on the invented world, seeded; the weights in
the repository were made by this command.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast, SmolLM3Config, SmolLM3ForCausalLM

from data_prep.core.files import follow_umask, write_json
from data_prep.core.recipe import exit_on_mistake
from data_prep.prompts.chat_format import CONTROL_WORDS, chat_format
from data_prep.prompts.student import SYSTEM as PROMPT_SYSTEM
from data_prep.prompts.student import TASK, build_completion, build_prompt
from data_prep.prompts.student import Tokenizer as ChatTokenizer
from data_prep.synthetic.pretraining_text import Exchange, exchanges
from data_prep.synthetic.world import raw_cards

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


EXCERPTS = 0.2  # share of the steps that read a few lines; the others read whole cards
PLAIN = 0.05  # share of the rows that are learnt from the first token on, as text; of the others the answers alone
ROWS = 8  # per step
MUON_SCALE = 5.0  # Muon's step is a rotation of fixed size: its rate is not AdamW's
# Pieces that no token crosses: the start of an address, words in a row, a capitalised word, a digit, marks and spaces.
PIECES = r"https?://|\.[a-z]+/| ?(?!https?:)[a-z]+(?: (?!https?:)[a-z]+)* ?|[A-Z]+[a-z]*|\d|[^A-Za-z\d]+"


def build_tokenizer(vocabulary: int, cards: int = 1500) -> PreTrainedTokenizerFast:
    """Byte-level BPE on the invented world. Digits are single, since a number is copied digit by digit, and a token may
    span several words (SuperBPE, arXiv 2503.13423): stock phrases take one token, which leaves the facts to be learnt."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
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
    """Prompts, exchanges and summaries: a vocabulary is not knowledge, and SmolLM3's covers Markdown too."""
    for raw in raw_cards(seed=1, cards=cards):
        yield from (str(raw.content), *(note.text for note in raw.notes), *raw.summaries)
        yield from (f"{PROMPT_SYSTEM}\n{' '.join(CONTROL_WORDS)}", TASK.format(model_id=raw.model_id))
    for exchange in itertools.islice(exchanges(random.Random(1), whole_card=True), cards):
        for message in exchange.messages:
            yield from (message["role"], message["content"])


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
            rope_parameters={"rope_theta": 50_000.0, "rope_type": "default"},
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            use_cache=True,
        )
    )


def batches(tokenizer: ChatTokenizer, whole_card: bool, rng: random.Random) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Token ids and targets, both (rows, length), right-padded with 0 and -1; a target of -1 is not learnt.

    Rows of like length share a batch, so that little is padding.
    """
    source = exchanges(rng, whole_card)
    while True:
        rows = [encode(exchange, tokenizer, rng.random() < PLAIN) for exchange in itertools.islice(source, 16 * ROWS)]
        rows.sort(key=len)
        groups = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
        rng.shuffle(groups)
        for group in groups:
            padded = torch.nn.utils.rnn.pad_sequence(group, batch_first=True, padding_value=-1)
            yield padded[..., 0].clamp(min=0), padded[..., 1]


def encode(exchange: Exchange, tokenizer: ChatTokenizer, plain: bool = False) -> torch.Tensor:
    """Ids and targets of an exchange, shape (tokens, 2). Targets are the answers, as the template marks them, or all tokens."""
    encoded = tokenizer.apply_chat_template(
        exchange.messages, return_dict=True, return_assistant_tokens_mask=True, **chat_format(tokenizer).kwargs
    )
    ids = torch.tensor(encoded["input_ids"])
    return torch.stack([ids, ids if plain else ids.where(torch.tensor(encoded["assistant_masks"]) == 1, -1)], dim=-1)


def step_loss(model: SmolLM3ForCausalLM, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    # Right padding needs no attention mask: no real token looks at a later one.
    hidden, targets = model.model(input_ids=ids).last_hidden_state[:, :-1], targets[:, 1:]
    logits = model.lm_head(hidden[targets >= 0])
    return torch.nn.functional.cross_entropy(logits.float(), targets[targets >= 0])


def train(model: SmolLM3ForCausalLM, tokenizer: PreTrainedTokenizerBase, options: argparse.Namespace) -> dict[str, float]:
    """Muon for the layers' matrices, AdamW for the rest, under bf16 autocast; warm-up, linear decay over the second half.

    Returns counts and the mean loss of the last 50 steps. Saves the model every 500 steps.
    """
    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    inside = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in inside]
    rate = options.learning_rate
    optimisers = {
        torch.optim.Muon(matrices, lr=rate, momentum=0.95, weight_decay=0.01): rate * MUON_SCALE,
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.95), weight_decay=0.0): rate,
    }
    losses: list[float] = []
    tokens, start = 0, time.monotonic()
    for step, (ids, targets) in enumerate(curriculum(tokenizer, options), 1):
        for optimiser, peak in optimisers.items():
            optimiser.param_groups[0]["lr"] = peak * min(1.0, step / 50) * max(0.02, min(1.0, 2 * (1 - step / options.steps)))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = step_loss(model, ids, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        tokens += int((ids > 0).sum())
        losses = [*losses[-49:], loss.item()]
        minutes = (time.monotonic() - start) / 60
        if step % 50 == 0:
            print(
                f"step {step} of {options.steps}  {tokens:,} tokens  {minutes:.1f} min  loss {sum(losses) / len(losses):.4f}",
                flush=True,
            )
        if step % 500 == 0:
            print(f"answers right on unseen cards: {recall(model, tokenizer):.0%}", flush=True)
            save(model, tokenizer, options.output, {"step": step})
    return {"steps": options.steps, "tokens": tokens, "minutes": round(minutes, 1), "loss": round(sum(losses) / len(losses), 4)}


def curriculum(tokenizer: ChatTokenizer, options: argparse.Namespace) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Copying appears late and suddenly, first on short text, so excerpts come first."""
    short = 0 if options.start else round(EXCERPTS * options.steps)
    for whole_card, steps in ((False, short), (True, options.steps - short)):
        rng = random.Random(f"pretraining:{options.seed}:{whole_card}")
        yield from itertools.islice(batches(tokenizer, whole_card, rng), steps)


@torch.no_grad()
def recall(model: SmolLM3ForCausalLM, tokenizer: ChatTokenizer, cards: int = 40) -> float:
    """Share of answers about unseen cards whose every token is the model's first choice, given what stands before it."""
    right = total = 0
    for exchange in itertools.islice(exchanges(random.Random("recall"), whole_card=True), cards):
        ids, targets = encode(exchange, tokenizer).unbind(-1)
        hits = model(ids[None]).logits[0, :-1].argmax(-1) == targets[1:]
        for answered, tokens in itertools.groupby(
            zip(targets[1:].tolist(), hits.tolist(), strict=True), lambda pair: pair[0] >= 0
        ):
            right += answered and all(hit for _, hit in tokens)
            total += answered
    return right / total


def save(model: SmolLM3ForCausalLM, tokenizer: PreTrainedTokenizerBase, output: Path, facts: dict[str, object]) -> None:
    """Weights in bf16 safetensors as SmolLM3's own, tokenizer, and what was measured."""
    copy.deepcopy(model).bfloat16().save_pretrained(output)
    follow_umask(output)
    tokenizer.save_pretrained(output)
    write_json(output / "training_record.json", facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("recipes/demo/base"), help="folder for model and tokenizer")
    parser.add_argument(
        "--start", type=Path, help="a folder that this command made, to go on from with whole cards; give another --seed"
    )
    parser.add_argument("--steps", type=int, default=3600, help=f"of {ROWS} rows each")
    parser.add_argument("--vocabulary", type=int, default=3072, help="entries of the tokenizer")
    parser.add_argument("--hidden", type=int, default=128, help="width, a multiple of 64")
    parser.add_argument("--layers", type=int, default=4, help="depth, a multiple of 4")
    parser.add_argument("--learning_rate", type=float, default=3e-3, help="peak, after 50 steps")
    parser.add_argument("--seed", type=int, default=0, help="of weights and text")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    if options.start:
        tokenizer = AutoTokenizer.from_pretrained(options.start)
        model = SmolLM3ForCausalLM.from_pretrained(options.start, dtype=torch.float32)
        before = json.loads((options.start / "training_record.json").read_text(encoding="utf-8"))
    else:
        tokenizer = build_tokenizer(options.vocabulary)
        model = build_model(tokenizer, options.hidden, options.layers)
        before = None
    print(
        f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens in the vocabulary; {prompt_lengths(tokenizer)}",
        flush=True,
    )
    result = train(model, tokenizer, options)
    result["answers_right"] = round(recall(model.eval(), tokenizer), 4)
    print(result)
    settings = {name: value for name, value in vars(options).items() if name not in ("output", "start")}
    save(model, tokenizer, options.output, {"before": before, "settings": settings, "result": result})


def prompt_lengths(tokenizer: ChatTokenizer, cards: int = 100) -> str:
    prompts, summaries = [], []
    for raw in raw_cards(seed=2, cards=cards):
        prompts.append(build_prompt(raw.model_id, str(raw.content), raw.notes, tokenizer, 4096).tokens)
        summaries += [
            len(tokenizer(turn["content"])["input_ids"]) for text in raw.summaries for turn in build_completion(text, tokenizer)
        ]
    return f"prompts {min(prompts)} to {max(prompts)} tokens, summaries {min(summaries)} to {max(summaries)}"


if __name__ == "__main__":
    exit_on_mistake(main, "training.tiny_base")
