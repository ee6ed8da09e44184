"""Teachers on loopback: candidates of cards without a summary, revisions of failing samples, and what is asked only once."""

import re
from dataclasses import replace

import pytest
from chat_server import ChatServer

from data_prep.candidates.pruned import pruned
from data_prep.cards.parse import parse_card
from data_prep.core.files import read_jsonl, write_json, write_jsonl
from data_prep.core.recipe import load
from data_prep.core.records import Attached, Candidate, CardNotes, Generation, HeldOut, Rejected
from data_prep.prompts.student import source_text
from data_prep.research import ResearchConfig
from data_prep.research import main as research
from data_prep.revise import ReviseConfig
from data_prep.revise import main as revise
from data_prep.synthetic.world import raw_cards
from data_prep.write import WriteConfig
from data_prep.write import main as write


@pytest.fixture(scope="module")
def world():
    raws = list(raw_cards(5, 4))
    return [(raw, parse_card(raw)) for raw in raws]


@pytest.fixture
def data(tmp_path, world):
    """Four cards with notes; the first came with a summary."""
    data = tmp_path / "data"
    cards = [card for _, card in world]
    write_jsonl(data / "cards.jsonl", cards)
    write_jsonl(data / "attached.jsonl", [Attached(cards[0].id, [], world[0][0].summaries[:1])])
    write_jsonl(data / "notes.jsonl", [CardNotes(card.id, raw.notes, "attached") for raw, card in world])
    write_json(data / "split.json", {"splits": {card.id: "train" for card in cards}, "families": {}, "config": {}})
    return data


def endpoint(server, model="scribe", licence="apache-2.0"):
    return f"{{model: {model}, base_url: '{server.url}', licence: {licence}, retries: 0}}"


def run_write(data, *arguments):
    write(load("write", WriteConfig, ["--run_dir", str(data.parent), *arguments]))
    return list(read_jsonl(data / "candidates.jsonl", Candidate))


def teacher_of(world):
    """Answers with the reference of the card that it is asked about, cut in half for every other temperature."""

    def reply(body):
        user = body["messages"][-1]["content"]
        summary = next(
            raw.summaries[0] for raw, _ in world if raw.content.strip().splitlines()[-1] in user and raw.model_id in user
        )
        return summary if body["temperature"] < 0.6 else summary[:400]

    return reply


def test_every_teacher_writes_candidates_of_the_cards_that_came_without_and_all_are_kept(data, world):
    with ChatServer(reply=teacher_of(world)) as server:
        teachers = f"[{endpoint(server)}, {endpoint(server, 'other', 'mit')}]"
        options = ("--write.teachers", teachers, "--write.candidates", "2", "--write.temperatures", "[0.3, 0.9]")
        candidates = run_write(data, *options)
        by_card = [[row for row in candidates if row.card_id == card.id] for _, card in world]
        assert [len(rows) for rows in by_card] == [1, 4, 4, 4]
        assert [row.writer for row in by_card[1]] == ["scribe", "scribe", "other", "other"]
        assert [row.licence for row in by_card[1]] == ["apache-2.0", "apache-2.0", "mit", "mit"]
        assert by_card[0][0].writer == "attached"
        assert [bool(row.failed) for row in by_card[2]] == [False, True, False, True]
        assert by_card[2][1].decoding["temperature"] == 0.9
        assert by_card[2][0].usage == {"prompt_tokens": 100, "completion_tokens": 10}
        assert len({row.id for row in candidates}) == len(candidates)
        asked, before = len(server.asked), (data / "candidates.jsonl").read_bytes()
        assert asked == 12
        (data / "write.manifest.json").unlink()
        run_write(data, *options)
        assert len(server.asked) == asked
        assert (data / "candidates.jsonl").read_bytes() == before


def test_a_teacher_whose_licence_is_not_permissive_is_refused_until_it_is_allowed(data, world):
    with ChatServer(reply=teacher_of(world)) as server:
        closed = f"[{endpoint(server, licence='closed-terms')}]"
        with pytest.raises(ValueError, match=r'writes under "closed-terms".*write\.allow_licences'):
            run_write(data, "--write.teachers", closed)
        assert server.asked == []
        options = ("--write.teachers", closed, "--write.allow_licences", "[closed-terms]", "--write.candidates", "1")
        assert len(run_write(data, *options)) == 4


def test_research_and_revise_refuse_such_a_teacher_too(data):
    closed = "{model: scribe, base_url: 'http://127.0.0.1:9/v1', licence: closed-terms}"
    for stage, schema, main in (("research", ResearchConfig, research), ("revise", ReviseConfig, revise)):
        with pytest.raises(ValueError, match=rf"{stage}\.allow_licences"):
            main(load(stage, schema, ["--run_dir", str(data.parent), f"--{stage}.teacher", closed]))


def test_questions_that_failed_are_asked_again_by_the_next_run_and_only_they(data, world, capsys):
    broken = {"on": True}

    def reply(body):
        if broken["on"] and f"a summary of {world[2][0].model_id} for" in body["messages"][-1]["content"]:
            return ""  # no answer
        return teacher_of(world)(body)

    with ChatServer(reply=reply) as server:
        options = ("--write.teachers", f"[{endpoint(server)}]", "--write.candidates", "1")
        assert len(run_write(data, *options)) == 3
        assert "1 questions failed; run it again" in capsys.readouterr().out
        aside = list(read_jsonl(data / "rejected.jsonl", Rejected))
        assert [(row.id, row.reason) for row in aside] == [(world[2][1].id, "no teacher gave an answer")]
        broken["on"], asked = False, len(server.asked)
        assert len(run_write(data, *options)) == 4
        assert len(server.asked) == asked + 1
        assert list(read_jsonl(data / "rejected.jsonl", Rejected)) == []


def test_a_teacher_that_answers_nothing_ends_the_stage_and_the_reason_is_kept(data):
    with (
        ChatServer(reply=lambda _: "") as server,
        pytest.raises(ValueError, match="none of 3 questions got an answer: empty answer"),
    ):
        run_write(data, "--write.teachers", f"[{endpoint(server)}]", "--write.candidates", "1")
    details = {row.detail for row in read_jsonl(data / "rejected.jsonl", Rejected)}
    assert details == {"empty answer (stop); run write again to ask once more"}


def test_without_a_teacher_a_card_gets_its_own_sentences(data, world):
    candidates = run_write(data)
    assert [row.writer for row in candidates] == ["attached", "extractive", "extractive", "extractive"]
    assert all(world[number][1].model_id.partition("/")[2] in row.text for number, row in enumerate(candidates))


def test_a_revision_names_the_sample_that_it_mends_and_the_teacher_is_told_the_faults(data, world):
    raw, card = world[1]
    held_out = HeldOut(card.id, [], source_text(card.model_id, card.text, raw.notes), raw.summaries[0], "f")
    wrong = raw.summaries[1].replace("- **", "- **Qwen99-Z** **", 1)
    samples = [Generation(f"key{k}", card.id, "sft", text, "stop", 1, 1, k) for k, text in enumerate((wrong, raw.summaries[1]))]
    write_jsonl(data / "sampling.jsonl", [held_out])
    write_jsonl(data / "samples.jsonl", samples)
    with ChatServer(reply=lambda body: raw.summaries[1]) as server:
        arguments = ["--run_dir", str(data.parent), "--revise.teacher", endpoint(server)]
        revise(load("revise", ReviseConfig, arguments))
        (revision,) = read_jsonl(data / "revisions.jsonl", Candidate)
        assert (revision.revises, revision.writer, revision.failed) == ("key0", "scribe", [])
        assert "not in the sources: Qwen99" in server.asked[0]
        assert len(server.asked) == 1  # the passing sample is left alone


def test_a_teacher_that_mends_nothing_ends_the_stage(data, world):
    raw, card = world[1]
    wrong = raw.summaries[1].replace("- **", "- **Qwen99-Z** **", 1)
    write_jsonl(
        data / "sampling.jsonl", [HeldOut(card.id, [], source_text(card.model_id, card.text, raw.notes), raw.summaries[0], "f")]
    )
    write_jsonl(data / "samples.jsonl", [Generation("key", card.id, "sft", wrong, "stop", 1, 1, 0)])
    with (
        ChatServer(reply=lambda _: "") as server,
        pytest.raises(ValueError, match="none of 1 questions got an answer: empty answer"),
    ):
        revise(load("revise", ReviseConfig, ["--run_dir", str(data.parent), "--revise.teacher", endpoint(server)]))
    assert not (data / "revise.manifest.json").exists()


def test_without_a_teacher_nothing_is_revised(data, capsys):
    write_jsonl(data / "sampling.jsonl", [])
    write_jsonl(data / "samples.jsonl", [])
    revise(load("revise", ReviseConfig, ["--run_dir", str(data.parent)]))
    assert list(read_jsonl(data / "revisions.jsonl", Candidate)) == []
    assert "nothing is mended" in capsys.readouterr().out


@pytest.mark.parametrize(("by", "writer"), [("reference", "spliced"), ("removal", "pruned")])
def test_a_program_mends_where_no_teacher_is_asked(by, writer, data, world, capsys):
    raw, card = world[1]
    source, good = source_text(card.model_id, card.text, raw.notes), raw.summaries[0]
    score = re.search(r"^.*(?:the card reports|a score of) (\d\d\.\d).*\n", good, re.MULTILINE)
    wrong = good.replace(score[0], score[0].replace(score[1], "11.1"), 1)
    write_jsonl(data / "sampling.jsonl", [HeldOut(card.id, [], source, good, "f")])
    ends = [
        ("key0", f"{400 * chr(10)}{wrong}", "stop"),
        ("key1", good, "stop"),
        ("key2", wrong, "length"),
        ("key3", wrong, "stop"),
    ]
    samples = [Generation(key, card.id, "sft", text, end, 1, 1, k) for k, (key, text, end) in enumerate(ends)]
    write_jsonl(data / "samples.jsonl", [*samples[:3], replace(samples[3], thinking="aloud, which no program mends")])
    arguments = ["--run_dir", str(data.parent), "--revise.by", by, "--revise.per_card", "4"]
    revise(load("revise", ReviseConfig, arguments))
    first, second = read_jsonl(data / "revisions.jsonl", Candidate)
    left = good if by == "reference" else good.replace(score[0], "", 1)
    assert (first.revises, first.writer, first.failed, first.text) == ("key0", writer, [], left.strip())
    assert second.revises == "key2"
    if by == "reference":
        assert second.failed == ["finished"]  # what was cut stays cut
    else:
        assert second.text == pruned(first.text, [], cut=True)
        assert "finished" not in second.failed
    assert "2 revisions, 1 pass every check" in capsys.readouterr().out
    teacher = "{model: m, base_url: 'http://127.0.0.1:9/v1', licence: apache-2.0}"
    with pytest.raises(ValueError, match=f"revise.by is {by} and .* leave one of them out"):
        revise(load("revise", ReviseConfig, [*arguments, "--revise.teacher", teacher]))
