"""Recipes: one YAML file plus dotted overrides on the command line -> one typed, frozen block.

    python -m data_prep.collect --config recipes/demo/data.yaml --run_dir runs/x --collect.source folder --collect.path cards/

A data or eval recipe has `run_dir`, `seed` and one block per stage; a stage reads its own block and ignores its
neighbours'. Unknown keys and wrong types are refused with the place, the rule and the nearest known name.
"""

from __future__ import annotations

import difflib
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from data_prep.core.lock import alone

# Of every stage, those of training and eval too: a recipe serves several, and none is imported to know a neighbour's name.
BLOCKS = (
    "collect split research write examples revise correct pairs best publish merge soup sample repair generate probes probe support judge "
    "score validate report gate ability notes publish_model export benchmark"
).split()
EXIT_MISTAKE = 2  # a person's mistake: bad recipe, missing input
EXIT_STOPPED = 130  # Ctrl-C, as shells say it


class Block(BaseModel):
    """Base of every stage's block. Strict: no "3" for 3; field docstrings become `--help`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


BlockT = TypeVar("BlockT", bound=Block)


class Recipe(BaseModel, Generic[BlockT]):
    """What a stage runs with: where, from which seed, and its own block."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    stage: str
    run_dir: Path
    seed: int
    block: BlockT

    def resolved(self) -> dict[str, Any]:
        """Everything that can change the stage's output, for the manifest. Not `run_dir`: moving a run changes nothing."""
        return {"seed": self.seed, self.stage: self.block.model_dump()}


def _parsed(text: str) -> Any:
    """YAML 1.2: `2e-4` is a float, `no` a word, and a key that stands twice is refused."""
    return YAML(typ="safe", pure=True).load(text)


def _yaml_fault(error: Exception) -> str:
    """What is wrong, in one line."""
    said = " ".join((getattr(error, "problem", None) or str(error)).split())
    return f"{said.partition(' with value ')[0]}; keep one" if isinstance(error, DuplicateKeyError) else said


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping. Raises ValueError that names the file where it is missing, unreadable or no mapping."""
    try:
        value = _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there is no recipe {path}; recipes/README.md lists those that ship") from None
    except (YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ValueError(f"{path} is not valid YAML{where}: {_yaml_fault(error)}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds {type(value).__name__}, expected keys and values")
    return value


def did_you_mean(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f'Did you mean "{near[0]}"?' if near else f"Known: {', '.join(sorted(known))}."


def parse_overrides(arguments: Sequence[str]) -> dict[str, str]:
    """`--a.b value`, `--a.b=value` -> {"a.b": "value"}. Raises ValueError on anything else."""
    overrides, rest = {}, list(arguments)
    while rest:
        flag = rest.pop(0)
        if not flag.startswith("--") or len(flag) < 3:
            raise ValueError(f'"{flag}" is not an option; overrides are written --block.key value')
        name, equals, value = flag[2:].partition("=")
        if not equals:
            if not rest:
                raise ValueError(f"--{name} has no value; write --{name} VALUE")
            value = rest.pop(0)
        overrides[name] = value
    return overrides


def load(stage: str, schema: type[BlockT], arguments: Sequence[str], neighbours: Sequence[str] = BLOCKS) -> Recipe[BlockT]:
    """The recipe of `stage` from `--config` and overrides. Raises ValueError for every mistake a person can make."""
    overrides = parse_overrides(arguments)
    config = overrides.pop("config", None)
    raw = read_yaml(Path(config)) if config else {}
    where = config or "the command line"
    known = ("run_dir", "seed", *neighbours)
    for name in [*raw, *(key.partition(".")[0] for key in overrides)]:
        if name not in known:
            place = where if name in raw else "the command line"
            raise ValueError(f'unknown key "{name}" in {place}. {did_you_mean(str(name), known)}')
    block = dict(raw.get(stage) or {})
    for name, text in overrides.items():
        head, _, key = name.partition(".")
        if head == stage:
            if not key:
                raise ValueError(f"--{stage} is a block; write --{stage}.KEY VALUE. Keys: {', '.join(schema.model_fields)}.")
            _put(block, schema, key, text, f"--{name}")
    seed = yaml_value(overrides["seed"], "--seed") if "seed" in overrides else raw.get("seed", 0)
    run_dir = overrides.get("run_dir", raw.get("run_dir"))
    if type(seed) is not int:
        raise ValueError(f"seed is {seed!r}, expected a whole number")
    if not isinstance(run_dir, str) or not run_dir:
        raise ValueError(f"{where} names no run_dir; add `run_dir: runs/NAME` or --run_dir runs/NAME")
    return Recipe(stage=stage, run_dir=Path(run_dir), seed=seed, block=_validated(schema, block, stage, config, overrides))


def _put(block: dict[str, Any], schema: type[Block], key: str, text: str, flag: str) -> None:
    """Sets one override; `teacher.model` goes into the block within the block, which may not be there yet."""
    head, dot, rest = key.partition(".")
    inner = _inner_block(schema, head) if dot else None
    if inner is None:
        block[key] = _typed(schema, key, text, flag)
        return
    block[head] = dict(block.get(head) or {})
    _put(block[head], inner, rest, text, flag)


def _inner_block(schema: type[Block], key: str) -> type[Block] | None:
    """The block that a field takes, alone or beside None; None where the field takes something else."""
    field = schema.model_fields.get(key)
    kind = field.annotation if field else None
    parts = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return next((part for part in parts if isinstance(part, type) and issubclass(part, Block)), None)


def _typed(schema: type[Block], key: str, text: str, flag: str) -> Any:
    """The command line knows only text: text stays text where the field takes text, everything else is YAML."""
    field = schema.model_fields.get(key)
    if field is None:
        return text  # a misspelt key, which is what to tell, whatever its value
    if _takes_text(field.annotation):
        return None if text in ("null", "~") else text
    return yaml_value(text, flag)


def yaml_value(text: str, flag: str) -> Any:
    """Raises ValueError that names the flag where `text` is no YAML."""
    try:
        return _parsed(text)
    except YAMLError as error:
        raise ValueError(f"{flag} is {text!r}, which is not valid YAML: {_yaml_fault(error)}") from None


def _takes_text(annotation: Any) -> bool:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return any(_takes_text(part) for part in typing.get_args(annotation))
    return annotation is str or typing.get_origin(annotation) is typing.Literal


def _validated(schema: type[BlockT], block: dict[str, Any], stage: str, config: str | None, overrides: Iterable[str]) -> BlockT:
    try:
        return schema(**block)
    except ValidationError as error:
        # A misspelt name also leaves the right one missing; the misspelling is what to tell.
        first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    place = ".".join([stage, *(str(part) for part in first["loc"])])
    given = any(f"{place}.".startswith(f"{name}.") for name in overrides)
    where = config if config and not given else "the command line"
    if first["type"] == "extra_forbidden":
        raise ValueError(
            f'unknown key "{place}" in {where}. {did_you_mean(str(first["loc"][-1]), keys_at(schema, first["loc"]))}'
        )
    if first["type"] == "missing":
        advice = "" if any(isinstance(part, int) for part in first["loc"]) else f" or pass --{place} VALUE"
        raise ValueError(f'{where} lacks "{place}"; add it to the block{advice}')
    raise ValueError(f'"{place}" is {first["input"]!r} in {where}: {first["msg"]}')


def keys_at(schema: type[Block], place: Sequence[str | int]) -> list[str]:
    """Keys of the block that an error's place is in, through blocks within blocks and lists of them."""
    for part in place[:-1]:
        if isinstance(part, str) and part in schema.model_fields:
            kind = schema.model_fields[part].annotation
            parts = (
                kind,
                *typing.get_args(kind),
                *(inner for outer in typing.get_args(kind) for inner in typing.get_args(outer)),
            )
            schema = next((inner for inner in parts if isinstance(inner, type) and issubclass(inner, Block)), schema)
    return list(schema.model_fields)


def usage(stage: str, schema: type[Block], description: str, module: str) -> str:
    """Text of `--help`: what the stage does and each key with type, default and meaning."""
    lines = [description.strip(), "", f"usage: python -m {module} --config RECIPE.yaml [--run_dir DIR] [--seed N]"]
    lines += ["", f"keys of the block `{stage}` (override with --{stage}.KEY VALUE):"]
    return "\n".join([*lines, *_keys(schema)])


def _keys(schema: type[Block], prefix: str = "") -> Iterator[str]:
    for name, field in schema.model_fields.items():
        inner = _inner_block(schema, name)
        kind = getattr(field.annotation, "__name__", None) if isinstance(field.annotation, type) else None
        kind = "block" if inner else kind or spelled(field.annotation)
        value = field.get_default(call_default_factory=True)
        default = "required" if field.is_required() else "" if isinstance(value, Block) else f"default {value!r}"
        yield f"  {prefix}{name}: {kind}" + (f", {default}" if default else "")
        if field.description:
            yield f"      {' '.join(field.description.split())}"
        if inner:
            yield from _keys(inner, f"{prefix}{name}.")


def spelled(annotation: Any) -> str:
    """A type as a person reads it: without module names and the constraints beside it."""
    text = str(annotation).replace("typing.", "").replace("data_prep.", "")
    return re.sub(r"Annotated\[([\w\[\]]+), \w+\(.*\)\]", r"\1", text)


def command(
    stage: str,
    schema: type[BlockT],
    main: Callable[[Recipe[BlockT]], None],
    description: str,
    module: str,
    arguments: Sequence[str] | None = None,
) -> None:
    """Runs a stage from the command line: `--help`, recipe, then `main`; a person's mistake is one line and exit code 2. One data stage
    at a time works in a run's data folder: all of them write its rejected.jsonl."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--help" in arguments or "-h" in arguments:
        print(usage(stage, schema, description, module))
        return

    def run() -> None:
        recipe = load(stage, schema, arguments)
        writes_data = module == f"data_prep.{stage}"
        with alone(recipe.run_dir / "data", "name another --run_dir") if writes_data else nullcontext():
            main(recipe)

    exit_on_mistake(run, module)


def exit_on_mistake(run: Callable[[], None], module: str) -> None:
    try:
        run()
    except (ValueError, IsADirectoryError, NotADirectoryError, FileExistsError, PermissionError) as error:
        print(f"{module}: {error}", file=sys.stderr)
        raise SystemExit(EXIT_MISTAKE) from None
    except KeyboardInterrupt:
        print(f"\n{module}: stopped; the same command goes on from what is saved", file=sys.stderr)
        raise SystemExit(EXIT_STOPPED) from None
