"""What comes of the judgments: scores of summaries, preferences between systems, and how far each judge is to be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data_prep.core.text import plural
from data_prep.prompts.untrusted import injection_flags, visible
from eval.judging.answers import Judge, Judgment, Subject
from eval.judging.pairwise import Outcome, alpha, compared, controls, panel, share
from eval.judging.prompts import DIMENSIONS, MAX_SOURCE_CHARACTERS, Scores
from eval.judging.qualification import QualificationTally
from eval.judging.task import JudgeConfig, Summary, Task
from eval.scoring.metrics import Metric
from eval.stats.estimates import estimate_mean
from eval.stats.figures import arrays, card_means, rounded

METRICS = (*DIMENSIONS, "overall")
ALL_JUDGES = "all judges"


@dataclass(frozen=True)
class JudgeRun:
    """One judge's work: its answers, how it did on the gate, and the comparisons."""

    judge: Judge
    answers: Mapping[Subject, Judgment]
    gate: list[QualificationTally]
    fault: str  # why it does not pass
    outcomes: dict[tuple[str, str], list[Outcome]]

    @property
    def failures(self) -> list[str]:
        """Why each question that got no answer got none: a judge is heard when there is no such question."""
        return [judgment.failed for judgment in self.answers.values() if judgment.failed]

    def shares(self, summary: Summary) -> dict[str, float] | None:
        answer = self.answers[summary.subject].answer
        return answer.shares() if isinstance(answer, Scores) else None


def measure_rows(task: Task, judges: Sequence[JudgeRun]) -> Iterator[dict[str, Any]]:
    """One row per summary: means over the judges that passed and could be read, null where there is none."""
    passed = [one for one in judges if not one.fault]
    for summary in {summary.generation.key: summary for summary in task.summaries}.values():
        shares = [found for one in passed if (found := one.shares(summary))]
        means = {name: rounded(float(np.mean([row[name] for row in shares]))) if shares else None for name in METRICS}
        yield {"key": summary.generation.key, "metrics": {f"judge_{name}": mean for name, mean in means.items()}, "spans": []}


def described(task: Task, judges: Sequence[JudgeRun], notes: Sequence[str], block: JudgeConfig, seed: int) -> dict[str, Any]:
    """The content of judge.json."""
    passed = [one for one in judges if not one.fault]
    draws = block.bootstrap_samples
    figures = {one.judge.model: judge_figures(one, draws, seed) for one in judges}
    faults = [f"{one.judge.model} failed the gate: {one.fault}" for one in judges if one.fault]
    return {
        "metrics": [asdict(Metric(f"judge_{name}", f"{name.capitalize()} (judge)", "independent")) for name in METRICS],
        "printed": bool(passed),
        "reason": "" if passed else "; ".join(faults),
        "notes": [
            *notes,
            *(faults if passed else []),
            *control_notes(task, figures),
            *agreement_notes(task, passed),
        ],
        "systems": system_figures(task, passed, draws, seed),
        "preferences": list(preferences(passed, draws, seed)),
        "judges": figures,
    }


def system_figures(task: Task, passed: Sequence[JudgeRun], draws: int, seed: int) -> dict[str, dict[str, Any]]:
    """Per system each judge's own means, and the shares of summaries that could not be read and of unfounded quotes."""
    figures: dict[str, dict[str, Any]] = {}
    families = {summary.card.id: summary.card.family for summary in task.summaries}
    for system in dict.fromkeys(summary.generation.system for summary in task.summaries):
        own = [summary for summary in task.summaries if summary.generation.system == system]
        for one in passed:
            found = [one.shares(summary) for summary in own]
            rows = figures.setdefault(system, {})
            for name in METRICS:
                means = card_means(
                    (summary.card.id, row[name] if row else None) for summary, row in zip(own, found, strict=True)
                )
                estimate = estimate_mean(*arrays(means, families), draws, seed, (0.0, 1.0))
                rows.setdefault(f"judge_{name}", {})[one.judge.model] = rounded(estimate.figure)
            given = [one.answers[summary.subject] for summary in own]
            rows.setdefault("unparsed", {})[one.judge.model] = share(sum(row is None for row in found), len(found))
            quotes = sum(answer.quotes for answer in given)
            rows.setdefault("unfounded_quotes", {})[one.judge.model] = share(
                sum(len(answer.unfounded) for answer in given), quotes
            )
    return figures


def preferences(passed: Sequence[JudgeRun], draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """Each judge's comparisons, and where several passed, those of all together."""
    for one in passed:
        for (a, b), outcomes in one.outcomes.items():
            if outcomes:
                yield {"judge": one.judge.model, "a": a, "b": b, "metric": "overall", **compared(outcomes, draws, seed)}
    for a, b in passed[0].outcomes if len(passed) > 1 else ():
        if together := panel([one.outcomes[a, b] for one in passed]):
            yield {"judge": ALL_JUDGES, "a": a, "b": b, "metric": "overall", **compared(together, draws, seed)}


def judge_figures(one: JudgeRun, draws: int, seed: int) -> dict[str, Any]:
    """What is known of a judge, passed or not."""
    found = list(one.answers.values())
    unparsed = [judgment for judgment in found if judgment.answer is None]
    outcomes = [outcome for row in one.outcomes.values() for outcome in row]
    return {
        "families": sorted(one.judge.families),
        "passed": not one.fault,
        "reason": one.fault,
        "gate": [tally.row() for tally in one.gate],
        "judgments": len(found),
        "unparsed": share(len(unparsed), len(found)),
        "unparsed_reasons": sorted({judgment.unparsed for judgment in unparsed})[:5],
        "unfounded_quotes": share(sum(len(row.unfounded) for row in found), sum(row.quotes for row in found)),
        **controls(outcomes, draws, seed),
    }


def control_notes(task: Task, judges: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    for name, figures in judges.items():
        if figures["unparsed"]["mean"]:
            share_, n = figures["unparsed"]["mean"], figures["judgments"]
            yield f"{share_:.1%} of {plural(n, 'answer')} of {name} could not be read; they are left out, not counted as zero."
        if figures["positional_consistency"]["n"]:
            yield (
                f"{name} gave the same verdict in both orders for {figures['positional_consistency']['mean']:.1%} of "
                f"{figures['positional_consistency']['n']} pairs; the others count as ties."
            )
        if slope := figures["length_slope"]:
            yield (
                f"For 100 words more than the other summary, the win rate by {name} changes by {100 * slope['mean']:+.1f} points "
                f"[{100 * slope['ci95'][0]:+.1f}, {100 * slope['ci95'][1]:+.1f}], length and quality not told apart."
            )
    cards = dict.fromkeys(summary.card.id for summary in task.summaries)
    if cut := sum(len(visible(task.cards[card].source)) > MAX_SOURCE_CHARACTERS for card in cards):
        are = "is" if cut == 1 else "are"
        yield f"{plural(cut, 'card')} with notes {are} longer than {MAX_SOURCE_CHARACTERS:,} characters; judges saw their beginning."
    flagged = sum(bool(injection_flags(summary.text)) for summary in task.summaries)
    if flagged:
        hold = "holds" if flagged == 1 else "hold"
        yield f"{plural(flagged, 'summary', 'summaries')} {hold} words that read as meant for a model; the gate says whether judges obey such words."


def agreement_notes(task: Task, passed: Sequence[JudgeRun]) -> Iterator[str]:
    if len(passed) == 1:
        yield "One judge alone scored: a second one of another family would show how far its taste goes."
    if len(passed) < 2:
        return
    overall = [[(one.shares(summary) or {"overall": np.nan})["overall"] for one in passed] for summary in task.summaries]
    found = alpha(overall)
    told = "cannot be told" if found is None else f"is {found:.2f} (Krippendorff's alpha, interval; 1 full agreement, 0 chance)"
    yield f"Agreement of {len(passed)} judges on the overall score {told}."
