"""The command that a reader runs: a card in, a checked page out, by real models, a real server and a real web on loopback."""

import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import streaming_server
from chat_server import says, status
from commands import BASE, ROOT
from fetch_server import Handler, serve
from rich.console import Console
from streaming_server import StreamingServer

from data_prep.checks.meaning import NO_FLAG
from data_prep.core.append_log import open_log
from data_prep.core.lock import alone
from data_prep.core.records import Note, RawCard
from data_prep.pages.fetch import fetch_all
from data_prep.prompts.student import build_prompt, read_source, render, source_text
from data_prep.synthetic.world import raw_cards
from eval import summarize
from eval.decoding.sampling import GREEDY, Decoding
from eval.generation.local_model import open_model
from eval.generation.requests import Batch, GenerationRequest, PromptPrefix
from eval.generation.transformers_backend import summaries
from eval.summarizing import card_input, from_options
from eval.summarizing.batch import CardLine, kept_lines, parse
from eval.summarizing.card_input import MAX_BYTES, read_card
from eval.summarizing.notes import read_notes
from eval.summarizing.pipeline import Options
from eval.summarizing.request import NoNetwork, Request
from eval.summarizing.screen import Pipe, printable
from eval.summarizing.terminal import Terminal
from eval.summarizing.verdict import Attempt, best, verdict
from eval.summarizing.writers import LocalWriter, Written

RAW = next(raw_cards(1, 1))
CARD = RAW.content if isinstance(RAW.content, str) else RAW.content.decode()
GOOD = RAW.summaries[0]
NOTES = RAW.notes
NAMELESS = re.sub(r"^# .*$", "# A model of ours", CARD, flags=re.MULTILINE).encode()
BAD = GOOD.replace("## ", "## Zarquon-9000B-Ultra and ", 1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def card(tmp_path):
    file = tmp_path / "card.md"
    file.write_text(CARD, encoding="utf-8")
    return file


@pytest.fixture
def notes(tmp_path):
    file = tmp_path / "notes.jsonl"
    file.write_text("".join(json.dumps({"url": note.url, "text": note.text}) + "\n" for note in NOTES), encoding="utf-8")
    return file


@pytest.fixture
def server():
    with StreamingServer(reply=lambda body: GOOD) as running:
        yield running


def served(server, *arguments):
    return [*map(str, arguments), "--endpoint", server.url, "--model", "scribe", "--tokenizer", str(BASE)]


def locally(card, notes, *arguments):
    return [card, "--model-id", RAW.model_id, "--research-file", notes, "--model", BASE, *arguments]


def told(arguments, capsys):
    """Exit code, standard output and standard error of the command in this process."""
    capsys.readouterr()
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["card-summarizer", *map(str, arguments)])
        try:
            summarize.run()
        except SystemExit as end:
            code = end.code
    return SimpleNamespace(code=code, **dict(zip(("out", "err"), capsys.readouterr(), strict=True)))


def fails(arguments, capsys, code, *words):
    done = told(arguments, capsys)
    assert done.code == code, done.err
    assert done.out == ""
    assert done.err.strip().count("\ncard-summarizer:") <= 1
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err.splitlines()[-1]


# --- what is written --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("new_tokens", "end"), [(600, "stop"), (10, "length")])
def test_a_local_model_writes_what_evaluation_would_have_it_write(card, notes, capsys, new_tokens, end):
    done = told(locally(card, notes, "--max-new-tokens", new_tokens, "--free"), capsys)
    assert done.code == 0, done.err
    local = open_model(str(BASE), None)
    messages = build_prompt(RAW.model_id, CARD, NOTES, local.tokenizer, 4096 - new_tokens).messages
    opening = PromptPrefix("a", messages, render(messages, local.tokenizer))
    [[row]] = summaries(local, [Batch([GenerationRequest(opening, GREEDY, "0" * 64)])], "base", new_tokens, "float32", "cpu")
    assert done.out == row.text + "\n"
    assert row.finish_reason == end
    assert ("cut at --max-new-tokens" in done.err) == (end == "length")
    assert f"card: {RAW.model_id} (as given)" in done.err


def test_a_stream_of_torn_letters_and_control_tokens_adds_up_to_what_its_tokens_say(tiny_model, monkeypatch):
    writer, shown, made = LocalWriter(str(tiny_model), "auto", "cpu"), [], []
    writer.load()
    generate = writer._weights.generate
    monkeypatch.setattr(writer._weights, "generate", lambda **how: made.append(generate(**how)) or made[0])
    prompt = [{"role": "user", "content": "hello"}]
    written = writer.write(prompt, Decoding("sampled", 0, 1.0, 1.0), 300, 3, shown.append)
    ids = made[0][0].tolist()[written.prompt_tokens :]
    assert written.completion_tokens == len(ids)
    whole = writer.tokenizer.decode(ids, skip_special_tokens=False)
    assert "\ufffd" in whole
    assert shown[-1] == whole.removesuffix(writer.tokenizer.eos_token)
    assert len(shown) > 20


def test_a_seed_makes_a_sample_the_same_twice_and_another_seed_another(card, notes, capsys):
    def sampled(seed):
        return told(locally(card, notes, "--max-new-tokens", 40, "--temperature", 2.0, "--seed", seed), capsys).out

    first = sampled(1)
    assert len(first) > 20
    assert sampled(1) == first
    assert len({first, *map(sampled, range(2, 6))}) > 1  # two seeds may agree: the model is sure of most words


def test_a_server_gets_the_prompt_of_training_and_its_stream_is_the_summary(card, notes, server, capsys, tokenizer):
    done = told(served(server, card, "--model-id", RAW.model_id, "--research-file", notes), capsys)
    assert (done.code, done.out) == (0, GOOD.strip() + "\n")
    assert done.err.splitlines()[-1] == f"checks: none of 12 flags it. {NO_FLAG}"
    [body] = server.bodies
    assert body["messages"] == build_prompt(RAW.model_id, CARD, NOTES, tokenizer, 2896).messages
    assert (body["temperature"], body["max_tokens"], body["stream"]) == (0.0, 1200, True)


def test_json_holds_all_that_the_summary_was_made_from(card, notes, server, capsys, tokenizer):
    server.reply = lambda body: BAD
    done = told(served(server, card, "--model-id", RAW.model_id, "--research-file", notes, "--json"), capsys)
    found = json.loads(done.out)
    assert found["summary"] == BAD.strip()
    assert found["failed"] == ["names"]
    assert not found["passed"]
    [names] = [check for check in found["checks"] if check["name"] == "names"]
    assert BAD.strip()[names["spans"][0]["start"] : names["spans"][0]["end"]] == "Zarquon-9000B-Ultra"
    assert [(source["url"], source["note"]) for source in found["sources"]] == [(note.url, note.text) for note in NOTES]
    assert found["prompt_tokens"] == build_prompt(RAW.model_id, CARD, NOTES, tokenizer, 2896).tokens
    assert found["model"]["endpoint"] == server.url
    assert found["seconds"]["total"] >= found["seconds"]["writing"] >= found["seconds"]["first_word"] > 0
    assert "not in the sources: [Zarquon-9000B-Ultra] (name)" in done.err


def test_out_is_written_whole_and_nothing_else_leaves(card, server, tmp_path, capsys):
    done = told(served(server, card, "--model-id", RAW.model_id, "--no-research", "--out", tmp_path / "new" / "s.md"), capsys)
    assert done.out == ""
    assert (tmp_path / "new" / "s.md").read_text() == GOOD.strip() + "\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["s.md"]


def test_what_is_read_is_never_written_over(card, notes, tmp_path, capsys):
    (tmp_path / "README.md").write_text(CARD)
    (tmp_path / "same.md").hardlink_to(card)
    for arguments in (
        [card, "--out", card],
        [card, "--out", tmp_path / "same.md"],
        [tmp_path, "--out", tmp_path / "README.md"],
    ):
        fails([*arguments, "--model-id", "a/b"], capsys, 2, "would overwrite")
    fails([card, "--research-file", notes, "--out", notes], capsys, 2, "would overwrite")
    fails(["--batch", card, "--out", card], capsys, 2, "would overwrite")
    assert card.read_text() == (tmp_path / "README.md").read_text() == CARD


def test_a_full_disk_is_told_in_a_line(card, server):
    command = [sys.executable, "-m", "eval.summarize", *served(server, card, "--model-id", "a/b", "--no-research", "--json")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "No space left on device" in done.stderr.splitlines()[-1]


def test_of_one_card_nothing_is_said_to_be_saved(card, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(from_options, "write_summary", stop)
    fails([card, "--model-id", "a/b", "--model", BASE], capsys, 130, "card-summarizer: stopped")


def test_thoughts_are_kept_apart_however_a_server_sends_them(card, server, capsys):
    for said, more in (("<think>\nhm</think>\n" + GOOD, {}), (GOOD, {"reasoning_content": "hm"})):
        server.trouble["*"] = [says(said, **more)]
        found = json.loads(told(served(server, card, "--model-id", RAW.model_id, "--no-research", "--json"), capsys).out)
        assert (found["summary"], found["thinking"]) == (GOOD.strip(), "hm")
    server.trouble["*"] = [says("<think>\nhm</think>\n" + GOOD)]
    assert told(served(server, card, "--model-id", RAW.model_id, "--no-research"), capsys).out == GOOD.strip() + "\n"
    server.trouble["*"] = [says("The card says little.\n</think>\n\n" + GOOD)]  # the template opened the tag
    assert told(served(server, card, "--model-id", RAW.model_id, "--no-research"), capsys).out == GOOD.strip() + "\n"


def test_a_pipe_ends_its_line_though_less_stays_than_was_shown(capsys):
    with Pipe(sys.stdout) as pipe:
        pipe.show("# A\n\n- one\n- one\n- one")
        pipe.finish("# A\n\n- one")
    assert capsys.readouterr().out == "# A\n\n- one\n- one\n- one\n"


def test_a_model_thinks_where_it_is_asked_to_and_its_thought_is_shown_where_that_is(card, server, capsys):
    said = "<think>\ncard: a plan\n</think>\n" + GOOD
    asking = served(server, card, "--model-id", RAW.model_id, "--no-research")
    for think, show in ((False, False), (True, False), (True, True)):
        server.trouble["*"] = [says(said)]
        done = told([*asking, *["--think"] * think, *["--show-thought"] * show], capsys)
        assert done.out == GOOD.strip() + "\n"
        assert ("thought:\ncard: a plan" in done.err) == show
    plain, thinking, _ = server.bodies
    assert (plain["chat_template_kwargs"], thinking["chat_template_kwargs"]) == (
        {"enable_thinking": False},
        {"enable_thinking": True},
    )
    assert plain["messages"][0]["content"].replace("/no_think", "/think") == thinking["messages"][0]["content"]
    assert thinking["max_tokens"] == plain["max_tokens"] + 400
    server.trouble["*"] = [says("<think>\nand on", finish_reason="length")]
    fails([*asking, "--think", "--max-thought-tokens", 9], capsys, 2, "had no end within 9 tokens", "--max-thought-tokens")
    fails([card, "--think"], capsys, 2, "--think needs --model")


def test_retry_ends_with_the_first_that_passes_and_counts_its_seeds(card, notes, server, capsys):
    answers = ["short", BAD, GOOD, "never asked for"]
    server.reply = lambda body: answers.pop(0)
    arguments = served(server, card, "--model-id", RAW.model_id, "--research-file", notes, "--retry", 5, "--seed", 7)
    done = told(arguments, capsys)
    assert done.out == GOOD.strip() + "\n"
    assert "kept try 3 of 3 (temperature 0.6, seed 9)" in done.err
    assert [(body["temperature"], body["top_p"], body["seed"]) for body in server.bodies] == [
        (0.0, 1.0, 7),
        (0.6, 0.95, 8),
        (0.6, 0.95, 9),
    ]


def test_where_none_passes_the_best_is_kept_and_told_so(card, notes, server, capsys):
    answers = ["short", BAD, "short"]
    server.reply = lambda body: answers.pop(0)
    done = told(served(server, card, "--model-id", RAW.model_id, "--research-file", notes, "--retry", 2), capsys)
    assert done.out == BAD.strip() + "\n"
    assert "kept try 2 of 3" in done.err
    assert "each is flagged" in done.err


def test_fewest_faults_win_then_recall_then_the_earlier():
    def attempt(failed, recall, finish="stop", text="x"):
        results = [SimpleNamespace(name=name, passed=name not in failed, value=recall) for name in ("length", "links", "facts")]
        return Attempt(Written(text, "", finish, 1, 1, 0, 0), GREEDY, 0, results)

    a, b, c, d = attempt(["length"], 0.5), attempt(["links"], 0.9), attempt(["links"], 0.9), attempt(["length"], 1, "length")
    assert best([a, b, c]) is b
    assert best([a, d]) is a  # a cut text counts as one fault more
    assert best([attempt(["length", "links"], 1), a]) is a
    assert best([attempt([], 1, "thought", text=""), a]) is a  # nothing written has nothing wrong in it


# --- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["lines", "array", "sections", "transcript"])
def test_notes_are_read_in_each_form(tmp_path, form):
    file = tmp_path / "notes"
    file.write_text(
        {
            "lines": '{"url": "https://a.example/x", "text": "- one"}\n\n{"url": "https://b.example", "text": "two"}\n',
            "array": '[{"url": "https://a.example/x", "text": "- one"},\n {"url": "https://b.example", "text": "two"}]',
            "sections": "# My notes\n\n## https://a.example/x\n\n- one\n\n## <https://b.example>\ntwo\n",
            "transcript": '<model_research>\n<research source="https://a.example/x">\n- one\n</research>\n'
            '<research source="https://b.example">\ntwo\n</research>\n</model_research>',
        }[form]
    )
    assert read_notes(file) == read_notes(str(file)) == [Note("https://a.example/x", "- one"), Note("https://b.example", "two")]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"nothing here", "holds no notes"),
        (b'{"url": "x"}\n', "notes:1 is no object"),
        (b'{"url": "file:///etc/passwd", "text": "x"}\n', "no web address"),
        (b'[{"url": "https://a.example"}]', "note 1 is no object"),
        (b"[a link](https://a.example)", "holds no notes"),
        (b'<model_research><research source="https://a.example">open', "close each <research>"),
        (b"## https://a.example\n\xff\xfe", "not UTF-8"),
    ],
)
def test_notes_that_cannot_be_read_are_refused_before_a_model_is_loaded(tmp_path, card, capsys, content, word):
    (tmp_path / "notes").write_bytes(content)
    fails([card, "--research-file", tmp_path / "notes"], capsys, 2, word)


@pytest.mark.parametrize(
    ("name", "front", "model_id", "source"),
    [
        ("org--name.md", "license: mit", "org/name", "name of file"),
        ("org--name.md", "model_name: thing", "org/name", "name of file"),
        ("README.md", "model-index:\n- name: org/other", "org/other", "front matter"),
        ("README.md", "model_id: plain", "plain", "front matter"),
    ],
)
def test_the_model_id_comes_from_front_matter_or_file_name(tmp_path, name, front, model_id, source):
    (tmp_path / name).write_text(f"---\n{front}\n---\n{CARD.rpartition('---')[2]}")
    found = read_card(Request(str(tmp_path / name)))
    assert found.card.model_id == model_id
    assert source in found.id_from


def test_standard_input_and_folders_are_read(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text(CARD)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(CARD.encode())))
    for place in ("-", str(tmp_path)):
        assert read_card(Request(place, "a/b")).card.text == CARD
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b" \n")))
    with pytest.raises(ValueError, match="pipe a model card"):
        read_card(Request("-", "a/b"))


def test_the_number_of_a_pipe_is_no_name():
    read, write = os.pipe()
    os.write(write, b"# Lumen-3B\n\nIt reads text. " + b"It was made to read what people write of models. " * 3)
    os.close(write)
    assert read_card(Request(f"/dev/fd/{read}")).card.model_id == "Lumen-3B"
    os.close(read)


FEW = "---\nlicense: mit\n---\n# Title\n\nfew words\n"


def test_a_first_heading_may_name_the_model_and_another_language_is_told(tmp_path):
    file = tmp_path / "README.md"
    file.write_text("# Model card for `Quillon-2B`\n\n" + "Quillon reads long letters and answers in one sentence. " * 12)
    found = read_card(Request(str(file)))
    assert (found.card.model_id, found.id_from, found.warning) == ("Quillon-2B", "from the card's first heading", "")
    file.write_text(
        "# Quillon-2B\n\n" + "Das Modell liest lange Briefe und antwortet immer in einem einzigen kurzen Satz. " * 12
    )
    assert "another language than English (de)" in read_card(Request(str(file))).warning


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "is empty"),
        (FEW.encode(), "3 words of prose"),
        (b"\x89PNG\r\n\x1a\n\0\0" + bytes(200), "binary file"),
        (bytes(range(128, 256)) * 30, "binary file"),
        (b"words and words\n" * 40_000, f"more than {MAX_BYTES:,} bytes"),
        (b"<!DOCTYPE html><html><body>words</body></html>", "web page"),
        (CARD.replace("a", "\u00e4", 20).encode("latin-1", "replace"), "is not UTF-8; convert it"),
        (NAMELESS, "does not say which model"),
    ],
)
def test_a_file_that_is_no_card_is_refused_in_a_line(tmp_path, capsys, content, word):
    (tmp_path / "README.md").write_bytes(content)
    arguments = [tmp_path / "README.md"] if content == NAMELESS else [tmp_path / "README.md", "--model-id", "a/b"]
    fails(arguments, capsys, 2, word)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "no card is named"),
        (["no/such/file.md"], "there is no file"),
        (["https://huggingface.co/datasets/a/b"], "no page of a model"),
        (["http://127.0.0.1/README.md"], "127.0.0.1 is loopback"),
        (["http://10.0.0.1/README.md"], "10.0.0.1 is private"),
        (["a/b", "--batch", "x"], "leave one out"),
        (["--batch", "x"], "--out"),
        (["a/b", "--no-research", "--research-file", "x"], "exclude each other"),
        (["a/b", "--research-file", "nowhere"], "there is no file nowhere"),
        (["a/b", "--temperature", "3"], "expected 0 to 2"),
        (["a/b", "--out", "."], "is a folder"),
        (["a/b", "--out", "/dev/null"], "is no file"),
        (["a/b", "--out", "pyproject.toml/s.md"], "cannot be written (Not a directory)"),
        (["a/b", "--out", "/proc/no/s.md"], "cannot be written"),
        (["a/b", "--out", "n" * 254], "cannot be written (File name too long)"),
        (["n" * 400], "not a Hub id"),
        (["n/" + "n" * 400 + ".md"], "there is no file"),
        (["~nobody-is-called-so/README.md"], "there is no file"),
        (["a/b", "--batch", "n" * 400], "leave one out"),
        (["--batch", "n" * 400, "--out", "x"], "there is no file"),
        (["a/b", "--research-file", "n" * 400], "there is no file"),
        (["a/b", "--seed", "9" * 30], "it is 0 to 4294967295"),
        (["a/b", "--endpoint", "localhost"], "no http(s)"),
    ],
)
def test_mistakes_are_told_in_a_line(capsys, arguments, word):
    fails(arguments, capsys, 2, word)


def test_a_model_that_is_not_there_is_told(card, tmp_path, capsys):
    arguments = [card, "--model-id", "a/b", "--no-research", "--model"]
    fails([*arguments, tmp_path / "gone"], capsys, 2, "there is no folder")
    fails([*arguments, tmp_path], capsys, 2, "cannot load the model", "--model takes a folder")
    fails([*arguments, "nobody/nothing"], capsys, 3, "not on this machine and the Hub does not answer")
    for device in ("banana", "meta", "cuda:99"):
        fails([*arguments, BASE, "--device", device], capsys, 2, f"--device {device} is not to be had here")
    (tmp_path / "bare").mkdir()
    for file in BASE.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / "bare" / file.name).write_bytes(file.read_bytes())
    fails([*arguments, tmp_path / "bare"], capsys, 2, "has no chat template")
    fails([*arguments, BASE, "--max-prompt-tokens", 4000], capsys, 2, "takes 4,096 tokens in all", "lower --max-prompt-tokens")
    fails([*arguments, BASE, "--max-prompt-tokens", 1], capsys, 2, "tokens of 1 for a/b; raise --max-prompt-tokens")


def test_a_server_that_is_wrong_is_told(card, server, capsys, monkeypatch):
    arguments = [card, "--model-id", "a/b", "--no-research"]
    nobody = SimpleNamespace(url="http://127.0.0.1:1/v1")
    fails(served(nobody, *arguments), capsys, 3, "cannot be reached")
    fails(served(SimpleNamespace(url="http://localhost:abc/v1"), *arguments), capsys, 2, "expected http(s)://host")
    elsewhere = SimpleNamespace(url=server.url.removesuffix("/v1") + "/api")
    fails(served(elsewhere, *arguments), capsys, 2, "HTTP 404", "ends in /v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-" + "secret")
    server.trouble["*"] = [status(401, "bad key sk-" + "secret")]
    fails(served(server, *arguments), capsys, 2, "refuses the key", "OPENAI_API_KEY")
    server.trouble["*"] = [status(400, "the prompt is too long, sk-" + "secret")]
    done = told(served(server, *arguments), capsys)
    assert "lower --max-prompt-tokens" in done.err
    assert "secret" not in done.err
    server.reply = lambda body: ""
    fails(served(server, *arguments), capsys, 2, "wrote no summary")
    server.limit = 700
    fails(served(server, *arguments), capsys, 2, "takes 700 tokens in all")


def test_a_stream_that_breaks_off_is_no_summary(card, capsys, tmp_path):
    with StreamingServer(reply=lambda body: GOOD, broken=True) as server:
        out = tmp_path / "s.md"
        fails(served(server, card, "--model-id", "a/b", "--no-research", "--out", out), capsys, 3, "broke off")
        assert not out.exists()


def test_a_stream_that_is_reset_or_that_a_filter_cut_is_no_summary(card, server, capsys, monkeypatch):
    arguments = [card, "--model-id", "a/b", "--no-research"]
    server.trouble["*"] = [says(GOOD, finish_reason="content_filter")]
    fails(served(server, *arguments), capsys, 2, "refused to go on (content_filter)")
    events = iter(range(3))
    event = streaming_server._Streaming.event

    def reset(handler, **values):
        if next(events, None) is None:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            raise ConnectionResetError
        event(handler, **values)

    monkeypatch.setattr(streaming_server._Streaming, "event", reset)
    fails(served(server, *arguments), capsys, 3, "broke off in the middle of its answer")


def test_a_page_is_not_lost_for_a_sign_that_the_terminal_cannot_spell(card, server, capsys, monkeypatch):
    server.reply = lambda body: GOOD + "\n\n- café \ud83d\n"
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["card-summarizer", *served(server, card, "--model-id", "a/b", "--no-research")])
    summarize.run()
    sys.stdout.flush()
    assert out.getvalue().decode().endswith("- caf\\xe9 \\ufffd\n")


def test_notes_with_half_a_letter_are_read(card, server, capsys, tmp_path):
    notes = tmp_path / "notes.jsonl"
    notes.write_text(json.dumps({"url": "https://a.example/x", "text": "- it has 40 layers \ud83d"}) + "\n")
    assert told(served(server, card, "--model-id", "a/b", "--research-file", notes), capsys).code == 0
    assert "- it has 40 layers \ufffd" in json.dumps(server.bodies[-1], ensure_ascii=False)


def test_what_the_budget_leaves_out_is_told(card, notes, server, capsys):
    more = ["--max-prompt-tokens", 400, "--json"]
    done = told(served(server, card, "--model-id", RAW.model_id, "--research-file", notes, *more), capsys)
    found = json.loads(done.out)
    assert found["prompt_tokens"] <= 400
    assert found["omitted"][0]["part"] == "card"
    assert f"left out: {found['omitted'][0]['tokens']:,} tokens of card" in done.err
    card.write_text(CARD + "One more line of the log.\n" * 2_000)
    done = told(served(server, card, "--model-id", RAW.model_id, "--no-research", "--json"), capsys)
    assert 2_800 < json.loads(done.out)["prompt_tokens"] <= 4_096 - 1_200


# --- the Hub ----------------------------------------------------------------------------------------------------------


def hub(arguments, tmp_path, address, **more):
    """The command in a process of its own, since the Hub library reads its environment once."""
    environment = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_" + "t" * 30}
    code = "import sys; sys.argv[0] = 'card-summarizer'; from eval.summarize import run; run()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment, **more}, timeout=120
    )


def test_ids_and_addresses_of_the_hub_are_one(tmp_path, monkeypatch):
    import test_hub

    monkeypatch.setitem(test_hub.MODELS, "ferro/brindle", {"README.md": len(CARD.encode())})
    monkeypatch.setattr(test_hub, "CARD", CARD.encode())
    running = test_hub.ThreadingHTTPServer(("127.0.0.1", 0), test_hub.Hub)
    running.asked, running.refuse, running.busy = [], [], False
    test_hub.threading.Thread(target=running.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{running.server_port}"
    with StreamingServer(reply=lambda body: GOOD) as server:
        lines = ["ferro/brindle", f"{address}/ferro/brindle", f"{address}/ferro/brindle/blob/main/README.md"]
        lines += ["https://huggingface.co/ferro/brindle/", "ferro/gated", "ferro/gone", "ferro/bare"]
        (tmp_path / "ids.txt").write_text("# models\n" + "\n".join(lines))
        more = ["--no-research", "--batch", tmp_path / "ids.txt", "--out", tmp_path / "out.jsonl"]
        done = hub(served(server, *more), tmp_path, address)
    running.shutdown()
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {row["model_id"] for row in rows} == {"ferro/brindle"}
    assert [row["line"] for row in rows] == [2, 3, 4, 5]
    assert {row["card"]["revision"] for row in rows} == {test_hub.SHA}
    aside = [json.loads(line)["reason"] for line in (tmp_path / "out.jsonl.rejected.jsonl").read_text().splitlines()]
    assert [word in reason for word, reason in zip(("gated", "not on the Hub", "no README.md"), aside, strict=True)] == [
        True
    ] * 3
    assert "hf_ttt" not in done.stdout + done.stderr + (tmp_path / "out.jsonl").read_text()


def _hung_up(server):
    """One connection, closed at once; None where the server is."""
    try:
        connection, caller = server.accept()
    except OSError:
        return None
    connection.close()
    return caller


def test_a_hub_that_is_away_is_a_matter_of_the_network(card, tmp_path, capsys):
    fails(["ferro/brindle"], capsys, 3, "does not answer")
    assert "fetched are kept" not in told(["ferro/brindle"], capsys).err
    with socket.create_server(("127.0.0.1", 0)) as hangs_up:
        asked = []
        threading.Thread(target=lambda: asked.extend(iter(partial(_hung_up, hangs_up), None)), daemon=True).start()
        address = f"http://127.0.0.1:{hangs_up.getsockname()[1]}"
        done = hub([card, "--model-id", "a/b", "--no-research", "--model", "nobody/nothing"], tmp_path, address)
    assert 1 <= len(asked) <= 2  # the library alone asks for each file six times
    assert done.returncode == 3
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["card", "model", "card-summarizer"]


def test_a_card_of_the_hub_in_another_encoding_is_read_as_the_data_are_and_said_so(tmp_path, monkeypatch):
    content = CARD.replace("a", "\u00e4", 5).encode("latin-1", "replace")
    monkeypatch.setattr(card_input, "_on_hub", lambda name: (RawCard(name, content, "hub"), "the Hub", "from the Hub"))
    found = read_card(Request("ferro/brindle"))
    assert "\ufffd" in found.card.text
    assert "is not UTF-8" in found.warning


# --- research ---------------------------------------------------------------------------------------------------------

WORDS = " ".join(f"Brindle-7B reads letter number {number} with care." for number in range(20))


@pytest.fixture
def web(monkeypatch):
    class Pages(Handler):
        def act(self, host):
            page = f"<html><body><p>{WORDS}</p></body></html>".encode()
            if self.path.startswith("/brindle-7b"):
                self.answer(200, page)
            elif self.path == "/stranger":
                self.answer(200, page.replace(b"Brindle-7B", b"Somebody"))
            elif self.path == "/README.md":
                self.answer(200, CARD.encode(), "text/plain")
            else:
                super().act(host)

    running, web = serve()
    running.RequestHandlerClass = Pages
    for module in ("card_input", "notes"):
        monkeypatch.setattr(f"eval.summarizing.{module}.fetch_all", partial(fetch_all, gate=web.gate))
    yield web
    running.shutdown()
    running.server_close()


def linked(*urls):
    lines = "\n".join(f"See our [page {at}]({url})." for at, url in enumerate(urls))
    return f"---\nlicense: mit\n---\n# Brindle-7B\n\n{'Brindle-7B reads long letters in one go. ' * 6}\n\n{lines}\n"


def test_own_pages_are_fetched_once_noted_by_the_model_and_put_into_the_prompt(tmp_path, web, server, capsys):
    (tmp_path / "c.md").write_text(
        linked(
            "http://a.github.io/brindle-7b", "http://b.github.io/brindle-7b", "http://c.github.io/status?404",
            "http://c.github.io/brindle-7b-again", "http://elsewhere.example/brindle-7b", "http://inside.github.io/brindle-7b",
            "http://d.github.io/stranger",
        )
    )  # fmt: skip
    web.names["inside.github.io"] = [[("10.0.0.1", 80)]]
    replies = {"a.github.io": "- It reads 20 letters.", "b.github.io": "**NOTHING NEW**"}

    def reply(body):
        asked = body["messages"][-1]["content"]
        page = next((host for host in replies if f'<page url="http://{host}/' in asked), None)
        return replies[page] if page else "- other" if "<page url=" in asked else GOOD

    server.reply = reply
    arguments = served(server, tmp_path / "c.md", "--model-id", "ferro/Brindle-7B", "--json")
    summarize.main([*arguments, "--max-sources", "8"])
    said = capsys.readouterr()
    found = {source["url"]: source for source in json.loads(said.out)["sources"]}
    assert found["http://a.github.io/brindle-7b"]["note"] == "- It reads 20 letters."
    assert found["http://b.github.io/brindle-7b"]["reason"] == "nothing new beyond the card"
    assert "404" in found["http://c.github.io/status?404"]["reason"]
    assert "not in the allow-list" in found["http://elsewhere.example/brindle-7b"]["reason"]
    assert "10.0.0.1 is private" in found["http://inside.github.io/brindle-7b"]["reason"]
    assert found["http://d.github.io/stranger"]["reason"] == "the page does not name the model"
    assert "left out http://elsewhere.example/brindle-7b" in said.err
    prompt = server.bodies[-1]["messages"][-1]["content"]
    assert '<source url="http://a.github.io/brindle-7b">\n- It reads 20 letters.\n</source>' in prompt
    assert "b.github.io" not in prompt.partition("<research>")[2]
    asked = len(web.pages)
    summarize.main([*arguments, "--max-sources", "1"])
    assert len(web.pages) == asked
    assert len(json.loads(capsys.readouterr().out)["sources"]) == 1


def test_a_readme_at_an_address_is_fetched_and_a_page_with_a_web_page_refused(web):
    found = read_card(Request("http://cards.example/README.md", "a/b"))
    asked = len(web.pages)
    assert read_card(Request("http://cards.example/README.md", "a/b")).card.text == CARD
    assert len(web.pages) == asked + 1  # a card is edited, so it is asked for anew
    assert (found.card.text, found.place) == (CARD, "http://cards.example/README.md")
    with pytest.raises(ValueError, match="web page"):
        read_card(Request("http://cards.example/brindle-7b", "a/b"))
    with pytest.raises(ValueError, match="status 404"):
        read_card(Request("http://cards.example/status?404", "a/b"))
    with pytest.raises(NoNetwork, match="status 500"):
        read_card(Request("http://cards.example/status?500", "a/b"))


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_sets_bad_lines_aside_and_does_nothing_twice(card, tmp_path, server, capsys):
    named = card.with_name("org--good.md")
    named.write_text(CARD)
    lines = [
        str(named),
        "no/such/file.md",
        json.dumps({"text": CARD, "model_id": RAW.model_id, "notes": [{"url": n.url, "text": n.text} for n in NOTES]}),
        json.dumps({"text": FEW, "model_id": "a/b"}),
        json.dumps({"txt": CARD}),
        "{broken",
        "-",
        "",
    ]
    (tmp_path / "in.txt").write_text("\n".join(lines))
    out = tmp_path / "out.jsonl"
    arguments = served(server, "--batch", tmp_path / "in.txt", "--out", out, "--no-research")
    done = told(arguments, capsys)
    assert (done.code, done.out) == (0, "")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["line"], row["model_id"], row["summary"]) for row in rows] == [
        (1, "org/good", GOOD.strip()),
        (3, RAW.model_id, GOOD.strip()),
    ]
    aside = [json.loads(line) for line in (tmp_path / "out.jsonl.rejected.jsonl").read_text().splitlines()]
    assert [row["line"] for row in aside] == [2, 4, 5, 6, 7]
    assert 'unknown key "txt"' in aside[2]["reason"]
    before, asked = out.read_bytes(), len(server.bodies)
    assert told(arguments, capsys).code == 0
    assert (out.read_bytes(), len(server.bodies)) == (before, asked)
    named.write_text(CARD + "\nOne more line.\n")
    assert told(arguments, capsys).code == 0
    assert len(server.bodies) == asked + 1  # the changed file alone
    with alone(out):
        fails(arguments, capsys, 2, "another process is writing", "name another --out")
    assert not out.with_name("out.jsonl.part").exists()


@pytest.mark.parametrize("line", ["-", '{"card": " - "}'])
def test_a_batch_reads_no_standard_input(line):
    with pytest.raises(ValueError, match="a batch cannot read standard input"):
        parse(CardLine(1, line))


def test_an_edited_card_is_made_again_however_it_is_named(tmp_path, server, capsys):
    folder = tmp_path / "folder"
    folder.mkdir()
    files = [tmp_path / "a--b.md", folder / "README.md"]
    for file in files:
        file.write_text(CARD.replace("license:", "model_id: a/b\nlicense:", 1))
    (tmp_path / "in.txt").write_text(json.dumps({"card": str(files[0])}) + f"\n{folder}\n")
    arguments = served(server, "--batch", tmp_path / "in.txt", "--out", tmp_path / "out.jsonl", "--no-research")
    for asked, edited in ((2, None), (2, None), (3, files[0]), (4, files[1])):
        if edited:
            edited.write_text(edited.read_text() + "\nOne more line.\n")
        done = told(arguments, capsys)
        assert done.code == 0, done.err
        assert len(server.bodies) == asked
        assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    files[0].unlink()
    fails(arguments, capsys, 2, "holds 1 lines of another batch")  # which nothing could make again


def test_each_line_of_a_batch_gives_one_and_a_short_text_is_set_aside(tmp_path, server, capsys):
    line = json.dumps({"text": CARD, "model_id": "a/b"})
    short = json.dumps({"text": "n" * 300, "model_id": "a/b"})
    (tmp_path / "in.txt").write_text(f"{line}\n{short}\n{line}\n")
    out = tmp_path / "out.jsonl"
    done = told(served(server, "--batch", tmp_path / "in.txt", "--out", out, "--no-research"), capsys)
    assert done.code == 0, done.err
    rows = [json.loads(row) for row in out.read_text().splitlines()]
    assert [row["line"] for row in rows] == [1, 3]
    assert rows[0]["summary"] == rows[1]["summary"]
    assert len(server.bodies) == 1
    assert "2 of 3 summaries" in done.err
    assert "0 of them there before, 1 set aside" in done.err


def test_what_another_batch_or_anybody_wrote_is_never_lost(tmp_path, server, capsys):
    source, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    rows = [json.dumps({"text": CARD, "model_id": f"a/b{number}"}) + "\n" for number in range(2)]
    source.write_text("".join(rows))
    arguments = served(server, "--batch", source, "--out", out, "--no-research")
    assert told(arguments, capsys).code == 0
    before = out.read_bytes()
    fails([*arguments, "--seed", 1], capsys, 2, "holds 2 lines of another batch or of other options; name another --out")
    source.write_text(rows[0])
    fails(arguments, capsys, 2, "holds 1 lines of another batch")
    assert out.read_bytes() == before
    out.rename(tmp_path / "out.jsonl.part")  # of a killed run
    fails(arguments, capsys, 2, "holds 1 lines of another batch")
    (tmp_path / "out.jsonl.part").unlink()
    out.write_text("my thesis")
    fails(arguments, capsys, 2, "holds 1 lines of another batch")
    assert out.read_text() == "my thesis"


def test_a_card_whose_hub_is_away_waits_and_the_others_are_made(tmp_path, server, capsys):
    (tmp_path / "in.txt").write_text("ferro/brindle\n" + json.dumps({"text": CARD, "model_id": "a/b"}) + "\n")
    arguments = served(server, "--batch", tmp_path / "in.txt", "--out", tmp_path / "out.jsonl", "--no-research")
    for _ in range(2):
        fails(arguments, capsys, 3, "did not answer for 1 of the lines set aside; the same command asks for them again")
        assert [json.loads(row)["line"] for row in (tmp_path / "out.jsonl").read_text().splitlines()] == [2]
        assert "does not answer" in (tmp_path / "out.jsonl.rejected.jsonl").read_text()
    assert len(server.bodies) == 1


def test_a_batch_that_is_killed_goes_on_where_it_was(tmp_path, capsys):
    lines = [json.dumps({"text": CARD, "model_id": f"ferro/m{number}"}) for number in range(6)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    out, part = tmp_path / "out.jsonl", tmp_path / "out.jsonl.part"
    with StreamingServer(reply=lambda body: GOOD) as server:
        server.answer_s = 0.4
        arguments = served(server, "--batch", tmp_path / "in.jsonl", "--out", out, "--no-research")
        command = [sys.executable, "-m", "eval.summarize", *arguments]
        first = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not (part.exists() and part.read_bytes().count(b"\n") >= 2):
            assert time.monotonic() < end
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        first.wait()
        whole = part.read_bytes().count(b"\n")
        with open(part, "ab") as handle:
            handle.write(b'{"key": "torn')
        assert not out.exists()
        server.answer_s, asked = 0.0, len(server.bodies)
        again = told(arguments, capsys)
    assert again.code == 0, again.err
    assert [json.loads(line)["model_id"] for line in out.read_text().splitlines()] == [f"ferro/m{n}" for n in range(6)]
    assert len(server.bodies) - asked == 6 - whole
    assert f"{whole} of them there before" in again.err


def test_a_line_that_a_kill_has_torn_is_cut_off_before_more_is_written(tmp_path):
    part = tmp_path / "out.jsonl.part"
    part.write_bytes(b'{"key": "a"}\n{"key": "b"}\n{"key": "torn')
    assert kept_lines(part) == {"a": '{"key": "a"}', "b": '{"key": "b"}'}
    with open_log(part) as append:
        assert part.read_bytes() == b'{"key": "a"}\n{"key": "b"}\n'
        append('{"key": "c"}')
    assert list(kept_lines(part)) == ["a", "b", "c"]


def test_a_server_that_goes_away_stops_a_batch_and_sets_nothing_aside(tmp_path, server, capsys):
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": CARD, "model_id": f"a/b{n}"}) + "\n" for n in range(3)))
    server.trouble["*"] = [says(GOOD), *[status(503)] * 3]
    arguments = served(server, "--batch", tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl", "--no-research")
    fails(arguments, capsys, 3, "1 summaries are kept")
    assert not (tmp_path / "out.jsonl").exists()
    assert told(arguments, capsys).code == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3


# --- how it is shown --------------------------------------------------------------------------------------------------


def test_a_terminal_shows_the_growing_text_and_ends_with_the_rendered_page():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=60, height=10, color_system="standard")
    with Terminal(console) as terminal:
        for end in range(0, len(GOOD), 40):
            terminal.show(GOOD[:end])
        terminal._live.refresh()
        terminal.finish("# Brindle\n\n- **fast** \x1b]0;owned\x07 and [paper](https://a.example)\n")
    said = screen.getvalue()
    assert "\x1b[2m" in said  # dimmed on the way
    rest = said[said.rindex("Brindle") :]
    assert "**fast**" not in rest
    assert "fast" in rest
    assert "\x1b]0;" not in said
    assert "\x07" not in said


@pytest.mark.parametrize("asked", [False, True])
def test_a_terminal_shows_thoughts_where_they_are_asked_for(asked):
    screen = io.StringIO()
    with Terminal(Console(file=screen, force_terminal=True, width=60, height=10), asked) as terminal:
        for said in ("<think>\na secret", "<think>\na secret\n</think>\n# One"):
            terminal.show(said)
            terminal._live.refresh()
        terminal.finish("# One")
    assert ("secret" in screen.getvalue()) == asked
    assert ("thinking ..." in screen.getvalue()) != asked


def test_a_pipe_gets_the_summary_as_it_comes_without_thoughts_and_torn_tags():
    out = io.StringIO()
    pipe, seen = Pipe(out), []
    whole = "<think>\nno\n</think>\n\n# One\n\nA < b and more words here.\n"
    for end in range(1, len(whole) + 1):
        pipe.show(whole[:end])
        seen.append(out.getvalue())
    pipe.finish("# One\n\nA < b and more words here.")
    assert out.getvalue() == "# One\n\nA < b and more words here.\n"
    assert len({*seen}) > 15


def test_the_verdict_is_one_line_that_marks_what_is_unsupported():
    from data_prep.checks import check_summary

    source = source_text(RAW.model_id, CARD, NOTES)
    assert read_source(source)[1] == RAW.model_id
    text = BAD.strip() + " See [it](https://nowhere.example/x), 98.7654 percent, and two oddities."
    written = Written(text, "", "length", 1, 1, 0, 0)
    line = verdict(Attempt(written, GREEDY, 0, check_summary(text, source)))
    assert "\n" not in line.plain
    for word in (
        "[Zarquon-9000B-Ultra] (name)",
        "[98.7654",
        "nowhere.example",
        "(link)",
        "; to be looked at: [two] (number)",
        "cut at --max-new-tokens",
    ):
        assert word in line.plain
    assert {str(span.style) for span in line.spans} >= {"bold red", "yellow"}
    assert printable("a\x1b[31mb\u202e") == "a[31mb"


def test_decoding_is_greedy_first_unless_a_temperature_is_asked_for(tmp_path):
    options = Options(False, None, 6, None, 10, 2, 0, 0.0, tmp_path, False)
    assert [options.decoding(number) for number in (0, 1)] == [GREEDY, Decoding("sampled", 1, 0.6, 0.95)]
    assert [replace(options, temperature=0.9).decoding(number).temperature for number in (0, 1)] == [0.9, 0.9]


def test_a_model_that_fails_while_it_writes_is_told_and_nobody_waits(card, monkeypatch):
    writer = LocalWriter(str(BASE), "auto", "cpu")
    writer.load()
    monkeypatch.setattr(writer._weights, "forward", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("CUDA out of memory")))
    with pytest.raises(ValueError, match="lower --max-prompt-tokens"):
        writer.write([{"role": "user", "content": "hello"}], GREEDY, 5, 0, lambda _: None)


def test_an_interrupt_while_generation_starts_leaves_no_thread_behind(monkeypatch):
    writer = LocalWriter(str(BASE), "auto", "cpu")
    writer.load()
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writer.write([{"role": "user", "content": "hello"}], GREEDY, 400, 0, lambda _: None)
    # At the interpreter's end a thread amid torch would abort it.
    assert not [thread for thread in threading.enumerate() if thread.name == "generate"]


@pytest.mark.slow
def test_the_command_streams_its_first_words_long_before_its_last(card, notes, tiny_model):
    command = [sys.executable, "-m", "eval.summarize", str(card), "--model-id", RAW.model_id, "--model", str(tiny_model)]
    command += [
        "--research-file",
        str(notes),
        "--max-new-tokens",
        "900",
        "--free",
        "--temperature",
        "2",
    ]  # greedy, a random model loops
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = running.stdout.read(1)
    at = time.monotonic()
    rest, said = running.communicate(timeout=300)
    assert running.returncode == 0, said
    assert len(first + rest) > 500
    assert time.monotonic() - at > 0.5
    assert b"checks: " in said


@pytest.mark.slow
def test_stopped_by_the_person_it_ends_at_once_with_nothing_written(card, notes, tiny_model, tmp_path):
    out = tmp_path / "s.md"
    command = [sys.executable, "-m", "eval.summarize", str(card), "--model-id", RAW.model_id, "--model", str(tiny_model)]
    command += ["--research-file", str(notes), "--max-new-tokens", "300", "--free", "--temperature", "2", "--out", str(out)]
    command += ["--retry", "1000"]  # it is still writing, however fast the machine
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background job ignores it, and so would its children
    running = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    while "try 1: " not in running.stderr.readline():
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    rest = running.communicate(timeout=10)[1]
    assert running.returncode == 130, rest
    assert rest.endswith("card-summarizer: stopped\n")
    assert not out.exists()
