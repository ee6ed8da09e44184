"""A writer of a fixed text, piece by piece, for tests of what stands around a model."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

from eval.summarizing.writers import Written
from eval.web.models import Choice, Models

STUB = Choice("stub", "stub")


class WordTokenizer:
    """A word is a token; loading a real one takes seconds."""

    chat_template, eos_token = "stub", "<|im_end|>"

    def __call__(self, text: str, add_special_tokens: bool = False) -> dict[str, list[int]]:
        return {"input_ids": [0] * len(text.split())}

    def apply_chat_template(self, conversation: list[dict[str, str]], **_: Any) -> str:
        return "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in conversation)

    def get_added_vocab(self) -> dict[str, int]:
        return {"<|im_start|>": 1, "<|im_end|>": 2}


@dataclass
class StubWriter:
    """Shows `text` word by word, `pause_s` after each. `prompts`: what it was given; `written`: how many texts it has finished."""

    text: str
    pause_s: float = 0.0
    name: str = "/srv/models/stub"  # a path, which no visitor may see
    context: int | None = None
    identity: dict[str, Any] = field(default_factory=lambda: {"model": "stub", "endpoint": "http://10.0.0.7/v1"})
    prompts: list[Any] = field(default_factory=list)
    written: int = 0
    tokenizer: WordTokenizer = field(default_factory=WordTokenizer)

    def load(self) -> float:
        return 0.0

    def write(
        self, messages: Any, decoding: Any, max_new_tokens: int, seed: int, show: Any, source: str = "", thoughts: int = 0
    ) -> Written:
        self.prompts.append(messages)
        said = ""
        for piece in re.findall(r"\s*\S+", self.text):
            said += piece
            show(said)
            if self.pause_s:
                time.sleep(self.pause_s)
        self.written += 1
        return Written(self.text, "", "stop", 10, len(said.split()), 0.01, 0.02)


def stub_models(text: str, pause_s: float = 0.0) -> tuple[Models, StubWriter]:
    writer = StubWriter(text, pause_s)
    return Models([STUB], _opened={STUB.label: writer}), writer  # type: ignore[dict-item]
