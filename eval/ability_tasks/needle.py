"""A sentence with a code, planted in a held-out card's prompt, and the question for it: does a model still read all of it?

Deterministic: card and depth give the code and its place. The prompt is a real one, so its length is what the model works at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from data_prep.core.files import sha256_text

DEPTHS = (0, 25, 50, 75, 100)  # percent of the way from the prompt's beginning to the question
SENTENCE = "The archive code of this page is {code}."
QUESTION = "What is the archive code that the text above states? Answer with the code alone."


@dataclass(frozen=True)
class Needle:
    """A user's turn that holds `code` once, and asks for it."""

    text: str
    code: str


def plant(card_id: str, user_turn: str, depth: int) -> Needle:
    """The user's turn of a card's prompt with the sentence at `depth` percent of its text and the question as its task.

    The sentence is a line of its own, inside the tags that hold card and notes. Raises ValueError where the turn is not one
    of ours: card, notes and task, with empty lines between.
    """
    document, tag, _ = user_turn.rpartition("\n</research>\n\n")
    if not tag or not document.startswith("<model_card"):
        raise ValueError(f"card {card_id} has a prompt of another form; make data/heldout.jsonl again with data_prep.examples")
    lines = document.split("\n")
    place = 1 + round(depth / 100 * (len(lines) - 1))
    code = code_of(card_id, depth, document)
    planted = "\n".join([*lines[:place], SENTENCE.format(code=code), *lines[place:]])
    return Needle(f"{planted}{tag}{QUESTION}", code)


def code_of(card_id: str, depth: int, document: str) -> str:
    """Seven digits that stand nowhere in the document."""
    for attempt in range(100):
        code = str(10**6 + int(sha256_text(f"{card_id} {depth} {attempt}")[:12], 16) % (9 * 10**6))
        if code not in document:
            return code
    raise AssertionError("a document that holds a hundred given numbers of seven digits")


def is_found(answer: str, code: str) -> bool:
    """True where the answer holds the code, and no other number of its length."""
    return set(re.findall(r"(?<!\d)\d{7}(?!\d)", answer)) == {code}
