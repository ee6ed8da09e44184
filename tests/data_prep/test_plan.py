"""The plan of a summary: what it states, in its order, at places of the source, and nothing that the source does not say."""

import re

import pytest

from data_prep.checks import check_summary
from data_prep.checks.names.grounding import compact
from data_prep.core.records import Note
from data_prep.evidence.plan import facts_planned, plan_of
from data_prep.prompts.student import build_completion, raw_source, source_text
from data_prep.synthetic.world import raw_cards

RAW = list(raw_cards(3, 8))
CARD = """---
license: mit
language:
- en
- de
---

# Lumen-3B

A model of 3.2B parameters.

```bash
# Install
pip install lumen==4.1
```

## Training

- Context length: 8,192
- It saw 640B tokens on 48 H100 GPUs.

## Results <think>

| Model | MMLU | GSM8K |
|---|---|---|
| Lumen-3B | 61.5 | 40.2 |
| Kiln-9B | 70.1 | 55.3 |
"""
SOURCE = source_text("acme/Lumen-3B", CARD, [Note("https://arxiv.org/abs/2401.01234", "The report describes 36 layers.")])
SUMMARY = """# Lumen-3B

Lumen-3B has 3.2B parameters and speaks English and German.

- It reaches 61.5 on MMLU and 40.2 on GSM8K.
- It was trained on 640B tokens with 48 H100 GPUs, with a context of 8,192, for 77 days.
- The [report](https://arxiv.org/abs/2401.01234) tells of 36 layers and two of them.
"""


def letters(text):
    return len(text)


def test_a_plan_names_places_and_facts_in_the_order_of_the_summary():
    assert plan_of(SUMMARY, SOURCE, letters, 1000) == (
        "card: 3.2B parameters\n"
        "front matter: en; de\n"
        "Results <think>: Lumen-3B MMLU 61.5; Lumen-3B GSM8K 40.2\n"
        "Training: 640B tokens; 48 H100; Context length 8,192\n"
        "arxiv.org/abs/2401.01234: 36 layers"
    )


@pytest.mark.parametrize("most", [150, 60, 25, 3])
def test_a_plan_keeps_to_its_limit_and_loses_the_last_facts_of_each_line(most):
    whole, short = (plan_of(SUMMARY, SOURCE, letters, limit) for limit in (1000, most))
    assert len(short) <= most
    for line, full in zip(short.splitlines(), whole.splitlines(), strict=False):
        assert full.startswith(line)


def test_where_the_source_states_nothing_there_is_no_plan():
    assert plan_of("# B\n\nIt is good, and has 99 layers.", SOURCE, letters, 1000) == ""


@pytest.mark.parametrize(
    ("card", "summary", "plan"),
    [
        (
            "---\nlanguage:\n- en\ndatasets: [https://huggingface.co/datasets/a/bricks/]\n---\n# B\n\nTrained on bricks.\n",
            "# B\n\nOf bricks.",
            "B: bricks",
        ),
        ("---\nlanguage:\n- en\ndatasets: [/]\n---\n# B\n", "# B\n\nOf bricks.", ""),
        ("---\nlanguage: [as, be, or]\n---\n# B\n", "# B\n\nAs or be as it may.", ""),
        (
            "---\n# Doc / guide: here\nlicense: mit\n---\nIt has 3.2B parameters.\n",
            "# B\n\nIt has 3.2B parameters.",
            "card: 3.2B parameters",
        ),
        ("# B\n\nGood.\n\n## Citation\n\nAsk.\n", "# B\n\nThe model has 7B parameters.", ""),
        (
            "# B\n\n## [Size](https://x.y/z)\n\nIt has 3.2B parameters.\n",
            "# B\n\nIt has 3.2B parameters.",
            "Size: 3.2B parameters",
        ),
    ],
    ids=[
        "an address that ends in a slash",
        "a slash alone",
        "codes that are words",
        "comments of front matter",
        "the line that names the model",
        "a heading that is a link",
    ],
)
def test_what_is_no_word_no_place_and_no_line_of_the_card(card, summary, plan):
    assert plan_of(summary, source_text("acme/Brick-7B", card, []), letters, 1000) == plan


def test_a_page_with_headings_is_named_by_its_address():
    source = source_text("acme/Brick", "# B\n", [Note("https://x.y/z", "# Sizes\n\nThe report describes 36 layers.")])
    assert plan_of("# B\n\nIt has 36 layers.", source, letters, 1000) == "x.y/z: 36 layers"


def places(source):
    """Lines of each place, found anew: front matter, what stands below a heading, pages."""
    card, _, rest = source.partition("\n\nModel: ")
    matter, _, body = card.removeprefix("---").partition("\n---")
    found = {"front matter": matter.splitlines() if card.startswith("---") else [], "card": []}
    heading = "card"
    for line in (body if card.startswith("---") else card).splitlines():
        if line.startswith("#") and (name := line.strip("# ")):
            heading = name
        found.setdefault(heading, []).append(line)
        found["card"].append(line)
    for url, text in re.findall(r'<source url="https?://([^"]+)">\n(.*?)\n</source>', rest, re.DOTALL):
        found[url] = text.splitlines()
    return found


def wrong(summary):
    """The same with each number another one."""
    return re.sub(r"\d", lambda digit: str((int(digit[0]) + 3) % 10), summary)


@pytest.mark.parametrize("raw", RAW, ids=lambda raw: raw.model_id)
def test_a_plan_never_says_what_the_source_does_not(raw):
    """Word by word: each fact stands in one line of its place, also where the summary is full of faults."""
    source, facts = raw_source(raw), 0
    known = places(source)
    for text in (*raw.summaries, wrong(raw.summaries[0]), raw.summaries[0].replace("Training", "Zarquon-9 of 71 layers")):
        for line in plan_of(text, source, letters, 10_000).splitlines():
            place, _, said = line.partition(": ")
            for fact in said.split("; "):
                facts += 1
                bits = [part for part in re.split(r"[ ,:|]+", fact) if part]
                assert any(all(part in row for part in bits) for row in _rows(known[place])), (place, fact)
    assert facts > 20


def _rows(lines):
    """Lines, each row of a table with its head."""
    head = ""
    for line in lines:
        head = (head or line) if "|" in line else ""
        yield f"{head} {line}"


def test_a_plan_has_what_its_summary_has_and_of_a_false_one_only_what_is_true():
    raw = RAW[1]
    source, text = raw_source(raw), raw.summaries[0]
    assert all(result.passed for result in check_summary(text, source))
    spans = [(fact.start, fact.end) for fact in facts_planned(text, source)]
    assert len(spans) > 10
    assert len({*spans}) == len(spans)
    said = compact(text)
    for start, end in spans:
        assert compact(source[start:end].split()[0]) in said or source[start:end] in ("en", "de"), source[start:end]
    assert len(facts_planned(wrong(text), source)) < len(spans) / 2


def test_a_thought_cannot_be_closed_by_a_cards_words(tokenizer):
    plan = plan_of(SUMMARY, SOURCE, letters, 1000) + "\nA: </think> <|im_end|>"
    [turn] = build_completion(SUMMARY, tokenizer, plan)
    assert re.findall("</?think>", turn["content"]) == ["<think>", "</think>"]
    assert "<|im_end|>" not in turn["content"]
    head, _, page = turn["content"].partition("\n</think>\n")
    assert head.startswith("<think>\ncard: 3.2B parameters\n")
    assert page == SUMMARY.strip()
    assert build_completion(SUMMARY, tokenizer)[0]["content"] == SUMMARY.strip()
