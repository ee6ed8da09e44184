"""Whether a command that a document shows would be understood: its options are read by the program itself, without the work."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import tempfile
import tomllib
import typing
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from commands import ROOT
from documents import is_stage

from data_prep.core import recipe

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Programs of others: that a document names them is all that can be checked here.
EXTERNAL = {
    "cd", "cp", "curl", "diff", "docker", "export", "git", "hf", "llama-cli", "llama-quantize", "llama-server", "ls", "mkdir",
    "ollama", "pre-commit", "ruff", "shellcheck", "source", "tar", "time", "transformers", "unset", "vllm",
}  # fmt: skip
READS_OPTIONS = re.compile(r"\b(?:load|command|parse_args|parse_overrides)\(")
SETTING = re.compile(r"[A-Z][A-Z_]*=")
RECORD = """#!/usr/bin/env bash
printf '%q ' "$@" >> "$CALLS"; echo >> "$CALLS"
"""


class OptionsRead(BaseException):
    """A stage has read its options and would now begin to work; not an Exception, so that no stage catches it."""

    def __init__(self, value: Any = None) -> None:
        self.value = value


def check(command: str) -> None:
    """Raises ValueError where one of the programs in a line of shell is of no known kind or refuses its options."""
    command = re.sub(r"\[(--[^\]]*)\]", r"\1", command).replace("[...]", "")  # what a synopsis marks as optional
    words = shlex.shlex(command, posix=True, punctuation_chars="&|;")
    words.whitespace_split = True
    one: list[str] = []
    for word in [*words, ";"]:
        if word and set(word) <= set("&|;"):
            check_one(one)
            one = []
        else:
            one.append(word)


def check_one(words: list[str]) -> None:
    settings = []
    while words and SETTING.match(words[0]):
        settings, words = [*settings, words[0]], words[1:]
    if not words:
        return
    name = Path(words[0]).name
    if words[0].startswith(("recipes/", ".ci/")):
        check_script(words, dict(setting.split("=", 1) for setting in settings))
    elif name in KINDS:
        KINDS[name](words[1:])
    elif name in PROJECT["project"].get("scripts", {}):
        read_options(PROJECT["project"]["scripts"][name].partition(":")[0], words[1:])
    elif name not in EXTERNAL:
        raise ValueError(
            f'"{name}" is a command of no known kind; teach tests/support/shown_commands.py to check it, or list it there'
        )


def check_python(words: list[str]) -> None:
    if words and words[0].startswith("recipes/examples/"):
        check_example(*words)
        return
    if words[:1] != ["-m"] or len(words) < 2:
        raise ValueError(f"python {' '.join(words)}: stages are run with -m")
    module, arguments = words[1], words[2:]
    if module == "pytest":
        check_pytest(arguments)
    elif module == "pip":
        check_pip(arguments)
    elif module != "venv":
        check_stage(module, arguments)


def check_example(script: str, *arguments: str) -> None:
    if not (ROOT / script).is_file():
        raise ValueError(f"there is no {script}")
    parser = runpy.run_path(str(ROOT / script))["parser"]()
    quietly(lambda: parser.parse_args(arguments))


def check_stage(module: str, arguments: list[str]) -> None:
    options = read_options(module, arguments)
    if module == "training.launch":
        check_launched(options)


def check_launched(options: argparse.Namespace) -> None:
    """The command that a launcher starts, and the launcher's own file."""
    if options.config_file and not (ROOT / options.config_file).is_file():
        raise ValueError(f"there is no {options.config_file}")
    if not options.module:
        raise ValueError(f"{options.training_script} is launched without -m")
    check_stage(options.training_script, options.training_script_args)


def check_accelerate(words: list[str]) -> None:
    from accelerate.commands.launch import launch_command_parser

    if words[:1] != ["launch"]:
        raise ValueError(f"accelerate {' '.join(words)}: only launch is used here")
    check_launched(quietly(lambda: launch_command_parser().parse_args(words[1:])))


def quietly(read: Callable[[], Any]) -> Any:
    """The value of `read`; a program's exit becomes a ValueError with its last words."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            return read()
    except SystemExit:
        raise ValueError(said.getvalue().strip()) from None


def read_options(module: str, arguments: list[str]) -> Any:
    """What `python -m MODULE ARGUMENTS` makes of its options: the module runs until it has read them, and no further.

    Returns a namespace where argparse reads them. Raises ValueError with the stage's own words where it refuses them.
    """
    file = ROOT / f"{module.replace('.', '/')}.py"
    if not file.is_file() or not is_stage(file):
        raise ValueError(f"{module} is no stage")
    text = file.read_text(encoding="utf-8")
    if set(arguments) & {"--help", "-h"}:
        return None
    if module != "training.launch" and not READS_OPTIONS.search(text):
        if arguments:
            raise ValueError(f"{module} takes no options")
        return None
    load, parse_args = recipe.load, argparse.ArgumentParser.parse_args

    def loaded(*given: Any) -> None:
        raise OptionsRead(load(*given))

    def parsed(*given: Any) -> None:
        raise OptionsRead(parse_args(*given))

    def run() -> Any:
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except OptionsRead as read:
            return read.value
        raise ValueError(f"{module} came to its end without reading its options")

    with (
        patch.object(recipe, "load", loaded),
        patch.object(argparse.ArgumentParser, "parse_args", parsed),
        patch("training.setup.config.command", trainer_options),
        patch.object(sys, "argv", [module, *arguments]),
        warnings.catch_warnings(action="ignore"),  # that the module was imported before
        contextlib.chdir(ROOT),
    ):
        return quietly(run)


def trainer_options(main: Any, trainer_config: str, description: str, module: str) -> None:
    """In place of `training.setup.config.command`: reads what that would read, for a machine without a GPU."""
    import trl

    from training.setup.config import RawRecipe, parse, read_recipe

    try:
        raw = read_recipe(sys.argv[1:])
        values = raw.values | {"use_cpu": True, "bf16": False, "output_dir": "x"}
        given = RawRecipe(values, raw.where, raw.overridden)
        raise OptionsRead(parse(given, getattr(trl, trainer_config), {"model_name_or_path": "x"}))
    except ValueError as error:
        raise ValueError(f"{module}: {error}") from None


def check_script(words: list[str], settings: dict[str, str]) -> None:
    script, arguments = words[0], words[1:]
    if not (ROOT / script).is_file() or not os.access(ROOT / script, os.X_OK):
        raise ValueError(f"there is no {script} that can be run")
    if script == "recipes/run.sh":
        arguments = [re.sub(r"^path/to/.*", "recipes/demo", word) for word in arguments]  # a reader's own folder
        for command in chain(tuple(arguments), tuple(sorted(settings.items()))):
            check_python(shlex.split(command))


@cache
def chain(arguments: tuple[str, ...], settings: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """The commands that run.sh would run, which a stand-in for Python writes down. In a folder of their own: rounds make links."""
    with tempfile.TemporaryDirectory() as folder:
        stand_in, calls = Path(folder) / "python", Path(folder) / "calls"
        stand_in.write_text(RECORD, encoding="utf-8")
        stand_in.chmod(0o755)
        environment = {**os.environ, **dict(settings), "PYTHON": str(stand_in), "CALLS": str(calls)}
        done = subprocess.run(
            ["bash", "recipes/run.sh", *arguments, "--run_dir", folder],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise ValueError(done.stderr.strip())
        commands = calls.read_text(encoding="utf-8").splitlines() if calls.exists() else []
    steps = set(re.findall(r"\[(\d+/\d+)\]", done.stdout))
    if commands and steps != {f"{number}/{len(commands)}" for number in range(1, len(commands) + 1)}:
        raise ValueError(f"run.sh counts its {len(commands)} steps as {sorted(steps)}")
    return tuple(commands)


def check_sbatch(words: list[str]) -> None:
    rest = [word for word in words if not word.startswith("-")]
    if rest[:1] != ["recipes/launch.slurm"]:
        raise ValueError(f"sbatch {' '.join(words)}: recipes/launch.slurm is what there is for Slurm")
    started = words[words.index("recipes/launch.slurm") + 1 :]
    if started and started[0].startswith("training."):
        check_stage(started[0], started[1:])
    else:
        check_one(started)


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        name, equals, _ = word.partition("=")
        if equals and not re.search(rf"^{name} \?=", makefile, re.MULTILINE):
            raise ValueError(f"the Makefile has no setting {name}")
        if not equals and not re.search(rf"^{re.escape(name)}:", makefile, re.MULTILINE):
            raise ValueError(f"the Makefile has no target {name}")


def check_pip(words: list[str]) -> None:
    """`install` with extras that pyproject.toml has and files that exist."""
    extras = PROJECT["project"]["optional-dependencies"]
    for before, word in zip(["", *words], words, strict=False):
        own = re.fullmatch(r"(?:\.|card-summarizer)\[([\w,-]+)\]", word)
        for extra in own[1].split(",") if own else ():
            if extra not in extras:
                raise ValueError(f"pyproject.toml has no extra {extra}. {recipe.did_you_mean(extra, list(extras))}")
        if before in ("-r", "-c") and not (ROOT / word).is_file():
            raise ValueError(f"there is no {word}")


def check_pytest(words: list[str]) -> None:
    """Files exist and hold the named test; markers are declared."""
    markers = {marker.partition(":")[0] for marker in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    for before, word in zip(["", *words], words, strict=False):
        if before == "-m":
            unknown = set(re.findall(r"\w+", word)) - markers - {"not", "and", "or"}
            if unknown:
                raise ValueError(f"pyproject.toml declares no marker {', '.join(sorted(unknown))}")
        elif word.startswith("tests"):
            file, _, name = word.partition("::")
            if not (ROOT / file).exists():
                raise ValueError(f"there is no {file}")
            if name and f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8"):
                raise ValueError(f"{file} has no {name}")


KINDS: dict[str, Callable[[list[str]], None]] = {
    "python": check_python,
    "python3": check_python,
    "accelerate": check_accelerate,
    "sbatch": check_sbatch,
    "make": check_make,
    "pip": check_pip,
    "pytest": check_pytest,
}


@cache
def blocks_of_stages() -> dict[str, tuple[type[recipe.Block], ...]]:
    """The schemas of every block that a recipe may hold, as the stages themselves name them."""
    found: dict[str, tuple[type[recipe.Block], ...]] = {}
    for file in sorted(path for package in ("data_prep", "training", "eval") for path in (ROOT / package).glob("*.py")):
        text = file.read_text(encoding="utf-8")
        named = re.findall(r'\b(?:command|load)\(\s*"(\w+)", (\w+),', text) + re.findall(
            r'^    "(\w+)": (\w+Config)\b', text, re.M
        )
        for block, schema in named:
            kind = getattr(importlib.import_module(f"{file.parent.name}.{file.stem}"), schema, None)
            if isinstance(kind, type) and issubclass(kind, recipe.Block):
                found[block] = (*found.get(block, ()), kind)
    return found


def has_key(schema: type[recipe.Block], key: str) -> bool:
    """Whether a block, or a block or list of blocks within it, has `key`; dots lead inwards."""
    head, dot, rest = key.partition(".")
    field = schema.model_fields.get(head)
    if field is None:
        return False
    inner = [part for part in parts_of(field.annotation) if isinstance(part, type) and issubclass(part, recipe.Block)]
    return not dot or any(has_key(part, rest) for part in inner)


def parts_of(annotation: Any) -> list[Any]:
    return [annotation, *(inner for part in typing.get_args(annotation) for inner in parts_of(part))]
