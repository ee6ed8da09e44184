"""How numbers are set in LaTeX, HTML and Markdown, put into plain characters: `$7$B` is 7B, `45\\%` is 45%, `10<sup>-5</sup>` is 10^-5."""

from __future__ import annotations

import re

# What stands between the signs of a formula that is one number: $3 and $5 are prices.
_ONE_NUMBER = r"[~≈<>≤≥±+−-]{0,2}[ ]?[0-9](?:[0-9.,^{}×·x %KMBTkmbt−+-]{0,40}[0-9%}KMBTkmbt])?"
# In this order: what stands inside a formula comes before its signs.
_RULES = tuple(
    (sign, re.compile(pattern, re.IGNORECASE), shown)
    for sign, pattern, shown in (
        ("&", r"&(?:times|#215);", "×"),
        ("&", r"&(?:minus|#8722);", "−"),
        ("&", r"&(?:nbsp|thinsp|#160);", " "),
        ("<", r"10(?<![0-9.]10)[ ]?<sup>[ ]?([-+−–]?[0-9]{1,2})[ ]?</sup>", r"10^\1"),
        ("{", r"\{(?<=[0-9]\{)([,.])\}(?=[0-9])", r"\1"),
        ("\\", r"\\(?<=[0-9]\\)[,;:! ](?=[0-9]{3}(?![0-9]))", ""),
        ("\\", r"\\[,;:!]", " "),
        ("\\", r"\{(?<=[0-9]\{)\\([%$])\}", r"\1"),
        ("\\", r"\\([%$_#~.+])", r"\1"),
        ("\\", r"\\times(?![a-z])", "×"),
        ("\\", r"\\cdot(?![a-z])", "·"),
        ("\\", r"\\(?:sim|simeq|approx)(?![a-z])[ ]?", "~"),
        ("\\", r"\\geq?(?![a-z])[ ]?", "≥"),
        ("\\", r"\\leq?(?![a-z])[ ]?", "≤"),
        ("\\", r"\\pm(?![a-z])[ ]?", "±"),
        ("\\", r"\\(?:text|math|boldsymbol|mbox|num|bm|emph)[a-z]{0,6}\{([^{}\n]{1,60})\}", r"\1"),
        ("{", r"\{([~≈×·])\}", r"\1"),
        ("$", r"\$([~≈×·≥≤±<>])\$", r"\1"),
        ("$", rf"\${{1,2}}[ ]?({_ONE_NUMBER})[ ]?\${{1,2}}", r"\1"),
        ("\\", rf"\\\([ ]?({_ONE_NUMBER})[ ]?\\\)", r"\1"),
    )
)


def plain(text: str) -> str:
    """`text` with its numbers in plain characters."""
    for sign, pattern, shown in _RULES:
        if sign in text:
            text = pattern.sub(shown, text)
    return text


def plain_with_offsets(text: str) -> tuple[str, list[int] | range]:
    """`plain(text)`, and for each of its characters, and for its end, where in `text` it came from."""
    offsets: list[int] | range = range(len(text) + 1)
    for sign, pattern, shown in _RULES:
        if sign not in text:
            continue
        parts: list[str] = []
        moved: list[int] = []
        last = 0
        for match in pattern.finditer(text):
            put = match.expand(shown)
            parts += [text[last : match.start()], put]
            moved += [*offsets[last : match.start()], *[offsets[match.start()]] * len(put)]
            last = match.end()
        if parts:
            text, offsets = "".join([*parts, text[last:]]), [*moved, *offsets[last:]]
    return text, offsets
