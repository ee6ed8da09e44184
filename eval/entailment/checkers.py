"""How entailment checkers want to be asked: (chunks of a source, claim) -> how far the chunks support the claim, 0 to 1.

A classifier of half a billion parameters made for this does as well as prompted models of seventy billion, and a model of
three billion does not (LLM-AggreFact's board), so the student never checks itself. Contracts of the known checkers, from
their authors' code: MiniCheck (github.com/Liyan06/MiniCheck, minicheck/inference.py) joins document and claim by the
end-of-sequence token, label 1 or token 209 is support; FactCG (github.com/derenlei/FactCG, factcg/utils.py and
inference.py) puts both into one prompt, label 1 is support. There the prompt is cut at its end where it is too long, which
cuts the claim; here only the document is cut.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from data_prep.chat.endpoint import Endpoint
from data_prep.core.recipe import Block, did_you_mean

Kind = Literal["classifier", "seq2seq", "endpoint"]


class Checker(Block):
    """One checker: a model of the Hub or a folder, or a model behind an endpoint."""

    model: str = ""
    """Hub id or folder. Empty for an endpoint."""
    revision: str | None = None
    """Branch or commit of the Hub. Preset for known checkers."""
    kind: Kind | None = None
    """`classifier`, `seq2seq` or `endpoint`. Preset for known checkers."""
    like: str | None = None
    """A known checker's Hub id, whose way of asking this one shares: for a copy of it in a folder."""
    template: str | None = None
    """How document and claim become one text: {document}, {claim} and {eos}. null: a pair, as for plain NLI models."""
    supported_label: int | str | None = None
    """Of a classifier: number or name of the label that means support. null: told by the label's name."""
    answer_tokens: list[int] | None = Field(default=None, min_length=2, max_length=2)
    """Of a seq2seq model: ids of the first answer token for "not supported" and for "supported"."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Score from which a claim counts as supported. Fixed before looking."""
    max_tokens: int | None = Field(default=None, ge=32)
    """Of document and claim together. null: preset, else 512."""
    batch_size: int = Field(default=16, ge=1)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto` is bfloat16 on a GPU, else float32."""
    device: str = "auto"
    """`auto` is CUDA where there is one, else the CPU."""
    endpoint: Endpoint | None = None
    """For the kind `endpoint`; asked at temperature 0."""


@dataclass(frozen=True)
class Contract:
    """How a checker wants to be asked, and where its answer stands."""

    kind: Kind
    template: str | None = None
    supported_label: int | str | None = None
    answer_tokens: tuple[int, int] | None = None
    max_tokens: int = 512
    revision: str | None = None


JOINED = "{document}{eos}{claim}"
KNOWN = {
    "yaxili96/FactCG-DeBERTa-v3-Large": Contract(
        "classifier",
        '{document}\n\nChoose your answer: based on the paragraph above can we conclude that "{claim}"?\n\n'
        "OPTIONS:\n- Yes\n- No\nI think the answer is ",
        supported_label=1,
        max_tokens=2048,
        revision="0430e3509dbd28d2dff7a117c0eae25359ff3e80",
    ),
    "lytang/MiniCheck-RoBERTa-Large": Contract("classifier", JOINED, supported_label=1, max_tokens=512),
    "lytang/MiniCheck-DeBERTa-v3-Large": Contract("classifier", JOINED, supported_label=1, max_tokens=2048),
    "lytang/MiniCheck-Flan-T5-Large": Contract("seq2seq", "predict: " + JOINED, answer_tokens=(3, 209), max_tokens=2048),
}


@dataclass(frozen=True)
class Item:
    """One claim and the chunks it is held against; `key` covers everything that can change the verdict."""

    key: str
    claim: str
    chunks: tuple[str, ...]


@dataclass(frozen=True)
class EntailmentScore:
    """`score` is None where the answer could not be read. `best`: index of the chunk that decided, -1 where none did."""

    key: str
    score: float | None
    best: int = -1
    cut: bool = False  # the claim or the deciding chunk was longer than the checker reads
    quoted: bool | None = None  # of an endpoint that says "supported": the words it quotes stand in the chunks


def contract_of(config: Checker) -> Contract:
    """The known checker's contract, with what the recipe says in its place."""
    if config.like and config.like not in KNOWN:
        raise ValueError(
            f'checker "{config.model}" is like "{config.like}", which is not known. {did_you_mean(config.like, list(KNOWN))}'
        )
    known = KNOWN.get(config.like or config.model)
    kind = config.kind or (known and known.kind) or ("endpoint" if config.endpoint else None)
    if kind is None:
        raise ValueError(
            f'checker "{config.model}" is none of the known ones ({", ".join(KNOWN)}); say kind: classifier or seq2seq, '
            "with template and supported_label or answer_tokens, or like: KNOWN_ID"
        )
    base = known or Contract(kind)
    if config.like:
        base = replace(base, revision=None)  # a commit of another repository
    given = {
        name: value
        for name in ("template", "supported_label", "answer_tokens", "max_tokens", "revision")
        if (value := getattr(config, name)) is not None
    }
    if "answer_tokens" in given:
        given["answer_tokens"] = tuple(given["answer_tokens"])
    contract = replace(base, kind=kind, **given)
    if contract.template and not all(part in contract.template for part in ("{document}", "{claim}")):
        raise ValueError(f'the template of checker "{config.model}" lacks {{document}} or {{claim}}; it needs both')
    if kind == "seq2seq" and not (contract.template and contract.answer_tokens):
        raise ValueError(f'checker "{config.model}" is seq2seq: it needs template and answer_tokens, or like: KNOWN_ID')
    return contract
