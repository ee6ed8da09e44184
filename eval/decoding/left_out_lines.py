"""What a page has left out of the front matter, in lines of its own: written for a model that has nothing new to say."""

from __future__ import annotations

import re

from data_prep.checks.facts import LANGUAGE_NAMES, Fact
from data_prep.checks.source_index import SourceIndex
from data_prep.evidence.left_out import missing_facts

LABELS = {
    "licence": "Licence",
    "base_model": "Base model",
    "languages": "Languages",
    "datasets": "Data sets",
    "library": "Library",
    "task": "Task",
}
MOST_VALUES = 6  # of a list
# Others' words, which may be markup or control tokens: anything but a name is not written.
_NAME = re.compile(r"\w[\w .+/-]{0,99}")


def left_out_lines(page: str, known: SourceIndex) -> list[str]:
    """A bullet for each such fact; none where the page has them all. A licence that the text names somewhere may be another thing's."""
    named = [(LABELS[fact.name], _names(fact)) for fact in missing_facts(page, known) if fact.name in LABELS]
    return [f"- {label}: {_listed(names)}" for label, names in named if names and all(map(_NAME.fullmatch, names))]


def _names(fact: Fact) -> list[str]:
    if fact.name == "languages":  # a code that has no name may be none: "unk"
        return [str(value) for value in fact.values if value in LANGUAGE_NAMES.values()]
    if fact.name == "licence" and not fact.is_declared:
        return []
    return [fact.display] if len(fact.values) == 1 else [str(value) for value in fact.values]


def _listed(values: list[str]) -> str:
    return ", ".join(values[:MOST_VALUES]) + (" and others" if len(values) > MOST_VALUES else "")
