"""A sample without what the checks mark: items of lists and addresses of links go, else lines."""

from __future__ import annotations

import re

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
        ("See [the paper](https://ban.example) by bon.", ["https://ban.example"], "See the paper by bon."),
        ('See [the paper](<https://ban.example> "Ban") by bon.', ["https://ban.example"], "See the paper by bon."),
        (
            "See [a](https://ban.example) and [b](https://bon.example).",
            ["https://ban.example", "https://bon.example"],
            "See a and b.",
        ),
        ("See [the ban](https://ban.example).", ["ban", "https://ban.example"], ""),
        ("See [https://ban.example](https://ban.example).", ["(https://ban.example"], ""),
        ("![Logo](https://ban.example/x.png) by bon.", ["https://ban.example/x.png"], "Logo by bon."),
        ("See <https://ban.example>.", ["https://ban.example"], ""),
    ],
)
def test_of_a_list_the_item_goes_of_a_link_its_address_of_anything_else_the_line(line: str, marked: list[str], left: str):
    sample = f"# Orvan\n\n{line}\nAll the rest."
    assert pruned(sample, marking(sample, *marked)) == f"# Orvan\n\n{left}\nAll the rest.".replace("\n\n\n", "\n\n")


@pytest.mark.parametrize(
    ("sample", "left"),
    [
        ("# A\n\n## B\n\n- ban\n\n## C\n\n- bon", "# A\n\n## C\n\n- bon"),
        ("# A\n\n## B\n\n### C\n- ban\n\n## D\n\n- bon", "# A\n\n## D\n\n- bon"),
        ("# A\n\n## B\n\n### C\n- ban\n### D\n- bon", "# A\n\n## B\n\n### D\n- bon"),
        ("# A\n\n## B\n\n- ban\n- bon\n\n## C", "# A\n\n## B\n\n- bon\n\n## C"),  # nothing stood there before
        ("# A\n\nbon\n\n## B\n\n- ban", "# A\n\nbon"),
    ],
)
def test_a_heading_goes_with_the_last_of_what_stood_below_it(sample: str, left: str):
    assert re.sub(r"\n{2,}", "\n\n", pruned(sample, marking(sample, "ban"))) == left


def test_a_page_that_was_cut_loses_the_line_and_a_heading_that_has_nothing_else():
    assert pruned("# A\n\n- bon\n- ben and", marking(""), cut=True) == "# A\n\n- bon"
    assert pruned("# A\n\n- bon\n\n## B\n\n- ben and", marking(""), cut=True) == "# A\n\n- bon"


def test_of_a_mark_of_several_lines_all_go():
    sample = "# A\n\n- It is small.\n\n## More\n\n- On and on.\n- Still.\n\n## End\n\nSo.\n"
    left = pruned(sample, marking(sample, "- On and on.\n- Still.\n"))
    assert left.split() == "# A - It is small. ## End So.".split()
