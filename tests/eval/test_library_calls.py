"""What eval/README.md shows as calls of a library, run as it stands there, and how they refuse what they cannot do."""

import json
from pathlib import Path

import pytest
from commands import BASE, ROOT
from documents import blocks
from small_run import generation, make_run, run_stage

from data_prep.cards.parse import parse_card
from data_prep.core.files import read_jsonl
from data_prep.core.records import Generation, RawCard
from data_prep.prompts.student import source_text
from eval.score import ScoreConfig, score_summaries
from eval.summarize import summarize_card, summarizer
from eval.summarizing import from_options
from eval.summarizing.card_input import Found


@pytest.mark.parametrize("name", ["score_summaries", "summarize_card"])
def test_the_examples_of_the_readme_run(name, monkeypatch, capsys):
    (example,) = (text for _, language, text in blocks(ROOT / "eval" / "README.md") if language == "python" and name in text)
    monkeypatch.chdir(ROOT)
    exec(compile(example, "eval/README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_many_cards_load_their_model_once(monkeypatch):
    opened, writer = [], from_options.writer_of
    monkeypatch.setattr(from_options, "writer_of", lambda options: opened.append(options.model) or writer(options))
    summarize = summarizer(model=str(BASE), research=False, max_new_tokens=4)
    assert opened == []
    pages = [summarize(str(card)) for card in sorted((ROOT / "recipes/examples/cards").glob("*.md"))[:2]]
    assert opened == [str(BASE)]
    for page in pages:
        assert page.source == source_text(page.found.card.model_id, page.found.card.text, [])


@pytest.mark.parametrize(
    ("source", "place", "expected"),
    [
        ("file:a b.md", "/cards/a b.md", "../cards/a%20b.md#L{line}"),
        ("page:https://x.example/a", "https://x.example/a b(c).md", "https://x.example/a%20b%28c%29.md"),
        ("hub", "the Hub, commit 1234", "https://huggingface.co/o/n/blob/12345/README.md?code=true#L{line}"),
        ("stdin", "standard input", ""),
    ],
)
def test_a_card_s_lines_have_an_address(source, place, expected):
    card = parse_card(RawCard("o/n", "# n", source, "12345"))
    assert Found(card, place, "").address(Path("/out")) == expected


def test_figures_in_memory_are_those_of_the_command(tmp_path):
    cards = make_run(tmp_path)
    finished = run_stage("eval.score", tmp_path, "--score.bootstrap_samples", "1000", "--seed", "3")
    assert finished.returncode == 0, finished.stderr
    written = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    files = sorted((tmp_path / "eval" / "generations").glob("*.jsonl"))
    rows = [row for file in files for row in read_jsonl(file, Generation)]
    found = score_summaries(cards, rows, ScoreConfig(bootstrap_samples=1000), seed=3)
    assert json.loads(json.dumps(found)) == {key: written[key] for key in found}
    assert set(written) - set(found) == {"probes", "probe_metrics", "measures"}


def test_a_summary_of_no_card_is_refused(tmp_path):
    cards = make_run(tmp_path)
    with pytest.raises(ValueError, match='of card "none", which is not among the cards'):
        score_summaries(cards, [generation("none", "mine", "text")])


def test_two_summaries_of_one_card_are_two_samples_or_refused(tmp_path):
    cards = make_run(tmp_path)
    twice = [generation(cards[0].id, "mine", text) for text in ("one", "another")]
    with pytest.raises(ValueError, match=f'"mine" has two summaries of card "{cards[0].id}"; give the second sample: 1'):
        score_summaries(cards, twice)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"modell": "x"}, 'no option "modell". Did you mean "model"'),
        ({"out": "x.md"}, 'no option "out"'),
        ({"model": str(BASE), "temperature": 3.0}, "--temperature is 3.0, expected 0 to 2"),
    ],
)
def test_an_option_that_the_command_has_not_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        summarize_card("card.md", **options)
