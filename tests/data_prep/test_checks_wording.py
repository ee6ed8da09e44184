"""Form, wording and licences as true pages have them: tables, tags in code, praise that is quoted, licences in emphasis."""

from __future__ import annotations

import pytest

from data_prep.checks import check_summary

TABLE = "| Model | Orvan-Neo 2.7B | Kaldor |\n|---|---|---|\n| Score at once | 61.2 | 58.3 |\n"


def passed(name: str, summary: str, source: str = "Nothing.") -> bool:
    return next(result.passed for result in check_summary(summary, source) if result.name == name)


@pytest.mark.parametrize(
    "summary",
    [
        f"## Orvan-Neo 2.7B\n\n{TABLE}",
        "- polyglot-ko-1.3b\n\n| Model | A |\n|---|---|\n| polyglot-ko-1.3b | 1 |\n",
        "| A | B |\n|---|---|\n| good | 50 pictures, 160 total repeats |\n| bad | 50 pictures, 160 total repeats |\n",
        "| A | B |\n|---|---|\n| one | 2.5/2.1/2.2 |\n| two | 2.5/2.1/2.2 |\n",
        "| a | b | c | d |\n|---|---|---|---|\n| one | no | no | no |\n| two | no | no | no |\n",
        "See orvan-neo-large-v2. Then orvan-neo-large-v2. Then more.",
        f"{TABLE}\n\n{TABLE.replace('Score', 'Loss')}",
    ],
)
def test_tables_and_names_may_say_the_same_again(summary):
    found = next(result for result in check_summary(summary, "Nothing.") if result.name == "repetition")
    assert "said more than once" not in found.reason


@pytest.mark.parametrize(
    "summary",
    [
        "| A | B |\n|---|---|\n| first row of all | 1 |\n| first row of all | 1 |\n",
        "| A | B |\n|---|---|\n| so it | goes on |\n| x | y |\n| so it | goes on |\n",
        f"{TABLE}\n\n{TABLE}",
        "It loads all weights twice. It loads all weights twice.",
        "- It loads all weights twice.\n\n| A |\n|---|\n| It loads all weights twice. |\n",
        "State-of-the-art results abound. State-of-the-art results abound.",
        "- Orvan-7B has 4 GPUs to run on.\n- Orvan-7B has 4 GPUs to run on.",
    ],
)
def test_rows_sentences_and_bullets_said_again_fail(summary):
    assert not passed("repetition", summary)


@pytest.mark.parametrize(
    ("said", "source"),
    [
        ("described as state-of-the-art", "state-of-art models"),
        ("described as “state of the art”", "SoTA results"),
        ("state-of-the-art", "state-of-\nthe-art"),
        ("state-of-the-art", "state of the\nart"),
        ("state-of-the-art", "state‑of‑the‑art"),
        ("state-of-the-art", "_state-of-the-art_"),
        ("“cutting-edge”", "cutting edge"),
        ('not "groundbreaking"', "Nothing."),
        ("not described as groundbreaking", "Nothing."),
        ("It does not claim to be state-of-the-art.", "Nothing."),
        ("nowhere called a groundbreaking model", "Nothing."),
    ],
)
def test_praise_that_the_source_gives_or_nobody_passes(said, source):
    assert passed("praise", said, source)


@pytest.mark.parametrize(
    ("said", "source"),
    [
        ("described as state-of-the-art", "the art of the state"),
        ("state-of-art", "good"),
        ("not only fast but groundbreaking", "fast"),
        ("It is not small and groundbreaking.", "small"),
        ("It is never slow, and is state-of-the-art.", "fast"),
        ("described as groundbreaking", "state of the art"),
    ],
)
def test_praise_out_of_nowhere_fails(said, source):
    assert not passed("praise", said, source)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("`<|SUF|>`, `<|PRE|>` and ``<|im_end|>`` are tokens", True),
        ("it thinks between `<think>` and `</think>`", True),
        ("\n```\n<think>\n<|im_end|>\n```\n", True),
        ("the token <|SUF|>", False),
        ("`x`<|im_end|>", False),
        ("`<think>` and <think>", False),
        ("\n<think>\n", False),
        ("text</think>", False),
    ],
)
def test_tokens_and_tags_may_stand_in_code(text, right):
    bullets = "".join(f"- point {number}\n" for number in "abcd")
    assert passed("structure", f"## Orvan\n\n{bullets}\nNote: {text}") is right


@pytest.mark.parametrize(
    ("said", "source", "right"),
    [
        ("Chat is CC-By-NC-SA-4.0.", "* License: _CC-By-NC-SA-4.0_", True),
        ("Chat is under the GPL-3.0.", "The licence of chat is __GPL-3.0__.", True),
        ("Its licence is _GPL-3.0_.", "It says nothing else.", False),
        ("Its licence is __MIT__.", "The mit_token is set, the variable of licence is permit_all.", False),
        ("Chat is CC-BY-NC-SA-4.0.", "Chat: https://creativecommons.org/licenses/by-nc-sa/4.0/", True),
        ("Chat is CC-BY-NC-4.0.", "Chat: https://creativecommons.org/licenses/by-nc-sa/4.0/", False),
        ("Chat is CC0.", "Chat: http://creativecommons.org/publicdomain/zero/1.0/", True),
    ],
)
def test_licences_in_emphasis_and_in_addresses(said, source, right):
    assert passed("contradiction", said, f"---\nlicense: apache-2.0\n---\n# Orvan\n\n{source}") is right


def test_bullets_of_code_alone_have_no_words_to_repeat():
    said = "# Orvan\n\n- `load(one)`\n- `load(two)`\n"
    assert next(result for result in check_summary(said, "# Orvan") if result.name == "repetition").passed
