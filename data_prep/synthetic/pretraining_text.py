"""Text of the invented world to pre-train the demo's base model on: cards, notes, questions about them. No summaries.

Every question has one right answer, so that what a small model must learn here is to look names, numbers and lists up in
its prompt and copy them. Some questions ask for what can be said of any model: words and Markdown that a model of real
size has met a thousand times.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data_prep.prompts.student import source_text
from data_prep.synthetic.cards import PAGE_NAMES, join, render_card, render_notes
from data_prep.synthetic.facts import LANGUAGES, Facts, draw_family
from data_prep.synthetic.summaries import (
    CAUTIONS,
    HEADINGS,
    TITLES,
    UNSTATED,
    USES,
    closing,
    evaluation_section,
    limits_section,
    opening,
    pages_section,
    training_section,
)

SYSTEM = "You answer questions about models.\n/system_override /no_think"
HARD = ("Which languages?", "What are its limits?")  # lists of words: asked about every model
ORDINALS = ("first", "second")

Asked = tuple[str, str]  # a question and its answer


@dataclass(frozen=True)
class Exchange:
    """A document and questions about it, one a turn: each answer stands right behind its question."""

    document: str
    asked: list[Asked]

    @property
    def messages(self) -> list[dict[str, str]]:
        turns = [{"role": "system", "content": SYSTEM}]
        for question, answer in self.asked:
            turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        turns[1]["content"] = f"{self.document}\n\n{turns[1]['content']}"
        return turns


class Always(random.Random):
    """Takes the option at one place whatever it is asked, where a question must have one answer."""

    def __init__(self, place: int) -> None:
        super().__init__(0)
        self.place = place

    def choice(self, seq: Any) -> Any:
        return seq[self.place % len(seq)]


def exchanges(rng: random.Random, whole_card: bool) -> Iterator[Exchange]:
    """Endless exchanges about cards: whole ones with their notes, or a few of their lines (short, dense in answers)."""
    while True:
        for facts in draw_family(rng):
            single = single_facts(facts)
            hard = [pair for pair in single if pair[0] in HARD]
            asked = rng.sample(single, 2) + hard + rng.sample(lists(facts), 4) + rng.sample(remarks(facts), 1)
            rng.shuffle(asked)
            yield Exchange(whole_document(facts, rng) if whole_card else excerpt(facts, asked, rng), asked)


def whole_document(facts: Facts, rng: random.Random) -> str:
    card, notes = render_card(facts, rng), render_notes(facts, rng)
    if rng.random() < 0.1:
        return source_text(facts.model_id, card, notes)
    pages = "\n".join(f'<source url="{note.url}">\n{note.text}\n</source>' for note in notes)
    return f'<model_card id="{facts.model_id}">\n{card}\n</model_card>\n\n<research>\n{pages}\n</research>'


def excerpt(facts: Facts, asked: list[Asked], rng: random.Random) -> str:
    """The answers in another order: the shortest text in which each of them can be looked up."""
    answers = [answer for _, answer in asked]
    rng.shuffle(answers)
    return "\n".join([f"Notes on {facts.name}.", *answers])


def single_facts(facts: Facts) -> list[Asked]:
    """Everything that can be asked about one model and told in a sentence."""
    name = facts.name
    asked = [
        (f"How large is {name}?", f"{name} has {facts.parameters} parameters."),
        ("Who made it?", f"{facts.organisation} has published {name}, a language model."),
        ("How long was it trained?", f"It saw {facts.tokens} tokens in training."),
        ("May it be used freely?", f"The weights are released under {facts.licence}."),
        ("What is the full id?", f"{facts.model_id}."),
        ("Which task?", f"The card files it under {facts.task}." if facts.states("task") else "The card does not say."),
    ]
    asked += [(f"What about {benchmark}?", f"The card reports {score}.") for benchmark, score in facts.scores]
    asked += [(f"Where is the {PAGE_NAMES[page.kind]}?", f"At {page.url}.") for page in facts.sources]
    if facts.base_model:
        asked.append(("What is it made from?", f"It is derived from {facts.base_model}."))
    if facts.quantisation:
        form, bits, size = facts.quantisation
        compressed = f"It is a copy in {form} format with {bits}-bit weights, and the file takes {size} GB."
        asked.append(("How was it compressed?", compressed))
    stated = {
        "context": ("How much can it read?", f"It reads up to {facts.context} tokens at once."),
        "optimiser": ("Which optimiser was used?", f"Training used {facts.optimiser}."),
        "hardware": ("On what was it trained?", f"The run took {facts.days} days on {facts.gpu_count} {facts.gpu} GPUs."),
        "datasets": ("Where does the text come from?", f"The training text comes from {join(facts.datasets)}."),
        "languages": ("Which languages?", f"{join([LANGUAGES[code] for code in facts.languages])}."),
        "limitations": ("What are its limits?", "; ".join(facts.limitations) + "."),
    }
    for fact, (question, answer) in stated.items():
        asked.append((question, answer if facts.states(fact) else "The card does not say."))
    return asked


def lists(facts: Facts) -> list[Asked]:
    """Questions whose answer is a list in the order of the card: here a model learns to go through one to its end. At most
    two lists in a row, under their headings: the marks between them are tokens, and fine-tuning leaves embeddings alone."""
    asked = [
        ("Give all results.", "; ".join(f"{benchmark} {score}" for benchmark, score in facts.scores) + "."),
        ("Give all links.", "\n".join(f"* [{PAGE_NAMES[page.kind]}]({page.url})" for page in facts.sources)),
    ]
    sections = {"training": training_section, "results": evaluation_section, "pages": pages_section, "limits": limits_section}
    for place, ordinal in enumerate(ORDINALS):
        for what, write in sections.items():
            bullets = write(facts, Always(place)).partition("\n\n")[2]
            asked.append((f"List the {what}, {ordinal} wording.", bullets))
        for first, then in itertools.combinations(sections, 2):
            both = "\n\n".join(sections[what](facts, Always(place)) for what in (first, then))
            asked.append((f"Write the {first}, then the {then}, {ordinal} wording.", both))
        end = f"{limits_section(facts, Always(place))}\n\n{closing(facts, Always(place))}"
        asked.append((f"Write the limits, then the {ordinal} advice.", end))
    return asked


def remarks(facts: Facts) -> list[Asked]:
    """What may be said of any model, and headings."""
    asked = [(f"What if the card is silent on {fact}?", text) for fact, text in UNSTATED.items()]
    for place, ordinal in enumerate(ORDINALS):
        asked += [(f"The {ordinal} caution?", CAUTIONS[place]), (f"The {ordinal} use?", USES[place])]
        advice, start = closing(facts, Always(place)), opening(facts, Always(place))
        asked += [(f"The {ordinal} advice?", advice), (f"The {ordinal} opening?", start)]
        asked += [(f"The {ordinal} title?", TITLES[place].format(name=facts.name))]
        asked += [(f"The {ordinal} heading on {what}?", pair[place]) for what, pair in HEADINGS.items()]
    return asked
