"""Sentences are claimed where an interval allows them, and nowhere else."""

import pytest

from eval.stats.claims import claims, not_shown

METRICS = [
    {"name": "all_pass", "label": "pages without a flag", "unit": "share", "better": "higher"},
    {"name": "unsupported", "label": "unsupported sentences", "unit": "share", "better": "lower"},
    {"name": "words", "label": "words", "unit": "words", "better": None},
    {"name": "copied", "label": "copied runs", "unit": "share", "better": None},
]
HEADLINE = ["all_pass", "unsupported"]


def row(metric, difference, low, high, p_holm=0.002, a="sft", b="aligned", **more):
    found = {"a": a, "b": b, "metric": metric, "difference": difference, "ci95": [low, high], "p": p_holm, "p_holm": p_holm}
    return found | {"n": 100, "families": 32} | more


def said(*rows, headline=HEADLINE):
    return claims(rows, METRICS, headline)


def unsaid(*rows, headline=HEADLINE):
    return not_shown(rows, METRICS, headline)


def test_a_difference_whose_interval_leaves_zero_out_is_claimed_with_its_figures():
    gain = row("all_pass", 0.054, 0.012, 0.0961)
    assert said(gain) == [
        'aligned is above sft in "pages without a flag" by 5.4 points [1.2, 9.6] (100 cards of 32 families).',
    ]
    loss = row("all_pass", -0.054, -0.0961, -0.012)
    assert said(loss) == [
        'aligned is below sft in "pages without a flag" by 5.4 points [1.2, 9.6] (100 cards of 32 families).',
    ]
    assert unsaid(gain) == unsaid(loss) == []


def test_where_lower_is_better_the_words_say_which_is_better():
    assert said(row("unsupported", -0.03, -0.05, -0.01)) == [
        'aligned is better than sft in "unsupported sentences": lower by 3.0 points [1.0, 5.0] (100 cards of 32 families).',
    ]
    assert said(row("unsupported", 0.03, 0.01, 0.05)) == [
        'aligned is worse than sft in "unsupported sentences": higher by 3.0 points [1.0, 5.0] (100 cards of 32 families).',
    ]


def test_words_are_no_points():
    assert said(row("words", 41.26, 30.0, 52.04), headline=["words"]) == [
        'aligned is above sft in "words" by 41.3 words [30.0, 52.0] (100 cards of 32 families).'
    ]


@pytest.mark.parametrize(
    "weak",
    [
        row("all_pass", 0.02, -0.01, 0.05),
        row("all_pass", 0.02, 0.0, 0.05),  # 0 itself is possible
        row("all_pass", 0.02, 0.001, 0.05, p_holm=0.051),
        row("all_pass", 0.02, 0.001, 0.05, p_holm=None),
        row("all_pass", 0.02, 0, 0) | {"ci95": None},
        row("all_pass", 0, 0, 0) | {"ci95": None, "difference": None},
    ],
)
def test_nothing_is_claimed_of_a_weak_difference(weak):
    assert said(weak) == []
    assert len(unsaid(weak)) == 1


def test_what_is_not_shown_says_what_would_have_been():
    assert unsaid(row("all_pass", 0.02, -0.0101, 0.05, detectable=0.0405)) == [
        'aligned against sft in "pages without a flag": no difference shown, +2.0 points [−1.0, +5.0]; '
        "a true difference of 4.0 points would be found four times in five (100 cards of 32 families)."
    ]
    assert unsaid(row("all_pass", 0.02, 0.001, 0.05, p_holm=0.08)) == [
        'aligned against sft in "pages without a flag": not shown, +2.0 points [+0.1, +5.0]; '
        "p is 0.080 after correction for the number of headline metrics (100 cards of 32 families)."
    ]
    nothing = row("all_pass", None, 0, 0, n=0, note="no card was measured") | {"ci95": None}
    assert unsaid(nothing) == ['aligned against sft in "pages without a flag": no interval (no card was measured).']


def test_a_narrow_interval_around_zero_is_no_equality():
    narrow = row("all_pass", 0.0, -0.001, 0.001)
    assert said(narrow) == []
    assert "no difference shown" in unsaid(narrow)[0]


def test_other_metrics_are_neither_claimed_nor_missed():
    assert said(row("copied", 0.5, 0.4, 0.6)) == unsaid(row("copied", 0.5, 0.4, 0.6)) == []


GAIN = row("all_pass", 0.05, 0.01, 0.09)
HELD = row("unsupported", -0.01, -0.03, 0.01)


def test_better_as_a_whole_needs_a_gain_and_no_fall():
    assert said(GAIN, HELD)[1:] == [
        'By the headline metrics aligned is above sft as a whole: better in "pages without a flag"; none of the 2 is shown to fall.'
    ]
    assert len(said(HELD)) == 0


@pytest.mark.parametrize("p_holm", [0.01, 0.5])  # a fall counts before it is proven
def test_not_better_as_a_whole_where_a_headline_metric_falls(p_holm):
    fall = row("unsupported", 0.03, 0.01, 0.05, p_holm=p_holm)
    assert not any("as a whole" in sentence for sentence in said(GAIN, fall))
    assert unsaid(GAIN, fall)[-1] == (
        'aligned above sft as a whole is not shown: it gains in "pages without a flag" and falls in "unsupported sentences".'
    )


def test_not_better_as_a_whole_where_a_headline_metric_was_not_compared():
    assert len(said(GAIN)) == 1
    assert len(said(GAIN, HELD | {"ci95": None})) == 1


def test_each_pair_of_systems_stands_alone():
    other = row("unsupported", 0.03, 0.01, 0.05, a="base", b="sft")
    sentences = said(GAIN, other, HELD)
    assert [sentence.split()[0] for sentence in sentences] == ["aligned", "By", "sft"]
    assert "as a whole" in sentences[1]
