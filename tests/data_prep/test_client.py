"""The client against a real server on loopback that answers, errs, stalls and hangs up."""

import itertools
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from email.utils import formatdate

import pytest
from chat_server import SOON, ChatServer, cut, late, raw, says, status
from commands import BASE, ROOT

from data_prep import client_benchmark
from data_prep.chat.answer_cache import AnswerCache, answer_key
from data_prep.chat.client import Answer, BudgetSpent, Endpoint, Failure, Question, Usage, ask_all, request_body
from data_prep.chat.endpoint import is_loopback
from data_prep.core.retry_after import retry_after

KEY = "sk-Distinctive-4711"


@pytest.fixture
def server():
    with ChatServer() as running:
        yield running


@pytest.fixture
def ask(server, tmp_path):
    """Asks each text; gives the answers in a list. Other arguments are the endpoint's."""

    def run(*texts, usage=None, **changes):
        found = list(ask_all(endpoint(server, **changes), tmp_path / "answers.sqlite", questions(texts), usage))
        assert [name for name, _ in found] == list(texts)
        return [answer for _, answer in found]

    return run


def endpoint(server, **changes):
    return Endpoint(**{"model": "tiny", "base_url": server.url, "licence": "mit", "api_key_env": "TEST_CHAT_KEY", **changes})


def question(text, **more):
    return Question([{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}], **more)


def questions(texts):
    return [(text, question(text)) for text in texts]


def numbers(count):
    return [f"q{number}" for number in range(count)]


def stored(path):
    return sqlite3.connect(path).execute("SELECT count(*) FROM answers").fetchone()[0]


# What is sent and what comes back


def test_an_answer_carries_text_tokens_and_the_servers_name_of_the_model(ask, server):
    [answer] = ask("hello", temperature=0.2, extra_body={"chat_template_kwargs": {"enable_thinking": False}})
    assert answer == Answer("re: hello", "stop", 100, 10, "tiny-2026", answer.key)
    [body] = server.bodies
    assert body["messages"] == question("hello").messages
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.2, 0.95, 1500)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert server.keys == {"Bearer none"}


def test_a_question_may_have_its_own_temperature(server, tmp_path):
    asked = [("cold", question("q", temperature=0)), ("warm", question("q"))]
    assert len(list(ask_all(endpoint(server), tmp_path / "a", asked))) == 2
    assert sorted(body["temperature"] for body in server.bodies) == [0, 0.7]


def test_answers_come_in_the_order_of_the_questions(ask, server):
    server.trouble = {"q0": [late(0.3)], "q3": [late(0.1)]}
    texts = numbers(12)
    assert [answer.text for answer in ask(*texts)] == ["late" if text in ("q0", "q3") else f"re: {text}" for text in texts]


def test_the_server_never_sees_more_requests_than_slots_and_no_slot_idles(tmp_path):
    with ChatServer(answer_s=0.1) as server:
        list(ask_all(endpoint(server, concurrency=5), tmp_path / "a", questions(numbers(20))))
        assert server.most == 5


def test_only_a_window_of_the_questions_is_read(server, tmp_path):
    read = []
    endless = ((number, question(f"q{read.append(number)}{number}")) for number in itertools.count())
    server.trouble = {"qNone0": [late(0.3)]}
    answers = ask_all(endpoint(server, concurrency=2), tmp_path / "a", endless)
    assert next(answers)[0] == 0
    answers.close()
    assert len(read) <= 9


def test_an_answer_is_given_before_a_slow_caller_has_asked_everything(server, tmp_path):
    read = []

    def slowly():
        for text in numbers(10):
            read.append(text)
            yield text, question(text)
            time.sleep(0.05)

    answers = ask_all(endpoint(server), tmp_path / "a", slowly())
    next(answers)
    assert len(read) < 10
    answers.close()


def test_leaving_early_ends_the_thread_at_once(server, tmp_path):
    server.trouble = {"q1": [late(5)]}
    answers = ask_all(endpoint(server), tmp_path / "a", questions(["q0", "q1"]))
    next(answers)
    started = time.monotonic()
    answers.close()
    assert time.monotonic() - started < 3
    assert "chat completions" not in [thread.name for thread in threading.enumerate()]


LEFT = """
import sys, pathlib
from data_prep.chat.client import *
endpoint = Endpoint(model="tiny", base_url=sys.argv[1], licence="mit")
answers = ask_all(endpoint, pathlib.Path(sys.argv[2]), [(t, Question([{"role": "user", "content": t}])) for t in ("q0", "q1")])
print(next(answers)[0])
"""


def test_a_program_that_ends_without_closing_does_not_hang(server, tmp_path):
    server.trouble = {"q1": [late(20)]}
    command = [sys.executable, "-c", LEFT, server.url, str(tmp_path / "a")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stdout, done.stderr) == (0, "q0\n", "")


def test_an_error_of_the_caller_passes_through(server, tmp_path):
    def broken():
        yield "q", question("q")
        raise KeyError("caller")

    with pytest.raises(KeyError, match="caller"):
        list(ask_all(endpoint(server), tmp_path / "a", broken()))


# The cache


def test_a_text_cut_by_the_limit_is_an_answer(ask, server):
    server.trouble = {"q": [says("The ans", finish_reason="length")]}
    assert [(answer.text, answer.finish_reason) for answer in ask("q") + ask("q")] == [("The ans", "length")] * 2


def test_what_was_answered_is_not_asked_again_not_even_at_another_address(ask, server, tmp_path):
    first = ask(*numbers(20))
    usage = Usage()
    with ChatServer() as other:
        again = list(ask_all(endpoint(other), tmp_path / "answers.sqlite", questions(numbers(20)), usage))
        assert other.asked == []
    assert [(a.text, a.key, a.cached) for _, a in again] == [(a.text, a.key, True) for a in first]
    assert (usage.requests, usage.cached, usage.prompt_tokens) == (0, 20, 0)


def test_all_that_changes_an_answer_changes_its_key_and_nothing_else_does(server):
    plain = endpoint(server)

    def key(endpoint, question):
        return answer_key(request_body(endpoint, question), question.sample)

    base = key(plain, question("q"))
    others = [
        key(plain, question("r")),
        key(plain, question("q", sample=1)),
        key(plain, question("q", temperature=0.1)),
        *(key(plain.model_copy(update=change), question("q")) for change in (
            {"model": "m"}, {"temperature": 0.1}, {"top_p": 0.1}, {"max_tokens": 7}, {"extra_body": {"seed": 1}}
        )),
    ]  # fmt: skip
    assert len({base, *others}) == 8  # both ways to a temperature of 0.1 are one
    same = {
        "base_url": "http://elsewhere/v1",
        "licence": "x",
        "price_in": 1.0,
        "concurrency": 1,
        "retries": 0,
        "api_key_env": "B",
    }
    assert key(plain.model_copy(update=same), question("q", temperature=0.7)) == base
    assert key(plain, question("q", temperature=1)) == key(plain, question("q", temperature=1.0))


def test_the_same_question_in_flight_is_asked_once(tmp_path):
    usage = Usage()
    with ChatServer(answer_s=0.05) as server:
        found = list(ask_all(endpoint(server), tmp_path / "a", enumerate([question("q")] * 10), usage))
        assert server.asked == ["q"]
    assert [answer.cached for _, answer in found] == [False] + [True] * 9
    assert (usage.requests, usage.cached, usage.prompt_tokens) == (1, 9, 100)


def test_answers_are_stored_while_the_caller_is_busy(server, tmp_path):
    answers = ask_all(endpoint(server), tmp_path / "a", questions(numbers(20)))
    next(answers)
    deadline = time.monotonic() + 5
    while stored(tmp_path / "a") < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert stored(tmp_path / "a") == 20
    answers.close()


KILLED = """
import sys, pathlib
from data_prep.chat.client import *
texts = [f"q{number}" for number in range(60)]
endpoint = Endpoint(model="tiny", base_url=sys.argv[1], licence="mit", concurrency=4)
list(ask_all(endpoint, pathlib.Path(sys.argv[2]), [(t, Question([{"role": "user", "content": t}])) for t in texts]))
"""


def test_after_a_kill_only_what_was_not_stored_is_asked_again(tmp_path):
    with ChatServer(answer_s=0.03) as server:
        command = [sys.executable, "-c", KILLED, server.url, str(tmp_path / "a")]
        process = subprocess.Popen(command, cwd=ROOT)
        while len(server.asked) < 25:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = stored(tmp_path / "a")
        assert 15 <= kept < 60
        server.asked.clear()
        assert subprocess.run(command, cwd=ROOT).returncode == 0
        assert len(server.asked) == 60 - kept
        assert stored(tmp_path / "a") == 60


def test_a_file_that_holds_no_answers_is_named(ask, tmp_path):
    (tmp_path / "answers.sqlite").write_text("something else entirely, long enough to be looked at " * 10)
    with pytest.raises(ValueError, match=r"answers\.sqlite: file is not a database"):
        ask("q")


# Trouble with one question


def test_passing_trouble_is_tried_again(ask, server):
    server.trouble = {
        "busy": [status(429, headers=SOON), status(503, headers=SOON)],
        "broken": [status(500, headers=SOON)] * 3,
        "cut": [cut],
        "malformed": [raw(b'{"choices": [')],
        "no choices": [raw(b'{"choices": []}')],
        "page": [raw(b"<html>back soon</html>", {"Content-Type": "text/html"})],
        "empty": [says("  \n")],
        "slow": [late(1.5)],
    }
    texts = list(server.trouble)
    usage = Usage()
    assert [answer.text for answer in ask(*texts, timeout_s=1.0, usage=usage)] == [f"re: {text}" for text in texts]
    assert usage.requests == len(server.asked) == 8 + 2 + 3 + 6
    assert usage.failures == 0


def test_the_pause_is_as_long_as_the_server_asks_for(ask, server):
    server.trouble = {"q": [status(429, headers={"Retry-After": "0.9"})]}  # unasked, the first pause is at most 0.5 s
    assert ask("q")[0].text == "re: q"
    assert server.times[1] - server.times[0] >= 0.9


def test_what_stays_broken_is_a_failure_with_its_reason_and_is_asked_again_by_the_next_run(ask, server):
    server.trouble = {
        "too long": [status(400, "too many\ntokens")],
        "down": [status(500, "oh", headers=SOON)] * 3,
        "cut": [cut] * 3,
        "malformed": [raw(b'{"error": "upstream"}')] * 3,
        "filtered": [says("", finish_reason="content_filter")],
    }
    texts = [*server.trouble, "fine"]
    usage = Usage()
    *failures, fine = ask(*texts, retries=2, usage=usage)
    assert fine.text == "re: fine"
    assert all(isinstance(failure, Failure) for failure in failures)
    assert [failure.reason for failure in failures] == [
        "HTTP 400: too many tokens",
        "HTTP 500: oh",
        "Connection error. RemoteProtocolError, retries used up",
        'not a chat completion (choices: Field required): {"error": "upstream"}',
        "refused (content_filter)",
    ]
    assert usage.failures == 5
    assert [answer.text for answer in ask(*texts)] == [f"re: {text}" for text in texts]


def test_a_question_that_is_no_unicode_fails_alone(ask):
    bad, good = ask("\ud800", "fine")
    assert "UTF-8" in bad.reason
    assert good.text == "re: fine"


# Trouble that every question would meet


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (
            status(401, f"Incorrect API key {KEY}"),
            r"refuses the key \(HTTP 401\); check the variable TEST_CHAT_KEY \(not set\)",
        ),
        (status(403), r"refuses the key \(HTTP 403\)"),
        (status(404), r"knows no such path or no model 'tiny'"),
        (status(402), "no credit left"),
        (status(429, headers=SOON, code="insufficient_quota"), "no credit left"),
        (status(429, headers={"Retry-After": "3600"}), "asks to wait 3600 s"),
        (status(503, headers={"Retry-After": formatdate(time.time() + 90_000, usegmt=True)}), r"asks to wait \d{5} s"),
    ],
)
def test_what_no_question_would_survive_stops_the_run(ask, server, trouble, said):
    server.trouble = {"*": [trouble] * 1000}
    with pytest.raises(ValueError, match=said) as raised:
        ask(*numbers(200), retries=1, concurrency=4)
    assert "answers so far are kept" in str(raised.value)
    assert len(server.asked) <= 8


def test_nothing_more_is_sent_once_the_run_has_to_stop(ask, server):
    server.trouble = {"q0": [late(0.5)], "*": [status(401)] * 100}
    with pytest.raises(ValueError, match="refuses the key"):
        ask(*numbers(40), concurrency=3)
    assert len(server.asked) <= 3


def test_a_server_that_is_not_there_stops_the_run(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        away = Endpoint(model="m", base_url=url, licence="mit", retries=1)
        with pytest.raises(ValueError, match=f"{url} cannot be reached; start the server or correct base_url"):
            list(ask_all(away, tmp_path / "a", questions(["q"])))


def test_a_server_that_goes_away_stops_the_run_and_answers_stay(tmp_path):
    with ChatServer() as server:
        answers = ask_all(endpoint(server, retries=0, concurrency=1), tmp_path / "a", questions(numbers(100)))
        assert next(answers)[1].text == "re: q0"
        server.trouble = {"*": [cut] * 1000}
        server.socket.close()
        with pytest.raises(ValueError, match="cannot be reached"):
            list(answers)
    assert stored(tmp_path / "a") >= 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_url": "localhost:8000"}, r"expected http\(s\)://host"),
        ({"base_url": "https://user:secret@host/v1"}, "holds a user name"),
        ({"api_key_env": "hf_secret"}, "no variable's name"),
        ({"budget": 3.0}, "price_in and price_out are 0"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused_without_its_secrets(ask, changes, said):
    with pytest.raises(ValueError, match=said) as raised:
        ask("q", **changes)
    assert "secret" not in str(raised.value)


# Money


def test_usage_counts_requests_tokens_and_cost(ask, server):
    usage = Usage()
    server.trouble = {"q1": [status(400)], "q2": [says("")]}
    ask(*numbers(4), usage=usage, price_in=2.0, price_out=10.0)
    assert (usage.requests, usage.failures, usage.prompt_tokens, usage.completion_tokens) == (5, 1, 400, 40)  # q2 cost twice
    assert usage.cost == pytest.approx((400 * 2 + 40 * 10) / 1e6)
    assert usage.line() == ("5 requests sent, 0 answers from the cache, 1 questions failed; 400 tokens in, 40 out, cost 0.00")


def test_a_spent_budget_stops_the_run_and_a_larger_one_goes_on_without_asking_again(ask, server, tmp_path):
    prices = {"price_in": 10_000.0, "concurrency": 4}  # one unit an answer
    usage = Usage()
    with pytest.raises(BudgetSpent, match=r"spent 1\d of a budget of 10; answers are kept, raise budget and run again"):
        ask(*numbers(40), usage=usage, budget=10.0, **prices)
    assert 10 <= len(server.asked) <= 13
    assert stored(tmp_path / "answers.sqlite") == len(server.asked) == usage.cost
    ask(*numbers(40), budget=100.0, **prices)
    assert sorted(server.asked) == sorted(numbers(40))


def test_answers_before_the_budgets_end_are_given_first(server, tmp_path):
    limited = endpoint(server, max_requests=7, concurrency=2)
    found = []
    with pytest.raises(BudgetSpent, match="sent 7 requests of max_requests 7"):
        found.extend(ask_all(limited, tmp_path / "a", questions(numbers(40))))
    assert len(server.asked) == 7


def test_what_is_in_flight_when_the_budget_ends_is_kept(ask, server, tmp_path):
    server.trouble = {"q0": [status(429, headers=SOON)], "q1": [late(0.4)]}
    with pytest.raises(BudgetSpent):
        ask(*numbers(3), max_requests=3)  # the second request for q0 would be the fourth
    assert stored(tmp_path / "answers.sqlite") == 2


def test_a_budget_without_a_count_of_tokens_stops_the_run(ask, server):
    server.trouble = {"q": [says("x", usage=None)]}
    with pytest.raises(ValueError, match="reports no usage of tokens"):
        ask("q", price_in=1.0, budget=1.0)


# Secrets and the environment


def test_the_key_is_sent_and_is_nowhere_else(server, tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.setenv("TEST_CHAT_KEY", f"{KEY}\n")  # files of keys end so
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx2", "httpcore2"):
        caplog.set_level(logging.DEBUG, logger=name)
    echo = f"your key {KEY} is no good"
    server.trouble = {
        "a": [status(400, echo)],
        "b": [raw(echo.encode())] * 3,
        "c": [status(500, echo, headers=SOON)] * 2,
        "d": [],
    }
    path = tmp_path / "cache" / "answers"
    found = list(ask_all(endpoint(server, retries=1), path, questions(["a", "b", "c", "d"])))
    assert server.keys == {f"Bearer {KEY}"}
    assert "your key [key] is no good" in found[0][1].reason
    server.trouble = {"*": [status(401, echo)] * 9}
    with pytest.raises(ValueError, match="check the variable TEST_CHAT_KEY and") as raised:
        list(ask_all(endpoint(server), path, questions(["e"])))
    said = [
        repr(found),
        repr(raised.value),
        "".join(traceback.format_exception(raised.value)),
        caplog.text,
        *capfd.readouterr(),
    ]
    assert "openai._base_client" in caplog.text
    assert not any(KEY in text for text in said)
    files = list(path.parent.iterdir())
    assert files
    assert not any(KEY.encode() in file.read_bytes() for file in files)


def test_a_key_that_no_header_can_hold_is_refused_unseen(ask, monkeypatch):
    monkeypatch.setenv("TEST_CHAT_KEY", f"{KEY}\n{KEY}")
    with pytest.raises(ValueError, match="the variable TEST_CHAT_KEY holds characters that no key has") as raised:
        ask("q")
    assert KEY not in str(raised.value)


def test_loopback_never_goes_through_a_proxy(ask, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens
    monkeypatch.delenv("no_proxy", raising=False)
    assert ask("q", retries=0)[0].text == "re: q"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8000/v1", True),
        ("http://127.3.0.1/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://0.0.0.0:8000/v1", True),
        ("https://localhost.example/v1", False),
        ("http://10.0.0.1/v1", False),
    ],
)
def test_loopback_is_known_by_address_and_name(url, expected):
    assert is_loopback(url) is expected


def test_retry_after_is_seconds_or_a_date():
    assert retry_after("17.5") == 17.5
    assert 50 < retry_after(formatdate(time.time() + 60, usegmt=True)) <= 60
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == retry_after("-1") == retry_after("nan") == 0
    assert retry_after("") is retry_after("soon") is retry_after("\u00b2") is None


def test_the_benchmark_asks_beside_bare_calls_and_keeps_what_was_answered(monkeypatch, capsys):
    monkeypatch.setattr(client_benchmark, "REQUESTS", 6)
    monkeypatch.setattr("sys.argv", ["client_benchmark"])
    client_benchmark.main()
    assert "ours sent 6; a second run sent 0" in capsys.readouterr().out


def test_two_processes_may_share_a_file(tmp_path):
    one, two = AnswerCache(tmp_path / "a"), AnswerCache(tmp_path / "a")
    one.put(Answer("x", "stop", 1, 2, "m", "key", reasoning="r"))
    two.put(Answer("y", "stop", 1, 2, "m", "key"))
    assert two.get("key") == Answer("x", "stop", 1, 2, "m", "key", cached=True, reasoning="r")
    one.close()
    two.close()


# A real server


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_transformers_serve_answers(tmp_path):
    from transformers.utils.import_utils import is_serve_available

    if not is_serve_available():
        pytest.skip("transformers serve needs fastapi and uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(BASE)]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    served = subprocess.Popen([*program, *options], env={**os.environ, "HF_HUB_OFFLINE": "1"})
    try:
        deadline = time.monotonic() + 120
        while not listens(port):
            assert served.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        tiny = Endpoint(model=str(BASE), base_url=f"http://127.0.0.1:{port}/v1", licence="apache-2.0", max_tokens=16)
        [(_, answer)] = ask_all(tiny, tmp_path / "a", questions(["hello"]))
        assert isinstance(answer, Answer), answer
        assert answer.prompt_tokens > 0
        assert 0 < answer.completion_tokens <= 16
    finally:
        served.terminate()
        served.wait(30)
