"""The main text of a fetched page: Markdown of a web page, the text of a PDF, a README as it stands. Never raises on a page."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import dataclass

from data_prep.cards.front_matter import split_front_matter
from data_prep.cards.parse import decode

MAX_PDF_PAGES = 40
MAX_CHARACTERS = 400_000
MIN_WORDS = 40  # below this a page is a login form, a redirect or a picture


@dataclass(frozen=True)
class Extract:
    """Text with the tool that took it out, or `problem` in words where there is none."""

    text: str
    extractor: str
    problem: str = ""


def extract(content: bytes, content_type: str, url: str) -> Extract:
    """Text of a page by its content type; `url` only helps to resolve what the page says of itself."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        text, extractor = _read(content, kind, url)
    except Exception as error:  # parsers of hostile input fail in ways of their own; one page must not end a run
        return Extract("", kind, f"{kind or 'page'} cannot be read: {type(error).__name__}")
    text = text.strip()[:MAX_CHARACTERS]
    if len(text.split()) < MIN_WORDS:
        return Extract("", extractor, f"fewer than {MIN_WORDS} words of text")
    return Extract(text, extractor)


def _read(content: bytes, kind: str, url: str) -> tuple[str, str]:
    if kind == "application/pdf" or content.startswith(b"%PDF-"):
        return _pdf(content)
    if kind in ("text/html", "application/xhtml+xml") or content.lstrip()[:15].lower().startswith(
        (b"<!doctype html", b"<html")
    ):
        return _html(content, url)
    text = decode(content)
    if kind == "application/json":
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False), "json"
    return split_front_matter(text).body, "text"


def _html(content: bytes, url: str) -> tuple[str, str]:
    import trafilatura  # a second of import that runs without research need not wait for

    name = f"trafilatura {trafilatura.__version__}"
    text = trafilatura.extract(content, url=url, output_format="markdown", include_tables=True, include_comments=False)
    return text or "", name


def _pdf(content: bytes) -> tuple[str, str]:
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # a warning for each odd object of each paper
    reader = pypdf.PdfReader(io.BytesIO(content))
    pages = (page.extract_text() for page, _ in zip(reader.pages, range(MAX_PDF_PAGES), strict=False))
    return "\n\n".join(pages), f"pypdf {pypdf.__version__}"
