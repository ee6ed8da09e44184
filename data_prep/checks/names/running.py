"""A source's letters and digits run together, with the places where a name may begin and end in them.

Names are spelled with a space, a hyphen, a capital or nothing between their parts: "flash attention", flash-attention and
FlashAttention are one run, and so is the beginning of GPT2LMHeadModel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST = 80  # letters and digits of a run that is looked for

# What ends a name; between its parts a line may end.
_ZERO = "\u2060"  # stands for `^` until the source's own signs are gone
# One after the other, since each begins with a sign that is found fast, and no two of them share one.
_BARRIERS = (re.compile(rf"[^A-Za-z0-9\s_/'’@\\{_ZERO}-]+"), re.compile(r"\n[ \t\r]*\n"), re.compile(" [-/] "))
_LINK_IN_NAME = re.compile(r"\[([^\[\]\n]{1,80})\]\([^()\s]{1,300}\)(?=[-\w])")  # [NSP-BERT](...)-110M
_JOINT = re.compile(r"[\s_/'’@\\-](?:[\s_/'’@\\-]++|(?<=[\n_/'’@\\-]))")
# Where a part begins inside a word: 2022quartz, headModel, GPTNeo. Where one may end: yoloV8, 2.0.
_AFTER_DIGIT = re.compile(r"[0-9](?=[A-Z][A-Za-z]|[a-z]{3})")
# From the sign behind the place on, which few have.
_CAMEL = re.compile(r"[A-Z](?:(?<=[a-z].)(?=[A-Za-z])|(?<=[A-Z].)(?=[a-z]))")
_BEFORE_VERSION = re.compile(r"[vV0-9](?<=[A-Za-z].)(?:(?<=[vV])(?=[0-9])|(?<=[0-9])(?=[0-9]? ?[bB]it))")
_POINT_ZERO = re.compile(r"\.(?<=[0-9]\.)(?=0(?!\.?[0-9]))")
_POINT = re.compile(r"\.(?<=[0-9]\.)(?=[0-9])")


@dataclass(frozen=True)
class Running:
    """`text`: letters and digits in lower case; a space where a part begins, `~` where one does inside a word, `^` where one may
    end there, `|` where no name goes on. `joined`: the same without spaces, `~` and `^`."""

    text: str
    joined: str

    @classmethod
    def of(cls, source: str) -> Running:
        text = _POINT.sub("", _POINT_ZERO.sub(_ZERO, _LINK_IN_NAME.sub(r"\1", source)))
        for barrier in _BARRIERS:
            text = barrier.sub("|", text)
        text = _JOINT.sub(" ", text).replace(_ZERO, "^")
        text = _CAMEL.sub(r"~\g<0>", _BEFORE_VERSION.sub(r"^\g<0>", _AFTER_DIGIT.sub(r"\g<0> ", text)))
        text = text.lower()
        return cls(text, text.replace(" ", "").replace("~", "").replace("^", ""))

    def has(self, run: str) -> bool:
        """True where `run`, letters and digits in lower case, begins and ends where a name may. With a digit it begins where a
        word does: Llama-7B is not the end of CodeLlama-7B."""
        if run not in self.joined or not 0 < len(run) <= LONGEST:
            return False
        before = "a-z0-9^" if run.isalpha() else "a-z0-9~^"
        first, rest = run[0], "".join(f"[ ~^]?{sign}" for sign in run[1:])
        return re.search(f"{first}(?<![{before}]{first}){rest}(?![a-z0-9])", self.text) is not None
