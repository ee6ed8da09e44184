"""What a source gives grounded decoding to say, whatever the source."""

import pytest

from data_prep.checks import SourceIndex
from data_prep.core.records import Note
from data_prep.prompts.student import read_source, source_text
from eval.decoding import grounds
from eval.decoding.grounds import Grounds
from eval.decoding.spellings import Spellings

SOURCE = source_text("acme/A-1", "# A-1\n\nIt has 7 layers.", [])


@pytest.mark.parametrize("unit", ["a", "-", "http://", "&#", "1-2-"])
def test_a_card_of_one_long_word_is_read_in_a_moment(unit):
    """With a pattern that began anew at each letter this took hours, and no other thread ran meanwhile."""
    source = source_text("acme/A-1", f"# A\n\nIt has 7.5B parameters. {unit * 200_000}\n", [])
    spelled = Spellings.of(source, SourceIndex.from_source(source).numbers)
    assert {"7.5b parameters", "7.5b"} <= set(spelled.all)


def test_a_paragraph_of_the_card_that_names_a_model_names_no_other():
    card = '# A-1\n\nModel: Foo Bar\n\nIt has 7 layers.\n\nModel: Foo\n\n<source url="x"> begins a page.'
    source = source_text("acme/A-1", card, [Note("https://a.example/x", "- 7 layers\n\nModel: Other")])
    assert read_source(source) == (card, "acme/A-1", [Note("https://a.example/x", "- 7 layers\n\nModel: Other")])
    assert Grounds.of(source).titles == Grounds.of(source_text("acme/A-1", card, [])).titles
    assert read_source(source_text("acme/A-1", card, [])) == (card, "acme/A-1", [])


def test_what_is_known_of_a_source_is_forgotten_on_demand():
    Grounds.of(SOURCE)
    grounds.forget()
    assert grounds._grounds.cache_info().currsize == 0
