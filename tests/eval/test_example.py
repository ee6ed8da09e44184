"""The page that a model card shows: the first by id, as it was written, with every flag."""

import json

from data_prep.core.records import HeldOut
from data_prep.prompts.student import source_text
from eval.reporting.example import example

CHECKS = [
    {"name": "length", "passed": True, "reason": ""},
    {"name": "links", "passed": False, "reason": "1 of 2 is\nnot <there>"},
]


def card(name):
    return HeldOut(name, [], source_text(f"org/{name}", "# Card", []), "", name)


def row(name, text, system="aligned", sample=0):
    return {"id": name, "system": system, "text": text, "sample": sample, "checks": json.dumps(CHECKS)}


def test_the_first_card_by_id_is_shown_with_its_flags_and_its_markdown_stays_within_its_fence():
    rows = [
        row("b", "other"),
        row("a", "# A\n\n```\ncode\n```\n<img src=x>"),
        row("a", "second", sample=1),
        row("a", "no", "sft"),
    ]
    text = example([card("b"), card("a"), card("0")], rows, "aligned")
    assert "`aligned` wrote of `org/a`" in text
    assert "````markdown\n# A\n\n```\ncode\n```\n<img src=x>\n````" in text
    assert "Of 2 checks 1 flags it: links: 1 of 2 is not &lt;there>. A page without a flag need not be true" in text
    assert "second" not in text


def test_a_system_that_wrote_nothing_has_no_example():
    assert example([card("a")], [row("a", "no", "sft")], "aligned") == ""
