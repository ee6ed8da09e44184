"""What ties cards together: parents, names of copies, shared papers and repositories, the same or nearly the same text.

Quantised copies, fine-tunes and forks quote their parent's card. Cards tied to each other may only be in one split.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from rensa import RMinHash, RMinHashLSH

from data_prep.cards import prose, words
from data_prep.schema import Card, stable_id

SHINGLE = 5  # words
MIN_WORDS = 30  # below this, prose is too short for its overlap with another's to mean anything
# 40 bands of 3: a pair at Jaccard 0.5 is looked at with probability 0.995, a pair at 0.1 with 0.04.
PERMUTATIONS, BANDS = 120, 40
SEED = 20_240_517
# A card this close to one already known finds whatever its twin would find, so the twin stands for both.
TWIN = 0.95

QUANTISATION = re.compile(r"(?<![a-z0-9])i?q[1-8](?:[_-](?:k|0|1|s|m|l|xs|xxs|nl)){1,3}(?![a-z0-9])")
BITS = re.compile(r"(\d)[-_ .]?bits?(?![a-z])")
# Endings of names that tell the form of the weights, not what they are.
FORMS = set(
    "gguf ggml gptq awq exl2 exl3 mlx bnb nf4 hqq eetq aqlm autoround imatrix i1 marlin hf safetensors onnx openvino ov ct2 ctranslate2 "
    "quantized quantised quant quants dynamic unsloth copy sharded fp32 fp16 bf16 fp8 fp4 mxfp4 nvfp4 f32 f16 int8 int4 w4a16 w8a8 w8a16".split()
)
FORM = re.compile(r"\d+bit|q\d|\d*bpw|h[68]|gs(?:32|64|128)|(?:32|64|128)g")
# "a renamed copy of owner/name", "fine-tuned version of [owner/name](...)", "based on owner/name": cards without `base_model`
# say it in words. A name without owner is left alone: it is a word as often as a model.
STATED_PARENT = re.compile(
    r"\b(?:(?:version|copy|fork|variant|conversion|quanti[sz]ation|quants?|fine-?tuned?|merge|distillation|adapter|weights)\s+(?:of|from|for)|"
    r"(?:based|fine-?tuned)\s+on|(?:derived|initiali[sz]ed|converted)\s+from)\s+(?:the\s+)?"
    r"[\[*_`]{0,4}(?:https?://(?:huggingface\.co|hf\.co)/)?([A-Za-z0-9][\w.-]{1,95}/[\w.-]{1,95}\w)(?![\w/])",
    re.IGNORECASE,
)
ARXIV_ID = re.compile(r"(?:arxiv\.)?(\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v\d+)?(?:\.pdf)?", re.IGNORECASE)

# Cited for what a model was made or served with, not for what it is. Without this list a small collection, where nothing is
# cited often, would be one family.
TOOLS = {
    *(f"repo:huggingface/{name}" for name in "transformers diffusers peft trl accelerate datasets tokenizers lighteval".split()),
    *(f"repo:{name}/llama.cpp" for name in ("ggerganov", "ggml-org")),
    "repo:vllm-project/vllm", "repo:sgl-project/sglang", "repo:ollama/ollama", "repo:eleutherai/lm-evaluation-harness",
    "repo:ukplab/sentence-transformers", "repo:google/sentencepiece", "repo:nvidia/nemo", "repo:nvidia/megatron-lm",
    "repo:unslothai/unsloth", "repo:axolotl-ai-cloud/axolotl", "repo:dao-ailab/flash-attention", "repo:microsoft/deepspeed",
    "paper:arxiv:1910.09700", "paper:arxiv:1810.03993", "paper:arxiv:1706.03762", "paper:arxiv:2106.09685", "paper:arxiv:2305.14314",
}  # fmt: skip


@dataclass(frozen=True)
class Ties:
    """All that the split keeps of one card in memory. `signature` is None for too short a text."""

    id: str
    keys: tuple[str, ...]
    signature: RMinHash | None


def ties(card: Card) -> Ties:
    text = words(prose(card.body))
    models = [card.model_id, *card.base_models, *STATED_PARENT.findall(card.body)]
    keys = [f"model:{model.lower()}" for model in models]
    keys += [f"name:{name}" for model in models if (name := stem(model))]
    keys += [key for link in card.links if (key := source_key(link)) and key not in TOOLS]
    if text:
        keys.append(f"text:{stable_id(' '.join(text))}")
    return Ties(card.id, tuple(dict.fromkeys(keys)), signature(text))


def stem(model_id: str) -> str | None:
    """The name without owner and without the endings of quantised, converted or re-uploaded copies.

    None for names too general to tie strangers' models: one word, or two without a digit.
    """
    name = BITS.sub(r"\1bit", model_id.rpartition("/")[2].lower())
    parts = [part for part in re.split(r"[\W_]+", QUANTISATION.sub("", name)) if part]
    while len(parts) > 1 and (parts[-1] in FORMS or FORM.fullmatch(parts[-1])):
        ending = parts.pop()
        if ending.endswith("bpw") and len(parts) > 1 and parts[-1].isdigit():
            parts.pop()
    general = len(parts) < 2 or (len(parts) == 2 and not any(char.isdigit() for char in "".join(parts)))
    return None if general else "-".join(parts)


def source_key(address: str) -> str | None:
    """One name for a paper or a repository under its many addresses; None for other pages."""
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return None
    path = [unquote(part) for part in parts.path.split("/") if part]
    if host == "doi.org" or host == "dx.doi.org":
        paper = _arxiv("/".join(path[1:])) if path[:1] == ["10.48550"] else None
        return paper or (f"paper:doi:{'/'.join(path).lower()}" if len(path) > 1 else None)
    if (
        host.endswith("arxiv.org")
        or host in ("alphaxiv.org", "ar5iv.org")
        or (host in ("huggingface.co", "hf.co") and path[:1] == ["papers"])
    ):
        return _arxiv("/".join(path[1:]))
    if host == "aclanthology.org" and path:
        return f"paper:acl:{path[0].removesuffix('.pdf').lower()}"
    if host == "openreview.net":
        return f"paper:openreview:{found[0]}" if (found := parse_qs(parts.query).get("id")) else None
    if host == "github.com" and len(path) > 1:
        return f"repo:{path[0]}/{path[1].removesuffix('.git')}".lower()
    return None


def is_source(key: str) -> bool:
    return key.startswith(("paper:", "repo:"))


def _arxiv(text: str) -> str | None:
    found = ARXIV_ID.fullmatch(text)
    return f"paper:arxiv:{found[1].lower()}" if found else None


def signature(text: Sequence[str]) -> RMinHash | None:
    """MinHash of the text's 5-word shingles (Broder 1997), None below MIN_WORDS words."""
    if len(text) < MIN_WORDS:
        return None
    sketch = RMinHash(num_perm=PERMUTATIONS, seed=SEED)
    sketch.update([" ".join(text[start : start + SHINGLE]) for start in range(len(text) - SHINGLE + 1)])
    return sketch


class NearDuplicates:
    """An index of texts that finds those whose estimated Jaccard similarity is at least `threshold`."""

    def __init__(self, threshold: float):
        self.threshold = threshold
        self.index = RMinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, num_bands=BANDS)
        self.ids: list[str] = []
        self.digests = np.empty((1024, PERMUTATIONS), np.uint32)

    def find(self, sketch: RMinHash | None) -> list[tuple[str, float]]:
        """Ids and similarities of the near-duplicates known so far, in the order they were added."""
        candidates = np.array(sorted(self.index.query(sketch)) if sketch else [], np.int64)
        if not candidates.size:
            return []
        similar = (self.digests[candidates] == np.array(sketch.digest(), np.uint32)).mean(axis=1)
        chosen = np.flatnonzero(similar >= self.threshold)
        return [(self.ids[candidates[place]], float(similar[place])) for place in chosen]

    def add(self, card_id: str, sketch: RMinHash | None, found: Iterable[tuple[str, float]]) -> None:
        """Remembers a text. `found` is what `find` gave for it."""
        if sketch is None or any(similarity >= TWIN for _, similarity in found):
            return
        if len(self.ids) == len(self.digests):
            self.digests = np.concatenate([self.digests, np.empty_like(self.digests)])
        self.digests[len(self.ids)] = sketch.digest()
        self.index.insert(len(self.ids), sketch)
        self.ids.append(card_id)


def crossings(
    cards: Iterable[Ties], groups: dict[str, str], families: dict[str, str], common: set[str], threshold: float
) -> Iterator[str]:
    """What two cards of different splits share, one sentence each; nothing where the splits are clean."""
    holders: dict[str, str] = {}
    near = NearDuplicates(threshold)
    for card in cards:
        if card.id not in groups:
            continue
        for key in [*card.keys, f"family:{families[card.id]}"]:
            other = holders.setdefault(key, card.id)
            if key not in common and groups[other] != groups[card.id]:
                yield f"{card.id} ({groups[card.id]}) and {other} ({groups[other]}) share {key}"
        found = near.find(card.signature)
        for other, similarity in found:
            if groups[other] != groups[card.id]:
                yield f"{card.id} ({groups[card.id]}) and {other} ({groups[other]}) are {similarity:.0%} the same text"
        near.add(card.id, card.signature, found)
