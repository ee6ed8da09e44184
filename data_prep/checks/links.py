"""Links: every target in a summary is one that the sources hold, after canonical form. Set membership, no network."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from markdown_it.helpers import parseLinkDestination

from data_prep.cards.links import is_followable
from data_prep.cards.mentions import longer_readings, mentions, other_readings
from data_prep.cards.scan import matches_at, matches_in_lines
from data_prep.checks.document import Document, blank
from data_prep.checks.result import CheckResult, Span, looked_up

_NO_SCHEME = re.compile(r"(?:www\.|(?:github\.com|huggingface\.co|hf\.co|arxiv\.org)/)[^\s<>\[\]\"'`|\\^]", re.IGNORECASE)
# Where Markdown, or HTML, says itself how far an address reaches: `](`, `]:` and `<` before it, quotes around it.
# A plain target is read alike as bare text.
_TARGET = re.compile(
    r"\](?:\(|:)\s{0,4}(?=<?(?:git\+)?https?://)(?![\w/:.#?=%-]{1,300}[)\s](?<=[A-Za-z0-9/].))", re.IGNORECASE | re.ASCII
)
_DELIMITED = re.compile(
    r"(?=[<hs])(?:<(https?://[^\s<>]{1,2000})>|\b(?:href|src)\s?=\s?(?:\"(https?://[^\"\n]{1,2000})\"|'(https?://[^'\n]{1,2000})'))",
    re.IGNORECASE,
)
_LONGEST = 2000  # characters of an address
CACHED_ADDRESSES = 4_096
_ARXIV_PATH = re.compile(r"/(?:abs|pdf|html)/(.+?)(?:v\d+)?(?:\.pdf)?", re.IGNORECASE)
_PAPER_PAGE = re.compile(r"/papers/(\d{4}\.\d{4,5})(?:v\d+)?")
_README = re.compile(r"/(?:blob|tree|raw|resolve)/(?:main|master)(?:/readme\.md)?$")
_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{2,64})+")
_MODEL_LINE = re.compile(r"^Model: (\S+/\S+)[ \t]*$", re.MULTILINE)
_TRACKING = re.compile(r"utm_\w+|ref_src|fbclid|gclid|msclkid|igshid|mc_[ce]id|trk", re.IGNORECASE)
_ARXIV_DOI = re.compile(r"/10\.48550/arxiv\.(\d{4}\.\d{4,5}|[a-z.-]+/\d{7})(?:v\d+)?", re.IGNORECASE)
_SUBJECT = re.compile(r"\.[a-z]{2}(?=/\d{7}\Z)")  # cs.CL/0112017 is cs/0112017
_SAME_HOST = {
    "hf.co": "huggingface.co",
    "export.arxiv.org": "arxiv.org",
    "ar5iv.org": "arxiv.org",
    "ar5iv.labs.arxiv.org": "arxiv.org",
    "dx.doi.org": "doi.org",
    "m.youtube.com": "youtube.com",
}
_CASE_BLIND = ("github.com", "huggingface.co")  # both redirect whatever the case of owner and name


@lru_cache(CACHED_ADDRESSES)
def canonical(url: str) -> str:
    """One spelling for one page: no scheme, lower-case host without www, no fragment, tracking, trailing slash or percent-encoding;
    arXiv abs, pdf, html, DOI, versions and the Hub's page are one paper; a repository's README or `.git` is the repository. An
    address with a user is compared as it is written. Never raises; an address that is
    no address, or a relative one, comes back in lower case and matches nothing that `links_of` finds."""
    url = html.unescape(url).strip().strip("<>")
    if not re.match(r"[A-Za-z][\w+.-]*:", url):
        url = "https://" + url if _NO_SCHEME.match(url) else url
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").removeprefix("www.").rstrip("."), parts.port
    except ValueError:  # a port or an IPv6 address that is none
        return url.lower()
    if parts.scheme not in ("http", "https"):
        return url.lower()
    if "@" in parts.netloc:  # what stands before the sign is there to be taken for the host
        return url
    host = _ascii(host)
    host = _SAME_HOST.get(host, host) + (f":{port}" if port not in (None, 80, 443) else "")
    path = unicodedata.normalize("NFC", unquote(parts.path)).rstrip("/").removesuffix(".git")
    if host == "doi.org":  # names are the same whatever their case; arXiv gives each of its papers one
        paper = _ARXIV_DOI.fullmatch(path)
        return f"arxiv.org/abs/{_SUBJECT.sub('', paper[1].lower())}" if paper else host + path.lower()
    if host == "arxiv.org" and (paper := _ARXIV_PATH.fullmatch(path)):
        return f"arxiv.org/abs/{_SUBJECT.sub('', paper[1].lower())}"
    if host == "huggingface.co" and (paper := _PAPER_PAGE.fullmatch(path)):
        return f"arxiv.org/abs/{paper[1]}"
    if host in _CASE_BLIND:
        path = _README.sub("", path.lower()).removesuffix(".git").rstrip("/")
    query = urlencode(
        sorted(pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not _TRACKING.fullmatch(pair[0]))
    )
    return f"{host}{path}" + (f"?{query}" if query else "")


def _ascii(host: str) -> str:
    """The Punycode of a host with other letters, which is what the Markdown parser makes of it; as it is where there is none."""
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def links_of(source: str) -> frozenset[str]:
    """Canonical form of every absolute address anywhere in the source (prose, code, HTML, BibTeX), of repositories named as
    git does and papers by arXiv id or DOI, of mail boxes, and of the model's own page, which `Model: ORG/NAME` names."""
    delimited = list(_delimited(source))
    # Beside `<https://ex.example/my file>` there is no `https://ex.example/my`.
    bare = blank(source, [(start, end) for start, end, _ in delimited])
    addresses = {*mentions(bare), *other_readings(bare), *(address for _, _, address in delimited)}
    # The pattern tries every letter anew, and few words hold the sign.
    addresses.update(f"mailto:{address}" for word in source.split() if "@" in word for address in _MAIL.findall(word))
    addresses.update(f"https://huggingface.co/{match[1]}" for match in matches_in_lines(("Model: ",), _MODEL_LINE, source))
    return frozenset(canonical(address) for address in addresses)


def _delimited(source: str) -> Iterator[tuple[int, int, str]]:
    """Addresses letter by letter, as the parser of the summary reads them in a link, and where they end for sure."""
    for match in matches_at(("<http", "href", "src"), _DELIMITED, source):
        yield *match.span(match.lastindex or 0), match[match.lastindex or 0]
    for match in matches_at(("](", "]:"), _TARGET, source):
        start = match.end()
        target = parseLinkDestination(source, start, min(len(source), start + _LONGEST))
        if target.ok:
            closed = match[0][1] == "(" and source.startswith((")", " )", ' "', " '"), target.pos)
            yield start, target.pos if closed else start, target.str
        elif source[start] == "<":
            # An old DOI has angle brackets of its own, for which Markdown takes the link for text; its author did not.
            end = source.find(">)", start, start + _LONGEST)
            if end > 0 and "\n" not in source[start:end]:
                yield start, end, source[start + 1 : end]


def has_links_to_cite(source: str, links: frozenset[str]) -> bool:
    """False where the model's own page, pictures and mail boxes are all that could be linked."""
    own = {canonical(f"https://huggingface.co/{match[1]}") for match in matches_in_lines(("Model: ",), _MODEL_LINE, source)}
    return any(not link.startswith("mailto:") and is_followable(f"https://{link}") for link in links - own)


def check_links(document: Document, known: frozenset[str], expected: bool) -> CheckResult:
    """`value`: share of the distinct targets that are in the sources; 0 where there is none although the sources offer links."""
    targets = {canonical(link.target) for link in document.links}
    if not targets:
        reason = "no link, although the sources offer some" if expected else "no link, and the sources offer none"
        return CheckResult("links", not expected, 0.0 if expected else None, reason)
    wrong = [link for link in document.links if canonical(link.target) not in known]
    wrong = [
        link
        for link in wrong
        if not any(canonical(one) in known for one in longer_readings(document.text, link.start, link.end))
    ]
    spans = [Span(link.start, link.end, link.target or "(empty)") for link in wrong]
    return looked_up("links", len(targets), spans, len({canonical(link.target) for link in wrong}))
