"""A true number with another unit, scale or version than the source gives it is as wrong as another number."""

from __future__ import annotations

import pytest

from data_prep.checks import check_summary

TABLE = "| Corpus | Share | Size (GB) | Time / h |\n|---|---|---|---|\n| Mallow | 12 | 682.3 | 1,770 |\n"


def numbers(said: str, source: str) -> bool:
    results = check_summary(f"- The card gives {said}.", source)
    return next(result for result in results if result.name == "numbers").passed


@pytest.mark.parametrize(
    ("said", "source"),
    [
        ("682.3 GB", TABLE),
        ("0.68 TB", TABLE),
        ("1,770 hours", TABLE),
        ("12 kg", TABLE),
        ("24 hours", "- **Hours used:** 24"),
        ("30.0 seconds", '--max_duration_in_seconds="30.0" --retries="5 minutes"'),
        ("36 hours", "| Training time (hours) | 36 |\n|---|---|\n| Days of rest | 2 |"),
        ("75.05 tonnes", "It took 3 kg of coal.\n\n| Carbon (tCO₂eq) |\n|---|\n| 75.05 |"),
        ("20 minutes", "It takes 20 minuts, then 5 seconds."),
        ("8 hours", "Das Training dauerte 8 Stunden und 12 Minuten auf zwei Tagen (2 days)."),
        ("8 days", "Il a duré 8 jours, chacun 20 hours."),
        ("80 GB", "It runs on an A90-80GB and saves 512 MB."),
        ("32 GB", "It runs on one card of 32G and saves 512 MB."),
        ("3,456 seconds", "train_runtime: 3456\n\nIt took 5 hours to load."),
        ("20 hours", "20 minutes a day, for 20 hours."),
        ("20 hours", "It has 20 hours and scores 19.8."),
        ("7 days", "A limit of 7."),  # no word of time at all: it cannot be told
        ("12 seconds", "12.4 seconds, and 12 days."),
        ("two hours", "It took 2 hours."),
        ("1.5 weeks", "Es dauerte 1,5 weeks, also 2,5 TB."),
        ("30 minutes", "It takes 30MIN."),
    ],
)
def test_a_number_may_have_the_unit_that_its_column_key_or_noun_gives(said, source):
    assert numbers(said, source)


@pytest.mark.parametrize(
    ("said", "source"),
    [
        ("682.3 MB", TABLE),
        ("1,770 minutes", TABLE),
        ("24 minutes", "- **Hours used:** 24"),
        ("30.0 minutes", '--max_duration_in_seconds="30.0" --retries="5 minutes"'),
        ("36 days", "| Training time (hours) | 36 |\n|---|---|\n| Days of rest | 2 |"),
        ("20 seconds", "It takes 20 minuts, then 5 seconds."),
        ("8 days", "Das Training dauerte 8 Stunden und 12 Minuten auf zwei Tagen (2 days)."),
        ("24-day", "It exceeds the 24-hour limit of all jobs, one a day."),
        ("80 TB", "It runs on 16 A90-80GB (2 A90 80GB nodes)."),
        ("20 hours", "The maximum is 20 seconds. It scores 19.8 or 20.2 within hours."),
        ("15 minutes", "It takes minutes with chunk_length_s=15, so in chunks of 15-seconds."),
        ("150 minutes", "| Hours |\n|---|\n| 150 |"),
        ("45 minutes", "Latency is 45. It was trained for 3 hours."),
    ],
)
def test_a_number_may_not_have_another_unit_than_its_column_key_or_noun_gives(said, source):
    assert not numbers(said, source)


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        ("Orvan 6B", True),
        ("Orvan 6T", False),
        ("Orvan 6K", False),
        ("Orvan 6 billion", True),
        ("Orvan 6 million", False),
        ("Orvan-2 12B", True),
        ("the 12-billion model", True),
        ("the 12-trillion model", False),
        ("GeForce 960M", True),
        ("GeForce 960T", False),
        ("Orvan 6", True),
    ],
)
def test_the_number_of_a_name_has_its_own_scale(said, passed):
    assert numbers(said, "# Orvan 6B\n\nSee gado/orvan-2-12b and gado/orvan-6b. Trained on a GeForce 960M.") == passed


VERSIONS = "- Tensors 4.18.0\n- Burner 1.11.0+cu102\n- Sets==2.8.0.dev1\n- Plan 3.2\n- common_voice_11_0_2\n- kit v3.0.1"


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        ("Tensors 4.18.0", True),
        ("Tensors 4.18", True),
        ("Tensors 4.18.1", False),
        ("Tensors 9.18.0", False),
        ("Burner 1.11.0", True),
        ("Burner 1.11.0+cu102", True),
        ("Burner 1.51.0+cu102", False),
        ("Sets 2.8.0", True),
        ("Sets 2.8.3", False),
        ("Plan 3.2.0", True),
        ("Plan 3.4.0", False),
        ("Common Voice 11.0.2", True),
        ("Kit 3.0.1", True),
        ("Kit 3.0.7 or greater", False),
    ],
)
def test_versions_of_three_parts_are_those_of_the_source(said, passed):
    assert numbers(said, VERSIONS) == passed
