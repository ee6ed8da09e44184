"""What is planted in true summaries of real cards, and which check must see it.

As in data_prep/synthetic/planted.py, truth does not come from the checks: what is put in is nowhere in the source, in any spelling that
plain rules know (`Page`), or it is true elsewhere and wrong here. A check that "may" see a fault is right where it marks that place.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from data_prep.synthetic.planted import Kind, PlantedFault, kind_of
from eval.validation import amounts, naming, saying
from eval.validation.page import Edit, Page, applied

# (page, rng) -> every way to plant the fault in the page
RealPlant = Callable[[Page, random.Random], Iterator[Edit]]

_AMOUNT, _NAME = "contradiction facts names", "contradiction facts numbers"

REAL_KINDS: dict[str, Kind[RealPlant]] = {
    "one digit of a number changed": kind_of("numbers", amounts.digit, _AMOUNT),
    "a percentage changed": kind_of("numbers", amounts.percentage, _AMOUNT),
    "a scale changed (million, billion)": kind_of("numbers", amounts.scale, _AMOUNT),
    "a unit changed (hours, days)": kind_of("numbers", amounts.unit, _AMOUNT),
    "a year changed": kind_of("numbers", amounts.year, _AMOUNT),
    "a month changed": kind_of("numbers", amounts.month, _AMOUNT),
    "a number in words changed": kind_of("numbers", amounts.words, _AMOUNT),
    "a number in inline code changed": kind_of("", amounts.inline_code, "numbers names"),
    "what a number counts changed (epochs, steps)": kind_of("", amounts.counted, f"numbers {_AMOUNT}"),
    "a figure of another row of the table": kind_of("contradiction", amounts.another_row, f"numbers {_AMOUNT}"),
    "a figure of another column of the table": kind_of("contradiction", amounts.another_column, f"numbers {_AMOUNT}"),
    "two numbers of a sentence exchanged": kind_of("", amounts.exchanged, f"numbers {_AMOUNT}"),
    "another size of a named model (7B, 13B)": kind_of("names", naming.size, _NAME),
    "another size in words (base, large)": kind_of("", naming.size_word, f"names {_NAME}"),
    "another version in a name (v0.2, v0.3)": kind_of("names", naming.version, _NAME),
    "another version after a name": kind_of("numbers", naming.spaced_version, _AMOUNT),
    "another base model": kind_of("names", naming.base_model, _NAME),
    "another owner of a repository": kind_of("names", naming.owner, _NAME),
    "another data set": kind_of("names", naming.dataset, _NAME),
    "another data set, a plain word": kind_of("", naming.plain_dataset, f"names {_NAME}"),
    "other hardware": kind_of("names", naming.hardware, _NAME),
    "a benchmark that nobody ran": kind_of("names", naming.benchmark, "numbers"),
    "a page beside the real one": kind_of("links", naming.page_beside),
    "a page of another card": kind_of("links", naming.page_of_another),
    "a page that is nowhere": kind_of("links", naming.page_nowhere),
    "another paper's number": kind_of("links", naming.paper, "names numbers"),
    "another licence": kind_of("contradiction", saying.another_licence, "facts names numbers"),
    "a licence denied": kind_of("contradiction", saying.licence_denied, "facts"),
    "a statement denied": kind_of("", saying.statement_denied, "contradiction facts"),
    "a denial taken out": kind_of("", saying.denial_taken_out, "contradiction facts"),
    "a comparison turned round": kind_of("", saying.comparison_turned, "contradiction"),
    "another metric": kind_of("", saying.metric, "names contradiction"),
    "an invented ability": kind_of("", saying.ability, "names contradiction"),
    "an invented organisation": kind_of("names", saying.organisation, "names contradiction"),
    "an invented person": kind_of("names", saying.person, "names contradiction"),
    "a language added to a list": kind_of("contradiction", saying.language, "names facts"),
    "two languages exchanged": kind_of("", saying.direction, "contradiction facts"),
    "the licence left out": kind_of("", saying.left_out, "facts length links numbers structure"),
}


def planted_real(page: Page, seed: str) -> Iterator[PlantedFault]:
    """The page's summary once with each fault that it offers a place for. Same seed, same texts."""
    for fault, kind in REAL_KINDS.items():
        rng = random.Random(f"{seed}:{page.model_id}:{fault}")
        if edits := list(kind.plant(page, rng)):
            yield applied(fault, page.summary, rng.choice(edits))
