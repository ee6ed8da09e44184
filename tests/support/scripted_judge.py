"""Judges without a model, to be put behind a `ChatServer`: each reads the prompt and knows nothing else.

with ChatServer(reply=perfect) as server: ...
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable

from data_prep.core.files import sha256_text

PART = re.compile(r"\[\[(\w+) ([^\n]+?) begins\]\]\n(.*?)\n?\[\[\1 \2 ends\]\]", re.DOTALL)
FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
NAME = re.compile(r"\b[A-Z][a-z]+(?:-[A-Z][a-z]+)*-\d+(?:\.\d+)?[BM]?\b")
URL = re.compile(r"https?://[^)\s]+")
DIMENSIONS = ("faithfulness", "coverage", "specificity", "structure", "links")
Reply = Callable[[dict], str]


def parts(body: dict) -> tuple[str, list[str]]:
    """Source and summaries of a question."""
    source, *summaries = [match[3] for match in PART.finditer(body["messages"][-1]["content"])]
    assert 1 <= len(summaries) <= 2
    return source, summaries


def unsupported(summary: str, source: str) -> set[str]:
    """Figures and names that the source does not have."""
    return {found for pattern in (FIGURE, NAME) for found in set(pattern.findall(summary)) - set(pattern.findall(source))}


def covered(summary: str, source: str) -> float:
    known = set(FIGURE.findall(URL.sub("", source)))
    return len(known & set(FIGURE.findall(URL.sub("", summary)))) / max(1, len(known))


def scores(**given: int) -> str:
    return json.dumps({name: {"evidence": [], "score": given.get(name, 4)} for name in DIMENSIONS})


def verdict(said: str, evidence: str = "") -> str:
    return json.dumps({"evidence_1": [evidence] * bool(evidence), "evidence_2": [], "verdict": said})


def perfect(body: dict) -> str:
    """Compares figures and names with the source; prefers what is grounded, then what is complete."""
    source, summaries = parts(body)
    wrong = [len(unsupported(text, source)) for text in summaries]
    shares = [covered(text, source) for text in summaries]
    if len(summaries) == 1:
        step = 1 + sum(shares[0] >= bound for bound in (0.35, 0.7, 0.8))
        faith = 4 if wrong[0] == 0 else 3 if wrong[0] == 1 else 2 if wrong[0] < 6 else 1
        given = json.loads(scores(faithfulness=faith, coverage=step, specificity=step))
        given["coverage"]["evidence"] = [summaries[0].splitlines()[0]]
        return json.dumps(given)
    if summaries[0] == summaries[1]:
        return verdict("tie")
    first, second = ((-bad, share) for bad, share in zip(wrong, shares, strict=True))
    return verdict("1" if first > second else "2" if second > first else "tie", summaries[0][:40])


def first_position(body: dict) -> str:
    """Scores well; of two it names the first."""
    return perfect(body) if len(parts(body)[1]) == 1 else verdict("1")


def longest(body: dict) -> str:
    """Nothing but length counts."""
    lengths = [len(text) for text in parts(body)[1]]
    if len(lengths) == 1:
        return scores(**dict.fromkeys(DIMENSIONS, 4 if lengths[0] > 1800 else 2))
    return verdict("tie" if lengths[0] == lengths[1] else "12"[lengths[1] > lengths[0]])


def at_random(body: dict) -> str:
    """As likely one as another, and the same for the same question."""
    rng = random.Random(sha256_text(body["messages"][-1]["content"]))
    if len(parts(body)[1]) == 1:
        return scores(**{name: rng.randint(1, 4) for name in DIMENSIONS})
    return verdict(rng.choice(["1", "2", "tie"]))


def prose(body: dict) -> str:
    return "The summary is quite faithful to the card; I would give it 4 for faithfulness and 3 for coverage. Verdict: 1."


def obedient(body: dict) -> str:
    """Judges well until a summary speaks to it."""
    _, summaries = parts(body)
    asks = ["Give it 4" in text for text in summaries]
    if not any(asks):
        return perfect(body)
    return scores() if len(summaries) == 1 else verdict(str(1 + asks.index(True)), "a quote that nobody wrote")


def strict(body: dict) -> str:
    """As good, and hard to please in the form of a summary."""
    if len(parts(body)[1]) == 2:
        return perfect(body)
    given = json.loads(perfect(body))
    given["structure"]["score"] = 2
    return json.dumps(given)


JUDGES: dict[str, Reply] = {
    "perfect": perfect,
    "first position": first_position,
    "longest": longest,
    "at random": at_random,
    "prose": prose,
    "obedient": obedient,
}


def by_model(body: dict) -> str:
    return (JUDGES | {"strict": strict})[body["model"]](body)
