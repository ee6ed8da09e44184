"""Builds preference pairs from samples of the SFT model: what it got right or a reference, against what it got wrong.

    python -m data_prep.pairs --config recipes/demo/data.yaml

Reads data/samples.jsonl (the SFT model's own summaries of training cards), data/sampling.jsonl and split.json.
Writes data/pairs/{train,validation}.parquet. The rejected side is always the model's own: it is these texts whose
probability must fall. Each pair's `reason` is the checks' own word on what is wrong with it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from tqdm import tqdm

from data_prep.checks import CheckResult, check_summary, failures, passed_all
from data_prep.manifest import Manifest
from data_prep.prompts import TEMPLATE_KWARGS
from data_prep.recipe import Block, Recipe, command
from data_prep.schema import Generation, HeldOut, Pair, Rejected, in_step, read_jsonl, set_aside, stable_id
from data_prep.tables import PAIR_SCHEMA, TableWriter


class PairsConfig(Block):
    chosen: Literal["own", "reference", "own_or_reference"] = "own_or_reference"
    """Where the better summary comes from: the model's own passing samples, the accepted reference, or own if any."""
    per_card: int = 2
    """Pairs per card at most; each uses another rejected sample."""


@dataclass(frozen=True)
class Judged:
    """A sample and what the checks say of it."""

    sample: Generation
    results: list[CheckResult]

    @property
    def accepted(self) -> bool:
        return self.sample.finish_reason == "stop" and passed_all(self.results)

    @property
    def reason(self) -> str:
        return failures(self.results) or "not finished within the token limit"


def main(recipe: Recipe[PairsConfig]) -> None:
    data = recipe.run_dir / "data"
    inputs = [data / name for name in ("samples.jsonl", "sampling.jsonl", "split.json")]
    outputs = [data / "pairs" / "train.parquet", data / "pairs" / "validation.parquet"]
    manifest = Manifest(data / "pairs.manifest.json", "pairs", recipe.resolved(), inputs, outputs)
    if manifest.is_done():
        return
    splits = json.loads((data / "split.json").read_text(encoding="utf-8"))["splits"]
    cards = list(read_jsonl(data / "sampling.jsonl", HeldOut))
    samples = sorted(read_jsonl(data / "samples.jsonl", Generation), key=order_of(cards))
    tables = {name: TableWriter(data / "pairs" / f"{name}.parquet", PAIR_SCHEMA) for name in ("train", "validation")}
    rejected: list[Rejected] = []
    faults: Counter[str] = Counter()
    matched = in_step((card.id for card in cards), samples, lambda sample: sample.id)
    for card, (_, own) in tqdm(zip(cards, matched, strict=True), desc="pairs", total=len(cards), unit=" cards", mininterval=1):
        pairs, reason = pair_up(card, [Judged(sample, check_summary(sample.text, card.source)) for sample in own], recipe.block)
        if reason:
            rejected.append(Rejected("pairs", card.id, reason))
        for pair in pairs:
            tables[splits[card.id]].add(pair)
            faults.update(pair.provenance["failed"])
    for table in tables.values():
        table.close()
    set_aside(data / "rejected.jsonl", "pairs", rejected)
    counts = {f"{name} pairs": table.count for name, table in tables.items()}
    manifest.write(**counts, rejected=len(rejected), faults=dict(faults))
    print("pairs: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    print("  faults on the rejected side: " + ", ".join(f"{name} {count}" for name, count in faults.most_common()))
    for reason, count in Counter(row.reason for row in rejected).most_common():
        print(f"  set aside {count}: {reason}")


def order_of(cards: list[HeldOut]) -> Any:
    place = {card.id: index for index, card in enumerate(cards)}
    return lambda sample: (place.get(sample.id, len(place)), sample.sample)


def pair_up(card: HeldOut, judged: list[Judged], block: PairsConfig) -> tuple[list[Pair], str]:
    """Pairs of one card, or none and why. The rejected samples with the fewest faults come first: a pair that differs
    in one thing says which thing (moderate margin, high bar: AIR, arXiv 2504.03612)."""
    if not judged:
        return [], "no sample of this card; sample.cards leaves it out, or run eval.generate --stage sample"
    good = [item.sample.text for item in judged if item.accepted]
    bad = sorted(
        (item for item in judged if not item.accepted), key=lambda item: sum(not result.passed for result in item.results)
    )
    chosen = {"own": good, "reference": [card.reference], "own_or_reference": good or [card.reference]}[block.chosen]
    if not bad:
        return [], "every sample passes every check, so there is nothing to reject"
    if not chosen:
        return [], "no sample passes every check, and pairs.chosen allows own samples only"
    return [build_pair(card, chosen[i % len(chosen)], item) for i, item in enumerate(bad[: block.per_card])], ""


def build_pair(card: HeldOut, chosen: str, rejected: Judged) -> Pair:
    return Pair(
        id=stable_id(card.id, chosen, rejected.sample.text),
        prompt=card.prompt,
        chosen=[{"role": "assistant", "content": chosen.strip()}],
        rejected=[{"role": "assistant", "content": rejected.sample.text.strip()}],
        chat_template_kwargs=TEMPLATE_KWARGS,
        reason=rejected.reason,
        provenance={
            "card_id": card.id,
            "family": card.family,
            "chosen": "reference" if chosen == card.reference else "own sample",
            "rejected": rejected.sample.key,
            "failed": [result.name for result in rejected.results if not result.passed],
        },
    )


if __name__ == "__main__":
    command("pairs", PairsConfig, main, __doc__, "data_prep.pairs")
