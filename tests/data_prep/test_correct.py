"""Pages for a reader to set right: written once, kept as they are edited, and read back."""

import pytest
from commands import run_here

from data_prep.core.files import read_jsonl, write_jsonl
from data_prep.core.records import Correction, Generation, HeldOut
from data_prep.prompts.student import source_text
from data_prep.synthetic.world import raw_cards


@pytest.fixture
def run(tmp_path):
    """A card with three samples, of which the second says everything twice."""
    raw = next(iter(raw_cards(1, 6)))
    card = HeldOut("card0", [], source_text(raw.model_id, raw.content, raw.notes), raw.summaries[0], "f")
    texts = (raw.summaries[0], raw.summaries[1] * 2, raw.summaries[1])
    samples = [Generation(f"key{k}", card.id, "sft", text, "length", 1, 1, k) for k, text in enumerate(texts)]
    write_jsonl(tmp_path / "data" / "sampling.jsonl", [card])
    write_jsonl(tmp_path / "data" / "samples.jsonl", samples)
    return tmp_path, raw.model_id


def correct(run_dir, *options):
    return run_here(
        "data_prep.correct", "--config", "recipes/demo/data.yaml", "--run_dir", str(run_dir),
        "--correct.folder", str(run_dir / "pages"), *options,
    )  # fmt: skip


def test_pages_wait_for_a_reader_and_what_was_edited_is_read_back_with_what_the_checks_mark(run):
    run_dir, model_id = run
    pages = run_dir / "pages" / "card0"
    done = correct(run_dir)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in pages.iterdir()) == ["key0.md", "key2.md", "source.md"]
    assert "0 pages corrected, 2 as they were written" in done.stdout
    edited = (pages / "key2.md").read_text() + "\n- It has 987,654 layers.\n"
    (pages / "key2.md").write_text(edited)
    done = correct(run_dir)
    assert (pages / "key2.md").read_text() == edited
    assert "1 pages corrected, 1 as they were written" in done.stdout
    assert "key2.md: numbers" in done.stdout
    assert "987,654" in done.stdout
    (row,) = read_jsonl(run_dir / "data" / "corrections.jsonl", Correction)
    assert (row.card_id, row.model_id, row.key, row.corrected, row.finish_reason) == (
        "card0",
        model_id,
        "key2",
        edited.strip(),
        "length",
    )
    assert row.written.strip() == edited.rpartition("\n- ")[0].strip()


def corrections(run_dir):
    return {row.key: row.corrected for row in read_jsonl(run_dir / "data" / "corrections.jsonl", Correction)}


def test_corrections_whose_page_or_sample_is_gone_stay_and_one_that_is_taken_back_goes(run):
    run_dir, _ = run
    earlier = [Correction(key, "card0", "m", "sft", "was", "", "stop", "# Is") for key in ("gone", "key0", "key2")]
    write_jsonl(run_dir / "data" / "corrections.jsonl", earlier)
    assert correct(run_dir).returncode == 0
    assert corrections(run_dir) == dict.fromkeys(("gone", "key0", "key2"), "# Is")
    pages = run_dir / "pages" / "card0"
    assert (pages / "key0.md").read_text() == "# Is\n"
    samples = {row.key: row.text for row in read_jsonl(run_dir / "data" / "samples.jsonl", Generation)}
    (pages / "key0.md").write_text(samples["key0"])
    (pages / "other.md").write_text("# A page of another model")
    done = correct(run_dir, "--correct.per_card", "1")
    assert corrections(run_dir) == dict.fromkeys(("gone", "key2"), "# Is")
    assert "other.md is of no sample of" in done.stdout


def test_what_editors_change_unasked_corrects_nothing_and_an_emptied_page_is_told(run):
    run_dir, _ = run
    assert correct(run_dir).returncode == 0
    first, second = (run_dir / "pages" / "card0" / f"key{number}.md" for number in (0, 2))
    first.write_bytes(b"\xef\xbb\xbf" + first.read_bytes().replace(b"\n", b" \r\n"))
    second.write_text("\n")
    done = correct(run_dir)
    assert "0 pages corrected, 1 as they were written" in done.stdout
    assert "key2.md is empty" in done.stdout
    assert corrections(run_dir) == {}
    second.write_bytes(b"# Caf\xe9")
    done = correct(run_dir)
    assert done.returncode == 2
    assert "key2.md is no UTF-8" in done.stderr


def test_a_run_without_samples_says_which_stage_is_missing(run):
    run_dir, _ = run
    (run_dir / "data" / "samples.jsonl").unlink()
    done = correct(run_dir)
    assert done.returncode == 2
    assert "samples.jsonl is missing" in done.stderr
