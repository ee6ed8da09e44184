"""Facts: what a source states about its model in so many words, how much of it a summary recalls, and what it gets wrong.

Recall counts only what the source states: cards leave out much, and asking for it would teach invention.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from data_prep.cards.front_matter import split_front_matter
from data_prep.cards.parse import base_models, languages, licence
from data_prep.cards.scan import lines_with, matches_at
from data_prep.checks import licences
from data_prep.checks.document import Document, lowered
from data_prep.checks.names.grounding import compact
from data_prep.checks.numeric.quantities import WORD, Quantity, binary_aliases, contains, quantities_of
from data_prep.checks.result import CheckResult, Span, listed

FACT_RECALL_MIN = 0.5  # share of the stated facts that a summary must recall
ENOUGH_OF_A_LIST = 3  # of many data sets or languages a summary may name this many

Value = str | Decimal

LANGUAGE_NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French", "gl": "Galician",
    "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "is": "Icelandic",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "ms": "Malay", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian",
    "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu",
    "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
_THREE_LETTERS = (
    "ara bul ben cat ces dan deu ell eng spa est eus fas fin fra glg guj heb hin hrv hun ind isl ita jpn kor lit lav msa nld nor "
    "pol por ron rus slk slv srp swe swa tam tel tha tur ukr urd vie zho"
).split()  # ISO 639-3, in the order of LANGUAGE_NAMES
_SPELLED_CODES = {"nb": "no", "nn": "no", "nob": "no", "cmn": "zh", "arb": "ar", "pes": "fa", "zsm": "ms", "swh": "sw"} | dict(
    zip(_THREE_LETTERS, LANGUAGE_NAMES, strict=True)
)
LANGUAGE = re.compile(rf"\b(?:{'|'.join(LANGUAGE_NAMES.values())})\b")
# Words that say a pipeline tag in a sentence, beside the tag's own words.
TASK_WORDS = {
    "text-generation": ("language model", "llm", "generative", "chat", "instruct", "text generation"),
    "text2text-generation": ("language model", "sequence-to-sequence", "seq2seq", "encoder-decoder"),
    "feature-extraction": ("embedding",), "sentence-similarity": ("embedding", "similarity"), "fill-mask": ("masked language", "encoder"),
    "token-classification": ("named entity", "ner", "tagging"), "text-classification": ("classif",), "text-to-image": ("image generation", "diffusion"),
    "automatic-speech-recognition": ("speech recognition", "asr", "transcri"), "text-to-speech": ("speech synthesis", "tts"),
    "image-text-to-text": ("vision-language", "vision language", "multimodal"), "image-classification": ("classif",),
    "object-detection": ("detect",), "image-segmentation": ("segment",), "translation": ("translat",), "summarization": ("summari",),
    "question-answering": ("question answering", "question-answering"), "reinforcement-learning": ("reinforcement", "agent"),
}  # fmt: skip

# Results that a card may report, in lower case without signs; what a summary must name some of.
BENCHMARKS = frozenset(
    "mmlu mmlupro mmluredux cmmlu ceval gsm8k mathqa math500 minervamath aime humaneval mbpp livecodebench bigcodebench arcc "
    "arce arcchallenge arceasy hellaswag winogrande piqa siqa boolq openbookqa obqa commonsenseqa csqa truthfulqa drop squad "
    "triviaqa naturalquestions race bbh bigbenchhard agieval gpqa ifeval mtbench alpacaeval arenahard mixeval ruler longbench "
    "infinitebench needleinahaystack bfcl taubench swebench musr lambada glue superglue mnli xnli sst2 stsb conll2003 mteb "
    "beir msmarco miracl flores wmt14 wmt19 belebele globalmmlu mgsm xwinograd librispeech commonvoice fleurs imagenet "
    "imagenet1k coco vqav2 textvqa docvqa chartqa mmmu mathvista mmbench mmvet seedbench ocrbench pope simpleqa".split()
)
_BEGINNINGS = frozenset(name[:length] for name in BENCHMARKS for length in range(1, len(name) + 1))
_ENGLISH = {"race", "drop", "pope", "ruler", "coco", "glue", "beir", "aime"}  # benchmarks only where a capital says so
_BENCHMARK = re.compile(r"(?<![\w/.-])([A-Za-z][A-Za-z0-9]*)(?:[-_ ][A-Za-z0-9]+){0,2}(?![\w/])")
_BEFORE_JOINT = re.compile(r"(?=[-_ ])")
_SCORE = re.compile(r"\d(?<![\w.].)\d{0,2}\.\d{1,2}(?![\w.]*\d)")

# The digit first, then a look back from it: five times as fast.
_AMOUNT = r"(?P<amount>[0-9](?<![0-9].)[0-9,.]{0,23}(?:[ -]?(?:[kmbt](?![a-z])|thousand|million|billion|trillion))?)"
# "a hundred and three billion", "one point five billion" and "twenty five billion" are more than their last words.
_SPELLED = (
    rf"(?=[ofnstez])(?<!and )(?<!hundred )(?<!point )(?<!ty )(?<![a-z-])(?P<amount>{WORD}[ -](?:million|billion|trillion))"
)
# Patterns behind the words that a line must hold for them; but for a setting's name and value ("max_seq_len:"), all is in one line.
# `~` is a gap: a space, a hyphen, or the stars of **3.2B** parameters.
_STATED: dict[str, tuple[tuple[str, str], ...]] = {
    "parameters": (
        ("param", rf"{_AMOUNT}~(?:\w+~)?param(?:eter)?s?\b"),
        ("param", rf"param(?:eter)?s?(?:~count)?[*:|=() ]{{1,8}}(?:is |of |about |around )?{_AMOUNT}"),
    ),
    "tokens": (
        (
            "train tokens",
            rf"train(?:ed|ing)\b[^.\n]{{0,30}}?\b(?:on|with|over|using|for|covered)\b[^.\n0-9]{{0,30}}{_AMOUNT}~(?:\w+~){{0,2}}tokens",
        ),
        ("train token", rf"train(?:ed|ing)~tokens?[*:|= ]{{1,8}}{_AMOUNT}"),
        ("tokens", rf"(?:saw|seen|consumed|processed)~{_AMOUNT}~(?:\w+~){{0,2}}tokens"),
        ("train tokens", rf"{_AMOUNT}~(?:\w+~)?(?:\w+-)?(?:pre|mid)?train(?:ed|ing)~tokens"),
        ("tokens", rf"{_AMOUNT}~tokens~(?:of|in)~(?:\w+~){{0,2}}(?:(?:pre|mid)?train(?:ed|ing)|text|data)"),
    ),
    "context": (
        ("context", rf"context(?:~(?:length|window|size))?\b[^.\n0-9]{{0,30}}{_AMOUNT}"),
        ("context", rf"{_AMOUNT}(?:~tokens?)?(?:~of)?~(?:\w+~)?context\b"),
        ("", rf"(?:max_position_embeddings|max_seq_len(?:gth)?|model_max_length)\W{{1,6}}{_AMOUNT}"),
        ("sequence max", rf"(?:maximum|max)~sequence~length\b[^.\n0-9]{{0,15}}{_AMOUNT}"),
        ("read tokens", rf"reads?~(?:up~to~)?{_AMOUNT}~tokens"),
    ),
}


def _compiled(amount: str, ending: str) -> dict[str, tuple[tuple[list[str], re.Pattern[str]], ...]]:
    """`ending`: a further word, which a line with such an amount must hold."""
    return {
        name: tuple(
            ([*signs.split(), ending], re.compile(pattern.replace(_AMOUNT, amount).replace("~", r"[ *-]{1,5}")))
            for signs, pattern in patterns
        )
        for name, patterns in _STATED.items()
    }


_PATTERNS = _compiled(_AMOUNT, "")
_SPELLED_PATTERNS = {**_compiled(_SPELLED, "illion"), "context": ()}
_DIGIT = re.compile("[0-9]")
_KEYS = ("max_position_embeddings", "max_seq_len", "model_max_length")
# Below these an amount is something else: "3 parameters to set", "context of 5 examples".
_LEAST = {"parameters": Decimal(100_000), "tokens": Decimal(1_000_000), "context": Decimal(256)}
_MOST = {"parameters": Decimal(10**14), "tokens": Decimal(10**15), "context": Decimal(10**8)}


@dataclass(frozen=True)
class Fact:
    """`values`: what a summary may state, one or more (identifiers, or numbers as Decimal); `display`: for people; `is_declared`: the
    front matter states it, so nobody can say that it is nowhere."""

    name: str
    values: tuple[Value, ...]
    display: str
    is_declared: bool = False


def facts_of(source: str) -> dict[str, Fact]:
    """The facts that a source states, by name: licence, base_model, languages, datasets, library, task from front matter;
    parameters, tokens, context from body and notes, and the benchmarks it gives scores on. A name is missing where the source does not state the fact."""
    metadata = split_front_matter(source).metadata
    found = [*_from_metadata(metadata), *_from_text(source)]
    if not any(fact.name == "licence" for fact in found) and (named := _licences_near_the_word(source)):
        found.append(Fact("licence", named, named[0]))
    if results := {compact(name): name for name in _benchmarks(source)}:
        found.append(Fact("benchmarks", tuple(results.values()), ", ".join(results.values())))
    return {fact.name: fact for fact in found}


def _benchmarks(source: str) -> Iterator[str]:
    """Names of known benchmarks in lines that also hold a score, as the source writes them; a line of a table's head counts
    with the line of figures below it."""
    lines = source.splitlines()
    for number, line in enumerate(lines):
        if not (
            ("." in line and _SCORE.search(line))
            or (line.lstrip().startswith("|") and _SCORE.search(" ".join(lines[number + 1 : number + 3])))
        ):
            continue
        yield from benchmarks_in(line)


def benchmarks_in(text: str) -> Iterator[str]:
    """Names of known benchmarks in a line, as it writes them."""
    for match in _BENCHMARK.finditer(text):
        if match[1].lower() not in _BEGINNINGS:
            continue  # most words
        words = _BEFORE_JOINT.split(match[0])
        for count in range(len(words), 0, -1):  # "MMLU Pro" before "MMLU"
            name = "".join(words[:count])
            if compact(name) in BENCHMARKS and not (name.islower() and compact(name) in _ENGLISH):
                yield name
                break


def list_lengths(source: str) -> tuple[int, ...]:
    """How many languages, data sets and base models the front matter lists: a summary may say "eight languages"."""
    metadata = split_front_matter(source).metadata
    return len(languages(metadata)), len(_texts(metadata.get("datasets"))), len(base_models(metadata))


def _from_metadata(metadata: dict[str, Any]) -> Iterator[Fact]:
    named = licence(metadata)
    if named and named not in licences.UNKNOWN:
        yield Fact("licence", (licences.normal(named),), named, is_declared=True)
    if parents := base_models(metadata):
        yield Fact("base_model", tuple(parents), ", ".join(parents))
    if codes := [code.lower() for code in languages(metadata) if code.lower() not in ("code", "multilingual")]:
        names = dict.fromkeys(map(language_name, codes))
        yield Fact("languages", tuple(names), ", ".join(names))
    if datasets := _texts(metadata.get("datasets")):
        yield Fact("datasets", tuple(datasets), ", ".join(datasets))
    for name, key in (("library", "library_name"), ("task", "pipeline_tag")):
        if values := _texts(metadata.get(key)):
            yield Fact(name, (values[0].lower(),), values[0])


def language_name(code: str) -> str:
    """Of pt-BR and por as of pt; the code itself where the table has none."""
    main = re.split("[-_]", code)[0]
    return LANGUAGE_NAMES.get(_SPELLED_CODES.get(main, main), code)


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item.strip() for item in items if isinstance(item, str) and item.strip()]


def _from_text(source: str) -> Iterator[Fact]:
    for name in _PATTERNS:
        stated = list(stated_amounts(name, source))
        if stated:
            values = [spelled for value, _ in stated for spelled in (value, *binary_aliases(value))]
            yield Fact(name, tuple(dict.fromkeys(values)), stated[0][1].label)


def stated_amounts(name: str, text: str) -> Iterator[tuple[Decimal, Span]]:
    """Amounts that `text` states as parameters, training tokens or context length: a value for each reading, and the
    characters, with the spelling as label."""
    lower = lowered(text)
    for signs, pattern in (*_PATTERNS[name], *_SPELLED_PATTERNS[name]):
        for match in _matches(signs, pattern, lower):
            start = match.start("amount")
            spelling = text[start : match.end("amount")].rstrip(".,")
            if start and (text[start - 1].isalnum() or text[start - 1] in ".-_/"):
                continue  # the end of a name or of a longer number
            for quantity in quantities_of(spelling):
                for reading in quantity.readings[:2]:
                    if _LEAST[name] <= reading.value <= _MOST[name]:
                        yield reading.value, Span(start, start + len(spelling), spelling)


def _matches(signs: Sequence[str], pattern: re.Pattern[str], lower: str) -> Iterator[re.Match[str]]:
    if not signs[0]:
        yield from matches_at(_KEYS, pattern, lower)
        return
    for line in lines_with(signs[:1], lower):
        if all(lower.find(sign, *line) >= 0 for sign in signs) and (signs[-1] or _DIGIT.search(lower, *line)):
            yield from pattern.finditer(lower, *line)


def _licences_near_the_word(source: str) -> tuple[str, ...]:
    found = [
        span.label
        for span in licences.licences_in(source)
        if re.search(r"licen[cs]|released under", source[max(0, span.start - 40) : span.end + 40], re.IGNORECASE)
    ]
    return tuple(dict.fromkeys(found))


# --- recall -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """What a summary says, in the forms that facts are looked up in."""

    words: str  # rendered, in lower case
    compact: str
    numbers: Sequence[Quantity]
    licences: frozenset[str]


def check_facts(
    document: Document, numbers: Sequence[Quantity], licences_named: frozenset[str], facts: Mapping[str, Fact]
) -> CheckResult:
    """`value`: share of the stated facts that the summary recalls, in any usual spelling; None where none is stated. One may always be
    left out: where a source states a single fact, that is seldom what matters."""
    if not facts:
        return CheckResult("facts", True, None, "the sources state no facts to look for")
    words = " ".join(document.words).lower()
    said = Said(words, compact(words), numbers, licences_named)
    missing = [fact for fact in facts.values() if not _RECALL[fact.name](fact, said)]
    value = 1 - len(missing) / len(facts)
    reason = f"{len(facts) - len(missing)} of {len(facts)} stated facts recalled"
    if missing:
        lacking = listed((f"{fact.name.replace('_', ' ')} ({fact.display})" for fact in missing), at_most=9)
        reason += f"; missing: {lacking}"
    return CheckResult("facts", value >= FACT_RECALL_MIN or len(missing) == 1, value, reason)


def _licence_recalled(fact: Fact, said: Said) -> bool:
    known = [str(value) for value in fact.values]
    if any(licences.agree(name, value) for name in said.licences for value in known):
        return True
    return any(compact(value) in said.compact for value in known if len(value) > 3)  # licences beyond the table: llama3.1


def _names_recalled(fact: Fact, said: Said) -> bool:
    """At least half of the names, or ENOUGH_OF_A_LIST of many; owners may be left out."""
    named = sum(compact(str(value).rpartition("/")[2]) in said.compact for value in fact.values)
    return named >= min((len(fact.values) + 1) // 2, ENOUGH_OF_A_LIST)


def _languages_recalled(fact: Fact, said: Said) -> bool:
    """Names of half of them or ENOUGH_OF_A_LIST, or their number."""
    wanted = [str(value).lower() for value in fact.values]
    named = sum(name in said.words and re.search(rf"\b{re.escape(name)}\b", said.words) is not None for name in wanted)
    counted = len(fact.values) > 1 and ("lingual" in said.words or "languages" in said.words)
    if counted and _is_stated((Decimal(len(fact.values)),), said.numbers):
        return True
    return named >= min((len(fact.values) + 1) // 2, ENOUGH_OF_A_LIST)


def _library_recalled(fact: Fact, said: Said) -> bool:
    return re.search(rf"\b{re.escape(str(fact.values[0]))}\b", said.words) is not None


def _task_recalled(fact: Fact, said: Said) -> bool:
    tag = str(fact.values[0])
    return compact(tag) in said.compact or any(
        re.search(rf"\b{re.escape(word)}", said.words) for word in TASK_WORDS.get(tag, ())
    )


def _amount_recalled(fact: Fact, said: Said) -> bool:
    return _is_stated([value for value in fact.values if isinstance(value, Decimal)], said.numbers)


def _is_stated(values: Sequence[Decimal], numbers: Sequence[Quantity]) -> bool:
    known = sorted(values)
    return any(contains(known, reading) for quantity in numbers if quantity.kind == "plain" for reading in quantity.readings)


_RECALL: dict[str, Callable[[Fact, Said], bool]] = {
    "licence": _licence_recalled,
    "base_model": _names_recalled,
    "languages": _languages_recalled,
    "datasets": _names_recalled,
    "benchmarks": _names_recalled,
    "library": _library_recalled,
    "task": _task_recalled,
    "parameters": _amount_recalled,
    "tokens": _amount_recalled,
    "context": _amount_recalled,
}
