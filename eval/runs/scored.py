"""What a scored run left: metrics.json and what it was computed from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from data_prep.core.manifest import content_hash, hashes, manifest_of
from eval.stats.records import Metrics

# What eval.score rests on: the first of each must be there, the others count where they are.
OF_DATA = ("heldout.jsonl", "probes.jsonl", "cards.jsonl", "split.json", "notes.jsonl")
OF_EVAL = ("generations", "measures", "probe_generations")


def read_metrics(run_dir: Path, needed: Sequence[str]) -> Metrics:
    """metrics.json of a finished run. Raises ValueError where it is missing, is not what eval.score wrote (nor scores.parquet
    is), or lacks one of the `needed` keys."""
    folder = run_dir / "eval"
    path = folder / "metrics.json"
    metrics, scored = read_object(path, run_dir), read_object(folder / "score.manifest.json", run_dir)
    for name, digest in scored.get("outputs", {}).items():
        if (found := content_hash(folder / name)) != digest:
            fault = "is missing" if found is None else "is not what eval.score wrote"
            raise ValueError(f"{folder / name} {fault}; run eval.score again, with --run_dir {run_dir}")
    missing = [key for key in needed if key not in metrics]
    if missing:
        raise ValueError(
            f"{path} says nothing of {', '.join(missing)}, so an older eval.score wrote it; "
            f"run eval.score with --run_dir {run_dir} again"
        )
    return cast(Metrics, metrics)


def kind_of_cards(run_dir: Path) -> str:
    """As a heading, by what data_prep.collect says of where the run's cards come from."""
    source = manifest_of(run_dir / "data", "collect").get("recipe", {}).get("collect", {}).get("source")
    known = {None: "cards of unknown origin", "synthetic": "invented cards", "hub": "real cards", "references": "real cards"}
    return known.get(source, "cards from files")


def read_object(path: Path, run_dir: Path) -> dict[str, Any]:
    """A JSON object that eval.score wrote. Raises ValueError where it is missing or is none."""
    again = f"run eval.score with --run_dir {run_dir}"
    if not path.exists():
        raise ValueError(f"{path} is missing; {again}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); {again} again") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds {type(found).__name__}, expected an object; {again} again")
    return found


def score_inputs(run_dir: Path) -> list[Path]:
    """What the scores of a run follow from: held-out cards and generations, and of the rest what is there."""
    data, folder = run_dir / "data", run_dir / "eval"
    optional = [*(folder / name for name in OF_EVAL[1:]), *(data / name for name in OF_DATA[1:])]
    return [data / OF_DATA[0], folder / OF_EVAL[0], *(path for path in optional if path.exists())]


def refuse_changed(run_dir: Path) -> None:
    """Raises ValueError where something that the scores follow from is not what it was when eval.score ran."""
    known = read_object(run_dir / "eval" / "score.manifest.json", run_dir).get("inputs", {})
    paths = score_inputs(run_dir)
    now = hashes(paths)
    for name in [*known, *(path.name for path in paths[2:])]:  # what was scored, and what came since
        if now.get(name) != known.get(name):
            place = next((path for path in paths if path.name == name), run_dir / name)
            what = "changed after it was scored" if name in now else "was scored and is gone"
            raise ValueError(f"{place} {what}; run eval.score again, with --run_dir {run_dir}")
