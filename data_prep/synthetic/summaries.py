"""Reference summaries of the invented models, true to their facts, and faulty ones with one named fault."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from data_prep.synthetic.cards import PAGE_NAMES, join
from data_prep.synthetic.facts import BENCHMARKS, LANGUAGES, LICENCES, Facts, Source, draw_model, draw_word

TRIES = 100  # draws until a value is none of the known
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
CAUTIONS = (
    "**Reading them**: the card gives one figure for each benchmark and no interval, so small gaps to other models mean little.",
    "**Caution**: each figure stands alone, without spread or number of runs, and prompts may differ from those of other cards.",
)
FEWEST_PIECES = 338  # pieces between white space, markup included: 300 rendered words with a margin


def reference_summaries(facts: Facts, rng: random.Random, count: int) -> list[str]:
    """`count` summaries of 300 to 500 words in varied wording and order."""
    return [reference_summary(facts, rng) for _ in range(count)]


def reference_summary(facts: Facts, rng: random.Random) -> str:
    """One summary, drawn again with more caution where few facts and short wordings meet."""
    text = compose(facts, rng)
    while len(text.split()) < FEWEST_PIECES:
        text = compose(facts, rng, cautions=2)
    return text


def compose(facts: Facts, rng: random.Random, cautions: int = 1) -> str:
    middle = [training_section(facts, rng), evaluation_section(facts, rng, cautions), pages_section(facts, rng)]
    title = "## " + rng.choice(TITLES).format(name=facts.name)
    return "\n\n".join([title, opening(facts, rng), *middle, limits_section(facts, rng), closing(facts, rng)]) + "\n"


def opening(facts: Facts, rng: random.Random) -> str:
    what = rng.choice(
        (
            f"{facts.name} is a language model with {facts.parameters} parameters, published by {facts.organisation}",
            f"{facts.name}, published by {facts.organisation}, is a language model with {facts.parameters} parameters",
        )
    )
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
    bullets = [
        rng.choice(
            (
                f"**Scale**: {facts.parameters} parameters trained on {facts.tokens} tokens of text.",
                f"**Size and budget**: the network has {facts.parameters} parameters and saw {facts.tokens} tokens in training.",
            )
        ),
        f"**Context**: it reads up to {facts.context} tokens at once, which sets the limit for long documents."
        if facts.states("context")
        else UNSTATED["context"],
        f"**Optimiser**: training used {facts.optimiser}." if facts.states("optimiser") else UNSTATED["optimiser"],
        f"**Compute**: the run took {facts.days} days on {facts.gpu_count} {facts.gpu} GPUs."
        if facts.states("hardware")
        else UNSTATED["hardware"],
        f"**Data**: the training text comes from {join(facts.datasets)}." if facts.states("datasets") else UNSTATED["datasets"],
        f"**Languages**: {join([LANGUAGES[code] for code in facts.languages])}."
        if facts.states("languages")
        else UNSTATED["languages"],
    ]
    if rng.random() < 0.3:  # order varies where a model of a million parameters cannot lose a section over it
        bullets[2], bullets[3] = bullets[3], bullets[2]
    return section(rng.choice(HEADINGS["training"]), bullets)


def evaluation_section(facts: Facts, rng: random.Random, cautions: int = 1) -> str:
    bullets = [
        rng.choice((f"**{name}**: a score of {score} according to the card.", f"**{name}**: the card reports {score}."))
        for name, score in facts.scores
    ]
    bullets += CAUTIONS if cautions > 1 else [rng.choice(CAUTIONS)]
    return section(rng.choice(HEADINGS["evaluation"]), bullets)


def pages_section(facts: Facts, rng: random.Random) -> str:
    return section(
        rng.choice(HEADINGS["pages"]),
        [page_bullet(source, rng) for source in facts.sources],
    )


def page_bullet(source: Source, rng: random.Random) -> str:
    given, link = source.facts, f"[{PAGE_NAMES[source.kind]}]({source.url})"
    match source.kind:
        case "report":
            said = f"describes {given['layers']} layers and rests its design on ablations of {given['ablation']} tokens"
        case "code":
            said = f"reaches {given['throughput']} tokens per second on one GPU and has launch files for {given['nodes']} nodes"
        case "dataset":
            said = f"counts {given['documents']} documents and says that near-duplicate removal dropped {given['dropped']}"
        case "blog":
            said = f"tells that the learning rate decayed over the last {given['decay']} and that {given['checkpoints']} checkpoints were averaged"
        case "evaluation":
            said = (
                f"shows {given['shots']} examples in each prompt and a contamination test that removed {given['removed']} items"
            )
        case _:
            said = f"gives a time to the first token of {given['latency']} and a need for {given['memory']} of memory"
    return rng.choice((f"The {link} {said}.", f"**Page**: the {link} {said}."))


def limits_section(facts: Facts, rng: random.Random) -> str:
    """The first limit that the card names, and the licence."""
    bullets = [f"**Limit**: {facts.limitations[0]}." if facts.states("limitations") else UNSTATED["limitations"]]
    bullets.append(
        rng.choice(
            (
                f"**Licence**: the weights are released under {facts.licence}.",
                f"**Licence**: {facts.licence}, as stated on the card.",
            )
        )
    )
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


# --- faulty summaries -------------------------------------------------------------------------------------------------


def faulty_summary(facts: Facts, fault: str, rng: random.Random) -> str:
    """A reference summary with the one named fault. Raises ValueError on a name that is not in FAULTS."""
    if fault not in FAULTS:
        raise ValueError(f'"{fault}" is no fault; known: {", ".join(FAULTS)}')
    return FAULTS[fault](reference_summary(facts, rng), facts, rng)


def number_changed(summary: str, facts: Facts, rng: random.Random) -> str:
    name, score = rng.choice(facts.scores)
    known = {value for _, value in facts.scores}
    draws = (f"{rng.randint(21, 94)}.{rng.randint(1, 9)}" for _ in range(TRIES))
    wrong = next(value for value in draws if value not in known)
    return re.sub(rf"(\*\*{re.escape(name)}\*\*: [a-z ]*){re.escape(score)}", rf"\g<1>{wrong}", summary)


def licence_swapped(summary: str, facts: Facts, rng: random.Random) -> str:
    other = rng.choice([name for name in LICENCES if name != facts.licence])
    return re.sub(rf"(?<!\w){re.escape(facts.licence)}(?!\w)", other, summary)  # not the "mit" of "limits"


def link_invented(summary: str, facts: Facts, rng: random.Random) -> str:
    return summary.replace(rng.choice(facts.sources).url, f"https://{draw_word(rng)}.example/{draw_word(rng)}/{draw_word(rng)}")


def source_wrong(summary: str, facts: Facts, rng: random.Random) -> str:
    return summary.replace(rng.choice(facts.sources).url, rng.choice(draw_model(rng).sources).url)


def fact_of_another(summary: str, facts: Facts, rng: random.Random) -> str:
    other = draw_model(rng)
    line = f"- **Lineage**: the weights start from {other.model_id} and its {rng.choice(other.datasets)} corpus."
    return summary.replace("\n\n", f"\n\n{line}\n\n", 1)


def too_long(summary: str, facts: Facts, rng: random.Random) -> str:
    """Padded with true remarks, each in new words, so that only the length is wrong."""
    unused = [name for name in BENCHMARKS if name not in dict(facts.scores)]
    remarks = [
        f"- The card says nothing about {name}, which a comparison with other models would have to measure first."
        for name in unused
    ]
    remarks += [
        f"- Whether {text.removeprefix('it ')} is a question that only a test on your own data can answer."
        for text in facts.limitations
    ]
    rng.shuffle(remarks)
    padding = "\n".join(remarks * 4)
    return f"{summary}\n### Open questions\n\n{padding}\n"


def too_short(summary: str, facts: Facts, rng: random.Random) -> str:
    sections = summary.split("\n\n")
    return "\n\n".join(sections[:4]) + "\n"


def no_bullets(summary: str, facts: Facts, rng: random.Random) -> str:
    return re.sub(r"^- ", "", summary, flags=re.MULTILINE)


def repeated(summary: str, facts: Facts, rng: random.Random) -> str:
    bullet = rng.choice(re.findall(r"^- .*$", summary, flags=re.MULTILINE))
    return summary.replace(bullet, "\n".join([bullet] * 4), 1)


def preamble(summary: str, facts: Facts, rng: random.Random) -> str:
    return (
        rng.choice(("Sure, here is the summary you asked for:", f"Here is a summary of {facts.name} for researchers:"))
        + "\n\n"
        + summary
    )


def praise(summary: str, facts: Facts, rng: random.Random) -> str:
    claim = rng.choice(
        (
            "a groundbreaking, state-of-the-art model that sets a new standard for its class",
            "a truly revolutionary model with unparalleled quality",
            "a world-class model that outperforms all competitors",
        )
    )
    return re.sub(r"\n\n- ", f"\n\n- **Verdict**: {facts.name} is {claim}.\n- ", summary, count=1)


FAULTS: dict[str, Callable[[str, Facts, random.Random], str]] = {
    "number changed": number_changed,
    "licence swapped": licence_swapped,
    "link invented": link_invented,
    "source wrong": source_wrong,
    "fact of another": fact_of_another,
    "too long": too_long,
    "too short": too_short,
    "no bullets": no_bullets,
    "repetition": repeated,
    "preamble": preamble,
    "praise": praise,
}
