"""Summaries of a few fixed validation cards while a model trains: curves say that it learns, these say what.

Reads <run_dir>/data/sft/validation.parquet (which cards), <run_dir>/data/sampling.jsonl (their prompts and sources).
Writes <output>/samples.jsonl, one row per step and card, the table `samples/table` of wandb and text of tensorboard.

Each round decodes greedily, one card after the other, up to `sample_tokens` tokens, and training waits: as many steps of
the decoder as the summary has tokens, so for a 3B model on one GPU some half a minute a card (an estimate).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from transformers import Trainer, TrainerCallback

from data_prep.candidates.checked import CheckedSummary
from data_prep.core.files import read_dicts, read_jsonl, write_jsonl
from data_prep.core.records import Generation, HeldOut
from data_prep.prompts.end_tokens import before_end, end_ids
from data_prep.prompts.student import render


@dataclass(frozen=True)
class Sample:
    """One row of samples.jsonl. `passes` is what the checks and the token limit say together, `reason` what failed."""

    step: int
    id: str
    text: str
    finish_reason: str
    passes: bool
    reason: str


def validation_cards(data: Path, count: int) -> list[HeldOut]:
    """The first `count` cards of the validation rows. Raises ValueError where there are none."""
    import pyarrow.parquet as pq

    table, cards = data / "sft" / "validation.parquet", data / "sampling.jsonl"
    for path in (table, cards):
        if not path.exists():
            raise ValueError(f"sample_cards is {count} and {path} is missing; run data_prep.examples, or set sample_cards: 0")
    rows = pq.read_table(table, columns=["provenance"]).column("provenance").to_pylist()
    summaries = (told for row in rows if (told := json.loads(row)).get("task") != "notes")
    wanted = list(dict.fromkeys(told["card_id"] for told in summaries))[:count]
    if not wanted:
        raise ValueError(f"sample_cards is {count} and {table} has no rows; raise split.validation, or set sample_cards: 0")
    found = {card.id: card for card in read_jsonl(cards, HeldOut) if card.id in wanted}
    if missing := [card for card in wanted if card not in found]:
        raise ValueError(f"{cards} lacks card {missing[0]} of {table}: they are of two builds; run data_prep.examples again")
    return [found[card] for card in wanted]


def generate(model: Any, tokenizer: Any, card: HeldOut, max_new_tokens: int) -> Generation:
    """A greedy summary in the model's present state. Mode and random numbers are afterwards as they were before."""
    encoded = tokenizer(render(card.prompt, tokenizer), return_tensors="pt", add_special_tokens=False).to(model.device)
    length, training = encoded["input_ids"].shape[1], model.training
    ends = end_ids(tokenizer, model.generation_config)
    model.eval()
    # no_grad, not inference_mode: a tensor that a module keeps from here could not be trained through.
    with torch.no_grad(), torch.random.fork_rng():
        output = model.generate(
            **encoded,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            use_cache=True,  # training turns it off in the config
            eos_token_id=list(ends),
            pad_token_id=tokenizer.pad_token_id,
        )
    model.train(training)
    ids = output[0, length:].tolist()
    end = before_end(ids, ends)
    text = tokenizer.decode(ids[:end], skip_special_tokens=False).strip()
    return Generation("", card.id, "training", text, "length" if end is None else "stop", length, len(ids))


class SampleCallback(TrainerCallback):
    """Rounds before the first step, every `every` steps and after the last; in the first process alone."""

    def __init__(self, trainer: Trainer, cards: list[HeldOut], every: int, tokens: int) -> None:
        self.trainer, self.cards, self.every, self.tokens = trainer, cards, every, tokens
        output = cast("str", trainer.args.output_dir)  # transformers fills it in where nobody names one
        self.store = Path(output) / "samples.jsonl"
        self.possible = not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)
        if not self.possible and trainer.is_world_process_zero():
            print("samples: none while training, because the model is spread over the processes; sample_cards is ignored")

    def on_train_begin(self, args, state, control, **kwargs):
        self.round(state, control)

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % self.every == 0 or state.global_step >= state.max_steps:
            self.round(state, control)

    def round(self, state: Any, control: Any) -> None:
        if not (self.possible and state.is_world_process_zero):
            return
        rows = list(read_dicts(self.store)) if self.store.exists() else []
        if any(row["step"] == state.global_step for row in rows):
            return  # a run that goes on from a checkpoint has written this one already
        new = list(self.samples(state.global_step))
        write_jsonl(self.store, rows := [*rows, *(dataclasses.asdict(sample) for sample in new)])
        due = control.should_log
        # Not TRL's own log, which would give the averages of the steps so far to this line.
        Trainer.log(self.trainer, {"samples/passes": sum(sample.passes for sample in new) / len(new)})
        control.should_log = due
        self.show(rows, new)

    def samples(self, step: int) -> Iterator[Sample]:
        for card in self.cards:
            with self.trainer.accelerator.autocast():
                written = generate(self.trainer.model, self.trainer.processing_class, card, self.tokens)
            judged = CheckedSummary.sample(written, card.source)
            yield Sample(
                step, card.id, written.text, written.finish_reason, judged.accepted, "" if judged.accepted else judged.reason
            )

    def show(self, rows: list[dict[str, Any]], new: list[Sample]) -> None:
        if "wandb" in (self.trainer.args.report_to or ()):
            import wandb

            # A table cannot grow once it is logged, so each round logs all rounds.
            table = wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])
            wandb.log({"samples/table": table, "train/global_step": new[0].step})
        for callback in self.trainer.callback_handler.callbacks:
            if (writer := getattr(callback, "tb_writer", None)) is not None:
                for sample in new:
                    writer.add_text(f"samples/{sample.id}", sample.text, sample.step)
