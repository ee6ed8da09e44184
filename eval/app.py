"""Serves a web page on which visitors have model cards summarised, each statement marked with its place in the source.

    python -m eval.app
    python -m eval.app --models embedded runs/mine/model NAME@http://localhost:8000/v1 --port 8080

Reads   cards that visitors name by Hub id or https address, drop or paste, and the models of --models
Writes  nothing: what is fetched or uploaded goes when the summary is made, and no text is logged

Needs the extra `app`. Visitors choose among the models that --models offers and can name no file of this machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from data_prep.core.recipe import exit_on_mistake

if TYPE_CHECKING:
    from eval.web.models import Models

NAME = "eval.app"
EXAMPLES = """examples:
  python -m eval.app                                               the small model that ships, on http://127.0.0.1:7860
  python -m eval.app --models runs/mine/model embedded             two to choose from, the first one chosen
  python -m eval.app --models scribe@http://localhost:8000/v1 --tokenizer HuggingFaceTB/SmolLM3-3B
  python -m eval.app --host 0.0.0.0 --no-research                  for visitors from elsewhere, who have no pages fetched

OPENAI_API_KEY is the key for a server, and is never shown. No token of the Hub is used, so that visitors read public cards alone:
fetch a gated model before, and name its folder.
"""


def main(arguments: list[str]) -> None:
    """Serves until it is interrupted. Raises ValueError where an option is wrong, the extra is missing, or the port is taken."""
    options = parser().parse_args(arguments)
    if options.at_once < 1:
        raise ValueError(f"--at-once is {options.at_once}; it is 1 or more")
    if not 1 <= options.port <= 65535:
        raise ValueError(f"--port is {options.port}; it is 1 to 65535")
    os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"  # read when the Hub library is imported
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    with TemporaryDirectory(prefix="card-summarizer-app-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        _serve(options)


def _serve(options: argparse.Namespace) -> None:
    try:
        from eval.web.page import PageOptions, Served, build, serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("gradio", "gradio_client"):
            raise
        raise ValueError("this page needs Gradio, which is not installed; run: pip install -e '.[app]'") from None
    from eval.web.models import Models, choices_of

    models = Models(choices_of(options.models), options.tokenizer, options.device, options.dtype)
    page = build(models, PageOptions(options.at_once, options.research))
    threading.Thread(target=_open_first, args=(models,), name="opening", daemon=True).start()
    where = Served(options.host, options.port, options.share)
    print(f"app: http://{options.host}:{options.port} (stop with Ctrl-C)", file=sys.stderr, flush=True)
    serve(page, where)


def _open_first(models: Models) -> None:
    """So that the first visitor need not wait for it; what fails is told to whoever asks for it."""
    choice = models.choices[0]
    try:
        writer = models.writer(choice)
        with models.turn(choice):  # a visitor's turn would read the weights a second time
            seconds = writer.load()
        print(f"app: {choice.label} is open, weights read in {seconds:.0f} s", file=sys.stderr, flush=True)
    except ValueError as error:
        print(f"app: {choice.label} cannot be opened: {error}", file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        f"python -m {NAME}",
        description=__doc__.split("\n")[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--models", nargs="+", default=["embedded"], metavar="MODEL",
        help="what visitors may choose from: embedded (the small model that ships), a folder, a Hub id, or NAME@http://HOST:PORT/v1 for an "
        "OpenAI-compatible server (default: embedded)")  # fmt: skip
    add("--tokenizer", default="", metavar="PLACE", help="folder or Hub id to count a server's tokens with (default: its NAME)")
    add("--no-research", dest="research", action="store_false", help="visitors cannot have linked pages read")
    add(
        "--at-once",
        type=int,
        default=1,
        metavar="N",
        help="summaries at the same time; others wait in a queue (default: %(default)s)",
    )
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all (default: %(default)s)")
    add("--port", type=int, default=7860, help="(default: %(default)s)")
    add("--share", action="store_true", help="a public address for 72 hours through Gradio's servers; off unless asked for")
    add("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1, ...")
    add(
        "--dtype",
        default="auto",
        choices=("auto", "float32", "bfloat16", "float16"),
        help="auto: the fastest that the device computes well in",
    )
    return made


if __name__ == "__main__":
    exit_on_mistake(lambda: main(sys.argv[1:]), NAME)
