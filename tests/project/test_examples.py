"""The scripts of recipes/examples, run as a reader runs them: on what ships, and on a reader's own files."""

import importlib.util
import json
import re
import shlex
import sys

import pytest
from commands import BASE, ROOT, run_command, run_here
from documents import examples

from data_prep.core.files import write_jsonl
from data_prep.synthetic.world import raw_cards

EXAMPLES = ROOT / "recipes" / "examples"


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Runs an example's main in an empty folder; returns what it printed."""

    def run(name, *arguments, module=None):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        (module or loaded(name)).main()
        return capsys.readouterr().out

    return run


def test_each_example_begins_with_how_to_launch_it_and_tells_it_with_help_too():
    assert len(examples()) == 3
    for path in examples():
        said = loaded(path.stem).parser().format_help()
        for word in (f"python recipes/examples/{path.name}", "Needs ", "Reads ", "Writes "):
            assert word in said
        assert len(path.read_text(encoding="utf-8").splitlines()) < 150, "a tutorial is short"


def test_a_mistake_is_told_in_a_line():
    said = run_command(str(EXAMPLES / "score_summaries.py"), "no-such.jsonl")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("score_summaries: there is no no-such.jsonl; ")
    assert len(said.stderr.splitlines()) == 1


def test_no_page_overwrites_a_card_or_another_page(run, tmp_path):
    cards = [tmp_path / name for name in ("velildra--Caliomun-29B.md", "copy.md")]
    for card in cards:
        card.write_text(
            (EXAMPLES / "cards" / cards[0].name)
            .read_text(encoding="utf-8")
            .replace("---\n", "---\nmodel_id: velildra/Caliomun-29B\n", 1)
        )
    before = cards[0].read_text()
    small = ("--model", BASE, "--max-new-tokens", 4)
    with pytest.raises(ValueError, match=r"velildra--Caliomun-29B\.md is a card or another page; name another --out"):
        run("compare_cards", cards[0], "--out", tmp_path, *small)
    with pytest.raises(ValueError, match="name another --out, or each model once"):
        run("compare_cards", *cards, "--out", tmp_path / "out", *small)
    assert cards[0].read_text() == before


def test_the_cards_that_ship_are_those_of_the_invented_world():
    made = {raw.model_id.replace("/", "--"): raw.content for raw in raw_cards(1, 60)}
    files = sorted(EXAMPLES.glob("cards/*.md"))
    assert len(files) == 3
    assert [file.read_text(encoding="utf-8") for file in files] == [made[file.stem] for file in files]


def test_a_family_is_summarised_and_compared(run, tmp_path):
    said = run("compare_cards", "--model", BASE, "--max-new-tokens", 8)
    out = tmp_path / "runs/examples/compare"
    table = (out / "comparison.md").read_text(encoding="utf-8")
    pages = sorted(path.name for path in out.glob("*--*.md"))
    assert len(pages) == 3
    assert all(f"[{page}]({page})" in table for page in pages)
    assert table.count("checks: ") == 3
    assert "checks: " in (out / pages[0]).read_text(encoding="utf-8")
    assert "score: GSM8K | – | 93.3 | –" in said
    # Each link leads to a line of the card that has what the cell says.
    cells = re.findall(r"\[([^\]]+)\]\((\S+)#L(\d+)\)", table)
    assert len(cells) > 25
    for text, place, line in cells:
        row = (out / place).read_text(encoding="utf-8").splitlines()[int(line) - 1]
        assert text.split(", ")[0] in row


def test_summaries_of_baselines_are_scored_with_intervals_and_what_they_mean(run, tmp_path):
    said = run("score_summaries")
    lines = [json.loads(line) for line in (tmp_path / "runs/examples/summaries.jsonl").read_text().splitlines()]
    assert {line["system"] for line in lines} == {"lead", "front_matter", "reference"}
    text = (tmp_path / "runs/examples/scores/scores.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| pages without a flag |"))
    assert "| 0.0 [0.0, 33.6] (n=24) |" in row
    assert "| 100.0 [66.4, 100.0] (n=24) |" in row
    assert row.endswith("(how often: the project's eval/checks.md). |")
    assert "reference − lead" in text
    assert "24 cards of 9 families" in said
    flags = (tmp_path / "runs/examples/scores/flags.md").read_text(encoding="utf-8")
    assert "**front_matter**" in flags
    assert "**reference**" not in flags


def test_a_reader_s_own_folders_are_scored_by_system(run, tmp_path):
    raw = next(raw_cards(1, 1))
    for place, text in (
        ("cards", raw.content),
        ("mine/good", raw.summaries[0]),
        ("mine/bad", "# Quinukis-55B\n\nGSM8K: 99.9.\n"),
    ):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / f"{raw.model_id.replace('/', '--')}.md").write_text(text, encoding="utf-8")
    run("score_summaries", "mine", "--cards", "cards", "--out", "out")
    text = (tmp_path / "out/scores.md").read_text(encoding="utf-8")
    assert "| shares in percent | bad | good | what it says |" in text
    flags = (tmp_path / "out/flags.md").read_text(encoding="utf-8")
    assert "- **bad**, " in flags
    assert "99.9" in flags


def test_commands_that_training_shows_are_those_that_it_runs_for_smollm3_3b_too(tmp_path, monkeypatch, capsys):
    from shown_commands import check

    module = loaded("train_on_your_own")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(module, "SHOWN", tmp_path / "pairs.jsonl")
    monkeypatch.setattr(module.subprocess, "run", lambda words: type("Done", (), {"returncode": 0}))
    monkeypatch.setattr(module, "summarize_card", lambda *_, **__: pytest.exit)
    for recipe in ("demo", "smollm3-3b"):
        monkeypatch.setattr(sys, "argv", ["x", "--recipe", recipe, "--card", "x.md", "--cards", "2"])
        with pytest.raises(AttributeError):  # no model has been made
            module.main()
        shown = re.findall(r"^\$ (.+)$", capsys.readouterr().out, re.MULTILINE)
        assert len(shown) == 7
        for command in shown:
            check(shlex.join(["python", *shlex.split(command)[1:]]))


@pytest.mark.slow
def test_own_pairs_become_a_model_that_writes_a_page(run, tmp_path, monkeypatch):
    """Every stage in this process, whose imports are done; the launcher alone is left out."""
    module, rows = loaded("train_on_your_own"), []

    def command(name, *arguments):
        words = list(map(str, arguments))
        if name == "training.launch":
            name, words = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
        done = run_here(name, *words)
        assert done.returncode == 0, done.stderr[-3000:]
        rows.append(name)

    monkeypatch.setattr(module, "command", command)
    pairs = [{"model_id": raw.model_id, "text": raw.content, "summary": raw.summaries} for raw in raw_cards(2, 24)]
    write_jsonl(tmp_path / "mine.jsonl", pairs)
    folder = tmp_path / "run"
    options = ["--run_dir", folder, "--max_steps", "2", "--max-new-tokens", "20"]
    said = run("train_on_your_own", tmp_path / "mine.jsonl", *options, module=module)
    assert rows == [
        *(f"data_prep.{name}" for name in "collect split research write examples".split()),
        "training.sft",
        "training.merge",
    ]
    assert "checks: " in (folder / "page.md").read_text(encoding="utf-8")
    assert (folder / "sft-merged/model.safetensors").exists()
    splits = json.loads((folder / "data/split.json").read_text())["splits"]
    [card] = folder.glob("*--*.md")
    known = {
        card["model_id"]: splits[card["id"]] for card in map(json.loads, (folder / "data/cards.jsonl").read_text().splitlines())
    }
    assert known[card.stem.replace("--", "/")] == "heldout"
    assert str(folder / "sft-merged") in said
