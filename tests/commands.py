"""How tests run a stage: as a person does, from the root, with this Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from data_prep.prompts import SYSTEM

ROOT = Path(__file__).resolve().parent.parent
BASE = ROOT / "recipes" / "demo" / "base"
# What SmolLM3's template and the demo's take; data_prep.chat_format finds it out.
TEMPLATE_KWARGS = {"enable_thinking": False}
SMOLLM3_SYSTEM = f"{SYSTEM}\n/system_override /no_think"


def run_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment}, timeout=600
    )
