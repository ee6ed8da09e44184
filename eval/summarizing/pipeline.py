"""One card in, one summary out: notes on its links, the prompt, the tries, the checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_prep.chat.loops import LOOPS_VERSION
from data_prep.checks import check_summary
from data_prep.core.records import Note
from data_prep.pages.choose import Link
from data_prep.prompts.student import PROMPT_VERSION, Prompt, build_notes_prompt, build_prompt, source_text
from eval.decoding.grounded import GROUNDED_VERSION
from eval.decoding.sampling import DRAWS_VERSION, GREEDY, Decoding
from eval.summarizing.card_input import Found, read_card
from eval.summarizing.notes import ReadSource, given_sources, notes_of, research
from eval.summarizing.request import Request
from eval.summarizing.screen import Screen
from eval.summarizing.verdict import Attempt, best
from eval.summarizing.writers import Writer

Say = Callable[[str], None]
MOST_PROMPT_TOKENS = 14_000  # as in training: longer prompts were never seen
LEAST_PROMPT_TOKENS = 300  # the frame of the prompt and a paragraph
MOST_NOTE_TOKENS = 800  # notes are asked for in 350 words
TEMPERATURE, TOP_P = 0.6, 0.95  # of sampling, as evaluation samples


@dataclass(frozen=True)
class Options:
    """`notes` stand in place of research; None where there are none. `pages` is where fetched pages are kept. `grounded` is of a
    summary's decoding; notes are decoded freely."""

    research: bool
    notes: tuple[Note, ...] | None
    max_sources: int
    max_prompt_tokens: int | None
    max_new_tokens: int
    retry: int
    seed: int
    temperature: float  # 0: greedy first, then TEMPERATURE
    grounded: bool
    pages: Path
    thoughts: int = 0  # tokens for what the model thinks before the summary; 0: it is not asked to

    def decoding(self, attempt: int) -> Decoding:
        """Of the try with this number, from 0: greedy first unless a temperature is asked for, then sampled."""
        if not self.temperature and attempt == 0:
            return GREEDY
        return Decoding("sampled", attempt, self.temperature or TEMPERATURE, TOP_P)

    def that_matter(self) -> dict[str, Any]:
        """What of them can change a summary."""
        values = asdict(self)
        del values["pages"]
        return values | {"prompt_version": PROMPT_VERSION, "rules": [GROUNDED_VERSION, LOOPS_VERSION, DRAWS_VERSION]}


@dataclass(frozen=True)
class Result:
    """The best of `attempts` with all that it was made from."""

    found: Found
    sources: list[ReadSource]
    prompt: Prompt
    attempts: list[Attempt]
    model: dict[str, Any]
    seconds: dict[str, float]

    @property
    def best(self) -> Attempt:
        return best(self.attempts)

    @property
    def source(self) -> str:
        """What the page was checked against: the card, whole, and the notes."""
        return source_text(self.found.card.model_id, self.found.card.text, notes_of(self.sources))

    def as_json(self) -> dict[str, Any]:
        chosen, card = self.best, self.found.card
        return {
            "model_id": card.model_id,
            "model_id_from": self.found.id_from,
            "card": {"from": self.found.place, "revision": card.revision, "sha256": card.sha256},
            "summary": chosen.written.text,
            "passed": not chosen.failed,
            "failed": chosen.failed,
            "checks": [asdict(result) for result in chosen.results],
            "sources": [asdict(source) for source in self.sources],
            "omitted": [asdict(omission) for omission in self.prompt.omitted],
            "prompt_tokens": self.prompt.tokens,
            "completion_tokens": chosen.written.completion_tokens,
            "finish_reason": chosen.written.finish_reason,
            "thinking": chosen.written.thinking,
            "grounded": bool(chosen.written.interventions),
            "interventions": chosen.written.interventions,
            "model": self.model,
            "decoding": {**asdict(chosen.decoding), "seed": chosen.seed},
            "attempts": [{"failed": one.failed, "recall": one.recall, "seed": one.seed} for one in self.attempts],
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }


def write_summary(found: Found, request: Request, writer: Writer, options: Options, screen: Screen, say: Say) -> Result:
    """The summary of a card that was read. Raises ValueError where the prompt does not fit the model."""
    started, card = time.monotonic(), found.card
    budget = prompt_budget(writer, options)
    seconds = {"load": writer.load()}
    sources = _sources(found, request, writer, options, budget, say)
    with _of_our_options():
        prompt = build_prompt(card.model_id, card.text, notes_of(sources), writer.tokenizer, budget)
    for omission in prompt.omitted:
        say(f"left out: {omission.tokens:,} tokens of {omission.part} (--max-prompt-tokens {budget:,})")
    seconds["notes_and_prompt"] = time.monotonic() - started - seconds["load"]
    source = source_text(card.model_id, card.text, notes_of(sources))
    attempts = _attempts(prompt, source, writer, options, screen, say)
    seconds |= {"first_word": attempts[0].written.first_s, "writing": sum(one.written.total_s for one in attempts)}
    seconds["total"] = time.monotonic() - started
    return Result(found, sources, prompt, attempts, {"name": writer.name, **writer.identity}, seconds)


def read(request: Request, options: Options, say: Say) -> Found:
    """`read_card`, told to the person."""
    found = read_card(request)
    say(f"card: {found.card.model_id} ({found.id_from}), {len(found.card.body.split()):,} words, from {found.place}")
    if found.warning:
        say(f"beware: {found.warning}")
    return found


def prompt_budget(writer: Writer, options: Options) -> int:
    """Tokens that the prompt may take. Raises ValueError where that is nothing, or more than the model has room for."""
    new, asked = options.max_new_tokens + options.thoughts, options.max_prompt_tokens
    room = writer.context - new if writer.context else None
    if room is not None and room < (asked or LEAST_PROMPT_TOKENS):
        raise ValueError(
            f"{writer.name} takes {writer.context:,} tokens in all, and --max-new-tokens {options.max_new_tokens:,}"
            + (f" with --max-thought-tokens {options.thoughts:,}" if options.thoughts else "")
            + f" leaves {max(room, 0):,} for the prompt, "
            f"of which {asked or LEAST_PROMPT_TOKENS:,} are asked for; lower "
            + ("--max-prompt-tokens" if asked else "--max-new-tokens")
        )
    return asked or min(filter(None, (room, MOST_PROMPT_TOKENS)))


@contextmanager
def _of_our_options() -> Iterator[None]:
    """What building a prompt says speaks of recipes."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{str(error).partition('; ')[0]}; raise --max-prompt-tokens, or lower --max-sources") from None


def _sources(found: Found, request: Request, writer: Writer, options: Options, budget: int, say: Say) -> list[ReadSource]:
    notes = request.notes if request.notes is not None else options.notes
    if notes is not None:
        sources = given_sources(notes, options.max_sources)
        say(f"notes: {len(notes_of(sources))} given" + (f", {len(notes)} in all" if len(notes) > options.max_sources else ""))
        return sources
    if not options.research or not options.max_sources:
        return []

    def write(link: Link, page: str) -> str:
        card = found.card
        with _of_our_options():
            prompt = build_notes_prompt(card.model_id, card.text, link.url, page, writer.tokenizer, budget)
        new = min(options.max_new_tokens, MOST_NOTE_TOKENS)
        written = writer.write(prompt.messages, GREEDY, new, options.seed, lambda _: None)
        if written.finish_reason == "length":
            return written.text.rpartition("\n")[0]  # half a fact is none
        return written.text

    return research(found.card, options.pages, options.max_sources, write, say)


def _attempts(prompt: Prompt, source: str, writer: Writer, options: Options, screen: Screen, say: Say) -> list[Attempt]:
    """The tries, until no check flags one. Raises ValueError where the model writes nothing."""
    attempts: list[Attempt] = []
    with screen:
        for number in range(options.retry + 1):
            decoding, seed = options.decoding(number), options.seed + number
            grounds = source if options.grounded else ""
            written = writer.write(
                prompt.messages, decoding, options.max_new_tokens, seed, screen.show, grounds, options.thoughts
            )
            attempts.append(Attempt(written, decoding, seed, check_summary(written.text, source)))
            if not attempts[-1].failed:
                break
            if number < options.retry:
                say(f"try {number + 1}: flagged by {', '.join(attempts[-1].failed)}; trying again")
        chosen = best(attempts)
        if chosen.written.finish_reason == "thought":
            raise ValueError(
                f"the thoughts of {writer.name} had no end within {options.thoughts} tokens; raise --max-thought-tokens, or leave out --think"
            )
        if not chosen.written.text:
            raise ValueError(
                f"{writer.name} wrote no summary ({chosen.written.finish_reason}); raise --max-new-tokens, or name another model"
            )
        screen.finish(chosen.written.text)
    if options.retry:
        how = (
            f"greedy, seed {chosen.seed}"
            if chosen.decoding == GREEDY
            else f"temperature {chosen.decoding.temperature}, seed {chosen.seed}"
        )
        say(
            f"kept try {attempts.index(chosen) + 1} of {len(attempts)} ({how})" + (": each is flagged" if chosen.failed else "")
        )
    return attempts
