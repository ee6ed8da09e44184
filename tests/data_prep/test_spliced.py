"""Lines of the reference in place of those that a check marks."""

from __future__ import annotations

import re

import pytest
from marked import marking

from data_prep.candidates.spliced import aligned, spliced
from data_prep.checks import check_summary
from data_prep.prompts.student import source_text
from data_prep.synthetic.world import raw_cards

REFERENCE = """# Orvan

Orvan reads letters.

## Results

- **Mallow**: a score of 71.4.
- **Sedge**: the card reports 52.9.

## Limits

- **Licence**: mit.
"""


@pytest.mark.parametrize(
    ("line", "word", "instead"),
    [
        ("- **Mallow**: a score of 70.4.", "70.4", "- **Mallow**: a score of 71.4."),
        ("- **Sedge**: the score is 50.", "50", "- **Sedge**: the card reports 52.9."),
        ("Orvan reads 9 letters.", "9", "Orvan reads letters."),
        ("| Mallow | 70.4 |", "70.4", ""),  # the reference has no table
    ],
)
def test_a_marked_line_gives_way_to_the_line_that_shares_its_words(line: str, word: str, instead: str):
    sample = f"# Orvan: a page\n\n{line}\n\nThe end of it."
    assert spliced(sample, marking(sample, word), REFERENCE) == sample.replace(line + "\n" * (not instead), instead)


def test_what_no_check_marks_stays_as_it_is():
    sample = REFERENCE.replace("letters", "papers").replace("mit", "gpl")
    assert spliced(sample, marking(sample), REFERENCE) == sample.strip()


@pytest.mark.parametrize(
    ("lines", "others", "beside"),
    [
        (["## A b", "- one two", "- three", "- one two"], ["## A c", "- one two", "- five", "- one two four"], [0, 1, None, 3]),
        (["- a b", "- c d", "- e"], ["- c d", "- a b", "- e"], [1, None, 2]),
        (["- a b c", "a b c"], ["a b c"], [None, 0]),  # a bullet is no paragraph
        (["- a b c"], ["- a " + " ".join(f"w{number}" for number in range(40))], [None]),  # one word of many
        (["- a"], [], [None]),
        ([], ["- a"], []),
    ],
)
def test_lines_are_set_side_by_side_in_order_and_each_once(lines: list[str], others: list[str], beside: list[int | None]):
    assert aligned(lines, others) == beside


@pytest.mark.parametrize("number", range(4))
def test_a_faulty_sample_of_the_invented_world_becomes_a_true_one(number: int):
    raw = list(raw_cards(4, 6))[number]
    source, good = source_text(raw.model_id, raw.content, raw.notes), raw.summaries[0]
    wrong = re.sub(r"(the card reports|a score of) \d\d\.\d", r"\1 11.1", good, count=1)
    results = check_summary(wrong, source)
    assert not all(result.passed for result in results)
    assert spliced(wrong, results, good) == good.strip()
