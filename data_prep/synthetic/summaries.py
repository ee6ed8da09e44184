"""Reference summaries of the invented models, true to their facts."""

from __future__ import annotations

import random

from data_prep.synthetic.cards import PAGE_NAMES, join
from data_prep.synthetic.facts import LANGUAGES, Facts, Source

TITLES = ("{name}: what researchers should know", "{name} in brief")
HEADINGS = {
    "training": ("### Training and data", "### How it was made"),
    "evaluation": ("### Reported results", "### Evaluation"),
    "pages": ("### What the linked pages add", "### Beyond the card"),
    "limits": ("### Limits and licence", "### Before you use it"),
}
USES = (
    "The points below collect what the card and its linked pages say about training, data and results.",
    "This page gathers the facts that matter for reproducing, comparing or building on the model.",
)
UNSTATED = {
    "context": "**Context**: the card does not state a context length, which makes long inputs a matter of trial.",
    "optimiser": "**Optimiser**: not stated on the card, so the recipe cannot be repeated exactly.",
    "hardware": "**Compute**: neither the hardware nor the duration of the run is given.",
    "datasets": "**Data**: the card does not name the data sets, so contamination is hard to judge.",
    "languages": "**Languages**: the card lists no languages, and transfer beyond the training text is open.",
    "limitations": "**Limits**: the card names none, which is itself a reason to test before relying on the model in a product or in a paper.",
}
NAMED = "**Limits**: the card names some, which should be read before the model is put to use."
CAUTIONS = (
    "**Reading them**: the card gives one figure for each benchmark and no interval, so small gaps to other models mean little.",
    "**Caution**: each figure stands alone, without spread or number of runs, and prompts may differ from those of other cards.",
)
PAGES_SAY = {
    "report": "describes {layers} layers and rests its design on ablations of {ablation} tokens",
    "code": "reaches {throughput} tokens per second on one GPU and has launch files for {nodes} nodes",
    "dataset": "counts {documents} documents and says that near-duplicate removal dropped {dropped}",
    "blog": "tells that the learning rate decayed over the last {decay} and that {checkpoints} checkpoints were averaged",
    "evaluation": "shows {shots} examples in each prompt and a contamination test that removed {removed} items",
    "demo": "gives a time to the first token of {latency} and a need for {memory} of memory",
}
FEWEST_PIECES = 338  # pieces between white space, markup included: 300 rendered words with a margin


def reference_summary(facts: Facts, rng: random.Random) -> str:
    """A summary of 300 to 500 words in varied wording and order, drawn again with more caution where few facts and short
    wordings meet."""
    text = compose(facts, rng)
    while len(text.split()) < FEWEST_PIECES:
        text = compose(facts, rng, cautions=2)
    return text


def compose(facts: Facts, rng: random.Random, cautions: int = 1) -> str:
    middle = [training_section(facts, rng), evaluation_section(facts, rng, cautions), pages_section(facts, rng)]
    title = "## " + rng.choice(TITLES).format(name=facts.name)
    return "\n\n".join([title, opening(facts, rng), *middle, limits_section(facts, rng), closing(facts, rng)]) + "\n"


def opening(facts: Facts, rng: random.Random) -> str:
    model, by = f"is a language model with {facts.parameters} parameters", f"published by {facts.organisation}"
    what = rng.choice((f"{facts.name} {model}, {by}", f"{facts.name}, {by}, {model}"))
    kind = {
        "original": "It was trained from scratch and is not derived from another released model.",
        "fine-tune": f"It is a fine-tune of {facts.base_model}, so the findings about its parent carry over only in part.",
        "fork": f"It is a renamed copy of {facts.base_model} with unchanged weights, so nothing new was trained.",
        "quantised": "",
    }[facts.relation]
    if facts.quantisation:
        form, bits, size = facts.quantisation
        kind = f"It is a copy of {facts.base_model} in {form} format with {bits}-bit weights, and the file takes {size} GB."
    if facts.states("task"):
        kind += f" The card files it under {facts.task}."
    use = rng.choice(USES)
    return f"{what}. {kind} {use}"


def training_section(facts: Facts, rng: random.Random) -> str:
    scale = f"**Scale**: {facts.parameters} parameters trained on {facts.tokens} tokens of text."
    budget = f"**Size and budget**: the network has {facts.parameters} parameters and saw {facts.tokens} tokens in training."
    bullets = [
        rng.choice((scale, budget)),
        told(
            facts,
            "context",
            f"**Context**: it reads up to {facts.context} tokens at once, which sets the limit for long documents.",
        ),
        told(facts, "optimiser", f"**Optimiser**: training used {facts.optimiser}."),
        told(facts, "hardware", f"**Compute**: the run took {facts.days} days on {facts.gpu_count} {facts.gpu} GPUs."),
        told(facts, "datasets", f"**Data**: the training text comes from {join(facts.datasets)}."),
        told(facts, "languages", f"**Languages**: {join([LANGUAGES[code] for code in facts.languages])}."),
    ]
    if rng.random() < 0.3:  # order varies where a model of a million parameters cannot lose a section over it
        bullets[2], bullets[3] = bullets[3], bullets[2]
    return section(rng.choice(HEADINGS["training"]), bullets)


def told(facts: Facts, fact: str, bullet: str) -> str:
    return bullet if facts.states(fact) else UNSTATED[fact]


def evaluation_section(facts: Facts, rng: random.Random, cautions: int = 1) -> str:
    bullets = [
        rng.choice((f"**{name}**: a score of {score} according to the card.", f"**{name}**: the card reports {score}."))
        for name, score in facts.scores
    ]
    bullets += CAUTIONS if cautions > 1 else [rng.choice(CAUTIONS)]
    return section(rng.choice(HEADINGS["evaluation"]), bullets)


def pages_section(facts: Facts, rng: random.Random) -> str:
    return section(rng.choice(HEADINGS["pages"]), [page_bullet(source, rng) for source in facts.sources])


def page_bullet(source: Source, rng: random.Random) -> str:
    link, said = f"[{PAGE_NAMES[source.kind]}]({source.url})", PAGES_SAY[source.kind].format(**source.facts)
    return rng.choice((f"The {link} {said}.", f"**Page**: the {link} {said}."))


def limits_section(facts: Facts, rng: random.Random) -> str:
    """That the card names limits, and the licence. Which limits, a model of a million parameters cannot look up: tuned to name one,
    it said any of the twelve, whatever the card had."""
    released = f"**Licence**: the weights are released under {facts.licence}."
    named = rng.choice((released, f"**Licence**: {facts.licence}, as stated on the card."))
    bullets = [told(facts, "limitations", NAMED), named]
    return section(rng.choice(HEADINGS["limits"]), bullets)


def closing(facts: Facts, rng: random.Random) -> str:
    return rng.choice(
        (
            f"Researchers who consider {facts.name} should check the reported scores with their own prompts, "
            "compare them at equal size and training budget, and read the linked pages before citing a figure. "
            "All figures above are claims of the authors; none was measured again for this page. "
            "What the card leaves open is best asked in its discussion tab before time is spent on a run.",
            "The figures above repeat what the authors report. They allow a first comparison with models of similar size, "
            f"but an independent evaluation of {facts.name} under one set of prompts would be needed for firm conclusions, "
            "above all where the card is silent. "
            "Anybody who builds on the weights should keep the linked pages at hand and note the date on which they were read.",
        )
    )


def section(heading: str, bullets: list[str]) -> str:
    return heading + "\n\n" + "\n".join(f"- {bullet}" for bullet in bullets)
