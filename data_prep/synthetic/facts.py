"""A small world of invented models whose facts are known: ground truth for the checks, the tests and the demo.

Facts are drawn first and everything else is told from them: cards and notes on their linked pages (`cards.py`),
reference summaries and faulty ones (`summaries.py`), plain text to pre-train on (`pretraining_text.py`).
Models come in families: a parent and its fine-tunes, quantised copies and renamed forks, whose cards quote the parent's.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from typing import Any

STARTS = "al bor cal dar el fen gal hol is jor kal lum mar nor ost pel quin ros sel tav ul vel wis yar zen bri cor dun fal gre".split()
MIDDLES = "a e i o u an ar en er il in on or ul ai ea io ana era ito".split()
ENDS = "bra dor fin gan hem kis lan mos nar pex quor ris sta tor vin wen xis yra zal met nix rel sol tan vex dra lis mun pha".split()
SUFFIXES = ("Labs", "Research", "Institute", "Collective", "Systems", "Foundation")
LICENCES = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "bsd-3-clause", "gpl-3.0", "openrail")
LANGUAGES = {
    "en": "English", "fr": "French", "de": "German", "es": "Spanish", "it": "Italian", "pt": "Portuguese",
    "pl": "Polish", "nl": "Dutch", "sv": "Swedish", "fi": "Finnish", "ja": "Japanese", "ko": "Korean",
}  # fmt: skip
BENCHMARKS = (
    "MMLU", "GSM8K", "HumanEval", "ARC-C", "HellaSwag", "IFEval", "BBH", "TruthfulQA", "WinoGrande", "MBPP", "DROP", "PIQA",
)  # fmt: skip
OPTIMISERS = ("AdamW", "Lion", "Muon", "Adafactor", "SOAP", "Sophia")
GPUS = ("A100", "H100", "H200", "MI300X", "L40S", "B200")
CONTEXTS = ("4,096", "8,192", "16,384", "32,768", "65,536", "131,072")
CORPUS_KINDS = ("Web", "Code", "Math", "Books", "Dialog", "Science")
LIMITATIONS = (
    "it often loses track of long tables",
    "arithmetic with more than four digits is unreliable",
    "answers about recent events can be out of date",
    "quality drops clearly outside the listed languages",
    "it repeats itself when sampled at low temperature",
    "tool calls are sometimes malformed",
    "safety tuning was light and refusals are inconsistent",
    "code in rare languages seldom compiles",
    "long inputs slow generation down on small devices",
    "medical and legal questions were not evaluated",
    "gender bias of the web data was not measured",
    "it follows nested instructions poorly",
)
TASKS = ("text-generation", "text2text-generation")
QUANT_FORMATS = ("GGUF", "AWQ", "GPTQ", "MLX")


@dataclass(frozen=True)
class Source:
    """A page the card links to, and the facts that only this page gives."""

    kind: str
    url: str
    facts: dict[str, str]


@dataclass(frozen=True)
class Facts:
    """All that is true of one invented model. Amounts are spelled as the card spells them."""

    organisation: str
    owner: str
    name: str
    parameters: str
    tokens: str
    context: str
    licence: str
    languages: tuple[str, ...]
    datasets: tuple[str, ...]
    optimiser: str
    gpu_count: str
    gpu: str
    days: str
    task: str
    scores: tuple[tuple[str, str], ...]
    limitations: tuple[str, ...]
    sources: tuple[Source, ...]
    base_model: str | None = None
    relation: str = "original"  # or "fine-tune", "quantised", "fork"
    quantisation: tuple[str, str, str] | None = None  # format, bits, file size in GB
    unstated: tuple[str, ...] = ()  # facts that the card leaves out

    @property
    def model_id(self) -> str:
        return f"{self.owner}/{self.name}"

    def states(self, fact: str) -> bool:
        return fact not in self.unstated

    @classmethod
    def of_truth(cls, truth: dict[str, Any]) -> Facts:
        """The facts that a synthetic card was made from, out of its `truth`."""
        known = {field.name: truth[field.name] for field in dataclasses.fields(cls)}
        return cls(**{**known, "sources": tuple(Source(**source) for source in known["sources"])})


def draw_family(rng: random.Random) -> list[Facts]:
    """A parent and up to four relatives."""
    parent = draw_model(rng)
    kinds = ["fine-tune", "fine-tune", "quantised", "fork"]
    rng.shuffle(kinds)
    return [parent, *(derive(parent, kind, rng) for kind in kinds[: rng.choice((1, 2, 2, 3, 4))])]


def draw_model(rng: random.Random) -> Facts:
    """One original model with independent facts."""
    owner = draw_word(rng)
    size = rng.choice((f"{rng.randint(1, 9)}.{rng.randint(1, 9)}B", f"{rng.randint(2, 70)}B", f"{rng.randint(12, 98)}0M"))
    name = f"{draw_word(rng).capitalize()}-{size}"
    languages = ("en", *rng.sample(sorted(set(LANGUAGES) - {"en"}), rng.randint(0, 4)))
    corpus = draw_word(rng).capitalize()
    return Facts(
        organisation=f"{owner.capitalize()} {rng.choice(SUFFIXES)}",
        owner=owner,
        name=name,
        parameters=size,
        tokens=rng.choice((f"{rng.randint(1, 15)}.{rng.randint(1, 9)}T", f"{rng.randint(10, 98)}0B")),
        context=rng.choice(CONTEXTS),
        licence=rng.choice(LICENCES),
        languages=languages,
        datasets=tuple(f"{corpus}-{kind}" for kind in rng.sample(CORPUS_KINDS, rng.randint(2, 3))),
        optimiser=rng.choice(OPTIMISERS),
        gpu_count=str(rng.choice((8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512))),
        gpu=rng.choice(GPUS),
        days=str(rng.randint(3, 60)),
        task=rng.choice(TASKS),
        scores=draw_scores(rng),
        limitations=tuple(rng.sample(LIMITATIONS, rng.randint(2, 3))),
        sources=draw_sources(owner, name, corpus, rng),
        unstated=draw_unstated(rng),
    )


def derive(parent: Facts, relation: str, rng: random.Random) -> Facts:
    """A relative of `parent`: a fine-tune has scores, data and a page of its own; copies keep the parent's facts."""
    changes: dict[str, Any] = {"base_model": parent.model_id, "relation": relation, "unstated": draw_unstated(rng)}
    if relation == "fine-tune":
        kind = rng.choice(("Instruct", "Chat", "Coder", "Reason", "Translate"))
        corpus = f"{draw_word(rng).capitalize()}-{rng.choice(('Dialog', 'Tasks', 'Feedback'))}"
        changes |= {"name": f"{parent.name}-{kind}", "datasets": (corpus,), "scores": draw_scores(rng)}
        changes |= {"tokens": f"{rng.randint(1, 9)}.{rng.randint(1, 9)}B", "days": str(rng.randint(1, 9))}
        kept = parent.sources[:2]
        own = draw_sources(parent.owner, changes["name"], corpus, rng)
        changes["sources"] = (*kept, *[page for page in own if page.kind not in {other.kind for other in kept}][-2:])
    elif relation == "quantised":
        form = rng.choice(QUANT_FORMATS)
        owner = draw_word(rng)
        bits, size = rng.choice("3458"), f"{rng.randint(1, 39)}.{rng.randint(1, 9)}"
        changes |= {"name": f"{parent.name}-{form}", "owner": owner, "organisation": owner.capitalize()}
        changes |= {"quantisation": (form, bits, size)}
    else:
        owner = draw_word(rng)
        changes |= {"owner": owner, "organisation": owner.capitalize()}
        changes |= {"name": f"{draw_word(rng).capitalize()}-{parent.parameters}"}
    return dataclasses.replace(parent, **changes)


def draw_word(rng: random.Random) -> str:
    return rng.choice(STARTS) + rng.choice(MIDDLES) + rng.choice(ENDS)


def draw_scores(rng: random.Random) -> tuple[tuple[str, str], ...]:
    names = rng.sample(BENCHMARKS, rng.randint(4, 8))
    return tuple((name, f"{rng.randint(21, 94)}.{rng.randint(1, 9)}") for name in names)


def draw_unstated(rng: random.Random) -> tuple[str, ...]:
    """Cards leave things out; a summary cannot be asked for what is nowhere."""
    optional = ("optimiser", "hardware", "languages", "limitations", "datasets", "context")
    unstated = rng.sample(optional, rng.choice((0, 0, 1, 1, 2)))
    return tuple(sorted(unstated + ["task"] * (rng.random() < 0.2)))


def draw_sources(owner: str, name: str, corpus: str, rng: random.Random) -> tuple[Source, ...]:
    """Three to six linked pages on hosts that cannot exist, each with two facts of its own."""
    slug, count = name.lower(), rng.randint(3, 6)
    paper = f"{rng.randint(23, 26)}{rng.randint(1, 12):02d}.{rng.randint(1000, 9999)}"
    given = {
        "report": {"layers": str(rng.randint(12, 80)), "ablation": f"{rng.randint(2, 90)}B"},
        "code": {"throughput": f"{rng.randint(2, 60)},{rng.randint(1, 9)}00", "nodes": str(rng.randint(2, 64))},
        "dataset": {"documents": f"{rng.randint(12, 980)}M", "dropped": f"{rng.randint(5, 60)}%"},
        "blog": {"decay": f"{rng.randint(4, 30)}%", "checkpoints": str(rng.randint(3, 12))},
        "evaluation": {"shots": str(rng.choice((1, 2, 3, 4, 5, 8, 10))), "removed": str(rng.randint(110, 990))},
        "demo": {"latency": f"{rng.randint(12, 480)} ms", "memory": f"{rng.randint(3, 90)} GB"},
    }
    urls = {
        "report": f"https://papers.example/abs/{paper}",
        "code": f"https://code.example/{owner}/{slug}",
        "dataset": f"https://data.example/{owner}/{corpus.lower()}",
        "blog": f"https://{owner}.example/blog/{slug}",
        "evaluation": f"https://evals.example/{slug}",
        "demo": f"https://spaces.example/{owner}/{slug}-demo",
    }
    pages = [Source(kind, urls[kind], facts) for kind, facts in given.items()]
    return tuple(pages[index] for index in sorted(rng.sample(range(6), count)))
