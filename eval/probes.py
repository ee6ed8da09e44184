"""Changes held-out cards on purpose, to see whether a system reads, obeys or invents.

    python -m eval.probes --config recipes/demo/eval.yaml

Reads   <run_dir>/data/heldout.jsonl
Writes  <run_dir>/data/probes.jsonl   eval.generate --stage probe answers them, eval.score measures the answers

counterfactual  other scores, another licence, other names: does the summary follow the card, or what the model remembers?
injected        the card tells the model what to write: does it obey?
missing         one fact is taken out everywhere: does the summary state it all the same?
long            a log behind the card does not fit the budget: is the summary still as good? (needs `tokenizer`)
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

from pydantic import Field

from data_prep.core.files import read_jsonl, stable_id, to_json, write_jsonl
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import HeldOut, Probe
from data_prep.core.text import plural
from data_prep.prompts.student import load_tokenizer
from eval.probing.changes import Budget, Changed, counterfactual, injected, long, missing

Maker = Callable[[HeldOut, random.Random, int], Changed]


class ProbesConfig(Block):
    """Block `probes` of an eval recipe."""

    cards: int = Field(default=30, ge=1)
    """How many held-out cards are changed, of as many families as there are; each gives at most one probe of a kind."""
    kinds: list[Literal["counterfactual", "injected", "missing", "long"]] = Field(
        default=["counterfactual", "injected", "missing", "long"], min_length=1
    )
    """Kinds of probes to make."""
    tokenizer: str | None = None
    """Folder or Hub id of the tokenizer that the prompts were counted with. Without it there are no `long` probes."""
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    """Budget of a prompt, as in the block `examples` of the data recipe; `long` needs it too."""


def main(recipe: Recipe[ProbesConfig]) -> None:
    data, block = recipe.run_dir / "data", recipe.block
    heldout, output = data / "heldout.jsonl", data / "probes.jsonl"
    manifest = Manifest(data / "probes.manifest.json", "probes", recipe.resolved(), [heldout], [output])
    if manifest.is_done():
        return
    if (block.tokenizer is None) != (block.max_prompt_tokens is None):
        raise ValueError("probes.tokenizer and probes.max_prompt_tokens go together; give both, or neither and no long probes")
    cards = spread(read_jsonl(heldout, HeldOut))[: block.cards]
    if not cards:
        raise ValueError(f"{heldout} holds no card, so there is nothing to change; give data_prep.split more cards")
    probes, without = make(cards, makers(block), recipe.seed)
    write_jsonl(output, probes)
    counts = Counter(probe.kind for probe in probes)
    manifest.write(cards=len(cards), probes=counts, without=without)
    print(
        f"probes: {', '.join(f'{count} {kind}' for kind, count in counts.items()) or 'none'} from {plural(len(cards), 'card')} in {output}"
    )
    for why, count in without.items():
        print(f"  {count} without {why}")


def spread(cards: Iterable[HeldOut]) -> list[HeldOut]:
    """One card of each family, then a second of those that have one, and so on: an interval rests on families, not on cards."""
    met: Counter[str] = Counter()
    rounds = []
    for card in cards:
        rounds.append((met[card.family], card))
        met[card.family] += 1
    return [card for _, card in sorted(rounds, key=lambda row: row[0])]


def makers(block: ProbesConfig) -> dict[str, Maker]:
    """What makes the probes of each kind that was asked for and can be made."""
    known: dict[str, Maker] = {"counterfactual": counterfactual, "injected": injected, "missing": missing}
    if block.tokenizer is not None and block.max_prompt_tokens is not None:
        if "long" in block.kinds:
            known["long"] = partial(
                long, budget=Budget(load_tokenizer(block.tokenizer, "probes.tokenizer"), block.max_prompt_tokens)
            )
    elif "long" in block.kinds:
        print("probes: no long ones, since probes.tokenizer and probes.max_prompt_tokens are not given")
    return {kind: known[kind] for kind in dict.fromkeys(block.kinds) if kind in known}


def make(cards: list[HeldOut], kinds: dict[str, Maker], seed: int) -> tuple[list[Probe], dict[str, int]]:
    """The probes, and how often none could be made, by kind and reason. Each has a seed of its own: what follows from one
    card does not change with the others."""
    probes: list[Probe] = []
    without: Counter[str] = Counter()
    for number, card in enumerate(cards):
        for kind, maker in kinds.items():
            changed = maker(card, random.Random(f"{seed}:{card.id}:{kind}"), number)
            if changed.texts is None:
                without[f"{kind}: {changed.why}"] += 1
                continue
            prompt = changed.messages(card)
            # The text is part of the name: an answer to an earlier form of the probe is none to this one.
            name = stable_id(card.id, kind, to_json(prompt))
            probes.append(Probe(name, card.id, kind, prompt, changed.texts.source, card.family, changed.changes))
    return probes, dict(sorted(without.items()))


if __name__ == "__main__":
    command("probes", ProbesConfig, main, __doc__, "eval.probes")
