"""No loss, gradient or weight that is no number gets past the step in which it appears, and the rows behind it are named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from data_prep.prompts.student import render, token_ids
from training.resume.checkpoints import last_whole


class StopOnNonFinite(TrainerCallback):
    """Stops at the first micro-batch, gradient or weight that is not finite, before a checkpoint holds it.

    Must be added after what asks for checkpoints. Costs a device sync for each micro-batch and each step.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.compute_loss = trainer, trainer.compute_loss
        self.micro_batches: list[torch.Tensor] = []
        trainer.compute_loss = self.checked_loss

    def checked_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        sampled = "input_ids" not in inputs  # by GRPO: a row run alone would be another sample
        ids = inputs["prompt_ids" if sampled else "input_ids"]
        result = self.compute_loss(model, inputs, *args, **kwargs)
        loss = result[0] if isinstance(result, tuple) else result
        if model.training:
            self.micro_batches.append(ids)
            if not bool(loss.isfinite().all()):
                rows = self.rows_of([ids])
                self.stop(f"the loss is {loss.float().mean().item()}", rows if sampled else self.at_fault(model, rows))
        return result

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.micro_batches.clear()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        # In float16 the scaler expects infinities: it passes over the step and scales less.
        if getattr(self.trainer.accelerator, "scaler", None) is None:
            gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
            if not _all_finite(gradients):
                self.stop("the gradients are not finite", self.rows_of(self.micro_batches))

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if control.should_save and not _all_finite([weight for weight in model.parameters() if weight.requires_grad]):
            self.stop("the weights are not finite after the step", self.rows_of(self.micro_batches), state.global_step)

    def stop(self, what: str, rows: Sequence[int], step: int | None = None) -> None:
        dataset = self.trainer.train_dataset
        names = [str(dataset[row]["id"]) if "id" in dataset.column_names else f"number {row}" for row in rows]
        args, last = self.trainer.args, last_whole(Path(self.trainer.args.output_dir))
        raise ValueError(
            f"{what} in step {step or self.trainer.state.global_step + 1}, rows: {', '.join(names) or 'not found'}. Look at these rows "
            f"and their lengths; where nothing is wrong with them lower learning_rate ({args.learning_rate:g}), which starts over. "
            f"Nothing of this step is saved: the same command goes on from {last or 'the start'}"
        )

    def rows_of(self, micro_batches: Sequence[torch.Tensor]) -> list[int]:
        """Places in the data set of the rows whose tokens stand in the micro-batches (shape: rows, length)."""
        held = " ".join(["", *(str(token) for ids in micro_batches for token in ids.flatten().tolist()), ""])
        return [
            place
            for place, row in enumerate(self.tokenised())
            if all(" ".join(["", *map(str, ids), ""]) in held for ids in row)
        ]

    def tokenised(self) -> Iterator[list[list[int]]]:
        """Each row's tokens, in the columns that the trainer made; GRPO makes none and its rows are known by their prompts."""
        dataset, tokenizer = self.trainer.train_dataset, self.trainer.processing_class
        columns = [name for name in ("input_ids", "chosen_ids", "rejected_ids") if name in dataset.column_names]
        for row in dataset.select_columns(columns or ["prompt"]):
            yield [row[name] for name in columns] or [token_ids(render(row["prompt"], tokenizer), tokenizer)]

    def at_fault(self, model: Any, rows: list[int]) -> list[int]:
        """Those of a micro-batch's rows whose loss is not finite when they run alone. Of several processes, which meet while
        they compute a loss, one cannot ask alone: all rows then."""
        if len(rows) == 1 or self.trainer.accelerator.num_processes > 1:
            return rows
        alone = []
        with torch.no_grad():
            for row in rows:
                batch = self.trainer._prepare_inputs(self.trainer.data_collator([self.trainer.train_dataset[row]]))
                if not bool(self.compute_loss(model, batch).isfinite().all()):
                    alone.append(row)
        return alone or rows


def _all_finite(tensors: Sequence[torch.Tensor]) -> bool:
    norm = torch.nn.utils.get_total_norm(tensors)
    return bool((norm.full_tensor() if hasattr(norm, "full_tensor") else norm).isfinite())
