"""How counts, figures, errors and tables are spelled, in messages, cards and reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any


def plural(count: int, noun: str, several: str = "") -> str:
    """As "1 card", "2 cards", "1,000 cards"; `several` where an s does not make the plural."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def count_words(counts: Mapping[str, int]) -> str:
    """Counts by their names, as a stage's last line says them: "3 train rows, 1 candidates"."""
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())


def first_line(error: Exception, limit: int | None = None) -> str:
    """What went wrong, in at most `limit` characters; the kind of error where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:limit]


def figure(value: float | None, unit: str, form: str = "") -> str:
    """A share in percent with one digit; others by `form`, or else whole from 10 on, where a tenth says nothing."""
    if value is None:
        return "–"
    if unit == "share":
        return f"{value * 100:.1f}"
    return f"{value:{form or ('.1f' if abs(value) < 10 else '.0f')}}"


def signed(value: float | None, unit: str, form: str = "", plus: str = "+") -> str:
    """The same with a true minus and a plus; a zero has no sign."""
    text = figure(value, unit, form)
    if value is None or float(text) == 0:
        return text.lstrip("-")
    return text.replace("-", "−") if value < 0 else plus + text


def bracketed(ci95: Sequence[float] | None, unit: str, spell: Callable[[float | None, str, str], str], form: str = "") -> str:
    """An interval as it stands behind its figure; nothing where there is none."""
    return f" [{spell(ci95[0], unit, form)}, {spell(ci95[1], unit, form)}]" if ci95 else ""


def probability(p: float | None) -> str:
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def markdown_table(head: Iterable[Any], rows: Iterable[Iterable[Any]], texts: int | None = None) -> str:
    """Columns after the first `texts` hold figures and stand right; None: all stand left.

    Cells come from cards and reasons, so a pipe or a line end in one must not break the table.
    """
    names, *lines = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in [head, *rows]]
    rule = ["---" if texts is None or place < texts else "---:" for place in range(len(names))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [names, rule, *lines])
