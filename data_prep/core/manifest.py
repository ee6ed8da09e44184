"""Finished work announces itself: a manifest beside each result names recipe, versions, and hashes of inputs and outputs.

A stage whose manifest matches its recipe and its inputs has nothing to do. Content decides, never a file's date.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from data_prep.core.files import read_dicts, sha256_file, write_json

PACKAGES = (
    "torch transformers trl peft accelerate datasets bitsandbytes tokenizers huggingface_hub markdown-it-py selectolax "
    "py3langid trafilatura pypdf pyarrow rouge-score scipy vllm"
).split()


@dataclass(frozen=True)
class Manifest:
    """One stage's record. `recipe` is all that can change the output; inputs and outputs may be files or folders."""

    path: Path
    stage: str
    recipe: dict[str, Any]
    inputs: Sequence[Path]
    outputs: Sequence[Path]
    rejected: Path | None = None  # the shared file that also holds what this stage set aside

    def is_done(self) -> bool:
        """True where the outputs are what this recipe made from these inputs. Says so, for the person who runs it again."""
        if not self.path.exists() or not all(path.exists() for path in self.outputs):
            return False
        try:
            written = json.loads(self.path.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            return False
        done = (
            written.get("recipe") == json.loads(json.dumps(self.recipe))
            and written.get("inputs") == hashes(self.inputs)
            and written.get("outputs") == hashes(self.outputs)
            and written.get("set_aside", 0) == self._set_aside()
        )
        if done:
            print(f"{self.stage}: done already, {', '.join(str(path) for path in self.outputs)}")
        return done

    def write(self, **result: Any) -> None:
        """Called last, when all outputs are in place. `result` is what the stage counted."""
        write_json(
            self.path,
            {
                "stage": self.stage,
                "recipe": self.recipe,
                "result": result,
                "versions": versions(),
                "inputs": hashes(self.inputs),
                "outputs": hashes(self.outputs),
                "set_aside": self._set_aside(),
            },
        )

    def _set_aside(self) -> int:
        """Rows of this stage in `rejected`: other stages write there too, so its hash cannot tell whether they are whole."""
        if self.rejected is None or not self.rejected.exists():
            return 0
        return sum(row.get("stage") == self.stage for row in read_dicts(self.rejected))


def hashes(paths: Sequence[Path]) -> dict[str, str | None]:
    """Content hash of each file or folder, by name, and by its path where others have its name; None where there is nothing."""
    names = Counter(path.name for path in paths)
    return {path.name if names[path.name] == 1 else str(path): content_hash(path) for path in paths}


def content_hash(path: Path) -> str | None:
    if path.is_file():
        return sha256_file(path)
    if not path.is_dir():
        return None
    digest = hashlib.sha256()
    is_model = (path / "config.json").exists() or (path / "adapter_config.json").exists()
    for file in sorted(path.rglob("*")):
        parts = file.relative_to(path).parts
        # Manifests and reports are about the folder, not in it; checkpoints and logs are the road to a model, and in a folder of cards
        # they are somebody's name.
        road = is_model and (
            {"wandb", "trainer_state.json"} & {*parts} or any(part.startswith("checkpoint-") for part in parts)
        )
        if file.is_file() and not file.name.endswith((".manifest.json", ".parity.json", ".tmp")) and not road:
            digest.update(f"{'/'.join(parts)}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Installed versions of what can change a result."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def manifest_of(data: Path, stage: str) -> dict[str, Any]:
    path = data / f"{stage}.manifest.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
