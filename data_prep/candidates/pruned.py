"""A failing sample without what the checks mark: what is left says less and is true, and nobody has to know better.

Of a list ("English, Polish and Swedish") only the marked items go, of a link its address, of anything else the whole line. The chosen
text of such a pair is the model's own but for what it should not have said, so it learns to leave out what it cannot look up (compare
RLHF-V, arXiv 2312.00849).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from data_prep.checks import CheckResult, faulty_spans
from data_prep.checks.document import lines_of

PRUNED_VERSION = "2"  # of these rules: under others the same sample is mended otherwise
_BEFORE = re.compile(r"(?P<joint>,? and |, )\Z|: \Z")
_BEHIND = re.compile(r"(?P<joint>,? and |, )|[.;]?\s*\Z")
_LINKED = re.compile(r"!?\[(?P<text>(?:(?!://)[^\[\]])+)\]\(<?\Z")
_LINK_END = re.compile(r">?(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"(#{1,6})\s")
_LAST_COMMA = re.compile(r", (?=[^,]*\Z)")


def pruned(sample: str, results: Sequence[CheckResult], cut: bool = False) -> str:
    """`sample` without what failed checks mark, then without headings that lost all that stood below; `cut`: and without the line
    that it breaks off in."""
    marked = dict.fromkeys((span.start, span.end) for span in faulty_spans(results))
    made = []
    for start, line in lines_of(sample):
        inside = [(first - start, last - start) for first, last in marked if start <= first < start + len(line)]
        is_within = any(first < start < last for first, last in marked)  # of a mark of several lines: all of them go
        made.append("" if is_within else _without(line, inside))
    return "".join(_headed(made[:-1] + [""] if cut else made)).strip()


def _headed(lines: Sequence[str]) -> list[str]:
    """The lines without headings that are left with nothing; "" is a line that went."""
    kept: list[str] = []
    below, lost = 0, False  # level of the heading that follows, -1 for text and 0 for the end; whether a line before it went
    for line in reversed(lines):
        level = len(heading[1]) if (heading := _HEADING.match(line)) else -1
        if level > 0 and lost and 0 <= below <= level:
            continue
        kept.append(line)
        if line.strip():
            below, lost = level, False
        lost = lost or not line
    return kept[::-1]


def _without(line: str, marked: Sequence[tuple[int, int]]) -> str:
    last_and = None  # where the item before it ended, if that item is the last one now
    for first, last in reversed(marked):
        linked, closed = _LINKED.search(line[:first]), _LINK_END.match(line[last:])
        if linked and closed and not any(linked.start() < other < first for other, _ in marked):
            line = line[: linked.start()] + linked["text"] + line[last + closed.end() :]
            continue
        before, behind = _BEFORE.search(line[:first]), _BEHIND.match(line[last:])
        if not before or not behind or not (before["joint"] or behind["joint"]):
            return ""
        if before["joint"]:
            ends_list = "and" in before["joint"] or last_and == last
            first, last_and = before.start(), before.start() if ends_list else last_and
        else:
            last += behind.end()
        line = line[:first] + line[last:]
    return line if last_and is None else _LAST_COMMA.sub(" and ", line[:last_and]) + line[last_and:]
