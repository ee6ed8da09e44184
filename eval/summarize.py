"""Summarises a model card: one page of Markdown for an AI researcher, checked against its sources.

    card-summarizer CARD [--model PLACE] [...]          the same as: python -m eval.summarize CARD [...]

CARD is a Hub id, an address, a file, a folder with a README.md, or - for standard input. Without --model the small model that ships
with the project writes, on any machine and without the Hub: its base is fetched and prepared by the first call. A model of --model
also reads the pages that the card links to and takes notes on them, unless notes are given or --no-research is.
Reads the card, linked pages (kept in the user's cache folder) and a model. Writes the summary on standard output or into --out;
everything else goes to standard error.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.core.recipe import EXIT_MISTAKE, EXIT_STOPPED, did_you_mean, exit_on_mistake
from eval.summarizing.request import NoNetwork, card_file
from eval.summarizing.screen import Screen, say
from eval.summarizing.shipped_model import MOST_PROMPT_TOKENS

if TYPE_CHECKING:
    from eval.summarizing.pipeline import Result

NAME = "card-summarizer"
EXIT_NETWORK = 3
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
MOST_SEED = 2**32 - 1  # what every generator takes
LARGE_MODEL = "HuggingFaceTB/SmolLM3-3B"
EXAMPLES = f"""examples:
  {NAME} my/README.md                                      by the small model that ships, without network
  {NAME} Qwen/Qwen3-8B --model {LARGE_MODEL}      a model of the Hub, by a large one, with notes on its links
  {NAME} https://huggingface.co/Qwen/Qwen3-8B --model runs/mine/model     by a model that you have tuned
  {NAME} my/README.md --model-id me/my-model --no-research --out summary.md
  cat README.md | {NAME} - --model-id me/my-model --research-file notes.md
  {NAME} Qwen/Qwen3-8B --retry 4                           greedy, then up to 4 samples, until no check flags one
  {NAME} Qwen/Qwen3-8B --json | jq .failed                 summary, checks, sources and timings as one object
  {NAME} --batch ids.txt --out summaries.jsonl             a line each; killed, the same command goes on

  a model behind a server (llama-server, vllm serve, transformers serve, any OpenAI-compatible one):
  {NAME} Qwen/Qwen3-8B --endpoint http://localhost:8000/v1 --model {LARGE_MODEL}

research notes for --research-file, one of:
  {{"url": "https://...", "text": "- what the page adds"}}     a line each, or all of them in [ ]
  ## https://...                                            Markdown, the note below each heading
  <model_research><research source="https://...">...</research></model_research>

exit codes: 0 a summary was written (the line "checks:" tells its faults), 2 a mistake in what was given, or no place to write,
3 the network or a server does not answer (in a batch, for some of its lines), 130 stopped. HF_TOKEN is for gated cards and
models, OPENAI_API_KEY for --endpoint; neither is ever shown.
"""


def run() -> None:
    """The console command."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a page is not lost for a sign that the terminal's encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    exit_on_mistake(lambda: _network_apart(sys.argv[1:]), NAME)


def _network_apart(arguments: list[str]) -> None:
    try:
        main(arguments)
    except NoNetwork as error:
        say(f"{NAME}: {error}")
        raise SystemExit(EXIT_NETWORK) from None
    except BrokenPipeError:  # the reader has seen enough
        _leave_stdout()
    except OSError as error:
        if error.errno not in FULL:
            raise
        _leave_stdout()
        say(f"{NAME}: {error}; make room, or name another place with --out")
        raise SystemExit(EXIT_MISTAKE) from None


def _leave_stdout() -> None:
    """What is still to be flushed goes nowhere: the interpreter would fail on it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: list[str]) -> None:
    """Raises ValueError and NoNetwork as told in `read_card`."""
    options = parser().parse_args(arguments)
    if problem := _problem(options):
        raise ValueError(problem)
    # Imported here, which takes a second that --help need not wait for.
    if options.batch:
        from eval.summarizing.from_options import summarize_many

        summarize_many(options)
        return
    try:
        from eval.summarizing.from_options import summarize_one

        summarize_one(options)
    except KeyboardInterrupt:  # of one card nothing is saved to go on from
        say(f"\n{NAME}: stopped")
        raise SystemExit(EXIT_STOPPED) from None


def summarize_card(card: str, **options: Any) -> Result:
    """The summary with its checks, as the command makes them: `options` are the command's, with "_" for "-", research=False for
    --no-research. What it would tell the person goes to standard error. Raises ValueError and NoNetwork as told in `read_card`."""
    return summarizer(**options)(card)


def summarizer(**options: Any) -> Callable[[str], Result]:
    """`summarize_card` with these `options` for any number of cards: the model is loaded once."""
    given = vars(parser().parse_args([]))
    for name in options:
        if name not in given or name in ("batch", "card", "json", "out"):
            raise ValueError(f'summarize_card has no option "{name}". {did_you_mean(name, list(given))}')
    chosen = argparse.Namespace(**given | options)
    from eval.summarizing.from_options import result_of, writer_of

    writer = cache(partial(writer_of, chosen))  # opened when the first card has been read

    def summarize(card: str) -> Result:
        one = argparse.Namespace(**vars(chosen) | {"card": card})
        if problem := _problem(one):
            raise ValueError(problem)
        return result_of(one, Screen(), writer)

    return summarize


# --- the command line -------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        NAME, usage=f"{NAME} CARD [options]\n       {NAME} --batch FILE --out FILE [options]",
        description=__doc__.split("\n")[0], epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    made.add_argument(
        "card", nargs="?", metavar="CARD", help="Hub id, address of a card or README, file, folder with a README.md, or -"
    )
    made.add_argument(
        "--model-id", default="", metavar="ORG/NAME", help="of the card; else the Hub's, or from front matter or file name"
    )
    _model_options(made.add_argument_group("the model that writes").add_argument)
    _research_options(made.add_argument_group("research").add_argument)
    _writing_options(made.add_argument_group("writing").add_argument)
    add = made.add_argument_group("the result").add_argument
    add("--json", action="store_true", help="one object: summary, checks with spans, sources, tokens, model, timings")
    add("--out", type=Path, metavar="FILE", help="written whole or not at all")
    add("--batch", type=Path, metavar="FILE", help="a card a line, or JSON lines of card or text, model_id, notes; needs --out")
    return made


def _model_options(add: Callable[..., Any]) -> None:
    add("--model", metavar="PLACE", help="folder, Hub id, or a server's name for it (default: the small model that ships)")
    add("--endpoint", metavar="URL", help="an OpenAI-compatible server, up to and with /v1")
    add("--tokenizer", metavar="PLACE", help="with --endpoint: folder or Hub id to count tokens with (default: --model)")
    add("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1, ...")
    kinds = ("auto", "float32", "bfloat16", "float16")
    add("--dtype", default="auto", choices=kinds, help="auto: bfloat16 where the device multiplies in it, else float32")


def _research_options(add: Callable[..., Any]) -> None:
    add(
        "--research",
        action="store_true",
        default=None,
        help="read linked pages and take notes on them; the small model that ships does not, unless told to",
    )
    add("--no-research", dest="research", action="store_false", help="the card alone; no linked page is read")
    add("--research-file", type=Path, metavar="NOTES", help="notes that you have, in place of research (forms: below)")
    add("--max-sources", type=int, default=6, metavar="N", help="linked pages at most (default: %(default)s)")


def _writing_options(add: Callable[..., Any]) -> None:
    add(
        "--max-prompt-tokens",
        type=int,
        metavar="N",
        help="card and notes are cut to it, and told so (default: what the model takes, at most 14000; of the small model "
        f"{MOST_PROMPT_TOKENS})",
    )
    add("--max-new-tokens", type=int, default=1200, metavar="N", help="of the summary (default: %(default)s)")
    add(
        "--think",
        action="store_true",
        help="have the model think first (/think); --model must have been tuned for it, or be SmolLM3",
    )
    add(
        "--max-thought-tokens",
        type=int,
        default=400,
        metavar="N",
        help="of thoughts, beside the summary's (default: %(default)s)",
    )
    add("--show-thought", action="store_true", help="print what the model thought on standard error, before the checks")
    add(
        "--retry",
        type=int,
        default=0,
        metavar="N",
        help="further tries at temperature 0.6 until no check flags one; else the one with fewest flags is kept",
    )
    add(
        "--temperature",
        type=float,
        default=0.0,
        metavar="T",
        help="of every try; 0 (the default) is greedy first and 0.6 in further tries; top_p is 0.95",
    )
    add(
        "--free",
        action="store_true",
        help="let a local model write what it likes; else links, numbers, title and repeats are held to the sources while it writes",
    )
    add("--seed", type=int, default=0, metavar="N", help="of the first try, one more for each further (default: %(default)s)")


def _problem(options: argparse.Namespace) -> str:
    """What the options say that cannot be, in a line; "" where nothing is wrong."""
    checks = [
        (not options.card and not options.batch, f"no card is named; {NAME} --help shows how"),
        (options.card and options.batch, f"both a card ({options.card}) and --batch are named; leave one out"),
        (options.batch and not options.out, "--batch needs --out FILE for the summaries"),
        (options.batch and not os.path.isfile(options.batch), f"--batch: there is no file {options.batch}"),
        (options.batch and (options.model_id or options.research_file), "--model-id and --research-file are for one card; in --batch, write them into JSON lines"),
        (options.out and os.path.isdir(options.out), f"--out {options.out} is a folder; name a file in it"),
        (options.research is False and options.research_file, "--no-research and --research-file exclude each other; leave one out"),
        (options.tokenizer and not options.endpoint, "--tokenizer goes with --endpoint; a local model has its own"),
        (options.endpoint and not options.endpoint.startswith(("http://", "https://")), f"--endpoint {options.endpoint} is no http(s)://host[:port]/v1"),
        (options.endpoint and not options.model, "--endpoint needs --model, the server's name for its model"),
        (options.max_sources < 0 or options.retry < 0, "--max-sources and --retry are 0 or more"),
        (not 0 <= options.seed <= MOST_SEED, f"--seed is {str(options.seed)[:40]}; it is 0 to {MOST_SEED}"),
        (options.think and not options.model, "--think needs --model: the small model that ships was not taught to think"),
        (options.max_thought_tokens < 1, f"--max-thought-tokens is {options.max_thought_tokens}, expected 1 or more"),
        (options.max_new_tokens < 1 or (options.max_prompt_tokens or 1) < 1, "--max-new-tokens and --max-prompt-tokens are 1 or more"),
        (not 0 <= options.temperature <= 2, f"--temperature is {options.temperature}, expected 0 to 2"),
    ]  # fmt: skip
    return next((problem for wrong, problem in checks if wrong), "") or (_out_problem(options) if options.out else "")


def _out_problem(options: argparse.Namespace) -> str:
    """Why --out cannot be written, or what would be lost by it; "" where all is well. Tried, since rights and limits of a disk
    are many, and with the longest name that will stand beside it."""
    for given in _read_files(options):
        if os.path.exists(options.out) and os.path.exists(given) and os.path.samefile(given, options.out):
            return f"--out would overwrite {given}, which is read; name another file"
    if os.path.exists(options.out) and not os.path.isfile(options.out):
        return f"--out {options.out} is no file; leave it out to write to standard output"
    trial = options.out.with_name(options.out.name + (".rejected.jsonl.tmp" if options.batch else ".tmp"))
    try:
        if not os.path.exists(options.out.parent):
            options.out.parent.mkdir(parents=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        return f"--out {str(options.out)[:300]} cannot be written ({error.strerror}); name another file"
    return ""


def _read_files(options: argparse.Namespace) -> list[Path]:
    try:
        card = card_file(options.card) if options.card else None
    except ValueError:  # told when it is read
        card = None
    return [file for file in (card, options.batch, options.research_file) if file]


if __name__ == "__main__":
    run()
