"""Model, tokenizer, rows and checkpoints, the same way for every training stage."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.core.files import read_jsonl, read_split
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import did_you_mean
from data_prep.core.records import HeldOut
from data_prep.core.text import first_line
from training.setup.config import Parsed, write_resolved

# The columns of each kind of rows that are trained on.
ANSWERS = {"sft": ["completion"], "align": ["chosen", "rejected"]}
IF_THERE = {"rejected_cut"}
DTYPES = ("float32", "bfloat16", "float16")


def load_model(parsed: Parsed) -> Any:
    """The base in the recipe's dtype, from safetensors alone; 4-bit or 8-bit where the recipe says so."""
    from transformers import AutoModelForCausalLM
    from trl import get_quantization_config

    quantization = get_quantization_config(parsed.model)
    try:
        return AutoModelForCausalLM.from_pretrained(
            parsed.model.model_name_or_path,
            revision=parsed.model.model_revision,
            dtype=torch_dtype(parsed.model.dtype),
            attn_implementation=parsed.model.attn_implementation,
            use_safetensors=True,
            use_cache=False,
            **({"quantization_config": quantization} if quantization else {}),
        )
    except (OSError, ImportError) as error:
        raise ValueError(f'cannot load the model "{parsed.model.model_name_or_path}": {first_line(error)}') from None


def base_commit(name: str, revision: str | None) -> str | None:
    """The commit of the Hub that `revision` stood for when the base was loaded, for merging; None for a folder."""
    from huggingface_hub import try_to_load_from_cache

    if Path(name).is_dir():
        return None
    config = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(config).parent.name if isinstance(config, str) else None


def torch_dtype(name: str) -> Any:
    import torch

    if name not in DTYPES:
        raise ValueError(f'dtype is "{name}". {did_you_mean(str(name), DTYPES)}')
    return getattr(torch, name)


@dataclass(frozen=True)
class Rows:
    """Rows to train on and, where the recipe evaluates, to evaluate on: `datasets.Dataset` with `id`, `prompt`,
    `chat_template_kwargs` and the columns of `answers`. In memory: no cache that could hold yesterday's prompt."""

    train: Any
    validation: Any | None
    answers: list[str] = field(default_factory=list)  # none where the model writes them itself

    @classmethod
    def read(cls, folder: Path, kind: str, parsed: Parsed) -> Rows:
        columns = ["id", "prompt", *ANSWERS[kind], "chat_template_kwargs", *IF_THERE]
        evaluated = parsed.trainer.eval_strategy != "no"
        validation = read_rows(folder / "validation.parquet", columns) if evaluated else None
        return cls(read_rows(folder / "train.parquet", columns), validation, ANSWERS[kind])

    @classmethod
    def cards(cls, data: Path, parsed: Parsed) -> Rows:
        """Cards to sample summaries of, with the `source` that the reward holds them against."""
        evaluated = parsed.trainer.eval_strategy != "no"
        return cls(read_cards(data, "train"), read_cards(data, "validation") if evaluated else None)

    @property
    def kind(self) -> str:
        """Which ANSWERS; rows without any are cards to be aligned on."""
        return "sft" if self.answers == ANSWERS["sft"] else "align"

    def parts(self) -> list[Any]:
        return [self.train] if self.validation is None else [self.train, self.validation]


def read_rows(path: Path, columns: list[str]) -> Any:
    import pyarrow.parquet as pq
    from datasets import Dataset

    if not path.exists():
        raise ValueError(f"{path} is missing; run the stage that writes it first (recipes/run.sh shows their order)")
    found = pq.read_schema(path).names
    if missing := [column for column in columns if column not in {*found, *IF_THERE}]:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}; rows are made by data_prep.examples, best and pairs: of rows in "
            "another form TRL would train on the prompts as well"
        )
    rows = [
        _with_set_kwargs(row) for row in pq.read_table(path, columns=[name for name in columns if name in found]).to_pylist()
    ]
    if not rows:
        few = "raise split.validation, or set eval_strategy: no" if path.stem == "validation" else ""
        raise ValueError(f"{path} has no rows; {few or 'data/rejected.jsonl says why candidates were set aside'}")
    return Dataset.from_list(rows)


def read_cards(data: Path, split: str) -> Any:
    from datasets import Dataset

    path, splits = data / "sampling.jsonl", read_split(data / "split.json")["splits"]
    if not path.exists():
        raise ValueError(f"{path} is missing; run data_prep.examples first")
    names = ("id", "prompt", "source", "chat_template_kwargs")
    cards = (card for card in read_jsonl(path, HeldOut) if splits.get(card.id) == split)
    rows = [_with_set_kwargs({name: getattr(card, name) for name in names}) for card in cards]
    if not rows:
        raise ValueError(
            f"{path} has no {split} card; raise split.{split}, or set eval_strategy: no"
            if split != "train"
            else f"{path} has no train card; data/rejected.jsonl says why cards were set aside"
        )
    return Dataset.from_list(rows)


def _with_set_kwargs(row: dict[str, Any]) -> dict[str, Any]:
    """One schema holds rows for all templates: an argument that a template does not take is null in it, and goes."""
    kwargs = {name: value for name, value in (row.pop("chat_template_kwargs", None) or {}).items() if value is not None}
    return {**row, "chat_template_kwargs": kwargs} if kwargs else row


def fp32_outputs_under_fsdp2(trainer: Any) -> None:
    """Under FSDP2 accelerate rounds what a model returns to the recipe's bfloat16, log-probs too, whose sum is a reward:
    margins then move in steps of 0.2. Outputs stay as computed, and gradients are summed in float32."""
    import torch

    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if policy := plugin and plugin.mixed_precision_policy:
        plugin.mixed_precision_policy = dataclasses.replace(policy, output_dtype=None, reduce_dtype=torch.float32)


def save_run(
    trainer: Any, parsed: Parsed, manifest: Manifest, metrics: dict[str, float], commit: str | None, resumed: bool
) -> None:
    """Adapter, tokenizer, recipe; the manifest last. A later stage finds everything in this one folder."""
    import torch

    output = manifest.path.parent
    trainer.save_model(str(output))  # by all processes: under FSDP the adapter is gathered from them
    if not trainer.is_world_process_zero():
        return
    trainer.processing_class.save_pretrained(output)
    write_resolved(parsed, output / f"{manifest.stage}_recipe.json")
    history = [entry for entry in trainer.state.log_history if "loss" in entry or "eval_loss" in entry]
    ended: dict[str, Any] = next((entry for entry in reversed(trainer.state.log_history) if "train_runtime" in entry), {})
    device = trainer.args.device
    manifest.write(
        rows=len(trainer.train_dataset),
        steps=trainer.state.global_step,
        base_commit=commit,
        epochs=trainer.state.epoch,  # as they came: `max_steps` may end the first one early
        train_runtime=ended.get("train_runtime"),  # seconds; of a run that went on, its last part
        resumed=resumed,
        processes=trainer.accelerator.num_processes,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        **metrics,
        history=history,
    )
    print(f"{manifest.stage}: {trainer.state.global_step} steps, adapter in {output}")
