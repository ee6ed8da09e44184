"""How the figures that rest on the checks are called, and what each says and does not say.

Tables, pages, cards and verdicts take name and sentence from here; documents repeat them and a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.checks import CHECKS

MEASURED = "the project's eval/checks.md"
_RESERVE = f"page without a flag need not be true, and a flagged one need not be wrong (how often: {MEASURED})."
NO_FLAG = f"A {_RESERVE}"


LOOKED_FOR = {
    "length": "300 to 500 rendered words",
    "structure": "a heading, four bullets, plain Markdown that closes what it opens",
    "preamble": "no chat around the page",
    "repetition": "nothing said twice",
    "praise": "no superlative that the source does not use",
    "copying": "no paragraph lifted from the source",
    "language": "English, no broken characters",
    "links": "only addresses that the source has, and at least one where it has any",
    "numbers": "only numbers that stand in the source or follow from it",
    "names": "only models, data sets, people and tools that the source names",
    "facts": "half of the key facts that the source states",
    "contradiction": "no licence, size or score other than the source's, nothing denied that it gives",
}


@dataclass(frozen=True)
class Meaning:
    """`name` fits a table's head; `sentence` says what the figure is and what it is not."""

    name: str
    sentence: str


MEANINGS = {
    "all_pass": Meaning("pages without a flag", f"Share of pages that no check flags, form included; a {_RESERVE}"),
    **{
        f"{check}_pass": Meaning(
            f"no flag: {check}",
            f'Share of pages that the check "{check}" does not flag; what it misses and what it flags wrongly: {MEASURED}.',
        )
        for check in CHECKS
    },
    "fact_recall": Meaning(
        "key facts the page has",
        "Share of licence, base model, sizes, data sets, languages, benchmarks and a few more, where a program finds them in the "
        "source, that it finds on the page too; nothing else is looked for or judged.",
    ),
    "numbers_grounded": Meaning(
        "numbers the source has",
        "Share of a page's numbers that stand in the source or follow from it; one beside the wrong thing may count too.",
    ),
    "links_grounded": Meaning(
        "links the source has",
        "Share of a page's link addresses that the source has; what the page says of them is not judged.",
    ),
    "names_grounded": Meaning(
        "names the source has",
        "Share of a page's names of models, data sets and the like that the source has; what the page says of them is not judged.",
    ),
    "grounded": Meaning(
        "every link, number and name on page",
        "Share of notes whose links, numbers and names all stand on the page that they are about; what they say of them is not judged.",
    ),
}


def meanings(metrics: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What stands under a table of the headline metrics of metrics.json: name and sentence of each that rests on checks."""
    for metric in metrics:
        if metric["headline"] and (sentence := sentence_of(metric["name"])):
            yield f"{metric['label']}: {sentence}"


def sentence_of(name: str) -> str:
    """Empty for a metric that no check has to do with."""
    return MEANINGS[name].sentence if name in MEANINGS else ""
