"""Addresses in plain text, and the papers and repositories that it names without one.

Research follows what this reads in a card, the links check and grounded decoding know what it reads in a source, and bare
addresses of a summary are read by the same pattern. Every pattern takes linear time: the text is anybody's.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from data_prep.cards.scan import matches_at

# What no address holds unencoded (RFC 3986), and what ends one in Markdown or code. Letters of scripts that are written with
# spaces may stand, since people copy `Künstliche_Intelligenz` from a browser; a sentence in Chinese or Thai begins with no space.
_ENDS = (
    r"\s<>\[\]\"'`|\\^\x00-\x20\x7f-\xbf\xd7\xf7\u037e\u0387\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u05c6\u05f3\u05f4\u0609-\u060d"
    r"\u061b-\u061f\u066a-\u066d\u06d4\u0700-\u070d\u0964\u0965\u0970\u0e00-\u1dff\u2000-\U0010ffff"
)
_PLAIN = f"(?-i:[^{_ENDS}])"  # the Kelvin sign is a k where case is ignored
# An escape of Markdown or BibTeX (`\_`), an apostrophe within a word (not of a genitive), the `<693::AID-ASI4>` of old DOIs.
_RARE = r"(?:\\[!#$%&()*+,./:;=?@_|~-]|'(?=[A-Za-z0-9])(?!s(?![\w/]))|[<\[]\d{1,6}::?[\w-]{1,40}[>\]](?=[\d.]))"
_REST = f"(?:{_PLAIN}|{_RARE}){_PLAIN}*(?:{_RARE}{_PLAIN}*)*"
BARE = rf"(?:git\+)?https?://{_REST}"
_ADDRESS = re.compile(
    rf"(?=[hgwad])(?:{BARE}|(?<![a-z0-9])www\.{_REST}"
    rf"|(?<![a-z0-9_./@:-])(?:github\.com|huggingface\.co|hf\.co|arxiv\.org|(?:dx\.)?doi\.org)/{_REST})",
    re.IGNORECASE,
)
_BEGINNINGS = ("http", "git+http", "www.", "github.com/", "huggingface.co/", "hf.co/", "arxiv.org/", "doi.org/", "dx.doi.org/")
_LETTERS = re.compile(rf"(?:{_PLAIN}|\w|\u2013(?=\w)){{1,300}}")  # an address as the bar of a browser shows it
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_PINNED = re.compile(r"git\+(https?://[^@/]+/[^@]*)(?:@.*)?", re.IGNORECASE | re.DOTALL)
_GIT = re.compile(
    r"(?=[gs])(?<![\w.@+/:-])(?:git@|(?:git\+)?(?:ssh|git)://(?:git@)?)([\w-]{1,63}(?:\.[\w-]{1,63}){1,6})(?::\d{1,5}(?=/))?[:/]"
    r"([\w~][\w.~-]{0,200}(?:/[\w.~-]{1,200}){1,8})",
    re.ASCII,
)
_ARXIV = re.compile(
    r"(?=[ae])(?:(?<![a-z0-9_])arxiv(?:\s(?:id|preprint))?[\s:\uff1a/.\[(]{1,3}|\beprint\s{0,8}=\s{0,8}[{\"]\s?(?:arxiv:)?|(?<![\w/.])abs/)"
    r"((?:\d{4}\.\d{4,5}|[a-z-]{2,12}(?:\.[a-z]{2})?/\d{7})(?:v\d{1,3})?(?!\d))",
    re.IGNORECASE | re.ASCII,
)
_DOI = re.compile(rf"10\.(?<![\w/.]10\.)\d{{4,9}}/(?:[-.;()/:\w+%]|{_RARE}){{2,200}}", re.ASCII)


def mentions(text: str) -> Iterator[str]:
    """Addresses in `text`, in order: those spelt out, git's as the repository's page, a paper's for an arXiv id or a DOI."""
    spelt = [(*match.span(), _read(match[0])) for match in matches_at(_BEGINNINGS, _ADDRESS, text)]
    papers = matches_at(("arxiv", "eprint", "abs/"), _ARXIV, text)
    named = [(match.start(), f"https://arxiv.org/abs/{match[1]}") for match in papers]
    named += [(match.start(), f"https://doi.org/{_read(match[0])}") for match in _DOI.finditer(text)]
    named += [
        (match.start(), trimmed_url(f"https://{match[1]}/{match[2]}")) for match in matches_at(("git", "ssh:"), _GIT, text)
    ]
    starts = [start for start, _, _ in spelt]
    for at, address in named:
        before = bisect_right(starts, at)
        if not before or spelt[before - 1][1] <= at:  # an id within an address is a part of it
            spelt.append((at, at, address))
    yield from (address for _, _, address in sorted(spelt, key=lambda mention: mention[0]))


def other_readings(text: str) -> Iterator[str]:
    """What the addresses of a text may be as well (`longer_readings`). To be compared with, not to be asked for."""
    for match in matches_at(_BEGINNINGS, _ADDRESS, text):
        yield from _longer(text, match)


def longer_readings(text: str, start: int, end: int) -> Iterator[str]:
    """The bare address at `start` to `end` with what a sentence may have put behind it and a title may end in: the mark of
    `/wiki/Yahoo!`, the Chinese word behind `/wiki/`."""
    match = _ADDRESS.match(text, start)
    if match and trimmed_url(match[0]) == text[start:end]:
        yield from _longer(text, match)


def _longer(text: str, match: re.Match[str]) -> Iterator[str]:
    end = match.end()
    if match[0].endswith(("!", "_")) and trimmed_url(match[0]) == match[0][:-1]:
        yield address_of(match[0])
    if text.startswith("'", end) and text[match.start() - 1 : match.start()] != "'":
        yield address_of(match[0] + "'")
    goes_on = text.startswith("\u2013", end) or (match[0].endswith(("/", "=", "_", "-")) and text[end : end + 1].isalpha())
    if goes_on and (more := _LETTERS.match(text, end)):
        yield _read(match[0] + more[0])


def _read(spelt: str) -> str:
    return address_of(trimmed_url(spelt))


def address_of(spelt: str) -> str:
    """The address that bare text means: escapes read, with a scheme, and of what git is to install the repository."""
    address = _ESCAPE.sub(r"\1", spelt) if "\\" in spelt else spelt
    if address[:4].lower() == "git+":
        pinned = _PINNED.fullmatch(address)
        return pinned[1] if pinned else address[4:]
    if "://" in address[:8] or address.startswith("10."):
        return address
    return ("http://" if address[:4].lower() == "www." else "https://") + address


def trimmed_url(url: str) -> str:
    """A bare address without what follows it in the sentence: closing brackets that it did not open, punctuation, emphasis."""
    for opening, closing in ("()", "{}"):
        if closing not in url:
            continue
        depth = 0
        for index, character in enumerate(url):
            depth += (character == opening) - (character == closing)
            if depth < 0:
                url = url[:index]
                break
    return url.rstrip(".,;:!?*_~\"'\\")
