"""The invented world: seeded, in families, its summaries true to their facts and its faults as named."""

import random
import re

from data_prep.checks import check_summary, failures, passed_all
from data_prep.prompts.student import source_text
from data_prep.synthetic.cards import render_card, render_notes
from data_prep.synthetic.facts import draw_family
from data_prep.synthetic.pretraining_text import exchanges, lists, remarks, single_facts
from data_prep.synthetic.summaries import reference_summary
from data_prep.synthetic.world import raw_cards


def worlds(count, seed=5):
    for number in range(count):
        rng = random.Random(f"{seed}:{number}")
        facts = rng.choice(draw_family(rng))
        yield facts, source_text(facts.model_id, render_card(facts, rng), render_notes(facts, rng)), rng


def test_same_seed_same_cards_other_seed_other_cards():
    first, again, other = (list(raw_cards(seed, 30)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(first) == 30
    assert list(raw_cards(1, 10)) == first[:10]


def test_families_hold_relatives_that_quote_their_parent():
    cards = list(raw_cards(3, 200))
    assert 40 <= len({card.truth["family"] for card in cards}) <= 100
    assert {card.truth["relation"] for card in cards} == {"original", "fine-tune", "quantised", "fork"}
    for card in cards:
        if card.truth["relation"] == "quantised":
            assert card.truth["base_model"] in card.content


def test_cards_take_many_shapes():
    texts = [card.content for card in raw_cards(3, 200)]
    for shape in (
        "language: [",
        'license: "',
        "# checked by hand",
        "| Benchmark |",
        "```python",
        "[![",
        "<h1>",
        "## Training",
        "<!-- todo",
    ):
        share = sum(shape in text for text in texts) / len(texts)
        assert 0.02 < share < 0.98, shape


def test_references_are_true_of_length_and_pass_every_check():
    wrong = []
    for facts, source, rng in worlds(150):
        results = check_summary(reference_summary(facts, rng), source)
        wrong += [] if passed_all(results) else [(facts.model_id, failures(results))]
    assert wrong == []


def test_pretraining_text_is_seeded_and_holds_no_summary():
    first, again = (exchanges(random.Random(7), whole_card=True) for _ in range(2))
    for _ in range(50):
        exchange = next(first)
        assert exchange == next(again)
        text = "\n".join(message["content"] for message in exchange.messages)
        assert not re.search(r"^#+ .*(in brief|researchers should know)", text, re.MULTILINE)
        for _, answer in exchange.asked:
            results = check_summary(answer, exchange.document)
            assert {"length", "structure"} & {result.name for result in results if not result.passed}


def test_every_question_of_the_pretraining_text_has_one_answer():
    for facts, _, _ in worlds(30):
        for ask in (single_facts, lists, remarks):
            questions = [question for question, _ in ask(facts)]
            assert len(set(questions)) == len(questions)
            assert ask(facts) == ask(facts)
