"""The second task, a page -> notes: rows, mixed training, and what is measured of a model that takes notes."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from commands import BASE, ROOT, run_command, run_here
from training_runs import make_run

from data_prep.chat.client import Answer
from data_prep.collect import CollectConfig
from data_prep.collect import main as collect
from data_prep.core.files import read_jsonl, write_jsonl
from data_prep.core.recipe import load
from data_prep.core.records import Card, Generation, HeldOut, Note, SourceRecord
from data_prep.examples import ExamplesConfig
from data_prep.examples import main as build_examples
from data_prep.notes_task.checks import check_notes, page_source
from data_prep.notes_task.rows import (
    CHANGED,
    COMMON,
    DECLINES,
    NO_PAGE,
    NO_ROOM,
    NO_TEACHER,
    SAID_NOTHING,
    SURPLUS,
    UNREADABLE,
    NotesRow,
    NotesRows,
)
from data_prep.pages.cache import PageCache, fetched_page, refused_page
from data_prep.prompts.student import NOTES_SYSTEM, NOTES_WORDS, SYSTEM, read_source
from data_prep.research import ResearchConfig, with_note
from data_prep.research import main as research
from data_prep.split import SplitConfig
from data_prep.split import main as divide
from data_prep.write import WriteConfig
from data_prep.write import main as write
from eval.notes import NotesConfig
from eval.notes import main as take_notes
from eval.notes_task.metrics import NOTES_METRICS, measure_notes

SMALL = ("--collect.cards", "24", "--split.heldout", "0.3", "--split.validation", "0.2")
NOTES_ON = ("--examples.notes_rows", "true", "--examples.notes_per_card", "2")


def data_stage(main, config, run_dir, *overrides):
    arguments = ["--config", str(ROOT / "recipes" / "demo" / "data.yaml"), "--run_dir", str(run_dir), *overrides]
    main(load(config.__name__.removesuffix("Config").lower(), config, arguments))


def examples(run_dir, *overrides):
    data_stage(build_examples, ExamplesConfig, run_dir, "--examples.tokenizer", str(BASE), *overrides)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A small invented world with its pages, and both tasks' rows."""
    run_dir = tmp_path_factory.mktemp("notes") / "run"
    data_stage(collect, CollectConfig, run_dir, *SMALL)
    data_stage(divide, SplitConfig, run_dir, *SMALL)
    data_stage(research, ResearchConfig, run_dir)
    data_stage(write, WriteConfig, run_dir)
    done = run_command("-m", "data_prep.synthetic_pages", str(run_dir))
    assert done.returncode == 0, done.stderr
    examples(run_dir, *NOTES_ON)
    return run_dir


def notes_told(run_dir):
    return (note for line in (run_dir / "data" / "notes.jsonl").open() for note in json.loads(line)["notes"])


def rows_of(run_dir, split):
    rows = pq.read_table(run_dir / "data" / "sft" / f"{split}.parquet").to_pylist()
    return [row | {"provenance": json.loads(row["provenance"])} for row in rows]


# --- rows ---------------------------------------------------------------------------------------------------------------


def test_both_tasks_rows_stand_in_one_table_and_held_out_pages_apart(run_dir):
    data = run_dir / "data"
    splits = json.loads((data / "split.json").read_text())["splits"]
    pages = {}
    for split in ("train", "validation"):
        rows = rows_of(run_dir, split)
        notes = [row for row in rows if row["provenance"].get("task") == "notes"]
        assert notes
        assert len(notes) < len(rows)
        words = "/system_override /no_think"
        assert {row["prompt"][0]["content"] for row in notes} == {f"{NOTES_SYSTEM}\n{words}"}
        assert {row["prompt"][0]["content"] for row in rows if row not in notes} == {f"{SYSTEM}\n{words}"}
        assert {splits[row["provenance"]["card_id"]] for row in notes} == {split}
        assert max(sum(row["provenance"]["card_id"] == card for row in notes) for card in splits) == 2
        assert all(row["chat_template_kwargs"] == {"enable_thinking": False} for row in notes)
        assert all(row["provenance"]["prompt_tokens"] <= 1200 and row["provenance"]["writer"] == "attached" for row in notes)
        assert len({row["id"] for row in rows}) == len(rows)
        # A card's rows stand together, in the order of the cards, as readers of the table expect.
        order = [row["provenance"]["card_id"] for row in rows]
        assert list(dict.fromkeys(order)) == [card for card in splits if card in set(order)]
        pages[split] = {row["provenance"]["url"] for row in notes}
    held_out = list(read_jsonl(data / "heldout_notes.jsonl", HeldOut))
    assert held_out
    families = json.loads((data / "split.json").read_text())["families"]
    assert {page.family for page in held_out} <= {families[card] for card, split in splits.items() if split == "heldout"}
    assert not {read_source(page.source)[2][0].url for page in held_out} & (pages["train"] | pages["validation"])
    aside = [json.loads(line) for line in (data / "rejected.jsonl").open() if '"notes' in line]
    made = len(held_out) + sum(len([r for r in rows_of(run_dir, s) if "task" in r["provenance"]]) for s in pages)
    assert made + len(aside) == len(list(notes_told(run_dir)))


def test_finished_rows_are_not_made_again_and_switched_off_leave_nothing(run_dir, tmp_path, capsys):
    other = tmp_path / "run"
    shutil.copytree(run_dir, other)
    examples(other, *NOTES_ON)
    assert "done already" in capsys.readouterr().out
    examples(other)
    assert not (other / "data" / "heldout_notes.jsonl").exists()
    assert all("task" not in row["provenance"] for row in rows_of(other, "train"))
    (other / "data" / "pages.sqlite").unlink()
    examples(other, *NOTES_ON)
    assert f"examples: notes rows of {len(list(notes_told(run_dir)))} notes: 0 train" in (out := capsys.readouterr().out)
    assert NO_PAGE in out
    assert (other / "data" / "heldout_notes.jsonl").read_text() == ""


PAGE_TEXT = "# Quillon report\n\n" + "The network has 37 layers and saw 2.4T tokens over nine days.\n" * 5
URL = "https://papers.example/quillon"


@pytest.fixture
def card(run_dir):
    return next(read_jsonl(run_dir / "data" / "cards.jsonl", Card))


@pytest.fixture
def pages(tmp_path):
    with PageCache(tmp_path / "pages.sqlite") as pages:
        pages.put(fetched_page(URL, URL, "text/markdown", PAGE_TEXT.encode()))
        pages.put(fetched_page(f"{URL}/short", URL, "text/markdown", b"Nothing here."))
        pages.put(refused_page(f"{URL}/gone", URL, 404, "not found"))
        yield pages


def record(card, note="- It has 37 layers.", url=URL, **other):
    return SourceRecord(card.id, url, "page", "own", "", **{"address": url, "teacher": "a/teacher", "note": note, **other})


def made(pages, tokenizer, card, *records, split="train", attached=(), **settings):
    notes = NotesRows(tokenizer, pages, **{"common_sources": [], "per_card": 9, "max_tokens": 2000, **settings})
    return list(notes.of(card, attached, records, split, "family")), [row.reason for row in notes.rejected]


def test_a_teachers_grounded_note_is_a_row(card, pages, tokenizer):
    (row,), aside = made(pages, tokenizer, card, record(card))
    assert aside == []
    example = row.example(tokenizer)
    assert example.completion == [{"role": "assistant", "content": "- It has 37 layers."}]
    assert "saw 2.4T tokens" in example.prompt[1]["content"]
    assert example.provenance["writer"] == "a/teacher"
    assert row.held_out().reference == "- It has 37 layers."


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"note": "- It has 38 layers."}, "notes fail numbers"),
        ({"note": "- It beats Zorblax-9B with 37 layers."}, "notes fail names"),
        ({"note": "- See [more](https://other.example/page)."}, "notes fail links"),
        ({"note": " ".join(f"w{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(NOTES_WORDS + 1))}, "notes fail words"),
        ({"url": "https://papers.example/never"}, NO_PAGE),
        ({"url": f"{URL}/gone"}, NO_PAGE),
        ({"url": f"{URL}/short"}, UNREADABLE),
        ({"content_sha256": "of another text"}, CHANGED),
        ({"teacher": ""}, NO_TEACHER),
    ],
)
def test_a_note_that_cannot_teach_is_set_aside_with_the_reason(card, pages, tokenizer, given, reason):
    rows, aside = made(pages, tokenizer, card, record(card, **given))
    assert (rows, aside) == ([], [reason])


def test_what_the_budget_cut_from_the_page_is_no_support(card, pages, tokenizer):
    late = PAGE_TEXT + "Filler without figures.\n" * 300 + "It reached 81.5 on MMLU.\n"
    pages.put(fetched_page(URL, URL, "text/markdown", late.encode()))
    note = record(card, "- It reached 81.5.")
    assert made(pages, tokenizer, card, note, max_tokens=9000)[1] == []
    assert made(pages, tokenizer, card, note, max_tokens=1200)[1] == ["notes fail numbers"]
    assert made(pages, tokenizer, card, note, max_tokens=9000, page_characters=2000)[1] == ["notes fail numbers"]
    assert made(pages, tokenizer, card, note, max_tokens=40)[1] == [NO_ROOM]


def test_pages_that_several_splits_share_serve_training_alone(card, pages, tokenizer):
    common = {"common_sources": ["page:papers.example/quillon"]}
    for split, aside in (("train", []), ("validation", [COMMON]), ("heldout", [COMMON])):
        assert made(pages, tokenizer, card, record(card), split=split, **common)[1] == aside
    attached = [Note(URL, "- It has 37 layers.")]
    assert made(pages, tokenizer, card, attached=attached, split="heldout", **common)[1] == [COMMON]
    assert made(pages, tokenizer, card, attached=attached, split="heldout")[1] == []


def test_a_card_has_no_more_rows_than_its_share(card, pages, tokenizer):
    for number in range(4):
        pages.put(fetched_page(f"{URL}/{number}", URL, "text/markdown", PAGE_TEXT.encode()))
    records = [record(card, url=f"{URL}/{number}") for number in range(4)]
    rows, aside = made(pages, tokenizer, card, *records, per_card=2)
    assert (len(rows), aside) == (2, [SURPLUS] * 2)


def test_nothing_new_is_a_row_and_stays_rare_in_training(card, pages, tokenizer):
    declined = with_note(record(card, note=""), Answer("**NOTHING NEW.**", "stop", 9, 3, "a/teacher", "key"), "a/teacher")
    assert declined.reason == SAID_NOTHING
    (row,), _ = made(pages, tokenizer, card, declined, split="heldout")
    assert row.held_out().reference == "NOTHING NEW"
    for number in range(9):
        pages.put(fetched_page(f"{URL}/{number}", URL, "text/markdown", PAGE_TEXT.encode()))
    notes = NotesRows(tokenizer, pages, [], 9, 2000)
    told = [record(card, url=f"{URL}/{number}") for number in range(9)]
    assert not list(notes.of(card, (), [declined], "train", "family"))
    assert len(list(notes.of(card, (), told, "train", "family"))) == 9
    (row,) = notes.of(card, (), [declined], "train", "family")
    assert isinstance(row, NotesRow)
    assert not list(notes.of(card, (), [declined], "train", "family"))
    assert [row.reason for row in notes.rejected] == [DECLINES] * 2


# --- training -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_of_both_tasks_is_trained_on(run_dir, tmp_path):
    run, ours, theirs = make_run(tmp_path, BASE, rows=4), tmp_path / "data", run_dir / "data"
    shutil.copy(theirs / "sft" / "train.parquet", ours / "sft")
    # The first validation card has notes rows alone: it is none to be summarised while training.
    table = pq.read_table(theirs / "sft" / "validation.parquet")
    told = [json.loads(row) for row in table["provenance"].to_pylist()]
    first = told[0]["card_id"]
    kept = table.filter([row["card_id"] != first or "task" in row for row in told])
    assert json.loads(kept["provenance"][0].as_py())["card_id"] == first
    pq.write_table(kept, ours / "sft" / "validation.parquet")
    write_jsonl(ours / "sampling.jsonl", [card for card in read_jsonl(theirs / "sampling.jsonl", HeldOut) if card.id != first])
    ended = run.train("--max_steps", "2", "--sample_cards", "2", "--sample_steps", "2", "--sample_tokens", "8")
    assert ended.code == 0, ended.output
    assert run.result()["steps"] == 2
    assert f"sft: {len(rows_of(run_dir, 'train'))} rows" in ended.output
    samples = [json.loads(line) for line in (run.output / "samples.jsonl").open()]
    assert {sample["id"] for sample in samples} <= {card.id for card in read_jsonl(ours / "sampling.jsonl", HeldOut)}


# --- evaluation ---------------------------------------------------------------------------------------------------------


def settings(run_dir, systems, *overrides):
    return (
        *("--config", str(ROOT / "recipes" / "demo" / "eval.yaml"), "--run_dir", str(run_dir), "--notes.systems", systems),
        *("--notes.dtype", "float32", "--notes.max_new_tokens", "8", "--notes.batch_size", "2", *overrides),
    )


def evaluate(run_dir, systems, *overrides):
    take_notes(load("notes", NotesConfig, settings(run_dir, systems, *overrides)))


def test_notes_are_written_measured_and_never_made_twice(run_dir, tiny_model, capsys):
    systems = f'{{tiny: "{tiny_model}", lead: "baseline:lead", reference: "baseline:reference"}}'
    evaluate(run_dir, systems, "--notes.pages", "2")
    assert "notes on 2 held-out pages" in capsys.readouterr().out
    part = (run_dir / "eval" / "notes" / "tiny.jsonl.part").read_text()
    evaluate(run_dir, systems, "--notes.pages", "4")
    assert "2 of 4 notes by tiny are there already" in capsys.readouterr().out
    assert (run_dir / "eval" / "notes" / "tiny.jsonl.part").read_text().startswith(part)
    pages = list(read_jsonl(run_dir / "data" / "heldout_notes.jsonl", HeldOut))[:4]
    written = list(read_jsonl(run_dir / "eval" / "notes" / "tiny.jsonl", Generation))
    assert [one.id for one in written] == [page.id for page in pages]
    found = json.loads((run_dir / "eval" / "notes.json").read_text())
    assert found["pages"] == 4
    assert set(found["systems"]) == {"tiny", "lead", "reference"}
    assert found["systems"]["reference"]["rougeLsum"]["mean"] == 1
    assert found["systems"]["reference"]["grounded"]["mean"] == found["systems"]["lead"]["grounded"]["mean"] == 1
    assert found["systems"]["reference"]["number_recall"]["mean"] == 1
    assert found["systems"]["tiny"]["finished"]["mean"] < 1
    gaps = {(row["a"], row["b"], row["metric"]): row["difference"] for row in found["comparisons"]}
    assert gaps["tiny", "reference", "number_recall"] > 0.5
    evaluate(run_dir, systems, "--notes.pages", "4")
    assert capsys.readouterr().out.count("done already") == 4


@pytest.mark.parametrize(
    ("systems", "said"),
    [
        ("{}", "systems names no model"),
        ('{a: "baseline:front_matter"}', "is no baseline for notes; known: baseline:lead, baseline:reference"),
        ("{a: {model: x/y, backend: vllm}}", "a has backend vllm"),
        ('{a: "./nowhere"}', "there is no folder ./nowhere"),
    ],
)
def test_a_mistake_in_the_systems_is_one_line(run_dir, systems, said):
    with pytest.raises(ValueError, match=said):
        evaluate(run_dir, systems)


def test_without_held_out_pages_the_way_to_them_is_told(tmp_path):
    done = run_here("eval.notes", *settings(tmp_path, '{lead: "baseline:lead"}'))
    assert done.returncode == 2
    assert "set examples.notes_rows: true and run data_prep.examples" in done.stderr


def measured(text, reference="- It has 37 layers and saw 2.4T tokens.", finish_reason="stop"):
    page = HeldOut("id", [], page_source("quill/Quillon-2B", URL, PAGE_TEXT), reference, "family")
    found = measure_notes(Generation("key", "id", "system", text, finish_reason, 1, 1), page)
    assert list(found) == [metric.name for metric in NOTES_METRICS]
    return found


def test_measures_tell_invention_omission_and_silence_apart():
    right = measured("- It saw 2,400 billion tokens; 37 layers.")
    assert (right["grounded"], right["number_recall"], right["nothing_new_agrees"]) == (1, 1, 1)
    invented = measured("- It has 37 layers and 12 heads.")
    assert (invented["grounded"], invented["numbers_grounded"], invented["number_recall"]) == (0, 0.5, 0.5)
    vague = measured("- It has many layers.")
    assert (vague["grounded"], vague["numbers_grounded"], vague["number_recall"]) == (1, None, 0)
    silent = measured("NOTHING NEW")
    assert (silent["grounded"], silent["number_recall"], silent["nothing_new_agrees"], silent["words"]) == (None, 0, 0, None)
    chatty = measured("- It has 37 layers.", reference="NOTHING NEW")
    assert (chatty["number_recall"], chatty["nothing_new_agrees"], chatty["rougeLsum"]) == (None, 0, None)
    assert measured("NOTHING NEW", reference="NOTHING NEW")["nothing_new_agrees"] == 1
    assert measured("- It", finish_reason="length")["finished"] == 0
    assert (measured("- It", finish_reason="loop")["finished"], measured("- It", finish_reason="loop")["looped"]) == (0, 1)
    assert measured("")["in_length"] == 0


def test_the_pages_own_address_and_the_models_page_may_be_linked():
    source = page_source("quill/Quillon-2B", URL, PAGE_TEXT)
    text = f"- [37 layers]({URL}) of [the model](https://huggingface.co/quill/Quillon-2B)."
    assert all(result.passed for result in check_notes(text, source))
