"""Faults planted in true summaries of the invented models, with what a check may rightly say of each.

Truth does not come from the checks: the models' facts are known, and a planted number, name or link is one that the source's
text does not hold as a string. A fault may speak to more than one check: a changed size is a wrong number, an unknown name and a
contradiction. `seen_by` is the check that must see it, `may` are those that may see it too.
"""

from __future__ import annotations

import dataclasses
import difflib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.candidates.corrupted import BREAKERS
from data_prep.synthetic.facts import GPUS, Facts, Source
from data_prep.synthetic.summaries import FAULTS

TRIES = 20  # draws until a fault puts in what the source does not hold
PASSAGE = 80  # words lifted in one piece

# (summary, facts, source, rng) -> the faulty text; the summary itself where it offers no place for the fault
Plant = Callable[[str, Facts, str, random.Random], str]


@dataclass(frozen=True)
class Kind:
    """`seen_by`: "" for a fault that no check can see, listed so that nobody takes silence for truth."""

    seen_by: str
    may: frozenset[str]
    plant: Plant
    new_text: bool = False  # what is put in must be nowhere in the source


@dataclass(frozen=True)
class PlantedFault:
    """`spans`: the characters of `text` that differ from the true summary; none where something was only taken out."""

    fault: str
    text: str
    spans: tuple[tuple[int, int], ...]


def true_facts(truth: dict[str, Any]) -> Facts:
    """The facts that a synthetic card was made from, out of its `truth`."""
    known = {field.name: truth[field.name] for field in dataclasses.fields(Facts)}
    return Facts(**{**known, "sources": tuple(Source(**source) for source in known["sources"])})


def planted(summary: str, facts: Facts, source: str, seed: str) -> Iterator[PlantedFault]:
    """`summary` once with each fault that it offers a place for. Same seed, same texts."""
    for fault, kind in KINDS.items():
        rng = random.Random(f"{seed}:{fault}")
        for _ in range(TRIES):
            text = kind.plant(summary, facts, source, rng)
            spans = changed(summary, text)
            if text != summary and not (kind.new_text and all(_stands(text, span, source) for span in spans)):
                yield PlantedFault(fault, text, _twins(text) if kind.seen_by == "repetition" else spans)
                break


def changed(before: str, after: str) -> tuple[tuple[int, int], ...]:
    """Characters of `after` that are not as in `before`: whole lines where lines came in, else what differs inside a line."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    starts = [0]
    for line in new:
        starts.append(starts[-1] + len(line))
    spans = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "insert" or (tag == "replace" and i2 - i1 != j2 - j1):
            spans.append((starts[j1], starts[j2]))
        elif tag == "replace":
            for line, other, start in zip(old[i1:i2], new[j1:j2], starts[j1:j2], strict=True):
                spans += [(start + a, start + b) for a, b in _within(line, other)]
    return tuple(span for span in spans if span[1] > span[0])


def _within(line: str, other: str) -> Iterator[tuple[int, int]]:
    """Where words of `other` differ from `line`: a changed digit marks its number."""
    old, new = (re.findall(r"[^\W_]+(?:[.,'-][^\W_]+)*|[\W_]", text) for text in (line, other))
    for tag, _, _, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag in ("replace", "insert"):
            start = len("".join(new[:j1]))
            yield start, start + len("".join(new[j1:j2]))


def _twins(text: str) -> tuple[tuple[int, int], ...]:
    """Bullets that stand there twice or more: which of them is the copy, nobody can tell."""
    bullets = list(re.finditer(r"^- .*$", text, re.MULTILINE))
    counted = Counter(match[0] for match in bullets)
    return tuple(match.span() for match in bullets if counted[match[0]] > 1)


def _stands(text: str, span: tuple[int, int], source: str) -> bool:
    """True where the source holds the changed word as it is."""
    word = re.escape(text[slice(*span)].strip(" .,;:%"))
    return re.search(rf"(?<![\w.,]){word}(?![\w]|[.,]\d)", source) is not None


# --- what is planted --------------------------------------------------------------------------------------------------


def _broken(name: str) -> Plant:
    return lambda summary, facts, source, rng: BREAKERS[name](summary, rng)


def _faulty(name: str) -> Plant:
    return lambda summary, facts, source, rng: FAULTS[name](summary, facts, rng)


def _swap(pattern: str, choices: Mapping[str, Sequence[str]]) -> Plant:
    """One match of `pattern`, whose group 1 becomes another of the choices for it."""

    def plant(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
        found = [match for match in re.finditer(pattern, summary) if match[1] in choices]
        if not found:
            return summary
        match = rng.choice(found)
        return summary[: match.start(1)] + rng.choice(choices[match[1]]) + summary[match.end(1) :]

    return plant


def _bullet(*texts: str) -> Plant:
    """One of `texts` as a bullet before another bullet."""

    def plant(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
        at = rng.choice([match.start() for match in re.finditer(r"^- ", summary, re.MULTILINE)])
        return f"{summary[:at]}- {rng.choice(texts)}\n{summary[at:]}"

    return plant


def _before(*texts: str) -> Plant:
    return lambda summary, facts, source, rng: rng.choice(texts) + summary


def _after(*texts: str) -> Plant:
    return lambda summary, facts, source, rng: summary.rstrip("\n") + rng.choice(texts)


def _percent(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    found = list(re.finditer(r"\b(\d+)%", summary))
    if not found:
        return summary
    match = rng.choice(found)
    return f"{summary[: match.start(1)]}{rng.choice([n for n in range(2, 98) if n != int(match[1])])}{summary[match.end(1) :]}"


def _parameters(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    other = f"{rng.randint(1, 99)}.{rng.randint(1, 9)}B"
    return re.sub(rf"(?<![\w-]){re.escape(facts.parameters)}(?= parameters)", other, summary)


def _base_model(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    return summary.replace(facts.base_model, "zelkor/Velmara-8B") if facts.base_model else summary


def _owner(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    return summary.replace(facts.base_model, f"zelkor/{facts.base_model.rpartition('/')[2]}") if facts.base_model else summary


def _user(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    """`https://other.example@host/page`: what stands before the sign is a user, and read as the host."""
    match = rng.choice(list(re.finditer(r"(?<=\]\(https://)", summary)))
    return f"{summary[: match.start()]}pages.example@{summary[match.start() :]}"


def _two_scripts(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    match = rng.choice(list(re.finditer(r"(?<![\w/.:(-])[ABCEHMOPT](?=[A-Z]+\b)", summary)))
    return summary[: match.start()] + _LOOK_ALIKE[match[0]] + summary[match.end() :]


def _gpu(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    return summary.replace(f" {facts.gpu} GPUs", f" {rng.choice([gpu for gpu in GPUS if gpu != facts.gpu])} GPUs")


def _lifted(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    """A passage of the card's body as one bullet, in place of the evaluation's bullets, so that the length hardly changes."""
    body = source.partition("\n---")[2].partition("\n---")[0].partition("\nModel: ")[0]
    words = re.sub(r"[#*|`>_]|\]\([^)]*\)|<[^>]*>|\[", " ", body).split()
    if len(words) < PASSAGE:
        return summary
    start = rng.randrange(len(words) - PASSAGE + 1)
    sections = re.split(r"(?<=\n)(?=### )", summary)
    heading = sections[2].partition("\n")[0]
    sections[2] = f"{heading}\n\n- {' '.join(words[start : start + PASSAGE])}\n\n"
    return "".join(sections)


def _left_out(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    """Without what the card states: only the linked pages and general remarks are left."""
    sections = re.split(r"\n\n(?=### |[A-Z])", summary.strip())
    kept = [section for section in sections[2:] if "](http" in section or not section.startswith("### ")]
    return "\n\n".join(["## What the pages say", *kept]) + "\n"


def _unclosed_fence(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    return summary.rstrip("\n") + "\n\n```python\nfrom transformers import pipeline\n"


def _unclosed_emphasis(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    match = rng.choice(list(re.finditer(r"(?<=^- )\*\*([^*\n]+)\*\*", summary, re.MULTILINE)))
    return summary[: match.start()] + f"**{match[1]}" + summary[match.end() :]


def _echo(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    return f"---\nlicense: {facts.licence}\npipeline_tag: {facts.task}\n---\n\n{summary}"


def _exchanged(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    (_, one), (_, other) = facts.scores[:2]
    return summary.replace(one, "\0").replace(other, one).replace("\0", other)


def _garbled(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    text = rng.choice(("The authors’ résumé is linked.", "It is a “naïve” baseline.", "Scores rise – slowly – with size."))
    return _bullet(text.encode().decode("cp1252", errors="replace"))(summary, facts, source, rng)


_FOREIGN = (
    "**Résumé**: ce modèle a été entraîné sur des textes choisis par les auteurs, puis évalué avec plusieurs jeux de questions; les"
    " résultats dépendent toutefois des consignes, et les auteurs recommandent de vérifier chaque réponse avant toute utilisation.",
    "**Fazit**: das Modell wurde mit ausgewählten Texten trainiert und anschließend mit mehreren Aufgaben geprüft; die Ergebnisse"
    " hängen jedoch von den Vorgaben ab, weshalb jede Antwort vor der Verwendung sorgfältig kontrolliert werden sollte.",
    "**Resumen**: este modelo fue entrenado con textos elegidos por los autores y evaluado después con varias pruebas; los resultados"
    " dependen sin embargo de las instrucciones, por lo que conviene comprobar cada respuesta antes de utilizarla.",
    "**总结**：该模型使用作者挑选的文本进行训练，随后在多个测试集上进行评估；不过结果取决于提示词，因此在使用之前应当逐条核对模型给出的回答，并注意其局限性。",
    "**Итог**: модель обучена на текстах, отобранных авторами, и проверена на нескольких наборах заданий; результаты зависят от"
    " подсказок, поэтому каждый ответ следует проверять перед использованием.",
)
_LOOK_ALIKE = dict(zip("ABCEHMOPT", "АВСЕНМОРТ", strict=True))  # Latin, Cyrillic
_SCALES = {"T": ("B", "M"), "B": ("T", "M"), "M": ("B", "T")}
_UNITS = {"GB": ("MB", "TB"), "ms": ("s", "hours"), "days": ("hours", "weeks")}


def _kind(seen_by: str, plant: Plant, may: str = "", new_text: bool = False) -> Kind:
    return Kind(seen_by, frozenset([*may.split(), *([seen_by] if seen_by else [])]), plant, new_text)


KINDS: dict[str, Kind] = {
    "a page that is nowhere": _kind("links", _faulty("link invented")),
    "a page beside the real one": _kind("links", _broken("link invented")),
    "another model's page": _kind("links", _faulty("source wrong")),
    "a user before the host": _kind("links", _user),
    "a benchmark score changed": _kind("numbers", _faulty("number changed"), new_text=True),
    "one digit of a number changed": _kind("numbers", _broken("number changed"), "contradiction facts names", new_text=True),
    "a scale changed (11.2T, 11.2B)": _kind(
        "numbers", _swap(r"(?<![\w.-])\d+(?:\.\d+)?([TBM])\b", _SCALES), "contradiction facts", new_text=True
    ),
    "a unit changed (66 GB, 66 MB)": _kind("numbers", _swap(r"\d (GB|ms|days)\b", _UNITS)),
    "a percentage changed": _kind("numbers", _percent, new_text=True),
    "another licence": _kind("contradiction", _faulty("licence swapped"), "facts"),
    "another number of parameters": _kind("contradiction", _parameters, "numbers facts", new_text=True),
    "another number of parameters in words": _kind(
        "contradiction", _bullet("**Size**: ninety-seven billion parameters.", "**Size**: it has eighty-nine million parameters."), "numbers"
    ),
    "another base model": _kind("contradiction", _base_model, "names numbers facts"),
    "another model's lineage": _kind("names", _faulty("fact of another"), "contradiction numbers"),
    "one digit of a name changed": _kind("names", _broken("name changed"), "contradiction numbers facts", new_text=True),
    "another owner of the base model": _kind("names", _owner, "contradiction"),
    "letters of two scripts in a name": _kind("names", _two_scripts, "facts"),
    "other hardware": _kind("names", _gpu, new_text=True),
    "a benchmark that nobody ran": _kind(
        "names", _bullet("**HELMET**: the authors report results as well.", "**Also tested**: ZeroSCROLLS and RepoQA.")
    ),
    "facts left out": _kind("facts", _left_out, "length structure numbers links"),
    "too long": _kind("length", _faulty("too long"), "repetition numbers"),  # it speaks of limits that a card may keep silent on
    "too short": _kind("length", _faulty("too short"), "facts links structure numbers"),
    "no bullets": _kind("structure", _faulty("no bullets")),
    "think text": _kind("structure", _before("<think>\nThe card is long, so be brief.\n</think>\n\n", "</think>\n\n"), "preamble"),
    "front matter copied": _kind("structure", _echo),
    "a fence left open": _kind("structure", _unclosed_fence),
    "emphasis left open": _kind("structure", _unclosed_emphasis),
    "raw HTML": _kind("structure", _after("\n\n<div>More on the page.</div>\n", "<br>\n")),
    "control tokens": _kind("structure", _after("<|im_end|>\n", "\n<|endoftext|>\n")),
    "words before the heading": _kind("preamble", _faulty("preamble")),
    "words after the end": _kind("preamble", _after("\n\nLet me know if you need more.\n", "\n\nI hope this helps!\n")),
    "a bullet repeated": _kind("repetition", _faulty("repetition"), "length"),
    "a bullet in place of another": _kind("repetition", _broken("repetition"), "facts links"),
    "praise beyond the card": _kind("praise", _faulty("praise")),
    "a passage lifted from the card": _kind("copying", _lifted, "length structure facts"),
    "a paragraph in another language": _kind("language", _bullet(*_FOREIGN), "length"),
    "letters of a wrong encoding": _kind("language", _garbled, "length"),
    "two scores exchanged": _kind("", _exchanged),
}  # fmt: skip
