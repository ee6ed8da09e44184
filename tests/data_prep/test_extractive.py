"""Notes and summaries without a model."""

import random

from data_prep.candidates.extractive import extractive_summary, lead_notes, sentences
from data_prep.checks import check_summary, failures, passed_all
from data_prep.core.records import Note
from data_prep.prompts.student import source_text

RNG = random.Random(1)
LONG = [
    " ".join(["The", *("".join(RNG.choices("aeioubdlmnrst", k=6)) for _ in range(19)), "as the authors say."])
    for _ in range(18)
]
BODY = "\n\n".join(
    ["# Brindle-7B", "Brindle-7B is a language model with 7B parameters\nthat was trained on 2T tokens of letters.", *LONG]
)
CARD = f"---\nlicense: mit\n---\n{BODY}\n"
NOTE = Note(
    "https://osk.example/paper",
    "- The paper describes how the letters were gathered from 3 archives.\n- It gives no ablation of any kind.",
)


def test_a_summary_of_a_cards_own_sentences_passes_every_check():
    text = extractive_summary("osk/Brindle-7B", CARD, [NOTE])
    results = check_summary(text, source_text("osk/Brindle-7B", CARD, [NOTE]))
    assert passed_all(results), failures(results)
    assert "[page](https://osk.example/paper)" in text
    assert "- **Licence**: mit." in text


def test_sentences_are_whole_across_wrapped_lines_and_said_once():
    text = "One two three four five\nsix seven eight. One two three four five six seven eight. - no\n\nA b."
    assert list(sentences(text)) == ["One two three four five six seven eight."]


def test_a_note_stops_before_the_limit():
    assert lead_notes("One two three four five six. Seven eight nine ten eleven twelve.", 8) == "- One two three four five six."


def test_a_card_without_a_sentence_gets_no_summary():
    assert extractive_summary("a/b", "---\nlicense: mit\n---\n# Title\n\n| a | b |\n", []) == ""
