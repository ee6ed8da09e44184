"""Cards and notes of the invented models, in the shapes that real cards take."""

from __future__ import annotations

import random

from data_prep.core.records import Note
from data_prep.synthetic.facts import LANGUAGES, Facts, Source

BADGES = "[![downloads](https://badges.example/{slug}.svg)](https://badges.example/{slug}) ![logo](logo.png)\n"
BOILERPLATE = (
    "Please cite this page if you use the model in your work.",
    "Questions are welcome in the discussion tab.",
    "We thank everybody who tested early versions.",
    "This card follows the usual template; sections that do not apply were removed.",
)
NOISE = ("<!-- todo: add picture -->", "&nbsp;", "---", "<br>")


def render_card(facts: Facts, rng: random.Random) -> str:
    """A README: front matter in one of its forms, then the body in one of three shapes."""
    sections = [overview(facts, rng), training(facts, rng), evaluation(facts, rng), usage(facts, rng), limits(facts, rng)]
    headings = rng.choice((("Overview", "Training", "Evaluation", "How to use", "Limitations"), ()))
    body = [f"## {headings[index]}\n\n{text}" if headings else text for index, text in enumerate(sections) if text]
    if rng.random() < 0.4:
        body.insert(0, BADGES.format(slug=facts.name.lower()).strip())
    if rng.random() < 0.5:
        body.append(rng.choice(BOILERPLATE))
    if rng.random() < 0.3:
        body.insert(rng.randrange(1, len(body)), rng.choice(NOISE))
    title = rng.choice((f"# {facts.name}", f"# Model card for {facts.name}", f"<h1>{facts.name}</h1>"))
    return "\n\n".join([front_matter(facts, rng), title, *body, links(facts, rng)]).lstrip("\n") + "\n"


def front_matter(facts: Facts, rng: random.Random) -> str:
    """Full, quoted, in flow style, or little more than the licence."""
    form = rng.choice(("block", "block", "flow", "quoted")) if facts.states("task") else "sparse"
    quote = '"' if form == "quoted" else ""
    lines = [f"license: {quote}{facts.licence}{quote}"]
    if form != "sparse" and facts.states("languages"):
        block = "".join(f"\n- {quote}{code}{quote}" for code in facts.languages)
        lines.append(f"language: [{', '.join(facts.languages)}]" if form == "flow" else f"language:{block}")
    if facts.base_model and (facts.relation != "fork" or form != "sparse"):
        lines.append(f"base_model: {quote}{facts.base_model}{quote}")
    if form != "sparse":
        lines.append(f"pipeline_tag: {facts.task}")
        if facts.states("datasets"):
            lines.append("datasets:" + "".join(f"\n- {facts.owner}/{name}" for name in facts.datasets))
        rng.shuffle(lines)
    comment = "# checked by hand\n" if form == "block" and rng.random() < 0.2 else ""
    return "---\n" + comment + "\n".join(lines) + "\n---"


def overview(facts: Facts, rng: random.Random) -> str:
    openings = (
        f"{facts.name} is a language model with {facts.parameters} parameters by {facts.organisation}.",
        f"{facts.organisation} presents {facts.name}, a decoder-only transformer with {facts.parameters} parameters.",
        f"This repository holds {facts.name} from {facts.organisation}. The model has {facts.parameters} parameters.",
    )
    text = [rng.choice(openings)]
    if facts.relation == "fine-tune":
        text.append(f"It is a fine-tune of {facts.base_model}.")
    elif facts.relation == "quantised" and facts.quantisation:
        form, bits, size = facts.quantisation
        text.append(f"It is a copy of {facts.base_model} in {form} format with {bits}-bit weights; the file takes {size} GB.")
        text.append("The text below is from the original card.")
    elif facts.relation == "fork":
        text.append(f"It is a renamed copy of {facts.base_model} with unchanged weights.")
    if facts.states("context"):
        reads = f"It reads a context of {facts.context} tokens."
        text.append(rng.choice((reads, f"The context length is {facts.context} tokens.")))
    if facts.states("languages"):
        text.append(f"Supported languages: {', '.join(LANGUAGES[code] for code in facts.languages)}.")
    return " ".join(text)


def training(facts: Facts, rng: random.Random) -> str:
    trained = f"The model was trained on {facts.tokens} tokens."
    text = [rng.choice((trained, f"Training covered {facts.tokens} tokens of text."))]
    if facts.states("datasets"):
        text.append(f"The data come from {join(facts.datasets)}.")
    if facts.states("optimiser"):
        text.append(f"We used the {facts.optimiser} optimiser.")
    if facts.states("hardware"):
        text.append(f"The run took {facts.days} days on {facts.gpu_count} {facts.gpu} GPUs.")
    text.append(f"The weights are released under the {facts.licence} licence.")
    return " ".join(text)


def evaluation(facts: Facts, rng: random.Random) -> str:
    if rng.random() < 0.6:
        rows = "\n".join(f"| {name} | {score} |" for name, score in facts.scores)
        return f"| Benchmark | Score |\n|---|---|\n{rows}"
    if rng.random() < 0.5:
        return "\n".join(f"- {name}: {score}" for name, score in facts.scores)
    return "Scores: " + ", ".join(f"{name} {score}" for name, score in facts.scores) + "."


def usage(facts: Facts, rng: random.Random) -> str:
    if rng.random() < 0.5:
        return ""
    return f'```python\nfrom transformers import pipeline\npipe = pipeline("{facts.task}", "{facts.model_id}")\n```'


def limits(facts: Facts, rng: random.Random) -> str:
    if not facts.states("limitations"):
        return ""
    if rng.random() < 0.5:
        return "\n".join(f"* {text}" for text in facts.limitations)
    return "Known limits: " + "; ".join(facts.limitations) + "."


def links(facts: Facts, rng: random.Random) -> str:
    """The linked pages as a list or a sentence, under the names that the notes use."""
    named = [f"[{PAGE_NAMES[source.kind]}]({source.url})" for source in facts.sources]
    if rng.random() < 0.5:
        return "Links:\n\n" + "\n".join(f"- {link}" for link in named)
    return f"See also the {', the '.join(named)}."


PAGE_NAMES = {
    "report": "technical report",
    "code": "training code",
    "dataset": "data page",
    "blog": "release post",
    "evaluation": "evaluation log",
    "demo": "demo page",
}


# What a note says of its page: two facts that only the page gives, each in one of two wordings.
NOTE_WORDINGS = {
    "report": (
        ("The report describes {layers} layers.", "According to the report the network has {layers} layers."),
        ("Ablations over {ablation} tokens guided the design.", "Design choices rest on ablations of {ablation} tokens."),
    ),
    "code": (
        (
            "The code reaches {throughput} tokens per second on one GPU.",
            "Measured speed: {throughput} tokens per second on one GPU.",
        ),
        ("Launch files for up to {nodes} nodes are included.", "The repository has launch files for {nodes} nodes."),
    ),
    "dataset": (
        ("The corpus counts {documents} documents.", "In all there are {documents} documents."),
        ("Near-duplicate removal dropped {dropped} of them.", "Filtering for near-duplicates removed {dropped}."),
    ),
    "blog": (
        (
            "The learning rate decayed over the last {decay} of training.",
            "A decay phase covered the final {decay} of training.",
        ),
        ("The released weights average {checkpoints} checkpoints.", "The final model is a mean of {checkpoints} checkpoints."),
    ),
    "evaluation": (
        ("Prompts had {shots} examples each.", "All tasks ran with {shots} examples in the prompt."),
        ("A contamination test removed {removed} items.", "After a contamination test {removed} items were left out."),
    ),
    "demo": (
        ("The first token appears after {latency}.", "Time to the first token is {latency}."),
        ("Serving takes {memory} of memory.", "The demo runs in {memory} of memory."),
    ),
}


def render_notes(facts: Facts, rng: random.Random) -> list[Note]:
    """One note per linked page, in the order of the card."""
    return [Note(source.url, note_text(source, rng)) for source in facts.sources]


def note_text(source: Source, rng: random.Random) -> str:
    return " ".join(rng.choice(wordings).format(**source.facts) for wordings in NOTE_WORDINGS[source.kind])


def join(words: tuple[str, ...] | list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
