"""A finished run in small: twelve invented cards of four families, three systems whose faults are known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from data_prep.core.files import stable_id, write_jsonl
from data_prep.core.records import Generation, HeldOut

ROOT = Path(__file__).parents[2]
FAMILIES = ("velora",) + ("tindel",) * 2 + ("marrow",) * 4 + ("quorin",) * 5  # unequal, as families are
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"> \U0001f680 <b>bold</b>"
UNKNOWN_NUMBER = "98.7"

SOURCE = """---
license: apache-2.0
language:
- en
---

# {name}

{name} is a language model with {size}B parameters by Quillon Labs, trained on {tokens}B tokens of text.
The context length is 32,768 tokens. Training used the AdamW optimiser on 64 H100 GPUs and took {days} days.

| Benchmark | Score |
|---|---|
| MMLU | {mmlu} |
| GSM8K | {gsm} |

See the [technical report](https://papers.example/{name}) and the [training code](https://code.example/{name}).

Model: quillon/{name}
"""

# 300 to 500 words, headings, bullets, both links, every number from the source; no sentence twice.
SUMMARY = """## {name} at a glance

{name} is a language model with {size}B parameters, published by Quillon Labs under the apache-2.0 licence. It reads and writes
English. What follows gathers the points of the model card that matter to somebody who has to decide whether a closer look pays.

### Training

- **Size**: the network holds {size}B parameters, which places it among models that fit on a single accelerator without much effort.
- **Data**: it saw {tokens}B tokens of text before release, and the card does not break that amount down by origin.
- **Optimiser**: the authors chose AdamW, the usual option, and say nothing about the schedule or about the batch.
- **Hardware**: the run occupied 64 H100 GPUs for {days} days, so a repetition is within reach of a laboratory but not of a person.
- **Context**: inputs may be as long as 32,768 tokens, enough for a long article together with its appendix.

### Results

- **MMLU**: the reported score is {mmlu}, given without a spread and without the number of examples in the prompt.
- **GSM8K**: here the card states {gsm}, again as a bare figure, so small gaps to other models should not be trusted.

### Where to read on

- The [technical report](https://papers.example/{name}) is the place to look for the reasoning behind these choices.
- The [training code](https://code.example/{name}) shows how the run was launched and is the better starting point for a replication.

### What stays open

The card is short. It names no evaluation of safety, no study of memorised passages and no list of weak spots, which is a reason to
probe the model before relying on it in a product. Nothing is said about languages other than English, hence transfer to them has to
be measured by whoever needs it. The licence permits commercial work, modification and redistribution, provided that the notice is
kept. Readers who compare this model with others of its class ought to run both under one protocol, because the figures above were
produced by the authors themselves and the exact prompts were not published along with them. A replication on a smaller budget could
start from the code, keep the optimiser, shorten the corpus and check whether the order of the benchmarks survives.
"""


def make_run(run_dir: Path) -> list[HeldOut]:
    """Writes held-out cards and the summaries of `lead` (the card's text), `base` (various faults) and `tuned` (good)."""
    cards, texts = [], {"lead": [], "base": [], "tuned": []}
    for number, family in enumerate(FAMILIES):
        facts = {
            "name": f"{family.capitalize()}-{number + 3}B",
            "size": number + 3,
            "tokens": 410 + 7 * number,
            "days": 11 + number,
            "mmlu": f"{51 + number}.4",
            "gsm": f"{33 + number}.9",
        }
        good, source = SUMMARY.format(**facts), SOURCE.format(**facts)
        if number == 0:
            source += HOSTILE
        cards.append(HeldOut(stable_id(facts["name"]), [{"role": "user", "content": "Summarise."}], source, good, family))
        texts["tuned"].append(good)
        texts["lead"].append(source[:300].rsplit(" ", 1)[0])
        texts["base"].append(faulty(good, facts["mmlu"], number))
    write_jsonl(run_dir / "data" / "heldout.jsonl", cards)
    for system, summaries in texts.items():
        rows = [generation(card.id, system, text) for card, text in zip(cards, summaries, strict=True)]
        write_jsonl(run_dir / "eval" / "generations" / f"{system}.jsonl", rows)
    return cards


def faulty(good: str, score: str, number: int) -> str:
    if number == 0:
        return good.replace("### Training", f"{HOSTILE}\n\n### Training").replace(score, UNKNOWN_NUMBER)
    faults = (
        good.replace(score, UNKNOWN_NUMBER),
        good[:600],
        good.replace("https://code.example/", "https://elsewhere.example/"),
    )
    return faults[number % 3]


def generation(card: str, system: str, text: str, sample: int = 0) -> Generation:
    return Generation(stable_id(system, card, str(sample)), card, system, text, "stop", 900, 400, sample)


def run_stage(module: str, run_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, "--run_dir", str(run_dir), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
