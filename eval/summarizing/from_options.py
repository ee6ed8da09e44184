"""Does what the options of `card-summarizer` ask for; the command itself holds them alone, and shows them at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

from rich.console import Console

from data_prep.core.files import to_json, write_text
from data_prep.core.user_cache import user_cache
from eval.summarizing.batch import run_batch
from eval.summarizing.notes import read_notes
from eval.summarizing.pipeline import Options, Result, read, write_summary
from eval.summarizing.request import Request
from eval.summarizing.screen import Pipe, Screen, Whole, say
from eval.summarizing.shipped_model import CAVEAT, MOST_PROMPT_TOKENS, TITLE, shipped_model
from eval.summarizing.terminal import Terminal, said_line
from eval.summarizing.verdict import verdict
from eval.summarizing.writers import LocalWriter, ServedWriter, Writer


def summarize_many(options: argparse.Namespace) -> None:
    run_batch(options.batch, options.out, writer_of(options), _settings(options), say)


def result_of(options: argparse.Namespace, screen: Screen, writer: Callable[[], Writer]) -> Result:
    settings = _settings(options)
    request = Request(options.card, options.model_id)
    found = read(request, settings, say)
    return write_summary(found, request, writer(), settings, screen, say)


def summarize_one(options: argparse.Namespace) -> None:
    result = result_of(options, _screen(options), partial(writer_of, options))
    text = to_json(result.as_json()) if options.json else result.best.written.text
    if options.out:
        write_text(options.out, text + "\n")
        say(f"written: {options.out}")
    elif options.json:
        print(text, flush=True)
    if options.show_thought and result.best.written.thinking:
        say(f"thought:\n{result.best.written.thinking}\n")
    said_line(verdict(result.best))
    if not options.model:
        say(f"beware: {CAVEAT} (--model names a larger one)")


def _screen(options: argparse.Namespace) -> Screen:
    if sys.stdout.isatty() and not options.json:
        return Terminal(Console(), options.show_thought)
    if options.json or options.out:
        return Screen()
    # What a pipe has been given cannot be taken back: grounded decoding cuts a page that goes round in circles, and a server may send
    # thoughts that only their closing tag tells from the page.
    return Pipe(sys.stdout) if options.free and not options.endpoint and not options.retry else Whole(sys.stdout)


def _is_grounded(options: argparse.Namespace) -> bool:
    """A server's tokens are out of reach."""
    return not options.free and not options.endpoint


def writer_of(options: argparse.Namespace) -> Writer:
    if not options.model:
        base, adapter = shipped_model()
        say(f"model: {TITLE}")
        return LocalWriter(str(base), options.dtype, options.device, adapter)
    say(f"model: {options.model}" + (f" at {options.endpoint}" if options.endpoint else ""))
    if options.endpoint:
        return ServedWriter(options.model, options.endpoint, options.tokenizer or options.model)
    return LocalWriter(options.model, options.dtype, options.device)


def _settings(options: argparse.Namespace) -> Options:
    return Options(
        research=bool(options.model) if options.research is None else options.research,
        notes=tuple(read_notes(options.research_file)) if options.research_file else None,
        max_sources=options.max_sources,
        max_prompt_tokens=options.max_prompt_tokens or (None if options.model else MOST_PROMPT_TOKENS),
        max_new_tokens=options.max_new_tokens,
        retry=options.retry,
        seed=options.seed,
        temperature=options.temperature,
        grounded=_is_grounded(options),
        pages=user_cache() / "pages.sqlite",  # for all runs of a user: delete it to have linked pages fetched anew
        thoughts=options.max_thought_tokens if options.think else 0,
    )
