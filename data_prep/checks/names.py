"""Names: models, data sets, libraries, benchmarks and hardware that a summary names are named by the sources.

Only what its shape tells from plain English counts: inner capitals (FineWeb, AdamW), three capitals (MMLU), a digit (Qwen3-32B, H100).
A capitalised word (Lion, Stanford) could be anything and is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from data_prep.checks.document import Document, blank
from data_prep.checks.result import CheckResult, Span, looked_up

MAX_PIECES = 5  # of one name: Qwen / 2.5 / Coder / 32B / Instruct

_TOKEN = re.compile(r"(?<![\w@#&])[A-Za-z](?:[\w.+-]*\w)?(?:/[A-Za-z0-9](?:[\w.+-]*\w)?)*")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # written without spaces: no part of the name before it
_ARXIV = re.compile(r"\b[0-9]{2}(?:0[1-9]|1[0-2])\.[0-9]{4,5}(?=v[0-9]|\b)")
# Cyrillic letters, and the Greek ones that look like Latin, beside Latin ones in one word, or letters that look like Latin
# before a digit: АdamW is not AdamW, Н100 not H100.
_FOREIGN = "\u0400-\u04ffΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"
_MIXED = re.compile(rf"(?<!\w)\w*(?:[A-Za-z][{_FOREIGN}]|[{_FOREIGN}][A-Za-z]|[АВЕКМНОРСТХ]-?[0-9])(?:[\w.+/-]*\w)?")
_OWNED = re.compile(r"(?<=[\w.-])/(\w[\w.+-]*)")
_VERSION_AND_SIZE = re.compile(r"\b([A-Z][A-Za-z]+) ([1-9](?:\.[0-9])?) [0-9]+(?:\.[0-9]+)?[BM]\b")
_NAME = re.compile(r"[0-9]|[a-z][A-Z]|[A-Z]{2,}[a-z]{2,}|(?<![A-Za-z])[A-Z]{3,}(?![a-z])")
_PIECE = re.compile(r"[A-Za-z0-9]+(?:\.[0-9]+)*")
_WHOLE = re.compile(r"\w[\w.+-]*")
_CAPITALISED_RUN = re.compile(r"(?:\b[A-Z][a-z]+[\s-]){1,6}[A-Z][a-z]+")
_ENDING = re.compile(r"(?:['’]s|(?<=[A-Z])s)\Z")
# What may follow a name without being part of it: H100-80GB, MMLU-5-shot.
_AMOUNT = re.compile(r"-[0-9]+(?:[GMT]B|-?(?:bit|shot|way|fold))\Z", re.IGNORECASE)
_LABEL = re.compile(
    r"(?:stage|phase|step|top|level|tier|type|table|figure|section|version|part|layer|option|day|week|pass|v)[-@]?\d+[\d.]*|q[1-4]"
)
_DENIAL = re.compile(
    r"says? nothing|(?:do|does|did|is|are|was|were) not (?:\w+ )?(?:mention|state|report|name|give|specif|list|disclose|compare|evaluat|test|cover|includ)"
    r"|\b(?:no|without|lacks?|missing) (?:\w+ )?(?:results?|scores?|mention|comparisons?|figures?|numbers?|information|details?|evaluation)"
    r"|not (?:stated|reported|evaluated|compared|tested|mentioned|covered|given)"
)
DENIAL_CHARACTERS = 120
_SHOUTED_LINE = re.compile(r"^[^a-z\n]*[A-Z]{3}[^a-z\n]*$", re.MULTILINE)

# Terms of the trade. They name no model, data set or tool, so using one that the sources spell out, or leave out, invents nothing.
_TERMS = frozenset(
    """
    ai ml dl rl nlp nlg nlu llm llms slm slms vlm vlms lm lms cv asr tts ocr ner qa vqa rag mt moe mlp cnn rnn gnn vit gan vae mllm
    gpu gpus cpu cpus tpu tpus npu ram vram ssd gb mb tb kv api apis sdk cli ui ux os sql html css xml json jsonl yaml csv pdf url
    urls http https id ids faq readme todo tldr pii nsfw usa uk eu diy poc sota stem iq hpc flop flops gflop tflop gflops tflops pflops mfu fps
    sft rlhf dpo ppo peft lora kl bpe mha gqa mqa rope moes cot icl fim ood oom int4 int8 fp4 fp8 fp16 fp32 fp64 bf16 bfloat16
    float16 float32 tf32 w4a16 w8a8 nf4 f1 em auc auroc roc map wer cer bleu rouge ppl rmse mae mse r2 l1 l2 co2 co2eq 2d 3d utf8
    base64 github gitlab huggingface arxiv pytorch latex javascript typescript youtube linkedin online iii vii viii note warning
    important apache mit bsd gpl lgpl agpl openrail phd msc ceo ii iv asap aka doi isbn
    """.split()
)


_OTHER = re.compile(r"[^a-z0-9]+")


def compact(name: str) -> str:
    """Lower-case letters and digits: Llama-3.1-8B, Llama 3.1 8B and llama3.1_8b are one name."""
    lower = name.lower()
    return lower if lower.isalnum() and lower.isascii() else _OTHER.sub("", lower)


def names_of(source: str) -> frozenset[str]:
    """Compact form of every word of the source, of every run of up to MAX_PIECES pieces that may be a name or the beginning
    of one ("Qwen3-32B" gives qwen, qwen3 and qwen332b), and of the acronyms that capitalised words spell; `/name` where an owner
    stands before it; words of mixed scripts as they are, in lower case."""
    pieces = _PIECE.findall(source.replace("_", " "))
    keys = [compact(piece) for piece in pieces]
    found = {compact(token) for token in set(_WHOLE.findall(source))} | _acronyms(source) | set(_ARXIV.findall(source))
    found |= {f"/{compact(name)}" for name in _OWNED.findall(source)} | _mixed(source)
    for index, key in enumerate(keys):
        found.add(key)
        if key[-1:].isdigit() and not key.isdigit():
            found.add(key.rstrip("0123456789"))
        if pieces[index][0].isupper() or not key.isalpha():
            for end in range(index + 2, min(index + MAX_PIECES, len(keys)) + 1):
                found.add("".join(keys[index:end]))
    return frozenset(found)


def _mixed(text: str) -> set[str]:
    return set() if text.isascii() else {word.lower() for word in _MIXED.findall(text)}


def _acronyms(source: str) -> set[str]:
    """ "Anchored Preference Optimization" says APO."""
    found = set()
    for run in _CAPITALISED_RUN.findall(source):
        letters = "".join(word[0] for word in re.split(r"[\s-]", run)).lower()
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
            continue  # most words; the rest costs ten times as much
        if _NAME.search(match[0]) and not any(start <= match.start() < end for start, end in shouted):
            yield Span(*match.span(), match[0])
    for match in _ARXIV.finditer(text):
        yield Span(*match.span(), match[0])


def is_known(name: str, known: frozenset[str]) -> bool:
    """True where the sources have the name or a longer one that begins with it, or where it is put together from such
    names and plain words (H100-hours, DPO/APO). A size belongs to its name: Qwen3-70B is not known from Qwen3-32B."""
    if _ARXIV.fullmatch(name):
        return name in known
    if not name.isascii() and _MIXED.fullmatch(name):
        return name.lower() in known
    if versioned := _VERSION_AND_SIZE.fullmatch(name):
        return not _is_another_version(versioned[1].lower(), versioned[2], known)
    owner, slash, owned = name.partition("/")
    if slash and _is_of_another(compact(owner), compact(owned), known):
        return False
    return all(_is_known_part(part, known) for part in name.split("/"))


def _is_another_version(name: str, version: str, known: frozenset[str]) -> bool:
    """ "Llama 2 70B" where the sources know several Llama 3 and no Llama 2 at all."""
    said = name + compact(version)
    if name in _TERMS or _LABEL.fullmatch(said) or said in known:  # the last of them for speed
        return False
    versions = [other for other in known if re.fullmatch(rf"{name}[1-9][0-9]?", other)]
    return bool(versions) and not any(other.startswith(said) for other in versions)


def _is_of_another(owner: str, name: str, known: frozenset[str]) -> bool:
    """openai/Foo-7B where the sources have acme/Foo-7B and no openai."""
    return re.search(r"[0-9]", name) is not None and f"/{name}" in known and owner not in known and owner not in _TERMS


def _is_known_part(part: str, known: frozenset[str]) -> bool:
    if compact(part) in known:
        return True
    part = _ENDING.sub("", _AMOUNT.sub("", part))
    if not _NAME.search(part) or part[:1].isdigit() or _LABEL.fullmatch(part.lower()):
        return True
    return _are_known(re.split(r"[-+_]", part), known)


def _are_known(parts: Sequence[str], known: frozenset[str]) -> bool:
    """The longest known beginning, then plain words or further known names."""
    for length in range(len(parts), 0, -1):
        key = compact("".join(parts[:length]))
        if key in known or key in _TERMS or (key.endswith("s") and (key[:-1] in known or key[:-1] in _TERMS)):
            rest = parts[length:]
            return not rest or (not re.search(r"[0-9]", rest[0]) and _are_known(rest, known))
    # A plain word may stand before or after a name (multi-GPU, SFT-like), but a digit after it makes it one.
    plain = not _NAME.search(parts[0]) and not (len(parts) > 1 and re.search(r"[0-9]", parts[1]))
    return plain and (len(parts) == 1 or _are_known(parts[1:], known))


def _is_denied(text: str, start: int) -> bool:
    """True where the sentence says that the sources lack what it names: "the card says nothing about MBPP"."""
    sentence = re.split(r"[.;:!?\n] ?", text[max(0, start - DENIAL_CHARACTERS) : start])[-1]
    return _DENIAL.search(sentence) is not None


def check_names(document: Document, licences_named: Sequence[Span], known: frozenset[str]) -> CheckResult:
    """`value`: share of the summary's names that the sources have; None where it names nothing. Licences have a check of their own."""
    found = [
        span
        for span in names_in(document.prose)
        if not _is_denied(document.lower, span.start)
        and not any(span.start < other.end and other.start < span.end for other in licences_named)
    ]
    if not found:
        return CheckResult("names", True, None, "no names to look up")
    wrong = [span for span in found if not is_known(span.label, known)]
    return looked_up("names", len(found), wrong, len(wrong))
