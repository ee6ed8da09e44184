"""Chat completions of any OpenAI-compatible endpoint: many at a time, in order, each paid for once.

    usage = Usage()
    for card_id, answer in ask_all(endpoint, run_dir / "data" / "teacher.sqlite", questions, usage):
        ...
    print(usage.line())

Requests, retries and Retry-After are openai's own: connection errors, timeouts, 408, 409, 429 and 5xx are tried again with
growing pauses. Added here: the cache, an order, a budget, replies that are no answers, and the errors after which every
further question would fail as well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import httpx2
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient

from data_prep.chat.answer_cache import Answer, AnswerCache, Failure, Question, answer_key
from data_prep.chat.endpoint import NO_KEY, BudgetSpent, Endpoint, Usage, api_key, check_endpoint, is_loopback
from data_prep.chat.replies import NoAnswer, check_answer, read_answer
from data_prep.core.loop_thread import loop_thread
from data_prep.core.retry_after import retry_after

AHEAD = 4  # questions read per slot: a slow answer whose turn it is must not leave the other slots idle
ASK_AGAIN = 2  # times, after a reply that is no answer
AGAIN_AFTER_S = 0.5  # times the number of such replies
CONNECT_S = 15
LONGEST_WAIT_S = 120  # where Retry-After asks for more, openai gives up at once
NOT_THERE = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)

K = TypeVar("K")


def ask_all(
    endpoint: Endpoint, cache: Path, questions: Iterable[tuple[K, Question]], usage: Usage | None = None
) -> Generator[tuple[K, Answer | Failure], None, None]:
    """Each question's name with its answer, in the order of the questions, of which a window is read and in memory.

    `questions` is read in the caller's thread; answers arrive and are stored in another while the caller is busy. Leaving
    early gives up what is in flight. Raises BudgetSpent when all that was in flight is stored, and ValueError where every
    further question would fail too: nobody answers at `base_url`, the key is refused, the path or the model is unknown.
    """
    check_endpoint(endpoint)
    window: deque[tuple[K, Future[Answer | Failure]]] = deque()
    with closing(AnswerCache(cache)) as answers:
        asker = _Asker(endpoint, answers, usage or Usage())
        with loop_thread("chat completions", asker.client.close) as submit:
            try:
                for name, question in questions:
                    window.append((name, submit(asker.answer(question))))
                    while window and (len(window) == AHEAD * endpoint.concurrency or window[0][1].done()):
                        yield _first(window)
                while window:
                    yield _first(window)
            except BudgetSpent:
                wait(future for _, future in window)  # it is paid for
                raise


def _first(window: deque[tuple[K, Future[Answer | Failure]]]) -> tuple[K, Answer | Failure]:
    name, future = window.popleft()
    return name, future.result()


class _Asker:
    """Answers a question from the cache or from the server. Used in its event loop's thread alone."""

    def __init__(self, endpoint: Endpoint, answers: AnswerCache, usage: Usage) -> None:
        self.endpoint, self.answers, self.usage = endpoint, answers, usage
        self.slots = asyncio.Semaphore(endpoint.concurrency)
        self.in_flight: dict[str, asyncio.Task[Answer | Failure]] = {}
        self.replies = 0  # of the server, whatever they say
        self.stopped = ""  # why every further question would fail
        self.key = api_key(endpoint)
        self.client = AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=self.key,
            max_retries=endpoint.retries,
            timeout=httpx2.Timeout(endpoint.timeout_s, connect=min(CONNECT_S, endpoint.timeout_s)),
            http_client=DefaultAsyncHttpxClient(
                trust_env=not is_loopback(endpoint.base_url),  # no proxy of the environment leads back to this machine
                event_hooks={"request": [self._sending], "response": [self._heard]},
            ),
        )

    async def answer(self, question: Question) -> Answer | Failure:
        body = request_body(self.endpoint, question)
        key = answer_key(body, question.sample)
        if stored := self.answers.get(key):
            self.usage.cached += 1
            return stored
        if key in self.in_flight:
            answer = await self.in_flight[key]
            if isinstance(answer, Answer):
                self.usage.cached += 1
                return replace(answer, cached=True)
            return answer
        task = self.in_flight[key] = asyncio.create_task(self._ask(key, body))
        task.add_done_callback(lambda _: self.in_flight.pop(key))
        return await task

    async def _ask(self, key: str, body: dict[str, Any]) -> Answer | Failure:
        async with self.slots:
            for attempt in range(1 + ASK_AGAIN):
                await asyncio.sleep(attempt * AGAIN_AFTER_S)
                try:
                    answer = read_answer(await self._post(body), key)
                    self._count(answer)
                    check_answer(answer)
                except NoAnswer as error:
                    failure = Failure(self._clean(error.reason), key, error.empty)
                    if not error.ask_again:
                        break
                else:
                    self.answers.put(answer)
                    self.usage.answered += 1
                    return answer
        self.usage.failed(failure.reason)
        return failure

    async def _post(self, body: dict[str, Any]) -> bytes:
        """The body of the server's reply. Raises NoAnswer for this question, ValueError for all."""
        before = self.replies
        try:
            response = await self.client.post("/chat/completions", cast_to=httpx2.Response, body=body)
            return response.content
        except APIStatusError as error:
            if trouble := self._trouble(error):
                self._stop(trouble)
            said = error.message.removeprefix(f"Error code: {error.status_code} - ")
            raise NoAnswer(f"HTTP {error.status_code}: {said}", ask_again=False) from None
        except APIConnectionError as error:
            # One question may be out of luck; nobody having got a reply meanwhile is another matter.
            if isinstance(error.__cause__, NOT_THERE) and self.replies == before:
                self._stop("cannot be reached; start the server or correct base_url")
            raise NoAnswer(f"{error.message} {type(error.__cause__).__name__}, retries used up", ask_again=False) from None
        except UnicodeEncodeError:
            raise NoAnswer("the question holds characters that UTF-8 has no place for", ask_again=False) from None

    def _trouble(self, error: APIStatusError) -> str:
        """What every further question would meet as well; empty where only this one did."""
        name = self.endpoint.api_key_env
        if error.status_code in (401, 403):
            return f"refuses the key (HTTP {error.status_code}); check the variable {name}{' (not set)' * (self.key == NO_KEY)}"
        if error.status_code == 404:
            return (
                f"knows no such path or no model {self.endpoint.model!r} (HTTP 404); "
                "correct model, or base_url, which mostly ends in /v1,"
            )
        if error.status_code == 402 or error.code == "insufficient_quota":
            return f"says that the account of {name} has no credit left (HTTP {error.status_code}); add some"
        pause = retry_after(error.response.headers.get("retry-after", ""))
        if pause and pause > LONGEST_WAIT_S:
            return f"asks to wait {pause:.0f} s (HTTP {error.status_code}); wait"
        return ""

    def _stop(self, trouble: str) -> NoReturn:
        self.stopped = f"{self.endpoint.base_url} {trouble} and run again, answers so far are kept"
        raise ValueError(self.stopped) from None

    async def _sending(self, _: httpx2.Request) -> None:
        if self.stopped:
            raise ValueError(self.stopped)
        self.usage.check(self.endpoint)
        self.usage.requests += 1

    async def _heard(self, _: httpx2.Response) -> None:
        self.replies += 1

    def _count(self, answer: Answer) -> None:
        if self.endpoint.budget is not None and not answer.prompt_tokens:
            self._stop("reports no usage of tokens, so no budget can be kept; set max_requests in place of budget")
        self.usage.count(self.endpoint, answer.prompt_tokens, answer.completion_tokens)

    def _clean(self, reason: str) -> str:
        """Servers' words are foreign text, and some repeat the key."""
        if self.key != NO_KEY:
            reason = reason.replace(self.key, "[key]")
        return " ".join(reason.split())[:300]


def request_body(endpoint: Endpoint, question: Question) -> dict[str, Any]:
    """What is sent, and with the sample's number what an answer is kept under."""
    return {
        "model": endpoint.model,
        "messages": [dict(message) for message in question.messages],
        "temperature": endpoint.temperature if question.temperature is None else float(question.temperature),
        "top_p": endpoint.top_p,
        "max_tokens": endpoint.max_tokens,
        **endpoint.extra_body,
    }
