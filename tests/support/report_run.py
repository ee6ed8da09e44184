"""An invented scored run of any size, written straight in the form that eval.score gives: what the report reads."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.core.files import stable_id, write_json, write_jsonl
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import load
from data_prep.core.records import HeldOut
from eval.report import ReportConfig, main
from eval.runs.scored import score_inputs

SYLLABLES = "ka lo mi ren tos vel du par sin gra mon teb qui nar os el fi zu".split()
CHECKS = ("length", "numbers", "links")
METRICS = [
    {"name": name, "label": label, "group": group, "unit": unit, "better": better, "headline": headline}
    for name, label, group, unit, better, headline in (
        ("all_pass", "pages without a flag", "checks", "share", "higher", True),
        *((f"{check}_pass", f"no flag: {check}", "checks", "share", "higher", False) for check in CHECKS),
        ("fact_recall", "key facts the page has", "checks", "share", "higher", True),
        ("words", "words", "checks", "words", None, False),
        ("density", "copied in a row (density)", "checks", "words", None, False),
        ("coverage", "words in copied runs (coverage)", "independent", "share", None, False),
        ("supported", "claims supported, by a checker", "independent", "share", "higher", True),
    )
]
NAMES = [metric["name"] for metric in METRICS]


def report(run_dir: Path, *arguments: str) -> Path:
    """The report of a scored run, made in this process as the command makes it, whatever a test changed in the scores."""
    seal(run_dir)
    main(load("report", ReportConfig, ["--run_dir", str(run_dir), *arguments]))
    return run_dir / "eval" / "report.html"


def seal(run_dir: Path) -> None:
    """What eval.score says of the files that it wrote."""
    folder = run_dir / "eval"
    outputs = [folder / "scores.parquet", folder / "metrics.json"]
    Manifest(folder / "score.manifest.json", "score", {}, score_inputs(run_dir), outputs).write()


def invented_words(random: random.Random, count: int) -> list[str]:
    # From a vocabulary of a card's size, so that it packs about as a card does.
    vocabulary = ["".join(random.choices(SYLLABLES, k=random.randint(1, 4))) for _ in range(3000)]
    return [vocabulary[min(int(random.paretovariate(0.3)), 2999)] for _ in range(count)]


def make_scored_run(
    run_dir: Path,
    systems: tuple[str, ...] = ("base", "sft", "aligned"),
    cards: int = 12,
    samples: int = 1,
    source_words: int = 200,
) -> dict[str, Any]:
    """Writes heldout.jsonl, scores.parquet and metrics.json; returns the last. Summaries are `source_words` / 12 words."""
    random_ = random.Random(7)
    words = invented_words(random_, source_words * 20)
    heldout, rows = [], []
    for number in range(cards):
        start = random_.randrange(len(words) - source_words)
        source = f"Model: quillon/Card-{number}\n\n" + " ".join(words[start : start + source_words])
        reference = " ".join(words[start : start + source_words // 12])
        heldout.append(HeldOut(stable_id("card", str(number)), [], source, reference, f"family{number % 5}"))
        for place, system in enumerate(systems):
            takes = [("greedy", 0)] + [("sampled", sample) for sample in range(samples if samples > 1 else 0)]
            rows += [invented_row(random_, heldout[-1], system, place, take, words) for take in takes]
    write_jsonl(run_dir / "data" / "heldout.jsonl", heldout)
    metrics = invented_metrics(random_, systems, heldout, sampled=samples > 1)
    write_json(run_dir / "eval" / "metrics.json", metrics)
    numbers = {name: pa.float64() for name in NAMES}
    text = ("id", "system", "family", "decoding", "key", "finish_reason", "text", "thinking", "checks", "spans", "slices")
    schema = pa.schema({**{name: pa.string() for name in text}, "sample": pa.int64(), **numbers})
    pq.write_table(pa.Table.from_pylist(rows, schema), run_dir / "eval" / "scores.parquet")
    seal(run_dir)
    return metrics


def invented_row(
    random: random.Random, card: HeldOut, system: str, place: int, take: tuple[str, int], words: list[str]
) -> dict[str, Any]:
    good = random.random() < 0.2 + 0.25 * place
    count = len(card.source.split()) // 12
    start = random.randrange(len(words) - count)
    text = "## Ünders \U0001f680\n\n- " + " ".join(words[start : start + count]) + ". Score 98.7."
    at = text.index("98.7")
    fault = {"start": at, "end": at + 4, "label": "number not in the sources: 98.7"}
    checks = [
        {"name": name, "passed": good or name != "numbers", "reason": "" if good else "1 number", "value": None,
         "spans": [fault] if name == "numbers" and not good else []}
        for name in CHECKS
    ]  # fmt: skip
    values = {name: random.random() for name in NAMES} | {f"{check}_pass": 1.0 for check in CHECKS}
    values |= {
        "all_pass": float(good),
        "numbers_pass": float(good),
        "words": float(random.randint(200, 560)),
        "density": 10 ** random.uniform(-0.3, 2),
    }
    spans = [{"start": 0, "end": 10, "label": "no part of the source supports this", "measure": "support"}]
    return {
        "id": card.id, "system": system, "family": card.family, "decoding": take[0], "sample": take[1],
        "key": stable_id(system, card.id, *map(str, take)), "finish_reason": "stop", "text": text, "thinking": "",
        "checks": json.dumps(checks), "spans": json.dumps(spans),
        "slices": json.dumps({"length": "long" if int(card.family[-1]) % 2 else "short"}), **values,
    }  # fmt: skip


def cell(random: random.Random, n: int, families: int, scale: float = 1.0) -> dict[str, Any]:
    mean = random.random()
    return {
        "mean": mean * scale,
        "ci95": [max(0, mean - 0.1) * scale, min(1, mean + 0.1) * scale],
        "n": n,
        "families": families,
    }


def invented_metrics(random: random.Random, systems: tuple[str, ...], heldout: list[HeldOut], sampled: bool) -> dict[str, Any]:
    n, families = len(heldout), len({card.family for card in heldout})
    scale = {metric["name"]: 1.0 if metric["unit"] == "share" else 400.0 for metric in METRICS}

    def measured(seeds: bool) -> dict[str, Any]:
        sd = {"seed_sd": 0.012} if seeds else {}
        return {system: {name: cell(random, n, families, scale[name]) | sd for name in NAMES} for system in systems}

    comparisons = []
    for a, b in pairwise(systems):
        for metric in METRICS:
            difference = random.uniform(-0.3, 0.4)
            row = {"a": a, "b": b, "metric": metric["name"], "difference": difference, "ci95": [difference - 0.1, difference + 0.1],
                   "p": 0.012, "detectable": 0.13, "n": n, "families": families}  # fmt: skip
            comparisons.append(row | ({"p_holm": 0.024, "mcnemar_p": 0.031} if metric["headline"] else {}))
    declared = [metric["name"] for metric in METRICS if metric["headline"]]
    verdicts = {"judge": "judge-70b", "metric": "overall", "b_wins": 7, "ties": 2, "a_wins": 3, "win_rate": 0.67, "ci95": [0.4, 0.88], "p": 0.21,
                "n": n, "families": families, "positional_consistency": 0.83, "unparsed": 1}  # fmt: skip
    return {
        "cards": n,
        "families": families,
        "decoding": "sampled" if sampled else "greedy",
        "metrics": [dict(metric) for metric in METRICS],
        "systems": measured(sampled),
        "greedy": measured(False) if sampled else None,
        "missing": {system: 0 for system in systems},
        "comparisons": comparisons,
        "claims": [f"{systems[-1]} is above {systems[0]} in “pages without a flag” by 31.0 points [20.1, 41.9]."],
        "slices": {"length": {value: {s: {m: cell(random, n // 2, 3) for m in declared} for s in systems} for value in ("long", "short")}},
        "probes": {kind: {s: {"follows": cell(random, 8, 4)} for s in systems} for kind in ("counterfactual", "injected")},
        "probe_metrics": [{"name": "follows", "label": "follows the changed source", "better": "higher"}],
        "measures": {
            "judge": {"printed": True, "notes": ["The judge is of another family than the systems."], "systems": {},
                      "preferences": [{"a": systems[0], "b": systems[-1], **verdicts, "length_matched": {**verdicts, "n": 6}}]},
            "support": {"printed": True, "notes": ["Rates under this checker."],
                        "systems": {s: {"corrected": {"mean": 0.8, "ci95": [0.7, 0.9], "n": n}} for s in systems}},
            "entailment": {"printed": False, "reason": "found 6 of 10 planted faults, 9 are needed", "notes": [], "systems": {}},
        },
        "bootstrap": {"samples": 1000, "seed": 0, "resampled": "families"},
        "versions": {"pyarrow": pa.__version__},
        "prompts": "0" * 64,
    }  # fmt: skip
