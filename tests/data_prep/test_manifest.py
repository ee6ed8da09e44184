import json

import pytest

from data_prep.core.files import write_json
from data_prep.core.manifest import Manifest, content_hash, hashes


def finished(tmp_path, recipe=None):
    source, result = tmp_path / "in.txt", tmp_path / "out.txt"
    if not source.exists():
        source.write_text("a")
        result.write_text("A")
    return Manifest(tmp_path / "x.manifest.json", "x", recipe or {"seed": 1}, [source], [result])


def test_a_stage_is_done_when_recipe_inputs_and_outputs_match(tmp_path, capsys):
    manifest = finished(tmp_path)
    assert not manifest.is_done()
    manifest.write(rows=3)
    assert manifest.is_done()
    assert "done already" in capsys.readouterr().out
    written = json.loads(manifest.path.read_text())
    assert written["result"] == {"rows": 3}
    assert "transformers" in written["versions"]
    assert written["inputs"]["in.txt"] == content_hash(tmp_path / "in.txt")


def test_other_recipe_other_input_damaged_output_or_half_manifest_mean_not_done(tmp_path):
    manifest = finished(tmp_path)
    manifest.write()
    assert not finished(tmp_path, {"seed": 2}).is_done()
    (tmp_path / "in.txt").write_text("b")
    assert not manifest.is_done()
    (tmp_path / "in.txt").write_text("a")
    assert manifest.is_done()
    (tmp_path / "out.txt").write_text("damaged")
    assert not manifest.is_done()
    (tmp_path / "out.txt").write_text("A")
    manifest.path.write_text(manifest.path.read_text()[:20])
    assert not manifest.is_done()


def test_a_folder_is_hashed_by_content_without_checkpoints_logs_and_manifests(tmp_path):
    folder = tmp_path / "runs" / "model"
    write_json(folder / "config.json", {"a": 1})
    before = content_hash(folder)
    write_json(folder / "merge.manifest.json", {})
    write_json(folder / "checkpoint-5" / "state.json", {})
    write_json(folder / "wandb" / "log.json", {})
    write_json(folder / "trainer_state.json", {})
    assert content_hash(folder) == before
    write_json(folder / "config.json", {"a": 2})
    assert content_hash(folder) != before


@pytest.mark.parametrize("place", ["wandb/model.md", "owner/checkpoint-5.md"])
def test_in_a_folder_of_cards_no_name_is_left_out(tmp_path, place):
    card = tmp_path / place
    card.parent.mkdir()
    card.write_text("# One")
    before = content_hash(tmp_path)
    card.write_text("# Another")
    assert content_hash(tmp_path) != before


def test_two_inputs_of_one_name_are_two(tmp_path):
    first, second = tmp_path / "a" / "rows.jsonl", tmp_path / "b" / "rows.jsonl"
    for path in (first, second):
        path.parent.mkdir()
        path.write_text(path.parent.name)
    assert len(set(hashes([first, second]).values())) == 2
    assert hashes([first]).keys() == {"rows.jsonl"}
