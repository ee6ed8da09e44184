"""Which family a model is of, by its name, and whose families a judge must not share.

Judges prefer their own texts, on summaries too (Panickssery, Bowman and Feng 2024, arXiv 2404.13076), and a student taught
by a model writes like it. So a judge is of neither the teachers', the student's nor any judged system's family. A name that
tells two models (DeepSeek-R1-Distill-Qwen-7B) belongs to both families: what it was made from and whom it was taught by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from data_prep.core.files import read_dicts
from data_prep.core.records import ATTACHED, PRUNED, SPLICED

# A pattern stands at the start of a word of the name: "command-r", "c4ai-command-a", never "recommander".
PATTERNS = {
    "qwen": r"qwen|qwq|qvq|qwenlong|compassjudger|openreasoning-nemotron",
    "llama": r"(?:meta-|code-?|tiny)?llama|vicuna|alpaca|prometheus-vision|selene|wizardlm",
    "gemma": r"(?:paligemma|shieldgemma|medgemma|gemma)",
    "gemini": r"gemini|palm",
    "mistral": r"(?:mistral|mixtral|ministral|magistral|codestral|devstral|pixtral|zephyr|prometheus|openhermes|starling|openchat)",
    "phi": r"phi(?:-|\d|$)",
    "deepseek": r"deepseek",
    "gpt": r"(?:chat)?gpt-?(?:oss|[345])|(?:text-)?davinci|o[134](?:-mini|-pro|-preview)?(?=$|-20|-\d)",
    "claude": r"claude",
    "granite": r"granite",
    "smollm": r"smol(?:lm|vlm)?",
    "olmo": r"olmo|tulu|tülu|molmo",
    "command": r"command-?(?:r|a|light|nightly|$)|c4ai|aya-|cohere",
    "nemotron": r"nemotron|minitron",
    "glm": r"(?:chat)?glm|zai-org|z-ai",
    "kimi": r"kimi|moonshot|moonlight",
    "minimax": r"minimax",
    "yi": r"yi(?:-|$)",
    "internlm": r"internlm|internvl",
    "baichuan": r"baichuan",
    "falcon": r"falcon",
    "exaone": r"exaone",
    "jamba": r"jamba",
    "hunyuan": r"hunyuan",
    "ernie": r"ernie",
    "seed": r"seed-oss|doubao",
    "mimo": r"mimo",
    "grok": r"grok",
    "nova": r"nova-(?:micro|lite|pro|premier)",
    "stablelm": r"stablelm",
    "pythia": r"pythia|gpt-neox?|gpt-j",
    "lfm": r"lfm-?\d",
}
_FAMILY = {name: re.compile(rf"(?<![a-z])(?:{pattern})") for name, pattern in PATTERNS.items()}
NO_MODEL = (ATTACHED, PRUNED, SPLICED, "extractive")
STUDENT = "smollm"


def families_of(model: str) -> frozenset[str]:
    """Families that a model's id or its server's name tells; empty where it tells none."""
    name = re.sub(r"[\s_:]+", "-", model.lower())
    return frozenset(family for family, pattern in _FAMILY.items() if pattern.search(name))


def relatives(run_dir: Path, systems: Collection[str]) -> dict[str, str]:
    """Family -> why no judge may be of it, from the run's own files: who wrote training summaries, what was trained on
    them, and which models the judged systems are."""
    found: dict[str, str] = {}
    for model, part in _models(run_dir, systems):
        for family in families_of(model):
            found.setdefault(family, f"{model}, {part}")
    found.setdefault(STUDENT, "SmolLM, the student")  # whose folders say "llama"
    return found


def writers(run_dir: Path) -> set[str]:
    """Who wrote the run's candidate summaries, as data/candidates.jsonl and data/revisions.jsonl name them."""
    files = (run_dir / "data" / name for name in ("candidates.jsonl", "revisions.jsonl"))
    return {row["writer"] for path in files if path.exists() for row in read_dicts(path) if "writer" in row}


def _models(run_dir: Path, systems: Collection[str]) -> Iterator[tuple[str, str]]:
    for writer in sorted(writers(run_dir) - set(NO_MODEL)):
        yield writer, "which wrote training summaries"
    for path in sorted((run_dir / "data").glob("*.manifest.json")):
        for model in sorted(set(_endpoints(json.loads(path.read_text(encoding="utf-8")).get("recipe")))):
            yield model, f"the teacher of {path.name.partition('.')[0]}"
    for path in sorted(run_dir.glob("*/*_recipe.json")):
        base = json.loads(path.read_text(encoding="utf-8")).get("model", {}).get("model_name_or_path", "")
        yield from ((name, "the student") for name in _names(base))
    for system in sorted(systems):
        path = run_dir / "eval" / "generations" / f"{system}.manifest.json"
        if path.exists():
            judged = json.loads(path.read_text(encoding="utf-8")).get("recipe", {}).get("system", {})
            for name in (*_names(judged.get("model") or ""), *_endpoints(judged)):
                yield name, f"the judged system {system}"


def _endpoints(value: Any) -> Iterator[str]:
    """Models of all endpoints in a recipe, wherever they stand."""
    if isinstance(value, dict):
        if "base_url" in value and "model" in value:
            yield value["model"]
        for inner in value.values():
            yield from _endpoints(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _endpoints(inner)


def _names(model: str) -> Iterator[str]:
    """A Hub id as it is; of a folder what its config.json says, since people name folders after anything."""
    config = Path(model) / "config.json"
    if config.exists():
        yield str(json.loads(config.read_text(encoding="utf-8")).get("model_type", ""))
    elif not model.startswith(("baseline:", "{run_dir}")):
        yield model
