"""Summaries by a model behind a server, which are kept in a file of answers as well: paid for once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_prep.chat.client import Answer, Endpoint, Question, Usage, ask_all
from data_prep.core.records import Generation
from data_prep.core.text import plural
from eval.decoding.loops import finished
from eval.decoding.sampling import Decoding
from eval.generation.requests import GenerationRequest

MANY = 5  # empty pages
OURS = ("model", "messages", "temperature", "top_p", "max_tokens")  # never an endpoint's own, or systems would differ


def identity(endpoint: Endpoint) -> dict[str, Any]:
    """What of the endpoint an answer's text depends on. The server's address is no part."""
    return {"model": endpoint.model, "extra_body": own_fields(endpoint)}


def own_fields(endpoint: Endpoint) -> dict[str, Any]:
    return {name: value for name, value in endpoint.extra_body.items() if name not in OURS}


def decoded_as(endpoint: Endpoint, decoding: Decoding, max_new_tokens: int) -> Endpoint:
    """The endpoint with the stage's decoding in place of its own."""
    changes = {"temperature": decoding.temperature, "top_p": decoding.top_p, "max_tokens": max_new_tokens}
    return endpoint.model_copy(update={**changes, "extra_body": own_fields(endpoint)})


def summaries(
    endpoint: Endpoint, asks: Sequence[GenerationRequest], system: str, max_new_tokens: int, cache: Path, failed: list[str]
) -> Iterator[list[Generation]]:
    """One row at a time, as answers come; at the end pages that the model left empty, unless most are: then the server is set up wrongly.
    What got no answer goes into `failed`, in words. Raises ValueError where every further question would fail too, as `ask_all` does."""
    usage, answered, empty = Usage(), 0, list[tuple[str, Generation]]()
    ways = {(ask.decoding.temperature, ask.decoding.top_p): ask.decoding for ask in asks}
    for way, decoding in ways.items():
        questions = (
            (ask, Question(ask.opening.messages, sample=ask.decoding.sample))
            for ask in asks
            if (ask.decoding.temperature, ask.decoding.top_p) == way
        )
        for ask, answer in ask_all(decoded_as(endpoint, decoding, max_new_tokens), cache, questions, usage):
            if isinstance(answer, Answer):
                answered += 1
                yield [_row(ask, system, answer)]
                continue
            reason = f"card {ask.opening.card_id}, {ask.decoding.name} {ask.decoding.sample}: {answer.reason}"
            if answer.empty:
                empty.append((reason, _row(ask, system, answer.empty)))
            else:
                failed.append(reason)
    print(f"{system}: {usage.line()}" + (f"; {plural(len(empty), 'page')} empty, first {empty[0][0]}" if empty else ""))
    if len(empty) >= MANY and len(empty) > answered:
        failed += [reason for reason, _ in empty]
    else:
        yield from ([row] for _, row in empty)


def _row(ask: GenerationRequest, system: str, answer: Answer) -> Generation:
    text, reason = finished(answer.text, cut=answer.finish_reason == "length")
    if reason == "length" and answer.reasoning and not text:
        reason = "thought"
    return Generation(
        key=ask.key,
        id=ask.opening.card_id,
        system=system,
        text=text,
        finish_reason=reason,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        sample=ask.decoding.sample,
        decoding=ask.decoding.name,
        thinking=answer.reasoning,
    )
