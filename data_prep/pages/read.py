"""A linked page, from its addresses to text that may be noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from data_prep.core.records import Card
from data_prep.pages.cache import Page
from data_prep.pages.choose import Link, addresses, names_model
from data_prep.pages.extract import Extract, extract

SAID_NOTHING = "nothing new beyond the card"  # why a page that was read has no note

Get = Callable[[str], Page | None]  # what came of an address, None where nothing is known


def in_turn(urls: Callable[[], Iterable[str]], get: Get) -> Iterator[list[str]]:
    """Addresses to ask: every page's best one, then the next one of those that had none."""
    for attempt in range(3):  # full text, abstract, PDF
        places = (addresses(url) for url in urls())
        if asked := dict.fromkeys(at[attempt] for at in places if attempt < len(at) and not had(at[:attempt], get)):
            yield list(asked)


def had(places: Iterable[str], get: Get) -> Page | None:
    """The page at the first address that has it."""
    return next((page for page in map(get, places) if page and not page.refused), None)


def text_of(card: Card, link: Link, page: Page, mentions: bool = False) -> Extract:
    """The page's text, or the problem with it: one that is not the model's own has to name the model, but for `mentions`."""
    found = extract(page.content, page.content_type, page.final_url)
    if not found.problem and link.standing != "own" and not mentions and not names_model(card, found.text):
        return replace(found, problem="the page does not name the model")
    return found
