"""Score summaries that anybody wrote, a model or a person, against their cards: the checks and metrics of evaluation, with intervals.

    python recipes/examples/score_summaries.py                                  without input: baselines and references of invented cards
    python recipes/examples/score_summaries.py my-summaries.jsonl
    python recipes/examples/score_summaries.py my-summaries/ --cards my-cards/

Needs   `make install`; a CPU, no model, a second for some fifty summaries.
Reads   JSON lines, {"system": WHO WROTE IT, "card": FILE, HUB ID OR ADDRESS, "summary": TEXT}; "text" with the card itself may stand for
        "card", and "model_id" and "notes" ([{"url", "text"}], which the summary may cite) may be added. Without input such a file is
        written first, to look at: runs/examples/summaries.jsonl. Or a folder: NAME.md, or SYSTEM/NAME.md for several systems, each
        beside a card NAME.md in --cards.
Writes  runs/examples/scores/scores.md      a table of figures, each with its interval and what it says; differences between systems
        runs/examples/scores/flags.md       each flagged summary with the reasons
Intervals resample families of related cards, so they want a dozen families or more; with one family there is none.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_prep.checks import check_summary, failures
from data_prep.core.files import read_dicts, to_json, write_jsonl, write_text
from data_prep.core.recipe import exit_on_mistake
from data_prep.core.records import HeldOut
from data_prep.prompts.student import raw_source, read_source, source_text
from data_prep.synthetic.world import raw_cards
from eval.generation.baselines import BASELINES
from eval.reporting.explained import checks_table, explained_table, print_explained
from eval.reporting.markdown import differences_table
from eval.score import score_summaries
from eval.scoring.texts import SummaryText, scoring_rows
from eval.summarizing.batch import KEYS, CardLine, parse
from eval.summarizing.card_input import read_card

SHOWN = Path("runs/examples/summaries.jsonl")


def main() -> None:
    options = parser().parse_args()
    given: Path = options.summaries or written_example()
    if not given.exists():
        raise ValueError(f"there is no {given}; name a file of JSON lines or a folder of .md files (--help has the forms)")
    if given.is_dir() and not options.cards:
        raise ValueError(f"{given} is a folder; name the folder of its cards with --cards")
    rows = from_folder(given, options.cards) if given.is_dir() else read_dicts(given)
    texts = [read_text(row, f"{given}:{number}") for number, row in enumerate(rows, 1)]
    # Two calls: summaries as rows of cards and systems, then means, intervals that resample families, paired differences.
    cards, generations = scoring_rows(texts)
    scores = score_summaries(cards, generations)
    headline = [metric for metric in scores["metrics"] if metric["headline"]]
    report = [f"{scores['cards']} cards of {scores['families']} families", explained_table(scores), checks_table(scores)]
    if scores["comparisons"]:
        report += ["Differences, in points, card by card:", differences_table(scores, headline), *scores["claims"]]
    write_text(options.out / "scores.md", "\n\n".join(report) + "\n")
    # One text against one source, with the characters that are wrong: check_summary(summary, source).
    flags = [(text, failures(check_summary(text.summary, text.source))) for text in texts]
    lines = [f"- **{text.system}**, {read_source(text.source)[1]}: {why}" for text, why in flags if why]
    write_text(options.out / "flags.md", "\n".join(lines or ["no summary is flagged"]) + "\n")
    print_explained(scores)
    print(f"written: {options.out / 'scores.md'}, and {len(lines)} flagged summaries with reasons: {options.out / 'flags.md'}")


def read_text(row: dict[str, Any], place: str) -> SummaryText:
    """The card is read as `card-summarizer --batch` reads it, so a path, a Hub id and an address all do."""
    for key, without in (("summary", None), ("system", "")):
        if not isinstance(row.get(key, without), str):
            raise ValueError(
                f'{place}: "{key}" is {row.get(key)!r}, expected a text; a line has system, card (or text) and summary'
            )
    try:
        request = parse(CardLine(0, to_json({key: row[key] for key in KEYS if key in row})))
        found = read_card(request)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    source = source_text(found.card.model_id, found.card.text, request.notes or ())
    return SummaryText(row.get("system", "mine"), source, row["summary"])


def from_folder(folder: Path, cards: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.rglob("*.md")):
        system = file.parent.name if file.parent != folder else folder.name
        yield {"system": system, "card": str(cards / file.name), "summary": file.read_text(encoding="utf-8")}


def written_example() -> Path:
    """Three systems on 24 invented cards: the reference, the beginning of the card, and its front matter as sentences."""
    rows = []
    for raw in raw_cards(seed=1, cards=24):
        card = HeldOut("", [], raw_source(raw), raw.summaries[0], "")
        for system in ("lead", "front_matter", "reference"):
            line = {"system": system, "model_id": raw.model_id, "text": raw.content, "notes": list(map(asdict, raw.notes))}
            rows.append(line | {"summary": BASELINES[system](card)})
    write_jsonl(SHOWN, rows)
    return SHOWN


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("summaries", nargs="?", type=Path, metavar="FILE_OR_FOLDER", help="JSON lines, or a folder of .md files")
    made.add_argument(
        "--cards", type=Path, metavar="FOLDER", help="with a folder of summaries: their cards, under the same names"
    )
    made.add_argument("--out", type=Path, default=Path("runs/examples/scores"), metavar="FOLDER", help="(default: %(default)s)")
    return made


if __name__ == "__main__":
    exit_on_mistake(main, "score_summaries")
