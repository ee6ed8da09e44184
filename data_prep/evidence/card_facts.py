"""What a card states about its model, each fact and each benchmark score with the line that states it: to set cards side by side.

Only what a program finds, by the readers of the checks: what is missing here may well stand in the card's prose. Of tables with
the scores of several models those under its whole name are taken; of others the column called "Score" or the like, where it can be of no other model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from data_prep.cards.front_matter import split_front_matter
from data_prep.checks.facts import benchmarks_in, facts_of
from data_prep.checks.names.grounding import compact, names_in
from data_prep.checks.tables.source import Label, Table, tables_of
from data_prep.core.text import markdown_table
from data_prep.evidence.left_out import place_of

# Heads of a column of scores that name no model; its neighbours count examples, errors and versions.
SCORE_HEADS = frozenset("score scores value result results accuracy acc em f1 pass1 performance thismodel ours".split())
# Words with a capital that stand beside a benchmark's name and name no model.
OF_SCORES = SCORE_HEADS | set(
    "average avg mean pass exact match test val validation dev strict prompt shot shots stem macro".split()
)
CAPITAL = re.compile(r"[A-Z][A-Za-z]+")
LONGEST = 120  # characters of a cell's words
MOST_SCORES = 300  # of one card; looking for the line of each takes time
# Facts as a comparison names and orders them; benchmarks are told by their scores.
NAMES = {"licence": "licence", "base_model": "base model", "task": "task", "library": "library", "parameters": "parameters",
         "context": "context", "tokens": "training tokens", "languages": "languages", "datasets": "data sets"}  # fmt: skip
NOTHING = "–"


@dataclass(frozen=True)
class Stated:
    """`text` as the card has it, and the line that states it, from 1; None where no line does alone."""

    name: str
    text: str
    line: int | None


@dataclass(frozen=True)
class CardFacts:
    """`facts` by name ("licence", "base model", "parameters", ...), `scores` by benchmark, in the card's order."""

    model_id: str
    facts: dict[str, Stated]
    scores: dict[str, list[Stated]]


def card_facts(model_id: str, card: str) -> CardFacts:
    """Of a README as found, front matter included. Never raises, whatever the text."""
    card, facts = card.replace("\r\n", "\n").replace("\r", "\n"), {}
    known = facts_of(card)
    for key, name in NAMES.items():
        if key in known:
            place = place_of(known[key], card)
            facts[name] = Stated(name, known[key].display, _line_at(card, place.start) if place else None)
    scores: dict[str, list[Stated]] = {}
    for score in islice(_scores(model_id, card), MOST_SCORES):
        found = scores.setdefault(compact(score.name), [])
        if score.text not in [one.text for one in found]:
            found.append(score)
    return CardFacts(model_id, facts, {found[0].name: found for found in scores.values()})


def comparison_table(cards: Sequence[CardFacts], address: Sequence[str], more: Sequence[tuple[str, Sequence[str]]] = ()) -> str:
    """Markdown: a row for each fact and benchmark that any of the `cards` has, a column for each card. `address` of a card is where its
    cells link to, with {line} for the line's number; "" makes none. `more`: further rows, a name with a cell of Markdown for each card."""
    rows = [[name, *cells] for name, cells in more]
    for name in (name for name in NAMES.values() if any(name in card.facts for card in cards)):
        cells = ([card.facts[name]] if name in card.facts else [] for card in cards)
        rows.append([name, *_cells(cells, address)])
    names = {compact(name): _plain(name) for card in reversed(cards) for name in card.scores}  # as the first card writes them
    by_key = [{compact(name): found for name, found in card.scores.items()} for card in cards]
    for key in dict.fromkeys(compact(name) for card in cards for name in card.scores):
        rows.append([f"score: {names[key]}", *_cells((found.get(key, []) for found in by_key), address)])
    return markdown_table(["", *(_plain(card.model_id) for card in cards)], rows)


def _cells(columns: Iterable[list[Stated]], address: Sequence[str]) -> list[str]:
    return [", ".join(_linked(one, where) for one in found) or NOTHING for found, where in zip(columns, address, strict=True)]


def _linked(one: Stated, address: str) -> str:
    text = _plain(one.text)
    return f"[{text}]({address.replace('{line}', str(one.line))})" if address and one.line else text


def _plain(text: str) -> str:
    """A card's words as text of one line, at most `LONGEST` characters of it."""
    flat = " ".join(text.split())
    return plain(flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 3]}...")


def plain(text: str) -> str:
    """Others' words as Markdown that says no more than they do: they may neither end a link nor bring markup of their own."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>&" else sign for sign in text)


# --- scores -----------------------------------------------------------------------------------------------------------


def _scores(model_id: str, card: str) -> Iterator[Stated]:
    """Those of front matter are the model's own by their form."""
    front = split_front_matter(card)
    lines = card.split("\n")
    own = compact(model_id.rpartition("/")[2])
    for table in tables_of(front.body).tables:
        for side in (table, table.turned):
            yield from _own_scores(side, own, lines)
    for table in tables_of(card[: front.end]).tables:
        yield from _scores_at(table, range(len(table.labels[1])), lines)


def _own_scores(table: Table, own: str, lines: Sequence[str]) -> Iterator[Stated]:
    """Of a table whose rows are benchmarks: the columns with the model's whole name; else the one column of scores, and of its rows
    those that can be of no other model."""
    names = Counter(_benchmark(label) for label in table.labels[0])
    columns = sorted({column for row, column in table.values if _benchmark(table.labels[0][row])})
    if named := [column for column in columns if own in table.labels[1][column].forms]:
        yield from _scores_at(table, named, lines)
        return
    heads = [table.labels[1][column] for column in columns]
    scored = [column for column, head in zip(columns, heads, strict=True) if not head.text or head.forms & SCORE_HEADS]
    sure = [row for row, label in enumerate(table.labels[0]) if own in label.forms or _is_of_no_other(label, names)]
    yield from _scores_at(table, scored[:1], lines, sure)


def _is_of_no_other(label: Label, names: Counter[str]) -> bool:
    """Nothing beside the benchmark could be a model: no name by its shape, no word with a capital but those of scores."""
    name = _benchmark(label)
    rest = label.text.replace(name, " ")
    capitals = {word.lower() for word in CAPITAL.findall(rest)}
    return names[name] == 1 and capitals <= OF_SCORES and not any(names_in(rest))


def _benchmark(label: Label) -> str:
    """Of "Foo-3B MMLU", too, which is read as one name from its first word on."""
    words = label.text.split()
    return next((name for start in range(len(words)) for name in benchmarks_in(" ".join(words[start:]))), "")


def _scores_at(
    table: Table, columns: Sequence[int], lines: Sequence[str], rows: Sequence[int] | None = None
) -> Iterator[Stated]:
    """`rows`: None stands for all."""
    for row in range(len(table.labels[0])) if rows is None else rows:
        label = table.labels[0][row]
        name = _benchmark(label)
        for column in columns if name else ():
            if text := table.texts.get((row, column)):
                yield Stated(name, text, _line_of(text, (label.text, table.labels[1][column].text), lines))


def _line_of(text: str, labels: tuple[str, str], lines: Sequence[str]) -> int | None:
    """The first line with the figure and a label of its row or column; else, as in front matter, the first below the row's label."""
    figure = re.compile(rf"(?<![\d.]){re.escape(text)}(?!\.?\d)")
    having = [number for number, line in enumerate(lines, 1) if text in line and figure.search(line)]
    for key in filter(None, map(compact, labels)):
        if found := next((number for number in having if key in compact(lines[number - 1])), None):
            return found
    key = compact(labels[0])
    label = next((number for number, line in enumerate(lines, 1) if key in compact(line)), len(lines))
    return next((number for number in having if number > label), None)


def _line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
