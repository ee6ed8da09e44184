"""Which links of a card are its own sources, and where their text is to be had."""

import pytest

from data_prep.cards.parse import parse_card
from data_prep.core.records import RawCard
from data_prep.pages.choose import addresses, links_of_interest, names_model

BODY = """# Brindle-7B

Brindle-7B reads long letters. See [our paper](https://arxiv.org/abs/2501.01234v2) and its [PDF](https://arxiv.org/pdf/2501.01234).
Fine-tuned from [Corvid](https://huggingface.co/corvid/Corvid-7B) with [a trainer](https://github.com/huggingface/trl).
The code is at https://github.com/oskar-lab/letters and there is a [page about it](https://oskar.example/brindle-7b/notes).
Evaluated using [somebody's harness](https://github.com/stranger/harness). [Badge page](https://oskar.example).
It was compared with many models, see [a survey](https://arxiv.org/abs/2401.00001) and [another](https://arxiv.org/abs/2401.00002).
[Weights](https://huggingface.co/oskar-lab/Brindle-7B/resolve/main/model.safetensors) [licence](https://opensource.org/licenses/MIT)
[report](https://research.nvidia.com/labs/brindle-7b) [site](https://nvidia.com/brindle-7b)
[model page](https://huggingface.co/oskar-lab/Brindle-7B) [data](https://huggingface.co/datasets/oskar-lab/letters)
"""


@pytest.fixture(scope="module")
def links():
    card = parse_card(RawCard("oskar-lab/Brindle-7B", BODY, "test"))
    return {link.url: link for link in links_of_interest(card)}


@pytest.mark.parametrize(
    ("url", "standing", "why"),
    [
        ("https://oskar.example/brindle-7b/notes", "own", "names the model"),
        ("https://research.nvidia.com/labs/brindle-7b", "own", "names the model"),
        ("https://nvidia.com/brindle-7b", "mention", "says nothing about one model"),
        ("https://github.com/oskar-lab/letters", "own", "oskar-lab's own"),
        ("https://huggingface.co/datasets/oskar-lab/letters", "own", "oskar-lab's own"),
        ("https://arxiv.org/abs/2501.01234v2", "likely", "presents it as its own"),
        ("https://huggingface.co/corvid/Corvid-7B", "mention", "a card of its own"),
        ("https://github.com/huggingface/trl", "mention", "a tool's own page"),
        ("https://github.com/stranger/harness", "mention", "used or came from it"),
        ("https://arxiv.org/abs/2401.00001", "mention", "used or came from it"),
        ("https://oskar.example", "mention", "a home page"),
        ("https://opensource.org/licenses/MIT", "mention", "says nothing about one model"),
        ("https://huggingface.co/oskar-lab/Brindle-7B/resolve/main/model.safetensors", "mention", "a file"),
    ],
)
def test_each_link_stands_for_what_it_is_with_the_reason(links, url, standing, why):
    assert links[url].standing == standing, links[url]
    assert why in links[url].why


def test_a_page_is_listed_once_and_the_models_own_hub_page_is_left_out(links):
    assert "https://arxiv.org/pdf/2501.01234" not in links
    assert "https://huggingface.co/oskar-lab/Brindle-7B" not in links


def test_own_sources_come_first(links):
    standings = [link.standing for link in links.values()]
    assert standings == sorted(standings, key=("own", "likely", "mention").index)


def test_the_only_papers_of_a_card_are_likely_its_own():
    card = parse_card(RawCard("a/Brindle-7B", "Text. [1](https://arxiv.org/abs/2501.01234)", "test"))
    assert [link.why for link in links_of_interest(card)] == ["one of the few papers it links to"]


@pytest.mark.parametrize(
    ("url", "first"),
    [
        ("https://arxiv.org/pdf/2501.01234v2.pdf", "https://arxiv.org/html/2501.01234"),
        ("https://huggingface.co/papers/2501.01234", "https://arxiv.org/html/2501.01234"),
        ("https://github.com/Osk/Letters.git", "https://raw.githubusercontent.com/Osk/Letters/HEAD/README.md"),
        ("https://github.com/Osk/Letters/tree/dev", "https://raw.githubusercontent.com/Osk/Letters/dev/README.md"),
        (
            "https://github.com/Osk/Letters/blob/main/docs/Report.pdf",
            "https://raw.githubusercontent.com/Osk/Letters/main/docs/Report.pdf",
        ),
        (
            "https://raw.githubusercontent.com/Osk/Letters/main/CARD.md",
            "https://raw.githubusercontent.com/Osk/Letters/main/CARD.md",
        ),
        ("https://huggingface.co/datasets/Osk/letters", "https://huggingface.co/datasets/Osk/letters/resolve/main/README.md"),
        ("https://huggingface.co/Osk/Brindle", "https://huggingface.co/Osk/Brindle/resolve/main/README.md"),
        ("https://huggingface.co/blog/brindle", "https://huggingface.co/blog/brindle"),
        ("https://oskar.example/notes", "https://oskar.example/notes"),
    ],
)
def test_text_is_asked_for_where_it_is_plainest(url, first):
    assert addresses(url)[0] == first


@pytest.mark.parametrize(
    ("model_id", "text", "expected"),
    [
        ("osk/Brindle-7B-GGUF", "We release Brindle 7B today", True),
        ("osk/brindle-7b-instruct", "the brindle_7b models", True),
        ("osk/Brindle-7B", "a seven billion model", False),
        ("osk/base", "the base model", False),  # too general a name to be looked for
    ],
)
def test_a_text_names_the_model_in_any_spelling(model_id, text, expected):
    assert names_model(parse_card(RawCard(model_id, "x", "test")), text) is expected
