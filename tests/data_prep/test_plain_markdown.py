"""What plain_markdown.py reads, the parser reads alike."""

from __future__ import annotations

import random

import pytest

from data_prep.checks import document
from data_prep.checks.plain_markdown import blocks_of, inline_of

PIECES = [
    *'word Foo-3B 3.2 ( x) "q" snake_case __x__ é “q” 1. 2) + = -- – # | ~ $ ** **B** **B:** * _ ` `c` `` `a_b=1` \\ \\*'.split(),
    *"& &amp; ! < <b> [l](http://a.bc/d) [l] [l](x) ![i](http://a.bc) [a](https://a.bc/d_e.g) [`c`](http://a.bc)".split(),
    *"http://a.bc/x https://A.bc **[a](http://a.bc)** [ ] : . - [x]:".split(),
    *("* ", "`a b`", "& ", "< 5", ", ", " ", "  "),
]
PLAIN_BEGINNINGS = ["Abc ", "- Abc ", "- Abc ", "- **Bc**: ", "* x", "+ 12 ", "# ", "## "]
BEGINNINGS = [
    "",
    "- ",
    "-",
    "- - ",
    "-   ",
    "| ",
    "|---|",
    "```",
    "---",
    "===",
    "<div>",
    "**",
    "(",
    "`",
    "[",
    "1. ",
    "> ",
    "  - ",
    "    ",
]


def _document(rng: random.Random) -> str:
    lines = []
    for _ in range(rng.randrange(1, 6)):
        beginning = rng.choice(PLAIN_BEGINNINGS if rng.random() < 0.85 else BEGINNINGS)
        joint = rng.choice(("", " "))
        lines.append(beginning + joint.join(rng.choices(PIECES, k=rng.randrange(6))) if rng.random() < 0.8 else "")
    return "\n".join(lines)


def test_what_is_plain_is_read_as_the_parser_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    texts = [_document(rng) for _ in range(1500)]
    plain = [document.read(text) for text in texts]
    assert sum(blocks_of(text) is not None for text in texts) > 500
    monkeypatch.setattr(document, "blocks_of", lambda text: None)
    monkeypatch.setattr(document, "inline_of", lambda content: None)
    for text, found in zip(texts, plain, strict=True):
        assert found == document.read(text), text


def test_most_of_a_summary_is_plain() -> None:
    text = "# Foo\n\nIt is `small`.\n\n- **Size**: 3B ([card](https://a.example/b))\n- Two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nEnd\nof it\n"
    blocks = blocks_of(text)
    assert blocks is not None
    assert [block.kind for block in blocks] == ["heading", "text", "bullet", "bullet", "table", "text"]
    assert all(inline_of(block.content) for block in blocks if block.kind != "table")
    assert blocks_of("- a\ngoes on") is None
    assert inline_of("*a*") is None
