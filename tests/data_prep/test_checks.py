"""Each check on one invented model: what passes, what fails, and that reason and span name it."""

from __future__ import annotations

import re

import pytest

from data_prep.checks import CHECKS, SourceIndex, check_summary, facts_of, failures, passed_all
from data_prep.checks.copying import coverage_density, extractive_fragments, index_words
from data_prep.checks.document import read
from data_prep.checks.links import canonical
from data_prep.checks.numeric.grounding import is_grounded, numbers_of
from data_prep.checks.numeric.quantities import quantities

CARD = """---
license: apache-2.0
language: [en, fr, de]
base_model: zelkis/Orvan-3B-Base
datasets:
- zelkis/OrvanWeb
library_name: transformers
pipeline_tag: text-generation
---
# Orvan-3B

Orvan-3B has 3.08B parameters and was trained on 11.2T tokens. The context length is 65,536 tokens. It compares to Tulvex2.5-7B.
Trained with [kiln](https://github.com/zelkis/kiln) on 384 H100 GPUs; see https://arxiv.org/abs/2507.01234v2 and Anchored Preference
Optimization in the [post](https://hf.co/blog/orvan?utm_source=card#top). Accuracy rose by 45%. Released on 2025-07-08. Kiln is
under the MIT licence. It was tuned in two stages, and is a state-of-the-art model by our tests.

| Benchmark | Params (B) | Score |
|---|---|---|
| GSM8K | 3.1 | 67.63 |
| MMLU | 3.1 | 54.2 |
"""
SOURCE = (
    f'{CARD}\nModel: zelkis/Orvan-3B\n\n<source url="https://github.com/zelkis/kiln">\nKiln reaches 12,345 tokens/s.\n</source>'
)


def summary(*bullets: str, opening: str = "", closing: str = "") -> str:
    """An acceptable summary of Orvan-3B with `bullets` put in."""
    facts = [
        "- **Scale**: 3B parameters trained on 11.2 trillion tokens with a 64k context, from Orvan-3B-Base for text generation.",
        "- **Data**: OrvanWeb in English, French and German, prepared with [kiln](https://github.com/zelkis/kiln).",
        "- **Results**: 67.6 on GSM8K and 54.2% on MMLU, using transformers for every run.",
        "- **Licence**: Apache 2.0.",
    ]
    middle = "This page gathers what a researcher needs in order to judge the model: its training, its data and its results."
    return f"{opening}## Orvan-3B in brief\n\n{middle}\n\n" + "\n".join([*facts, *bullets, *REMARKS]) + f"\n{closing}"


REMARKS = (
    "- **Reproduction**: configurations, logs and intermediate weights are public, so that each step can be repeated or replaced by another.",
    "- **Limits**: the model may state falsehoods with confidence, and its answers outside the listed languages were never measured at all.",
    "- **Use**: it suits experiments on small hardware, where larger models do not fit and where latency matters more than breadth.",
    "- **Caution**: all figures are claims of the authors, and independent measurements under one set of prompts would be welcome.",
    "- **Filtering**: short pages, lists of keywords and machine translations were dropped before any tokens were counted, by open rules.",
    "- **Tokenisation**: digits are split singly, which helps arithmetic and makes sequences longer wherever tables of figures occur.",
    "- **Scheduling**: after a short warm-up the learning rate stays constant, then falls in a straight line towards zero near the end.",
    "- **Merging**: averages over late weights replaced a search for the best one, because validation loss was too noisy to choose by.",
    "- **Safety**: refusals were tuned lightly; nobody tested medical or legal questions, so products need a guard of their own in front.",
    "- **Deployment**: quantised copies exist for laptops, though their quality was only inspected by eye rather than by any benchmark.",
    "- **Monitoring**: spikes in loss were rare and went away without restarts, as the published curves show for the entire run.",
    "- **Annotation**: people who rated answers were paid by the hour, saw clear guidelines, and disagreed mostly about matters of tone.",
    "- **Next steps**: compare it at equal size and budget, read the linked report, and note on which day the pages were visited.",
)


def result(name: str, text: str, source: str = SOURCE):
    return {entry.name: entry for entry in check_summary(text, source)}[name]


def marked(name: str, text: str, source: str = SOURCE) -> list[str]:
    return [text[span.start : span.end].strip() for span in result(name, text, source).spans]


def test_acceptable_summary_passes_every_check_in_order():
    results = check_summary(summary(), SOURCE)
    assert tuple(entry.name for entry in results) == CHECKS
    assert passed_all(results), failures(results)
    assert failures(results) == ""


def test_failures_read_in_one_line():
    text = failures(check_summary("", SOURCE))
    assert "length: 0 words, 300 fewer than the 300 required" in text
    assert "\n" not in text


# --- form -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "passed"), [(299, False), (300, True), (500, True), (501, False)])
def test_length_counts_rendered_words_with_both_ends_included(words, passed):
    text = (
        "## Heading\n\n" + "word " * (words - 1) + "\n\n```\ncode is not counted\n```\nhttps://kiln.example/neither — <b></b>"
    )
    found = result("length", text)
    assert found.value == words
    assert found.passed is passed


def test_length_reads_link_text_but_no_address():
    assert read("[two words](https://a.example/b) <https://c.example> ![alt](x.png)").words == ("two", "words")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: re.sub(r"^- ", "", text, flags=re.MULTILINE), "0 bullets, at least 4 required"),
        (lambda text: text.replace("## ", ""), "no heading"),
        (lambda text: text + "\n```python\nprint(1)\n", "a code fence that is never closed"),
        (lambda text: text + "\n<div>x</div>\n", "raw HTML"),
        (lambda text: text.replace("- **Use**", "- <br> **Use**"), "raw HTML"),
        (lambda text: "<think>hm</think>\n\n" + text, "think text"),
        (lambda text: "---\nlicense: mit\n---\n" + text, "front matter copied from the card"),
        (lambda text: "# One\n\n# Two\n\n" + text, "2 titles of level one"),
        (lambda text: text + "<|im_end|>", "control tokens"),
        (lambda text: text.replace("**Use**:", "**Use:"), "emphasis or a link that is never closed"),
        (lambda text: text.replace("**Use**:", "Use**:"), "emphasis or a link that is never closed"),
        (
            lambda text: text.replace("github.com/zelkis/kiln)", "github.com/zelkis/kiln"),
            "emphasis or a link that is never closed",
        ),
    ],
)
def test_structure_names_what_is_wrong(change, reason):
    found = result("structure", change(summary()))
    assert not found.passed
    assert reason in found.reason


def test_structure_accepts_closed_fences_and_stars_that_are_no_emphasis_and_measures_bullets():
    found = result("structure", summary("- `f(x)**2`, 2 ** 3, \\*\\*kwargs and x**2.", closing="\n```\n**x](y\n```\n"))
    assert found.passed, found.reason
    assert 0.5 < found.value < 1


@pytest.mark.parametrize(
    ("closing", "passed"),
    [
        ("\nTelephone numbers become `<|tel|>`, and a text ends in ``<|end of text|>``.\n", True),
        ("\n```\n<|user|> Hi <|end|>\n```\n", True),
        ("\nThoughts stand between `<think>` and `</think>`.\n", True),
        ("\nTelephone numbers become <|tel|>.\n", False),
        ("\nA text ends in `<|end|>`.<|im_end|>", False),
        ("\nThoughts stand in `<think>`. </think>\n", False),
        ("\nA prompt ends in </s>, which no page would show.\n", False),
    ],
)
def test_structure_takes_tokens_named_in_code_for_text(closing, passed):
    assert result("structure", summary(closing=closing)).passed is passed


@pytest.mark.parametrize("opening", ["Sure, here is the summary:\n\n", "Here is a summary of Orvan-3B.\n\n---\n\n"])
def test_preamble_before_the_heading_fails(opening):
    text = summary(opening=opening)
    assert not result("preamble", text).passed
    assert marked("preamble", text) == [opening.partition("\n")[0]]


def test_preamble_finds_closing_chatter_but_not_a_closing_paragraph():
    assert not result("preamble", summary(closing="\nLet me know if you would like more detail!")).passed
    assert result("preamble", summary(closing="\n**In summary**: a small model with open recipes.")).passed


def test_repetition_of_a_bullet_or_sentence_fails():
    again = "- **Speed**: the loader feeds every device without a pause."
    found = result("repetition", summary(again, again))
    assert not found.passed
    assert "the loader feeds every device" in found.reason
    assert result("repetition", summary(again)).passed
    assert not result("repetition", summary("- Tiny.", "- Tiny.")).passed


def test_a_bullet_may_say_the_title_and_no_other_bullet():
    other = " ".join(f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
    assert result("repetition", f"# Orvan Lumen of Acme (XL)\n\n- Orvan Lumen of Acme (XL)\n- {other}.\n").passed
    assert not result("repetition", "- Orvan Lumen of Acme (XL)\n- It is old.\n- Orvan Lumen of Acme (XL)\n").passed


def test_repetition_of_phrases_fails_beyond_the_threshold():
    looped = [f"- and so the model of the model of the model goes on to step {index} again." for index in range(12)]
    found = result("repetition", summary(*looped))
    assert not found.passed
    assert "4-grams repeat" in found.reason


def test_praise_needs_a_source():
    text = summary("- **Verdict**: a groundbreaking model.")
    assert marked("praise", text) == ["groundbreaking"]
    assert "groundbreaking" in result("praise", text).reason
    assert result("praise", summary("- **Verdict**: state of the art, they say.")).passed
    assert result("praise", summary("- **Verdict**: it is not groundbreaking.")).passed


# --- copying and language ---------------------------------------------------------------------------------------------

PASSAGE = [f"word{index}" for index in range(100)]


@pytest.mark.parametrize(("words", "passed"), [(60, True), (61, False)])
def test_copying_fails_on_one_run_beyond_the_limit(words, passed):
    text = "## Heading\n\nOwn words first, " + " ".join(PASSAGE[:words]) + " and own words last."
    found = result("copying", text, "A card. " + " ".join(PASSAGE))
    assert found.passed is passed
    assert f"{words} words" in found.reason
    assert bool(found.spans) is not passed


def test_copying_counts_runs_inside_bullets_and_not_across():
    lines = [" ".join(PASSAGE[start : start + 50]) for start in (0, 50)]
    assert result("copying", "- " + "\n- ".join(lines), " ".join(PASSAGE)).passed
    assert not result("copying", "- " + " ".join(lines), " ".join(PASSAGE)).passed


def test_fragments_are_greedy_and_give_newsrooms_coverage_and_density():
    source = index_words("the cat sat on the mat, and the [cat](https://cat.example/sat) slept &nbsp; <br> on a mat")
    words = "a cat sat on the mat and the cat slept on rugs".split()
    fragments = [(fragment.start, fragment.length) for fragment in extractive_fragments(words, source)]
    assert fragments == [(0, 1), (1, 10)]
    assert coverage_density(words, source) == (11 / 12, 101 / 12)
    assert coverage_density([], source) is None
    assert result("copying", " ".join(words), "the cat sat on the mat and the cat slept on a mat").value == pytest.approx(
        101 / 12
    )


@pytest.mark.parametrize("code", ["fr", "zh", "ru"])
def test_language_marks_a_paragraph_that_is_not_english(code):
    foreign = {
        "fr": "Ce modèle a été entraîné sur des textes choisis par les auteurs puis évalué avec plusieurs jeux de questions dont les"
        " résultats dépendent des consignes données aux évaluateurs pendant les essais.",
        "zh": "该模型使用作者挑选的文本进行训练，随后在多个测试集上进行评估；不过结果取决于提示词，因此在使用之前应当逐条核对模型给出的回答。",
        "ru": "Модель обучена на текстах, отобранных авторами, и проверена на нескольких наборах заданий с разными подсказками.",
    }[code]
    text = summary(f"- {foreign}")
    assert marked("language", text) == [f"- {foreign}"]
    assert 0.8 < result("language", text).value < 1


def test_language_leaves_names_quotations_and_lists_alone():
    names = "- **Data**: " + ", ".join(f"Korpus{index}-Übersetzung" for index in range(30))
    codes = "- **Codes**: " + " ".join(("afr", "deu", "fra", "nld", "spa", "ron") * 12)
    assert result("language", summary("- Asked “Quelle est la capitale?”, it says 北京.", names, codes)).passed


def test_language_says_where_there_is_too_little_to_tell():
    assert result("language", "Salut, ça va?").reason == "too short to tell"
    assert result("language", summary()).reason == "English prose"


@pytest.mark.parametrize("broken", ["modÃ¨le", "authorsâ€™ text", "a \ufffd b", "10\u00c2\u00a0GB"])
def test_language_finds_broken_letters_that_the_source_does_not_have(broken):
    text = summary(f"- **Extra**: the {broken} here.")
    assert not result("language", text).passed
    assert "broken encoding" in result("language", text).reason
    assert result("language", text, f"{SOURCE} {broken}").passed
    assert result("language", summary("- **Extra**: modèle, authors’ text, SÃO, 10\u00a0GB.")).passed


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://www.github.com/zelkis/kiln/",
        "https://github.com/Zelkis/kiln/blob/main/README.md",
        "https://github.com/zelkis/kiln.git#usage",
        "https://arxiv.org/pdf/2507.01234",
        "https://arxiv.org/html/2507.01234v1",
        "http://export.arxiv.org/abs/2507.01234",
        "https://ar5iv.org/abs/2507.01234",
        "https://doi.org/10.48550/arXiv.2507.01234",
        "https://huggingface.co./blog/orvan/?utm_medium=x&fbclid=1",
        "https://huggingface.co/zelkis/Orvan-3B",
    ],
)
def test_links_match_after_canonical_form(url):
    found = result("links", summary(f"- **Page**: see [this]({url})."))
    assert found.passed, found.reason
    assert found.value == 1


@pytest.mark.parametrize(
    ("said", "source", "passed"),
    [
        ("https://evil.example@ex.example/a", "https://ex.example/a", False),
        ("https://ex.example/a", "https://evil.example@ex.example/a", False),
        ("https://user@ex.example/a", "https://user@ex.example/a", True),
        ("https://huggingface.co/models", "https://huggingface.co/models?library=gguf", False),
        ("https://api.github.com/r/a?ref=v2.0", "https://api.github.com/r/a?ref=v1.0", False),
        ("https://ex.example/a?gclid=1", "https://ex.example/a?ref_src=2&utm_source=3", True),
        ("https://bücher.example/a", "https://bücher.example/a", True),
        ("https://bücher.example/a", "https://xn--bcher-kva.example/a", True),
        ("https://huggingface.co/papers/2507.01234", "https://arxiv.org/abs/2507.01234", True),
        ("https://arxiv.org/pdf/2507.01234v2", "https://hf.co/papers/2507.01234", True),
    ],
)
def test_links_keep_what_tells_pages_apart(said, source, passed):
    assert result("links", f"[page]({said})", f"See {source} for more.").passed is passed


def test_links_of_a_host_that_is_none_do_not_raise():
    assert canonical(f"https://{'ü' * 80}/a")


@pytest.mark.parametrize("markdown", ["[x]({})", "<{}>", "see {}.", "[x][r]\n\n[r]: {}\n", "![x]({})"])
def test_links_invented_are_named_and_marked_however_they_are_written(markdown):
    url = "https://github.com/zelkis/other"
    text = summary("- **Page**: " + markdown.format(url))
    found = result("links", text)
    assert not found.passed
    assert found.value == 0.5
    assert url in found.reason
    assert marked("links", text) == [url]
    assert url in found.spans[0].label


def test_links_missing_fail_only_where_the_source_offers_some():
    bare = re.sub(r"\[kiln\]\(.*?\)", "kiln", summary())
    assert result("links", bare).value == 0
    assert not result("links", bare).passed
    lonely = result("links", bare, "# A card without links\n\nModel: zelkis/Orvan-3B")
    assert lonely.passed
    assert lonely.value is None


def test_links_may_give_a_doi_that_the_source_names():
    page = "- See [this](https://doi.org/10.1000/XYZ.123)."
    assert result("links", summary(page), f"{SOURCE}\n@article{{a, doi = {{10.1000/xyz.123}}}}").passed
    assert not result("links", summary(page)).passed


def test_links_relative_or_broken_match_nothing():
    assert not result("links", summary("- [x](LICENSE)")).passed
    assert canonical("https://[broken") == "https://[broken"
    assert canonical("HTTPS://A.example:443/P?b=1&utm_x=2&a=2#f") == "a.example/P?a=2&b=1"


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "3.08B", "3.1B", "3B", "3.08 billion", "3,080M", "11.2T", "11.2 trillion", "11,200B", "64k", "64K", "65,536", "65536", "64,000",
        "45%", "45 percent", "67.63", "67.6", "68 on GSM8K", "67.6%", "54.2%", "12,345", "12,300", "12.3k", "over 12,000", "about 12,000",
        "384 GPUs", "July 2025", "8 July 2025", "July 8, 2025", "2025", "two stages", "three languages", "Tulvex 2.5",
    ],
)  # fmt: skip
def test_numbers_are_grounded_in_any_spelling(said):
    known = SourceIndex.from_source(SOURCE).numbers
    assert all(is_grounded(quantity, known) for quantity in quantities(said)), said


@pytest.mark.parametrize(
    "said",
    [
        "3.2B", "3.09B", "11.3T", "11.2B", "32k", "65,535", "46%", "45 languages", "67.7", "67.64", "12,346", "12,400", "385 GPUs",
        "June 2025", "9 July 2025", "2024", "four stages", "2.5 points", "100 GPUs", "over 13,000",
    ],
)  # fmt: skip
def test_numbers_that_differ_are_not_grounded(said):
    known = SourceIndex.from_source(SOURCE).numbers
    assert not any(is_grounded(quantity, known) for quantity in quantities(said)), said


@pytest.mark.parametrize("text", ["Qwen2.5", "v0.3", "H100", "SmolLM3-3B", "2507.01234", "1F1B", "one", "zero-shot", "GPT-4"])
def test_names_and_pronouns_are_no_numbers(text):
    assert list(quantities(text)) == []


@pytest.mark.parametrize("text", ["10^a5", "10**k2 runs", "10^{:7", "10^=3"])
def test_what_stands_for_an_exponent_and_is_none_does_not_raise(text: str):
    assert [quantity.readings[0].value for quantity in quantities(text)][:1] == [10]
    assert len(check_summary(text, text)) == len(CHECKS)


def test_only_a_sign_stands_between_a_number_and_its_exponent():
    assert [quantity.literal for quantity in quantities("5e-3, 5e+3, 5e3, 5e:3")][:3] == ["5e-3", "5e+3", "5e3"]
    assert "5e:3" not in [quantity.text for quantity in quantities("5e:3")]


def test_numbers_invented_are_counted_named_and_marked():
    text = summary("- **Extra**: 71.4 on MMLU with 9.1B weights and 2,048 steps.")
    found = result("numbers", text)
    assert not found.passed
    assert re.fullmatch(r"3 of \d+ numbers are not in the sources: 71\.4, 9\.1B, 2,048", found.reason)
    assert marked("numbers", text) == ["71.4", "9.1B", "2,048"]


def test_numbers_in_code_addresses_enumerators_labels_and_licences_are_ignored():
    text = "## 1. Heading\n\n7. item\n8) item [9] Stage 4 Apache 2.0 `x = 77` https://a.example/88\n\n```\n99\n```\n"
    assert result("numbers", text, "few words").reason == "no number"


def test_numbers_in_backticks_do_not_hide():
    assert marked("numbers", summary("- **Extra**: `71.4` on MMLU.")) == ["71.4"]


def test_numbers_missing_fail_where_the_source_has_many():
    assert result("numbers", "no figures here").value == 0
    assert not result("numbers", "no figures here").passed
    assert result("numbers", "no figures here", "a card with 2 numbers").passed


def test_numbers_a_percentage_may_come_from_a_fraction_but_not_from_a_count():
    known = numbers_of("accuracy: 0.712, 45 languages")
    assert is_grounded(next(quantities("71.2%")), known)
    assert not is_grounded(next(quantities("45%")), known)


NEEDS = "It takes 24 GB, answers in 480 ms after 12 hours, with a rate of 1.5 x 10^-4 for 9 people and \\(3 \\times 10^{8}\\) words."


@pytest.mark.parametrize("said", ["24 GB", "24GB", "24 gigabytes", "0.48 s", "0.5 days", "9 GB", "1.5e-4", "300M"])
def test_numbers_may_be_given_in_another_unit_if_it_is_the_same_amount(said):
    known = numbers_of(NEEDS)
    assert all(is_grounded(quantity, known) for quantity in quantities(said)), said


@pytest.mark.parametrize("said", ["24 MB", "24 TB", "480 s", "480 hours", "12 days", "0.49 s"])
def test_numbers_with_the_unit_of_another_amount_are_not_grounded(said):
    known = numbers_of(NEEDS)
    assert not any(is_grounded(quantity, known) for quantity in quantities(said)), said


@pytest.mark.parametrize(
    ("said", "source", "passed"),
    [
        ("300 kW", "300 W", False),
        ("0.3 kW", "300 watts", True),
        ("16 Hz", "16 kHz", False),
        ("16,000 Hz", "16kHz", True),
        ("5 tonnes", "5 kg", False),
        ("€3", "$3", False),
        ("€3M", "$3M", False),
        ("€3", "$6", False),
        ("3 euros", "$3", False),
        ("$3 million", "US$3M", True),
        ("3 dollars", "$3", True),
        ("€3", "3 layers", True),
        ("-3.4 points", "+3.4 points", False),
        ("-3.4%", "+3.4%", False),
        ("−3.4 points", "-3.4 points", True),
        ("3.4 points", "-3.4 points", True),
        ("+3.4 points", "-3.4 points, or 3.4", True),
        ("5 April", "5 March 2024", False),
        ("5th of March", "March 5, 2024", True),
        ("5 April", "April 5", True),
        ("3.2×10^24", "3.2e24", True),
        ("3.2 x 10^24", "3.2×10²⁴", True),
        ("3.2×10^24", "3.2e23", False),
        ("2×10⁻⁵", "2e-5", True),
        ("2×10⁻⁵", "2e-6", False),
        ("2e-5", "\\(2 \\times 10^{-5}\\)", True),
        ("two dozen tasks", "24 tasks", True),
        ("two dozen tasks", "25 tasks", False),
    ],
)
def test_numbers_with_units_signs_months_and_powers(said, source, passed):
    assert result("numbers", f"It is {said} here.", f"It is {source} there.").passed is passed


WRITTEN = {
    "Chinese, Japanese and Korean": [
        ("24 layers", "模型共24层，隐藏维度2048。", True),
        ("2,048 hidden units", "模型共24层，隐藏维度2048。", True),
        ("24 layers", "24層のモデルです。", True),
        ("24 layers", "２４層のモデルです。", True),
        ("24 layers", "총 24개의 레이어", True),
        ("360 million", "共3.6亿参数", True),
        ("1.5 trillion tokens", "1.5万亿 token", True),
        ("30,000 rows", "共3万条数据", True),
        ("3 million rows", "300万条数据", True),
        ("120 million", "1億2000万パラメータ", True),
        ("3 billion", "30亿左右", True),
        ("300 million", "파라미터 3억", True),
        ("80 GB", "需要80GB显存", True),
        ("7B", "使用7B模型", True),
        ("July 2023", "2023年7月发布", True),
        ("48层", "模型共 24 层", False),
        ("48 layers", "模型共24层", False),
        ("36 million", "共3.6亿参数", False),
    ],
    "LaTeX and HTML": [
        ("7B", "a model of $7$B parameters", True),
        ("7B", "a model of $\\mathbf{7}$B parameters", True),
        ("7B", "a model of $7\\text{B}$ parameters", True),
        ("128K tokens", "$128$K tokens", True),
        ("45%", "rises by 45\\%", True),
        ("45%", "rises by $45\\%$", True),
        ("1.5e12", "$1.5\\times10^{12}$ tokens", True),
        ("4 million", "a batch of $\\sim 4$ million", True),
        ("1,000,000", "$1{,}000{,}000$ steps", True),
        ("1,000,000", "$1\\,000\\,000$ steps", True),
        ("12 layers", "$12$ layers", True),
        ("224×224", "$224 \\times 224$", True),
        ("224x224", "224&times;224", True),
        ("$7$B", "7B", True),
        ("$8$B", "7B", False),
        ("4 million", "$\\sim$4\u00a0million", True),
        ("8B", "a model of $7$B parameters", False),
        ("54%", "rises by 45\\%", False),
        ("$3", "from €3 and €5", False),
        ("€5", "from $3 and $5 or $3-$5", False),
    ],
    "exponents": [
        ("2e-5", "2 × 10−5.", True),
        ("2e-5", "2×10<sup>-5</sup>", True),
        ("2e-5", "2×10<sup>−5</sup>", True),
        ("2e-5", "2e−5", True),
        ("2e-5", "2E–5", True),
        ("1e-5", "10^–5", True),
        ("2 × 10−5", "2e-5", True),
        ("2e-5", "2 × 10−6", False),
        ("2 × 10−6", "2e-5", False),
        ("1e-5", "10-5 layers", False),
        ("10-5 layers", "10 or 5 layers", True),
    ],
    "sizes in a row": [
        ("512×512", "512x512", True),
        ("512 x 512", "512x512", True),
        ("64x64x3", "64×64×3", True),
        ("244x244", "224x224", False),
        ("8x80GB", "8 of 80 GB", True),
        ("8 GPUs of 80 GB", "8x80GB", True),
        ("4 GPUs", "4xA100", True),
        ("6 GPUs", "4xA100", False),
        ("120tokens/s", "40 tokens/s", False),
        ("40 tokens/s", "40tokens/s", True),
        ("48layers", "24 layers", False),
        ("71.4pts", "61.4 points", False),
        ("61.4 points", "61.4pts", True),
        ("12km", "12 km", True),
        ("13km", "12 km", False),
        ("312 TFLOPS", "312TFLOPS", True),
    ],
    "Europe": [
        ("71.2%", "Genauigkeit: 71,2 %", True),
        ("71,2 %", "71.2%", True),
        ("2%", "Genauigkeit: 71,2 %", False),
        ("3.4 GB", "3,4 GB", True),
        ("4 GB", "3,4 GB", False),
        ("3.4 billion", "3,4 Mrd. Parameter", True),
        ("71.2%", "| MMLU | 71,2 |", True),
        ("1.5B", "1.543.714.304 Parameter", True),
        ("1.6B", "1.543.714.304 Parameter", False),
        ("636,596 pairs", "636.596 document pairs", True),
        ("1,234 on it", "a loss of 1.234 after training", False),
        ("1,234 on it", "1.234 BLEU", False),
        ("1,234 seconds", "1.234 seconds", False),
        ("192 layers", "at 192.168.100.200", False),
        ("23 July 2024", "23.07.2024", True),
        ("23.07.2024", "2024-07-23", True),
        ("23 June 2024", "23.07.2024", False),
        ("July 2024", "07/23/2024", True),
        ("December 2023", "Knowledge cutoff: 12/2023", True),
        ("12/2023", "December 2023", True),
        ("11/2023", "December 2023", False),
        ("10,000 steps", "10.000 Schritte", True),
        ("71.2%", "71,2 Prozent", True),
        ("1.3", "tables 1,3 and 5", True),
        ("5 stages", "stages 1, 3 and 4", False),
    ],
    "the same in other words": [
        ("0-shot", "zero-shot", True),
        ("5-shot", "five-shot", True),
        ("5-shot", "zero-shot", False),
        ("1 GPU", "a single GPU", True),
        ("4-bit", "INT4", True),
        ("4-bit", "load_in_4bit=True", True),
        ("4-bit", "| Q4_K_M |", True),
        ("4-bit", "NF4", True),
        ("8-bit", "| Q8_0 |", True),
        ("16-bit", "bf16", True),
        ("3-bit", "INT4", False),
        ("8 layers", "| Q8_0 |", False),
        ("between 50% and 60%", "50-60%", True),
        ("between 50% and 60%", "50 to 60 percent", True),
        ("50-60%", "between 50% and 60%", True),
        ("55%", "50-60%", False),
        ("7 to 13 billion", "from 7B to 13B", True),
        ("8 to 13 billion", "from 7B to 13B", False),
        ("AIME 2024", "AIME'24: 61", True),
        ("AIME 2024", "AIME’24: 61", True),
        ("AIME 2024", "AIME24: 61", True),
        ("AIME'24", "AIME 2024: 61", True),
        ("AIME 24", "AIME 2024: 61", True),
        ("AIME 2025", "AIME'24: 61", False),
        ("epoch 5", "the fifth epoch", True),
        ("epoch 5", "the 5th epoch", True),
    ],
    "versions": [
        ("version 1.5", "Orvan v1.5", True),
        ("version 1.6", "Orvan v1.5", False),
        ("1.5 points", "Orvan v1.5", False),
        ("1.5B", "Orvan v1.5", False),
        ("version 2.0", "orvan-v2", True),
        ("version 3.1", "Orvan-3.1-8B", True),
        ("version 3.2", "Orvan-3.1-8B", False),
        ("Common Voice 11.0", "mozilla-foundation/common_voice_11_0", True),
        ("version 11.0", "common_voice_11_0", True),
        ("Common Voice 12.0", "common_voice_11_0", False),
        ("wav2vec 2.0", "wav2vec2-xls-r-300m", True),
        ("wav2vec 3.0", "wav2vec2-xls-r-300m", False),
        ("Orvan 1.7", "https://hub.example/zelkis/Orvan-1.7-7B", True),
        ("Orvan 1.8", "https://hub.example/zelkis/Orvan-1.7-7B", False),
        ("trained on 2.1 768", "the *v2.1 768* model", True),
    ],
    "scores and tables": [
        ("71%", "accuracy: 71", True),
        ("71%", '"accuracy": 71,', True),
        ("72%", "accuracy: 71", False),
        ("88.19 on it", "accuracy: 0.88189", True),
        ("88.20 on it", "accuracy: 0.88189", False),
        ("0.712 on it", "accuracy 71.2%", True),
        ("0.713 on it", "accuracy 71.2%", False),
        ("10%", "a dropout of 0.1", True),
        ("20%", "a dropout of 0.1", False),
        ("0.1 on it", "10% of the rows", True),
        ("0.1 on it", "12% of the rows", False),
        ("rank 64", "lora_r: 64", True),
        ("rank 64", "lora_r: 32", False),
        ("at step 9,754", "9754 steps", True),
        ("at step 9,755", "9754 steps", False),
        ("32%", "batch_size: 32", False),
        ("3%", "num_train_epochs: 3", False),
        ("0.92", "a score of .92", True),
        ("92%", "a score of .92", True),
        ("92 points", "a score of .92", False),
        ("756M", "| Model | Params / M |\n|---|---|\n| a | 756 |", True),
        ("756M", "| Model | Params [M] |\n|---|---|\n| a | 756 |", True),
        ("756B", "| Model | Params / M |\n|---|---|\n| a | 756 |", False),
        ("24,700,000", "emissions: 24_700_000", True),
        ("24,700,000", "24.7M", True),
        ("1,000,000", "1’000’000", True),
        ("1.2 million", "12,34,567 rows", True),
        ("5 million", "4999988 steps", True),
        ("6 million", "4999988 steps", False),
        ("3 billion", "3e9", True),
    ],
    "roundings": [
        ("12 seconds", "12.4 seconds", True),
        ("12 seconds", "12.4 s", True),
        ("12 seconds", "12.6 seconds", False),
        ("12 epochs", "12.4 epochs", True),
        ("12 layers", "12.4 epochs", False),
        ("4 seconds", "4.4 seconds", False),
        ("about $3M", "$3,000,400", True),
        ("over $3M", "$3.7M", True),
        ("over $4M", "$3.7M", False),
    ],
    "days and hours": [
        ("March 2021", "@misc{a, month = mar, year = 2021}", True),
        ("March 2021", '@misc{a,\n  year   = "2021",\n  month  = "3"\n}', True),
        ("May 2021", "@misc{a, year={2021}}\n@misc{b, year={2022}, month={May}}", False),
        ("13 April 2022", "port time: Wed Apr 13 17:23:28 EEST 2022", True),
        ("14 April 2022", "port time: Wed Apr 13 17:23:28 EEST 2022", False),
        ("2021-08-07", "data-v2021-08-07", True),
        ("7 August 2021", "20210807+bt", True),
        ("7 August 2021", "2021/08/07", True),
        ("7 August 2021", "[2021.8.7] released", True),
        ("20210807", "7 August 2021", True),
        ("20210808", "7 August 2021", False),
        ("8 August 2021", "20210807+bt", False),
        ("7 August 2021", "7-Aug-2021", True),
        ("November 2022", "29 novembre 2022", True),
        ("November 2022", "am 3. November 2022", True),
        ("July 2022", "le 3 juillet 2022", True),
        ("June 2022", "le 3 juillet 2022", False),
        ("2:30 pm", "at 14:30", True),
        ("14:30", "at 2:30 p.m.", True),
        ("21:00", "at 9 PM", True),
        ("4:30 pm", "at 14:30", False),
    ],
    "identifiers and addresses": [
        ("2,048 inputs", "orvan-i2048", True),
        ("12 layers", "gpt-12L-768d", True),
        ("768 dimensions", "gpt-12L-768d", True),
        ("13 layers", "gpt-12L-768d", False),
        ("16 heads", "bert_L-24_H-1024_A-16", True),
        ("6 layers", "Orvan-L6-H384", True),
        ("384 hidden units", "Orvan-L6-H384", True),
        ("2017", "COCO2017", True),
        ("12 heads", "gpt-12L-768d", False),
        ("patch size 14", "siglip-so400m-patch14-384", True),
        ("14-pixel patches", "siglip-so400m-patch14-384", True),
        ("16-pixel patches", "siglip-so400m-patch14-384", False),
        ("384 pixels", "siglip-so400m-patch14-384", True),
        ("384×384", "https://hub.example/a/patch14-384", True),
        ("400M", "siglip-so400m-patch14-384", True),
        ("756M", "https://hub.example/a/large-756m", True),
        ("4,500 steps", "checkpoint-4500.bin", True),
        ("4999988", "`Orvan1vs1-4999988.onnx`", True),
        ("5 million", "`Orvan1vs1-4999988.onnx`", True),
        ("2020", "F1 (test_2020)", True),
        ("2021", "F1 (test_2020)", False),
        ("32x32", "orvan-terrain-32x32", True),
        ("80 GB", "A100-80GB", True),
        ("100 GPUs", "H100", False),
        ("100 hours", "H100", False),
        ("4 GPUs", "GPT-4", False),
        ("2.5 points", "Tulvex2.5-7B", False),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("said", "source", "passed"), [case for cases in WRITTEN.values() for case in cases], ids=lambda value: str(value)[:40]
)
def test_numbers_are_read_in_every_way_of_writing_them(said, source, passed):
    found = result("numbers", f"It is {said} here.", f"It is so:\n\n{source}\n")
    assert (found.passed and not found.remarks) is passed, found.reason


def test_numbers_that_differ_are_marked_where_they_stand_in_formulas_and_before_other_scripts():
    for said in ("$8$B", "48层", "244"):
        assert marked("numbers", f"It has 24 and {said}.", "24")[0] in said


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "Orvan 3B",
        "orvan_3b",
        "Tulvex2.5",
        "tulvex-2.5-7b",
        "H100-hours",
        "GSM8K's",
        "APO",
        "LLMs",
        "OrvanWeb-style",
        "GSM8K/MMLU",
    ],
)
def test_names_of_the_source_are_known(said):
    found = result("names", summary(f"- **Extra**: it uses {said} here."))
    assert found.passed, found.reason


@pytest.mark.parametrize(
    "said", ["Orvan-7B", "Tulvex2.5-3B", "Tulvex3", "gado/Hilmos-5", "FineText", "HELMET", "A100", "2401.55555"]
)
def test_names_invented_are_marked(said):
    text = summary(f"- **Extra**: it uses {said} here.")
    assert not result("names", text).passed
    assert said in result("names", text).reason
    assert marked("names", text) == [said]


@pytest.mark.parametrize(
    ("said", "source", "passed"),
    [
        ("АdamW", "AdamW", False),  # the first letter is Cyrillic
        ("AdаmW", "AdamW", False),
        ("Н100", "H100", False),
        ("Мistral-base", "Mistral-base", False),
        ("kiln/Мistral-base", "kiln/Mistral-base", False),
        ("АdamW", "АdamW", True),
        ("αNLI", "αNLI", True),
        ("openai/Foo-7B", "acme/Foo-7B", False),
        ("acme/Foo-7B", "https://huggingface.co/acme/Foo-7B", True),
        ("openai/Foo-7B", "acme/Foo-7B beats models of openai", True),
        ("SFT/Foo-7B", "acme/Foo-7B", True),
        ("Llama 2 70B", "Llama 3 70B on 2 GPUs", False),
        ("Llama 3 70B", "Llama-3.1-70B", True),
        ("Llama 2 70B", "Llama 2 and Llama 3 70B", True),
        ("Q3 2023", "the third quarter of 2023", True),
    ],
)
def test_names_of_other_scripts_owners_and_versions(said, source, passed):
    assert result("names", f"It uses {said} here.", f"It uses {source} there.").passed is passed


def test_names_end_where_a_script_without_spaces_begins():
    assert marked("names", "Kiln-4模型 and Orvan-3B模型") == ["Kiln-4"]


def test_names_leave_plain_english_and_denials_alone():
    bullets = ("- **Long-Context Training**: Multi-Stage work at Stanford, Stage-2.", "- The card says nothing about HELMET.")
    assert result("names", summary(*bullets, closing="\n## TRAINING DATA NOTES\n")).passed


# --- facts ------------------------------------------------------------------------------------------------------------


def test_facts_are_read_from_front_matter_and_text():
    facts = facts_of(SOURCE)
    assert list(facts) == [
        "licence",
        "base_model",
        "languages",
        "datasets",
        "library",
        "task",
        "parameters",
        "tokens",
        "context",
        "benchmarks",
    ]
    assert facts["languages"].values == ("English", "French", "German")
    assert (facts["parameters"].display, facts["tokens"].display, facts["context"].display) == ("3.08B", "11.2T", "65,536")


def test_facts_recall_is_a_share_of_what_the_source_states():
    assert result("facts", summary()).value == 1
    poor = result("facts", "The licence is Apache 2.0.")
    assert not poor.passed
    assert poor.value == pytest.approx(1 / 10)
    assert "missing: base model (zelkis/Orvan-3B-Base)" in poor.reason
    single = "---\nlicense: mit\n---\n# Orvan\n"
    assert (result("facts", "anything", single).passed, result("facts", "anything", single).value) == (
        True,
        0,
    )  # one may be left out
    assert not result("facts", "anything", single.replace("mit", "mit\nlanguage: en")).passed
    nothing = result("facts", "anything", "A card that states nothing.")
    assert nothing.passed
    assert nothing.value is None


@pytest.mark.parametrize(("bullet", "label"), [
    ("- **Terms**: released under the GPL-3.0 licence.", "licence gpl-3.0 is stated, the sources say apache-2.0"),
    ("- **Terms**: licensed as cc-by-nc-4.0.", "licence cc-by-nc-4.0 is stated"),
    ("- **Size**: **4.5B** parameters.", "4.5B is stated as the number of parameters, the sources say 3.08B"),
    ("- **Budget**: it was trained on 9.9T tokens.", "9.9T is stated as the number of training tokens"),
    ("- **Window**: a context length of 16,384 tokens.", "16,384 is stated as the context length"),
    ("- **Origin**: fine-tuned from Hilmos/Kaldor-5.", "Hilmos/Kaldor-5 is stated as base model"),
])  # fmt: skip
def test_contradictions_are_named(bullet, label):
    text = summary(bullet)
    found = result("contradiction", text)
    assert not found.passed
    assert found.value == 1
    assert label in found.reason
    assert text[found.spans[0].start : found.spans[0].end] in bullet


@pytest.mark.parametrize(
    "said",
    [
        "It is not MIT-licensed; it is apache-2.0.",
        "Unlike Llama, which has an MIT licence, it is apache-2.0.",
        "It replaces the MIT licence of v1 with Apache 2.0.",
        "The licence was changed from MIT to Apache 2.0.",
        "It isn't released under the terms of the MIT licence.",
        "Apache 2.0 rather than the GPL-3.0.",
        "Made at MIT by researchers. Licence apache-2.0.",
        "People from MIT made it. Licence apache-2.0.",
        "It is not\nunder the MIT licence.",
        "MIT researchers chose the licence apache-2.0.",
        "It is not fine-tuned from meta/Llama-2-7B.",
        "The context length is not 128k tokens but 65,536 tokens.",
        "It saw books in the public domain.",
    ],
)
def test_no_contradiction_in_what_is_denied_or_set_apart(said):
    found = result("contradiction", said, SOURCE.replace("MIT", "BSD"))
    assert found.passed, found.reason


@pytest.mark.parametrize(
    "said",
    [
        "It does not hallucinate and is released under the MIT licence.",
        "It is not MIT-licensed but under the GPL-3.0.",
        "- It is not small\n- It is under the MIT licence",
        "It is not small, it is under the MIT licence.",
        "Unlike Llama, it is under the MIT licence.",
        "It replaces the licence of v1 with GPL-3.0.",
        "It is not small. It is based on meta/Llama-2-7B.",
        "It is not only under the MIT licence.",
        "Not only fast, with a context length of 128k tokens.",
        "It has thirteen billion parameters.",
        "It has twenty-five billion parameters.",
        "The model is in the public domain.",
        "It is under the Llama 2 Community License.",
    ],
)
def test_contradictions_beside_a_denial_in_words_and_in_other_licences(said):
    assert not result("contradiction", said, SOURCE.replace("MIT", "BSD")).passed


@pytest.mark.parametrize(
    ("said", "strange"),
    [
        ("- **Languages**: English, Polish, Swedish and Polish.", ["Swedish"]),
        ("It reads Swedish, German, Polish and Danish.", ["Swedish", "Danish"]),
        ("It reads English, German, Polish and Korean.", []),
        ("It reads Swedish and Polish.", []),  # one of the two is no list of the card's
        ("- **Languages**: Swedish and Polish.", ["Swedish"]),
        ("- Language: Swedish.", ["Swedish"]),
        ("- **Languages**: Greek.", []),
        ("- **Languages**: Thai and Dutch.", ["Dutch"]),  # the source has "th"
        ("- **Held-out languages**: Swedish and Danish.", []),
        ("The languages of Swedish cards are no matter.", []),
        ("It does not read English, Polish and Swedish alike.", []),
        ("It reads English, German and Greek.", []),  # the source speaks of Greek
    ],
)
def test_a_language_in_a_list_of_the_cards_is_the_cards(said, strange):
    source = (
        '---\nlanguage: [en, de, pl, ko]\n---\n# Orvan\n\nAll but Greek letters, tested on ["th"] and nl.\n\nModel: acme/Orvan'
    )
    assert [said[span.start : span.end] for span in result("contradiction", said, source).spans] == strange


def test_a_contradiction_in_words_needs_the_whole_number():
    assert result("contradiction", "It has a hundred and thirteen billion parameters.").passed
    assert result("contradiction", "It has twenty five billion parameters.").passed


@pytest.mark.parametrize(
    ("licence", "said", "passed"),
    [
        ("llama3", "the Llama 2 Community License", False),
        ("llama3", "the Llama 3 Community License Agreement", True),
        ("llama3.1", "the Llama 3 license", True),
        ("other\nlicense_name: meta-llama-3.1-community-license", "the Llama 3.1 Community License", True),
        ("cc0-1.0", "terms that say it is in the public domain", True),
    ],
)
def test_licences_with_names_of_their_own(licence, said, passed):
    assert result("contradiction", f"Released under {said}.", f"---\nlicense: {licence}\n---\n# Orvan").passed is passed


def test_no_contradiction_in_other_spellings_or_what_the_source_says_of_others():
    said = ("- **Kiln**: under the MIT licence.", "- **Size**: 3.1B parameters, studied at MIT.", "- **Window**: 64k context.")
    assert result("contradiction", summary(*said)).passed
    assert result("contradiction", summary("- Under the GPL-3.0 licence."), "A card without licence.").passed


# --- any text ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00\ud800\udfff",
        "[" * 30_000,
        "<" * 30_000,
        "1" * 5000,
        "1." * 5000,
        "- " * 5000,
        "word " * 20_000,
        "1e99 2.5e-99B 123456789012345678901234K 3e99%",
        "# a\r\n- b\r- c",
    ],
)
def test_any_text_gets_results_with_spans_inside_it(text):
    for results in (check_summary(text, SOURCE), check_summary(summary(), text)):
        assert len(results) == len(CHECKS)
    assert all(0 <= span.start <= span.end <= len(text) for entry in check_summary(text, SOURCE) for span in entry.spans)


def test_length_counts_words_beyond_what_is_parsed():
    assert result("length", "word " * 100_000).value == 100_000


@pytest.mark.parametrize("codes", ["[en, es, pt-BR]", "[eng, spa, por]", "[en, es, pt_PT, pt-BR]"])
def test_languages_of_a_region_or_in_three_letters_are_languages(codes):
    source = f"---\nlicense: mit\nlanguage: {codes}\n---\n# Orvan\n\nOrvan sorts letters.\n\nModel: acme/Orvan"
    said, strange = (f"## Orvan\n\n- **Languages**: English, Spanish and {name}.\n" for name in ("Portuguese", "Polish"))
    assert not result("contradiction", strange, source).passed
    assert result("contradiction", said, source).passed
    assert facts_of(source)["languages"].values == ("English", "Spanish", "Portuguese")
