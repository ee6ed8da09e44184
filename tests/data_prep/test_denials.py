"""What the sources state plainly and the summary says is not stated."""

from __future__ import annotations

import pytest

from data_prep.checks import check_summary

DECLARED = "---\nlicense: apache-2.0\n---\n# Orvan\n\nOrvan sorts letters.\n\nModel: acme/Orvan"
SILENT = "# Orvan\n\nOrvan sorts letters.\n\nModel: acme/Orvan"


def contradicts(said, source=DECLARED):
    return not next(result for result in check_summary(said, source) if result.name == "contradiction").passed


@pytest.mark.parametrize(
    "said",
    [
        "No licence is stated.",
        "- No license.",
        "The card names no licence and no author.",
        "The card states no licence for the weights, and no size.",
        "Size and licence are told nowhere else; the licence is not given.",
        "The licence of the model is not stated.",
        "It does not mention a licence.",
        "Orvan is not released under Apache 2.0.",
        "The licence is not apache-2.0.",
        "Hardware, licence and data are not stated.",
        "Hardware is given, but licence and data are not stated.",
        "The card does not give an author, a size or a licence.",
        "No size, licence or author is given.",
        "## What the card does not say\n\n- Licence, languages and size.",
        "## Not covered\n\n- **Licence**\n- Limits",
        "## Missing\n\n- The licence is apache-2.0.",
    ],
)
def test_a_licence_that_the_front_matter_has_is_not_denied(said):
    assert contradicts(said)
    assert not contradicts(said, SILENT) or "apache" in said.lower()


@pytest.mark.parametrize(
    "said",
    [
        "The licence, apache-2.0, is given and not discussed.",
        "The licence, languages and library are declared, but the data is not named.",
        "Licence and languages are given, the hardware is not stated.",
        "It gives the licence, but the hardware is not stated.",
        "It is not gated and is Apache-2.0-licensed.",
        "It is not gated but apache-2.0.",
        "The model is not aligned (Apache 2.0 licence).",
        "Commercial use is not restricted by the Apache 2.0 licence.",
        "The licence of the data is not stated.",
        "No licence text is linked.",
        "The text names no licence; the metadata has apache-2.0.",
        "No licence is given apart from the field of the front matter.",
        "There is no licence for the corpus.",
        "It is not only under Apache 2.0 that it may be used.",
        "Apache 2.0 does not cover the data.",
        "The card does not discuss how Apache 2.0 applies to weights.",
        "## What the card does not say\n\n- Licences of the scraped pages.\n- Size",
        "## Files\n\n- Licence, weights and tokenizer.",
        "## Missing\n\n- Licence: in the metadata only.",
    ],
)
def test_another_licence_another_place_and_a_remark_are_no_denial(said):
    assert not contradicts(said)


def test_a_licence_that_only_the_text_has_may_be_missing_elsewhere():
    source = "# Orvan\n\nOrvan sorts letters; the code is under the MIT licence.\n\nModel: acme/Orvan"
    assert not contradicts("No licence is stated.", source)
    assert contradicts("Orvan is not released under the MIT licence.", source)


LISTED = "# Orvan\n\nHyperparameters:\n- learning_rate: 5e-05\n- train_batch_size: 16\n- num_epochs: 3.0\n\nModel: acme/Orvan"


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ("The learning rate is not stated.", False),
        ("Batch size and hardware are not reported.", False),
        ("The card does not say how many epochs the model was trained for.", False),
        ("No number of epochs is given.", False),
        ("## Not stated\n\n- Hardware, learning rate.", False),
        ("The learning rate of the first phase is not stated.", True),
        ("Evaluation batch size is not stated.", True),
        ("The learning rate is stated, its schedule is not.", True),
        ("Why the learning rate is so low is not stated.", True),
        ("Sequence length and warm-up are not stated.", True),
        ("No epochs were skipped.", True),
        ("Neither batch size nor hardware is given for this.", True),
        ("Neither batch size nor hardware is given for this model.", False),
        ("Neither batch size nor hardware is given for this run.", False),
        ("Neither batch size nor hardware is given for it.", False),
    ],
)
def test_a_setting_of_a_list_is_not_denied(said, passes):
    assert contradicts(said, LISTED) is not passes
    assert not contradicts(said, SILENT)


def test_what_is_denied_is_marked():
    said = "# Orvan\n\nIt sorts letters, and no licence is stated."
    span = next(result for result in check_summary(said, DECLARED) if result.name == "contradiction").spans[0]
    assert (said[span.start : span.end], span.label) == (
        "no licence is stated",
        "licence is denied, the sources say apache-2.0",
    )
