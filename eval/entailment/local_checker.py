"""Checkers that run here: sequence classifiers and encoder-decoders, from safetensors alone, without a repository's code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from data_prep.core.manifest import content_hash
from data_prep.core.text import first_line
from eval.entailment.checkers import KNOWN, Checker, Contract, EntailmentScore, Item
from eval.stats.figures import DIGITS

SUPPORT_WORDS = ("supported", "support", "entailment", "entailed", "entail", "consistent", "grounded", "factual", "yes")
CLAIM_SHARE = 0.5  # of max_tokens: a longer claim is a model gone wild, and is judged by its beginning
BATCHES = 8  # that share one write and one order by length


class LocalChecker:
    """A sequence classifier or an encoder-decoder, run here. Nothing of its repository is executed, pickles are refused."""

    usage = None

    def __init__(self, config: Checker, contract: Contract) -> None:
        self.config, self.contract, self.threshold, self.model = config, contract, config.threshold, config.model
        self.name = re.sub(r"[^\w.-]+", "-", Path(config.model).name if Path(config.model).is_dir() else config.model)
        self.tokenizer = load_tokenizer(config.model, contract.revision)
        self._network: Any = None
        self._inputs: set[str] = set()
        self._labels: list[int] = []

    @cached_property
    def identity(self) -> dict[str, Any]:
        folder = Path(self.config.model)
        weights = content_hash(folder) if folder.is_dir() else self.config.model
        contract = self.contract
        return {
            "weights": weights,
            "revision": contract.revision,
            "template": contract.template,
            "label": contract.answer_tokens or contract.supported_label,
            "max_tokens": contract.max_tokens,
            "dtype": device_and_dtype(self.config)[1],  # verdicts of two precisions differ
        }

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]

    def check(self, items: Sequence[Item], done: set[str]) -> Iterator[list[EntailmentScore]]:
        """Verdicts of the items that are not done, group by group. The groups are the same whatever is done: what a claim
        shares a batch with moves its score in the last digits."""
        for group in _groups(items, self.config.batch_size * BATCHES):
            if todo := [item for item in group if item.key not in done]:
                yield self._verdicts(todo)

    def _verdicts(self, items: list[Item]) -> list[EntailmentScore]:
        claims = {item.key: self._cut(item.claim, int(self.contract.max_tokens * CLAIM_SHARE)) for item in items}
        pairs = [(item.key, index, chunk) for item in items for index, chunk in enumerate(item.chunks)]
        pairs.sort(key=lambda pair: len(pair[2]))
        found: dict[str, list[tuple[float, int, bool]]] = {item.key: [] for item in items}
        size = self.config.batch_size
        for batch in (pairs[start : start + size] for start in range(0, len(pairs), size)):
            texts = [self._fitted(chunk, claims[key]) for key, _, chunk in batch]
            scores = self.score([text for text, _ in texts])
            for (key, index, _), (_, cut), score in zip(batch, texts, scores, strict=True):
                found[key].append((round(score, DIGITS), index, cut))
        verdicts = []
        for item in items:
            score, best, cut = max(found[item.key], key=lambda one: (one[0], -one[1]), default=(0.0, -1, False))
            verdicts.append(EntailmentScore(item.key, score, best, cut or claims[item.key] != item.claim))
        return verdicts

    def _fitted(self, document: str, claim: str) -> tuple[str | tuple[str, str], bool]:
        """The text that the tokenizer gets, its document cut where the whole is too long."""

        def built(document: str) -> str | tuple[str, str]:
            if self.contract.template is None:
                return document, claim
            # Not str.format: cards are full of braces.
            values = {
                "{document}": document,
                "{claim}": claim,
                "{eos}": self.tokenizer.eos_token or self.tokenizer.sep_token or "\n",
            }
            return re.sub(r"\{(?:document|claim|eos)\}", lambda name: values[name[0]], self.contract.template)

        text = built(document)
        if sum(len(part.encode()) for part in ([text] if isinstance(text, str) else text)) < self.contract.max_tokens - 8:
            return text, False  # no token is shorter than a byte
        over = self._length(text) - self.contract.max_tokens
        if over <= 0:
            return text, False
        room = self.count([document])[0] - over
        while room > 0 and self._length(built(self._cut(document, room))) > self.contract.max_tokens:
            room -= 8  # tokens merge across the cut
        return built(self._cut(document, room)), True

    def _length(self, text: str | tuple[str, str]) -> int:
        first, second = (text, None) if isinstance(text, str) else text
        return len(self.tokenizer(first, second, verbose=False)["input_ids"])

    def _cut(self, text: str, most: int) -> str:
        """`text` up to `most` tokens."""
        if most <= 0:
            return ""
        if (size := self.count([text])[0]) <= most:
            return text
        short = text[: len(text) * most // size]
        while self.count([short])[0] > most:
            short = short[: len(short) * 9 // 10]
        return short

    def score(self, texts: Sequence[str | tuple[str, str]]) -> list[float]:
        """Probability of support of each text."""
        import torch

        model = self._loaded()
        encoded = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.contract.max_tokens, return_tensors="pt"
        )
        encoded = {name: value.to(model.device) for name, value in encoded.items() if name in self._inputs}
        with torch.inference_mode():
            if self.contract.kind == "seq2seq":
                start = torch.full((len(texts), 1), model.config.decoder_start_token_id, device=model.device)
                logits = model(**encoded, decoder_input_ids=start).logits[:, 0, self._labels]
                return torch.softmax(logits.float(), dim=-1)[:, 1].tolist()
            return torch.softmax(model(**encoded).logits.float(), dim=-1)[:, self._labels].sum(-1).tolist()

    def _loaded(self) -> Any:
        if self._network is None:
            self._network = load_weights(self.config, self.contract)
            # A tokenizer may give token types that the model has no place for.
            self._inputs = set(inspect.signature(self._network.forward).parameters)
            if self.contract.kind == "seq2seq":
                self._labels = list(self.contract.answer_tokens or ())
                if max(self._labels) >= self._network.config.vocab_size:
                    raise ValueError(
                        f'answer_tokens {self._labels} are beyond the vocabulary of "{self.config.model}" '
                        f"({self._network.config.vocab_size} tokens); correct them"
                    )
            else:
                self._labels = [supported_index(self._network.config, self.contract.supported_label, self.config.model)]
        return self._network


def load_tokenizer(model: str, revision: str | None) -> Any:
    """Raises ValueError in words where there is none."""
    from transformers import AutoTokenizer

    if model.startswith(("/", ".", "~")) and not Path(model).is_dir():
        raise ValueError(f"there is no folder {model}; a checker's model is a folder or a Hub id")
    refuse_remote_code(model, revision)
    try:
        return AutoTokenizer.from_pretrained(model, revision=revision)
    except (OSError, ValueError, ImportError) as error:
        raise ValueError(f'cannot load the tokenizer of checker "{model}": {first_line(error)}') from None


def refuse_remote_code(model: str, revision: str | None) -> None:
    """HHEM and others ship their own Python; here no repository's code runs."""
    from transformers import CONFIG_MAPPING, PreTrainedConfig

    try:
        raw, _ = PreTrainedConfig.get_config_dict(model, revision=revision)
    except (OSError, ValueError) as error:
        raise ValueError(f'cannot load checker "{model}": {first_line(error)}; download it first, or correct model') from None
    if raw.get("auto_map") and raw.get("model_type") not in CONFIG_MAPPING:
        raise ValueError(
            f'checker "{model}" needs code of its own repository (trust_remote_code), which is never run here; '
            f"take one of {', '.join(KNOWN)}, or serve it behind an endpoint"
        )


def device_and_dtype(config: Checker) -> tuple[str, str]:
    """What `auto` comes to on this machine."""
    import torch

    device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    return device, config.dtype if config.dtype != "auto" else "bfloat16" if device.startswith("cuda") else "float32"


def load_weights(config: Checker, contract: Contract) -> Any:
    """The model in evaluation mode, from safetensors alone."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

    family = AutoModelForSeq2SeqLM if contract.kind == "seq2seq" else AutoModelForSequenceClassification
    device, name = device_and_dtype(config)
    try:
        model, loaded = family.from_pretrained(
            config.model, revision=contract.revision, dtype=getattr(torch, name), use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        said = first_line(error)
        if "safetensors" in said:
            said = (
                "it has no safetensors, and pickles from outside are not loaded. On the Hub its discussions may hold a conversion "
                "(revision: refs/pr/N); else convert it once on a machine apart, "
                f"{family.__name__}.from_pretrained(ID, use_safetensors=False).save_pretrained(FOLDER) with the tokenizer beside it, "
                "and set model: FOLDER, like: ID"
            )
        raise ValueError(f'cannot load checker "{config.model}": {said}') from None
    # A head that was not in the file is random, and its verdicts would look like any other.
    if missing := sorted(loaded["missing_keys"]):
        raise ValueError(
            f'"{config.model}" is no finished checker: its weights lack {missing[0]} ({len(missing)} in all); '
            "name a model that was trained to classify support"
        )
    return model.to(device).eval()


def supported_index(config: Any, wanted: int | str | None, model: str) -> int:
    """Number of the label that means support. Raises ValueError where the labels' names leave it open."""
    labels = {int(index): str(name) for index, name in config.id2label.items()}
    if len(labels) < 2:
        raise ValueError(f'checker "{model}" has one output; a classifier needs a label for support and one for the rest')
    shown = ", ".join(f"{index} {name}" for index, name in labels.items())
    if isinstance(wanted, int):
        if wanted not in labels:
            raise ValueError(f'supported_label is {wanted}, but checker "{model}" has the labels {shown}; correct it')
        return wanted
    names = (wanted.lower(),) if wanted else SUPPORT_WORDS
    found = [index for index, name in labels.items() if name.lower() in names]
    if len(found) != 1:
        raise ValueError(
            f'the labels of checker "{model}" are {shown}: which one means support is ambiguous; set supported_label to its number'
        )
    return found[0]


def _groups(items: Iterable[Item], pairs: int) -> Iterator[list[Item]]:
    """Items in order, so many that their chunks are about `pairs`."""
    held: list[Item] = []
    for item in items:
        held.append(item)
        if sum(len(one.chunks) for one in held) >= pairs:
            yield held
            held = []
    if held:
        yield held
