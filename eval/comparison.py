"""One system against another on the same cards: the record that score and compare write and that claims and gate read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.manifest import content_hash, hashes
from eval.statistic import detectable, estimate_mean, holm, mcnemar_p, sign_flip_p

# What eval.score rests on: the first of each must be there, the others count where they are.
OF_DATA = ("heldout.jsonl", "probes.jsonl", "cards.jsonl", "split.json", "notes.jsonl")
OF_EVAL = ("generations", "measures", "probe_generations")
DIGITS = 6  # of figures in a file: below what any interval resolves, above what two machines' sums differ by


def compare_cards(
    names: tuple[str, str],
    metric: dict[str, Any],
    first: np.ndarray,
    second: np.ndarray,
    families: np.ndarray,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """The paired difference of `names` (a, b) on `metric`: b minus a over the cards where both were measured.

    `first`, `second`, `families`: one entry a card, in one order; a value is the card's mean over its samples, NaN where
    there is none. `mcnemar_p` stands only where every value is 0 or 1, `detectable` and `note` only where there is one.
    """
    difference = second - first
    bounds = (-1.0, 1.0) if metric["unit"] == "share" else None
    estimate = estimate_mean(difference, families, draws, seed, bounds)
    found = {
        "difference": rounded(estimate.mean),
        "ci95": None if estimate.low is None else [rounded(estimate.low), rounded(estimate.high)],
        "p": rounded(sign_flip_p(difference, families, draws, seed)),
        "n": estimate.n,
        "families": estimate.families,
    }
    optional = {
        "mcnemar_p": rounded(mcnemar_p(first, second)),
        "detectable": rounded(detectable(difference, families)),
        "note": estimate.note,
    }
    given = {key: value for key, value in optional.items() if value is not None}
    return {"a": names[0], "b": names[1], "metric": metric["name"], **found, **given}


def rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DIGITS)


def add_holm(comparisons: Sequence[dict[str, Any]], headline: Sequence[str]) -> None:
    """Gives the headline metrics' records `p_holm`: their p as it stands among those of the same two systems."""
    declared: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in comparisons:
        if row["metric"] in headline:
            declared.setdefault((row["a"], row["b"]), []).append(row)
    for rows in declared.values():
        for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
            row["p_holm"] = rounded(p)


def read_metrics(run_dir: Path, needed: Sequence[str]) -> dict[str, Any]:
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
    return metrics


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
