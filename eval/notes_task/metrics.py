"""What is measured of notes on a page: whether what they state stands there, and whether they state what matters."""

from __future__ import annotations

from data_prep.checks.document import read
from data_prep.checks.numeric.grounding import is_grounded, numbers_of, summary_quantities
from data_prep.core.records import Generation, HeldOut
from data_prep.notes_task.checks import GROUNDING, check_notes, grounded
from data_prep.prompts.student import NOTES_WORDS, is_nothing_new
from eval.scoring.metrics import SUMMED_UP, Metric, code_version, named
from eval.scoring.rouge import rouge

NOTES_METRICS = (
    named("grounded"),
    *(Metric(f"{check}_grounded", f"{check} found on page", "checks") for check in GROUNDING),
    Metric("number_recall", "reference's numbers recalled", "independent"),
    Metric("nothing_new_agrees", "agrees on NOTHING NEW", "independent"),
    Metric("in_length", f"at most {NOTES_WORDS} words", "checks"),
    Metric("finished", "ended before the token limit", "independent"),
    Metric("looped", "ended in a loop", "independent", better="lower"),
    Metric("words", "words", "independent", unit="words", better=None),
    Metric("rouge1", "similarity to reference, ROUGE-1", "independent"),
    Metric("rouge2", "similarity to reference, ROUGE-2", "independent"),
    Metric("rougeLsum", "similarity to reference, ROUGE-Lsum", "independent"),
)
HEADLINE = ("grounded", "number_recall", "nothing_new_agrees")


def measure_notes(generation: Generation, page: HeldOut) -> dict[str, float | None]:
    """The metrics of one system's notes on one page; None where there is nothing to measure.

    Notes that say NOTHING NEW claim nothing, so they are neither grounded nor not; where the reference has notes, they recall
    none of its numbers. Where the reference says NOTHING NEW, only agreement, length and grounding are measured.
    """
    text = generation.text
    declines, nothing_there = is_nothing_new(text), is_nothing_new(page.reference)
    results = check_notes(text, page.source)
    values = {result.name: result.value for result in results}
    similar = rouge("" if declines else text, "" if nothing_there else page.reference)
    return {
        "grounded": None if declines else float(grounded(results)),
        **{f"{check}_grounded": values[check] for check in GROUNDING},
        "number_recall": None if nothing_there else number_recall("" if declines else text, page.reference),
        "nothing_new_agrees": float(declines == nothing_there),
        "in_length": float(next(result.passed for result in results if result.name == "words")),
        "finished": float(generation.finish_reason == "stop"),
        "looped": float(generation.finish_reason == "loop"),
        "words": None if declines else values["words"],
        **similar,
    }


def number_recall(text: str, reference: str) -> float | None:
    """Share of the reference's numbers that `text` gives, in any spelling; None where the reference has none."""
    wanted = summary_quantities(read(reference))
    if not wanted:
        return None
    known = numbers_of(text)
    return sum(is_grounded(one, known) for one in wanted) / len(wanted)


def notes_code_version() -> str:
    """Hash of what these figures follow from beside the texts."""
    return code_version(*SUMMED_UP, "eval/notes.py", "eval/notes_task", "data_prep/notes_task")
