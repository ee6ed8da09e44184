"""Scoring any lines without a run: bad ones are named and set aside, a killed run goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from commands import ROOT

from data_prep.core.lock import alone
from data_prep.prompts.student import source_text
from data_prep.synthetic.world import raw_cards
from eval.scoring import jsonl_file
from eval.scoring.jsonl_file import MAX_SUMMARY, score_lines

PLAIN = (
    "Orvan has 3.2B parameters and saw 11.2T tokens. It is described at https://orvan.example/paper and was tested on GSM8K."
)


@pytest.fixture(scope="module")
def rows():
    cards = list(raw_cards(seed=5, cards=8))
    return [
        {"id": f"{raw.model_id}-{number}", "source": source_text(raw.model_id, raw.content, raw.notes), "summary": text}
        for raw in cards
        for number, text in enumerate(raw.summaries)
    ]


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_line_gets_its_metrics_and_checks_in_order(tmp_path, rows):
    report = score_lines(written(tmp_path / "in.jsonl", rows), tmp_path / "deep" / "out.jsonl")
    found = read(tmp_path / "deep" / "out.jsonl")
    assert report == jsonl_file.LinesReport(len(rows), 0, {})
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    assert all(row["metrics"]["all_pass"] == 1 for row in found)
    assert not {"finished", "looped", "rouge1", "rouge2", "rougeLsum"} & set(found[0]["metrics"])
    assert {"links_grounded", "numbers_grounded", "fact_recall", "coverage", "density", "words"} <= set(found[0]["metrics"])
    assert set(found[0]["checks"][0]) == {"name", "passed", "value", "reason", "spans", "derived", "remarks", "total"}
    assert read(tmp_path / "deep" / "out.jsonl.rejected.jsonl") == []
    assert not (tmp_path / "deep" / "out.jsonl.part").exists()


def test_plain_text_is_a_source(tmp_path):
    summary = (
        "Orvan, with 3.2B and 9.9B parameters, beats HELMET: see https://orvan.example/paper and https://orvan.example/other."
    )
    score_lines(written(tmp_path / "in.jsonl", [{"id": "a", "source": PLAIN, "summary": summary}]), tmp_path / "out.jsonl")
    checks = {check["name"]: check for check in read(tmp_path / "out.jsonl")[0]["checks"]}
    marked = {
        name: [summary[span["start"] : span["end"]] for span in checks[name]["spans"]] for name in ("links", "numbers", "names")
    }
    assert marked == {"links": ["https://orvan.example/other"], "numbers": ["9.9B"], "names": ["HELMET"]}


def bad(**changes):
    return json.dumps({"id": "x", "source": PLAIN, "summary": "A summary."} | changes).encode()


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (bad(summary=" \n"), "empty summary", "no visible character"),
        (bad(summary="word " * 200_000), "summary too long", f"1,000,000 characters, at most {MAX_SUMMARY:,}"),
        (bad(source=""), "empty source", "no visible character"),
        (bad(summary="a\0b"), "binary", "summary holds a NUL at character 2"),
        (bad(summary="a\ud800"), "lone surrogate", "half a character"),
        (bad(id=7), "wrong type", "id is int, expected text"),
        (bad(source=["a"]), "wrong type", "source is list, expected text"),
        (b'{"id": "x", "summary": "A."}', "no source", "keys are none"),
        (b'{"id": "x", "source": "s", "sumary": "A."}', "no summary", 'Did you mean "sumary"?'),
        (b"[1, 2]", "wrong type", "list, expected an object"),
        (b'{"id": "x", ', "not JSON", "line 1 column"),
        (b"[" * 100_000, "not JSON", "recursion"),
        (b"\x89PNG\r\x1a\x00\xff", "not UTF-8", "byte 1"),
        (b'{"id": "first", "source": "s", "summary": "Other."}', "duplicated id", 'the id "first" too'),
    ],
)  # fmt: skip
def test_bad_lines_are_named_and_set_aside_and_the_others_scored(tmp_path, line, reason, detail):
    good = [json.dumps({"id": name, "source": PLAIN, "summary": "A summary."}).encode() for name in ("first", "last")]
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + good[0] + b"\n" + line + b"\n\n" + good[1])
    report = score_lines(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == ["first", "last"]
    (aside,) = read(tmp_path / "out.jsonl.rejected.jsonl")
    assert (aside["line"], aside["reason"], report.rejected) == (2, reason, {reason: 1})
    assert detail in aside["detail"]


def test_a_line_without_end_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl_file, "MAX_LINE", 1000)
    good = json.dumps({"id": "good", "source": PLAIN, "summary": "A summary."})
    (tmp_path / "in.jsonl").write_text("y" * 5000 + "\n" + good + "\n")
    assert score_lines(tmp_path / "in.jsonl", tmp_path / "out.jsonl").rejected == {"line too long": 1}
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == ["good"]


def test_mistakes_are_refused(tmp_path, rows):
    with pytest.raises(ValueError, match=r"none\.jsonl is no file; score\.input names"):
        score_lines(tmp_path / "none.jsonl", tmp_path / "out.jsonl")
    source = written(tmp_path / "in.jsonl", rows[:1])
    with pytest.raises(ValueError, match="would be overwritten"):
        score_lines(source, source)
    with pytest.raises(ValueError, match=r"is a folder; score\.output names a file"):
        score_lines(source, tmp_path)
    with pytest.raises(ValueError, match=r"cannot be written \(.*\); give score\.output another place"):
        score_lines(source, source / "out.jsonl")


def test_a_second_run_on_the_same_output_is_refused_and_touches_nothing(tmp_path, rows):
    source, output = written(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    with alone(output):
        (tmp_path / "out.jsonl.part").write_text("the first run's\n")
        with pytest.raises(ValueError, match="another process is writing"):
            score_lines(source, output)
    assert (tmp_path / "out.jsonl.part").read_text() == "the first run's\n"


def test_whole_lines_of_a_part_are_kept_and_others_done_again(tmp_path, rows, monkeypatch):
    source, output = written(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    score_lines(source, output)
    whole = output.read_bytes()
    done = []
    monkeypatch.setattr(jsonl_file, "measure", lambda *given: done.append(given) or measure(*given))
    from eval.scoring.metrics import measure

    halves = whole.splitlines(keepends=True)
    (tmp_path / "out.jsonl.part").write_bytes(b"".join(halves[:3]) + halves[3][:100])
    report = score_lines(source, output)
    assert (report.kept, len(done), output.read_bytes()) == (3, len(rows) - 3, whole)

    changed = [{**rows[0], "summary": rows[0]["summary"] + "\nMore.\n"}, *rows[1:4]]
    (tmp_path / "out.jsonl.part").write_bytes(whole)
    assert score_lines(written(source, changed), output).kept == 0
    assert [row["id"] for row in read(output)] == [row["id"] for row in changed]


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path, rows):
    many = [{**row, "id": f"{row['id']}-{copy}"} for copy in range(20) for row in rows]
    source, output = written(tmp_path / "in.jsonl", many), tmp_path / "out.jsonl"
    code = "import sys, pathlib; from eval.scoring.jsonl_file import score_lines; score_lines(*map(pathlib.Path, sys.argv[1:]))"
    started = [sys.executable, "-c", code, str(source), str(output)]
    part = tmp_path / "out.jsonl.part"
    process = subprocess.Popen(started, cwd=ROOT, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (part.exists() and part.stat().st_size > 100_000):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert part.exists(), "it ended before it could be killed"
    assert not output.exists()
    before = part.read_bytes().count(b"\n")
    report = score_lines(source, output)
    assert (report.scored, report.kept) == (len(many), before)
    assert [row["id"] for row in read(output)] == [row["id"] for row in many]
