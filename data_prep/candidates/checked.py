"""A summary together with what the checks say of it: what pairs and revisions are chosen by."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from data_prep.checks import CheckResult, check_summary, failures, passed_all
from data_prep.checks.form import CONTROL
from data_prep.checks.grade import Grade, grade
from data_prep.core.records import Candidate, Generation, HeldOut

UNWRITABLE = "thinks aloud or spells a control token, which no training row may hold"
_THINK = re.compile("</?think>")  # as tokenizers spell it; the check takes other spellings for think text too


@dataclass(frozen=True)
class CheckedSummary:
    """`origin` says who wrote the text: "own sample", "reference", "repair", "revision", "corrected",
    "small model" or "broken: FAULT"."""

    text: str
    origin: str
    finished: bool
    results: list[CheckResult]
    key: str = ""
    mends: str = ""  # key of the sample that it was made from
    thought: bool = False  # aloud, though the prompt says not to
    looped: bool = False  # why it is not finished
    grade: Grade | None = None  # where texts are ranked by it

    @classmethod
    def sample(cls, sample: Generation, source: str, origin: str = "own sample") -> CheckedSummary:
        """What the model thought aloud belongs to the text again: a pair rejects what it wrote, not a part of it."""
        results, text, thought = check_summary(sample.text, source), sample.text.strip(), bool(sample.thinking)
        if thought:
            text = f"<think>\n{sample.thinking}\n</think>\n\n{text}".strip()
        finished, looped = sample.finish_reason == "stop", sample.finish_reason == "loop"
        return cls(text, origin, finished, results, sample.key, sample.repairs, thought, looped)

    @classmethod
    def reference(cls, card: HeldOut) -> CheckedSummary:
        return cls(card.reference.strip(), "reference", True, check_summary(card.reference, card.source))

    @classmethod
    def candidate(cls, candidate: Candidate, source: str, origin: str) -> CheckedSummary:
        finished = candidate.decoding.get("finish_reason") not in ("length", "loop")
        results = check_summary(candidate.text, source)
        return cls(candidate.text.strip(), origin, finished, results, candidate.id, candidate.revises)

    @classmethod
    def broken(cls, text: str, fault: str, source: str) -> CheckedSummary:
        return cls(text.strip(), f"broken: {fault}", True, check_summary(text, source))

    def graded(self, source: str) -> CheckedSummary:
        """With its grade. Text that thinks aloud is worth as little as one without an end."""
        return replace(self, grade=grade(self.results, source, self.finished and not self.thought))

    @property
    def score(self) -> float:
        assert self.grade
        return self.grade.score

    @property
    def accepted(self) -> bool:
        return self.finished and not self.thought and passed_all(self.results)

    @property
    def unwritable(self) -> bool:
        """No training row may hold it: a tokenizer reads such words as the end of a turn, or as a thought."""
        return bool(self.thought or CONTROL.search(self.text) or _THINK.search(self.text))

    @property
    def failed(self) -> list[str]:
        """Names of the checks it fails; "finished" where the token limit cut it or it ran in a loop, "thinking" where it thought aloud."""
        own = ["finished"] * (not self.finished) + ["thinking"] * self.thought
        return own + [result.name for result in self.results if not result.passed]

    @property
    def reason(self) -> str:
        ends = "" if self.finished else "ended in a loop" if self.looped else "not finished within the token limit"
        aloud = "thinks aloud before the summary, though the prompt says not to" if self.thought else ""
        found = "; ".join(filter(None, (ends, aloud, failures(self.results))))
        return found or next(result.reason for result in self.results if result.name == "facts")

    @property
    def words(self) -> float:
        """Rendered words, as the length check counts them."""
        return self.value("length")

    @property
    def reckoned(self) -> list[str]:
        """Numbers that stand in no source and were computed from one: differences, shares and the like, not counts."""
        return [one.label for result in self.results for one in result.derived if one.operation != "count"]

    def value(self, check: str) -> float:
        """A check's measure, 0 where the source offers nothing to measure."""
        return next(result.value or 0.0 for result in self.results if result.name == check)


def length_gap(one: CheckedSummary, other: CheckedSummary) -> float:
    """Difference in rendered words, as a share of the longer."""
    return abs(one.words - other.words) / max(one.words, other.words, 1.0)
