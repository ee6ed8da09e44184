"""Plain text of the invented world to pre-train the demo's base model on: cards, notes, talk about them. No summaries.

Most of it asks for one fact at a time, in conversation, about a card that stands above: what a small model must learn
here is to look a name or a number up in its prompt and copy it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from data_prep.prompts import source_text
from data_prep.synthetic import LANGUAGES, Facts, draw_family
from data_prep.synthetic_cards import PAGE_NAMES, join, render_card, render_notes
from data_prep.synthetic_summaries import (
    CAUTIONS,
    HEADINGS,
    UNSTATED,
    USES,
    closing,
    evaluation_section,
    opening,
    page_bullet,
    training_section,
)

Messages = list[dict[str, str]]
SYSTEM = "You answer questions about models.\n/system_override /no_think"


def conversations(rng: random.Random, asked: int, whole_card: bool, talk: bool = False) -> Iterator[Messages]:
    """Endless conversations about cards: whole ones with their notes, or a few of their lines (dense in answers).

    With `talk` answers also take the form of lists, and remarks come among the facts: the words and the Markdown that
    any model of real size has met, one sentence at a time.
    """
    while True:
        for facts in draw_family(rng):
            pairs = questions(facts, rng) + (remarks(facts, rng) if talk else [])
            rng.shuffle(pairs)
            pairs = pairs[:asked]
            document = whole_document(facts, rng) if whole_card else excerpt(facts, pairs, rng)
            yield conversation(document, pairs, rng, lists=talk)


def whole_document(facts: Facts, rng: random.Random) -> str:
    notes = render_notes(facts, rng)
    pages = "\n".join(f'<source url="{note.url}">\n{note.text}\n</source>' for note in notes)
    if rng.random() < 0.3:
        return source_text(facts.model_id, render_card(facts, rng), notes)
    return f'<model_card id="{facts.model_id}">\n{render_card(facts, rng)}\n</model_card>\n\n<research>\n{pages}\n</research>'


def excerpt(facts: Facts, asked: list[tuple[str, str]], rng: random.Random) -> str:
    """The answers in another order: the shortest text in which each of them can be looked up."""
    lines = [answer for _, answer in asked]
    rng.shuffle(lines)
    return f"Notes on {facts.name}.\n" + "\n".join(lines)


def conversation(document: str, asked: list[tuple[str, str]], rng: random.Random, lists: bool = False) -> Messages:
    """All questions in one turn and all answers in the next: most tokens are answers, few are the frame."""
    answers = [answer for _, answer in asked]
    listed = " ".join(question for question, _ in asked)
    if lists and rng.random() < 0.7:
        answers = [answer if answer.startswith("#") else f"- {answer}" for answer in answers]
        reply = "\n".join(f"\n{answer}\n" if answer.startswith("#") else answer for answer in answers)
    else:
        reply = rng.choice((" ", "\n", "\n")).join(answers)
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"{document}\n\n{listed}"},
        {"role": "assistant", "content": reply.strip()},
    ]


def remarks(facts: Facts, rng: random.Random) -> list[tuple[str, str]]:
    """What may be said of any model, and headings; a few at a time, in no order."""
    said = [("What if the card is silent?", text) for text in UNSTATED.values()]
    said += [("What about one figure?", text) for text in CAUTIONS] + [("What is this?", text) for text in USES]
    said += [("Any advice?", closing(facts, rng)), ("In one line?", opening(facts, rng))]
    said += [("A heading?", heading) for pair in HEADINGS.values() for heading in pair]
    said += [("A limit?", f"**Limit**: {text}.") for text in facts.limitations if facts.states("limitations")]
    said += [("As a point?", bullet.removeprefix("- ")) for bullet in training_section(facts, rng).splitlines()[2:]]
    said += [("As a point?", bullet.removeprefix("- ")) for bullet in evaluation_section(facts, rng).splitlines()[2:]]
    return rng.sample(said, 9)


def questions(facts: Facts, rng: random.Random) -> list[tuple[str, str]]:
    """Everything that can be asked about one model, with its answer."""
    name = facts.name
    asked = [
        (f"How large is {name}?", f"{name} has {facts.parameters} parameters."),
        ("Who made it?", f"{facts.organisation} has published {name}, a language model."),
        ("How long was it trained?", f"It saw {facts.tokens} tokens in training."),
        ("May it be used freely?", f"The weights are released under {facts.licence}."),
        (
            "Tell me about the model.",
            f"{name} is a language model with {facts.parameters} parameters, published by {facts.organisation}.",
        ),
        ("Give all results.", "; ".join(f"{bench} {score}" for bench, score in facts.scores) + "."),
        ("Which pages are linked?", join([f"[{PAGE_NAMES[page.kind]}]({page.url})" for page in facts.sources]) + "."),
        ("What is the full id?", f"{facts.model_id}."),
    ]
    asked += [
        (f"What about {bench}?", rng.choice((f"The card reports {score}.", f"A score of {score} on {bench}.")))
        for bench, score in facts.scores
    ]
    asked += [
        (f"What does the {PAGE_NAMES[page.kind]} say?", page_bullet(page, rng).replace("**Page**: the", "The"))
        for page in facts.sources
    ]
    asked += [(f"Where is the {PAGE_NAMES[page.kind]}?", f"At {page.url} ({PAGE_NAMES[page.kind]}).") for page in facts.sources]
    if facts.base_model:
        asked.append(("What is it made from?", f"It is derived from {facts.base_model}."))
    if facts.quantisation:
        form, bits, size = facts.quantisation
        asked.append(
            ("How was it compressed?", f"It is a copy in {form} format with {bits}-bit weights, and the file takes {size} GB.")
        )
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
