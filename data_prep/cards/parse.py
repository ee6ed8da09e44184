"""README text -> Card: front matter, body, links, licence, base models. Pure functions that never raise on a card's text.

A `Draft` is a card before its links, which cost ten times what all else does: collect looks for them in kept cards alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from data_prep.cards.front_matter import FrontMatter, split_front_matter
from data_prep.cards.links import extract_links
from data_prep.core.files import stable_id
from data_prep.core.records import Card, RawCard

MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?")
HUB_ADDRESS = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)/?(?:tree/[\w./-]+)?", re.IGNORECASE)
FOLDERS = set("model models output outputs checkpoint checkpoints results tmp home data local content".split())
NO_MODEL = {"none", "null", "unknown", "n", "na", "base_model", "other", "scratch", "model"}

FENCE = re.compile(r"[ \t]{0,3}(```+|~~~+)")
# Comments and what only a browser reads.
UNSEEN = re.compile(r"<(?:!--.*?(?:-->|\Z)|(style|script|svg)\b.*?(?:</\1\s*>|\Z))", re.DOTALL)
NOT_PROSE = re.compile(
    r"!\[[^\]\n]{0,300}\]\([^)\n]{0,500}\)|\]\([^)\s]{0,500}\)|<[^<>]{1,500}>|https?://\S+|\{[^{}\n]{0,200}\}"
)
# Lines that templates and trainers write: they say nothing about the one model, and make strangers look alike.
TEMPLATE_PHRASES = (
    "more information needed",
    "generated automatically",
    "automatically generated",
    "probably proofread and complete",
    "base template for new models",
    "users (both direct and downstream)",
    "carbon emissions can be estimated",
    "code below to get started with the model",
    "hyperparameters were used during training",
    "achieves the following results on the evaluation set",
)
TEMPLATE_ITEM = re.compile(r"[-*] (?:\w+_\w+: |(?:transformers|pytorch|datasets|tokenizers|peft) \d|\w+: -?[\d.e+-]+$)")
# Scripts without spaces count a character as a word.
IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
WORD = re.compile(rf"[{IDEOGRAPHS}]|[^\W{IDEOGRAPHS}]+")


@dataclass(frozen=True)
class Draft:
    """A README with its front matter read. What costs more is worked out when first asked for."""

    raw: RawCard
    text: str
    front: FrontMatter

    @cached_property
    def id(self) -> str:
        return stable_id(self.raw.model_id, self.text)

    @cached_property
    def _prose(self) -> tuple[str, str]:
        return split_prose(self.front.body)

    @property
    def prose(self) -> str:
        return self._prose[0]

    @cached_property
    def own_words(self) -> int:
        return len(words(self.prose))

    @cached_property
    def template_words(self) -> int:
        return len(words(self._prose[1]))

    def card(self) -> Card:
        """With links. `sha256` is that of the content as it came, before decoding."""
        raw, front = self.raw, self.front
        content = raw.content if isinstance(raw.content, bytes) else raw.content.encode("utf-8", "surrogatepass")
        named = base_models(front.metadata) + raw.base_models
        return Card(
            id=self.id,
            model_id=raw.model_id,
            revision=raw.revision,
            text=self.text,
            body=front.body,
            metadata=front.metadata,
            metadata_status=front.status,
            links=extract_links(front.body),
            base_models=list(dict.fromkeys(named)),
            licence=licence(front.metadata),
            language=languages(front.metadata),
            sha256=hashlib.sha256(content).hexdigest(),
            source=raw.source,
            truth=raw.truth,
        )


def draft(raw: RawCard) -> Draft:
    text = decode(raw.content)
    return Draft(raw, text, split_front_matter(text))


def parse_card(raw: RawCard) -> Card:
    """The card of a README as found, links included."""
    return draft(raw).card()


def decode(content: bytes | str) -> str:
    """Text without NUL and lone surrogates; bytes that are no UTF-8 become U+FFFD. Line ends stay as found."""
    if isinstance(content, bytes):
        return content.decode("utf-8", "replace").replace("\0", "")
    return re.sub("[\ud800-\udfff]", "\ufffd", content).replace("\0", "")


# --- metadata ---------------------------------------------------------------------------------------------------------


def base_models(metadata: dict[str, Any]) -> list[str]:
    """Hub ids of the parents, from `base_model` in its many forms and `base_model:` tags. Local paths are no models."""
    tags = [text.removeprefix("base_model:") for text in _texts(metadata.get("tags")) if text.startswith("base_model:")]
    named = [*_texts(metadata.get("base_model")), *(tag.rpartition(":")[2] for tag in tags)]
    found = (_model_id(part) for text in named for part in text.strip("[] ").split(","))
    return list(dict.fromkeys(model for model in found if model))


def _model_id(text: str) -> str | None:
    text = text.strip(" \"'")
    if address := HUB_ADDRESS.fullmatch(text):
        text = address[1]
    if not MODEL_ID.fullmatch(text) or text.lower() in NO_MODEL or text.partition("/")[0].lower() in FOLDERS:
        return None
    return text


def licence(metadata: dict[str, Any]) -> str | None:
    """The first licence named, in lower case; the name the author gives where it is `other`."""
    named = next(_texts(metadata.get("license", metadata.get("licence"))), None)
    if named and named.lower() == "other":
        named = next(_texts(metadata.get("license_name")), named)
    return named.lower() if named else None


def languages(metadata: dict[str, Any]) -> list[str]:
    """Language codes as the author wrote them, each once."""
    named = (part.strip() for text in _texts(metadata.get("language", metadata.get("languages"))) for part in text.split(","))
    return list(dict.fromkeys(name for name in named if name))


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value that should be a text or a list of texts, and now and then is a mapping."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str) and item.strip():
            yield item.strip()
        elif isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            stack.append(next((item[key] for key in ("name", "model", "id", "model_id") if key in item), list(item)))


# --- prose ------------------------------------------------------------------------------------------------------------


def prose(body: str) -> str:
    """What the author wrote in sentences: no code, tables, comments, tags, addresses, and no line of a known template."""
    return split_prose(body)[0]


def split_prose(body: str) -> tuple[str, str]:
    """Prose as the author wrote it, and the lines that a template or trainer wrote."""
    own, template, fence = list[str](), list[str](), ""
    for line in UNSEEN.sub("", body).split("\n"):
        mark = FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence and not line.lstrip().startswith("|"):
            kind = template if is_template(line.lower()) else own
            kind.append(NOT_PROSE.sub(" ", line))
    return "\n".join(own), "\n".join(template)


def is_template(line: str) -> bool:
    """Whether a lower-case line is one that templates write. Plain search: ten times faster than one pattern for all."""
    return any(phrase in line for phrase in TEMPLATE_PHRASES) or (
        line.startswith(("- ", "* ")) and TEMPLATE_ITEM.match(line) is not None
    )


def words(text: str) -> list[str]:
    """Lower-case words; an ideograph is a word."""
    return WORD.findall(text.lower())
