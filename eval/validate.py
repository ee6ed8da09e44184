"""How far the checks can be trusted: precision and recall against faults planted in summaries that are known to be true.

    python -m eval.validate --config recipes/demo/eval.yaml
    python -m eval.validate --run_dir runs/demo --seed 1 --validate.output eval/checks_invented.md
    python -m eval.validate --run_dir runs/real --seed 1 --validate.references recipes/references \\
        --validate.card_texts '[cards.parquet, my-cards/]' --validate.half work --validate.output eval/checks_work.md

Without card texts it reads nothing but its recipe: cards, true summaries and their facts are drawn from the invented world, and
`data_prep.synthetic.planted` says which check must see each fault and which others may speak of it. Writes RUN/eval/validation.json and
RUN/eval/checks_invented.md (or `output`), the table that is kept in the repository as eval/checks_invented.md. Ends with a mistake where links,
numbers, contradiction or length fall below the least precision and recall.

With them it does the same on real cards (`eval/validation/`), for the reference summaries and their other writings with computed figures: how
many of these true pages pass, and which planted faults are seen. Writes RUN/eval/validation_real.json and RUN/eval/checks.md (or
`output`), kept as eval/checks.md (the half `final`) and eval/checks_work.md. There no least is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import Field

from data_prep.checks import CHECKS, check_summary
from data_prep.core.files import write_json, write_text
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import Block, Recipe, command
from data_prep.prompts.student import source_text
from data_prep.synthetic.facts import Facts
from data_prep.synthetic.planted import KINDS, planted
from data_prep.synthetic.world import raw_cards
from eval.validation.naming import pool_of
from eval.validation.page import Page
from eval.validation.real_cards import FURTHER, Half, RealCard, further_cards, half_of, real_cards
from eval.validation.real_faults import REAL_KINDS, planted_real
from eval.validation.statements import statement_figures
from eval.validation.tables import rendered, rendered_real, shown
from eval.validation.tally import FaultTally, count_one, count_true, share, summarised

GATED = ("links", "numbers", "contradiction", "length")
FORM = frozenset("length structure preamble repetition copying".split())
ROOT = Path(__file__).parents[1]


class ValidateConfig(Block):
    cards: int = Field(30, ge=1)
    """Invented cards; each gives two true summaries and one text for every fault that it offers a place for."""
    references: str = "recipes/references"
    """Folder with references.jsonl and split.json: true summaries of real cards."""
    card_texts: list[str] | None = None
    """Folders of .md files and Parquet tables where the real cards are looked up by SHA-256; null for invented cards."""
    half: Half = "work"
    """Of the real cards, work: those that the checks may be mended on; final: the others, all held-out cards among them, to be
    measured when nothing more is changed. Of further cards, fresh (fresh.jsonl): to be mended on as well; unseen (unseen.jsonl): to be
    measured like final."""
    output: str | None = None
    """Where the table goes; null for RUN/eval/checks_invented.md, or checks.md."""
    min_precision: float = Field(0.98, ge=0, le=1)
    """Least precision of links, numbers, contradiction and length on invented cards."""
    min_recall: float = Field(0.95, ge=0, le=1)
    """Least recall of the same."""


def main(recipe: Recipe[ValidateConfig]) -> None:
    if recipe.block.card_texts is None:
        validate_invented(recipe)
    else:
        validate_real(recipe, recipe.block.card_texts)


def validate_invented(recipe: Recipe[ValidateConfig]) -> None:
    block, folder = recipe.block, recipe.run_dir / "eval"
    table = Path(block.output) if block.output else folder / "checks_invented.md"
    code = ("checks", "candidates/corrupted.py", "synthetic")
    manifest = Manifest(
        folder / "validate.manifest.json",
        "validate",
        recipe.resolved(),
        [ROOT / "data_prep" / name for name in code],
        [table, folder / "validation.json"],
    )
    if manifest.is_done():
        return
    figures = summarised(count(recipe.seed, block.cards), KINDS)
    write_text(table, rendered(figures, recipe.seed, block.cards))
    write_json(folder / "validation.json", figures)
    print(f"validate: {figures['texts']} faulty and {figures['clean']['n']} true summaries, see {table}")
    refuse_poor(figures, block)  # before it is called done: the same command is to refuse again
    manifest.write(texts=figures["texts"], clean=figures["clean"])


def count(seed: int, cards: int) -> FaultTally:
    tally = FaultTally()
    for raw in raw_cards(seed, cards):
        source = source_text(raw.model_id, str(raw.content), raw.notes)
        for summary in raw.summaries:
            count_true(tally, check_summary(summary, source))
        for text in planted(raw.summaries[0], Facts.of_truth(raw.truth or {}), source, raw.model_id):
            count_one(tally, KINDS[text.fault], text, check_summary(text.text, source))
    return tally


def validate_real(recipe: Recipe[ValidateConfig], card_texts: Sequence[str]) -> None:
    block, folder = recipe.block, recipe.run_dir / "eval"
    table = Path(block.output) if block.output else folder / "checks.md"
    references = Path(block.references)
    manifest = Manifest(
        folder / "validate_real.manifest.json",
        "validate",
        recipe.resolved(),
        [ROOT / "data_prep" / "checks", ROOT / "eval" / "validation", references],
        [table, folder / "validation_real.json"],
    )
    if manifest.is_done():
        return
    if block.half in FURTHER:
        cards = chosen = further_cards(references, card_texts, block.half)
    else:
        cards = real_cards(references, card_texts)
        chosen = half_of(cards, block.half)
    if not chosen:
        raise ValueError(f'the half "{block.half}" of {len(cards)} cards is empty; name a file of more references')
    figures = {
        "made": _made(recipe, len(cards), chosen),
        **real_figures(chosen, str(recipe.seed)),
        "statements": statement_figures(references / "statements.jsonl", chosen),
    }
    write_text(table, rendered_real(figures))
    write_json(folder / "validation_real.json", figures)
    manifest.write(texts=figures["texts"], clean=figures["clean"])
    print(f"validate: {figures['texts']} faulty and {figures['clean']['n']} true summaries of real cards, see {table}")


def _made(recipe: Recipe[ValidateConfig], of: int, chosen: Sequence[RealCard]) -> dict[str, Any]:
    block = recipe.block
    return {
        "date": date.today().isoformat(),
        "seed": recipe.seed,
        "half": block.half,
        "cards": len(chosen),
        "of": of,
        "families": len({card.family for card in chosen}),
        "command": f"python -m eval.validate --run_dir runs/real --seed {recipe.seed} --validate.references {block.references} "
        f"--validate.card_texts '[cards.parquet, my-cards/]' --validate.half {block.half}",
    }


def real_figures(cards: Sequence[RealCard], seed: str) -> dict[str, Any]:
    """What the checks say of the cards' true pages, and of their summaries with a fault each."""
    tally, others = FaultTally(), FaultTally()
    truth = {"summaries": 0, "pages with arithmetic": 0}  # passed by all checks but those of form
    refused = []
    for card in cards:
        results = check_summary(card.summary, card.source)
        refused += [{"model_id": card.model_id, "check": one.name, "reason": one.reason} for one in results if not one.passed]
        before = count_true(tally, results)
        truth["summaries"] += before <= FORM
        if card.with_arithmetic:
            truth["pages with arithmetic"] += count_true(others, check_summary(card.with_arithmetic, card.source)) <= FORM
        pool = pool_of(other for other in cards if other.family != card.family)
        for text in planted_real(Page(card.model_id, card.summary, card.source, pool), seed):
            count_one(tally, REAL_KINDS[text.fault], text, check_summary(text.text, card.source), before)
    true = {
        name: {
            "passed": share(counted.clean - counted.clean_flags, counted.clean),
            "passed_truth": share(truth[name], counted.clean),
            "refused": {check: share(counted.refused[check], counted.clean) for check in CHECKS},
        }
        for name, counted in zip(truth, (tally, others), strict=True)
        if counted.clean
    }
    return {
        "true": true,
        "refused": refused,
        "found": _found(tally),
        "derived": _derived(tally),
        **summarised(tally, REAL_KINDS),
    }


def _derived(tally: FaultTally) -> dict[str, Any]:
    """Planted wrong numbers that were let pass, since they follow from numbers or items of the source by chance."""
    wrong = [fault for fault, kind in REAL_KINDS.items() if kind.seen_by == "numbers"]
    return share(sum(tally.derived[fault] for fault in wrong), sum(tally.planted[fault] for fault in wrong))


def _found(tally: FaultTally) -> dict[str, Any]:
    """Faults that some check flagged which may speak of them, by whether one claims to see their kind."""
    kinds = {
        name: [fault for fault, kind in REAL_KINDS.items() if bool(kind.seen_by) == claimed]
        for name, claimed in (("claimed", True), ("unclaimed", False))
    }
    return {
        name: share(sum(tally.seen[fault] for fault in faults), sum(tally.planted[fault] for fault in faults))
        for name, faults in kinds.items()
    }


def refuse_poor(figures: dict[str, Any], block: ValidateConfig) -> None:
    """Raises ValueError that names the first gated check below its least precision or recall."""
    for check in GATED:
        for measure, least in (("precision", block.min_precision), ("recall", block.min_recall)):
            found = figures["checks"][check][measure]
            if found["share"] is None or found["share"] < least:
                raise ValueError(
                    f"{check} has a {measure} of {shown(found)}, expected {least:g} or more; mend the check, or lower "
                    f"validate.min_{measure}"
                )


if __name__ == "__main__":
    command("validate", ValidateConfig, main, __doc__, "eval.validate")
