"""A sample without what the checks mark: items of lists go, else lines."""

from __future__ import annotations

import pytest
from marked import marking

from data_prep.candidates.pruned import pruned


@pytest.mark.parametrize(
    ("line", "marked", "left"),
    [
        ("- **Languages**: ban, bon, ben and bin.", ["ben"], "- **Languages**: ban, bon and bin."),
        ("- **Languages**: ban, bon, ben and bin.", ["bin"], "- **Languages**: ban, bon and ben."),
        ("- **Languages**: ban, bon, ben and bin.", ["bin", "ben"], "- **Languages**: ban and bon."),
        ("- **Languages**: ban, bon, ben and bin, all alike.", ["bin", "ben"], "- **Languages**: ban and bon, all alike."),
        ("- **Languages**: ban, bon and bin.", ["bon", "bin"], "- **Languages**: ban."),
        ("- **Languages**: ban, bon, bon, and bon.", ["bon"], "- **Languages**: ban."),
        ("- **Languages**: ban, bon.", ["ban"], "- **Languages**: bon."),
        ("- **Languages**: ban; and more.", ["ban"], ""),
        ("- **Languages**: ban.", ["ban"], ""),
        ("It speaks ban of old, bon and ben.", ["ban"], ""),
        ("It speaks ban and bon.", [], "It speaks ban and bon."),
    ],
)
def test_of_a_list_the_item_goes_of_anything_else_the_line(line: str, marked: list[str], left: str):
    sample = f"# Orvan\n\n{line}\nAll the rest."
    assert pruned(sample, marking(sample, *marked)) == f"# Orvan\n\n{left}\nAll the rest.".replace("\n\n\n", "\n\n")
