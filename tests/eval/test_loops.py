"""Loops: what is one, what is none, where it is cut, and how each back-end and stage tells of it."""

from types import SimpleNamespace

import pytest
from scripted_model import ScriptedModel

from data_prep.candidates.checked import CheckedSummary
from data_prep.chat.loops import loop_end, looped
from data_prep.core.records import Candidate, Generation
from data_prep.prompts.student import render
from eval.decoding.loops import LoopStop, finished
from eval.decoding.sampling import GREEDY
from eval.generation import endpoint_backend, transformers_backend
from eval.generation.local_model import open_model, summary
from eval.generation.requests import Batch, GenerationRequest, PromptPrefix
from eval.scoring.metrics import measure
from eval.summarizing import writers
from eval.summarizing.verdict import Attempt, verdict

LINE = "- The model is trained on eleven trillion tokens.\n"
HEAD = "## Lumen\n\n- It is a decoder with 3B parameters.\n"
OTHER = "- It reads sixteen languages and writes nine of them.\n"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (HEAD + LINE * 3, HEAD + LINE),
        (HEAD + LINE * 3 + "- The mod", HEAD + LINE),
        (HEAD + LINE + "\n" + LINE + "\n" + LINE, HEAD + LINE),
        (HEAD + (LINE + OTHER) * 3, HEAD + LINE + OTHER),
        (HEAD + (LINE + OTHER) * 3 + LINE, HEAD + LINE + OTHER),
        (HEAD + "## Training\n\n" + LINE * 3, HEAD + "## Training\n\n" + LINE),
        (HEAD + "".join(f"{n}. The model is trained on eleven trillion tokens.\n" for n in (1, 2, 3)),
         HEAD + "1. The model is trained on eleven trillion tokens."),
        (HEAD + "- yes\n" * 8, HEAD + "- yes"),
        (HEAD + "| a | 0.0 |\n" * 8, HEAD + "| a | 0.0 |"),
        (HEAD + "".join(f"{n}.\n" for n in range(1, 9)), HEAD + "1."),
        ("".join(LINE + f"- Something else, number {n}.\n" for n in "abcde") + LINE, LINE + "- Something else, number a."),
        ("## A\n\nIt is good" + " and good" * 15, "## A\n\nIt is good and"),
        ("## A\n\n" + "The model is a good one. " * 6, "## A\n\nThe model is a good one."),
        ("Score: " + "0." * 90, "Score: 0."),
        ("| x " + "| 0.0 " * 100, "| x | 0.0"),
    ],
)  # fmt: skip
def test_what_ends_in_a_loop_is_cut_behind_what_it_repeats(text, kept):
    end = loop_end(text)
    assert end is not None
    assert text[:end].rstrip() == kept.rstrip()
    assert finished(text, cut=True) == (kept.rstrip(), "loop")
    assert finished(text, cut=False) == (text, "stop")


TABLE = "| Language | Shots |\n| --- | --- |\n" + "| 5-shot | yes |\n" * 7


@pytest.mark.parametrize(
    "text",
    [
        HEAD + LINE * 2,
        HEAD + LINE * 2 + "- The model is trained on eleven trillion tok",
        "".join(f"### Lumen-{size}\n\n{LINE}" for size in ("1B", "3B", "8B", "30B", "70B")),
        TABLE,
        "| a | b |\n" + "|---|" * 60 + "\n" + "| 0.0 " * 40 + "|\n",
        "- yes\n" * 7,
        "}\n" * 7,
        "| a | b |\n" + "|---|" * 60,
        "| a | b |\n" + "| 0.0 " * 40,
        "-" * 100,
        "0, " * 30,
        "".join(f"- Benchmark {name}: 71.2 points on the test\n" for name in "abcdefghij"),
        "",
        "\n\n\n" * 20,
        HEAD + LINE * 3 + OTHER,  # it found out by itself
    ],
)
def test_what_people_write_is_no_loop(text):
    assert loop_end(text) is None
    assert finished(text, cut=True) == (text, "length")


def test_a_person_is_not_ended_while_they_write():
    """Every beginning of a summary with a table, as a stream sees it."""
    text = HEAD + LINE + TABLE + LINE + "".join(f"{n}. Step {n} of the recipe\n" for n in range(1, 12))
    assert [end for end in range(len(text)) if loop_end(text[:end]) is not None] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (HEAD + LINE * 3 + OTHER, True),
        (HEAD + "It is good" + " and good" * 20 + " and that is all.\n\n" + OTHER, True),
        (HEAD + LINE + TABLE + LINE, False),
        (HEAD + LINE * 2 + OTHER, False),
        ("", False),
    ],
)
def test_a_loop_that_was_left_again_is_seen_in_the_finished_text(text, found):
    assert looped(text) is found


def asks(tokenizer, count):
    messages = [{"role": "user", "content": "hello"}]
    return [
        GenerationRequest(PromptPrefix(f"card{at}", messages, render(messages, tokenizer)), GREEDY, f"{at}" * 64)
        for at in range(count)
    ]


def test_a_row_of_a_batch_is_ended_and_the_others_go_on(tiny_model, monkeypatch):
    model = open_model(str(tiny_model), None)
    whole = HEAD + LINE + OTHER + TABLE + "- and on it goes, in other words each time, to the end."
    texts = [HEAD + LINE * 40, whole + model.tokenizer.eos_token, "## A\n\nIt is good" + " and good" * 60]
    scripted = ScriptedModel(tiny_model, model.tokenizer, texts)
    monkeypatch.setattr(transformers_backend, "load_weights", lambda *_: scripted)
    [rows] = transformers_backend.summaries(model, [Batch(asks(model.tokenizer, 3))], "x", 300, "float32", "cpu")
    assert [(row.text, row.finish_reason) for row in rows] == [
        ((HEAD + LINE).strip(), "loop"), (whole, "stop"), ("## A\n\nIt is good and", "loop"),
    ]  # fmt: skip
    tokens = [len(model.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (HEAD + LINE * 3, texts[1])]
    assert [row.completion_tokens for row in rows[:2]] == tokens
    assert scripted.steps < 300


def test_a_beginning_that_is_gone_on_from_counts(tiny_model, tokenizer):
    new = tokenizer(LINE, add_special_tokens=False)["input_ids"]
    import torch

    ids = torch.tensor([[7] * 5 + new, [7] * 5 + new])
    stop = LoopStop(tokenizer.decode, (4,), 5, [LINE * 2, LINE])
    assert stop(ids, None).tolist() == [True, False]
    assert stop.kept == {0: len(new)}


def test_the_command_ends_a_loop_and_says_so(tiny_model, monkeypatch):
    writer, shown = writers.LocalWriter(str(tiny_model), "auto", "cpu"), []
    writer._weights = ScriptedModel(tiny_model, writer.tokenizer, [HEAD + LINE * 40])
    written = writer.write([{"role": "user", "content": "hello"}], GREEDY, 300, 0, shown.append)
    assert (written.text, written.finish_reason) == ((HEAD + LINE).strip(), "loop")
    assert shown[-1].removesuffix("- ") == HEAD + LINE * 3
    attempt = Attempt(written, GREEDY, 0, [])
    assert attempt.failed == ["finished"]
    assert "ran in a loop" in verdict(attempt).plain
    assert "\n" not in verdict(attempt).plain


def test_vllm_and_servers_are_judged_when_they_come_back(tiny_model):
    model = open_model(str(tiny_model), None)
    [ask] = asks(model.tokenizer, 1)
    ids = model.tokenizer(HEAD + LINE * 5, add_special_tokens=False)["input_ids"]
    made = summary(model, ask, "x", ids, 5)
    assert (made.text, made.finish_reason, made.completion_tokens) == ((HEAD + LINE).strip(), "loop", len(ids))
    answer = SimpleNamespace(text=HEAD + LINE * 5, finish_reason="length", prompt_tokens=1, completion_tokens=1, reasoning="")
    row = endpoint_backend._row(ask, "x", answer)
    assert (row.text, row.finish_reason) == (made.text, "loop")
    answer.finish_reason = "stop"  # it ended by itself, and the checks say what they think of it
    assert (endpoint_backend._row(ask, "x", answer).text, endpoint_backend._row(ask, "x", answer).finish_reason) == (
        answer.text, "stop",
    )  # fmt: skip


def test_a_loop_is_not_finished_wherever_that_is_asked():
    source = "Model: a/b\n\n# b\n\nIt is."
    row = Generation("k", "a", "x", HEAD, "loop", 1, 1)
    judged = CheckedSummary.sample(row, source)
    reason = "ended in a loop; length: 8 words, 292 fewer than the 300 required; structure: 1 bullets, at least 4 required; numbers: 1 of 1 numbers is not in the sources: 3B"
    assert (judged.finished, judged.accepted, judged.failed[0], judged.reason) == (False, False, "finished", reason)
    candidate = Candidate("i", "a", HEAD, "m", decoding={"finish_reason": "loop"})
    assert not CheckedSummary.candidate(candidate, source, "small model").finished
    for reason, figures in {"loop": (0, 1), "length": (0, 0), "stop": (1, 0)}.items():
        metrics = measure(Generation("k", "a", "x", HEAD, reason, 1, 1), source, "")["metrics"]
        assert (metrics["finished"], metrics["looped"]) == figures
