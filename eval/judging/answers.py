"""Judges, the questions put to them, and what they answered: parsed, or unparsed with the reason.

An answer is one JSON object of the form asked for. Lenient to a code fence around it and to nothing else: whoever wants to
read a score out of prose will find one. What cannot be read is counted and stays out of every mean.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from data_prep.chat.answer_cache import Answer, Failure
from data_prep.chat.client import Endpoint, Usage, ask_all
from data_prep.core.files import stable_id
from data_prep.core.records import HeldOut
from eval.judging.model_families import families_of
from eval.judging.prompts import PairwiseChoice, Scores, question, response_format, shown_source

_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL | re.IGNORECASE)
NO_ANSWER = "no answer: "
_EMPHASIS = re.compile(r"[*_`]")
_AROUND = " \t\n\"'“”‘’.…,;:"


class Judge(Endpoint):
    """A model that judges, behind a server that speaks OpenAI's chat completions."""

    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=3000, ge=1)
    """Of one answer, reasoning included; fifteen long quotes take some 1,000."""
    family: str = ""
    """Of the model, where its name does not tell; a judge may not be of the teacher's or the student's family."""
    json_schema: bool = True
    """Sends the form of the answer as `response_format`. Turn off for a server that knows no JSON schemas."""

    @property
    def families(self) -> frozenset[str]:
        return families_of(self.model) | ({self.family.lower()} if self.family else frozenset())

    def asked_for(self, form: type[Scores] | type[PairwiseChoice]) -> Endpoint:
        more = {"response_format": response_format(form)} if self.json_schema else {}
        return self.model_copy(update={"extra_body": {**self.extra_body, **more}})


@dataclass(frozen=True)
class Subject:
    """What one question is about: a card's summary, or two of its summaries in this order. Texts are cleaned ones."""

    card: str  # id
    first: str
    second: str | None = None

    @property
    def form(self) -> type[Scores] | type[PairwiseChoice]:
        return Scores if self.second is None else PairwiseChoice

    @property
    def name(self) -> str:
        return stable_id(self.card, self.first, *([] if self.second is None else [self.second]))


@dataclass(frozen=True)
class Judgment:
    """One judge's answer on one subject. `answer` is None where it could not be read, and `unparsed` says why."""

    judge: str
    subject: Subject
    answer: Scores | PairwiseChoice | None
    unparsed: str = ""
    said: str = ""  # the start of what could not be read
    quotes: int = 0
    unfounded: list[str] = field(default_factory=list)  # quotes that stand in neither summary nor material
    answer_key: str = ""

    @property
    def failed(self) -> str:
        """Why no answer came at all; "" where one did, readable or not."""
        return self.unparsed.removeprefix(NO_ANSWER) if self.unparsed.startswith(NO_ANSWER) else ""

    def row(self, uses: list[str]) -> dict[str, Any]:
        """A line of judgments.jsonl; `uses` says what the judgment is for."""
        return {
            "judge": self.judge,
            "form": self.subject.form.__name__.lower(),
            "card": self.subject.card,
            "subject": self.subject.name,
            "uses": uses,
            "answer": self.answer and self.answer.model_dump(),
            "unparsed": self.unparsed,
            "said": self.said,
            "quotes": self.quotes,
            "unfounded": self.unfounded,
            "answer_key": self.answer_key,
        }


def judgments(
    judge: Judge, subjects: Iterable[Subject], cards: dict[str, HeldOut], cache: Path, usage: Usage
) -> Generator[Judgment, None, None]:
    """The judge's answers on subjects of one form, in their order."""
    subjects = list(subjects)
    if not subjects:
        return
    asked = ((subject, question(cards[subject.card].source, subject.first, subject.second)) for subject in subjects)
    for subject, answer in ask_all(judge.asked_for(subjects[0].form), cache, asked, usage):
        yield judged(judge.model, subject, cards[subject.card].source, answer)


def judged(judge: str, subject: Subject, source: str, answer: Answer | Failure) -> Judgment:
    if isinstance(answer, Failure):
        return Judgment(judge, subject, None, f"{NO_ANSWER}{answer.reason}", answer_key=answer.key)
    try:
        parsed = parse(answer.text, subject.form)
    except ValueError as error:
        cut = "cut by max_tokens: " * (answer.finish_reason == "length")
        return Judgment(judge, subject, None, f"{cut}{error}", answer.text[:300], answer_key=answer.key)
    quotes = [quote for quote in parsed.quotes if plain(quote)]
    unfounded = unfounded_quotes(quotes, [shown_source(source), subject.first, subject.second or ""])
    return Judgment(judge, subject, parsed, "", "", len(quotes), unfounded, answer.key)


def parse(text: str, form: type[Scores] | type[PairwiseChoice]) -> Scores | PairwiseChoice:
    """The answer. Raises ValueError, in one line, where `text` is not one JSON object of the form."""
    text = text.strip()
    fenced = _FENCED.fullmatch(text)
    try:
        return form.model_validate_json(fenced[1] if fenced else text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
    raise ValueError(": ".join(filter(None, (place, first["msg"]))))


def unfounded_quotes(quotes: Iterable[str], texts: Iterable[str]) -> list[str]:
    """Quotes that stand in none of the texts, white space, case and what surrounds a quote aside. An ellipsis joins pieces,
    each of which must stand in one text."""
    known = [plain(text) for text in texts]
    return [quote for quote in quotes if not any(all(piece in text for piece in pieces(quote)) for text in known)]


def pieces(quote: str) -> list[str]:
    return [piece for part in re.split(r"\[?(?:\.{3}|…)\]?", quote) if (piece := plain(part))]


@lru_cache(maxsize=256)  # a source comes with every question on its card
def plain(text: str) -> str:
    """Without emphasis, which readers leave out, and with single spaces."""
    return " ".join(_EMPHASIS.sub("", text).split()).casefold().strip(_AROUND)
