"""Right numbers in wrong places: what a source's tables say of a name against what the summary puts beside it."""

from __future__ import annotations

import time

import pytest

from data_prep.checks import check_summary
from data_prep.checks.tables.source import tables_of

MARKDOWN = """# Orvan
| Benchmark | Metric | Orvan-3B | Tulvex 7B |
|---|---|---|---|
| GSM8K | 8-shot | **71.2** | 68.9 |
| MMLU | 5-shot | 64.3 | **66.1** |
| HumanEval (0-shot) | pass@1 | 50.6 | 47.4 |
| [ARC-C](https://arc.example/c) | acc | 58.7% | 61.5% |
"""
TURNED = """# Orvan
Model | GSM8K | MMLU | HumanEval | ARC-C
--- | --- | --- | --- | ---
zelkis/Orvan-3B | 71.2 | 64.3 | 50.6 | 58.7
Tulvex 7B | 68.9 | 66.1 | 47.4 | 61.5
"""
HTML = """# Orvan
<table><tr><th>Benchmark</th><th>Orvan-3B</th><th>Tulvex 7B</th></tr>
<tr><td>GSM8K</td><td><b>71.2</b></td><td>68.9</td></tr><tr><td>MMLU</td><td>64.3</td><td>66.1</td></tr>
<tr><td>HumanEval</td><td>50.6</td><td>47.4</td></tr><tr><td>ARC-C</td><td>58.7</td><td>61.5</td></tr></table>
"""
KEYS = "# Orvan\n\nResults:\n\n- GSM8K: 71.2\n- **MMLU**: 64.3\n- HumanEval: 50.6%\n- ARC-C = 58.7\n"
SCORES = "# Orvan\n\nScores: GSM8K 71.2, MMLU 64.3, HumanEval 50.6, and ARC-C 58.7.\n"
RESULTS = """---
license: mit
model-index:
- name: Orvan-3B
  results:
  - dataset: {name: GSM8K, type: gsm8k}
    metrics:
    - {name: Accuracy, type: acc, value: 0.712}
    - {name: F1, type: f1, value: 0.735}
  - dataset: {name: MMLU, type: cais/mmlu}
    metrics:
    - {name: Accuracy, type: acc, value: 0.643}
  - dataset: {name: HumanEval, type: openai_humaneval}
    metrics:
    - {name: Accuracy, type: acc, value: 0.506}
---
# Orvan
"""


def found(summary: str, source: str) -> list[str]:
    """What the check says of numbers, in the order of the summary."""
    result = next(entry for entry in check_summary(f"## Orvan\n\n{summary}\n", source) if entry.name == "contradiction")
    assert result.passed is (not result.spans)
    return [span.label for span in result.spans]


# --- sentences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [MARKDOWN, TURNED, HTML, KEYS, SCORES, RESULTS])
def test_a_score_of_another_benchmark_is_seen_in_every_kind_of_table(source):
    assert found("- **MMLU**: the card reports 64.3%.\n- On GSM8K it reaches 71.2%.", source) == []
    (said,) = found("- **MMLU**: the card reports 71.2%.\n- It is a model.", source)
    assert said.startswith("71.2% stands beside GSM8K in the source, MMLU has ")


def test_the_reason_shows_both_places_and_the_span_the_number():
    text = "## Orvan\n\n- **MMLU**: a score of 71.2.\n"
    result = next(entry for entry in check_summary(text, KEYS) if entry.name == "contradiction")
    assert result.reason == "71.2 stands beside GSM8K in the source, MMLU has 64.3"
    assert [text[span.start : span.end] for span in result.spans] == ["71.2"]


@pytest.mark.parametrize(
    "sentence",
    [
        "- It scores {} on MMLU and {} on GSM8K.",
        "- Results: MMLU {}, GSM8K {}.",
        "- It reaches {} (MMLU) and {} (GSM8K).",
        "- The scores are MMLU ({}) and GSM8K ({}), by the authors.",
        "- MMLU is at {}; GSM8K at {}.",
        "On MMLU the model has {}, while GSM8K stands at {}.",
        "- Orvan-3B has {} on MMLU and {} on GSM8K.",
        "- On `MMLU` it has {}, on `GSM8K` {}.",
    ],
)
@pytest.mark.parametrize("source", [MARKDOWN, TURNED, KEYS])
def test_two_benchmarks_in_one_sentence_are_bound_in_turn(sentence, source):
    assert found(sentence.format("64.3", "71.2"), source) == []
    assert len(found(sentence.format("71.2", "64.3"), source)) == 2
    assert len(found(sentence.format("50.6", "71.2"), source)) == 1


SETTINGS = "# Orvan\n\n- max_words: 144\n- block_size: 24\n- dice_seed: 0\n- num_paths: 576\n- rope_decay: 0\n- top_cut: 275\n- first_step_ratio: 0.3\n"


@pytest.mark.parametrize(
    "sentence",
    [
        "Letters of at most 144 (`max_words`), dice seed zero.",
        "It takes 144 for `max_words`, with a dice seed that is zero.",
        "Dice seed zero, letters of at most 144 signs.",
        "No rope decay, 144 signs and 576 ways.",
        "Rope decay is off, letters have 144 signs.",
        "Letters have 144 signs, dice seed unset.",
        "Letters have 144 signs, block size as before.",
        "A block size of 24 and 144 signs.",
        "Block size twenty-four, letters of at most 144 signs.",
        "The cut is 275 (`top_cut`), 576 (`num_paths`) are tried, and 144 (`max_words`) read.",
    ],
)
def test_a_setting_in_code_has_its_number_and_one_with_a_value_of_its_own_no_other(sentence):
    assert found(sentence, SETTINGS) == []


@pytest.mark.parametrize(
    ("sentence", "count"),
    [
        ("`num_paths` is 144.", 1),
        ("It takes 144 for `num_paths`.", 1),
        ("Letters of at most 576 (`max_words`), dice seed zero.", 1),
        ("Dice seed 144.", 1),
        ("`top_cut` 144, `max_words` 275.", 2),
    ],
)
def test_a_setting_with_the_number_of_another_is_seen_in_code_too(sentence, count):
    assert len(found(sentence, SETTINGS)) == count


def test_a_row_and_a_column_name_one_cell():
    assert found("- Tulvex 7B has 66.1 on MMLU.", MARKDOWN) == []
    assert found("- Tulvex 7B has 64.3 on MMLU.", MARKDOWN) == ["64.3 stands beside Orvan-3B in the source, Tulvex 7B has 66.1"]
    assert found("- Tulvex has 64.3 on MMLU.", TURNED) == [
        "64.3 stands beside zelkis/Orvan-3B in the source, Tulvex 7B has 66.1"
    ]


def test_a_range_stays_with_its_name():
    source = "# T\n| Task | 1B | 3B |\n|---|---|---|\n| PIQA | 60.1 | 70.2 |\n| BoolQ | 65.3 | 75.4 |\n| COPA | 80.5 | 85.6 |\n"
    assert found("- PIQA goes from 60.1 to 70.2, BoolQ from 65.3 to 75.4.", source) == []
    assert len(found("- PIQA goes from 60.1 to 75.4, BoolQ from 65.3 to 70.2.", source)) == 2


@pytest.mark.parametrize(
    "sentence",
    [
        "- It beats Tulvex 7B with 64.3 on MMLU.",  # the number is not that of the model it is compared with
        "- At 64.3 it is behind Tulvex 7B on MMLU.",
        "- On MMLU it has 64.3, against 66.1 for Tulvex 7B.",
        "- Tulvex 7B is better on MMLU (66.1 against 64.3).",
        "- GSM8K and MMLU: 71.2 and 64.3.",
        "- GSM8K and MMLU: 64.3 and 71.2.",  # wrong, yet not plain which belongs to which
        "- The gap on MMLU is 50.6 points.",  # computed
        "- MMLU-Pro: 71.2.",  # another benchmark
        "- Zelm-Bench: 71.2.",
        "- MMLU is discussed at length. The best score is 71.2.",
        "- MMLU was run with 5 examples and GSM8K with 8.",
        "- On MMLU it has 64 and on GSM8K 71.",  # rounded
        "- MMLU: 99.9.",  # nowhere in the source: the check of numbers sees it
        "- Best on GSM8K: 71.2% (Tulvex 7B 68.9%).",
    ],
)
@pytest.mark.parametrize("source", [MARKDOWN, TURNED])
def test_what_is_not_plainly_bound_or_right_is_left_alone(sentence, source):
    assert found(sentence, source) == []


def test_a_value_that_stands_in_several_cells_is_no_evidence():
    source = MARKDOWN.replace("50.6", "71.2")
    assert found("- **MMLU**: a score of 71.2.", source) == []


def test_where_tables_or_prose_differ_either_is_right():
    other = "\n| Benchmark | Orvan-3B |\n|---|---|\n| MMLU | 71.2 |\n| BBH | 40.4 |\n"
    assert found("- **MMLU**: a score of 71.2.", MARKDOWN + other) == []
    assert found("- **MMLU**: a score of 71.2.", f"{MARKDOWN}\nWith chain of thought MMLU rises to 71.2.\n") == []
    assert len(found("- **MMLU**: a score of 71.2.", f"{MARKDOWN}\nGSM8K rises to 71.2.\n")) == 1


def test_a_name_that_is_said_in_part_speaks_for_the_number():
    source = "# T\n- Total pairs: 1,170,424\n- Forum comments (2015): 726,484\n- Answers: 77,427\n"
    assert found("- The forum alone gives 726,484 of the total pairs.", source) == []
    assert len(found("- Answers: 726,484.", source)) == 1


def test_percent_signs_bold_and_fractions_are_one_value():
    assert found("- ARC-C: 58.7.\n- MMLU: **64.3%**.", MARKDOWN) == []
    assert found("- Accuracy on MMLU is 0.643 and on HumanEval 50.6%.", RESULTS) == []
    assert len(found("- Accuracy on MMLU is 50.6% and on HumanEval 64.3%.", RESULTS)) == 2


def test_a_size_in_a_unit_is_no_size_in_another():
    source = "# T\n| Model | Params |\n|---|---|\n| Orvan-3B | 3.1B |\n| Tulvex | 1.2B |\n"
    assert found("- Orvan-3B saw 1.2TB of text.", source) == []


OTHERS = """# Orvan
| Task | Orvan-3B | Tulvex 7B | Zelm 2B |
|---|---|---|---|
| GSM8K | 71.2 | 68.9 | 40.5 |
| MMLU | 64.3 | 66.1 | 45.7 |
| ARC-C | 58.7 | 61.5 | 52.8 |

Model: zelkis/Orvan-3B
"""


@pytest.mark.parametrize(
    ("true", "wrong"),
    [
        (
            "- On MMLU it has 64.3, against 66.1 for Tulvex.",
            "- On MMLU it has 45.7, against 66.1 for Tulvex.",
        ),  # its own column
        ("- On MMLU it has 64.3, against 66.1 for Tulvex.", "- On MMLU it has 64.3, against 61.5 for Tulvex."),
        ("- MMLU: 64.3 against 66.1.", "- MMLU: 66.1 against 66.1."),  # one cell said twice
        ("- On MMLU 64.3 against 66.1 for the 7B model.", "- On MMLU 64.3 against 68.9 for the 7B model."),
        ("- **Against Tulvex:** GSM8K 71.2 against 68.9.", "- **Against Tulvex:** GSM8K 71.2 against 45.7."),
        ("- Zelm has 40.5 on GSM8K and 45.7 on MMLU.", "- Zelm has 40.5 on GSM8K and 52.8 on MMLU."),
    ],
)
def test_a_number_that_no_word_leads_to_is_seen(true, wrong):
    assert found(true, OTHERS) == []
    assert found(wrong, OTHERS)


@pytest.mark.parametrize(
    "sentence",
    [
        "- On MMLU Tulvex leads with 66.1, against 45.7 for the smallest.",  # who has 45.7 is said in other words
        "- The best score on MMLU is 66.1.",
        "- GSM8K is at 71.2; the gap to Tulvex on MMLU is 58.7 points.",
        "- Tulvex is better on MMLU (66.1 against 64.3) and ARC-C (61.5 against 58.7).",
        "- It has 71.2 on GSM8K, and again 71.2 in the abstract.",
    ],
)
def test_what_other_words_may_lead_to_is_left_alone(sentence):
    assert found(sentence, OTHERS) == []


def test_words_that_one_label_alone_has_lead_to_its_number():
    source = "# T\n| Source | GB |\n|---|---|\n| Zelkish blog posts | 682.3 |\n| Zelkish fiction dataset | 86.1 |\n| Zelkish comments | 44.2 |\n| Zelkish patents | 19.4 |\n"
    assert found("- Blog posts come first (682.3), fiction (86.1) and comments (44.2) follow.", source) == []
    assert found("- Blog posts come first (682.3), fiction (19.4) and comments (44.2) follow.", source)


@pytest.mark.parametrize("end", ["", " It was stopped there."])
def test_a_step_or_epoch_names_the_row_of_a_log(end):
    rows = [("0.9680", 500, "0.4720"), ("0.6557", 1000, "0.2931"), ("0.6470", 1500, "0.2255")]
    source = "# T\n| Validation Loss | Step | WER |\n|---|---|---|\n" + "".join(f"| {a} | {b} | {c} |\n" for a, b, c in rows)
    assert found(f"- At step 1500 the validation loss is 0.6470 and the WER 0.2255.{end}", source) == []
    assert found(f"- At step 1500 the validation loss is 0.6470 and the WER 0.2931.{end}", source)


def test_an_epoch_is_called_one_or_one_point_nought():
    source = "# T\n| Training Loss | Epoch | Step | Validation Loss |\n|---|---|---|---|\n| 0.5123 | 1.0 | 500 | 0.4501 |\n| 0.3921 | 2.0 | 1000 | 0.4321 |\n"
    for epoch in ("1", "1.0"):
        assert found(f"- After epoch {epoch} the validation loss is 0.4501.", source) == []
        assert found(f"- After epoch {epoch} the validation loss is 0.4321.", source)


@pytest.mark.parametrize(
    "said", ["Tulvex-7B has 64.3 on MMLU", "Murlan-2-13B scores 69.7 on MMLU", "Murlan-2-70B scores 55.4 on MMLU"]
)
def test_models_of_one_size_or_family_are_not_one(said):
    source = "# T\n| Model | MMLU |\n|---|---|\n| Orvan-7B | 64.3 |\n| Tulvex-7B | 60.1 |\n| Murlan-2-13B | 55.4 |\n| Murlan-2-70B | 69.7 |\n"
    assert found(f"- {said}.", source)
    assert found("- Tulvex-7B scores 60.1 on MMLU.", source) == []


def test_tables_that_stand_side_by_side_are_two():
    source = "# T\n| North | Share | | South | Share |\n|---|---|---|---|---|\n| Arvish | 0.71 | | Zelkish | 0.93 |\n| Belvish | 0.62 | | Yorish | 0.84 |\n"
    assert found("- Shares: Zelkish 0.93, Belvish 0.62.", source) == []
    assert found("- Shares: Zelkish 0.84, Yorish 0.93.", source)


# --- the summary's own tables -----------------------------------------------------------------------------------------

OWN = "| Benchmark | this model | Tulvex 7B |\n|---|---|---|\n| GSM8K | {} | 68.9 |\n| MMLU | {} | 66.1 |\n| HumanEval | 50.6 | {} |\n"


@pytest.mark.parametrize("source", [MARKDOWN, TURNED, HTML])
def test_a_table_is_read_against_the_sources_though_columns_are_renamed(source):
    assert found(OWN.format("71.2", "64.3", "47.4"), source) == []
    assert len(found(OWN.format("64.3", "71.2", "47.4"), source)) == 2
    (said,) = found(OWN.format("71.2", "50.6", "47.4"), source)
    assert said.startswith("50.6 stands beside HumanEval")
    assert len(found(OWN.format("71.2", "64.3", "50.6"), source)) == 1


def test_a_table_turned_over_and_with_a_column_of_its_own():
    table = "| Model | MMLU | GSM8K | HumanEval | Gain |\n|---|---|---|---|---|\n| Orvan-3B | {} | 71.2 | 50.6 | 2.3 |\n| Tulvex 7B | {} | 68.9 | 47.4 | 0 |\n"
    assert found(table.format("64.3", "66.1"), MARKDOWN) == []
    assert len(found(table.format("66.1", "64.3"), MARKDOWN)) == 2


def test_a_table_of_other_figures_with_the_same_names_is_left_alone():
    table = "| Benchmark | Orvan-3B | Tulvex 7B |\n|---|---|---|\n| GSM8K | 66.1 | 64.3 |\n| MMLU | 71.2 | 50.6 |\n| HumanEval | 68.9 | 71.2 |\n"
    assert found(table, MARKDOWN) == []


def test_a_figure_that_stands_in_several_cells_is_wrong_in_any_other():
    source = MARKDOWN.replace("47.4", "50.6").replace(
        "61.5%", "64.3%"
    )  # HumanEval has 50.6 twice, 64.3 stands for two benchmarks
    table = OWN.replace("50.6 |", "{} |", 1)
    assert found(table.format("71.2", "64.3", "50.6", "50.6"), source) == []
    assert found(table.format("50.6", "64.3", "50.6", "50.6"), source) == [
        "50.6 stands beside HumanEval (0-shot) in the source, GSM8K has 71.2"
    ]
    assert len(found(table.format("71.2", "64.3", "64.3", "50.6"), source)) == 1


@pytest.mark.parametrize("table", ["| Set | dev | test |\n|---|---|---|\n| MLS | 3.85 | {} |\n| Voxel | {} | 10.51 |\n"])
def test_a_row_and_a_column_may_make_one_label_of_the_source(table):
    source = "# T\n| Version | MLS dev | MLS test | Voxel dev | Voxel test |\n|---|---|---|---|---|\n| 1.5.0 | 3.85 | 4.63 | 12.56 | 10.51 |\n"
    assert found(table.format("4.63", "12.56"), source) == []
    assert found(table.format("4.63", "4.63"), source) == ["4.63 stands beside MLS test in the source, Voxel dev has 12.56"]
    assert len(found(table.format("12.56", "4.63"), source)) == 2


def test_a_first_cell_that_is_a_number_is_one_of_the_figures():
    source = "# T\n| Alpha | Beta | Gamma | Delta |\n|---|---|---|---|\n| 82.2 | 88.5 | 91.3 | 51.4 |\n"
    table = "| Alpha | Beta | Gamma | Delta |\n|---|---|---|---|\n| {} | 88.5 | 91.3 | 51.4 |\n"
    assert found(table.format("82.2"), source) == []
    assert len(found(table.format("91.3"), source)) == 1


def test_columns_that_the_summary_says_are_swapped_are_put_right():
    rows = [(500, "0.4720", "1.9680"), (1000, "0.5931", "1.6557"), (1500, "1.4470", "0.6255")]
    source = "# T\n| Step | Accuracy | Validation Loss |\n|---|---|---|\n" + "".join(
        f"| {a} | {b} | {c} |\n" for a, b, c in rows
    )
    table = "| Step | Loss | Accuracy |\n|---|---|---|\n| 500 | 1.9680 | 0.4720 |\n| 1000 | 1.6557 | 0.5931 |\n| 1500 | 1.4470 | 0.6255 |\n"
    assert len(found(table, source)) == 2
    said = "- From step 1500 on the columns are swapped in the card, and put right here."
    assert found(f"{table}\n{said}", source) == []
    assert len(found(f"{table.replace('0.4720', '0.5931', 1)}\n{said}", source)) == 1


def test_a_sentence_may_put_columns_right_that_it_calls_swapped():
    source = (
        "# T\n| Step | Accuracy | Validation Loss |\n|---|---|---|\n| 500 | 0.4720 | 1.9680 |\n| 1500 | 1.4470 | 0.6255 |\n"
    )
    said = "- Step 1500: accuracy 0.6255, validation loss 1.4470{}."
    assert len(found(said.format(""), source)) == 2
    assert found(said.format(", if the swapped columns are read by content"), source) == []


def test_a_name_does_not_end_inside_a_number():
    source = "# T\n| Kind | Files |\n|---|---|\n| pho | 4,942,186 |\n| pho4 | 290 |\n| jaw | 5,407,724 |\n"
    assert found("- Jaw (5,407,724) and PHO (4,942,186) lead.", source) == []
    assert len(found("- Jaw (4,942,186) leads, PHO (5,407,724) follows.", source)) == 2


def test_a_data_set_in_a_long_name_makes_no_column_the_models_own():
    rows = "| Lumen (Multi Class) | 71.31 | 71.11 | 69.33 |\n| Lumen (Binary Class) | 92.42 | 92.13 | 91.98 |\n"
    source = f"# T\n| Dataset | Orvert v2 | Orvert v1 | DeepLumen |\n|---|---|---|---|\n{rows}\nModel: acme/vert-fa-base-uncased-sentiment-deeplumen-binary"
    assert found("- Score: F1 92.42 on binary Lumen.", source) == []


def test_a_label_may_put_its_kind_in_brackets():
    source = "# T\n| Metric | Score |\n|---|---|\n| F1 | 0.6447 |\n| Macro F1 | 0.5982 |\n| Recall | 0.7411 |\n"
    table = "| Metric | Score |\n|---|---|\n| F1 | 0.6447 |\n| F1 (macro) | {} |\n| Recall | 0.7411 |\n"
    assert found(table.format("0.5982"), source) == []
    assert len(found(table.format("0.6447"), source)) == 1


def test_sizes_in_brackets_name_models():
    sizes = (("1.3", "0.5271"), ("3.8", "0.5671"), ("5.8", "0.6171"), ("12.8", "0.7171"))
    rows = "".join(f"| acme/orvan-ko-{size}b | {size}B | {score} |\n" for size, score in sizes)
    source = (
        f"# T\n| Model | params | 0-shot |\n|---|---|---|\n| tulvex-trin | 1.2B | 0.6696 |\n{rows}\nModel: acme/orvan-ko-1.3b"
    )
    said = "- The larger Orvan-KO models (3.8B, 5.8B, 12.8B) beat it, but size does not settle it: the 5.8B model passes the 12.8B one in 0-shot."
    assert found(said, source) == []


def test_labels_that_name_two_rows_are_left_alone():
    source = "# T\n| Hyperparameter | Value |\n|---|---|\n| n_heads | 16 |\n| d_head | 256 |\n| d_model | 4096 |\n| n_ctx | 2048 |\n| n_layers | 28 |\n| rotary | 64 |\n"
    table = "| Setting | Value |\n|---|---|\n| heads / d_head | 16 / 256 |\n| n_heads, d_head | 16, 256 |\n| d_model | {} |\n| n_ctx | {} |\n"
    table += "| n_layers | 28 |\n| rotary | 64 |\n"
    assert found(table.format("4096", "2048"), source) == []
    assert len(found(table.format("2048", "4096"), source)) == 2


def test_a_label_of_several_names_gives_each_of_its_figures_another():
    source = "# T\n- `adam_beta1`: 0.9\n- `adam_beta2`: 0.999\n- `adam_epsilon`: 1e-08\n- `decay`: 0.01\n- `rate`: 5e-05\n"
    table = (
        "| Setting | Value |\n|---|---|\n| Adam beta1, beta2, epsilon | 0.9, 0.999, 1e-08 |\n| Decay | {} |\n| Rate | {} |\n"
    )
    assert found(table.format("0.01", "5e-05"), source) == []
    assert found(table.format("5e-05", "0.01"), source) == ["5e-05 stands beside rate in the source, decay has 0.01"]


def test_rows_of_a_log_are_called_by_their_step():
    rows = [(500, "0.9680", "0.4720"), (1000, "0.6557", "0.2931"), (1500, "0.6470", "0.2255"), (2000, "0.5297", "0.2054")]
    source = "# T\n| Training Loss | Step | WER |\n|---|---|---|\n" + "".join(
        f"| {a} | {step} | {b} |\n" for step, a, b in rows
    )
    table = "| Step | Loss | WER |\n|---|---|---|\n| 500 | 0.9680 | {} |\n| 1500 | 0.6470 | {} |\n| 2000 | 0.5297 | 0.2054 |\n"
    assert found(table.format("0.4720", "0.2255"), source) == []
    assert len(found(table.format("0.2255", "0.4720"), source)) == 2


# --- any text ---------------------------------------------------------------------------------------------------------


def test_a_long_sentence_beside_a_large_table_takes_no_time():
    head = "| Task | " + " | ".join(f"Model{n} {n}B" for n in range(30)) + " |\n|" + "---|" * 31 + "\n"
    rows = "".join(f"| task{r} word{r} | " + " | ".join(f"{r}.{c:02}" for c in range(30)) + " |\n" for r in range(190))
    said = ", ".join(f"task{r} {r}.{r % 30:02} against {r}.{r % 30:02}" for r in range(19))
    start = time.process_time()
    found(f"- {said}.\n" * 40, f"# T\n{head}{rows}\nModel: a/Model3-3B\n")
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    "source",
    [
        "|" * 50_000,
        "| a | b |\n|---|---|\n" + "| 1 | 2.5 |\n" * 20_000,
        "|" + " :-: |" * 10_000 + "\n" + "|" + "-" * 50_000,
        "a: 1.5\n" * 20_000,
        "x" * 30_000 + ": 1.5, " * 3_000,
        "<table>" * 5_000 + "<tr><td>" * 20_000,
        "| " + "(" * 20_000 + " | b |\n|---|---|\n| c | 1.5 |\n| d | 2.5 |\n",
        "---\nmodel-index: [{results: [{metrics: [1, {value: []}, {}], dataset: x}, y]}, 3]\n---\n",
        "|\n|-|\n|",
        "\x00|\r|-|\r|1.5|2.5",
    ],
)
def test_hostile_tables_take_no_time_and_raise_nothing(source):
    start = time.process_time()
    tables_of(source)
    found("- MMLU: 1.5, x 2.5 (c 1.5).\n\n" + source[:3000], source)
    assert time.process_time() - start < 20


def test_words_of_any_run_name_no_column():
    source = "| Training Loss | Epoch | Wer |\n|---|---|---|\n| 0.5258 | 3 | 56.905 |\n"
    assert found("The text and the training table report 56.905.", source) == []
    assert found("The training loss is 56.905.", source) != []
