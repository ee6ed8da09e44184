"""The reward of a sampled summary: its grade by the checks (data_prep/checks/grade.py), 0 where it is not finished.

A summary is read as evaluation reads it, from its tokens up to the end token: in TRL's own text special tokens are left out, and
what stands between them would be graded as if they were not there. Not finished is what the token limit cut, what stood in a
loop at any time, even one that it left again, and what thinks aloud.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from data_prep.chat.loops import looped
from data_prep.chat.replies import split_thinking
from data_prep.checks import check_summary
from data_prep.checks.grade import Grade, grade
from data_prep.prompts.end_tokens import before_end


@dataclass(frozen=True)
class Reward:
    """A reward function of TRL. `ends`: the tokens that end a turn, as the trainer samples with them."""

    tokenizer: Any
    ends: tuple[int, ...]
    __name__ = "grade"  # what TRL logs it as: rewards/grade/mean

    def __call__(
        self, completion_ids: Sequence[Sequence[int]], source: Sequence[str], log_metric: Callable[[str, float], None], **_: Any
    ) -> list[float]:
        """A reward from 0 to 1 for each summary; the mean of each of its parts goes into the log as parts/NAME."""
        grades = [self.grade(ids, text) for ids, text in zip(completion_ids, source, strict=True)]
        for name in grades[0].parts:
            log_metric(f"parts/{name}", fmean(one.parts[name] for one in grades))
        return [one.score for one in grades]

    def grade(self, ids: Sequence[int], source: str) -> Grade:
        end = before_end(ids, self.ends)
        text = self.tokenizer.decode(ids[:end], skip_special_tokens=False).strip()
        unlooped, unthought = not looped(text), not split_thinking(text)[1]
        finished = end is not None and unlooped and unthought
        found = grade(check_summary(text, source), source, finished)
        told = {"ended": float(end is not None), "unlooped": float(unlooped), "unthought": float(unthought)}
        return Grade(found.score, {**found.parts, **told})
