"""One summary for one visitor: made in a thread of its own, told as it grows, ended when the visitor goes.

What is fetched lies in a folder that goes with the job, and what the checks remember of its texts is forgotten.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from data_prep.chat.replies import split_thinking
from data_prep.checks import source_index
from data_prep.core.records import Card
from data_prep.evidence.left_out import LeftOut, left_out_of
from data_prep.evidence.summary import Evidence, evidence_of
from data_prep.pages.choose import links_of_interest
from data_prep.prompts.student import source_text
from eval.decoding import grounds
from eval.summarizing.notes import notes_of
from eval.summarizing.pipeline import Options, Result, read, write_summary
from eval.summarizing.request import Request
from eval.summarizing.screen import Screen, printable
from eval.summarizing.writers import Writer
from eval.web.forget import forgetting_card
from eval.web.limits import NEW_TOKENS, SOURCES
from eval.web.models import Choice, Models, told

EVERY_S = 0.3  # how often a visitor sees the text grow
FAILED = "something went wrong here, and it is not your doing; try again, or tell whoever runs this page"


class Stopped(BaseException):
    """The visitor has gone or pressed Cancel; not an Exception, so that nothing takes it for a fault of a page."""


@dataclass(frozen=True)
class Made:
    """A summary with all that is shown of it."""

    result: Result
    choice: Choice
    source: str
    evidence: tuple[Evidence, ...]
    left_out: tuple[LeftOut, ...]
    links: tuple[str, ...]  # that the card has and that are its own


@dataclass(frozen=True)
class Progress:
    """What a visitor sees at a moment: the `steps` so far, the growing `text`, and in the end what was `made` or an `error`."""

    steps: tuple[str, ...] = ()
    text: str = ""
    made: Made | None = None
    error: str = ""


@dataclass
class _Job(Screen):
    """What the working thread says and the visitor's thread reads."""

    request: Request
    choice: Choice
    models: Models
    research: bool
    now: Progress = field(default_factory=Progress)
    stop: threading.Event = field(default_factory=threading.Event)

    def say(self, line: str) -> None:
        self._tell(replace(self.now, steps=(*self.now.steps, printable(line))))

    def show(self, said: str) -> None:
        self._tell(replace(self.now, text=printable(split_thinking(said)[0])))

    def _tell(self, progress: Progress) -> None:
        if self.stop.is_set():
            raise Stopped
        self.now = progress

    def work(self) -> None:
        """Never raises: an error becomes a line that shows no path and no text of others."""
        try:
            with TemporaryDirectory(prefix="card-summarizer-") as folder:
                self.now = replace(self.now, made=self._made(Path(folder, "pages.sqlite")))
        except Stopped:
            pass
        except ValueError as error:
            self.now = replace(self.now, error=for_visitors(str(error), self.choice))
        except Exception as error:  # a fault of ours; its text may hold the visitor's
            print(f"app: a job ended with {type(error).__name__}", file=sys.stderr, flush=True)
            self.now = replace(self.now, error=FAILED)
        finally:
            source_index.forget()
            grounds.forget()

    def _made(self, pages: Path) -> Made:
        options = options_of(self.choice, self.research, pages)
        with forgetting_card(self.request.card):
            found = read(self.request, options, self.say)
        links = tuple(link.url for link in links_of_interest(found.card) if link.standing != "mention")
        self.say(f"model: {self.choice.label}")
        writer = self._writer()
        with self.models.turn(self.choice):
            result = write_summary(found, self.request, writer, options, self, self.say)
        result = replace(result, model=told(result.model, self.choice))
        return made_of(result, self.choice, links)

    def _writer(self) -> Writer:
        """Why a model cannot be opened is for whoever runs the page: it speaks of folders and servers."""
        try:
            return self.models.writer(self.choice)
        except ValueError as error:
            print(f"app: {self.choice.label} cannot be opened: {error}", file=sys.stderr, flush=True)
            raise ValueError(
                f"{self.choice.label} cannot be opened just now; choose another model, or try again later"
            ) from None


def made_of(result: Result, choice: Choice, links: tuple[str, ...]) -> Made:
    card: Card = result.found.card
    source = source_text(card.model_id, card.text, notes_of(result.sources))
    summary, results = result.best.written.text, result.best.results
    return Made(result, choice, source, evidence_of(summary, source, results), left_out_of(summary, source), links)


def options_of(choice: Choice, research: bool, pages: Path) -> Options:
    return Options(
        research=research, notes=None, max_sources=SOURCES, max_prompt_tokens=choice.max_prompt_tokens,
        max_new_tokens=NEW_TOKENS, retry=0, seed=0, temperature=0.0, grounded=choice.is_grounded, pages=pages,
    )  # fmt: skip


def run(request: Request, choice: Choice, models: Models, research: bool) -> Iterator[Progress]:
    """Each state that is new, the last one with what was made or an error. Closed early, it has the work end at the next word; until
    then the model is not free for the next in the queue."""
    job = _Job(request, choice, models, research)
    thread = threading.Thread(target=job.work, name="job", daemon=True)
    thread.start()
    shown = None
    try:
        while thread.is_alive():
            thread.join(EVERY_S)
            if job.now is not shown and thread.is_alive():
                shown = job.now
                yield shown
        yield job.now
    finally:
        job.stop.set()


def for_visitors(error: str, choice: Choice) -> str:
    """An error in the words of the page: it may speak of the command's options, and of where a model lies or answers."""
    for private, shown in ((choice.url, "the model's server"), (choice.place, choice.label)):
        error = error.replace(private, shown) if private else error
    for option, here in (
        ("pass --model-id ORG/NAME", 'fill in "Model id"'),
        ("; raise --max-prompt-tokens, or lower --max-sources", "; leave out the notes or the linked pages"),
        ("correct the address, or save the card and name the file", "correct the address, or paste the card"),
        ("name the card as UTF-8 text", "give the card as UTF-8 text"),
        ("; wait or check HF_ENDPOINT and run again", "; try again in a while, or paste the card"),
        ("given text", "the card"),
    ):
        error = error.replace(option, here)
    return re.sub(r"[;,][^;,]*\s--\w[^;]*", "", error)  # a visitor has no options
