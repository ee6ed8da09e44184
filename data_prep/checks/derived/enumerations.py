"""Enumerations of a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data_prep.checks.derived.groups import Group, families
from data_prep.checks.derived.words import SENTENCE_END, stems
from data_prep.checks.facts import LANGUAGE_NAMES

MAX_ITEM_WORDS = 7  # of an enumeration: what is longer is a clause
_CLAUSE_END = re.compile(r":(?=\s)|[()\[\]]|\s[–—-]\s")
_COMMA = re.compile(r"[,、，]\s*(?:(?P<last>(?:and|or|as well as)\s|&\s?))?")
_AND = re.compile(r"\s(?:and|or|as well as)\s|\s?&\s?")
_SIGNS, _WORDS = frozenset(",、，;/&"), frozenset(("and", "or", "well"))  # without one nothing is enumerated
_SLASHES = re.compile(r"(?<![\w/.:])[^\W_][\w+-]{0,30}(?: ?/ ?[^\W_][\w+-]{0,30}){1,20}(?![\w/]|\.\w)")
_LANGUAGES = stems(" ".join(LANGUAGE_NAMES.values()))


def enumerations(text: str, heading: frozenset[str]) -> Iterator[Group]:
    """ "English, French and German", also with slashes and semicolons, and "A and B", which is no list by itself."""
    for sentence in SENTENCE_END.split(text.replace("\n", " ") if "\n" in text else text):
        if _SIGNS.isdisjoint(sentence) and _WORDS.isdisjoint(sentence.split()):
            continue  # most sentences
        if ";" in sentence and (count := len([part for part in sentence.split(";") if part.strip()])) > 2:
            yield Group(count, "items of an enumeration", stems(sentence[:200]) | heading, stems(sentence))
        if "/" in sentence:
            for match in _SLASHES.finditer(sentence):
                around = sentence[max(0, match.start() - 60) : match.end() + 30]
                yield Group(match[0].count("/") + 1, "items of an enumeration", stems(around), stems(match[0]), explicit=False)
        before = ""
        for clause in _CLAUSE_END.split(sentence):
            for part in clause.split(";"):
                yield from _enumeration(part, before, heading)
            before = clause if clause.strip() else before


def _enumeration(clause: str, before: str, heading: frozenset[str]) -> Iterator[Group]:
    parts, last = [], False
    position = 0
    for joint in _COMMA.finditer(clause):
        parts.append(clause[position : joint.start()])
        position, last = joint.end(), bool(joint["last"])
    parts.append(clause[position:])
    pair = _AND.search(parts[-1])
    if len(parts) == 1 and not pair:
        return  # most clauses
    lead, tail = parts[0].split(), parts[-1].split()
    named = stems(" ".join([*before.split()[-8:], *lead[-6:], *tail[:5]])) | (
        heading if len(lead) < 4 and not before else frozenset()
    )
    held = stems(clause)
    if len(held & _LANGUAGES) > len(parts) / 2:
        named |= {"language"}
    if len(parts) == 1:
        yield Group(len(_AND.findall(clause)) + 1, "items of an enumeration", named, held, explicit=False)
        return
    yield from families(parts)
    run = 1
    for part in reversed(parts[:-1]):
        run += 1
        if len(part.split()) > MAX_ITEM_WORDS:
            break  # what leads to the first item
    ended = last or bool(pair) or (len(parts) > 4 and all(len(part.split()) <= MAX_ITEM_WORDS for part in parts[1:]))
    bounded = all(len(part.split()) <= MAX_ITEM_WORDS for part in parts)
    if ended or bounded:
        size = run + (bool(pair) and not last)
        yield Group(size, "items of an enumeration", named, held, explicit=size > 2)
