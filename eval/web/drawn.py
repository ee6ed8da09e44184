"""What a visitor sees of a job, as HTML: the steps and the growing text, then the checked summary beside its source."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from data_prep.checks.document import read
from data_prep.checks.links import canonical
from data_prep.checks.meaning import NO_FLAG
from data_prep.core.files import to_json
from data_prep.evidence.places import Place
from data_prep.evidence.summary import WRONG, Evidence
from eval.reporting.page_data import pieces
from eval.summarizing.verdict import doubtful
from eval.web.job import Made, Progress
from eval.web.markdown import Linked, Mark, anchor, rendered

HERE = Path(__file__).parent
# Gradio takes what it shows for a template of two kinds.
_TEMPLATE_SIGNS = {ord("{"): "&#123;", ord("}"): "&#125;", ord("$"): "&#36;", ord("`"): "&#96;", ord("@"): "&#64;"}


@dataclass(frozen=True)
class View:
    """What `finished` of result.html.j2 shows. Lists hold dictionaries of texts."""

    model_id: str
    state: str
    verdict: str
    flags: Sequence[dict[str, str]]
    remarks: str
    caveat: str
    no_flag: str
    summary: Markup
    words: str
    pieces: Sequence[dict[str, Any]]
    left_out: Sequence[dict[str, Any]]
    sources: Sequence[dict[str, str]]
    omitted: str
    steps: Sequence[str]
    made_by: str
    markdown: str
    json: str


def drawn(progress: Progress) -> str:
    """HTML for `gr.HTML`, safe and of no meaning to its templates."""
    if progress.made:
        shown = _template().finished(view_of(progress.made, progress.steps))
    else:
        text = Markup(rendered(progress.text)) if progress.text else ""
        running = "Writing …" if progress.text else "Reading …"
        shown = _template().progress(progress.steps, text, running, progress.error)
    return str(shown).strip().translate(_TEMPLATE_SIGNS)


@cache
def _template() -> Any:
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True)
    return environment.get_template("result.html.j2").module


def view_of(made: Made, steps: Sequence[str]) -> View:
    result, best = made.result, made.result.best
    places = sorted(
        {place for one in made.evidence for place in one.places} | {one.place for one in made.left_out if one.place}
    )
    number = {place: at for at, place in enumerate(places)}
    flagged = [one for one in best.results if not one.passed]
    remarks = ", ".join(f"{text} ({kind})" for text, kind in doubtful(best))
    seconds = result.seconds
    return View(
        model_id=result.found.card.model_id,
        state=f"Done in {seconds['total']:.0f} s, first word after {seconds['first_word']:.0f} s.",
        verdict=_verdict(len(flagged), len(best.results)),
        flags=[*({"name": one.name, "reason": one.reason} for one in flagged), *_unfinished(best.written.finish_reason)],
        remarks=remarks,
        caveat=made.choice.caveat,
        no_flag=NO_FLAG.replace("the project's eval/checks.md", "eval/checks.md in the project"),
        summary=Markup(_summary(best.written.text, made.evidence, number)),
        words=f"{len(made.source.split()):,}",
        pieces=list(_source(made.source, places, made.evidence)),
        left_out=[{"name": one.name, "display": one.display, "place": number[one.place] if one.place else None} for one in made.left_out],
        sources=list(_sources(made)),
        omitted=", ".join(f"{one.tokens:,} tokens of {one.part}" for one in result.prompt.omitted),
        steps=steps,
        made_by=f"{made.choice.label}, {result.prompt.tokens:,} tokens read, {best.written.completion_tokens:,} written.",
        markdown=best.written.text,
        json=to_json(result.as_json()),
    )  # fmt: skip


def _verdict(flags: int, total: int) -> str:
    return (
        f"{flags} of {total} checks flag{'s' if flags == 1 else ''} this page"
        if flags
        else f"None of {total} checks flags this page"
    )


def _unfinished(reason: str) -> Iterator[dict[str, str]]:
    if reason == "length":
        yield {"name": "finished", "reason": "it was cut at the limit of its length"}
    elif reason != "stop":
        yield {"name": "finished", "reason": "it ran in a loop and was ended there; what it repeated stands once"}


# --- the two sides ----------------------------------------------------------------------------------------------------


def _summary(text: str, evidence: Sequence[Evidence], number: dict[Place, int]) -> str:
    targets = {canonical(link.target): link for link in read(text).links}
    at_link = {(link.start, link.end): target for target, link in targets.items()}
    of_links: dict[str, tuple[int, Evidence]] = {}
    marks: list[Mark] = []
    for at, one in enumerate(evidence):
        target = at_link.get((one.start, one.end)) if one.kind in ("link", "links") else None
        if target is not None and text[one.start - 1 : one.start] in ("(", "<"):
            of_links.setdefault(target, (at, one))
        else:
            opening, again = _tags(at, one, number)
            marks.append(Mark(one.start, one.end, opening, again))
    # Of two that begin together the longer one stands outside.
    marks.sort(key=lambda mark: (mark.start, -mark.end))
    return rendered(text, marks, lambda target: _linked(target, of_links, number))


def _tags(at: int, one: Evidence, number: dict[Place, int]) -> tuple[str, str]:
    """Reached by keyboard once, however many pieces the mark is cut into."""
    told = f'class="ev {one.standing}" data-why="{html.escape(_why(one))}" data-places="{_numbers(one, number)}"'
    return f'<mark id="cs-mark-{at}" tabindex="0" role="button" {told}>', f"<mark {told}>"


def _numbers(one: Evidence, number: dict[Place, int]) -> str:
    return " ".join(str(number[place]) for place in one.places)


def _why(one: Evidence) -> str:
    return f"{one.kind}: {one.why}"


def _linked(target: str, of_links: dict[str, tuple[int, Evidence]], number: dict[Place, int]) -> Linked | None:
    """A link that the source has, with a button that leads there; one that it lacks is no link here."""
    found = of_links.get(canonical(target))
    if found is None:
        return None
    at, one = found
    told = f'data-why="{html.escape(_why(one))}" data-places="{_numbers(one, number)}"'
    where = f'<mark id="cs-mark-{at}" tabindex="0" role="button" class="ev {one.standing} where" {told} aria-label="source of this link">¶</mark>'
    if one.standing == WRONG:
        return Linked(f'<span class="ev wrong" {told}>', f"</span>{where}")
    made = anchor(target, {"class": f"ev {one.standing}", "data-why": _why(one)})
    return Linked(made.opening, f"{made.closing}{where}")


def _source(source: str, places: Sequence[Place], evidence: Sequence[Evidence]) -> Iterator[dict[str, Any]]:
    """The source cut where places begin and end; each piece of a place knows the marks that it bears out."""
    back: dict[Place, list[int]] = {place: [] for place in places}
    for at, one in enumerate(evidence):
        for place in one.places:
            back[place].append(at)
    begun: set[int] = set()
    for piece in pieces(source, [(place.start, place.end) for place in places]):
        if isinstance(piece, str):
            yield {"text": piece, "back": None}
            continue
        text, covering = piece
        marks = sorted({mark for at in covering for mark in back[places[at]]})
        stop = not begun.issuperset(covering)  # reached by keyboard once, however many pieces a place is cut into
        begun.update(covering)
        yield {"text": text, "back": " ".join(map(str, marks)), "at": " ".join(map(str, covering)), "stop": stop}


def _sources(made: Made) -> Iterator[dict[str, str]]:
    """The card, each page with what became of it, and links that nobody was asked to read."""
    found, sources = made.result.found, made.result.sources
    yield {
        "kind": "read",
        "word": "read",
        "name": f"the card of {found.card.model_id}",
        "why": f"{found.place.replace('given text', 'as you gave it')}; {found.warning}".rstrip("; "),
    }
    for source in sources:
        read_it = bool(source.note)
        flags = f"beware, the page {', '.join(source.flags)}" if source.flags else ""
        why = "; ".join(filter(None, (source.reason, flags)))
        yield {"kind": "read" if read_it else "not", "word": "read" if read_it else "left out", "name": source.url, "why": why}
    asked = {source.url for source in sources}
    for url in made.links:
        if url not in asked:
            yield {"kind": "not", "word": "not read", "name": url, "why": "linked from the card"}
