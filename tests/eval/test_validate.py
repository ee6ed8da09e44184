"""The checks against planted faults: the table in the repository is what the code gives, and poor checks are refused."""

from __future__ import annotations

import pytest
from commands import ROOT

from data_prep.core.recipe import Recipe
from data_prep.prompts.student import source_text
from data_prep.synthetic.facts import Facts
from data_prep.synthetic.planted import KINDS, changed, planted
from data_prep.synthetic.world import raw_cards
from eval.validate import GATED, ValidateConfig, main, refuse_poor
from eval.validation.tally import FaultTally, summarised


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validated")
    main(Recipe(stage="validate", run_dir=folder, seed=1, block=ValidateConfig()))
    return folder


def test_the_table_in_the_repository_is_what_the_command_writes(validated):
    again = "python -m eval.validate --run_dir runs/checks --seed 1 --validate.output eval/checks_invented.md"
    assert (validated / "eval" / "checks_invented.md").read_bytes() == (ROOT / "eval" / "checks_invented.md").read_bytes(), (
        f"run {again}"
    )


def test_a_second_run_finds_its_work_done(validated, capsys):
    main(Recipe(stage="validate", run_dir=validated, seed=1, block=ValidateConfig()))
    assert "done already" in capsys.readouterr().out


def card():
    raw = next(raw_cards(seed=9, cards=1))
    return raw, source_text(raw.model_id, raw.content, raw.notes), Facts.of_truth(raw.truth)


def test_planted_texts_are_seeded_differ_from_the_truth_and_say_where():
    raw, source, facts = card()
    texts, again = (list(planted(raw.summaries[0], facts, source, "s")) for _ in range(2))
    assert texts == again
    assert len(texts) >= len(KINDS) - 4
    for text in texts:
        assert text.text != raw.summaries[0]
        assert all(0 <= start < end <= len(text.text) for start, end in text.spans)
    taken_out = {"facts left out", "too short", "no bullets", "emphasis left open"}
    assert {text.fault for text in texts if not text.spans} <= taken_out


def test_changed_marks_words_inside_a_line_and_whole_new_lines():
    before = "a score of 71.2 here\nsame\n"
    after = "a score of 74.2 here\nnew line\nsame\n"
    assert [after[start:end] for start, end in changed(before, "a score of 74.2 here\nsame\n")] == ["74.2"]
    assert [after[start:end] for start, end in changed("same\n", after)] == ["a score of 74.2 here\nnew line\n"]


def tally(check, planted=100, caught=100, flags=100, right=100):
    counted = FaultTally()
    for name in GATED:
        counted.planted[name] = counted.caught[name] = counted.flags[name] = counted.right[name] = 100
    counted.planted[check], counted.caught[check] = planted, caught
    counted.flags[check], counted.right[check] = flags, right
    return summarised(counted, KINDS)


def test_a_check_below_its_least_precision_or_recall_is_refused():
    refuse_poor(tally("links"), ValidateConfig())
    with pytest.raises(ValueError, match=r"links has a recall of 0\.900 \[0\.826, 0\.945\], expected 0\.95 or more"):
        refuse_poor(tally("links", caught=90), ValidateConfig())
    with pytest.raises(ValueError, match=r"length has a precision of 0\.970"):
        refuse_poor(tally("length", right=97), ValidateConfig())
    with pytest.raises(ValueError, match="numbers has a recall of"):
        refuse_poor(tally("numbers", planted=0, caught=0), ValidateConfig())
