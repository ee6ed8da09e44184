"""What an acceptable summary is: one definition for the data that trains and for the summaries that are scored.

| check         | what it measures (`value`)                  | why                                     | passes                              | fails |
|---------------|---------------------------------------------|-----------------------------------------|-------------------------------------|-------|
| length        | rendered words                              | one page is what was asked for          | 300 to 500 words                    | 299 words; 501 words; URLs do not count |
| structure     | share of words in list items                | skimmable, and renders anywhere         | a heading and 4 bullets, plain Markdown; a control token or `<think>` named in code | no bullets, unclosed fence, `**` or `](` left open, raw HTML, `<think>`, two `#` titles, YAML echo |
| preamble      | words of chat around the summary            | a summary is a document, not a reply    | starts with its heading             | "Sure, here is a summary", "Let me know if ..." |
| repetition    | share of word 4-grams that stood before     | small models loop                       | up to 0.20, nothing said twice; values of a table may recur | the same bullet, sentence or row again |
| praise        | superlatives that the source does not use   | a researcher wants claims with a source | "state-of-the-art" if the card says so or "SOTA"; "nowhere called groundbreaking" | "groundbreaking" out of nowhere |
| copying       | density: mean length of the fragment that a word is in (Grusky et al. 2018), in words | a page of lifted paragraphs is no summary | phrases and single sentences of the sources | more than 60 words in a row as in the sources, inside one bullet or paragraph |
| language      | share of words in English blocks        | readers read English; broken bytes show a broken pipeline | names and short quotations in any language; broken letters that the source has too; text too short to tell, which the reason says | a paragraph of French; one mostly in another script; "Ã©", U+FFFD |
| links         | share of distinct targets in the source     | an invented link costs the most trust   | canonical form is in the source (arXiv pdf = abs = DOI = Hub page, hf.co, Punycode, `%C3%BC` = ü, anchors, tracking such as `utm_source`), as an address, `arXiv:cs/0112017`, BibTeX `eprint`, a bare DOI or `git@HOST:OWNER/REPO`, or is the model's own page | any other address; another `?ref=`; `user@` before the host; none although the source has some that are no pictures |
| numbers       | share of numbers that the source gives      | figures are what is quoted on           | 11.2T = 11.2 trillion, 64k = 65,536, 3B for 3.08B, December 2021 for `dec2021`, 71.2% for a score of 71.2, 0.48 s for 480 ms, 3.2×10²⁴ for 3.2e24, two dozen for 24, fifteen per cent for 15%, nine in ten for 90%, two and a half million for 2.5M; 24 for 24层, `$24$` or `24L`, 71.2 for 71,2 %, 4-bit for INT4, three-dimensional for 3D, 384 for `patch14-384`; what follows, shown apart as derived: "six models" for a list or table of six, "the other four" of six, "Moor and six colleagues" for seven authors, "says three times", "a gap of 18.5" or "over eighteen points" for 71.4 and 52.9, "two thirds of the 61,500" for 41,300, "300 steps of 512, about 153,600" | a changed score; "seven models" for six, "seven epochs" for any list; a difference without its word or operands; 3.2B for 3.08B; 24 MB for 24 GB or for 24 under "Size (GB)", 4.18.1 for 4.18.0, "GPT-J 6T" for GPT-J-6B, 300 kW for 300 W, €3 for $3; -3.4 for +3.4; 5 April for 5 March; none although the source has five |
| names         | share of names that the source has          | invented models and data sets           | Qwen3 for qwen3-32b-instruct, "Llama 3.1 8B" for Llama-3.1-8B, FlashAttention for flash attention, GPT2 for GPT2LMHeadModel, GPT-3 for GPT-2/3, DPO spelled out, NarrativeQA for a misspelt NarritiveQA, TensorFlow for `tf_data`, Q3 2023, kHz | Qwen3-70B where the source has Qwen3-32B; Llama 2 70B where it has Llama 3 alone; "Orvan v0.2" for Orvan-v0.3; top-5 for top-1; openai/Foo-7B or openai/foo-base for acme's; "the Zenormun Institute" where the source has other institutes; a Cyrillic А in AdamW; "built by Ada Example" out of nowhere |
| facts         | share of stated facts recalled              | a page that leaves out the licence is of no use | half of those that the source states | 2 of 7; facts the source lacks are not asked for |
| contradiction | statements that differ from the source      | worse than leaving out                  | another tool's licence, if the source names it; what is denied or set apart ("not MIT-licensed", "unlike Llama, which ..."); MIT the university | "MIT licence" where the card says apache-2.0 and nothing says MIT; "no licence is given" where the front matter has one, "batch size and hardware are not stated" where a list has `train_batch_size: 16`; Llama 2's licence for llama3; "thirteen billion parameters" for 7B; GSM8K's 71.2 beside MMLU, which the table gives 64.3; Swedish in a list with three languages of the front matter |

`check_summary` returns one result per check, in the order of `CHECKS`, for any text whatsoever. It works from shapes and sets, with no
model, and so it is precise rather than complete: it sees a true number beside the wrong benchmark only where the source has both in a
table or list and the summary binds them plainly (tables/cells.py) or has no word of the row or column that the number is from
(tables/outside.py), not in what it computes. Precision and recall against
planted faults are in eval/checks_invented.md, made by `python -m eval.validate`.
Counts and arithmetic are derived/'s; grounded decoding allows stated numbers alone, and examples.derived_numbers keeps computed ones out of
training rows. Which five of eight are meant, nothing checks, nor that "the two" are two. A small count that the source does not
bear out ("two details", "4 sample inputs") is remarked and refuses nothing, since what a writer counts hangs on how he reads; "nine layers"
is refused where the source gives another number of layers.
Decisions that a threshold hides: a percentage may match a source's plain decimal or table cell, since tables leave the sign out;
a bare one-digit number, a count ("45 languages") or a year is never a rounding, but 12 seconds may be 12.4 seconds; "one" and "zero"
are words, not numbers, in a summary; a number of the source's identifiers and addresses may be said, but not 100 for H100;
names are told by shape, so one capitalised English word is never flagged, and several in a row only within a sentence where the
sources have none of them; a sign or a currency counts only where summary and source
both write one; what a clause denies contradicts nothing, yet its numbers and names must be in the source like any others.
"""

from __future__ import annotations

from collections.abc import Sequence

from data_prep.checks.contradiction import check_contradiction
from data_prep.checks.copying import check_copying
from data_prep.checks.derived.counts import derive, is_doubtful
from data_prep.checks.document import read
from data_prep.checks.facts import Fact, check_facts, facts_of
from data_prep.checks.form import check_length, check_preamble, check_structure
from data_prep.checks.language import check_language
from data_prep.checks.licences import licences_in
from data_prep.checks.links import check_links
from data_prep.checks.names.grounding import check_names
from data_prep.checks.numeric.grounding import check_numbers, summary_quantities
from data_prep.checks.result import CheckResult, Span
from data_prep.checks.source_index import SourceIndex
from data_prep.checks.tables.cells import misplaced
from data_prep.checks.wording import check_praise, check_repetition

__all__ = [
    "CHECKS",
    "CheckResult",
    "Fact",
    "SourceIndex",
    "Span",
    "check_summary",
    "facts_of",
    "failures",
    "faulty_spans",
    "passed_all",
]

CHECKS = tuple("length structure preamble repetition praise copying language links numbers names facts contradiction".split())


def check_summary(summary: str, source: str) -> list[CheckResult]:
    """One result per check, in the order of CHECKS. `source` is the card as found, a line `Model: ORG/NAME`, and a
    `<source url="URL">` block for each page (`source_text` in prompts/student.py). Never raises, whatever the texts."""
    known = SourceIndex.from_source(source)
    document = read(summary)
    numbers = summary_quantities(document)
    licences = list(licences_in(document.prose))
    moved = misplaced(document, numbers, known.tables, source)
    results = [
        check_length(document),
        check_structure(document),
        check_preamble(document),
        check_repetition(document),
        check_praise(document, lambda: known.praise),
        check_copying(document, known.words),
        check_language(document, known.broken_letters),
        check_links(document, known.links, expected=known.offers_links),
        check_numbers(
            numbers,
            known.numbers,
            lambda unstated: derive(unstated, numbers, document, known.together, lambda: known.operands),
            lambda unstated: is_doubtful(unstated, document, known.together),
        ),
        check_names(document, licences, known.names),
        check_facts(document, numbers, frozenset(span.label for span in licences), known.facts),
        check_contradiction(
            document, licences, known.facts, known.numbers, known.names, lambda: known.licences, known.settings, moved
        ),
    ]
    assert tuple(result.name for result in results) == CHECKS
    return results


def passed_all(results: Sequence[CheckResult]) -> bool:
    """True where no check failed."""
    return all(result.passed for result in results)


def faulty_spans(results: Sequence[CheckResult]) -> list[Span]:
    """The places that failed checks mark, in order."""
    marked = (span for result in results if not result.passed for span in result.spans)
    return sorted(marked, key=lambda span: (span.start, span.end))


def failures(results: Sequence[CheckResult]) -> str:
    """What failed and why, in one line; "" where nothing did."""
    return "; ".join(f"{result.name}: {result.reason}" for result in results if not result.passed)
