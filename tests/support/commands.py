"""How tests run a stage: as a person does, from the root, with this Python."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

from data_prep.prompts.student import SYSTEM

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parents[1]
BASE = ROOT / "recipes" / "demo" / "base"
# What SmolLM3's template and the demo's take; data_prep.prompts.chat_format finds it out.
TEMPLATE_KWARGS = {"enable_thinking": False}
SMOLLM3_SYSTEM = f"{SYSTEM}\n/system_override /no_think"


def run_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment}, timeout=600
    )


def run_here(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What `python -m MODULE` does and says, in this process: seconds faster, since its imports are done.

    For stages whose test is about what they write. A process of its own is for what one alone can show: that a kill, a signal
    or an environment is survived, or what is imported.
    """
    out, err = io.StringIO(), io.StringIO()
    with as_program(module, arguments), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = exit_code(module)
    return subprocess.CompletedProcess([module, *arguments], code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def as_program(module: str, arguments: tuple[str, ...]) -> Iterator[None]:
    before, sys.argv = sys.argv, [module, *arguments]
    try:
        with contextlib.chdir(ROOT), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*found in sys.modules", category=RuntimeWarning)
            yield
    finally:
        sys.argv = before


def exit_code(module: str) -> int:
    """Runs `module` as a program; what it raises is printed as the interpreter prints it."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
