"""How far a checker can be believed: its errors on labelled claims, and what a rate under it says of the true rate.

A checker that finds 90% of the claims supported finds some supported that are not and misses some that are. With its
sensitivity (true claims found supported) and specificity (false claims found unsupported) the true share p follows from the
apparent share q: p = (q + specificity - 1) / (sensitivity + specificity - 1) (Rogan and Gladen 1978, "Estimating prevalence
from the results of a screening test").
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.core.files import read_jsonl
from data_prep.core.wilson import wilson
from data_prep.prompts.student import source_text
from data_prep.synthetic.cards import PAGE_NAMES, render_card, render_notes
from data_prep.synthetic.facts import LICENCES, Facts, draw_family, draw_model
from data_prep.synthetic.summaries import reference_summary
from eval.entailment.statements import Statement, statements
from eval.stats.estimates import expanded_tail, family_sums, resampled_means, unseen_share

SYNTHETIC = "synthetic"
ORIGINS = ("human", "language model", SYNTHETIC)
TRIES = 100  # draws until a number is one that the source has not
SYNTHETIC_SEED = 7919  # of families that no recipe's seed draws
LEAST_SKILL = 1.1  # sensitivity + specificity; a coin has 1, and the correction divides by the rest
NUMBER = re.compile(r"(?<![\w.,-])\d[\d.,]*\d|(?<![\w.,-])\d")


@dataclass(frozen=True)
class Labelled:
    """A claim with somebody's word on it. `fault`: what is wrong with a false one, where that is known."""

    source: str
    context: str
    claim: str
    supported: bool
    origin: str  # one of ORIGINS, who labelled it
    fault: str = ""

    @property
    def text(self) -> str:
        return f"{self.context}: {self.claim}" if self.context else self.claim


def read_labelled(path: Path) -> list[Labelled]:
    """Raises ValueError where a row has no label, or where one of the two kinds is missing."""
    rows = list(read_jsonl(path, Labelled))
    for number, row in enumerate(rows, 1):
        if not isinstance(row.supported, bool):
            raise ValueError(f"{path}:{number} has supported: {row.supported!r}; label it true or false, or delete the line")
        if row.origin not in ORIGINS:
            raise ValueError(f'{path}:{number} has origin "{row.origin}"; expected one of: {", ".join(ORIGINS)}')
    return of_both_kinds(rows, path)


def of_both_kinds(rows: list[Labelled], path: Path) -> list[Labelled]:
    if len({row.supported for row in rows}) < 2:
        raise ValueError(f"{path} needs claims of both kinds, supported and not; it has {len(rows)} rows of one kind or none")
    return rows


# --- labels from the invented world -----------------------------------------------------------------------------------


def synthetic_claims(cards: int, seed: int = SYNTHETIC_SEED) -> list[Labelled]:
    """Four claims a card: two true ones of its reference summary, two with one of FAULTS each. Same seed, same claims."""
    found: list[Labelled] = []
    faults = iter(list(FAULTS) * cards)
    for facts, rng in _models(seed, cards):
        source = source_text(facts.model_id, render_card(facts, rng), render_notes(facts, rng))
        told = [one for one in statements(reference_summary(facts, rng)) if is_factual(one, facts)]
        found += [Labelled(source, one.context, one.text, True, SYNTHETIC) for one in rng.sample(told, 2)]
        for fault in (next(faults), next(faults)):
            if false := FAULTS[fault](told, facts, source, rng):
                found.append(Labelled(source, *false, False, SYNTHETIC, fault))
    return found


def _models(seed: int, cards: int) -> Iterator[tuple[Facts, random.Random]]:
    made = family = 0
    while made < cards:
        rng = random.Random(f"calibration:{seed}:{family}")
        for facts in draw_family(rng)[: cards - made]:
            yield facts, rng
            made += 1
        family += 1


def is_factual(one: Statement, facts: Facts) -> bool:
    """A bullet with a figure or the licence: remarks and what the card leaves unsaid are true without support."""
    return bool(one.context) and (bool(NUMBER.search(one.text)) or bool(_licence(facts).search(one.text)))


def _licence(facts: Facts) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(facts.licence)}(?!\w)")  # "mit" is no part of "limit"


def number_changed(told: Sequence[Statement], facts: Facts, source: str, rng: random.Random) -> tuple[str, str] | None:
    one = rng.choice([one for one in told if NUMBER.search(one.text)])
    was = rng.choice(list(NUMBER.finditer(one.text)))
    draws = (_other_digits(was[0], rng) for _ in range(TRIES))
    wrong = next((new for new in draws if new not in source), None)
    if wrong is None:  # every number of that length stands in the source
        return None
    return one.context, one.text[: was.start()] + wrong + one.text[was.end() :]


def _other_digits(number: str, rng: random.Random) -> str:
    return re.sub(r"\d", lambda _: str(rng.randint(1, 9)), number) + (str(rng.randint(1, 9)) if len(number) < 2 else "")


def licence_swapped(told: Sequence[Statement], facts: Facts, source: str, rng: random.Random) -> tuple[str, str] | None:
    one = next((one for one in told if _licence(facts).search(one.text)), None)
    other = rng.choice([name for name in LICENCES if name != facts.licence])
    return (one.context, _licence(facts).sub(other, one.text)) if one else None


def fact_of_another(told: Sequence[Statement], facts: Facts, source: str, rng: random.Random) -> tuple[str, str] | None:
    """A bullet of another model's summary, with a figure that this source has nowhere."""
    other = draw_model(rng)
    theirs = [one for one in statements(reference_summary(other, rng)) if is_factual(one, other)]
    strange = [one for one in theirs if any(number not in source for number in NUMBER.findall(one.text))]
    return (one.context, one.text) if strange and (one := rng.choice(strange)) else None


def page_wrong(told: Sequence[Statement], facts: Facts, source: str, rng: random.Random) -> tuple[str, str] | None:
    """A page's facts told as another page's."""
    names = [PAGE_NAMES[page.kind] for page in facts.sources]
    of_pages = [(one, name) for one in told for name in names if f" {name} " in one.text]
    if not of_pages or len(names) < 2:
        return None
    one, name = rng.choice(of_pages)
    return one.context, one.text.replace(name, rng.choice([other for other in names if other != name]))


Maker = Callable[[Sequence[Statement], Facts, str, random.Random], tuple[str, str] | None]
FAULTS: dict[str, Maker] = {
    "number changed": number_changed,
    "licence swapped": licence_swapped,
    "fact of another": fact_of_another,
    "page wrong": page_wrong,
}


# --- what labels say of a checker -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rates:
    """Verdicts on labelled claims: how many are true and found so, false and found so. `unread` had no readable answer."""

    true: int
    true_found: int
    false: int
    false_found: int
    unread: int = 0

    @property
    def sensitivity(self) -> float:
        return self.true_found / self.true

    @property
    def specificity(self) -> float:
        return self.false_found / self.false

    @property
    def tells(self) -> bool:
        """Better than a coin by enough to divide by."""
        return self.true > 0 and self.false > 0 and self.sensitivity + self.specificity > LEAST_SKILL

    def described(self) -> dict[str, Any]:
        rows = {"sensitivity": (self.true_found, self.true), "specificity": (self.false_found, self.false)}
        figures = {
            name: {"mean": found / of if of else None, "ci95": list(wilson(found, of)), "n": of}
            for name, (found, of) in rows.items()
        }
        return {**figures, "unread": self.unread}


def rates(labels: Sequence[bool], verdicts: Sequence[bool | None]) -> Rates:
    """`verdicts`: found supported or not, None where the answer could not be read."""
    pairs = [(label, verdict) for label, verdict in zip(labels, verdicts, strict=True) if verdict is not None]
    true = [verdict for label, verdict in pairs if label]
    false = [verdict for label, verdict in pairs if not label]
    return Rates(len(true), sum(true), len(false), len(false) - sum(false), len(labels) - len(pairs))


def corrected(
    values: np.ndarray, families: np.ndarray, measured: Rates, draws: int = 10_000, seed: int = 0
) -> dict[str, object]:
    """Rogan and Gladen's estimate of the true share of supported claims, from `values` (a card's apparent share each, NaN
    where there is none), clipped to 0..1: {"mean", "ci95", "reason"?}.

    A draw resamples families for the apparent share and the labelled claims for the two rates. The claims are drawn with one
    more success and one more failure than were seen, since 30 of 30 do not make a checker perfect (Lang and Reiczigel 2014,
    "Confidence limits for prevalence of disease adjusted for estimated sensitivity and specificity"); draws without skill
    are left out. The percentiles are expanded for few families, as in `estimate_mean`.
    """
    sums, sizes = family_sums(values, families)
    if not sizes.sum():
        return {"mean": None, "ci95": None, "reason": "no card was measured"}
    if not measured.tells:
        said = f"sensitivity {measured.true_found}/{measured.true} and specificity {measured.false_found}/{measured.false}"
        return {"mean": None, "ci95": None, "reason": f"{said} are hardly better than a coin's, so nothing can be corrected"}
    mean = float(_rogan_gladen(sums.sum() / sizes.sum(), measured.sensitivity, measured.specificity))
    if len(sizes) < 2:
        return {"mean": mean, "ci95": None, "reason": "one family: nothing to resample, so no interval"}
    rng = np.random.default_rng(seed)
    sensitivity = _drawn(rng, measured.true_found, measured.true, draws)
    specificity = _drawn(rng, measured.false_found, measured.false, draws)
    skilled = sensitivity + specificity > LEAST_SKILL
    if np.ptp(values[~np.isnan(values)]) == 0:  # no spread to resample: the bounds of `estimate_mean` in place of draws
        least, most = (1 - unseen_share(len(sizes))) * sums.sum() / sizes.sum() + np.array([0.0, unseen_share(len(sizes))])
    else:
        least = most = resampled_means(sums, sizes, draws, seed)[skilled]
    tail = expanded_tail(len(sizes))
    low = np.quantile(_rogan_gladen(least, sensitivity[skilled], specificity[skilled]), tail)
    high = np.quantile(_rogan_gladen(most, sensitivity[skilled], specificity[skilled]), 1 - tail)
    # The added success and failure pull the draws off the estimate a little: the interval holds it in any case.
    return {"mean": mean, "ci95": [min(float(low), mean), max(float(high), mean)]}


def _rogan_gladen(apparent, sensitivity, specificity):
    return np.clip((apparent + specificity - 1) / (sensitivity + specificity - 1), 0, 1)


def _drawn(rng: np.random.Generator, found: int, of: int, draws: int) -> np.ndarray:
    return rng.binomial(of, (found + 1) / (of + 2), size=draws) / of


def agreement(a: Sequence[bool | None], b: Sequence[bool | None]) -> dict[str, float | int | None]:
    """Share of claims on which two checkers differ, and Cohen's kappa (1960): 1 is agreement, 0 what chance gives. None where
    both always say the same one thing, or nothing was read."""
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    n = len(pairs)
    if n == 0:
        return {"differ": None, "kappa": None, "n": 0}
    first, second = np.array(pairs, dtype=float).T
    observed = float(np.mean(first == second))
    chance = float(first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean()))
    return {"differ": 1 - observed, "kappa": None if chance == 1 else (observed - chance) / (1 - chance), "n": n}
