"""Front matter, links, licence and parents of cards, whatever strangers write."""

import json
import random
import time

import pytest

from data_prep.cards.front_matter import split_front_matter
from data_prep.cards.links import extract_links
from data_prep.cards.parse import base_models, decode, languages, licence, parse_card, prose, words
from data_prep.core.records import RawCard

BODY = "# Tavira\n\nTavira sorts sea shells by sound.\n"
PLAIN = f"---\nlicense: mit\ntags:\n- audio\n- shells\n---\n{BODY}"
EXPECTED = {"license": "mit", "tags": ["audio", "shells"]}


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        "\n \n" + PLAIN,
        PLAIN.replace("---\n", "--- \t\n"),
        PLAIN.replace("- audio", "\t- audio").replace("- shells", "\t- shells"),
        PLAIN.replace("mit", "m\x07it"),
        PLAIN.replace("mit", "!!python/object/apply:os.system mit"),
        PLAIN.replace(f"---\n{BODY}", f"...\n{BODY}"),
    ],
)
def test_front_matter_is_read_in_all_its_forms(text):
    front = split_front_matter(text)
    assert (front.metadata, front.body, front.status) == (EXPECTED, BODY, "parsed")


def test_nul_bytes_and_broken_utf8_are_taken_out_before():
    text = decode(PLAIN.encode().replace(b"mit", b"m\0it").replace(b"shells by", b"\xffshells by"))
    front = split_front_matter(text)
    assert front.metadata == EXPECTED
    assert "\ufffdshells" in front.body
    assert decode("a\ud800b\0") == "a\ufffdb"


def test_comments_before_the_block_stay_in_the_body():
    front = split_front_matter(f"<!-- made by hand -->\n<!-- twice -->\n{PLAIN}")
    assert (front.metadata, front.status) == (EXPECTED, "parsed")
    assert front.body == f"<!-- made by hand -->\n<!-- twice -->\n{BODY}"


def test_scalars_stay_the_text_the_author_wrote():
    block = "language: no\nreleased: 2023-01-01\nversion: 1.10\nsize: 012\non: yes\nclock: 12:30:45\nnothing:\nnull_too: ~\nto_dict: 5"
    assert split_front_matter(f"---\n{block}\n---\n").metadata == {
        "language": "no", "released": "2023-01-01", "version": "1.10", "size": "012", "on": "yes", "clock": "12:30:45",
        "nothing": None, "null_too": None, "to_dict": "5",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("block", "status", "metadata"),
    [
        ("license: mit\nlicense: gpl-3.0", 'salvaged: key "license" twice, the last one kept', {"license": "gpl-3.0"}),
        ("license: mit\ntitle: a: b", "salvaged: mapping values are not allowed", {"license": "mit", "title": "a: b"}),
        (
            "license: mit\ntags: [a, 'b'\nx: [c, d]",
            "salvaged: did not find",
            {"license": "mit", "tags": "[a, 'b'", "x": ["c", "d"]},
        ),
        ("license: mit\na: &x [1]\nb: *x", "salvaged: an alias", {"license": "mit", "a": "&x [1]", "b": "*x"}),
        (
            "license: mit\na: " + "[" * 40 + "]" * 40,
            "salvaged: nested deeper than 32",
            {"license": "mit", "a": ["[" * 39 + "]" * 39]},
        ),
        (
            "license: mit\ntags:\n" + "- tag\n" * 17_000,
            "salvaged: 102020 characters",
            {"license": "mit", "tags": ["tag"] * 17_000},
        ),
        ("license: mit\n? [a, b]\n: c", "salvaged: a list or mapping as a key", {"license": "mit"}),
    ],
)
def test_what_yaml_cannot_read_is_salvaged_and_said(block, status, metadata):
    front = split_front_matter(f"---\n{block}\n---\n{BODY}")
    assert front.status.startswith(status)
    assert (front.metadata, front.body) == (metadata, BODY)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (f"---\n- a\n- b\n---\n{BODY}", "unreadable: holds a list"),
        (f"---\nJust words between two rules\n---\n{BODY}", "unreadable: holds a text"),
        (f"---\n{{a: [\n---\n{BODY}", "unreadable: "),
        (BODY, "none"),
        (f"---\n\nA card that opens with a rule.\n\n{BODY}", "none"),
        (f"---\nNote: a rule and a remark\n\n{BODY}", "none"),
        ("", "none"),
        ("---", "none"),
    ],
)
def test_what_is_no_front_matter_stays_in_the_body(text, status):
    front = split_front_matter(text)
    assert front.status.startswith(status)
    assert (front.metadata, front.body) == ({}, text)


def test_a_block_that_is_never_closed_ends_where_yaml_ends():
    front = split_front_matter(f"---\nlicense: mit\ntags:\n- audio\n- shells\n\n{BODY}")
    assert (front.metadata, front.status) == (EXPECTED, "salvaged: no closing fence")
    assert front.body.strip() == BODY.strip()


def test_an_empty_block_is_parsed_away():
    assert split_front_matter(f"---\n---\n{BODY}") == split_front_matter(f"---\n# nothing\n---\n{BODY}")
    assert split_front_matter(f"---\n---\n{BODY}").body == BODY


PIECES = ["---\n", "---", "\n", "\r", "\ufeff", "<!--", "-->", "a: b\n", "- x\n", "\t", "&a ", "*a ", "!!x ", "!<", "[", "{", "}", "]", '"', "'", "|\n",
          ">-\n", "%YAML 9\n", "? ", ": ", "\\x", '"\\ud800"', "\ud800", "\x00", "\x85", "\u2028", "#", "`", "```\n", "[a](", "](http://[::1", "http://x.y/",
          "arXiv:2401.00001", "10.1000/x(", "<a href='", "|a|b|\n|-|-|\n", "\U0001f41a", "license: ", "base_model: ", "language: [no, ", "@", "!["]  # fmt: skip


def test_no_text_makes_the_parser_raise_and_metadata_is_always_json():
    rng = random.Random(7)
    for _ in range(1500):
        text = PLAIN if rng.random() < 0.5 else ""
        for _ in range(rng.randint(1, 25)):
            place = rng.randint(0, len(text))
            text = text[:place] + rng.choice(PIECES) * rng.choice((1, 1, 1, 40)) + text[place + rng.choice((0, 0, 1, 5)) :]
        content = text if rng.random() < 0.5 else bytearray(text.encode("utf-8", "surrogatepass"))
        if isinstance(content, bytearray):
            for _ in range(rng.randint(0, 8)):
                content[rng.randrange(len(content))] = rng.randrange(256)
            content = bytes(content)
        card = parse_card(RawCard("a/b", content, "test"))
        json.dumps(card.metadata, ensure_ascii=False).encode()
        assert card.metadata_status.partition(":")[0] in ("parsed", "none", "salvaged", "unreadable")
        assert "\n" not in card.metadata_status
        words(prose(card.body))


@pytest.mark.parametrize("text", ["[" * 50_000, "<!--" * 50_000, "![" * 20_000, "](" * 50_000, "<" * 50_000, ">" * 50_000, "<!---->" * 30_000 + "x",
                                  "---\na: " + "[" * 60_000 + "\n---\n", "---\n" + "- " * 30_000 + "x\n---\n", "---\n" + "? " * 30_000 + "\n---\n"])  # fmt: skip
def test_no_text_keeps_the_parser_busy(text):
    started = time.process_time()
    prose(parse_card(RawCard("a/b", text, "test")).body)
    assert time.process_time() - started < 5


def test_links_in_all_forms_in_order_and_once():
    body = """
See the [report](https://shell.example/report_(final)) and [again](https://shell.example/report_(final)), or <https://shell.example/auto>.
A [reference][data], bare https://shell.example/bare. And www.tavira-shells.org/www, arXiv:2401.00001v2, doi:10.1000/shell.7(a).

| page | address |
|---|---|
| table | [cell](https://shell.example/cell) |

<div align="center"><a href="https://shell.example/html?a=1&amp;b=2"><img src="https://shell.example/x.png"></a></div>

Inline <a href='https://shell.example/inline'>here</a>. [arXiv:2401.00009](https://shell.example/own) [![arXiv](https://img.shields.io/x)](https://arxiv.org/abs/2401.00001v2)

[data]: https://shell.example/data "The data"
"""
    assert extract_links(body) == [
        "https://shell.example/report_(final)",
        "https://shell.example/auto",
        "https://shell.example/data",
        "https://shell.example/bare",
        "http://www.tavira-shells.org/www",
        "https://arxiv.org/abs/2401.00001v2",
        "https://doi.org/10.1000/shell.7(a)",
        "https://shell.example/cell",
        "https://shell.example/html?a=1&b=2",
        "https://shell.example/inline",
        "https://shell.example/own",  # and not the number that the link's words repeat
    ]


@pytest.mark.parametrize(
    "text",
    [
        "```\nhttps://shell.example/code\n```",
        "`https://shell.example/code` and README.md and model.py",
        "![picture](https://shell.example/picture.png)",
        "[picture](https://shell.example/picture.PNG)",
        "[relative](docs/use.md) [anchor](#use) [mail](mailto:a@shell.example)",
        "[script](javascript:alert(1)) [local](http://localhost:8000/x) [address](http://127.0.0.1/x)",
        "[![open](https://x.example/o.svg)](https://colab.research.google.com/drive/1) https://img.shields.io/badge/a https://discord.gg/x",
        "<!-- <a href='https://shell.example/hidden'>x</a> -->",
        "version 10.1 of a10.1000/x and arXiv: soon",
    ],
)
def test_what_is_no_link_to_read(text):
    assert extract_links(text) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Lumen/tavira-base", ["Lumen/tavira-base"]),
        ("gpt9", ["gpt9"]),
        (["a/b", "c/d", "a/b", None, ["e/f"]], ["a/b", "c/d", "e/f"]),
        ("a/b, c/d", ["a/b", "c/d"]),
        ("[a/b, 'c/d']", ["a/b", "c/d"]),
        ("https://huggingface.co/a/b", ["a/b"]),
        ({"name": "a/b"}, ["a/b"]),
        ({"a/b": None}, ["a/b"]),
        (["./out/final", "/home/me/model", "C:\\models\\x", "../x", "models/x", "a/b/c", "None", "", "has space"], []),
        (None, []),
    ],
)
def test_base_models_in_their_odd_forms(value, expected):
    assert base_models({"base_model": value}) == expected


def test_base_models_of_tags():
    assert base_models({"tags": ["base_model:a/b", "base_model:quantized:c/d", "audio"]}) == ["a/b", "c/d"]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"license": "Apache-2.0"}, "apache-2.0"),
        ({"license": ["MIT", "gpl"]}, "mit"),
        ({"license": "other", "license_name": "Shell-Community"}, "shell-community"),
        ({"license": "other"}, "other"),
        ({"licence": "mit"}, "mit"),
        ({"license": None}, None),
        ({"license": {"name": "mit"}}, "mit"),
        ({}, None),
    ],
)
def test_licence(metadata, expected):
    assert licence(metadata) == expected


def test_languages():
    assert languages({"language": "no"}) == ["no"]
    assert languages({"language": ["en", "pt-BR", "en", None]}) == ["en", "pt-BR"]
    assert languages({"language": "en, fr"}) == ["en", "fr"]
    assert languages({}) == []


def test_prose_is_what_the_author_wrote():
    body = """# Tavira
<!-- Provide a summary -->
Tavira [sorts](https://x.example) ![i](y.png) shells.
| a | b |
- **Developed by:** [More Information Needed]
- learning_rate: 2e-05
- Transformers 4.28.1
```python
print("no prose")
```
海の貝"""
    assert words(prose(body)) == ["tavira", "tavira", "sorts", "shells", "海", "の", "貝"]


def test_a_card_is_the_same_everywhere_and_keeps_its_text():
    card = parse_card(RawCard("a/b", PLAIN.encode(), "here", revision="r"))
    assert card == parse_card(RawCard("a/b", PLAIN.encode(), "here", revision="r"))
    assert (card.text, card.body, card.revision, len(card.id)) == (PLAIN, BODY, "r", 16)
    assert card.id != parse_card(RawCard("a/c", PLAIN, "here")).id
    assert card.sha256 == parse_card(RawCard("a/c", PLAIN, "here")).sha256
