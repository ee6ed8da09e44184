"""What acceptable notes on a page are: the checks that fit notes, with the page as the source.

A summary's form (300 to 500 words, a heading, its key facts) is not asked of notes; that what they say stands on the page is.
"""

from __future__ import annotations

from collections.abc import Sequence

from data_prep.checks import CheckResult, SourceIndex
from data_prep.checks.document import Document, read
from data_prep.checks.licences import licences_in
from data_prep.checks.links import check_links
from data_prep.checks.names.grounding import check_names
from data_prep.checks.numeric.grounding import check_numbers, summary_quantities
from data_prep.checks.wording import check_repetition
from data_prep.core.records import Note
from data_prep.prompts.student import NOTES_WORDS, is_nothing_new, source_text

GROUNDING = ("links", "numbers", "names")


def page_source(model_id: str, url: str, page: str) -> str:
    """The text that notes are compared with: the page and its address, without the card."""
    return source_text(model_id, "", [Note(url, page)])


def check_notes(notes: str, source: str) -> list[CheckResult]:
    """Results named words, repetition, links, numbers, names; all passed where the notes are NOTHING NEW. `value` of the last
    three is the share found on the page, None where the notes have none. Never raises, whatever the texts."""
    if is_nothing_new(notes):
        return [CheckResult(name, True, None, "nothing is claimed") for name in ("words", "repetition", *GROUNDING)]
    known, document = SourceIndex.from_source(source), read(notes)
    numbers, licences = summary_quantities(document), list(licences_in(document.prose))
    return [
        _words(document),
        check_repetition(document),
        check_links(document, known.links, expected=False),
        # A page of figures may be worth a note without any: what is left out is measured against the reference.
        check_numbers(numbers, known.numbers) if numbers else CheckResult("numbers", True, None, "no number"),
        check_names(document, licences, known.names),
    ]


def grounded(results: Sequence[CheckResult]) -> bool:
    """True where every link, number and name stands on the page."""
    return all(result.passed for result in results if result.name in GROUNDING)


def _words(document: Document) -> CheckResult:
    count = len(document.words) + document.words_cut
    passed = 0 < count <= NOTES_WORDS
    return CheckResult("words", passed, float(count), f"{count} words, expected 1 to {NOTES_WORDS}")
