"""Each filter keeps one card and sets one aside, with what was measured and the key that decides."""

import pytest

from data_prep.cards.language import language_of
from data_prep.cards.parse import draft
from data_prep.collecting.filters import FILTERS, FilterConfig, reject
from data_prep.core.recipe import load
from data_prep.core.records import RawCard

SENTENCE = "Corvane listens to bridges at night and reports which of their bolts came loose before anybody hears them rattle. "
PROSE = SENTENCE * 5
TRAINER = (
    "<!-- This model card has been generated automatically according to the information the Trainer had access to. -->\n"
    "# corvane\n\nThis model is a fine-tuned version of [vexa](https://vexa.example/base) on the bridge dataset.\n\n"
    "## Model description\n\nMore information needed\n\n## Intended uses & limitations\n\nMore information needed\n\n"
    "### Training hyperparameters\n\nThe following hyperparameters were used during training:\n- learning_rate: 5e-05\n- num_epochs: 3\n"
)
GERMAN = "Corvane hört nachts auf Brücken und meldet, welche Schrauben sich gelöst haben, bevor jemand sie klappern hört. " * 4
JAPANESE = "このモデルは夜の橋の音を聞き、ゆるんだボルトを誰よりも早く知らせるために学習されました。"


def card(body, front="license: mit"):
    return draft(RawCard("vexa/corvane", f"---\n{front}\n---\n{body}", "test"))


def reason(body, front="license: mit", **keys):
    found = reject(card(body, front), FilterConfig(**keys))
    return found and (found.reason, found.detail.removeprefix("vexa/corvane: "))


@pytest.mark.parametrize(
    ("kept", "aside", "front", "keys", "why"),
    [
        (PROSE, SENTENCE, "a: b", {"min_body_words": 20}, ("too little prose", "19 words, collect.min_body_words is 20")),
        (
            PROSE * 9,
            PROSE,
            "tags: [" + "bolt, " * 300 + "x]",
            {"max_metadata_share": 0.7},
            ("mostly front matter", "76% front matter, collect.max_metadata_share is 0.7"),
        ),
        (
            PROSE + TRAINER,
            SENTENCE + TRAINER,
            "a: b",
            {"max_template_share": 0.2},
            ("mostly template lines", "31% of the words, collect.max_template_share is 0.2"),
        ),
        (
            PROSE + TRAINER,
            PROSE + TRAINER * 2,
            "a: b",
            {"max_more_information": 2},
            ("a form nobody filled in", "4 times, collect.max_more_information is 2"),
        ),
        (
            PROSE + TRAINER,
            SENTENCE + TRAINER,
            "a: b",
            {"min_words_beyond_tool": 40},
            ("written by a tool", "the Trainer: 40 words, the tool writes 52, collect.min_words_beyond_tool is 40"),
        ),
        (PROSE, GERMAN, "a: b", {"languages": ["en"]}, ("another language", "de, collect.languages is en")),
    ],
)
def test_a_filter_keeps_one_card_and_sets_the_other_aside(kept, aside, front, keys, why):
    keys = {"min_body_words": 0, **keys}
    assert reason(kept, front, **keys) is None
    assert reason(aside, front, **keys) == why


@pytest.mark.parametrize(
    ("stated", "accepted", "kept"),
    [
        ("apache-2.0", ["any"], True),
        ("", ["any"], True),
        ("Apache-2.0", ["permissive"], True),
        ("llama3", ["permissive"], False),
        ("cc-by-nc-4.0", ["permissive"], False),
        ("", ["permissive"], False),
        ("llama3", ["permissive", "llama3"], True),
        ("mit", ["apache-2.0"], False),
    ],
)
def test_licences_are_a_word_or_a_list(stated, accepted, kept):
    why = reason(PROSE, f"license: {stated}", licences=accepted)
    assert why == (
        None if kept else ("licence not accepted", f"{stated or 'none stated'}, collect.licences is {', '.join(accepted)}")
    )


@pytest.mark.parametrize(("text", "read"), [("permissive", ["permissive"]), ("[mit, apache-2.0]", ["mit", "apache-2.0"])])
def test_the_command_line_takes_a_word_or_a_list_of_licences(text, read):
    assert load("collect", FilterConfig, ["--run_dir", "x", "--collect.licences", text]).block.licences == read


def test_a_language_that_cannot_be_told_apart_is_refused():
    with pytest.raises(ValueError, match=r"english cannot be told apart; write some of ar bg"):
        load("collect", FilterConfig, ["--run_dir", "x", "--collect.languages", "[en, english]"])


def test_short_prose_code_and_quoted_signs_do_not_decide_the_language():
    assert reason("Corvane lauscht.", languages=["en"], min_body_words=0) is None
    assert reason(PROSE + "\n```\n" + GERMAN * 9 + "\n```\n", languages=["en"]) is None
    assert reason(PROSE * 2 + JAPANESE * 4, languages=["en"]) is None
    assert language_of(JAPANESE * 8) == "ja"
    assert language_of(GERMAN) == "de"


def test_defaults_ask_for_a_few_words_and_nothing_else():
    awkward = "Das ist ein Satz, den hier niemand braucht, doch er ist lang genug. " * 9 + TRAINER * 9
    assert reason(awkward, "tags: [" + "x, " * 2000 + "y]") is None
    assert reason("too short") == ("too little prose", "2 words, collect.min_body_words is 20")


def test_the_first_filter_in_the_table_gives_the_reason():
    strict = FilterConfig(languages=["en"], licences=["mit"], min_body_words=500)
    every = [name for name, examine in FILTERS.items() if examine(card(GERMAN, "license: gpl"), strict)]
    assert every == ["licence not accepted", "too little prose", "another language"]
    assert reject(card(GERMAN, "license: gpl"), strict).reason == every[0]
