"""What the checks say of a summary, in a line for a person; and which of several summaries is the best."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.text import Text

from data_prep.checks import CheckResult
from data_prep.checks.meaning import NO_FLAG
from data_prep.checks.result import Span
from eval.decoding.grounded import describe_interventions
from eval.decoding.sampling import Decoding
from eval.summarizing.writers import Written

GROUNDED = {"numbers": "number", "names": "name", "links": "link"}
MOST_SHOWN = 8


@dataclass(frozen=True)
class Attempt:
    """One summary with how it was decoded and what every check says of it."""

    written: Written
    decoding: Decoding
    seed: int
    results: list[CheckResult]

    @property
    def failed(self) -> list[str]:
        cut = [] if self.written.finish_reason == "stop" else ["finished"]
        return [result.name for result in self.results if not result.passed] + cut

    @property
    def recall(self) -> float:
        """Share of the card's key facts that it states, 0 to 1; 0 where there is nothing to recall."""
        return next((result.value or 0.0 for result in self.results if result.name == "facts"), 0.0)


def best(attempts: Sequence[Attempt]) -> Attempt:
    """Of those with a page the one that fails fewest checks; of several the one with the highest recall; of those the first."""
    return min(attempts, key=lambda attempt: (not attempt.written.text, len(attempt.failed), -attempt.recall))


def unsupported(attempt: Attempt) -> list[tuple[str, str]]:
    """(text, kind) of each number, name and link of the summary that is not in its sources, each once."""
    return _marked(attempt, [(result.name, result.spans) for result in attempt.results if not result.passed])


def doubtful(attempt: Attempt) -> list[tuple[str, str]]:
    """The same of what the checks can neither bear out nor refuse."""
    return _marked(attempt, [(result.name, result.remarks) for result in attempt.results])


def _marked(attempt: Attempt, found: Iterable[tuple[str, Sequence[Span]]]) -> list[tuple[str, str]]:
    texts = [
        (attempt.written.text[one.start : one.end], GROUNDED[name])
        for name, spans in found
        if name in GROUNDED
        for one in spans
    ]
    return list(dict.fromkeys((" ".join(text.split()), kind) for text, kind in texts))


def verdict(attempt: Attempt) -> Text:
    """One line: how many checks flag it, what is not in the sources (marked), why the others flag it, and what no flag says."""
    flags, total = sum(not result.passed for result in attempt.results), len(attempt.results)
    line = Text("checks: ", style="bold")
    line.append(
        f"{flags} of {total} flag{'s' if flags == 1 else ''} it" if flags else f"none of {total} flags it",
        "yellow" if flags else "",
    )
    for found, heading, style in (
        (unsupported(attempt), "not in the sources", "bold red"),
        (doubtful(attempt), "to be looked at", "yellow"),
    ):
        for at, (text, kind) in enumerate(found[:MOST_SHOWN]):
            line.append(", " if at else f"; {heading}: ").append(f"[{text[:80]}]", style).append(f" ({kind})")
        line.append(f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else "")
    for result in attempt.results:
        if not result.passed and not (result.name in GROUNDED and result.spans):
            line.append(f"; {result.name}: {' '.join(result.reason.split())[:160]}")
    if any(attempt.written.interventions.values()):
        line.append(f"; grounding changed {describe_interventions(attempt.written.interventions)}")
    if attempt.written.finish_reason == "length":
        line.append("; cut at --max-new-tokens")
    if attempt.written.finish_reason == "loop":
        line.append("; it ran in a loop and was ended there, what it repeated stands once")
    return line.append(f". {NO_FLAG}", "dim")
