"""Faults planted in true summaries of the invented models, with what a check may rightly say of each.

Truth does not come from the checks: the models' facts are known, and a planted number, name or link is one that the source's
text does not hold as a string. A fault may speak to more than one check: a changed size is a wrong number, an unknown name and a
contradiction. `seen_by` is the check that must see it, `may` are those that may see it too.
"""

from __future__ import annotations

import difflib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from data_prep.candidates.corrupted import BREAKERS, replaced
from data_prep.synthetic.facts import BENCHMARKS, GPUS, LICENCES, Facts, draw_model, draw_word

TRIES = 20  # draws until a fault puts in what the source does not hold
SCORE_TRIES = 100  # draws until a score is none of the known
PASSAGE = 80  # words lifted in one piece

# (summary, facts, source, rng) -> the faulty text; the summary itself where it offers no place for the fault
Plant = Callable[[str, Facts, str, random.Random], str]
PlantT = TypeVar("PlantT")


@dataclass(frozen=True)
class Kind(Generic[PlantT]):
    """`seen_by`: "" for a fault that no check can see, listed so that nobody takes silence for truth."""

    seen_by: str
    may: frozenset[str]
    plant: PlantT
    new_text: bool = False  # what is put in must be nowhere in the source


@dataclass(frozen=True)
class PlantedFault:
    """`spans`: the characters of `text` that differ from the true summary; none where something was only taken out."""

    fault: str
    text: str
    spans: tuple[tuple[int, int], ...]


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


def _swap(pattern: str, choices: Mapping[str, Sequence[str]]) -> Plant:
    """One match of `pattern`, whose group 1 becomes another of the choices for it."""
    return lambda summary, facts, source, rng: replaced(pattern, summary, rng, lambda old: rng.choice(choices[old]), group=1)


def _bullet(*texts: str) -> Plant:
    """One of `texts` as a bullet before another bullet."""
    return lambda summary, facts, source, rng: replaced(r"(?m)^(?=- )", summary, rng, lambda _: f"- {rng.choice(texts)}\n")


def _before(*texts: str) -> Plant:
    return lambda summary, facts, source, rng: rng.choice(texts) + summary


def _after(*texts: str) -> Plant:
    return lambda summary, facts, source, rng: summary.rstrip("\n") + rng.choice(texts)


def _score(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    name, score = rng.choice(facts.scores)
    known = {value for _, value in facts.scores}
    draws = (f"{rng.randint(21, 94)}.{rng.randint(1, 9)}" for _ in range(SCORE_TRIES))
    wrong = next(value for value in draws if value not in known)
    return re.sub(rf"(\*\*{re.escape(name)}\*\*: [a-z ]*){re.escape(score)}", rf"\g<1>{wrong}", summary)


def _percent(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    others = range(2, 98)
    return replaced(r"\b(\d+)%", summary, rng, lambda old: str(rng.choice([n for n in others if n != int(old)])), group=1)


def _licence(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    other = rng.choice([name for name in LICENCES if name != facts.licence])
    return re.sub(rf"(?<!\w){re.escape(facts.licence)}(?!\w)", other, summary)  # not the "mit" of "limits"


def _no_page(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    return summary.replace(rng.choice(facts.sources).url, f"https://{draw_word(rng)}.example/{draw_word(rng)}/{draw_word(rng)}")


def _page_of_another(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    return summary.replace(rng.choice(facts.sources).url, rng.choice(draw_model(rng).sources).url)


def _lineage_of_another(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    other = draw_model(rng)
    line = f"- **Lineage**: the weights start from {other.model_id} and its {rng.choice(other.datasets)} corpus."
    return summary.replace("\n\n", f"\n\n{line}\n\n", 1)


def _parameters(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    other = f"{rng.randint(1, 99)}.{rng.randint(1, 9)}B"
    return re.sub(rf"(?<![\w-]){re.escape(facts.parameters)}(?= parameters)", other, summary)


def _base_model(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    return summary.replace(facts.base_model, "zelkor/Velmara-8B") if facts.base_model else summary


def _owner(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    return summary.replace(facts.base_model, f"zelkor/{facts.base_model.rpartition('/')[2]}") if facts.base_model else summary


def _user(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    """`https://other.example@host/page`: what stands before the sign is a user, and read as the host."""
    return replaced(r"(?<=\]\(https://)", summary, rng, lambda _: "pages.example@")


def _two_scripts(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    return replaced(r"(?<![\w/.:(-])[ABCEHMOPT](?=[A-Z]+\b)", summary, rng, lambda letter: _LOOK_ALIKE[letter])


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


def _too_long(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
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


def _too_short(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    return "\n\n".join(summary.split("\n\n")[:4]) + "\n"


def _repeated(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    bullet = rng.choice(re.findall(r"^- .*$", summary, flags=re.MULTILINE))
    return summary.replace(bullet, "\n".join([bullet] * 4), 1)


def _preamble(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    sure, here = "Sure, here is the summary you asked for:", f"Here is a summary of {facts.name} for researchers:"
    return f"{rng.choice((sure, here))}\n\n{summary}"


def _praise(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    verdict = f"- **Verdict**: {facts.name} is {rng.choice(_CLAIMS)}."
    return re.sub(r"\n\n- ", f"\n\n{verdict}\n- ", summary, count=1)


def _unclosed_fence(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    return summary.rstrip("\n") + "\n\n```python\nfrom transformers import pipeline\n"


def _unclosed_emphasis(summary: str, facts: Facts, source: str, rng: random.Random) -> str:
    return replaced(r"(?m)(?<=^- )\*\*[^*\n]+\*\*", summary, rng, lambda bold: bold.removesuffix("**"))


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
_CLAIMS = (
    "a groundbreaking, state-of-the-art model that sets a new standard for its class",
    "a truly revolutionary model with unparalleled quality",
    "a world-class model that outperforms all competitors",
)
_LOOK_ALIKE = dict(zip("ABCEHMOPT", "АВСЕНМОРТ", strict=True))  # Latin, Cyrillic
_SCALES = {"T": ("B", "M"), "B": ("T", "M"), "M": ("B", "T")}
_UNITS = {"GB": ("MB", "TB"), "ms": ("s", "hours"), "days": ("hours", "weeks")}


def kind_of(seen_by: str, plant: PlantT, may: str = "", new_text: bool = False) -> Kind[PlantT]:
    return Kind(seen_by, frozenset([*may.split(), *([seen_by] if seen_by else [])]), plant, new_text)


_kind = kind_of

KINDS: dict[str, Kind[Plant]] = {
    "a page that is nowhere": _kind("links", _no_page),
    "a page beside the real one": _kind("links", _broken("link invented")),
    "another model's page": _kind("links", _page_of_another),
    "a user before the host": _kind("links", _user),
    "a benchmark score changed": _kind("numbers", _score, new_text=True),
    "one digit of a number changed": _kind("numbers", _broken("number changed"), "contradiction facts names", new_text=True),
    "a scale changed (11.2T, 11.2B)": _kind(
        "numbers", _swap(r"(?<![\w.-])\d+(?:\.\d+)?([TBM])\b", _SCALES), "contradiction facts", new_text=True
    ),
    "a unit changed (66 GB, 66 MB)": _kind("numbers", _swap(r"\d (GB|ms|days)\b", _UNITS)),
    "a percentage changed": _kind("numbers", _percent, new_text=True),
    "another licence": _kind("contradiction", _licence, "facts"),
    "another number of parameters": _kind("contradiction", _parameters, "numbers facts", new_text=True),
    "another number of parameters in words": _kind(
        "contradiction", _bullet("**Size**: ninety-seven billion parameters.", "**Size**: it has eighty-nine million parameters."), "numbers"
    ),
    "another base model": _kind("contradiction", _base_model, "names numbers facts"),
    "another model's lineage": _kind("names", _lineage_of_another, "contradiction numbers"),
    "one digit of a name changed": _kind("names", _broken("name changed"), "contradiction numbers facts", new_text=True),
    "another owner of the base model": _kind("names", _owner, "contradiction"),
    "letters of two scripts in a name": _kind("names", _two_scripts, "facts"),
    "other hardware": _kind("names", _gpu, new_text=True),
    "a benchmark that nobody ran": _kind(
        "names", _bullet("**HELMET**: the authors report results as well.", "**Also tested**: ZeroSCROLLS and RepoQA.")
    ),
    "facts left out": _kind("facts", _left_out, "length structure numbers links"),
    "too long": _kind("length", _too_long, "repetition numbers"),  # it speaks of limits that a card may keep silent on
    "too short": _kind("length", _too_short, "facts links structure numbers"),
    "no bullets": _kind("structure", _broken("no bullets")),
    "think text": _kind("structure", _before("<think>\nThe card is long, so be brief.\n</think>\n\n", "</think>\n\n"), "preamble"),
    "front matter copied": _kind("structure", _echo),
    "a fence left open": _kind("structure", _unclosed_fence),
    "emphasis left open": _kind("structure", _unclosed_emphasis),
    "raw HTML": _kind("structure", _after("\n\n<div>More on the page.</div>\n", "<br>\n")),
    "control tokens": _kind("structure", _after("<|im_end|>\n", "\n<|endoftext|>\n")),
    "words before the heading": _kind("preamble", _preamble),
    "words after the end": _kind("preamble", _after("\n\nLet me know if you need more.\n", "\n\nI hope this helps!\n")),
    "a bullet repeated": _kind("repetition", _repeated, "length"),
    "a bullet in place of another": _kind("repetition", _broken("repetition"), "facts links"),
    "praise beyond the card": _kind("praise", _praise),
    "a passage lifted from the card": _kind("copying", _lifted, "length structure facts"),
    "a paragraph in another language": _kind("language", _bullet(*_FOREIGN), "length"),
    "letters of a wrong encoding": _kind("language", _garbled, "length"),
    "two scores exchanged": _kind("contradiction", _exchanged),
}  # fmt: skip
