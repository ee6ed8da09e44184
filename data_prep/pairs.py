"""Builds preference pairs: what passes every check against what fails one, or is wrong, or the best against the worst, from six pools.

    python -m data_prep.pairs --config recipes/demo/data.yaml

| pool     | chosen                              | rejected                                                   |
|----------|-------------------------------------|------------------------------------------------------------|
| own      | the model's own passing sample, or the reference | the SFT model's own failing sample (on-policy) |
| repair   | the failing sample up to its first fault, gone on with by the model itself, passing | that sample     |
| revision | that sample mended (data_prep.revise) | the sample (CLAIR, arXiv 2408.06266)                     |
| corrected | that sample set right by a reader (data_prep.correct) | the sample, also where no check marks it |
| small    | as in `own`                         | a smaller model's failing sample (arXiv 2507.06187)        |
| broken   | the reference                       | the reference with one rule broken                         |

Reads data/sampling.jsonl, samples.jsonl, split.json and, where they are there, repairs.jsonl, revisions.jsonl,
corrections.jsonl and samples.NAME.jsonl.
Writes data/pairs/{train,validation}.parquet. Chosen texts pass every check (with `mended: better` all but length), rejected ones fail
few (moderate margin, high bar: AIR, arXiv 2504.03612), both are of like length, and each pair's `reason` is the checks' own word on the rejected.
What a reader corrected is rejected with any number of flags, none too. `rejected_cut` says that a rejected text has no end of its own.

With `by: grade` the pool `own` sets a card's best samples against its worst, by the score of `checks/grade.py`: a pair may differ in
how much is right where both pass, or both fail, every check. Worth it from about eight samples of a card on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from tqdm import tqdm

from data_prep.candidates.apo_advice import ReferenceMatchRate
from data_prep.candidates.checked import UNWRITABLE, CheckedSummary, length_gap
from data_prep.candidates.corrupted import broken_versions
from data_prep.candidates.graded import best_against_worst, grades_of, reason_of
from data_prep.checks.source_index import SourceIndex
from data_prep.core.files import (
    corrections_of,
    first_by,
    read_jsonl,
    read_split,
    samples_of,
    set_aside,
    stable_id,
    trained_split,
)
from data_prep.core.manifest import Manifest
from data_prep.core.parquet import PAIR_SCHEMA, table_writer
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import TRAINED_ON, Candidate, Correction, HeldOut, PreferencePair, Rejected
from data_prep.core.text import count_words

Pool = Literal["own", "repair", "revision", "corrected", "small", "broken"]
SEEN_BY_READER = "a reader set right what no check marks"
BEYOND_SHARE = "more pairs of its pool than its share"


class PairsConfig(Block):
    by: Literal["checks", "grade"] = "checks"
    """How own samples are told apart: by who passes every check, or by graded score, the best against the worst."""
    margin: float = Field(0.1, gt=0, le=1)
    """With `by: grade`: the chosen score is above the rejected one by at least so much, of 1."""
    min_grade: float = Field(0.6, ge=0, le=1)
    """With `by: grade`: a chosen text has at least this score."""
    chosen: Literal["own", "reference", "own_or_reference"] = "own_or_reference"
    """Where the better summary comes from: the model's own good samples, the accepted reference, or own if any."""
    derived_numbers: Literal["keep", "refuse"] = "refuse"
    """refuse: an own sample with numbers computed from the source's is not chosen, as in examples.derived_numbers."""
    per_card: int = Field(2, ge=1)
    """Pairs per card and pool at most; each uses another rejected text."""
    max_length_gap: float = Field(0.2, gt=0)
    """The two sides differ in rendered words by at most this share of the longer: else length is what is learnt."""
    min_facts: float = Field(0.8, ge=0, le=1)
    """A chosen text recalls at least this share of the facts that the source states; one that passes every check by leaving
    things out is rejected like a failing one."""
    max_faults: int = Field(4, ge=1)
    """A rejected text fails at most so many checks: one that fails everything teaches little. What a reader corrected is not counted."""
    mended: Literal["passing", "better"] = "passing"
    """better: of repairs, revisions and corrected pages also those that are as short or long as the sample was, with all else mended and no fact
    lost: most samples of a small model miss the length, and such a pair does not teach it."""
    shares: dict[Pool, Annotated[float, Field(gt=0)]] = {
        "own": 0.4,
        "repair": 0.2,
        "revision": 0.2,
        "small": 0.1,
        "broken": 0.1,
    }
    """Pools and their shares. The largest pool is used whole, the others up to their share beside it."""
    small: str | None = None
    """Name of the smaller model under sample.systems, whose samples are in data/samples.NAME.jsonl."""


def main(recipe: Recipe[PairsConfig]) -> None:
    data, block = recipe.run_dir / "data", recipe.block
    refuse_missing_samples(data, block)
    inputs = [data / name for name in ("samples.jsonl", "sampling.jsonl", "split.json", "repairs.jsonl", "revisions.jsonl")]
    inputs += [data / "corrections.jsonl", *small_samples(data, block)]
    tables, aside = {split: data / "pairs" / f"{split}.parquet" for split in TRAINED_ON}, data / "rejected.jsonl"
    manifest = Manifest(data / "pairs.manifest.json", "pairs", recipe.resolved(), inputs, [*tables.values()], aside)
    if manifest.is_done():
        return
    splits = read_split(data / "split.json")["splits"]
    cards = list(read_jsonl(data / "sampling.jsonl", HeldOut))
    level = ReferenceMatchRate()
    found: dict[str, list[PreferencePair]] = {split: [] for split in TRAINED_ON}
    corrections, rejected = (
        corrections_of(data / "corrections.jsonl", cards, "pairs") if "corrected" in block.shares else ({}, [])
    )
    for card, pools in tqdm(judged_cards(data, cards, corrections, block), "pairs", len(cards), unit=" cards", mininterval=1):
        rejected += unwritable(card, pools)
        pairs, reason = pair_up(card, pools, block)
        found[trained_split(card, splits)] += pairs
        rejected += [Rejected("pairs", card.id, reason)] if reason else []
        rejected += uncorrected(card, pools["corrected"], pairs, block)
        if splits[card.id] == "validation":
            level.add(pools["own"], CheckedSummary.reference(card))
    counts, faults = Counter[str](), Counter[str]()
    for split, pairs in found.items():
        kept, beyond = in_shares(pairs, block.shares)
        rejected += [Rejected("pairs", pair.id, BEYOND_SHARE, f"pool {pair.provenance['pool']}") for pair in beyond]
        counts.update(f"{split}_{pair.provenance['pool']}" for pair in kept)
        faults.update(fault for pair in kept for fault in pair.provenance["failed"])
        with table_writer(tables[split], PAIR_SCHEMA) as add:
            for pair in kept:
                add(pair)
    set_aside(aside, "pairs", rejected)
    manifest.write(**counts, rejected=len(rejected), faults=dict(faults), matches_reference=level.result())
    report(counts, faults, rejected, level)


def refuse_missing_samples(data: Path, block: PairsConfig) -> None:
    if "small" in block.shares and block.small and not (data / f"samples.{block.small}.jsonl").exists():
        raise ValueError(f"{data}/samples.{block.small}.jsonl is missing; add {block.small} to sample.systems and sample again")
    if not (data / "samples.jsonl").exists() and set(block.shares) != {"corrected"}:
        raise ValueError(
            f"{data}/samples.jsonl is missing; run eval.generate --stage sample first (or make it empty for broken pairs)"
        )
    if "corrected" in block.shares and not (data / "corrections.jsonl").exists():
        raise ValueError(
            f"pairs.shares names corrected and {data}/corrections.jsonl is missing; run data_prep.correct, or copy the file there"
        )


def small_samples(data: Path, block: PairsConfig) -> list[Path]:
    return [data / f"samples.{block.small}.jsonl"] if block.small else []


# --- pools ------------------------------------------------------------------------------------------------------------


def judged_cards(
    data: Path, cards: Sequence[HeldOut], corrections: dict[str, list[Correction]], block: PairsConfig
) -> Iterator[tuple[HeldOut, dict[str, list[CheckedSummary]]]]:
    """Each card with the judged texts of its pools; a pool without a share is not judged."""
    has_repairs = "repair" in block.shares and (data / "repairs.jsonl").exists()
    repaired = [own for _, own in samples_of(cards, data / "repairs.jsonl")] if has_repairs else [[]] * len(cards)
    small = small_samples(data, block) if "small" in block.shares else []
    smaller = [own for _, own in samples_of(cards, small[0])] if small else [[]] * len(cards)
    revisions: dict[str, list[Candidate]] = defaultdict(list)
    if "revision" in block.shares and (data / "revisions.jsonl").exists():
        for revision in read_jsonl(data / "revisions.jsonl", Candidate):
            revisions[revision.card_id].append(revision)
    samples = data / "samples.jsonl"
    sampled = samples_of(cards, samples) if samples.exists() else ((card, []) for card in cards)
    for (card, own), again, others in zip(sampled, repaired, smaller, strict=True):
        pools = {
            "own": [CheckedSummary.sample(sample, card.source) for sample in own],
            "repair": [CheckedSummary.sample(sample, card.source, "repair") for sample in again],
            "revision": [CheckedSummary.candidate(item, card.source, "revision") for item in revisions[card.id]],
            "corrected": both_sides(corrections.get(card.id, []), card.source),
            "small": [CheckedSummary.sample(sample, card.source, "small model") for sample in others],
            "broken": list(broken(card, block.per_card)) if "broken" in block.shares else [],
        }
        yield card, pools


def both_sides(corrections: Sequence[Correction], source: str) -> list[CheckedSummary]:
    """Each sample and, with its key in `mends`, what a reader made of it."""
    written = [CheckedSummary.sample(row.sample, source) for row in corrections]
    return written + [CheckedSummary.candidate(row.candidate, source, "corrected") for row in corrections]


def broken(card: HeldOut, most: int) -> Iterator[CheckedSummary]:
    """The reference with one rule broken, `most` different ones that the checks see."""
    versions = broken_versions(card.reference, card.id, SourceIndex.from_source(card.source).tables)
    judged = (CheckedSummary.broken(text, fault, card.source) for fault, text in versions)
    return islice((item for item in judged if not item.accepted), most)


def pair_up(card: HeldOut, pools: dict[str, list[CheckedSummary]], block: PairsConfig) -> tuple[list[PreferencePair], str]:
    """All pairs of one card, pool by pool and none twice, or none and why."""
    pools = {pool: [item for item in texts if not item.unwritable] for pool, texts in pools.items()}
    own, reference = pools["own"], CheckedSummary.reference(card)
    if not any(pools.values()):
        return [], "no sample or corrected page of this card; sample.cards leaves it out, or run eval.generate --stage sample"
    chosen = of_origin([item for item in own if is_good(item, block)], reference, block)
    matched = {
        "own": by_grade(card, own, reference, block) if block.by == "grade" else match(chosen, own, block),
        "repair": mended(pools["repair"], own, block),
        "revision": mended(pools["revision"], own, block),
        "corrected": corrected(pools["corrected"], block),
        "small": match(chosen, pools["small"], block),
        "broken": match([reference], pools["broken"], block),
    }
    pairs = [
        build_pair(card, pool, better, worse)
        for pool, found in matched.items()
        if pool in block.shares
        for better, worse in found[: block.per_card]
    ]
    if pairs:
        return first_by(pairs, lambda pair: pair.id), ""
    if block.by == "grade":
        return [], why_ungraded([item.graded(card.source).score for item in own], block)
    if own and not any(is_bad(item, block) for item in own):
        return [], "every sample passes every check, so there is nothing to reject"
    if not chosen:
        return [], "no sample passes every check, and pairs.chosen allows own samples only"
    return [], "no passing and failing summary of like length and with few faults"


def of_origin(own: list[CheckedSummary], reference: CheckedSummary, block: PairsConfig) -> list[CheckedSummary]:
    """What may be chosen, of good own samples and the reference."""
    return {"own": own, "reference": [reference], "own_or_reference": own or [reference]}[block.chosen]


def is_good(item: CheckedSummary, block: PairsConfig) -> bool:
    """Passes every check, leaves out little and computes nothing. A source that states no facts asks for none."""
    return not is_bad(item, block) and not reckons(item, block)


def is_bad(item: CheckedSummary, block: PairsConfig) -> bool:
    """Fails a check or leaves facts out. A page that is right and computes a number is neither good nor bad."""
    return not item.accepted or recall(item) < block.min_facts


def reckons(item: CheckedSummary, block: PairsConfig) -> bool:
    """Has numbers that the recipe refuses to teach: computed from the source's, by the model itself."""
    return block.derived_numbers == "refuse" and item.origin != "reference" and bool(item.reckoned)


def by_grade(
    card: HeldOut, own: Sequence[CheckedSummary], reference: CheckedSummary, block: PairsConfig
) -> list[tuple[CheckedSummary, CheckedSummary]]:
    graded = [item.graded(card.source) for item in own]
    good = [item for item in graded if item.score >= block.min_grade and not reckons(item, block)]
    worse = [item for item in graded if len(item.failed) <= block.max_faults]
    chosen = of_origin(good, reference.graded(card.source), block)
    return best_against_worst(chosen, worse, block.margin, block.max_length_gap)


def why_ungraded(scores: Sequence[float], block: PairsConfig) -> str:
    """Why no two texts of a card make a pair by grade. Without figures, so that cards are counted by reason."""
    if scores and max(scores) - min(scores) < block.margin:
        return "the samples are all alike: their grades are less than pairs.margin apart"
    if block.chosen == "own" and max(scores, default=0) < block.min_grade:
        return "no sample reaches pairs.min_grade, and pairs.chosen allows own samples only"
    return "no two summaries of like length with grades pairs.margin apart and few faults"


def match(
    better: Sequence[CheckedSummary], worse: Iterable[CheckedSummary], block: PairsConfig
) -> list[tuple[CheckedSummary, CheckedSummary]]:
    """Failing texts, fewest faults first, each with the better text nearest in length. A pair that differs in one thing
    says which thing."""
    bad = (item for item in worse if is_bad(item, block) and len(item.failed) <= block.max_faults)
    failing = sorted(first_by(bad, lambda item: item.text), key=lambda item: len(item.failed))
    nearest = [(min(better, key=lambda good: length_gap(good, item)), item) for item in failing] if better else []
    return [(good, item) for good, item in nearest if length_gap(good, item) <= block.max_length_gap]


def mended(
    better: Sequence[CheckedSummary], own: Sequence[CheckedSummary], block: PairsConfig
) -> list[tuple[CheckedSummary, CheckedSummary]]:
    """Each failing sample with the first good text that was made from it."""
    pairs = []
    for item in own:
        made = [text for text in better if text.mends == item.key and (is_good(text, block) or is_better(text, item, block))]
        pairs += match(made[:1], [item], block)
    return pairs


def corrected(sides: Sequence[CheckedSummary], block: PairsConfig) -> list[tuple[CheckedSummary, CheckedSummary]]:
    """Each sample with what a reader made of it, who sees what no check marks: a sample without a flag is rejected too, and one
    with many."""
    return [(text, item) for text, item in joined(sides) if not why_uncorrected(text, item, block)]


def joined(sides: Sequence[CheckedSummary]) -> list[tuple[CheckedSummary, CheckedSummary]]:
    """Each corrected page with the sample that it was made from."""
    written = {item.key: item for item in sides if not item.mends}
    return [(text, written[text.mends]) for text in sides if text.mends]


def why_uncorrected(text: CheckedSummary, item: CheckedSummary, block: PairsConfig) -> str:
    """Why a corrected page makes no pair, "" where it does."""
    if text.text == item.text:
        return "its corrected page says what was written"
    if length_gap(text, item) > block.max_length_gap:
        return "a corrected page is of another length than what was written (pairs.max_length_gap)"
    if reckons(text, block):
        return "a corrected page has numbers computed from the source's (pairs.derived_numbers)"
    if not is_good(text, block) and not is_better(text, item, block):
        return "a corrected page has a flag, or leaves facts out (pairs.min_facts)"
    return ""


def uncorrected(
    card: HeldOut, sides: Sequence[CheckedSummary], pairs: Sequence[PreferencePair], block: PairsConfig
) -> Iterator[Rejected]:
    """The corrected pages that are in no pair."""
    used = {pair.provenance["rejected"] for pair in pairs if pair.provenance["pool"] == "corrected"}
    for text, item in joined(sides):
        if item.key not in used:
            why = why_uncorrected(text, item, block) or "more corrected pages of a card than pairs.per_card"
            yield Rejected("pairs", card.id, why, f"sample {item.key[:16]}; flags: {', '.join(text.failed) or 'none'}")


def unwritable(card: HeldOut, pools: Mapping[str, Sequence[CheckedSummary]]) -> Iterator[Rejected]:
    """Texts that no row may hold, whichever side they would be on."""
    found = (item for texts in pools.values() for item in texts if item.unwritable)
    for item in first_by(found, lambda item: item.key):
        yield Rejected("pairs", card.id, UNWRITABLE, f"{item.origin} {item.key[:16]}".strip())


def is_better(item: CheckedSummary, mends: CheckedSummary, block: PairsConfig) -> bool:
    """Good but for its length, which the sample missed too, and for facts that the sample left out too."""
    if block.mended == "passing" or reckons(item, block) or recall(item) < recall(mends):
        return False
    return set(item.failed) < set(mends.failed) and set(item.failed) <= {"length"}


def recall(item: CheckedSummary) -> float:
    """Share of the source's facts; 1 where it states none."""
    facts = next(result.value for result in item.results if result.name == "facts")
    return 1.0 if facts is None else facts


def build_pair(card: HeldOut, pool: str, chosen: CheckedSummary, rejected: CheckedSummary) -> PreferencePair:
    graded, by_checks = chosen.grade and rejected.grade, pool != "corrected" or rejected.failed
    return PreferencePair(
        id=stable_id(card.id, chosen.text, rejected.text),
        prompt=card.prompt,
        chosen=[{"role": "assistant", "content": chosen.text}],
        rejected=[{"role": "assistant", "content": rejected.text}],
        chat_template_kwargs=card.chat_template_kwargs,
        reason=reason_of(chosen, rejected) if graded else rejected.reason if by_checks else SEEN_BY_READER,
        provenance={
            "card_id": card.id,
            "family": card.family,
            "pool": pool,
            "chosen": chosen.origin,
            "rejected": rejected.key or rejected.origin,
            "failed": rejected.failed,
        }
        | (grades_of(chosen, rejected) if graded else {}),
        rejected_cut=not rejected.finished,
    )


def in_shares(pairs: Sequence[PreferencePair], shares: dict[Pool, float]) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """The pairs to keep and those beyond their pool's share, in their order. The pool with the largest share that has any
    pair is kept whole and measures the others; which of a pool stay is a matter of their ids."""
    by_pool: dict[Pool, list[str]] = defaultdict(list)
    for pair in pairs:
        by_pool[pair.provenance["pool"]].append(pair.id)
    if not by_pool:
        return [], []
    anchor = max(by_pool, key=lambda pool: (shares[pool], pool))
    kept: set[str] = set()
    for pool, ids in by_pool.items():
        most = len(ids) if pool == anchor else round(len(by_pool[anchor]) * shares[pool] / shares[anchor])
        kept.update(sorted(ids)[:most])
    return [pair for pair in pairs if pair.id in kept], [pair for pair in pairs if pair.id not in kept]


def report(counts: Counter[str], faults: Counter[str], rejected: Sequence[Rejected], level: ReferenceMatchRate) -> None:
    print(f"pairs: {count_words(counts) or 'none'}")
    print("  faults on the rejected side: " + ", ".join(f"{name} {number}" for name, number in faults.most_common()))
    for reason, number in Counter(row.reason for row in rejected).most_common():
        print(f"  set aside {number}: {reason}")
    if level.n:
        print(f"  {level.advice()}")


if __name__ == "__main__":
    command("pairs", PairsConfig, main, __doc__, "data_prep.pairs")
