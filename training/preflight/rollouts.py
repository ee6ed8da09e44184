"""Checks of what GRPO samples from, before the first step: no prompt is cut, every step has whole groups, every turn can end.

TRL cuts no prompt here, but neither does it look: a model beyond its context writes noise, and of noise the checks make a reward.
"""

from __future__ import annotations

from importlib.util import find_spec
from math import inf
from typing import Any

from data_prep.prompts.chat_format import chat_format
from data_prep.prompts.student import render, token_ids
from training.setup.config import Parsed
from training.setup.load import Rows


def check_cards(parsed: Parsed, rows: Rows, tokenizer: Any) -> None:
    """Of recipe and cards, before the weights are loaded. Raises ValueError that names the key or the first card at fault."""
    trainer, chat = parsed.trainer, chat_format(tokenizer)
    if trainer.chat_template_kwargs not in (None, chat.kwargs):
        raise ValueError(
            f"chat_template_kwargs is {trainer.chat_template_kwargs}, expected {chat.kwargs}, as in SFT; leave the key out"
        )
    if trainer.use_vllm:
        check_vllm(parsed)
    check_steps(trainer, len(rows.train))
    check_lengths(parsed, rows, tokenizer)


def check_vllm(parsed: Parsed) -> None:
    if parsed.trainer.device.type != "cuda":
        raise ValueError("use_vllm is true, and vLLM samples on a GPU, which is not here; set use_vllm: false")
    if find_spec("vllm") is None:
        raise ValueError(
            'use_vllm is true and vLLM is not installed; pip install "card-summarizer[vllm]", or set use_vllm: false'
        )
    if parsed.model.dtype != "float32":
        raise ValueError(
            f"use_vllm is true and dtype {parsed.model.dtype}: TRL merges the adapter into the base and takes it out again at each "
            "step, which rounds the frozen weights anew; set dtype: float32, with bf16: true it computes in bfloat16 all the same"
        )


def check_steps(trainer: Any, cards: int) -> None:
    """A step that ends with its samples used up is one that a stopped run can go on behind."""
    passes = trainer.steps_per_generation * trainer.num_iterations
    if trainer.gradient_accumulation_steps % passes:
        raise ValueError(
            f"steps_per_generation {trainer.steps_per_generation} times num_iterations {trainer.num_iterations} is {passes} and "
            f"gradient_accumulation_steps {trainer.gradient_accumulation_steps}: a step would end amid its samples, which no "
            "checkpoint keeps; leave the first two out"
        )
    at_once = trainer.generation_batch_size // trainer.num_generations
    if cards < at_once:
        raise ValueError(
            f"there are {cards} cards and each round of sampling takes {at_once}: TRL would take no step; lower "
            "gradient_accumulation_steps, or collect more cards"
        )


def check_lengths(parsed: Parsed, rows: Rows, tokenizer: Any) -> None:
    most, (limit, name) = parsed.trainer.max_completion_length, context_of(parsed)
    if not most:
        raise ValueError(f"max_completion_length is {most}, expected the tokens of the longest summary; set it to 1200")
    for row in (row for part in rows.parts() for row in part):
        if not row["source"].strip():
            raise ValueError(f"card {row['id']} has no source to be graded against; run data_prep.examples again")
        tokens = len(token_ids(render(row["prompt"], tokenizer), tokenizer))
        if tokens + most > limit:
            raise ValueError(
                f"the prompt of card {row['id']} has {tokens:,} tokens, with max_completion_length {most:,} beyond {name} {limit:,}; "
                "lower max_completion_length, or examples.max_prompt_tokens of the data recipe and make the cards again"
            )


def context_of(parsed: Parsed) -> tuple[float, str]:
    """Tokens that prompt and summary may take together, and which key says so."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(parsed.model.model_name_or_path, revision=parsed.model.model_revision)
    limits = [(getattr(config, "max_position_embeddings", inf), "the base's max_position_embeddings")]
    if parsed.trainer.use_vllm and parsed.trainer.vllm_max_model_length:
        limits.append((parsed.trainer.vllm_max_model_length, "vllm_max_model_length"))
    return min(limits)


def check_rollouts(trainer: Any, parsed: Parsed, rows_in: int, eval_rows_in: int = 0) -> None:
    """What a GRPOTrainer made of the cards: the prompts that SFT was trained on, and samples that can end.

    Raises ValueError where a prompt is another one, or the token that ends a turn does not end a sample.
    """
    tokenizer, row = trainer.processing_class, trainer.train_dataset[0]
    [asked], *_ = trainer._tokenize_prompts([row["prompt"]])
    if asked != (expected := token_ids(render(row["prompt"], tokenizer), tokenizer)):
        raise ValueError(
            f"the prompt of card {row['id']} has {len(asked)} tokens when it is sampled from and {len(expected)} in SFT, or others; "
            "check the tokenizer's chat template against data_prep/prompts/student.py"
        )
    end = chat_format(tokenizer).turn_end
    if tokenizer.convert_tokens_to_ids(end) not in trainer.eos_token_ids:
        raise ValueError(
            f"{end} ends a turn and no sample: those end with {trainer.eos_token_ids}; name it in eos_token_id of "
            f"{parsed.model.model_name_or_path}/generation_config.json"
        )
    args = trainer.args
    trainer.accelerator.print(
        f"align: {rows_in} cards to sample from, {eval_rows_in} to evaluate on; {args.num_generations} summaries of each of "
        f"{args.generation_batch_size // args.num_generations} cards at a time, up to {args.max_completion_length} tokens"
    )
