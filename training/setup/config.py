"""Training recipes: flat YAML in TRL's own names plus a few of ours; strict about names *and* types.

TRL's parser refuses unknown names but takes `num_train_epochs: [1]` as it stands, and defaults `max_length` to 1024,
which drops or cuts long rows without a word. Both are refused here, before anything is loaded.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.core.dtype import fast_dtype
from data_prep.core.recipe import did_you_mean, exit_on_mistake, parse_overrides, read_yaml, yaml_value

Place = Callable[[str], str]
# Names that cannot change the weights.
NOT_IN_IDENTITY = (
    "run_dir report_to wandb_project project run_name logging_steps disable_tqdm fresh memory_check sample_cards sample_steps sample_tokens push_to_hub "
    "hub_model_id hub_strategy hub_private_repo hub_token hub_revision hub_always_push save_total_limit"
).split()
# Where a recipe is silent we differ from TRL in these, in `max_length: null` (`parse`) and in what `dtype: auto` takes; `report_to` is
# the same in both. Every other key (learning_rate, lora_r) has TRL's own default. What a run resolved them to stands in
# <run_dir>/sft/sft_recipe.json or aligned/align_recipe.json once the stage has ended (`write_resolved`).
DEFAULTS = {
    "use_peft": True,
    "lora_target_modules": ["all-linear"],
    "report_to": "none",
    "hub_private_repo": True,
    "ddp_find_unused_parameters": False,
}


@dataclass
class RunArguments:
    """Our own names, beside those of SFTConfig, DPOConfig or GRPOConfig and ModelConfig."""

    run_dir: str = field(metadata={"help": "Folder of the run; data is read from it and the adapter written into it."})
    wandb_project: str = field(default="card-summarizer", metadata={"help": "Project for report_to: wandb."})
    rejection_sampling: bool = field(
        default=False,
        metadata={"help": "Of SFT: rows of data/best on top of sft-merged, into aligned, in place of data/sft into sft."},
    )
    threads: int | None = field(default=None, metadata={"help": "CPU threads of torch; results depend on it."})
    fresh: bool = field(default=False, metadata={"help": "Start over; what an earlier run left is moved aside, not lost."})
    shared_prefix: bool = field(
        default=True, metadata={"help": "Run the answers to one prompt over one copy of it; false: as plain TRL does."}
    )
    shared_prefix_attention: str = field(
        default="auto", metadata={"help": "auto, split (two causal calls, any device) or varlen (one call, CUDA)."}
    )
    memory_check: bool = field(
        default=True, metadata={"help": "Refuse a step that the estimate says does not fit; false where you know better."}
    )
    sample_cards: int = field(default=0, metadata={"help": "Validation cards summarised while training; 0: none."})
    sample_steps: int = field(default=100, metadata={"help": "Steps between two such rounds."})
    sample_tokens: int = field(default=900, metadata={"help": "Longest such summary, in tokens."})


@dataclass(frozen=True)
class RawRecipe:
    """A recipe as written: enough to know whether its work is done, before two slow imports."""

    values: dict[str, Any]
    where: str
    overridden: frozenset[str] = frozenset()

    def place(self, name: str) -> str:
        """Where a key got its value, for who looks for a mistake."""
        return "the command line" if name in self.overridden else self.where

    @property
    def run_dir(self) -> Path:
        run_dir = self.values.get("run_dir")
        if not isinstance(run_dir, str) or not run_dir:
            raise ValueError(f"{self.where} names no run_dir; add `run_dir: runs/NAME` or --run_dir runs/NAME")
        return Path(run_dir)

    def settled(self, **values: str) -> dict[str, Any]:
        """DEFAULTS and what the stage settles itself. Raises ValueError where the recipe names such a key: merging and resuming
        look for models and checkpoints in the run's own folders."""
        for name in (*values, "resume_from_checkpoint"):
            if name in self.values:
                why = f"it is {values[name]}" if name in values else "a killed run goes on by itself"
                raise ValueError(
                    f"{name} is {self.values[name]!r} in {self.place(name)}: this stage settles it, {why}; leave it out"
                )
        return DEFAULTS | values

    def identity(self) -> dict[str, Any]:
        """What can change the weights: not where the run lies, nor who is told about it."""
        return {name: value for name, value in sorted(self.values.items()) if name not in NOT_IN_IDENTITY}


@dataclass(frozen=True)
class Parsed:
    """Typed recipe: ours, the trainer's (SFTConfig, DPOConfig or GRPOConfig) and TRL's ModelConfig."""

    run: RunArguments
    trainer: Any
    model: Any


def read_recipe(arguments: Sequence[str]) -> RawRecipe:
    """YAML and overrides as one mapping. Values of overrides are read as YAML, or as they stand where they are none."""
    overrides = parse_overrides(arguments)
    config = overrides.pop("config", None)
    values = read_yaml(Path(config)) if config else {}
    for name, text in overrides.items():
        try:
            values[name] = text if name == "run_dir" else yaml_value(text, f"--{name}")
        except ValueError:
            values[name] = text
    return RawRecipe(values, config or "the command line", frozenset(overrides))


def parse(raw: RawRecipe, trainer_config: type, defaults: dict[str, Any]) -> Parsed:
    """The recipe as TRL's dataclasses. `defaults` fill what the recipe leaves out.

    Raises ValueError on unknown names, wrong types, a `max_length` that would cut rows, or `trust_remote_code`.
    """
    from transformers import HfArgumentParser
    from trl import ModelConfig

    # Any: the parser asks for a type of transformers' own, which no class has.
    kinds: tuple[Any, ...] = (RunArguments, trainer_config, ModelConfig)
    cuts = {"max_length": None} if hasattr(trainer_config, "max_length") else {}  # GRPO cuts no prompt and has no such key
    values = check_names_and_types({**cuts, **defaults, **raw.values}, kinds, raw.place)
    if values.get("max_length") is not None:
        raise ValueError(
            f"max_length is {values['max_length']} in {raw.place('max_length')}: TRL would drop or cut longer rows without a word. "
            "Set max_length: null; the budget is examples.max_prompt_tokens of the data recipe"
        )
    if values.get("trust_remote_code"):
        raise ValueError(
            f"trust_remote_code is true in {raw.place('trust_remote_code')}: it would run a stranger's code; SmolLM3 is part of transformers, leave it out"
        )
    check_counts(values, raw.place)
    if values.get("hub_token"):
        raise ValueError(
            f"hub_token is set in {raw.place('hub_token')}, where others can read it; set HF_TOKEN in the environment, or run hf auth login"
        )
    if values.get("dtype") == "auto":  # TRL's would take the file's, whatever the machine makes of it
        import torch

        values["dtype"] = fast_dtype("cpu" if values.get("use_cpu") or not torch.cuda.is_available() else "cuda")
    run, trainer, model = HfArgumentParser(kinds).parse_dict(values)
    return Parsed(run, trainer, model)


def check_counts(values: dict[str, Any], place: Place) -> None:
    """Raises ValueError where a number of rows or steps is below 1, or nothing would be trained."""
    for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps", "lora_r"):
        if values.get(name, 1) < 1:
            raise ValueError(f"{name} is {values[name]} in {place(name)}, expected 1 or more")
    steps, epochs = values.get("max_steps", -1), values.get("num_train_epochs", 3)
    if steps == 0 or (steps < 0 and epochs <= 0):
        raise ValueError(
            f"max_steps is {steps} and num_train_epochs {epochs} in {place('max_steps' if steps == 0 else 'num_train_epochs')}: nothing would be trained; raise one of them"
        )


def check_names_and_types(values: dict[str, Any], kinds: Sequence[type], place: Place) -> dict[str, Any]:
    """The values, one word where a list is due made a list of it (`loss_type: apo_zero`), as TRL reads it."""
    hints: dict[str, Any] = {}
    for kind in kinds:
        known = typing.get_type_hints(kind)
        hints |= {item.name: known[item.name] for item in dataclasses.fields(kind) if item.init}
    checked = {}
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f'unknown key "{name}" in {place(name)}. {did_you_mean(str(name), list(hints))}')
        allowed = allowed_types(hints[name])
        if allowed and isinstance(value, str) and list in allowed and str not in allowed:
            value = [value]
        if allowed is not None and not _fits(value, allowed):
            names = " or ".join(sorted("null" if kind is type(None) else kind.__name__ for kind in allowed))
            raise ValueError(f'"{name}" is {value!r} in {place(name)}, expected {names}')
        checked[name] = value
    return checked


def allowed_types(hint: Any) -> set[type] | None:
    """YAML types that fit a field's annotation; None where anything does."""
    origin = typing.get_origin(hint)
    if hint is Any or isinstance(hint, typing.TypeVar):
        return None
    if origin is typing.Union or isinstance(hint, types.UnionType):
        parts = [allowed_types(part) for part in typing.get_args(hint)]
        return None if None in parts else {kind for part in parts for kind in part or ()}
    if origin is typing.Literal:
        return {type(choice) for choice in typing.get_args(hint)}
    if origin is not None:
        hint = origin
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {str}
    if hint in (tuple, set):
        return {list}
    return {hint} if isinstance(hint, type) and hint in (bool, int, float, str, list, dict, type(None)) else None


def _fits(value: Any, allowed: set[type]) -> bool:
    if isinstance(value, bool):
        return bool in allowed
    if isinstance(value, int) and float in allowed:
        return True
    if isinstance(value, str) and allowed & {int, float} and str not in allowed:
        return False
    return type(value) in allowed


def show_help(trainer_config_name: str, description: str, module: str) -> None:
    """`--help` without the hundreds of TRL's names: ours, the usual ones, and where the rest is written."""
    usual = (
        "model_name_or_path learning_rate num_train_epochs max_steps per_device_train_batch_size gradient_accumulation_steps gradient_checkpointing lora_r "
        "lora_alpha lora_target_modules load_in_4bit dtype bf16 save_steps report_to push_to_hub seed"
    ).split()
    print(description.strip(), "\n")
    print(f"usage: accelerate launch -m {module} --config RECIPE.yaml [--KEY VALUE ...]\n\nour keys:")
    for item in dataclasses.fields(RunArguments):
        default = "" if item.default is dataclasses.MISSING else f" = {item.default}"
        print(f"  {item.name}: {item.type}{default}\n      {item.metadata['help']}")
    print(f"\nevery key of trl.{trainer_config_name} and trl.ModelConfig works as well, among them:\n  {', '.join(usual)}")


def command(main: Callable[[RawRecipe], None], trainer_config_name: str, description: str, module: str) -> None:
    """Runs a training stage from the command line; a person's mistake is one line and exit code 2."""
    arguments = sys.argv[1:]
    if "--help" in arguments or "-h" in arguments:
        show_help(trainer_config_name, description, module)
        return
    exit_on_mistake(lambda: main(read_recipe(arguments)), module)


def write_resolved(parsed: Parsed, path: Path) -> None:
    """The whole resolved recipe beside the result, tokens left out."""
    from data_prep.core.files import write_json

    resolved = {
        "run": dataclasses.asdict(parsed.run),
        "model": dataclasses.asdict(parsed.model),
        "trainer": parsed.trainer.to_dict(),
    }
    write_json(path, json.loads(json.dumps(resolved, default=str)))
