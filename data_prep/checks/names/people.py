"""People, organisations and places: two or more capitalised words in a row within a sentence, of which the sources have none.

Capitals begin sentences, bullets and headings too, and a heading's words may be anybody's; so a run counts only behind a word in
small letters, and one word of it in the sources is enough to let it pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from unicodedata import combining, normalize

from data_prep.checks.result import Span

_WORD = r"(?:[A-ZÀ-ÖØ-Þ][^\W\d_A-Z]+(?:[’'-][A-ZÀ-ÖØ-Þ][^\W\d_A-Z]+)?(?![\w-])|[A-Z]\.)"
_RUN = rf"{_WORD}(?:\s(?:(?:of|de|van|von|for|the|and|der|la|di|da|del)\s){{0,2}}{_WORD}){{1,6}}"
_WITHIN = re.compile(rf"[a-z,;](?P<gap>\s[*_\[\"“‘]{{0,3}})(?P<run>{_RUN})")
_FULL = re.compile(_RUN)
_LATEX_ACCENT = re.compile(r"\{?\\['`^\"~=.uvHck](?:\{\\?|[ ]|\\)?([A-Za-z])\}{0,2}")
_LETTERS = re.compile(r"[^\W\d_]{2,}")
# What any organisation may be called: of the rest of its name the source has to know something.
_GENERIC = frozenset(
    "institute institut university college school academy faculty department laboratory laboratories lab labs center centre foundation"
    " research group team company corporation inc ltd gmbh association society council consortium agency ministry national".split()
)
# What public bodies and their acts are called, whose names a page translates.
_BODIES = frozenset(
    "agreement assembly authority bureau commission communities constitution convention council court decree directive federation government"
    " kingdom ministry parliament protocol regulation republic senate treaty tribunal".split()
)
# What a letter may number: "of group A. Group B is ..." has no A. Group.
_LETTERED = frozenset(
    "appendix category class figure group label level model option part phase section set step system table type variant".split()
)
WORD_CHARACTERS = 40  # of the word before, which has to begin with a small letter


def unaccented(text: str) -> str:
    """Without accents, also those of LaTeX: Gonz{\\'a}lez is Gonzalez."""
    plain = _LATEX_ACCENT.sub(r"\1", text) if "\\" in text else text
    return plain if plain.isascii() else "".join(sign for sign in normalize("NFD", plain) if not combining(sign))


def capitalised_in(prose: str) -> Iterator[Span]:
    """Runs of capitalised words in `prose`. Not in headings and tables, nor at the start of a sentence."""
    for match in _WITHIN.finditer(prose):
        line = prose.rfind("\n", 0, match.start("run")) + 1
        before = prose[max(0, match.start("run") - WORD_CHARACTERS) : match.start("gap")].split()
        initial, _, word = match["run"].lower().partition(". ")
        if len(initial) == 1 and word in _LETTERED and before and before[-1].lower() == word:
            continue
        if prose[line : line + 20].lstrip(" >")[:1] not in ("#", "|") and before and before[-1].lstrip('(*_["“‘')[:1].islower():
            yield Span(*match.span("run"), match["run"])


def is_run(name: str) -> bool:
    return _FULL.fullmatch(name) is not None


def is_body(run: str) -> bool:
    """True of the European Commission, a Commission Regulation and their like."""
    return not _BODIES.isdisjoint(run.lower().split())


def is_told(run: str, source: str, lower: str, terms: frozenset[str]) -> bool:
    """True where the source has one of the words, all of them as parts of others (HuggingFace), or an acronym of them; or where
    they spell one of `terms` or the letters of a longer one. `lower` is the source in lower case."""
    words = [word.lower() for word in _LETTERS.findall(run) if word[0].isupper()]
    if all(word in lower for word in words):
        return True
    telling = [word for word in words if word not in _GENERIC] or words
    if any("".join(words[at : at + 2]) in terms for at in range(len(words))):
        return True
    letters = "".join(word[0] for word in words)
    if len(letters) == 2:  # of any two words: only in capitals are they these two, and AI is no Institute
        return any(_stands(word, lower) for word in telling) or (telling == words and _stands(letters.upper(), source))
    return letters in terms or any(_stands(word, lower) for word in (*telling, letters))


def _stands(word: str, source: str) -> bool:
    if word not in source:
        return False
    plain = re.escape(word)  # before the look back: so it is found fast
    return re.search(rf"{plain}(?<![^\W\d_]{plain})(?:e?s)?(?![^\W\d_])", source) is not None
