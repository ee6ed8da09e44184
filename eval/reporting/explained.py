"""Figures of any summaries with what each says, for a reader who does not know them: as Markdown, and on the screen."""

from __future__ import annotations

from collections.abc import Iterator

from data_prep.checks.meaning import LOOKED_FOR, MEASURED, sentence_of
from data_prep.core.text import plural
from eval.reporting.console import measured_cell, print_table
from eval.reporting.markdown import markdown_cell, plain_table
from eval.stats.records import MetricRecord, Scores

WORDS = "Words of a page as rendered; 300 to 500 are asked for."
PASSED = "_pass"
OF_CHECKS = f"Share of pages that each check does not flag; what it misses and what it flags wrongly: {MEASURED}."


def explained(scores: Scores) -> Iterator[tuple[MetricRecord, str]]:
    """The measures that rest on checks, each with what it says; the single checks are `checks_table`'s."""
    for metric in scores["metrics"]:
        of_one_check = metric["name"].endswith(PASSED) and metric["name"] != "all_pass"
        said = WORDS if metric["name"] == "words" else sentence_of(metric["name"])
        if said and not of_one_check:
            yield metric, said


def explained_table(scores: Scores) -> str:
    """A row for each measure with every system's mean [95% interval] (n cards), and what it says."""
    rows = [[metric["label"], *_cells(scores, metric), said] for metric, said in explained(scores)]
    return plain_table(["shares in percent", *scores["systems"], "what it says"], rows, len(scores["systems"]) + 2)


def checks_table(scores: Scores) -> str:
    """A row for each check with what it looks for, and below what its figure says."""
    checks = [metric for metric in scores["metrics"] if metric["name"].endswith(PASSED) and metric["name"] != "all_pass"]
    names = {metric["name"]: metric["name"].removesuffix(PASSED) for metric in checks}
    rows = [[names[metric["name"]], *_cells(scores, metric), LOOKED_FOR[names[metric["name"]]]] for metric in checks]
    head = ["check", *scores["systems"], "what it looks for"]
    return f"{plain_table(head, rows, len(head))}\n\n{OF_CHECKS}"


def print_explained(scores: Scores) -> None:
    on = f"{plural(scores['cards'], 'card')} of {plural(scores['families'], 'family', 'families')}"
    rows = [
        [metric["label"], *(measured_cell(found[metric["name"]], metric["unit"]) for found in scores["systems"].values())]
        for metric, _ in explained(scores)
    ]
    said = [f"{metric['label']}: {sentence}" for metric, sentence in explained(scores)]
    print_table(f"{on}: mean [95% interval], n; shares in percent", ["", *scores["systems"]], rows, said)


def _cells(scores: Scores, metric: MetricRecord) -> list[str]:
    return [markdown_cell(found[metric["name"]], metric["unit"]) for found in scores["systems"].values()]
