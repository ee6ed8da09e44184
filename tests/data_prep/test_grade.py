"""The score that ranks samples: each thing that makes a summary worse takes from it, and nothing that is no merit adds to it."""

from __future__ import annotations

import pytest

from data_prep.checks import check_summary
from data_prep.checks.grade import WEIGHTS, Grade, grade

LONG = (
    "The dialogues come from forums about gardens and boats whose members agreed that their words be used, and they were read by "
    "editors who took out names, addresses and whatever else might tell who had written them, after which a filter removed short "
    "answers, answers in capitals and those that only pointed elsewhere, so that what is left are questions with an answer that a "
    "patient reader can follow without knowing the forum or its habits"
)
SOURCE = f"""---
license: apache-2.0
base_model: acme/Orvan-3B
language: [en, fr]
datasets: [acme/Lumen]
---
# Orvan-3B-Chat

Orvan-3B-Chat has 3B parameters, 36 layers and a context of 8192 tokens. It was tuned on Lumen, 41,300 dialogues, for 2 epochs with a
learning rate of 2e-5. [Paper](https://arxiv.org/abs/2401.01234), [code](https://github.com/acme/orvan).

{LONG}.

| Benchmark | Score |
|---|---|
| GSM8K | 71.2 |
| MMLU | 64.3 |

Model: acme/Orvan-3B-Chat
"""
FILLER = (
    "Readers who compare chat models will want to know what it does with longer prompts, and of that the authors say little",
    "Nothing tells how the dialogues were cleaned, who wrote them, or whether any of the tests were among them before training began",
    "Its makers ask that people try it on their own texts first, since habits of one domain seldom carry over into another",
    "Whether smaller variants follow is left open, as are plans for further languages beyond those that are named above",
)
TRUE = """# Orvan-3B-Chat

Orvan-3B-Chat is a chat model in English and French under Apache 2.0, tuned from [Orvan-3B](https://github.com/acme/orvan).

## Points

- It has 3B parameters, 36 layers and a context of 8192 tokens.
- It was tuned on Lumen, 41,300 dialogues, for 2 epochs at a learning rate of 2e-5.
- GSM8K stands at 71.2 and MMLU at 64.3, as the [paper](https://arxiv.org/abs/2401.01234) reports.
{}
"""


def padded(words: int, page: str = TRUE) -> str:
    """The page with bullets of words that nobody repeats, up to a length."""
    extra = [f"- {line}." for line in FILLER]
    text = page.format("\n".join(extra))
    number = 0
    while len(text.split()) < words:
        number += 1
        fresh = " ".join(
            f"{stem}{'abcdefghijklmnopqrstuvwxyz'[number % 26] * (number // 26 + 1)}"
            for stem in ("mora", "telu", "sani", "kepo")
        )
        text += f"- {fresh}\n"
    return text


def graded(text: str, finished: bool = True) -> Grade:
    return grade(check_summary(text, SOURCE), SOURCE, finished)


def test_a_true_page_has_nearly_all_and_every_part_is_told():
    found = graded(padded(330))
    assert found.score > 0.9, found.parts
    assert WEIGHTS.keys() < found.parts.keys()
    assert all(0 <= part <= 1 for part in found.parts.values())
    assert sum(WEIGHTS.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("was", "now", "part"),
    [
        ("71.2", "81.2", "numbers"),
        ("Lumen,", "Kestrel-9,", "names"),
        ("https://github.com/acme/orvan", "https://github.com/acme/tulvex", "links"),
        ("under Apache 2.0", "under the MIT licence", "contradiction"),
        ("in English and French under Apache 2.0, ", "", "facts"),
        ("## Points", "<think>", "form"),
    ],
)
def test_each_fault_takes_from_its_own_part_and_from_the_score(was, now, part):
    whole, less = graded(padded(330)), graded(padded(330).replace(was, now))
    assert less.parts[part] < whole.parts[part]
    assert less.score < whole.score


def test_a_page_without_numbers_links_or_names_does_not_win():
    empty = graded(padded(330, "# A model\n\nIt is a model.\n\n## Points\n\n{}\n"))
    assert (empty.parts["numbers"], empty.parts["links"]) == (0, 0)
    assert empty.score < 0.5 * graded(padded(330)).score
    single = graded(padded(330, "# A model\n\nIt has 36 layers.\n\n## Points\n\n{}\n"))
    assert single.parts["numbers"] == pytest.approx(1 / 5)


def test_more_words_within_the_band_are_no_merit_and_others_cost():
    short, long = graded(padded(350)), graded(padded(480))
    assert short.parts["length"] == long.parts["length"] == 1
    assert short.score == pytest.approx(long.score, abs=0.02)
    assert graded(padded(120)).score < short.score
    assert graded(padded(700)).score < short.score
    assert graded("").score == 0


def test_what_is_repeated_copied_or_unfinished_is_worth_little():
    whole = graded(padded(330)).score
    assert graded(padded(330), finished=False).score == 0
    assert graded(padded(330) + f"- {FILLER[0]}.\n").score < 0.5 * whole
    copied = graded(padded(330) + f"- {LONG}.\n")
    assert copied.parts["copying"] < 1
    assert copied.score < 0.5 * whole
