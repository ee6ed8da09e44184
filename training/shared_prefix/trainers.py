"""TRL's trainers with the answers to one prompt run over one copy of it (see `attention.py`).

`SharedPrefixDPOTrainer` takes what DPOTrainer takes and gives the same losses, gradients and metrics. Before the first
step it measures that on the batch at hand, against each row run alone, and stops where they differ: masks have been lost
without a word before, when a library below replaced an attention function.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.utils.data import Sampler
from trl import DPOTrainer, SFTTrainer

from training.shared_prefix.attention import Plan, PrefixSharing, plan

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers import Trainer as Mixed  # what stands behind the mixin in every class that has it
else:
    Mixed = object

# Mean difference of a log-prob per answered token. A lost mask moves it by about 1; rounding stays far below these.
TOLERANCE, MIXED_TOLERANCE = 1e-4, 0.03


@contextmanager
def without_dropout(model: torch.nn.Module) -> Iterator[None]:
    """Dropout differs from call to call, and would draw from the random numbers of training. All else stays in its mode:
    4-bit layers repack their weights on a CPU when they first evaluate."""
    active = [module for module in model.modules() if isinstance(module, torch.nn.Dropout) and module.training]
    for module in active:
        module.eval()
    try:
        yield
    finally:
        for module in active:
            module.train()


class _SharesPrefix(Mixed):
    """What both trainers do with a batch. `plan_run` is the plan of the last batch trained on, for who counts its work."""

    model: PreTrainedModel  # or PEFT's around it, which answers in its place

    def begin_sharing(self, attention: str, *models: Any) -> None:
        self.sharing = PrefixSharing(attention)
        self.agrees = False
        self.plan_run: Plan | None = None
        for model in models:
            if isinstance(model, str):
                raise ValueError(
                    f'the model is the name "{model}"; load it first, or use the trainer of TRL (shared_prefix: false)'
                )
            if model is not None:
                self.sharing.attach(model)

    def plan_of(self, model: Any, inputs: dict[str, torch.Tensor], answered: torch.Tensor) -> Plan | None:
        """The batch's plan, its first use checked; None for a single row, which has nothing to share."""
        shared = plan(inputs["input_ids"], inputs["attention_mask"], answered) if len(answered) > 1 else None
        if shared is not None and not self.agrees:
            self.check_agreement(model, inputs, answered, shared)
            self.agrees = True
        if model.training:
            self.plan_run = shared
        return shared

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Rows of one prompt come in one micro-batch, over one copy of it; TRL's own order where each row is one."""
        if self._train_batch_size == 1:
            return super()._get_train_sampler(train_dataset)
        rows = self.train_dataset if train_dataset is None else train_dataset
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return SamePromptSampler(prompts_of(rows), self._train_batch_size, seed)

    def check_agreement(self, model: Any, inputs: dict[str, torch.Tensor], answered: torch.Tensor, shared: Plan) -> None:
        """Raises ValueError where the log-probs of the answers differ from those of each row run alone, unpadded."""
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        labels = ids.masked_fill(~answered, -100)

        def log_probs(rows: slice, length: int) -> torch.Tensor:
            part = {"input_ids": ids[rows, :length], "attention_mask": mask[rows, :length], "labels": labels[rows, :length]}
            return model(**part, use_cache=False, fused_lm_head=True).log_probs

        worst = 0.0
        with torch.no_grad(), without_dropout(model):
            with self.sharing.over(shared):
                together = log_probs(slice(None), ids.size(1))
            for row, length in enumerate(mask.sum(1).tolist()):
                alone = log_probs(slice(row, row + 1), length)
                difference = (together[row, : length - 1] - alone[0]).abs().sum() / answered[row].sum().clamp(min=1)
                worst = max(worst, float(difference))
        exact = self.model.dtype == torch.float32 and not (self.args.bf16 or self.args.fp16)
        allowed = TOLERANCE if exact else MIXED_TOLERANCE
        if not worst <= allowed:
            raise ValueError(
                f"over one copy of the prompt a log-prob differs by {worst:.3g} on average from its row run alone, allowed {allowed}: "
                "the attention mask was not kept; set shared_prefix_attention: split, or shared_prefix: false"
            )
        rows = f"{len(ids)} rows of {int(mask.sum()):,} tokens run as {shared.tokens:,}"
        if self.is_world_process_zero():
            print(f"shared prefix: {rows}; log-probs within {worst:.1e} of each row run alone")


class KeepsReferences(DPOTrainer):
    """Keeps precomputed reference log-probs in <run_dir>/references, under what they depend on.

    TRL names its cache by the data set's fingerprint and the model: with `max_length: null` another `ld_alpha` is given
    the old values, and rows held in memory are cached in a folder that only one of several processes knows.
    """

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        columns = ("prompt_ids", "chosen_ids", "rejected_ids")
        key = hashlib.sha256(f"{self._precompute_model_hash} {self.ld_alpha}".encode())
        for row in dataset.select_columns(list(columns)):
            key.update(repr([row[column] for column in columns]).encode())
        output = cast("str", self.args.output_dir)  # transformers fills it in where nobody names one
        # Beside the stage's own folder, which a change of the recipe moves aside.
        folder = Path(output).parent / "references"
        folder.mkdir(parents=True, exist_ok=True)
        dataset._get_cache_file_path = lambda _: str(folder / f"{name}-{key.hexdigest()[:16]}.arrow")
        return super()._precompute_ref_logps(dataset, name, batch_size)


class SharedPrefixDPOTrainer(_SharesPrefix, KeepsReferences):
    """DPOTrainer over one copy of each prompt, of all pairs of a micro-batch; for every loss, reference and option of its own.

    Raises ValueError for a model that cannot share (see `attention.py`) or is given by name.
    """

    def __init__(self, model: Any, ref_model: Any = None, *, shared_prefix_attention: str = "auto", **kwargs: Any) -> None:
        self.begin_sharing(shared_prefix_attention, model, ref_model)
        super().__init__(model, ref_model, **kwargs)

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool) -> Any:
        with self.sharing.over(self.plan_of(model, inputs, inputs["completion_mask"].bool())):
            return super()._compute_loss(model, inputs, return_outputs)

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        shared = plan(inputs["input_ids"], inputs["attention_mask"], inputs["completion_mask"])
        with self.sharing.over(shared):
            return super().compute_ref_log_probs(model, inputs)


class SharedPrefixSFTTrainer(_SharesPrefix, SFTTrainer):
    """SFTTrainer for several references of one card."""

    def __init__(self, model: Any, *, shared_prefix_attention: str = "auto", **kwargs: Any) -> None:
        self.begin_sharing(shared_prefix_attention, model)
        super().__init__(model, **kwargs)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        with self.sharing.over(self.plan_of(model, inputs, inputs["labels"] != -100)):
            return super().compute_loss(model, inputs, *args, **kwargs)


def prompts_of(rows: Any) -> list[str]:
    """A name for the prompt of every tokenised row: of a pair its own column, else what comes before the first label."""
    if "prompt_ids" in rows.column_names:
        return [_name(row["prompt_ids"]) for row in rows.select_columns(["prompt_ids"])]
    names = []
    for row in rows.select_columns(["input_ids", "labels"]):
        answer = next((at for at, label in enumerate(row["labels"]) if label != -100), len(row["labels"]))
        names.append(_name(row["input_ids"][:answer]))
    return names


def _name(ids: Sequence[int]) -> str:
    return hashlib.sha256(repr(ids).encode()).hexdigest()


class SamePromptSampler(Sampler[int]):
    """Shuffled rows, those of one prompt side by side within micro-batches of `batch_size`.

    Prompts are shuffled by seed and epoch, so that a resumed run sees the same order. A prompt with more rows than fit
    goes on in another micro-batch; what is left of several prompts is put together, and what does not fill a micro-batch comes last.
    """

    def __init__(self, prompts: Sequence[str], batch_size: int, seed: int) -> None:
        self.prompts, self.batch_size, self.seed, self.epoch = prompts, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.prompts)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        by_prompt: dict[str, list[int]] = defaultdict(list)
        for row in torch.randperm(len(self.prompts), generator=generator).tolist():
            by_prompt[self.prompts[row]].append(row)
        full: list[list[int]] = []
        with_room: dict[int, list[list[int]]] = defaultdict(list)  # by how many rows still fit
        for rows in by_prompt.values():
            for part in (rows[at : at + self.batch_size] for at in range(0, len(rows), self.batch_size)):
                room = next((room for room in range(len(part), self.batch_size) if with_room[room]), self.batch_size)
                batch = (with_room[room].pop() if room < self.batch_size else []) + part
                (with_room[room - len(part)] if room > len(part) else full).append(batch)
        rest = [row for batches in with_room.values() for batch in batches for row in batch]
        parts = [rest[at : at + self.batch_size] for at in range(0, len(rest), self.batch_size)]
        last = parts.pop() if parts and len(parts[-1]) < self.batch_size else []
        full += parts
        for at in torch.randperm(len(full), generator=generator).tolist():
            yield from full[at]
        yield from last
