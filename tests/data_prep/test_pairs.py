"""Preference pairs: four pools, a bar for what is chosen, alike in length, and the reason beside each."""

import json
import random
import re
from dataclasses import replace
from decimal import Decimal

import pyarrow.parquet as pq
import pytest
from commands import run_here

from data_prep.candidates.apo_advice import ReferenceMatchRate
from data_prep.candidates.checked import CheckedSummary, length_gap
from data_prep.candidates.corrupted import BREAKERS, broken_versions
from data_prep.candidates.misplaced import MISPLACERS
from data_prep.checks import check_summary, failures
from data_prep.checks.source_index import SourceIndex
from data_prep.checks.tables.source import tables_of
from data_prep.core.files import write_json, write_jsonl
from data_prep.core.manifest import manifest_of
from data_prep.core.records import Candidate, Correction, Generation, HeldOut, PreferencePair
from data_prep.pairs import PairsConfig, both_sides, broken, in_shares, is_good, pair_up, uncorrected, unwritable
from data_prep.prompts.student import source_text
from data_prep.synthetic.world import raw_cards

OWN = PairsConfig(shares={"own": 1.0}, min_facts=0.5)


@pytest.fixture(scope="module")
def world():
    """Held-out cards of the invented world, each with a second summary that passes."""
    made = []
    for number, raw in enumerate(raw_cards(4, 6)):
        source = source_text(raw.model_id, raw.content, raw.notes)
        made.append(
            (HeldOut(f"card{number}", [{"role": "user", "content": "p"}], source, raw.summaries[0], "f"), raw.summaries[1])
        )
    return made


@pytest.fixture(scope="module")
def card(world):
    return world[0]


def sample(card, text, number=0, finish="stop"):
    return CheckedSummary.sample(Generation(f"key{number}", card.id, "sft", text, finish, 1, 1, number), card.source)


def wrong_score(text):
    wrong = re.sub(r"(the card reports|a score of) \d\d\.\d", r"\1 11.1", text, count=1)
    assert wrong != text
    return wrong


def with_a_difference(text):
    first, second = sorted({Decimal(found) for found in re.findall(r"\b\d\d\.\d\b", text)})[:2]
    return text.rstrip() + f"\n\nBetween {first} and {second} there is a gap of {second - first:.1f}.\n"


def pools(own, **others):
    return {"own": own, "repair": [], "revision": [], "corrected": [], "small": [], "broken": [], **others}


def test_a_pair_sets_a_passing_sample_against_a_failing_one_and_says_why(card):
    held_out, good = card
    pairs, reason = pair_up(held_out, pools([sample(held_out, wrong_score(good)), sample(held_out, good, 1)]), OWN)
    assert reason == ""
    (pair,) = pairs
    assert pair.rejected[0]["content"] == wrong_score(good).strip()
    assert pair.chosen[0]["content"] == good.strip()
    assert (pair.provenance["chosen"], pair.provenance["pool"], pair.provenance["failed"]) == ("own sample", "own", ["numbers"])
    assert "11.1" in pair.reason


def test_the_least_faulty_sample_comes_first_and_one_full_of_faults_is_left_out(card):
    held_out, good = card
    two = wrong_score(good).replace("- **", "- **Qwen99-Z** **", 1)
    own = [sample(held_out, "Sure! Great."), sample(held_out, two, 1), sample(held_out, wrong_score(good), 2)]
    block = PairsConfig(shares={"own": 1.0}, min_facts=0.5, per_card=3, max_faults=2)
    pairs, _ = pair_up(held_out, pools(own), block)
    assert [pair.provenance["failed"] for pair in pairs] == [["numbers"], ["numbers", "names"]]
    assert all(pair.provenance["chosen"] == "reference" for pair in pairs)


def test_an_own_sample_with_computed_numbers_is_chosen_only_where_the_recipe_keeps_them(card):
    held_out, good = card
    reckons = sample(held_out, with_a_difference(good))
    assert reckons.accepted, reckons.reason
    assert reckons.reckoned
    for keeps in (True, False):
        block = PairsConfig(min_facts=0.0, derived_numbers="keep" if keeps else "refuse")
        assert is_good(reckons, block) is keeps
        assert is_good(replace(reckons, origin="reference"), block)
        assert is_good(sample(held_out, good), block)


def test_both_sides_are_alike_in_length_and_the_nearest_passing_text_is_chosen(card):
    held_out, good = card
    longer = (
        good.rstrip()
        + "\n\n"
        + "\n".join(
            f"A closing word of caution number {word} for all readers."
            for word in ("alpha", "beta", "gamma", "delta", "epsilon")
        )
    )
    assert sample(held_out, longer).accepted, sample(held_out, longer).reason
    own = [sample(held_out, good), sample(held_out, longer, 1), sample(held_out, wrong_score(longer), 2)]
    (pair,), _ = pair_up(held_out, pools(own), OWN)
    assert pair.chosen[0]["content"] == longer.strip()
    short = sample(held_out, wrong_score(good)[: len(good) // 2], 3)
    assert length_gap(own[0], short) > 0.2
    assert (
        pair_up(held_out, pools([own[0], short]), OWN)[1] == "no passing and failing summary of like length and with few faults"
    )


def test_a_text_that_passes_by_leaving_facts_out_is_below_the_bar(card):
    held_out, good = card
    results = re.search(r"\n### (?:Reported results|Evaluation)\n.*?(?=\n### )", good, re.DOTALL)[0]
    remarks = "".join(
        f"\n- **Open**: whether point {word} holds is not said anywhere on the pages, so a test of it is left to every reader."
        for word in "alder birch cedar dogwood elder".split()
    )
    without = sample(held_out, good.replace(results, f"\n### Open points\n{remarks}\n"), 1)
    full = sample(held_out, good)
    assert without.accepted, without.reason
    assert without.value("facts") < full.value("facts")
    block = PairsConfig(shares={"own": 1.0}, chosen="own", min_facts=full.value("facts"), max_length_gap=0.4)
    (pair,), _ = pair_up(held_out, pools([without, full]), block)
    assert pair.chosen[0]["content"] == full.text
    assert "benchmarks" in pair.reason


def test_cards_without_a_pair_say_why(card):
    held_out, good = card
    assert "every sample passes" in pair_up(held_out, pools([sample(held_out, good)]), OWN)[1]
    own_only = PairsConfig(shares={"own": 1.0}, chosen="own")
    assert "own samples only" in pair_up(held_out, pools([sample(held_out, "Sure! Great.")]), own_only)[1]
    assert "no sample or corrected page of this card" in pair_up(held_out, pools([]), OWN)[1]


def test_an_unfinished_sample_is_rejected_and_says_so(card):
    held_out, good = card
    pairs, _ = pair_up(held_out, pools([sample(held_out, good, finish="length")]), OWN)
    assert pairs[0].reason == "not finished within the token limit"
    assert pairs[0].rejected_cut


def test_a_revision_is_chosen_over_the_sample_that_it_mends_and_a_small_model_is_never_chosen(card):
    held_out, good = card
    mended = CheckedSummary.candidate(Candidate("r", held_out.id, good, "scribe", revises="key0"), held_out.source, "revision")
    small = CheckedSummary.sample(
        Generation("small", held_out.id, "small", wrong_score(held_out.reference), "stop", 1, 1), held_out.source, "small model"
    )
    block = PairsConfig(min_facts=0.5)
    pairs, _ = pair_up(held_out, pools([sample(held_out, wrong_score(good))], revision=[mended], small=[small]), block)
    assert [(pair.provenance["pool"], pair.provenance["chosen"], pair.provenance["rejected"]) for pair in pairs] == [
        ("own", "reference", "key0"),
        ("revision", "revision", "key0"),
        ("small", "reference", "small"),
    ]


def test_a_mended_page_that_is_as_short_as_it_was_is_chosen_where_the_recipe_takes_what_is_better(card):
    held_out, good = card
    short = good
    while check_summary(short, held_out.source)[0].passed:
        short = short.rstrip().rpartition("\n")[0]
    blocks = {how: PairsConfig(shares={"revision": 1.0}, mended=how, max_length_gap=0.5) for how in ("passing", "better")}

    def chosen(written, text, how, key="key0"):
        made = CheckedSummary.candidate(Candidate("r", held_out.id, text, "pruned", revises=key), held_out.source, "revision")
        return [pair.reason for pair in pair_up(held_out, pools([sample(held_out, written)], revision=[made]), blocks[how])[0]]

    assert [result.name for result in check_summary(short, held_out.source) if not result.passed] == ["length"]
    assert "11.1" in chosen(wrong_score(short), short, "better")[0]
    assert not chosen(wrong_score(short), short, "passing")
    assert not chosen(wrong_score(short), short, "better", key="key1")  # made from another sample
    assert not chosen(wrong_score(good), short, "better")  # short through the mending
    assert not chosen(short, short, "better")  # nothing is mended
    assert not chosen(wrong_score(short), re.sub(r"(?m)^.*gpl.*\n", "", short), "better")  # a fact is lost


def test_a_corrected_page_is_chosen_over_a_sample_that_no_check_flags_too_but_not_with_a_flag_of_its_own(card):
    held_out, good = card
    block = PairsConfig(shares={"corrected": 1.0}, min_facts=0.5)

    def pair(written, text):
        sides = both_sides([Correction("key0", held_out.id, "org/model", "sft", written, "", "stop", text)], held_out.source)
        found, _ = pair_up(held_out, pools([], corrected=sides), block)
        return [(row.rejected[0]["content"], row.chosen[0]["content"], row.reason) for row in found]

    untrue = held_out.reference.replace("## ", "## On ", 1)
    assert not failures(check_summary(untrue, held_out.source))
    assert pair(untrue, good) == [(untrue.strip(), good.strip(), "a reader set right what no check marks")]
    assert "11.1" in pair(wrong_score(untrue), good)[0][2]
    assert pair(untrue, wrong_score(good)) == []
    assert pair(good, good) == []
    assert pair(good[: len(good) // 2], good) == []  # length is what such a pair would teach


def test_a_repair_is_paired_with_the_very_sample_that_it_keeps_the_beginning_of(card):
    held_out, good = card
    own = [sample(held_out, wrong_score(good), number) for number in range(2)]
    repairs = [
        CheckedSummary.sample(
            Generation(f"r{number}", held_out.id, "sft", text, "stop", 1, 1, 0, "key1"), held_out.source, "repair"
        )
        for number, text in enumerate((wrong_score(good), good, held_out.reference))
    ]
    block = PairsConfig(shares={"repair": 1.0}, min_facts=0.5)
    (pair,), _ = pair_up(held_out, pools(own, repair=repairs), block)
    assert (pair.provenance["rejected"], pair.provenance["chosen"]) == ("key1", "repair")
    assert pair.chosen[0]["content"] == good.strip()


@pytest.mark.parametrize("fault", BREAKERS)
def test_every_breaker_breaks_what_it_names_and_a_check_sees_it(world, fault):
    seen = 0
    for held_out, _ in world:
        text = BREAKERS[fault](held_out.reference, random.Random(fault))
        if text != held_out.reference:
            seen += bool(failures(check_summary(text, held_out.source)))
    assert seen >= len(world) - 2, f"{fault}: {seen} of {len(world)} seen"


def test_broken_references_are_seeded_differ_and_all_fail(card):
    held_out, _ = card
    first, again = (list(broken(held_out, 3)) for _ in range(2))
    assert first == again
    assert len({item.origin for item in first}) == 3
    assert not any(item.accepted for item in first)
    assert list(broken_versions("No bullet, no number, no link", "s", tables_of("")))  # a preamble can always be added


@pytest.mark.parametrize("fault", ["figure of another row", "neighbour's name"])
def test_what_stands_in_a_table_or_list_is_put_in_the_wrong_place_and_a_check_sees_it(world, fault):
    faults = []
    for held_out, _ in world:
        tables = SourceIndex.from_source(held_out.source).tables
        text = MISPLACERS[fault](tables, held_out.reference, random.Random(fault))
        assert MISPLACERS[fault](tables, held_out.reference, random.Random(fault)) == text
        faults += [failures(check_summary(text, held_out.source))] if text != held_out.reference else []
    assert len(faults) >= 4
    assert sum("stands beside" in said for said in faults) >= len(faults) - 1


def test_the_score_of_another_benchmark_is_given_to_a_model_whose_row_has_both():
    table = "| Model | MMLU | GSM8K |\n|---|---|---|\n| Orvan-3B | 64.3 | 71.2 |\n| Orvan-7B | 69.8 | 80.5 |\n"
    tables, summary = tables_of(table), "- Orvan-3B has 64.3 on MMLU."
    assert MISPLACERS["figure of another column"](tables, summary, random.Random(1)) == "- Orvan-3B has 71.2 on MMLU."
    assert MISPLACERS["figure of another row"](tables, summary, random.Random(1)) == "- Orvan-3B has 69.8 on MMLU."
    found = {MISPLACERS["neighbour's name"](tables, summary, random.Random(seed)) for seed in range(9)}
    assert found == {"- Orvan-3B has 64.3 on GSM8K.", "- Orvan-7B has 64.3 on MMLU."}
    assert all(
        misplace(tables, "No figure of 64.31.", random.Random(1)) == "No figure of 64.31." for misplace in MISPLACERS.values()
    )
    assert {fault for fault, _ in broken_versions(summary, "s", tables)} > set(MISPLACERS)


BY_GRADE = PairsConfig(by="grade", chosen="own", shares={"own": 1.0}, min_grade=0.5, per_card=2, max_faults=9)


@pytest.fixture(scope="module")
def ladder(card):
    """Samples of one card, each worse than the one before, and the grades they have."""
    held_out, good = card
    wrong = [re.sub(r"\b\d\d\.\d\b", f"{number}1.1", good, count=number) for number in range(1, 5)]
    texts = [good, *wrong, wrong[3].replace("https://", "https://nowhere.example/")]
    own = [sample(held_out, text, number) for number, text in enumerate(texts)]
    scores = [item.graded(held_out.source).score for item in own]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[-1] > BY_GRADE.margin
    return own, scores


def test_by_grade_the_best_sample_is_set_against_the_worst_and_the_pair_tells_both_grades(card, ladder):
    own, scores = ladder
    pairs, reason = pair_up(card[0], pools(own[::-1]), BY_GRADE)
    assert reason == ""
    assert (pairs[0].chosen[0]["content"], pairs[0].rejected[0]["content"]) == (own[0].text, own[-1].text)
    told = pairs[0].provenance
    assert told["grades"] == {"chosen": round(scores[0], 3), "rejected": round(scores[-1], 3)}
    assert told["parts"]["links"][0] > told["parts"]["links"][1]
    assert "form" not in told["parts"]
    assert f"graded {scores[-1]:.2f} to {scores[0]:.2f}: " in pairs[0].reason
    assert "links " in pairs[0].reason
    texts = [turn[0]["content"] for pair in pairs for turn in (pair.chosen, pair.rejected)]
    assert len(set(texts)) == len(texts)


def test_by_grade_two_samples_that_pass_every_check_make_a_pair_without_a_fault(card, ladder):
    held_out, good = card
    links = sample(held_out, re.sub(r"\[([^\]]+)\]\(http[^)]+\)", r"\1", good), 9)
    worse = replace(links, results=[replace(result, passed=True) for result in links.results])
    assert worse.accepted
    (pair,), _ = pair_up(held_out, pools([ladder[0][0], worse]), BY_GRADE.model_copy(update={"margin": 0.01}))
    assert pair.provenance["failed"] == []
    assert pair.reason.startswith("graded ")


def test_by_grade_cards_without_a_pair_say_why(card, ladder):
    own, scores = ladder

    def why(samples, **changes):
        pairs, reason = pair_up(card[0], pools(samples), BY_GRADE.model_copy(update=changes))
        assert pairs == []
        return reason

    assert len(own[-1].failed) > 1
    assert "all alike" in why([own[0]] * 8)
    assert "pairs.min_grade" in why(own[1:], min_grade=1.0)
    assert "like length" in why(own, max_faults=1, margin=0.9 * (scores[0] - scores[-1]))


def test_what_thinks_aloud_or_has_no_end_has_no_grade(card):
    held_out, good = card
    cut = sample(held_out, good, finish="length").graded(held_out.source)
    aloud = replace(sample(held_out, good), thought=True).graded(held_out.source)
    assert (cut.score, aloud.score) == (0, 0)
    assert sample(held_out, good).graded(held_out.source).score > 0.5


def pair(pool, number):
    return PreferencePair(f"{pool}{number:03d}", [], [], [], {}, "r", {"pool": pool, "failed": []})


def test_the_largest_pool_is_whole_and_the_others_have_their_share_beside_it():
    pairs = (
        [pair("own", i) for i in range(100)] + [pair("broken", i) for i in range(90)] + [pair("revision", i) for i in range(5)]
    )
    kept, beyond = in_shares(pairs, {"own": 0.5, "revision": 0.3, "broken": 0.2})
    counts = {pool: sum(item.provenance["pool"] == pool for item in kept) for pool in ("own", "revision", "broken")}
    assert counts == {"own": 100, "revision": 5, "broken": 40}
    assert len(beyond) == 50
    # Without own pairs the next pool is the measure.
    assert len(in_shares(pairs[100:], {"own": 0.5, "revision": 0.3, "broken": 0.2})[0]) == 5 + 3


def test_the_advice_follows_the_interval_of_the_measured_share(card):
    held_out, good = card
    reference, level = CheckedSummary.reference(held_out), ReferenceMatchRate()
    wrong, right = sample(held_out, wrong_score(good)), sample(held_out, held_out.reference)
    for _ in range(10):
        level.add([wrong, right, wrong], reference)
    assert "apo_zero is advised" in level.advice()
    for _ in range(8):
        level.add([right, wrong], reference)
    assert "too close to half" in level.advice()
    for _ in range(60):
        level.add([right] * 4, reference)
    assert "apo_down is advised" in level.advice()
    level.add([], reference)
    assert level.result()["n"] == 78  # cards, not samples


def test_a_right_page_that_computes_a_number_is_on_neither_side_and_no_text_is_rejected_twice(card):
    held_out, good = card
    block = PairsConfig(shares={"own": 1.0}, min_facts=0.5, per_card=3)
    own = [with_a_difference(good), wrong_score(good), wrong_score(good), good]
    pairs, _ = pair_up(held_out, pools([sample(held_out, text, number) for number, text in enumerate(own)]), block)
    assert [(pair.provenance["rejected"], pair.chosen[0]["content"]) for pair in pairs] == [("key1", good.strip())]


@pytest.mark.parametrize("words", ["<think>\nFirst.\n</think>\n", "<|im_start|>"])
def test_what_no_row_may_hold_is_on_neither_side_and_is_set_aside(card, words):
    held_out, good = card
    made = pools([sample(held_out, words + wrong_score(good)), sample(held_out, good)])
    assert not pair_up(held_out, made, OWN)[0]
    (aside,) = unwritable(held_out, made)
    assert aside.reason == "thinks aloud or spells a control token, which no training row may hold"


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="greater than 0"):
        PairsConfig(shares={"own": 1.0, "broken": 0.0})


def run_pairs(run_dir, *overrides):
    return run_here("data_prep.pairs", "--config", "recipes/demo/data.yaml", "--run_dir", str(run_dir), *overrides)


def write_run(run_dir, world):
    data = run_dir / "data"
    write_jsonl(data / "sampling.jsonl", [held_out for held_out, _ in world])
    rows = [
        Generation(f"{held_out.id}-{k}", held_out.id, "sft", text, "stop", 1, 1, k)
        for held_out, good in world
        for k, text in enumerate((good, wrong_score(good)))
    ]
    write_jsonl(data / "samples.jsonl", rows)
    write_jsonl(data / "revisions.jsonl", [])
    splits = {held_out.id: "train" if number < 4 else "validation" for number, (held_out, _) in enumerate(world)}
    write_json(data / "split.json", {"splits": splits, "families": {}, "config": {}})


def test_the_stage_writes_both_tables_sets_aside_and_advises(tmp_path, world):
    write_run(tmp_path, world)
    done = run_pairs(tmp_path, "--pairs.shares", "{own: 0.8, broken: 0.2}", "--pairs.min_facts", "0.5")
    assert done.returncode == 0, done.stderr
    train = pq.read_table(tmp_path / "data" / "pairs" / "train.parquet").to_pylist()
    pools_of = [json.loads(row["provenance"])["pool"] for row in train]
    assert pools_of.count("own") == 4
    assert pools_of.count("broken") == 1
    assert pq.read_table(tmp_path / "data" / "pairs" / "validation.parquet").num_rows == 2
    result = manifest_of(tmp_path / "data", "pairs")["result"]
    assert (result["train_own"], result["train_broken"]) == (4, 1)
    assert "validation cards half of the own samples match the reference" in done.stdout
    aside = [json.loads(line) for line in (tmp_path / "data" / "rejected.jsonl").open()]
    assert {row["reason"] for row in aside} == {"more pairs of its pool than its share"}


def test_corrected_pages_alone_need_no_samples_and_each_that_makes_no_pair_is_set_aside_with_the_reason(tmp_path, world):
    write_run(tmp_path, world)
    options = ("--pairs.shares", "{corrected: 1.0}", "--pairs.min_facts", "0.5", "--pairs.per_card", "1")
    done = run_pairs(tmp_path, *options)
    assert done.returncode == 2
    assert "corrections.jsonl is missing; run data_prep.correct" in done.stderr
    (tmp_path / "data" / "samples.jsonl").unlink()
    held_out, good = world[0]
    untrue, short = wrong_score(good), good[: len(good) // 2]
    pages = {
        "key0": (untrue, good),
        "key1": (good, good),
        "key2": (short, good),
        "key3": (good, untrue),
        "key4": (untrue + "x", good),
    }
    rows = [Correction(key, held_out.id, "org/model", "sft", *texts[:1], "", "stop", texts[1]) for key, texts in pages.items()]
    write_jsonl(tmp_path / "data" / "corrections.jsonl", [*rows, replace(rows[0], card_id="f" * 16)])
    done = run_pairs(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    (row,) = pq.read_table(tmp_path / "data" / "pairs" / "train.parquet").to_pylist()
    assert json.loads(row["provenance"])["rejected"] == "key0"
    aside = [json.loads(line) for line in (tmp_path / "data" / "rejected.jsonl").open()]
    assert [(item["id"], item["reason"]) for item in aside if "corrected page of this card" not in item["reason"]] == [
        ("f" * 16, "its corrected pages are of a card that sampling.jsonl does not have"),
        (held_out.id, "its corrected page says what was written"),
        (held_out.id, "a corrected page is of another length than what was written (pairs.max_length_gap)"),
        (held_out.id, "a corrected page has a flag, or leaves facts out (pairs.min_facts)"),
        (held_out.id, "more corrected pages of a card than pairs.per_card"),
    ]


def test_a_corrected_page_that_is_refused_is_told_where_another_pool_has_its_sample_too(card):
    held_out, good = card
    written = wrong_score(good)
    sides = both_sides(
        [Correction("key0", held_out.id, "org/model", "sft", written, "", "stop", written + "x")], held_out.source
    )
    block = PairsConfig(shares={"own": 0.5, "corrected": 0.5}, min_facts=0.5)
    pairs, _ = pair_up(held_out, pools([sample(held_out, written)], corrected=sides), block)
    assert [(pair.provenance["pool"], pair.provenance["rejected"]) for pair in pairs] == [("own", "key0")]
    assert [row.reason for row in uncorrected(held_out, sides, pairs, block)] == [
        "a corrected page has a flag, or leaves facts out (pairs.min_facts)"
    ]


def test_samples_of_other_cards_and_a_missing_small_model_are_refused(tmp_path, world):
    write_run(tmp_path, world)
    done = run_pairs(tmp_path, "--pairs.small", "tiny", "--pairs.shares", "{own: 0.5, small: 0.5}")
    assert done.returncode == 2
    assert "samples.tiny.jsonl is missing; add tiny to sample.systems" in done.stderr
    write_jsonl(tmp_path / "data" / "samples.jsonl", [Generation("k", "f" * 16, "sft", "text", "stop", 1, 1)])
    done = run_pairs(tmp_path)
    assert done.returncode == 2
    assert "has samples of card ffffffffffffffff, which sampling.jsonl lacks; run eval.generate --stage sample" in done.stderr
