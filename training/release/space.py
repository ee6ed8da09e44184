"""The folder of a Space: the web page of `python -m eval.app` with a published model to choose, ready to be run by the Hub.

The project is on no package index, so the folder holds the rooms that the page needs, by an allow-list, and asks the index for the rest.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

from data_prep.core.files import write_text

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {
    "data_prep": "cards chat checks collecting core evidence lineage pages pretrained prompts".split(),
    "eval": "decoding generation reporting stats summarizing web shipped_adapter".split(),
}
FILES = ("data_prep/__init__.py", "eval/__init__.py", "eval/app.py", "LICENSE", "NOTICE")
ENDINGS = (".py", ".css", ".js", ".j2", ".json", ".safetensors", ".md")
SDK = "gradio"
APP = '''"""The page that `python -m eval.app` serves, for visitors from anywhere."""

from eval.app import main

main(["--host", "0.0.0.0", "--models", {model}, "embedded"])
'''
README = """---
title: {title}
sdk: {sdk}
sdk_version: "{version}"
python_version: "3.11"
app_file: app.py
models:
- {model}
license: apache-2.0
short_description: Model cards in a page, checked against their sources
---

# {title}

Summarises a Hugging Face model card on one page, by [{model}](https://huggingface.co/{model}) or by a small model that ships with this
Space, and marks each number, name and link with the lines of the card that bear it out. What no source states is marked as wrong; what is
not marked need not be true.

Nothing that a visitor gives is kept. Only public cards are read: the page uses no token. The model has to be public too.
"""


def write_space(folder: Path, model: str, title: str) -> None:
    """Raises ValueError where this copy of the project lacks what the page needs."""
    if not (ROOT / "pyproject.toml").is_file():
        raise ValueError(
            "this copy of the project is no clone, from which a Space is made; leave publish_model.space out, or clone it"
        )
    for name in FILES:
        _copy(ROOT / name, folder / name)
    for package, rooms in ROOMS.items():
        for room in rooms:
            for path in sorted((ROOT / package / room).rglob("*")):
                if path.suffix in ENDINGS and "__pycache__" not in path.parts:
                    _copy(path, folder / path.relative_to(ROOT))
    needed, version = _needed()
    write_text(folder / "requirements.txt", "\n".join(needed) + "\n")
    write_text(folder / "app.py", APP.format(model=json.dumps(model)))
    write_text(folder / "README.md", README.format(title=title, sdk=SDK, version=version, model=model))


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise ValueError(f"{source.name} is not in this copy of the project; make the Space from a clone of the repository")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _needed() -> tuple[list[str], str]:
    """What the core asks for, and the version of Gradio that the extra does, which the Hub itself installs."""
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [page] = [one for one in stated["optional-dependencies"]["app"] if one.startswith(SDK)]
    return sorted(stated["dependencies"]), re.findall(r">=([0-9.]+)", page)[0]
