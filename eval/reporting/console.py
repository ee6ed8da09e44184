"""Tables on the screen. Names in them are the users', and markup in a name stays text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_prep.core.text import bracketed, figure
from eval.stats.records import Figure


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Iterable[str]],
    remarks: Iterable[str] = (),
    texts: int = 1,
    width: int = 120,
) -> None:
    """The table with its remarks below; columns after the first `texts` hold figures and stand right. `width`: of a file or
    a pipe, which has none of its own."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=width)
    table = Table(title=escape(title))
    for place, name in enumerate(columns):
        table.add_column(escape(name), justify="left" if place < texts else "right")
    for cells in rows:
        table.add_row(*map(escape, cells))
    console.print(table)
    for line in remarks:
        console.print(escape(line), highlight=False)


def measured_cell(measured: Figure, unit: str) -> str:
    """Mean, interval and number of cards on three lines."""
    if measured["mean"] is None:
        return "not measured"
    interval = bracketed(measured["ci95"], unit, figure, ".1f").lstrip() or "no interval"
    return f"{figure(measured['mean'], unit, '.1f')}\n{interval}\nn={measured['n']}"
