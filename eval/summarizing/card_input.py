"""What a person names -> Card: a Hub id, an address, a file, a folder with a README.md, or standard input.

The README becomes a card by the code that builds the training data: `draft` in cards/parse.py, and for ids of the Hub `HubCards`
in collecting/hub.py.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, unquote, urlsplit

from data_prep.cards.file_names import CARD_FILE_NAMES, model_id_of
from data_prep.cards.language import MIN_CHARACTERS, language_of
from data_prep.cards.parse import Draft, draft
from data_prep.collecting.filters import FilterConfig
from data_prep.core.records import Card, RawCard, Rejected
from data_prep.pages.cache import Page, PageCache
from data_prep.pages.fetch import FetchConfig, fetch_all
from eval.summarizing.request import HUB_ID, PageAway, Request, card_file

MAX_BYTES = 500_000  # the longest cards that people wrote have half of it; beyond, a README is a log
HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
HUB_FILE = re.compile(r"/(?P<id>[\w.-]+/[\w.-]+)(?:/(?:blob|raw|resolve|tree)/(?P<revision>[^/]+)(?:/README\.md)?)?/?")
FORGE_FILE = re.compile(r"/(?P<repo>[\w.-]+/[\w.-]+)(?:/(?:blob|raw)/(?P<path>.+))?/?")
NOT_MODELS = ("datasets", "spaces", "docs", "papers", "blog", "collections", "models")
NO_NAMES = (*CARD_FILE_NAMES, "card", "index", "model")
ID_KEYS = ("model_id", "model_name")
MOST_BROKEN = 0.1  # of the characters; Latin-1 text loses fewer, pictures and archives nearly all


@dataclass(frozen=True)
class Found:
    """`place` says in words where the card came from, `id_from` where its model id did, `warning` what is amiss with it."""

    card: Card
    place: str
    id_from: str
    warning: str = ""

    def address(self, beside: Path) -> str:
        """A link to a line of the card, {line} for its number, from a page in the folder `beside`; "" for a card that has no place."""
        card = self.card
        if card.source.startswith("file:"):
            return quote(os.path.relpath(self.place, beside)) + "#L{line}"
        if card.source.startswith("page:"):
            return quote(self.place, safe=":/?&=%#@+,;~")
        hub = f"https://huggingface.co/{card.model_id}/blob/{card.revision}/README.md"
        return f"{hub}?code=true#L{{line}}" if card.source == "hub" else ""


def read_card(request: Request) -> Found:
    """The card that `request` names.

    Raises ValueError where there is no card to summarise, NoNetwork where that is not known.
    """
    raw, place, id_from = _raw(request)
    content = raw.content if isinstance(raw.content, bytes) else raw.content.encode("utf-8", "surrogatepass")
    _refuse_content(content, place)
    warning = _encoding(raw, place)
    found = draft(raw)
    if request.model_id:
        raw, id_from = replace(raw, model_id=request.model_id), "as given"
    elif not id_from:
        raw, id_from = _named(raw, found, place)
    found = draft(raw)
    if not HUB_ID.fullmatch(raw.model_id) or len(raw.model_id) > 200:
        raise ValueError(f"the model id {raw.model_id[:80]!r} is not ORG/NAME; pass --model-id ORG/NAME")
    least = FilterConfig().min_body_words
    if found.own_words < least:
        raise ValueError(
            f"the card of {raw.model_id} ({place}) holds {found.own_words} words of prose beside front matter, code and tables, "
            f"at least {least} are needed; there is nothing to summarise"
        )
    return Found(found.card(), place, id_from, "; ".join(filter(None, (warning, _foreign(found.prose)))))


def _foreign(prose: str) -> str:
    """A warning where the card is in another language than those that models were tuned on."""
    if len(prose.strip()) < MIN_CHARACTERS or (found := language_of(prose)) == "en":
        return ""
    return f"the card reads as another language than English ({found}); the models of this project were tuned on English cards"


def _raw(request: Request) -> tuple[RawCard, str, str]:
    """README, where it came from, and where its model id came from ("" where it is still to be found)."""
    given = request.card.strip()
    if request.text is not None:
        return RawCard("", request.text, "given"), "given text", ""
    if not given:
        raise ValueError("no card is named; give a Hub id, an address, a file, or - for standard input")
    if given == "-":
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
        if not content.strip():
            raise ValueError(
                "standard input is empty; pipe a model card into it, for example: cat README.md | card-summarizer -"
            )
        return RawCard("", content, "stdin"), "standard input", ""
    if re.match(r"[A-Za-z][A-Za-z+]*://", given):
        return _at_address(given)
    if (file := card_file(given)) is not None:
        with open(file, "rb") as handle:
            named = "" if str(file).startswith(("/dev/", "/proc/")) else _id_of_path(file)  # a pipe's number is no name
            return RawCard(named, handle.read(MAX_BYTES + 1), f"file:{file.name}"), str(file), ""
    return _on_hub(given)


def _refuse_content(content: bytes, place: str) -> None:
    if len(content) > MAX_BYTES:
        raise ValueError(f"{place} holds more than {MAX_BYTES:,} bytes, which no model card does; cut it, or name the card")
    if b"\0" in content:
        raise ValueError(f"{place} is a binary file or UTF-16; name the card as UTF-8 text")
    if not content.strip():
        raise ValueError(f"{place} is empty; name a model card")
    text = content.decode("utf-8", "replace")
    if text.count("\ufffd") > MOST_BROKEN * len(text):
        raise ValueError(f"{place} is a binary file; name the card as UTF-8 text")
    if text.lstrip("\ufeff \t\r\n")[:15].lower().startswith(("<!doctype html", "<html")):
        raise ValueError(f"{place} is a web page, not a model card; name the address of the raw README.md")


def _encoding(raw: RawCard, place: str) -> str:
    """A warning where a card of the Hub or the web is no UTF-8: it is read as the data's cards are. Raises ValueError where a
    person's own file is not, which is easily put right."""
    try:
        if isinstance(raw.content, bytes):
            raw.content.decode()
        return ""
    except UnicodeDecodeError:
        pass
    if raw.source == "stdin" or raw.source.startswith("file:"):
        raise ValueError(f"{place} is not UTF-8; convert it, for example: iconv -f latin1 -t utf-8")
    return f"{place} is not UTF-8: what cannot be read of it stands as \ufffd"


# --- model ids --------------------------------------------------------------------------------------------------------


def _id_of_path(file: Path) -> str:
    """Model id of a file's name, as collect takes it; "" for a README.md, except one named as owner/name/README.md: in other
    folders its parents are anything."""
    if file.stem.lower() in NO_NAMES and (file.is_absolute() or len(file.parts) != 3):
        return ""
    return model_id_of(file)


def _named(raw: RawCard, found: Draft, place: str) -> tuple[RawCard, str]:
    """The README under the id of its front matter, file name or first heading; of several, the first that names an owner."""
    metadata = found.front.metadata
    stated = [value for key in ID_KEYS if isinstance(value := metadata.get(key), str)]
    index = metadata.get("model-index")
    if isinstance(index, list) and index and isinstance(index[0], dict) and isinstance(index[0].get("name"), str):
        stated.append(index[0]["name"])
    known = [(name.strip(), "from front matter") for name in stated] + [(raw.model_id, "from the name of file or address")]
    known.append((_id_in_heading(found.front.body), "from the card's first heading"))
    known = [(name, source) for name, source in known if HUB_ID.fullmatch(name)]
    if not known:
        raise ValueError(f"{place} does not say which model it is about; pass --model-id ORG/NAME")
    name, source = next(((name, source) for name, source in known if "/" in name), known[0])
    return replace(raw, model_id=name), source


def _id_in_heading(body: str) -> str:
    """The one word of the first heading that looks like a model's name: with an owner, a digit or a hyphen; "" where none does."""
    heading = next((line for line in body.splitlines() if line.startswith("#")), "")
    words = [word.strip("`*_:,.()[]\"'") for word in heading.split()[1:]]
    named = [word for word in words if HUB_ID.fullmatch(word) and re.search(r"[A-Za-z]", word) and re.search(r"[/\d-]", word)]
    return named[0] if len(named) == 1 else ""


# --- the Hub and the web ----------------------------------------------------------------------------------------------


def _on_hub(model_id: str) -> tuple[RawCard, str, str]:
    from data_prep.collecting.hub import HubCards  # a second of import that files need not wait for

    try:
        found = HubCards().card(model_id)
    except ValueError as error:  # all that it raises: the Hub does not answer
        raise PageAway(str(error).removesuffix(", cards already fetched are kept")) from None  # of collect
    if isinstance(found, Rejected):
        said = f"{found.reason}: {found.detail}" if found.detail else found.reason
        raise ValueError(f"{model_id} is {said}" if found.reason.startswith(("not ", "gated")) else f"{model_id}: {said}")
    return found, f"the Hub, commit {(found.revision or '')[:8]}", "from the Hub"


def _at_address(url: str) -> tuple[RawCard, str, str]:
    """A card's page on the Hub is its id; anything else is fetched, from public addresses alone."""
    parts = urlsplit(url)
    own_hub = urlsplit(os.environ.get("HF_ENDPOINT", "")).netloc
    if (parts.hostname or "") in HUB_HOSTS or (own_hub and parts.netloc == own_hub):
        where = HUB_FILE.fullmatch(unquote(parts.path).rstrip("/"))
        if not where or where["id"].partition("/")[0] in NOT_MODELS:
            raise ValueError(f"{url} is no page of a model; give https://huggingface.co/ORG/NAME")
        if where["revision"] in (None, "main"):
            return _on_hub(where["id"])
        page = fetched(f"https://huggingface.co/{where['id']}/resolve/{where['revision']}/README.md")
        return RawCard(where["id"], page.content, f"page:{page.url}", where["revision"]), page.url, "from the address"
    page = fetched(_raw_address(url))
    address = urlsplit(page.url)
    folders = unquote(address.path).strip("/").split("/")
    repository = "/".join(folders[:2]) if address.hostname == "raw.githubusercontent.com" else ""
    return RawCard(repository or _id_of_path(Path(folders[-1])), page.content, f"page:{page.url}"), page.url, ""


def _raw_address(url: str) -> str:
    """GitHub shows a file within a page; its text is elsewhere."""
    parts = urlsplit(url)
    where = FORGE_FILE.fullmatch(parts.path) if parts.hostname in ("github.com", "www.github.com") else None
    return f"https://raw.githubusercontent.com/{where['repo']}/{where['path'] or 'HEAD/README.md'}" if where else url


def fetched(url: str) -> Page:
    """The page at an address that a person named, which is why any public host may be asked, and asked anew: a card is edited."""
    config = FetchConfig(mode="open", max_bytes=MAX_BYTES)
    with TemporaryDirectory() as folder:
        pages = Path(folder) / "pages.sqlite"
        [page] = fetch_all(config, pages, [url])
        with PageCache(pages) as kept:
            passing = bool(page.refused) and kept.get(url, config.rules) is None  # the fetcher keeps what is final
    if page.refused:
        kind = PageAway if passing else ValueError
        raise kind(f"{url} is not to be had: {page.refused}; correct the address, or save the card and name the file")
    return page
