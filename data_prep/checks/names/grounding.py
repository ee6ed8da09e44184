"""Names: models, data sets, libraries, benchmarks and hardware that a summary names are named by the sources.

Only what its shape tells from plain English counts: inner capitals (FineWeb, AdamW), three capitals (MMLU), a digit (Qwen3-32B, H100),
and several capitalised words in a row within a sentence (people.py). A single one (Lion, Stanford) could be anything and is left alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from operator import add
from urllib.parse import unquote

from data_prep.checks.document import Document, blank
from data_prep.checks.language import has_foreign_lines
from data_prep.checks.names.owners import Owners
from data_prep.checks.names.people import capitalised_in, is_body, is_run, is_told, unaccented
from data_prep.checks.names.running import Running
from data_prep.checks.names.versions import Versions
from data_prep.checks.result import CheckResult, Span, looked_up

LONG_NAME = 9  # letters of a name that one wrong letter leaves recognisable
SHORT_NAME = 6  # of one that a letter too many or too few does
OTHER_LETTERS = 20  # of another script, from which on names may be romanised
LONG_INSIDE = 5  # letters of one that is looked for inside an identifier
MAX_PIECES = 5  # of one name: Qwen / 2.5 / Coder / 32B / Instruct

# Not a word in small letters, which is no name: so are most.
_TOKEN = re.compile(r"(?<![\w@#&])(?![a-z]++(?![\w.+/-]))[A-Za-z](?:[\w.+-]*\w)?(?:/[A-Za-z0-9](?:[\w.+-]*\w)?)*")
_JOINTS = re.compile("[-_]")
_OF_TASKS = re.compile("-(?:to|of|in|or|and|the)-")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # written without spaces: no part of the name before it
_ARXIV = re.compile(r"[0-9](?<!\w[0-9])[0-9](?:0[1-9]|1[0-2])\.[0-9]{4,5}(?=v[0-9]|\b)")
# Cyrillic letters, and the Greek ones that look like Latin, beside Latin ones in one word, or letters that look like Latin
# before a digit: АdamW is not AdamW, Н100 not H100.
_FOREIGN = "\u0400-\u04ffΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"
_MIXED = re.compile(rf"(?<!\w)\w*(?:[A-Za-z][{_FOREIGN}]|[{_FOREIGN}][A-Za-z]|[АВЕКМНОРСТХ]-?[0-9])(?:[\w.+/-]*\w)?")
_VERSION_AND_SIZE = re.compile(r"\b([A-Z][A-Za-z]+) ([1-9](?:\.[0-9])?) [0-9]+(?:\.[0-9]+)?[BM]\b")
_NAME = re.compile(r"[0-9]|[a-z][A-Z]|[A-Z]{2,}[a-z]{2,}|(?<![A-Za-z])[A-Z]{3,}(?![a-z])")
_PIECE = re.compile(r"[A-Za-z0-9]+(?:\.[0-9]+)*")
# GPT-2/3, LABEL1,2, GPT-2 and -3, CIFAR-10/100: the name is said once for all its numbers.
_SEVERAL = re.compile(
    r"[A-Z](?<!\w[A-Z])([A-Za-z]{1,20})[- ]?[0-9]{1,3}(?:\.[0-9])?((?:(?:/|,(?=[0-9]{1,2}(?![0-9]| [A-Za-z]))|, ?-| and -| or -| & -)[0-9]{1,3}(?:\.[0-9])?(?![\w.]?[0-9A-Za-z])){1,5})"
)
_PLURALS = re.compile(r"\b([A-Z]{2,})s\b")  # LLMs
_QUOTED = re.compile("%2[0-9A-Fa-f]")  # portrait%2B1.0 of an address
_WHOLE = re.compile(r"\w[\w.+-]*")
_CAPITALISED_RUN = re.compile(r"[A-Z](?<!\w[A-Z])[a-z]+[\s-](?:[A-Z][a-z]+[\s-]){0,5}[A-Z][a-z]+")
_SMALL_WORDS = r"(?:(?:of|for|in|on|and|the|to)\s){0,2}"
_CAPITALISED_TITLE = re.compile(
    rf"[A-Z](?<!\w[A-Z])[a-z]+[\s-]{_SMALL_WORDS}(?:[A-Z][a-z]+[\s-]{_SMALL_WORDS}){{0,5}}[A-Z][a-z]+"
)
_ENDING = re.compile(r"(?:['’]s|(?<=[A-Z])s)\Z")
# What may follow a name without being part of it: H100-80GB, MMLU-5-shot.
_AMOUNT = re.compile(r"-[0-9]+(?:[GMT]B|-?(?:bit|shot|way|fold))\Z", re.IGNORECASE)
_LABEL = re.compile(
    r"(?:stage|phase|step|top|level|tier|type|table|figure|section|version|part|layer|option|day|week|pass|v(?!\d{3}))[-@]?\d+[\d.]*|q[1-4]"
)
_TOP = re.compile(r"[Tt][Oo][Pp]-?([0-9]{1,4})")
# A version, with the word before it; V100 is none.
_PLACED = re.compile(r"(?:([\w.+/-]+) )?(?:v(?=[0-9])|V(?=[0-9]{1,2}(?![0-9])))([0-9]+(?:[._][0-9]+)*)")
_WORD_BEFORE = re.compile(r"(?<![\w.+/-])[\w.+/-]+ \Z")
_NUMBERED = re.compile(r"(.*?[^0-9v])v?([0-9]+)")
_SUBSCRIPT = re.compile(r"<(su[bp])>(?P<inner>[^<]{0,40})</\1>", re.IGNORECASE)
_TAG = re.compile(r"</?su[bp]>", re.IGNORECASE)
# A unit with its prefix: kHz, dB, GiB. Written so it is no model and no data set.
_UNIT = re.compile(
    r"[kMGTPEZmnpcd]?(?:Hz|B|b|bps|bits?|W|Wh|V|A|Ah|J|eV|Pa|cal|FLOPs?|FLOPS|flops|OPS)|[KMGTPE]i(?:B|b|bits?)|FPS|RPM|DPI"
)
_OTHER_SCRIPT = re.compile("[\u0370-\u1fff\u3040-\u9fff\uac00-\ud7af]")
_METRICS = ("rouge", "bleu")
_DENIAL = re.compile(
    r"says? nothing|(?:do|does|did|is|are|was|were) not (?:\w+ )?(?:mention|state|report|name|give|specif|list|disclose|compare|evaluat|test|cover|includ)"
    r"|\b(?:no|without|lacks?|missing) (?:\w+ )?(?:results?|scores?|mention|comparisons?|figures?|numbers?|information|details?|evaluation)"
    r"|not (?:stated|reported|evaluated|compared|tested|mentioned|covered|given)"
)
_CAPITALS = re.compile("[A-Z]{2,}")  # NATO
_NO = re.compile(r"\b(?:no|neither|nor) [^,]{0,40}\Z")
_NO_BEFORE = re.compile(r"\bno \Z")
_GIVES_NO = re.compile(
    r"\b(?:gives?|has|states?|reports?|names?|mentions?|shows?|prints?|lists?|offers?|contains?|includes?|with|there (?:is|are))"
    r" (?:no|neither|nor)(?:(?: [\w-]+){1,3},? (?:no|nor|or))*(?: [a-z-]+){0,2}[ *_`]{0,3}\Z"
)
_IS_GIVEN = re.compile(
    r"[^.,;:!?\n]{1,60} (?:is|are|was|were) (?:given|reported|printed|stated|named|listed|shown|mentioned|told)\b"
)
_IS_MISSING = re.compile(
    r"[^.;:!?\n]{0,60} (?:is|are|was|were) (?:missing|absent|left out|unstated|not (?:given|reported|printed|stated|named|listed|mentioned))\b"
)
DENIAL_CHARACTERS = 120
# Abbreviations in a section under such a heading are of what the sources lack.
_LACKING = re.compile(
    r"\b(?:missing|absent|gaps|unanswered|unknowns?|not (?:stated|given|said|told|covered|documented|reported|there)"
    r"|not on (?:the )?(?:card|page)|(?:leaves?|left) (?:out|open|unsaid)|does(?: not|n[’']t) (?:say|state|tell|give|cover|report)|silent|no word)\b"
)
_SHOUTED_LINE = re.compile(r"^(?![ \t>]*\|)[^a-z\n]*[A-Z]{3}[^a-z\n]*$", re.MULTILINE)  # not the row of a table

# Terms of the trade. They name no model, data set or tool, so using one that the sources spell out, or leave out, invents nothing.
_TERMS = frozenset(
    """
    ai ml dl rl nlp nlg nlu llm llms slm slms vlm vlms lm lms cv asr tts ocr ner qa vqa rag mt moe mlp cnn rnn gnn vit gan vae mllm
    gpu gpus cpu cpus tpu tpus npu ram vram ssd gb mb tb kv api apis sdk cli ui ux os sql html css xml json jsonl yaml csv pdf url
    urls http https id ids faq readme todo tldr pii nsfw usa uk eu diy poc sota stem iq hpc flop flops gflop tflop gflops tflops pflops mfu fps
    nli sts mlm clm nsp nmt srl pos sft rlhf dpo ppo peft lora kl bpe mha gqa mqa rope moes cot icl fim ood oom int4 int8 fp4 fp8 fp16 fp32 fp64 bf16 bfloat16
    float16 float32 tf32 w4a16 w8a8 nf4 f1 em auc auroc roc map wer cer bleu rouge ppl rmse mae mse r2 l1 l2 co2 co2eq 2d 3d utf8
    base64 github gitlab huggingface arxiv pytorch latex javascript typescript youtube linkedin online iii vii viii note warning
    cfg ema sgd important apache mit bsd gpl lgpl agpl openrail phd msc ceo ii iv asap aka doi isbn bibtex tsv
    """.split()
)


_OTHER = re.compile(r"[^a-z0-9]+")


def compact(name: str) -> str:
    """Lower-case letters and digits: Llama-3.1-8B, Llama 3.1 8B and llama3.1_8b are one name."""
    lower = name.lower()
    return lower if lower.isalnum() and lower.isascii() else _OTHER.sub("", lower)


@dataclass(frozen=True)
class Names:
    """What a source names. `words` answers for nearly all names of a true summary; the rest is looked for in the source itself."""

    words: frozenset[str]
    source: str
    languages: Sequence[str] = ()  # that it gives by their codes

    @cached_property
    def running(self) -> Running:
        """With subscripts, set off by a space too, and without: ROUGE<sub>RAW</sub>-1 is a ROUGE-1 and a ROUGE RAW-1, and
        {R}o{BERT}a in a title is RoBERTa."""
        text = self.source.replace("{", "").replace("}", "").replace("%20", " ")
        readings = [_TAG.sub("", text), _SUBSCRIPT.sub("", text), _SUBSCRIPT.sub(r" \g<inner>", text)]
        return Running.of("\n|".join(readings) if "<su" in text else text)

    @cached_property
    def lower(self) -> str:
        return "\n".join([self.source, *self.languages]).lower()

    @cached_property
    def is_romanised(self) -> bool:
        """True where a source in another script may give people and places that a summary spells in Latin letters."""
        return not self.source.isascii() and len(_OTHER_SCRIPT.findall(self.source)) >= OTHER_LETTERS

    @cached_property
    def is_translated(self) -> bool:
        """True where a source in another language may name bodies and acts that a summary names in English."""
        return has_foreign_lines(self.source)

    @cached_property
    def unaccented(self) -> str:
        return unaccented(self.lower)

    @cached_property
    def long_words(self) -> Mapping[str, list[str]]:
        """Those that may be misspelt, by their first two letters."""
        found = defaultdict[str, list[str]](list)
        for word in self.words:
            if len(word) >= SHORT_NAME:
                found[word[:2]].append(word)
        return dict(found)

    @cached_property
    def asked(self) -> dict[str, bool]:
        """Names that summaries have been asked about, and whether they are known: pages on one source name the same things."""
        return {}

    @cached_property
    def owners(self) -> Owners:
        return Owners.of(self.source, compact)

    @cached_property
    def versions(self) -> Versions:
        return Versions.of(self.source)

    def has(self, name: str) -> bool:
        """True where the source has `name`, however it joins its parts, or a longer one that begins with it."""
        key = compact(name)
        return key in self.words or any(self.running.has(run) for run in _spellings(key, name.endswith(".0")))


def _spellings(key: str, whole: bool) -> Iterator[str]:
    """Of a name that ends in a number: DeBERTa-v3 is a DeBERTa version 3, ZeRO-3 ZeRO stage 3; where it is `whole`, 2.0 is 2."""
    yield key
    numbered = _NUMBERED.fullmatch(key) if len(key) < 60 else None
    if numbered:
        yield from (numbered[1] + joint + numbered[2] for joint in ("", "v", "version", "stage"))
        if whole:
            yield key[:-1]


def names_of(source: str, languages: Sequence[str] = ()) -> Names:
    return Names(_words_of(source), source, languages)


def _words_of(source: str) -> frozenset[str]:
    """Compact form of every word of the source, of every run of up to MAX_PIECES pieces that may be a name or the beginning
    of one ("Qwen3-32B" gives qwen, qwen3 and qwen332b), and of the acronyms that capitalised words spell;
    words of mixed scripts as they are, in lower case."""
    pieces = _PIECE.findall(source.replace("_", " "))
    key_of = {piece: piece.lower().replace(".", "") for piece in set(pieces)}
    keys = [*map(key_of.__getitem__, pieces)]
    whole = set(_WHOLE.findall(source)) | (set(_WHOLE.findall(unquote(source))) if _QUOTED.search(source) else set())
    found = set(map(compact, whole)) | _acronyms(source) | set(_ARXIV.findall(source))
    found |= _mixed(source) | _of_several(source) | set(map(str.lower, _PLURALS.findall(source)))
    found |= {key.rstrip("0123456789") for key in set(keys) if key[-1:].isdigit() and not key.isdigit()}
    may_begin = {piece: piece[0].isupper() or not key.isalpha() for piece, key in key_of.items()}
    begins = [*map(may_begin.__getitem__, pieces)]
    found.update(keys)
    runs = list(compress(keys, begins))
    for length in range(1, MAX_PIECES):
        runs = list(map(add, runs, compress(keys[length:], begins)))
        found.update(runs)
    return frozenset(found)


def _of_several(source: str) -> set[str]:
    """gpt3 of GPT-2/3."""
    return {
        compact(match[0][0] + match[1] + number)
        for match in _SEVERAL.finditer(source)
        for number in re.findall(r"[0-9]+(?:\.[0-9])?", match[2])
    }


def _mixed(text: str) -> set[str]:
    return set() if text.isascii() else {word.lower() for word in _MIXED.findall(text)}


def _acronyms(source: str) -> set[str]:
    """ "Anchored Preference Optimization" says APO, "Society for Applied Physics" SAP."""
    found = set()
    for run in {*_CAPITALISED_RUN.findall(source), *_CAPITALISED_TITLE.findall(source)}:
        letters = "".join(word[0] for word in re.split(r"[\s-]", run) if word[0].isupper()).lower()
        found |= {letters[start:end] for start in range(len(letters)) for end in range(start + 3, len(letters) + 1)}
    return found


def names_in(text: str) -> Iterator[Span]:
    """Words of `text` whose shape makes them names; the label is the name. Headings in capitals are skipped."""
    shouted = [match.span() for match in _SHOUTED_LINE.finditer(text)]
    if not text.isascii():
        text = _UNSPACED.sub(" ", text)
        mixed = list(_MIXED.finditer(text))
        yield from (Span(*match.span(), match[0]) for match in mixed)
        text = blank(text, (match.span() for match in mixed))
    yield from (Span(*match.span(), match[0]) for match in _VERSION_AND_SIZE.finditer(text))
    for match in _TOKEN.finditer(text):
        if match[0].islower() and match[0].isalpha():
            continue  # before a full stop
        if (_NAME.search(match[0]) or match[0].count("/") == 1) and not any(
            start <= match.start() < end for start, end in shouted
        ):
            start = _before(text, match.start()) if _PLACED.fullmatch(match[0]) else match.start()
            yield Span(start, match.end(), text[start : match.end()])
    for match in _ARXIV.finditer(text):
        yield Span(*match.span(), match[0])
    yield from capitalised_in(text)


def _before(text: str, start: int) -> int:
    """Where the word before a version begins: "Orvan v0.3" is one name."""
    word = _WORD_BEFORE.search(text, max(0, start - 60), start)
    return word.start() if word else start


def is_known(name: str, known: Names) -> bool:
    """True where the sources have the name or a longer one that begins with it, or where it is put together from such
    names and plain words (H100-hours, DPO/APO). A size belongs to its name: Qwen3-70B is not known from Qwen3-32B."""
    if name not in known.asked:
        known.asked[name] = _is_known(name, known)
    return known.asked[name]


def _is_known(name: str, known: Names) -> bool:
    if _ARXIV.fullmatch(name):
        return name in known.words
    if is_run(name):
        return is_told(name, known.source, known.lower, _TERMS) or is_told(
            unaccented(name), known.source, known.unaccented, _TERMS
        )
    if not name.isascii() and _MIXED.fullmatch(name):
        return name.lower() in known.words
    if versioned := _VERSION_AND_SIZE.fullmatch(name):
        return not _is_another_version(versioned[1].lower(), versioned[2], known)
    owner, slash, owned = name.partition("/")
    if slash and "/" not in owned:
        if _is_of_another(owner, owned, known):
            return False
        if not _NAME.search(name) and _is_long(owned):
            return compact(owner) in known.words or known.has(owned)
    if placed := _PLACED.fullmatch(name):
        return known.versions.has(placed[1] or "", placed[2])
    return all(_is_known_part(part, known) for part in name.split("/"))


def _is_another_version(name: str, version: str, known: Names) -> bool:
    """ "Llama 2 70B" where the sources know several Llama 3 and no Llama 2 at all."""
    said = name + compact(version)
    if name in _TERMS or _LABEL.fullmatch(said) or said in known.words:  # the last of them for speed
        return False
    versions = [other for other in known.words if re.fullmatch(rf"{name}[1-9][0-9]?", other)]
    return bool(versions) and not any(other.startswith(said) for other in versions)


def _is_of_another(owner: str, name: str, known: Names) -> bool:
    """openai/Foo-7B where the sources have acme/Foo-7B and no openai; or have it for a repository, whatever else they say of openai."""
    own, key = compact(owner), compact(name)
    owners = known.owners.of_name.get(key, ())
    if not owners or own in owners or own in _TERMS:
        return False
    if key in known.owners.repositories:
        return own not in known.words or re.search("[0-9_-]", name) is not None
    return own not in known.words and re.search("[0-9]", name) is not None


def _is_repository(label: str, known: Names) -> bool:
    """True of kiln/foo-base-cased, which only its owner tells from words, and of kiln/foo where the sources have a repository foo."""
    name = label.rpartition("/")[2]
    return not label.isascii() or _is_long(name) or compact(name) in known.owners.repositories


def _is_long(name: str) -> bool:
    """True of foo-base-cased, not of text-to-speech."""
    return len(_JOINTS.findall(name)) > 1 and not _OF_TASKS.search(name)


def _is_known_part(part: str, known: Names) -> bool:
    if compact(part) in known.words:
        return True
    if rank := _TOP.fullmatch(part):
        return known.versions.has_rank(rank[1])
    if version := _PLACED.fullmatch(part):
        return known.versions.has("", version[2])
    part = _ENDING.sub("", _AMOUNT.sub("", part))
    if not _NAME.search(part) or part[:1].isdigit() or _LABEL.fullmatch(part.lower()) or _UNIT.fullmatch(part):
        return True
    if any(holds(part, known) for holds in (_is_short_metric, _is_abbreviated, _is_misspelt, _opens_an_address, _is_inside)):
        return True
    return _are_known(re.split(r"[-+_]", part), known)


def _are_known(parts: Sequence[str], known: Names) -> bool:
    """The longest known beginning, then plain words or further known names."""
    for length in range(len(parts), 0, -1):
        name = "".join(parts[:length])
        key = compact(name)
        if key in _TERMS or known.has(name) or (key.endswith("s") and (key[:-1] in _TERMS or known.has(key[:-1]))):
            rest = parts[length:]
            return not rest or (not re.search(r"[0-9]", rest[0]) and _are_known(rest, known))
    # A plain word may stand before or after a name (multi-GPU, SFT-like), but a digit after it makes it one.
    plain = not _NAME.search(parts[0]) and not (len(parts) > 1 and re.search(r"[0-9]", parts[1]))
    return plain and (len(parts) == 1 or _are_known(parts[1:], known))


def _is_short_metric(name: str, known: Names) -> bool:
    """R-1 where the sources have ROUGE-1 or ROUGE-RAW-1."""
    short = re.fullmatch(r"([A-Z])-?([0-9])", name)
    return short is not None and any(
        term + short[2] in known.words or known.running.has(f"{term}raw{short[2]}")
        for term in _METRICS
        if term[0] == short[1].lower()
    )


def _is_inside(name: str, known: Names) -> bool:
    """Seq2Seq where the sources have AutoModelForSeq2SeqLM."""
    if len(name) < LONG_INSIDE or not name.isalnum() or name.lower() not in known.lower:
        return False
    begin, rest = re.escape(name[0].upper()), re.escape(name[1:])
    return re.search(rf"(?<=[a-z]){begin}(?i:{rest})(?![a-z])", known.source) is not None


def _is_abbreviated(name: str, known: Names) -> bool:
    """TensorRT where the sources have trt, TensorFlow where something of theirs begins with tf_ or TF: two letters alone say little."""
    letters = "".join(re.findall("[A-Z]", name)) if name.isalpha() and name.isascii() and name[0].isupper() else ""
    if len(letters) != 2:
        return 2 < len(letters) < len(name) - 2 and letters.lower() in known.words
    return re.search(rf"(?<![^\W_])(?:{letters.lower()}_[a-z]|{letters}[A-Z][A-Z0-9]*[a-z]{{2}})", known.source) is not None


def _opens_an_address(name: str, known: Names) -> bool:
    """ACL for aclanthology.org, COCO for images.cocodataset.org: capitals with which a piece of an address begins."""
    return (
        name.isupper()
        and name.isascii()
        and name.lower() in known.source
        and re.search(rf"(?<=[/.]){re.escape(name.lower())}[a-z]*\.[a-z]", known.source) is not None
    )


def _is_misspelt(name: str, known: Names) -> bool:
    """NarrativeQA where the sources have NarritiveQA: of a long name, one letter; RougeL for RougueL, but not RoBERT for RoBERTa."""
    key = compact(name)
    if not key.isalpha() or len(key) < SHORT_NAME:
        return False
    near = [word for word in known.long_words.get(key[:2], ()) if abs(len(word) - len(key)) < 2]
    if len(key) < LONG_NAME:
        near = [word for word in near if len(word) != len(key) and word[-1] == key[-1]]
    return any(_differ_in_one(word, key) for word in near)


def _differ_in_one(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    if len(short) == len(long):
        return sum(a != b for a, b in zip(short, long, strict=True)) == 1
    return any(long[:at] + long[at + 1 :] == short for at in range(len(long)))


def _is_denied(text: str, start: int) -> bool:
    """True where the sentence says that the sources lack what it names: "the card says nothing about MBPP", "no MBPP score is given"."""
    sentence = re.split(r"[.;:!?\n] ?", text[max(0, start - DENIAL_CHARACTERS) : start])[-1]
    if _DENIAL.search(sentence) or _GIVES_NO.search(sentence) or _IS_MISSING.match(text, start):
        return True
    return _NO.search(sentence) is not None and _IS_GIVEN.match(text, start) is not None


def _of_what_is_lacking(document: Document) -> list[tuple[int, int]]:
    """What stands, without a number, in sections whose headings say that the sources lack it: "Missing: any metric such as FID"."""
    found, lacking = [], False
    for block in document.blocks:
        if block.kind == "heading":
            lacking = _LACKING.search(block.text.lower()) is not None
        elif lacking and not any(character.isdigit() for character in block.text):
            found.append((block.start, block.end))
    return found


def _may_be_lacking(span: Span, lower: str) -> bool:
    """True of FID, and of what "no" stands before: among the things that the sources lack."""
    return (
        _CAPITALS.fullmatch(span.label) is not None or _NO_BEFORE.search(lower, max(0, span.start - 4), span.start) is not None
    )


def _may_be_put_otherwise(name: str, known: Names) -> bool:
    """True of what may be a source's name in Latin letters, or in English: the check can neither bear it out nor refuse it."""
    if is_run(name):
        return known.is_romanised or (is_body(name) and known.is_translated)
    return known.is_romanised and _CAPITALS.fullmatch(name) is not None


def check_names(document: Document, licences_named: Sequence[Span], known: Names) -> CheckResult:
    """`value`: share of the summary's names that the sources have; None where it names nothing. Licences have a check of their own."""
    lacking = _of_what_is_lacking(document)
    found = [
        span
        for span in names_in(document.prose)
        if not _is_denied(document.lower, span.start)
        and not any(span.start < other.end and other.start < span.end for other in licences_named)
        and not (_may_be_lacking(span, document.lower) and any(start <= span.start < end for start, end in lacking))
    ]
    found = [span for span in found if "/" not in span.label or _NAME.search(span.label) or _is_repository(span.label, known)]
    if not found:
        return CheckResult("names", True, None, "no names to look up")
    unknown = {name for name in {span.label for span in found} if not is_known(name, known)}
    wrong = [span for span in found if span.label in unknown]
    remarks = [span for span in wrong if _may_be_put_otherwise(span.label, known)]
    wrong = [span for span in wrong if span not in remarks]
    return looked_up("names", len(found), wrong, len(wrong), remarks=remarks)
