"""Figures of the checkers' verdicts: shares by summary and by system, the checkers' errors, corrected shares, disagreement."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.core.records import Generation, HeldOut
from data_prep.core.text import plural
from eval.entailment.calibration import SYNTHETIC, Labelled, Rates, agreement, corrected, rates
from eval.entailment.checkers import EntailmentScore
from eval.entailment.endpoint_checker import EndpointChecker
from eval.entailment.local_checker import LocalChecker
from eval.entailment.statements import Statement
from eval.stats.estimates import estimate_mean
from eval.stats.figures import arrays, card_means, rounded

METRICS = ("support", "support_2")
LABELLED_BY = {
    SYNTHETIC: "are synthetic, made by rule from invented models: the corrected shares hold for real cards only as far as real errors "
    "resemble those",
    "language model": "are a large language model's, no person's",
}
Checking = EndpointChecker | LocalChecker


@dataclass(frozen=True)
class Checked:
    """One summary with its statements and, checker by checker, the key of each statement's verdict."""

    card: HeldOut
    generation: Generation
    statements: list[Statement]
    keys: list[list[str]]


@dataclass
class Findings:
    """Figures of the verdicts. `verdicts`: of each checker by key; `labels`: of each checker the keys of `labelled`."""

    checkers: Sequence[Checking]
    checked: Sequence[Checked]
    headline: Collection[str]  # keys of the summaries that figures rest on: of each system those of one decoding
    verdicts: Sequence[dict[str, EntailmentScore]]
    labels: Sequence[Sequence[str]]
    labelled: Sequence[Labelled]
    draws: int
    seed: int

    def __post_init__(self) -> None:
        places = range(len(self.checkers))
        self.rates = [self._rates(place) for place in places] if self.labelled else []
        self.counted = [one for one in self.checked if one.generation.key in self.headline]
        self.printed = [place for place in places if not self.rates or self.rates[place].tells]

    def _rates(self, place: int) -> Rates:
        return rates([row.supported for row in self.labelled], [self.decided(place, key) for key in self.labels[place]])

    def decided(self, place: int, key: str) -> bool | None:
        verdict = self.verdicts[place].get(key)
        return None if verdict is None or verdict.score is None else verdict.score >= self.checkers[place].threshold

    def share(self, one: Checked, place: int) -> float | None:
        """Of the statements that the checker decided; None where there are none."""
        known = [found for key in one.keys[place] if (found := self.decided(place, key)) is not None]
        return rounded(sum(known) / len(known)) if known else None

    def rows(self) -> Iterator[dict[str, Any]]:
        for one in self.checked:
            metrics = {METRICS[place]: self.share(one, place) for place in self.printed}
            yield {"key": one.generation.key, "metrics": metrics, "spans": list(self._spans(one))}

    def _spans(self, one: Checked) -> Iterator[dict[str, Any]]:
        for number, piece in enumerate(one.statements):
            against = [place for place in self.printed if self.decided(place, one.keys[place][number]) is False]
            if against:
                found = {self.checkers[place].name: self.verdicts[place][one.keys[place][number]].score for place in against}
                scores = {name: score for name, score in found.items() if score is not None}  # what is decided has one
                told = ", ".join(f"{name} {score:.2f}" for name, score in scores.items())
                yield {"start": piece.start, "end": piece.end, "label": f"not supported: {told}", "score": min(scores.values())}

    def figures(self) -> dict[str, Any]:
        gate = {} if self.printed else {"reason": "by its labelled claims no checker is better than a coin"}
        return {
            "metrics": [
                {
                    "name": METRICS[place],
                    "label": f"claims supported, {self.checkers[place].name}",
                    "group": "independent",
                    "unit": "share",
                    "better": "higher",
                }
                for place in self.printed
            ],
            "printed": bool(self.printed),
            **gate,
            "notes": list(self.notes()),
            "systems": {name: self._system(name) for name in dict.fromkeys(one.generation.system for one in self.counted)},
            "checkers": [self._checker(place) for place in range(len(self.checkers))],
        }

    def _checker(self, place: int) -> dict[str, Any]:
        checker = self.checkers[place]
        about = {"name": checker.name, "metric": METRICS[place], "threshold": checker.threshold, **checker.identity}
        if not self.rates:
            return {**about, "calibration": None}
        faults: dict[str, list[bool]] = {}
        for row, key in zip(self.labelled, self.labels[place], strict=True):
            found = self.decided(place, key)
            if row.fault and found is not None:
                faults.setdefault(row.fault, []).append(not found)
        by_fault = {name: {"found": sum(caught), "n": len(caught)} for name, caught in faults.items()}
        return {**about, "calibration": {**self.rates[place].described(), "origins": self._origins(), "by_fault": by_fault}}

    def _origins(self) -> dict[str, int]:
        origins = [row.origin for row in self.labelled]
        return {name: origins.count(name) for name in sorted(set(origins))}

    def _system(self, name: str) -> dict[str, Any]:
        own = [one for one in self.counted if one.generation.system == name]
        figures: dict[str, Any] = {"claims": sum(len(one.statements) for one in own)}
        for place in range(len(self.checkers)):
            keys = [key for one in own for key in one.keys[place]]
            verdicts = [self.verdicts[place].get(key) for key in keys]
            figures[METRICS[place]] = {
                **self._estimated(own, place),
                "unread": sum(verdict is not None and verdict.score is None for verdict in verdicts),
                "unanswered": sum(verdict is None for verdict in verdicts),
                "cut": sum(verdict is not None and verdict.cut for verdict in verdicts),
            }
        if len(self.checkers) == 2:
            figures["agreement"] = self._agreement(own)
        return figures

    def _estimated(self, own: Sequence[Checked], place: int) -> dict[str, Any]:
        """Mean over cards of the share supported, with its interval, and the corrected share."""
        means = card_means((one.card.id, self.share(one, place)) for one in own)
        values, groups = arrays(means, {one.card.id: one.card.family for one in own})
        figures = rounded(estimate_mean(values, groups, self.draws, self.seed, (0.0, 1.0)).noted)
        if self.rates:
            figures["corrected"] = rounded(corrected(values, groups, self.rates[place], self.draws, self.seed))
        return figures

    def _agreement(self, own: Sequence[Checked]) -> dict[str, Any]:
        """Over the claims of these summaries."""
        first, second = ([self.decided(place, key) for one in own for key in one.keys[place]] for place in (0, 1))
        return rounded(agreement(first, second))

    def notes(self) -> Iterator[str]:
        for place, checker in enumerate(self.checkers):
            yield (
                f"{METRICS[place]}: share of a summary's bullets and sentences that {checker.name} finds supported by the source "
                f"at a threshold of {checker.threshold:g}: a rate under this checker, not the truth."
            )
            if self.rates:
                yield self._rates_note(place)
            quoted = [verdict.quoted for verdict in self.verdicts[place].values() if verdict.quoted is not None]
            if quoted:
                yield f"{checker.name} quotes words that stand in the source for {sum(quoted):,} of the {len(quoted):,} claims it supports."
            if unread := sum(verdict.score is None for verdict in self.verdicts[place].values()):
                yield f"{plural(unread, 'answer')} of {checker.name} could not be read, and counted neither way."
        if not self.rates:
            yield "No labelled claims (support.calibration), so nothing is known of the checkers' errors and no share is corrected."
        for origin, count in self._origins().items():
            if said := LABELLED_BY.get(origin):
                yield f"{count} of the {len(self.labelled)} labels {said}."
        if len(self.checkers) == 2:
            both = self._agreement(self.counted)
            kappa = "not defined" if both["kappa"] is None else f"{both['kappa']:.2f}"
            if both["n"]:
                yield f"The two checkers differ on {100 * both['differ']:.1f}% of {both['n']:,} claims; Cohen's kappa {kappa}."

    def _rates_note(self, place: int) -> str:
        name, described = self.checkers[place].name, self.rates[place].described()
        told = [
            f"{label} {100 * figure['mean']:.0f}% [{100 * figure['ci95'][0]:.0f}, {100 * figure['ci95'][1]:.0f}] (n={figure['n']})"
            if figure["n"]
            else f"{label} not measured"
            for label in ("sensitivity", "specificity")
            for figure in [described[label]]
        ]
        verdict = "" if self.rates[place].tells else ": hardly better than a coin, so its shares are not printed"
        return f"{name} on the labelled claims: {', '.join(told)}{verdict}."
