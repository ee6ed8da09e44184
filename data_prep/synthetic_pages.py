"""The linked pages of the invented world, so that the notes task can be built and tried without a network.

    python -m data_prep.synthetic_pages runs/demo

Reads <run_dir>/data/cards.jsonl, the facts that each invented card was made from. Writes <run_dir>/data/pages.sqlite, where
data_prep.research keeps pages that it fetched; then data_prep.examples with `examples.notes_rows: true` makes rows of them.
Research itself does not ask for them: these cards bring their notes.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

from data_prep.core.files import read_jsonl
from data_prep.core.recipe import exit_on_mistake
from data_prep.core.records import Card
from data_prep.pages.cache import PageCache, fetched_page
from data_prep.pages.choose import addresses
from data_prep.synthetic.cards import PAGE_NAMES, note_text
from data_prep.synthetic.facts import Facts, Source

FILLERS = (
    "This page is kept by the people who made the model and changes with it.",
    "Read the model card first; what stands there is not said again here.",
    "Comments and corrections are welcome by mail.",
    "Older versions of this page are in the archive.",
    "We describe what was done, and where a choice was made, why.",
    "Nothing here is advice on how to use the model in a product.",
    "Numbers were measured by the authors and have not been checked by others.",
    "The authors thank everybody who ran experiments and read drafts.",
)


def pages_of(card: Card) -> Iterator[tuple[str, str]]:
    """URL and Markdown of each page that the card links to. Raises ValueError for a card that is not of the invented world."""
    if not card.truth:
        raise ValueError(f"card {card.id} ({card.model_id}) is no invented one; pages of real cards are fetched by research")
    facts = Facts.of_truth(card.truth)
    for source in facts.sources:
        yield source.url, render_page(source, facts, random.Random(f"{card.id}:{source.url}"))


def render_page(source: Source, facts: Facts, rng: random.Random) -> str:
    """The page's own facts among sentences that say nothing."""
    around = rng.sample(FILLERS, 6)
    told = note_text(source, rng)
    title = f"# {facts.name}, {PAGE_NAMES[source.kind]}"
    return "\n\n".join([title, " ".join(around[:3]), told, " ".join(around[3:])]) + "\n"


def main(run_dir: Path) -> None:
    count = 0
    with PageCache(run_dir / "data" / "pages.sqlite") as pages:
        for card in read_jsonl(run_dir / "data" / "cards.jsonl", Card):
            for url, text in pages_of(card):
                place = addresses(url)[0]
                # Relatives share pages: the first one to be read is the page.
                if pages.get(place) is None:
                    pages.put(fetched_page(place, place, "text/markdown", text.encode()))
                    count += 1
    print(f"synthetic_pages: {count} pages written to {run_dir / 'data' / 'pages.sqlite'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path)
    exit_on_mistake(lambda: main(parser.parse_args().run_dir), "data_prep.synthetic_pages")
