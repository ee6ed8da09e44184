"""What a teacher wrote: whether it may be trained on, and as a candidate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from data_prep.chat.client import Answer, Endpoint
from data_prep.checks.licences import PERMISSIVE, normal
from data_prep.core.files import stable_id
from data_prep.core.records import Candidate
from data_prep.prompts.teacher import TEACHER_VERSION


def refuse_licences(teachers: Iterable[Endpoint], allowed: Iterable[str], key: str) -> None:
    """Raises ValueError where a teacher's licence is not one that lets its words be trained on; `key` of the recipe allows more."""
    known = PERMISSIVE | {normal(name) for name in allowed}
    for teacher in teachers:
        if not teacher.licence:
            raise ValueError(
                f"the teacher {teacher.model} has no licence; say under which one it writes, for example apache-2.0"
            )
        if normal(teacher.licence) not in known:
            raise ValueError(
                f'the teacher {teacher.model} writes under "{teacher.licence}", which is not known to let others train on it; '
                f"name another teacher, or read its terms and add the licence to {key}"
            )


def candidate_of(
    answer: Answer, teacher: Endpoint, card_id: str, about: str, sampling: Mapping[str, Any] | None = None, revises: str = ""
) -> Candidate:
    """The answer as a candidate; `about` tells apart what the same words may be an answer to."""
    told = {"model": answer.model, "finish_reason": answer.finish_reason, "answer_key": answer.key, "version": TEACHER_VERSION}
    return Candidate(
        id=stable_id(card_id, about, answer.key),
        card_id=card_id,
        text=answer.text,
        writer=teacher.model,
        licence=teacher.licence,
        decoding={**(sampling or {}), **told},
        usage={"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens},
        revises=revises,
    )
