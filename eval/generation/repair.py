"""Where a failing sample goes wrong, so that the model can be let go on from there once more.

The checks say which characters of a sample are unsupported. What stands before the first of them is kept and the rest is
sampled again; a continuation that passes makes a pair with the sample in which both sides share every token up to the
fault. Their difference is then about the fault, not about two independent ways to write a page: the aim of CLAIR
(arXiv 2408.06266) with the model itself, guided by spans, in place of a stronger reviser.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from data_prep.checks import check_summary, faulty_spans
from data_prep.core.records import Generation, HeldOut

STEPS_BACK = 24  # tokens tried before a place is found where the text may be cut
FEWEST_CHARACTERS = 20  # a fault this close to the start leaves nothing to keep


def beginnings(
    samples: Sequence[tuple[HeldOut, list[Generation]]], prompts: dict[str, str], tokenizer: Any
) -> Iterator[tuple[HeldOut, Generation, str]]:
    """Each failing sample that has a faulty place, with the text before it."""
    for card, own in samples:
        for sample in own:
            start = first_fault(sample.text, card.source)
            # What was thought aloud is not in the text, so the model would not go on from where it was.
            if start is None or sample.finish_reason != "stop" or sample.thinking:
                continue
            begun = cut_before(start, prompts[card.id], sample.text, tokenizer)
            if len(begun) >= FEWEST_CHARACTERS:
                yield card, sample, begun


def first_fault(text: str, source: str) -> int | None:
    """Offset of the first character that a failed check points to; None where no check does."""
    return next((span.start for span in faulty_spans(check_summary(text, source))), None)


def cut_before(start: int, prompt: str, text: str, tokenizer: Any) -> str:
    """The longest beginning of `text` that ends before `start` and whose tokens are those of the whole text: a cut within
    a token would leave the model with a spelling that it has never seen. "" where there is no such place nearby."""
    encoded = tokenizer(prompt + text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    last = sum(begin < len(prompt) + start for begin, _ in offsets) - 1  # the token that holds the fault's first character
    for place in range(last, max(0, last - STEPS_BACK), -1):
        end = offsets[place][0] - len(prompt)
        if end > start or end <= 0:
            continue
        begun = text[:end]
        if tokenizer(prompt + begun, add_special_tokens=False)["input_ids"] == ids[:place]:
            return begun
    return ""
