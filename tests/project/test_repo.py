"""Rules of the repository that a reviewer would otherwise have to remember."""

import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest
from commands import BASE, ROOT

PACKAGES = ("data_prep", "training", "eval")
FLOORS = "core cards chat checks prompts synthetic".split()  # rooms of data_prep that every command loads


def test_what_lies_at_the_top_of_a_package_is_a_command():
    files = [path for package in PACKAGES for path in (ROOT / package).glob("*.py") if path.name != "__init__.py"]
    assert len(files) > 30
    assert [path.name for path in files if "if __name__ ==" not in path.read_text(encoding="utf-8")] == []


def test_nobody_imports_eval_by_name():
    """It would hide the builtin in that file."""
    plain = re.compile(r"^\s*import eval\b", re.MULTILINE)
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert [str(path) for path in files if plain.search(path.read_text(encoding="utf-8"))] == []


def test_scripts_that_tests_hold_as_text_import_what_exists():
    """Linters do not look into strings, and a slow test is the last to tell."""
    line = re.compile(r"^from ((?:data_prep|training|eval)\.[\w.]+) import (\w+(?:, \w+)*)$", re.MULTILINE)
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    imports = {(module, name) for text in sources for module, names in line.findall(text) for name in names.split(", ")}
    assert len(imports) > 300
    missing = [(module, name) for module, name in sorted(imports) if not hasattr(import_module(module), name)]
    assert [f"{module}.{name}" for module, name in missing if not find_spec(f"{module}.{name}")] == []


def test_the_lower_floors_need_no_torch():
    rooms = [path for room in FLOORS for path in (ROOT / "data_prep" / room).rglob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in rooms]
    code = "import sys; " + "; ".join(f"import {name}" for name in names) + "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


HELP = """
import contextlib, io, runpy, sys
for command in {commands}:
    sys.argv = [command, "--help"]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as said:
        runpy.run_module(command, run_name="__main__", alter_sys=True)
    assert said.getvalue(), command + " --help says nothing"
    if loaded := {heavy} & set(sys.modules):
        sys.exit(command + " --help loads " + ", ".join(sorted(loaded)))
"""
HEAVY = {"torch", "transformers", "trl", "peft", "accelerate", "datasets", "pandas", "gradio", "vllm", "wandb"}
OF_A_SUMMARY = {"data_prep.checks", "data_prep.pages.fetch", "httpx2", "huggingface_hub", "openai", "pyarrow", "numpy", "rich"}
# The launcher's options are accelerate's own, and the maker of the demo's base is run once.
SLOW_TO_HELP = {"training.launch", "training.tiny_base"}


def helps(commands, heavy):
    code = HELP.format(commands=commands, heavy=heavy)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stderr


def test_help_waits_for_no_framework():
    """Which modules are loaded, since seconds say more of the machine: torch and transformers take some ten of them."""
    commands = [f"{path.parent.name}.{path.stem}" for package in PACKAGES for path in (ROOT / package).glob("[!_]*.py")]
    assert len(commands) > 35
    assert helps(sorted(set(commands) - SLOW_TO_HELP), HEAVY) == ""


def test_the_console_command_s_help_loads_no_checks_and_no_web():
    """By what it does not load: of a second and a half, one was patterns of the checks and what reads the web."""
    assert helps(["eval.summarize"], HEAVY | OF_A_SUMMARY) == ""


@pytest.mark.parametrize("command", ["data_prep.collect", "training.sft", "eval.generate"])
@pytest.mark.parametrize(("set_to", "expected"), [(None, "passive"), ("active", "active")])
def test_threads_that_wait_sleep_unless_the_person_says_otherwise(command, set_to, expected):
    env = {**os.environ, "OMP_WAIT_POLICY": set_to or ""}
    if set_to is None:
        del env["OMP_WAIT_POLICY"]
    code = f"import {command.partition('.')[0]}, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.stdout.split() == [expected, "False"], done.stderr


def test_the_base_model_is_small_and_safe():
    files = [path for path in BASE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".jinja", ".md"}
    assert (BASE / "README.md").exists()


@pytest.mark.parametrize("word", ["/wor" + "k/", "pypi" + "-more", "sub" + "agent", "issue " + "#"])
def test_files_speak_of_the_project_alone(word):
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    if not tracked:
        pytest.skip("not a git checkout")
    texts = [ROOT / name for name in tracked if not name.endswith((".safetensors", ".parquet"))]
    assert [str(path) for path in texts if path.exists() and word in path.read_text(encoding="utf-8", errors="replace")] == []
