"""Similarity to the reference: ROUGE F1 of what a reader sees. A secondary figure, never a headline.

One reference ranks summaries of language models unstably and says little of their truth (arXiv 2506.14335), so the figure
is called what it is. ROUGE itself: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", as the package
`rouge-score` computes it. Words are stemmed (Porter), as in the published figures for English summaries.
"""

from __future__ import annotations

from functools import cache, lru_cache

from data_prep.checks.document import read

KINDS = ("rouge1", "rouge2", "rougeLsum")


def rouge(summary: str, reference: str) -> dict[str, float | None]:
    """F1 by kind, 0 to 1; None each where there is no reference. `rougeLsum` takes every paragraph, heading, bullet and
    table cell as one sentence. Addresses, markup and code do not count: a summary is not more like another for `**`."""
    if not reference.strip():
        return dict.fromkeys(KINDS)
    scores = _scorer().score(lines_of_words(reference), lines_of_words(summary))
    return {kind: float(scores[kind].fmeasure) for kind in KINDS}


@lru_cache(maxsize=2048)  # a card's reference meets every system and every sample
def lines_of_words(text: str) -> str:
    """The rendered text, one block a line."""
    return "\n".join(" ".join(block.text.split()) for block in read(text).blocks)


class _Remembering:
    """The package's tokenizer, which stems a reference's words once and not for every system."""

    def __init__(self) -> None:
        from rouge_score.tokenizers import DefaultTokenizer

        self.tokenize = lru_cache(maxsize=65_536)(DefaultTokenizer(use_stemmer=True).tokenize)


@cache
def _scorer():
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(KINDS), tokenizer=_Remembering())
