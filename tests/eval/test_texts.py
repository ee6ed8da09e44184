"""Summaries that anybody wrote as rows for scoring: cards by source, families by lineage, samples by system."""

import pytest

from data_prep.cards.parse import parse_card
from data_prep.checks import CHECKS
from data_prep.lineage.families import families_of
from data_prep.prompts.student import raw_source
from data_prep.synthetic.world import raw_cards
from eval.reporting.explained import checks_table, explained_table
from eval.score import ScoreConfig, score_summaries
from eval.scoring.texts import SummaryText, scoring_rows

RAW = list(raw_cards(1, 12))
TEXTS = [SummaryText(system, raw_source(raw), raw.summaries[0]) for raw in RAW for system in ("a", "b")]


def test_families_are_those_that_the_world_was_made_of_and_no_wider():
    cards = [parse_card(raw) for raw in RAW]
    found = families_of(cards)
    assert set(found) == {card.id for card in cards}
    by_truth = {}
    for raw, card in zip(RAW, cards, strict=True):
        by_truth.setdefault(raw.truth["family"], set()).add(found[card.id])
    assert all(len(names) == 1 for names in by_truth.values())
    assert len(set(found.values())) == len(by_truth)


def test_a_base_of_too_many_children_is_a_family_by_itself():
    base, child = RAW[0], "---\nbase_model: {}\n---\n# Child {}\n\nTuned on the letters of harbour {}.\n"
    from data_prep.core.records import RawCard

    cards = [parse_card(base), *(parse_card(RawCard(f"o/c{n}", child.format(base.model_id, n, n), "x")) for n in range(25))]
    found = families_of(cards)
    assert len(found) == 26
    assert list(found.values()).count(found[cards[0].id]) == 1


def test_each_source_is_one_card_and_further_summaries_are_samples():
    cards, rows = scoring_rows([*TEXTS, SummaryText("a", raw_source(RAW[0]), "# another")])
    assert [card.source for card in cards] == [raw_source(raw) for raw in RAW]
    assert [row.sample for row in rows if row.id == cards[0].id] == [0, 0, 1]
    assert len({row.key for row in rows}) == len(rows)


def test_figures_stand_with_what_they_say():
    scores = score_summaries(*scoring_rows(TEXTS), ScoreConfig(bootstrap_samples=1000))
    table = explained_table(scores)
    assert table.splitlines()[0] == "| shares in percent | a | b | what it says |"
    assert "| numbers the source has | 100.0 [" in table
    assert "ended before the token limit" not in table  # nobody knows how the texts ended
    checks = {line.split(" | ")[0].lstrip("| "): line for line in checks_table(scores).splitlines() if line.startswith("| ")}
    assert "100.0 [" in checks["contradiction"]
    assert checks["length"].endswith("| 300 to 500 rendered words |")
    assert set(checks) == {"check", "---", *CHECKS}
    assert "ROUGE" not in table


def test_no_text_and_two_references_are_refused():
    with pytest.raises(ValueError, match="no summary to score"):
        scoring_rows([])
    source = raw_source(RAW[0])
    with pytest.raises(ValueError, match="different references"):
        scoring_rows([SummaryText("a", source, "x", "one"), SummaryText("b", source, "x", "two")])
