import json
import os
import stat

import pytest

from data_prep.core.files import in_step, made_whole, read_dicts, read_jsonl, replacing, set_aside, stable_id, write_jsonl
from data_prep.core.records import Attached, Candidate, Note, Rejected


def test_records_survive_the_file_even_with_surrogates_and_line_separators(tmp_path):
    record = Attached("a", [Note("https://x.example", "bad \ud800 and \u2028 and \r\n")], ["s"])
    write_jsonl(tmp_path / "a.jsonl", [record])
    assert list(read_jsonl(tmp_path / "a.jsonl", Attached)) == [record]


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    handle = replacing(path)
    handle.__enter__().write("new")
    assert not handle.__exit__(RuntimeError, RuntimeError(), None)
    assert path.read_text() == "old"


def test_broken_lines_are_named_by_file_and_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(ValueError, match=r"a\.jsonl:2 is not JSON"):
        list(read_dicts(path))
    path.write_text('{"id": "1", "colour": "red"}\n')
    with pytest.raises(ValueError, match=r"a\.jsonl:1 does not fit Candidate"):
        list(read_jsonl(path, Candidate))
    with pytest.raises(ValueError, match=r"nothing\.jsonl is missing; run the stage"):
        list(read_jsonl(tmp_path / "nothing.jsonl", Candidate))


def test_a_stage_replaces_its_own_rejects_only(tmp_path):
    path = tmp_path / "rejected.jsonl"
    set_aside(path, "collect", [Rejected("collect", "1", "no text")])
    set_aside(path, "split", [Rejected("split", "2", "bridges two splits")])
    set_aside(path, "collect", [Rejected("collect", "3", "no text")])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["stage"], row["id"]) for row in rows] == [("split", "2"), ("collect", "3")]


def test_stable_ids_do_not_run_parts_together():
    assert stable_id("ab", "c") != stable_id("a", "bc")
    assert len(stable_id("a")) == 16


def test_in_step_joins_files_of_one_order_and_refuses_others():
    rows = [("a", 1), ("a", 2), ("c", 3)]
    assert list(in_step("abc", rows, lambda row: row[0])) == [("a", rows[:2]), ("b", []), ("c", rows[2:])]
    with pytest.raises(ValueError, match="no card c at its place"):
        list(in_step("ab", rows, lambda row: row[0]))


def fail(folder, error):
    with made_whole(folder) as making:
        (making / "part").write_text("1")
        raise error


def test_a_folder_takes_the_place_of_a_link_and_leaves_what_the_link_led_to(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "link").symlink_to("one")
    with made_whole(tmp_path / "link") as making:
        (making / "file").write_text("new")
    assert not (tmp_path / "link").is_symlink()
    assert [(tmp_path / name / "file").read_text() for name in ("link", "one")] == ["new", "one"]


def test_a_folder_is_made_whole_or_stays_as_it_was(tmp_path):
    with pytest.raises(ZeroDivisionError):
        fail(tmp_path / "new", ZeroDivisionError)
    assert list(tmp_path.iterdir()) == []
    for text in ("first", "second"):
        with made_whole(tmp_path / "there") as making:
            assert list(making.iterdir()) == []
            (making / text).write_text(text)
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["second"]
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "there", KeyboardInterrupt)
    assert [path.name for path in tmp_path.rglob("*")] == ["there", "second"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_weights_in_a_folder_follow_the_umask_and_a_chosen_mode_stays(tmp_path, umask, mode):
    import torch
    from safetensors.torch import save_file

    before = os.umask(umask)
    try:
        with made_whole(tmp_path / "model") as making:
            save_file({"a": torch.zeros(1)}, making / "model.safetensors")
            (making / "chosen.safetensors").touch(0o440)
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    modes = {path.stem: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "model").iterdir()}
    assert modes == {"model": mode, "chosen": 0o440 & ~umask}


def test_what_a_killed_run_left_of_a_folder_is_not_taken_over(tmp_path):
    (tmp_path / "there.tmp").mkdir()
    (tmp_path / "there.tmp" / "old").write_text("old")
    with made_whole(tmp_path / "there") as making:
        (making / "new").write_text("new")
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["new"]
