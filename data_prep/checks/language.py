"""Language: the summary is English prose, with no letters broken by a wrong encoding that are not broken in the sources."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data_prep.checks.document import Block, Document
from data_prep.checks.result import CheckResult, Span, listed

# Words that English prose cannot do without and that other languages hardly spell alike. A paragraph with this share of
# them is English without asking further; model and data set names around them would mislead a statistical identifier.
_ENGLISH_WORDS = frozenset(
    "the of and to for with by on is are was were it its from that this which as at be or not has have can than each"
    " both only where when while what how other their they these those but into per over under between because".split()
)
ENGLISH_SHARE = 0.08  # list-like English has 0.10 and more; French, German, Spanish, Dutch below 0.03
# In lower-case words of four letters and more, of one block or of all short ones together: on less nobody can tell, and lists
# of names or of language codes have hardly any.
LEAST_LETTERS = 100
SHORT_BLOCK = 250  # characters
LEAST_FOREIGN = 40  # letters of a foreign script that are no quoted example

_WORD = re.compile(r"[^\W\d_]+")
_ASCII_WORD = re.compile("[A-Za-z]++")  # the same where nothing else is, in a third of the time
_PLAIN_WORD = re.compile(r"(?<![\w-])[^\W\d_]{4,}(?![\w-])")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
# UTF-8 read as Windows-1252: two or three characters for one.
_CONTINUED = "\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“•–—˜™š›œžŸ"
_MOJIBAKE = re.compile(rf"[ÃÂÐÑ][{_CONTINUED}]|â€[{_CONTINUED}”]|â[\u0080-\u009f]|ðŸ[{_CONTINUED}]?|ï»¿|ï¿½|\ufffd+")


def mojibake_of(source: str) -> frozenset[str]:
    """Broken sequences that the source has itself: a summary may quote them."""
    return frozenset(_MOJIBAKE.findall(source)) if not source.isascii() else frozenset()


def check_language(document: Document, broken_in_source: frozenset[str]) -> CheckResult:
    """`value`: share of the rendered words that stand in blocks of English or in blocks too short to tell."""
    broken = () if document.prose.isascii() else _MOJIBAKE.finditer(document.prose)
    found = [match for match in broken if match[0] not in broken_in_source]
    spans = [Span(*match.span(), "letters broken by a wrong encoding") for match in found]
    foreign = dict(_foreign(document))
    spans += [Span(block.start, block.end, f"not English: {code}") for block, code in foreign.items()]
    total = len(document.words)
    value = 1 - sum(len(block.words) for block in foreign) / total if total else 1.0
    if not spans:
        return CheckResult("language", True, value, "English prose" if _is_enough(document) else "too short to tell")
    faults = [f"{len(found)} places with a broken encoding: {listed(match[0] for match in found)}"] * bool(found)
    quoted = listed(f"“{block.text[:60]}” ({code})" for block, code in foreign.items())
    faults += [f"not English: {quoted}"] * bool(foreign)
    return CheckResult("language", False, value, "; ".join(faults), sorted(spans, key=lambda span: span.start))


def _foreign(document: Document) -> Iterator[tuple[Block, str]]:
    """Blocks that are not English, with what they are; short ones are judged together."""
    short = []
    for block in document.blocks:
        if other := _other_script(block.text):
            yield block, other
        elif not _is_english(block.text) and _plain_letters(block.text) >= LEAST_LETTERS:
            if code := _other_language(block.text):
                yield block, code
        elif len(block.text) <= SHORT_BLOCK:
            short.append(block)
    together = " ".join(block.text for block in short if block.kind in ("text", "bullet"))
    if _is_english(together):
        return  # the letters take longer to count
    if _plain_letters(together) >= LEAST_LETTERS and (code := _other_language(together)):
        yield from ((block, code) for block in short if block.kind in ("text", "bullet"))


def _is_enough(document: Document) -> bool:
    letters = 0
    return any((letters := letters + _plain_letters(block.text)) >= LEAST_LETTERS for block in document.blocks)


def _plain_letters(text: str) -> int:
    return sum(len(word) for word in _PLAIN_WORD.findall(text) if word.islower())


def _other_script(text: str) -> str | None:
    """Of a block most of whose letters are not Latin."""
    if text.isascii():
        return None
    letters = sum(map(len, _WORD.findall(text)))
    foreign = sum(character.isalpha() and not _LATIN.match(character) for character in text)
    return "another script" if foreign >= LEAST_FOREIGN and 2 * foreign > letters else None


def _is_english(text: str) -> bool:
    words = (_ASCII_WORD if text.isascii() else _WORD).findall(text.lower())
    return sum(map(_ENGLISH_WORDS.__contains__, words)) >= ENGLISH_SHARE * len(words)


def has_foreign_lines(source: str) -> bool:
    """True where a line of it is prose in another language, as a sample text may be."""
    return any(_plain_letters(line) >= LEAST_LETTERS and _other_language(line) for line in source.splitlines())


def _other_language(text: str) -> str | None:
    """None for English, and where only the identifier of `collect` could tell and says English."""
    if _is_english(text):
        return None
    # The filters load a statistical model and the whole reader of cards; English text never gets here.
    from data_prep.cards.language import language_of

    code = language_of(text)
    return code if code != "en" else None
