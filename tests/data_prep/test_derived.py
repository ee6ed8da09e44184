"""Numbers that follow from a source: counts and arithmetic that pass, and beside each the near miss that does not."""

from __future__ import annotations

import time

import pytest

from data_prep.checks import CheckResult, check_summary
from data_prep.checks.derived.together import Together

CARD = """---
license: apache-2.0
widget:
- text: Where does the ferry go?
- text: Who built the mill?
- text: When does it rain?
- text: What is a weir?
- text: Which tide is low?
- text: How far is the quay?
---
# Orvan-Base

Orvan reads Quorvish, Deltic, Umbrian, Selkic and Tarnish.

## Released models

- [orvan-tiny](https://example.org/orvan-tiny): trained on a laptop
- [orvan-small](https://example.org/orvan-small): trained on a desktop
- [orvan-medium](https://example.org/orvan-medium): trained on a server
- [orvan-large](https://example.org/orvan-large): trained on a cluster
- [orvan-huge](https://example.org/orvan-huge): trained in a hall
- [orvan-vast](https://example.org/orvan-vast): trained in a valley
- [orvan-grand](https://example.org/orvan-grand): trained on a hill

## Evaluation

| Model | Marrow | Tessel | Ovine | Average |
|---|---|---|---|---|
| orvan-base | 71.4 | 52.9 | 63.8 | 62.7 |
| orvan-lean | 68.1 | 55.6 | 61.2 | 61.6 |
| Calder-2 | 64.9 | 50.3 | 66.1 | 60.4 |
| Wisp | 59.2 | 47.7 | 58.5 | 55.1 |
| Tarn | 40.6 | 31.9 | 37.4 | 36.6 |
| Rill | 33.1 | 30.2 | 35.5 | 32.9 |
| Fenn | 22.7 | 21.1 | 23.3 | 22.4 |
| Loam | 11.9 | 12.8 | 13.6 | 12.8 |

## Data

The corpus has 48,200 letters with 1,205,000 sentences. It was split into 38,560 letters for training and 9,640 for tests.

Per class, the F1 is:

place: 0.81

person: 0.77

vessel: 0.69

season: 0.58

weather: 0.52

trade: 0.47

## Citation

```bibtex
@article{orvan,
  author = {Ada Moor and Ben Tarn and Cy Weir and Di Holm and Ed Rill and Flo Beck and Gus Fenn and Hal Dale and Ivy Lund},
  title = {Orvan}
}
```

Model: zelkis/Orvan-Base
"""


def numbers(text: str, source: str = CARD) -> CheckResult:
    return next(found for found in check_summary(text, source) if found.name == "numbers")


def is_borne_out(text: str, source: str = CARD) -> bool:
    found = numbers(text, source)
    return found.passed and not found.remarks


COUNTS = [
    ("Seven models are released.", "Nine languages are released.", "items of a list"),
    ("The table compares eight models.", "The table compares nine models.", "rows of a table"),
    ("The card has six widget sentences.", "The card has nine widget sentences.", "items of a list"),
    ("F1 is given for six classes.", "F1 is given for nine classes.", "lines of one kind"),
    ("The paper has nine authors.", "The paper has twelve authors.", "authors"),
    ("It is by Ada Moor and eight co-authors.", "It is by Ada Moor and eleven co-authors.", "authors"),
    (
        "It was made to read five languages: Quorvish, Deltic, Umbrian, Selkic and Tarnish.",
        "It has nine languages.",
        "items that",
    ),
    ("Five of the eight models stay below 60.", "Nine of the eight models stay below 60.", "part of eight"),
]


@pytest.mark.parametrize(("right", "wrong", "kind"), COUNTS)
def test_a_count_of_what_stands_together_is_derived_and_another_is_not(right, wrong, kind):
    found = numbers(right)
    assert found.passed, found.reason
    assert [one.operation for one in found.derived] == ["count"] * len(found.derived)
    assert kind in found.derived[0].places
    assert not is_borne_out(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "It ran for seven epochs.",  # measured, not counted, though a list has seven items
        "It ran on seven GPUs.",
        "It took seven days.",
        "It is a seven-stage method.",
        "It has seven layers.",
        "It gained seven points.",
        "The lead is sevenfold, or 7 tokens.",
        "It costs 7 dollars.",
    ],
)
def test_what_is_measured_is_no_count(text):
    assert not is_borne_out(text)


def test_a_list_of_another_length_in_the_summary_takes_the_count_back():
    below = "Four things are planned:\n\n- a ferry\n- a mill\n- a quay\n"
    assert not is_borne_out(below)
    assert not is_borne_out("Four things are planned: a ferry, a mill and a quay.")
    assert is_borne_out("Three things are planned:\n\n- a ferry\n- a mill\n- a quay\n")


def listed(count: int) -> str:
    names = [f"{first}{second}n" for first in "bdfgk" for second in "aeiou"]
    return "# Orvan\n\n## Files\n\n" + "".join(f"- {name}\n" for name in names[:count]) + "\nModel: a/b"


@pytest.mark.parametrize(
    ("said", "source", "passed"),
    [
        # Under the name that the source has for them, in digits or in words, up to what is counted at sight.
        ("It has 7 files.", listed(7), True),
        ("It has 20 files.", listed(20), True),
        ("It has 21 files.", listed(21), False),
        ("It has seven long and thin files.", listed(7), True),
        ("It has seven mice and files.", listed(7), True),
        ("It has seven mice and file.", listed(7), False),
        ("It has 7 GB files.", listed(7), False),
        ("It has $7 files.", listed(7), False),
        ("It has +7 files.", listed(7), False),
        ("It has 007 files.", listed(7), False),
        ("It has 1 of the seven files.", listed(7), False),
        # Under another name where the line speaks of two of them, few, and in words.
        ("From ban to ben it has seven gizmos.", listed(7), True),
        ("From ban on it has seven models.", listed(7), False),
        ("From ban to ben it has 7 gizmos.", listed(7), False),
        ("From ban to ben it has twelve gizmos.", listed(12), False),
        ("From ban to ben it ran for seven epochs.", listed(7), False),
        ("It has seven models, ban, ben and bin.", listed(7), False),
        ("From evaluation to citation it has four models.", CARD, False),  # headings are counted as headings alone
        ("The list has seven.", listed(7), True),
        ("The list has eight.", listed(7), False),
        ("The list has seven models.", listed(7), False),
        # The number of a stage needs a list that is so long.
        ("It ends at step three.", listed(7), True),
        ("It ends at step eight.", listed(7), False),
        ("It is a seven-stage method.", listed(7).replace("Files", "Stages"), False),
        ("It has seven stages.", listed(7).replace("Files", "Stages"), True),
    ],
)
def test_a_count_needs_the_name_or_a_line_that_speaks_of_what_is_counted(said, source, passed):
    assert is_borne_out(said, source) is passed


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        ("Seven files are there:\n\n- ban\n- ben\n", False),  # the source has seven, the summary counts two
        ("Seven files are there:\n\n- ban and ben\n- the others\n", True),
        ("## Seven files\n\n- ban\n- ben\n", False),
        ("Three things: ban, or so; ben; bin, too.", True),
        ("Three things: ban, or so; ben.", False),
        ("Three things (ban, ben, bin).", True),
        ("Three things: ban, ben, bin.", True),
        ("Three models, ban, ben, bin.", False),  # whose the commas are is not plain
        ("Three models: ban, zeppelin and dirigible.", False),
        ("Three models, such as ban, ben and bin.", False),
        ("Three things:\n\n| Name | Use |\n|---|---|\n| ban | x |\n| ben | x |\n| bin | x |\n", True),
        ("Two things:\n\n- ban\n  - bon\n- ben\n", True),
        ("Three things:\n\n- ban\n  - bon\n- ben\n", False),
        ("Three things:\n\n- ban\n- ben\n\nThe rest follows.\n\n- bin\n", False),
    ],
)
def test_what_the_summary_lists_itself_is_counted(said, passed):
    assert is_borne_out(said, listed(7)) is passed


def test_items_that_the_source_does_not_know_are_no_evidence():
    assert not is_borne_out("Three models are planned: a zeppelin, a gondola and a dirigible.")


NUMBERED = "# Orvan\n\nOrvan has 12 attention heads and was trained for 30 epochs. It has six licences.\n\n## Tools\n\n- tar\n- zip\n- awk\n- sed\n- dd\n\nModel: acme/Orvan"


@pytest.mark.parametrize(
    ("said", "remarked", "refused"),
    [
        ("Two details matter.", ["Two"], False),
        ("It says nothing of four further plans.", ["four"], False),
        ("Three remarks:\n\n- It is old.\n- It is slow.\n", ["Three"], False),
        ("It has two licences.", ["two"], False),
        ("It has three tools.", ["three"], False),
        ("It makes nine points.", ["nine"], False),
        ("It is better by nine points.", [], True),
        ("It is nine points better.", [], True),
        ("It was trained for nine hours.", [], True),
        ("It was trained for nine seasons.", ["nine"], False),
        ("All three matter.", ["three"], False),
        ("It was trained for nine epochs.", [], True),  # the source gives their number
        ("It has 4 plans.", ["4"], False),
        ("It has 4 epochs.", [], True),
        ("It has 4 licences.", [], True),  # the source gives their number
        ("It has 4 seeds.", [], True),
        ("It is best on 5 of 9.", ["5"], True),
        ("It leads on four epochs.", ["four"], False),  # of the thirty
        ("It leads by four epochs.", [], True),
        ("It reaches 5.", [], True),
        ("It has 14 plans.", [], True),
        ("It has eleven plans.", [], True),
        ("It has two million plans.", [], True),
        ("It has two details and 4 epochs.", ["two"], True),
        ("It has five tools.", [], False),  # counted
    ],
)
def test_a_small_count_that_nothing_bears_out_is_remarked_and_refuses_nothing(said, remarked, refused):
    found = numbers(said, NUMBERED)
    assert [said[one.start : one.end] for one in found.remarks] == remarked
    assert found.passed is not refused
    assert all(one.label.startswith("number that the sources do not bear out: ") for one in found.remarks)


@pytest.mark.parametrize(
    ("said", "is_remarked"),
    [
        ("Good for all 3 named.", True),
        ("It ran for all 3 epochs.", False),
        ("It knows all 5 languages.", False),
        ("It shows 1 prompt.", False),
    ],
)
def test_all_of_a_few_are_remarked_unless_the_source_gives_another_number(said, is_remarked):
    found = numbers(said, "# Orvan\n\nTrained for 12 epochs on 9 languages.\n\nModel: acme/Orvan")
    assert (found.passed, bool(found.remarks)) == (is_remarked, is_remarked)


def test_the_number_of_a_name_counts_nothing():
    said = "Nine models are told of."
    assert numbers(said, "# Orvan\n\nA GPT-2 model for all.\n\nModel: acme/Orvan").passed
    assert not numbers(said, "# Orvan\n\nOne of 2 models for all.\n\nModel: acme/Orvan").passed


def test_what_is_remarked_counts_as_not_found_and_the_reason_tells():
    found = numbers("Two details matter, and 12 heads.", NUMBERED)
    assert (found.value, found.reason) == (0.5, "1 of 2 numbers are in the sources; to be looked at: Two")
    both = numbers("Two details matter, and 13 heads.", NUMBERED)
    assert (both.value, both.reason) == (0, "1 of 2 numbers is not in the sources: 13; to be looked at: Two")


ARITHMETIC = [
    ("difference", "orvan-base beats Calder-2 by 6.5 points on Marrow.", "orvan-base beats Calder-2 by 6.9 points on Marrow."),
    (
        "difference",
        "Marrow is 71.4 against 52.9 on Tessel, a gap of 18.5.",
        "Marrow is 71.4 against 52.9 on Tessel, a gap of 18.9.",
    ),
    ("difference", "Wisp is 5.7 lower than Calder-2 on Marrow.", "Wisp is 5.3 lower than Calder-2 on Marrow."),
    (
        "difference",
        "On Marrow and Ovine, orvan-base leads Calder-2 by 6.5 and 2.3.",
        "On Ovine, orvan-base leads Calder-2 by 4.1.",
    ),
    (
        "ratio",
        "That is 25 sentences per letter: 1,205,000 for 48,200.",
        "That is 27 sentences per letter: 1,205,000 for 48,200.",
    ),
    ("ratio", "Of 38,560 and 9,640, one is 4.0 times the other.", "Of 38,560 and 9,640, one is 4.4 times the other."),
    ("share", "There are 9,640 for tests, 25% of the 38,560.", "There are 9,640 for tests, 26% of the 38,560."),
    ("sum", "38,560 and 9,640 make 48,200; 71.4 and 52.9 make 124.3.", "71.4 and 52.9 make 125.3 for orvan-base."),
    ("mean", "On Ovine the models average 44.9.", "On Ovine the models average 49.9."),
]


@pytest.mark.parametrize(("operation", "right", "wrong"), ARITHMETIC)
def test_arithmetic_that_a_word_announces_is_derived_and_a_slip_is_not(operation, right, wrong):
    found = numbers(right)
    assert found.passed, found.reason
    assert {one.operation for one in found.derived} == {operation}
    assert not numbers(wrong).passed


SPLITS = "# Orvan\n\n| Split | Rows | Lost |\n|---|---|---|\n| train | 1,320 | 0 |\n| dev | 561 | 8 |\n| test | 319 | 8 |\n"


@pytest.mark.parametrize(
    ("said", "source", "passed"),
    [
        ("It beats Calder-2 by 6.5 points on Marrow.", CARD, True),  # the model's own row
        ("It beats Calder-2 by 6.6 points on Marrow.", CARD, False),
        ("It beats Calder-2 by 6.5 points on Ovine.", CARD, False),  # another column's
        # Three digits are no accident: one operand may go without its name, in a column that is named.
        ("Calder-2 is 24.3 points ahead of another on Marrow.", CARD, True),
        ("Calder-2 is 24.3 points ahead of another.", CARD, False),
        ("Calder-2 is 5.7 points ahead of another on Marrow.", CARD, False),
        ("There are 9,640 letters for tests, 28,920 fewer.", CARD, False),
        ("orvan-base is 10.0% better than Calder-2 on Marrow.", CARD, True),
        ("Calder-2 is 9.1% lower than orvan-base on Marrow.", CARD, True),
        ("orvan-base is 10.0 better than Calder-2 on Marrow.", CARD, False),
        ("Of 38,560 and 9,640, one is larger by a factor of 4.0%.", CARD, False),
        ("There are 9,640 for tests, a share of 25.0 of the 38,560.", CARD, False),
        ("Of 9,640 and 38,560, the latter makes up 400% of the former.", CARD, False),
        ("Of 38,560 and 9,640, one is 1.80e1 points better.", CARD, False),
        ("Together train and dev make 1,881 rows.", SPLITS, True),
        ("The rows of train and dev average 940.5.", SPLITS, True),
        ("The rows of train and dev average 940.1.", SPLITS, False),
        ("Of all rows, dev makes up 25.5%.", SPLITS, True),
        ("Of all rows, dev makes up 25.6%.", SPLITS, False),
        ("The ratio of rows lost is 1.0, of dev to test.", SPLITS, False),
        ("The ratio of rows lost is 2.5, of train to test.", SPLITS, False),
    ],
)
def test_operands_and_operation_are_those_that_the_sentence_tells(said, source, passed):
    assert numbers(said, source).passed is passed


FRACTIONS = (
    "# Orvan\n\n| Sort | Purity | Yield |\n|---|---|---|\n| barley | 0.71 | 0.80 |\n| millet | 0.84 | 0.62 |\n\nModel: a/b"
)


@pytest.mark.parametrize(
    ("right", "wrong", "source"),
    [
        (
            "orvan-base beats Calder-2 by more than six points on Marrow.",
            "orvan-base beats Calder-2 by more than nine points on Marrow.",
            CARD,
        ),
        (
            "Calder-2 is a little over six points lower than orvan-base on Marrow.",
            "Calder-2 is a little over nine points lower than orvan-base on Marrow.",
            CARD,
        ),
        (
            "On Marrow, orvan-base and Calder-2 lie 6.5 percentage points apart.",
            "On Marrow, orvan-base and Calder-2 lie 6.9 percentage points apart.",
            CARD,
        ),
        (
            "The lead of orvan-base over Calder-2 is 6.5 points on Marrow, but 2.3 on Ovine.",
            "The lead of orvan-base over Calder-2 is 6.5 points on Marrow, but 7.9 on Ovine.",
            CARD,
        ),
        (
            "The lead of orvan-base over Calder-2 is six points on Marrow and a little over two on Ovine.",
            "The lead of orvan-base over Calder-2 is six points on Marrow and a little over nineteen on Ovine.",
            CARD,
        ),
        (
            "For millet, yield is twenty-two points below purity.",
            "For millet, yield is twenty-five points below purity.",
            FRACTIONS,
        ),
        ("At 0.71 and 0.84, they are thirteen points apart.", "At 0.71 and 0.84, they are fifteen points apart.", FRACTIONS),
    ],
)
def test_points_in_words_and_margins_in_a_row_are_reckoned(right, wrong, source):
    found = numbers(right, source)
    assert found.passed, found.reason
    assert {one.operation for one in found.derived} == {"difference"}
    assert not numbers(wrong, source).passed


HARVEST = (
    "# Orvan\n\nEach map is a grid of 9 by 9 in 512 letters; the harvest of all lands holds 61,500 sacks.\n\n"
    "| Barn | Total | Old | New | Lost |\n|---|---|---|---|---|\n| Fenwick | 9,310 | 7,204 | 1,455 | 613 |\n"
    "| Holm | 8,190 | 5,111 | 2,002 | 871 |\n\n"
    "| Thing | Count |\n|---|---|\n| Wagons | 1,250 |\n| Sacks | 41,300 |\n| Grains | 933,380 |\n\nModel: a/b"
)


@pytest.mark.parametrize(
    ("operation", "right", "wrong"),
    [
        (
            "sum",
            "The barn Fenwick totals 9,310, but its parts add up to 9,272.",
            "The barn Fenwick totals 9,310, but its parts add up to 9,292.",
        ),
        (
            "sum",
            "There are 7,204 and 5,111. Together they come to some 12,315.",
            "There are 7,204 and 5,111. Together they come to some 12,415.",
        ),
        ("ratio", "That is about 33 sacks per wagon.", "That is about 38 sacks per wagon."),
        ("product", "Each map has a 9 by 9 grid, so 81 fields.", "Each map has a 9 by 9 grid, so 86 fields."),
        ("product", "Each map has a grid of 9x9, that is 81 fields.", "Each map has a grid of 9x9, that is 18 fields."),
        ("share", "The 41,300 sacks are two thirds of the 61,500.", "The 41,300 sacks are three fifths of the 61,500."),
        (
            "share",
            "The 41,300 sacks are about two thirds of all 61,500.",
            "The 41,300 sacks are about three quarters of all 61,500.",
        ),
    ],
)
def test_sums_ratios_squares_and_fractions_as_plain_writers_say_them(operation, right, wrong):
    found = numbers(right, HARVEST)
    assert found.passed, found.reason
    assert {one.operation for one in found.derived} == {operation}
    assert not numbers(wrong, HARVEST).passed


@pytest.mark.parametrize(
    "text",
    [
        "orvan-base scores 6.5 on Marrow, Calder-2 less.",  # a difference that is passed off as a score
        "The gap is 6.5.",  # of what?
        "The difference between Tessel and Ovine for two others is 14.6 points.",
    ],
)
def test_without_the_word_or_the_operands_nothing_is_reckoned(text):
    assert not numbers(text).passed


def test_derived_numbers_are_counted_apart_and_shown():
    text = "Seven models are released; orvan-base beats Calder-2 by 6.5 points on Marrow (71.4 against 64.9)."
    found = numbers(text)
    assert found.reason == "all 4 numbers are in the sources, 2 of them derived: Seven (items of a list), 6.5 (difference)"
    assert [text[one.start : one.end] for one in found.derived] == ["Seven", "6.5"]
    assert found.derived[1].places == "71.4 and 64.9 in a column"
    assert found.value == 1
    stated = numbers("Marrow is at 71.4.")
    assert (stated.derived, stated.reason) == ((), "all 1 numbers are in the sources")
    mixed = numbers("Seven models are released, and 987 more.")
    assert [one.operation for one in mixed.derived] == ["count"]
    assert "987" in mixed.reason
    assert mixed.value == pytest.approx(0.5)


def test_a_table_is_counted_by_rows_columns_and_values():
    source = (
        "| Revision | Task | Licence |\n|---|---|---|\n| a1 | tagging | MIT |\n| b2 | tagging | MIT |\n| c3 | tagging | GPL |\n"
        "| d4 | parsing | GPL |\n| e5 | parsing | GPL |\n| f6 | ranking | MIT |\n\nModel: a/b"
    )
    sizes = {(group.kind, group.size) for group in Together(source).groups}
    assert {("rows of a table", 6), ("values of a column", 3), ("rows with one value", 2)} <= sizes
    assert is_borne_out("The card lists six revisions.", source)
    assert not is_borne_out("The card lists five revisions.", source)


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ("It speaks Ab, Cd and Ef.", 3),
        ("It speaks Ab, Cd, and Ef.", 3),
        ("It speaks (Ab, Cd, Ef, Gh).", 4),
        ("Trained on ab; cd; ef; gh.", 4),
        ("Formats: ab/cd/ef.", 3),
        ("Ab & Cd.", 2),
        ("## Top\n\n### One\n\n### Two\n\n### Three\n", 3),
        ("<ul><li>a<li>b<li>c<li>d</ul>", 4),
        ('```\nlabels = ["a", "b", "c", "d", "e"]\n```', 5),
        ("- a\n  - b\n  - c\n  - d\n- e\n", 3),
    ],
)
def test_groups_are_found_in_each_way_of_writing_them(source, size):
    assert size in {group.size for group in Together(source).groups}


SIGNALS = """# Orvan

## Signals

Signals used: Lumen meaning, Lumen class, Lumen synonym, Lumen antonym, Quarry relation and Tarn typing.

It is not a finished product. Ask first, as it is not a finished product. Once more: not a finished product.

## Evaluation

| Model | Params | Marrow | Tessel | Ovine | Average |
|---|---|---|---|---|---|
| acme/orvan-small | 70M | 41.0 | 31.0 | 36.0 | 36.0 |
| acme/orvan-large | 7B | 71.4 | 52.9 | 63.8 | 62.7 |
| Calder-2 | 3B | 64.9 | 50.3 | 66.1 | 60.4 |

It was tested in English, French, German, Hindi and Thai.

```
[{'entity_group': 'PER', 'score': 0.99},
 {'entity_group': 'LOC', 'score': 0.97},
 {'entity_group': 'ORG', 'score': 0.96},
 {'entity_group': 'PER', 'score': 0.95}]
```

## Picture credits

Made by Ada:<br>
_a ferry_<br>
_a mill_<br>
_a quay_

Made by Ben:<br>
_a weir_<br>
_a fox_

## Samples

"A lighthouse at noon"

![](a.png)

"A boat made of glass"

![](b.png)

"An old harbour"

![](c.png)

Model: acme/orvan-large
"""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        # What begins with one word.
        ("Of its signals the Lumen four name senses.", "Of its signals the Lumen five name a sense."),
        # What an average is of, though size is a column as well.
        ("The three-task average is given.", "The nine-task average is given."),
        ("It is tested in five languages.", "It is tested in seven languages."),
        ("All four entities returned are certain.", "All seven entities returned are certain."),
        ("The top four words are shown.", "The top seven words are shown."),
        ("The five credited images show a ferry and a fox.", "The nine credited images show a ferry and a fox."),
        ("Images for three prompts are shown.", "Images for eight prompts are shown."),
        (
            "The card says three times that it is not a finished product.",
            "The card says five times that it is not a finished product.",
        ),
        # What the summary has named just before.
        (
            "It names Lumen, Quarry and Tarn. The last two are sources.",
            "It names Lumen, Quarry and Tarn. The last seven are sources.",
        ),
        (
            "There are 6 signals. Lumen is one; the other five are smaller.",
            "There are 6 signals. Lumen is one; the other nine are smaller.",
        ),
        ("Six signals are named, the six being short.", "Six signals are named, the nine being short."),
        # What the sentence goes on to name.
        ("Its two acme rows are orvan-small and orvan-large.", "Its seven acme rows are orvan-small and orvan-large."),
        ("Two models come from acme and from Calder.", "Seven models come from acme and from Calder."),
    ],
)
def test_a_count_of_things_as_writers_count_them_is_derived_and_another_is_not(right, wrong):
    assert is_borne_out(right, SIGNALS), numbers(right, SIGNALS).reason
    assert not is_borne_out(wrong, SIGNALS)


@pytest.mark.parametrize(
    ("operation", "right", "wrong"),
    [
        (
            "product",
            "It took 300 steps of 512 letters, about 153,600 letters.",
            "It took 300 steps of 512 letters, about 153,800 letters.",
        ),
        (
            "product",
            "A batch of 512 sequences of 300 is 153,600 letters.",
            "A batch of 512 sequences of 300 is 163,600 letters.",
        ),
        (
            "product",
            "Steps: 300, each of 512.\n\nWith 300 steps that is 153,600 letters.",
            "Steps: 300, each of 512.\n\nWith 300 steps that is 153,900 letters.",
        ),
        (
            "ratio",
            "There are 300 right and 3,000 wrong ones, a ratio of one to ten.",
            "There are 300 and 3,000, a ratio of one to nine.",
        ),
        (
            "share",
            "Warm-up lasts 300 of 3,000 steps, that is 300 steps (10%).",
            "Warm-up lasts 300 of 3,000 steps, that is 300 steps (11%).",
        ),
        (
            "difference",
            "The gap is widest on brine (21.5 points) and dune (9.7).",
            "The gap is widest on brine (21.5 points) and dune (9.3).",
        ),
        ("share", "Brine and dune supply 45.6% of grams.", "Brine and dune supply 46.6% of grams."),
    ],
)
def test_what_one_line_holds_is_reckoned_with(operation, right, wrong):
    source = (
        "# Orvan\n\nIt ran for 300 steps with 512 letters each; 3,000 were planned.\n\n| Place | tiny | vast |\n|---|---|---|\n"
        "| brine | 40.1 | 61.6 |\n| dune | 30.2 | 39.9 |\n| fen | 11.7 | 20.2 |\n\n| Place | Grams |\n|---|---|\n| brine | 0.256 |\n"
        "| dune | 0.2 |\n| fen | 0.344 |\n| moor | 0.2 |\n\nModel: a/b"
    )
    found = numbers(right, source)
    assert found.passed, found.reason
    assert {one.operation for one in found.derived} == {operation}
    assert not numbers(wrong, source).passed


def test_ticks_of_a_table_are_counted_where_the_line_speaks_of_the_table():
    source = "| Size | Old | New |\n|---|---|---|\n| a | ✓ | ✓ |\n| b | x | ✓ |\n| c | ✓ | ✓ |\n\nModel: a/b"
    assert is_borne_out("The text has another count, and its table links five.", source)
    assert not is_borne_out("The text has another count, and its table links eight.", source)


def test_all_that_were_named_may_begin_a_sentence():
    source = "# Orvan\n\nIt reads Quorvish, Deltic and Umbrian.\n\nModel: a/b"
    assert is_borne_out("It reads Quorvish, Deltic and Umbrian. All three were tried.", source)
    assert not is_borne_out("It reads Quorvish, Deltic and Umbrian. All five were tried.", source)


def test_operands_may_stand_in_the_summarys_own_table():
    page = (
        "| Model | Marrow |\n|---|---|\n| Orvan | 71.42 |\n| Calder-2 | 64.91 |\n\nCalder-2 is the nearest, and the lead is {}."
    )
    source = "Orvan reaches 71.42 on Marrow.\n\nCalder-2 was at 64.91.\n\nModel: a/b"
    assert numbers(page.format("6.51"), source).passed
    assert not numbers(page.format("6.91"), source).passed


@pytest.mark.parametrize(
    "piece",
    [
        "a=[",
        "<ul><li>",
        "a, ",
        "a/",
        "| a ",
        "[a](",
        "author = {",
        "* ",
        "a:\n",
        "1, ",
        "and ",
        "gains 1, 2, 3 and 4 ",
        "}, {",
        "('a', 1), ",
        '"a"\n',
        "_a_<br>\n",
        "| - | 1 ",
        "`" * 3 + "\n",
    ],
)
def test_hostile_text_takes_no_long_time(piece):
    started = time.perf_counter()
    check_summary("The table has seven models. " + "It gains 5.1, 6.1, 7.1, " * 300, piece * (60_000 // len(piece)))
    assert time.perf_counter() - started < 20


PAPERS = (
    "# Orvan\n\n## Citation\n\n@article{a,\n  author = {Sol{\\`e}ne Moor and Ben Tarn and Cy Weir and {The Quay Team} and Di Holm},\n}\n\n"
    '@article{b,\n  author = "Beck, Flo  and\n      Fenn, Gus  and\n      Dale, Hal  and\n      Lund, Ivy",\n}\n\n'
    "Rill, E. F., Var-Loe, J., Ness, O., Orm, P., Pell, R., Quist, S., & Reed, T. (2021). Ferries.\n\n"
    f"@article{{c,\n  author = {{{' and '.join(f'{chr(65 + at)}da Hollow' for at in range(23))}}}\n}}\n"
)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("One paper is by five authors.", "One paper is by eight authors."),
        ("Moor and four co-authors wrote it.", "Moor and nine co-authors wrote it."),
        ("The other is by four people.", "The other is by nine people."),
        ("It was written by Beck and three others.", "It was written by Beck and nine others."),
        ("It was written by Rill and six colleagues.", "It was written by Rill and nine colleagues."),
        ("It was written by Rill and six further authors.", "It was written by Rill and eight further authors."),
        ("The preprint is by its twenty-three authors.", "The preprint is by its twenty-four authors."),
    ],
)
def test_authors_of_a_citation_are_counted(right, wrong):
    assert is_borne_out(right, PAPERS), numbers(right, PAPERS).reason
    assert not is_borne_out(wrong, PAPERS)


PARTS = """# Orvan

[![Build](https://img.shields.io/ci/a.png)](https://example.org)

![visitors](https://visitor-badge.example.org/a)

<!-- say who made it -->
<!-- say how it was
measured -->
<!-- say what it costs -->
<!-- say where -->

## Use

[More Information Needed]

## Bias

[More Information Needed]

## Risks

More information needed.

## Limits

<p>[More Information Needed]</p>

## Settings

| Hyperparameter | Value |
|---|---|
| lr | 0.1 |
| wd | 0.2 |
| momentum | 0.9 |
| nesterov | yes |
| clip | 1.0 |
| warmup | 0.06 |
| decay | cosine |

## Scores

<table>
<tr><th>Setup</th><th colspan="2">Zero-shot</th><th colspan='3'>Tuned</th></tr>
<tr><td>Metric</td><td>A</td><td>B</td><td>A</td><td>B</td><td>C</td></tr>
<tr><td>Orvan</td><td>31.2</td><td>32.2</td><td>33.2</td><td>34.2</td><td>35.2</td></tr>
</table>

```
              precision    recall  f1-score   support

        QUAY       0.69      0.81      0.74      5245
        MILL       0.56      0.57      0.56     10067
  FERRY_BOAT       0.77      0.89      0.82     23587
        WEIR       0.72      0.82      0.77      3623

   micro avg       0.70      0.79      0.74     66082
   macro avg       0.69      0.77      0.72     66082
```

<img src="a.png"/> <img src="b.png"/>

![](c.png) ![](d.png) ![](e.png)
"""


def test_tables_are_counted():
    source = "# A\n\n" + "| a | b |\n|---|---|\n| c | d |\n\n" * 3 + "<table><tr><td>e</td></tr></table>\n"
    assert is_borne_out("The card has four tables.", source)
    assert not is_borne_out("The card has eight tables.", source)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("Its five pictures show ferries.", "Its nine pictures show ferries."),
        ("There are five sample images.", "There are nine sample images."),
        ("Below are five samples.", "Below are nine samples."),
        ("It lists seven hyperparameters.", "It lists eight hyperparameters."),
        ("All seven settings are listed.", "All eight settings are listed."),
        ("It leads in all five columns.", "It leads in all eight columns."),
        ("The scores fill six columns.", "The scores fill eight columns."),
        ("Recall is above precision in all four classes.", "Recall is above precision in all nine classes."),
        ("Four labels are scored.", "Nine labels are scored."),
        ("Four of its headings say only that more is needed.", "Eight of its headings say only that more is needed."),
        ("Four sections say that more is needed.", "Nine sections say that more is needed."),
        ("Four hidden comments ask for more.", "Eight hidden comments ask for more."),
    ],
)
def test_parts_of_a_card_are_counted(right, wrong):
    assert is_borne_out(right, PARTS), numbers(right, PARTS).reason
    assert not is_borne_out(wrong, PARTS)


def test_a_list_that_another_sentence_leads_to_takes_no_count_back():
    below = "\n\n- a licence\n- a mill\n- a quay\n"
    assert is_borne_out("Its five pictures show ferries. What is missing:" + below, PARTS)
    assert not is_borne_out("Its five pictures show ferries:" + below, PARTS)


KINDS = """# Orvan

## OrvanCoder news

- Ada has trained it
- Ben has tested it

The per-entity breakdown of the F1 score:
- quay: 0.51
- mill: 0.45
- ferry: 0.46
- weir: 0.60
- tide: 0.65
- moor: 0.83
- lock: 0.67

## Scores

| Model | Marrow |
|---|---|
| Calder | 64.9 |
| OrvanCoder-Python-34B | 71.4 |
| OrvanCoder-15B | 68.1 |
| OrvanCoder-13B | 68.0 |
| OrvanCoder-Python-3B | 58.1 |
| Wisp | 51.2 |

| Task | Lean 6B | Rich 7B | Rich 13B | Open 7B | Open 3B | Tarn 70B | Tarn 8B | Tarn 1B |
|---|---|---|---|---|---|---|---|---|
| Tessel | 0.32 | 0.35 | 0.35 | 0.33 | 0.33 | 0.33 | 0.33 | 0.33 |

## Samples

```
masterpiece, best quality, harbour, blue sky, chromatic aberration, white background,
Negative prompt: lowres, (bad masts), text, cropped, worst quality, low quality, signature, watermark, username, obese, fog
```

Use the hosted interface or download the weights. Text was cleaned by removal of stop words, lemmatization and masking of names.
"""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("It finds seven kinds of entity.", "It finds nine kinds of entity."),
        ("It finds seven entity types.", "It finds eight entity types."),
        ("Of the four OrvanCoders listed, one leads.", "Of the nine OrvanCoders listed, one leads."),
        ("Eight models were compared.", "Nine models were compared."),
        ("Of the six rows, five are high.", "Of the six rows, nine are high."),
        ("The sample prompt has six tags.", "The sample prompt has eight tags."),
        ("A negative prompt of eleven terms follows.", "A negative prompt of fourteen terms follows."),
        (
            "There are two routes: the hosted interface, which needs a token, or downloading the weights.",
            "There are three routes: the hosted interface, which needs a token, or downloading the weights.",
        ),
        (
            "Four steps came first: removal of stop words, lemmatizing, masking of names and cleaning of text.",
            "Five steps came first: removal of stop words, lemmatizing, masking of names and cleaning of text.",
        ),
    ],
)
def test_kinds_tags_and_families_are_counted(right, wrong):
    assert is_borne_out(right, KINDS), numbers(right, KINDS).reason
    assert not is_borne_out(wrong, KINDS)
