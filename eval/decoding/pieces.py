"""The characters that each token of a vocabulary stands for, looked up once a token."""

from __future__ import annotations

import re
from typing import Any

# What no rule but that of repeated runs looks at: letters and spaces alone, where neither a number nor an address is open.
_TELLING = re.compile(r"[^\w ,;*_'\"–-]|[0-9]|think")


class Pieces:
    """`text` is what a token adds behind others: a SentencePiece keeps its space, half a letter is U+FFFD."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._anchor = tokenizer.encode("a", add_special_tokens=False)[-1:]
        self._before = len(self._decoded(self._anchor))
        self._controls = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
        self._texts: dict[int, str] = {}
        self._plain: dict[int, bool] = {}

    def text(self, token: int) -> str:
        if token not in self._texts:
            self._texts[token] = self._decoded([*self._anchor, token])[self._before :]
        return self._texts[token]

    def is_plain(self, token: int) -> bool:
        if token not in self._plain:
            self._plain[token] = _TELLING.search(self.text(token)) is None
        return self._plain[token]

    def is_control(self, token: int) -> bool:
        return token in self._controls

    def tokens(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def _decoded(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
