"""Logged conversations: what is recovered from them, and why some are set aside."""

import json

import pytest
from commands import ROOT

from data_prep.collecting.transcripts import read_transcripts
from data_prep.core.records import RawCard, Rejected

FOLDER = ROOT / "tests" / "fixtures" / "transcripts"
TEXT = (FOLDER / "veltin.txt").read_text()


@pytest.fixture
def read(tmp_path):
    def read(text, name="one.txt"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return list(read_transcripts(tmp_path / name))

    return read


def test_a_conversation_gives_card_notes_and_summary_exactly():
    [raw] = read_transcripts(FOLDER / "veltin.txt")
    assert (raw.model_id, raw.source) == ("Quillmark/Veltin-1B", "transcripts:veltin.txt")
    assert raw.content.startswith("---\nlicense: mit\n")
    assert 'print("ahoy")\n```\n' in raw.content  # the card's own fences stay
    assert raw.content.endswith("names the pilots who wrote it.\n")
    assert [note.url for note in raw.notes] == ["https://quillmark.example/report?a=1&b=2", "https://quillmark.example/code"]
    assert raw.notes[0].text == "The report counts 41,200 logbooks.\n\n---\n\n- It leaves out the winter months."
    assert raw.notes[1].text == "The code runs on one GPU."
    assert raw.removed == ["Here is a summary of Quillmark/Veltin-1B for researchers:\n\n---\n\n"]
    assert raw.summaries[0].startswith("## Veltin 1B in brief\n")
    assert raw.summaries[0].endswith("# not a heading\n```\n")
    assert "Thank you" not in raw.content + raw.summaries[0]


def test_line_ends_of_windows_change_nothing(read):
    [raw], [expected] = read(TEXT.replace("\n", "\r\n")), read_transcripts(FOLDER / "veltin.txt")
    assert (raw.content, raw.notes, raw.summaries) == (expected.content, expected.notes, expected.summaries)


def test_messages_give_the_same_as_text_and_one_turn_may_hold_card_and_research(read):
    [expected] = read_transcripts(FOLDER / "veltin.txt")
    card, research = (
        TEXT.split("---ASSISTANT\n")[0].removeprefix("---USER\n"),
        TEXT.split("---USER\n")[2].split("---ASSISTANT\n")[0],
    )
    summary = {"role": "assistant", "content": [{"type": "text", "text": TEXT.split("---ASSISTANT\n")[3]}]}
    apart = [
        {"role": "user", "content": card},
        {"role": "assistant", "content": "Noted."},
        {"role": "user", "content": research},
        summary,
    ]
    together = [{"role": "user", "content": card + "\n" + research}, summary]
    found = read("\n".join(json.dumps({"messages": messages}) for messages in (apart, together)), "two.jsonl")
    for number, raw in enumerate(found, 1):
        assert raw.source == f"transcripts:two.jsonl:{number}"
        assert (raw.model_id, raw.content.strip(), raw.notes) == (expected.model_id, expected.content.strip(), expected.notes)
        assert (raw.summaries, raw.removed) == (expected.summaries, expected.removed)


ENDS = TEXT.index("---ASSISTANT\nHere is a summary")
MISFITS = {
    'transcript without "Here is the model card for ..."': TEXT.replace("Here is the model card for", "Look at"),
    "transcript with more than one model card": TEXT.replace(
        "Here is additional", "Here is the model card for a/b:\n\nHere is additional"
    ),
    "model card without its outer code fence": TEXT.replace("```", "''").replace("$''\n", ""),
    "research notes that do not close": TEXT.replace("   </research>\n</model_research>", "</model_research>"),
    "transcript that does not end with the assistant's summary": TEXT[:ENDS],
    "transcript that ends with an acknowledgement, without a summary": TEXT[:ENDS] + "---ASSISTANT\nThank you, noted.\n",
}


@pytest.mark.parametrize("reason", MISFITS)
def test_what_does_not_fit_is_set_aside_with_the_reason(read, reason):
    [row] = read(MISFITS[reason])
    assert isinstance(row, Rejected)
    assert (row.stage, row.id, row.reason) == ("collect", "one.txt", reason)


def test_a_summary_without_heading_is_kept_whole_for_the_checks_to_judge(read):
    [raw] = read(TEXT[:ENDS] + "---ASSISTANT\n" + "It charts harbours. " * 40)
    assert raw.removed == [""]
    assert raw.summaries[0].startswith("It charts harbours. It")


def test_broken_lines_of_jsonl_are_set_aside_one_by_one(read):
    lines = [
        b"{",
        b"[1]",
        b'{"messages": "x"}',
        b'{"messages": [{"role": "user"}]}',
        b"",
        b'{"messages": []}',
        b"\xff",
        b"[" * 90_000,
    ]
    rows = read(b"\n".join(lines), "bad.jsonl")
    assert [row.id for row in rows] == [f"bad.jsonl:{number}" for number in (1, 2, 3, 4, 6, 7, 8)]
    assert {row.reason for row in rows} == {
        "transcript line is not JSON",
        "transcript line has no list of messages",
        "message without text in a transcript line",
        'transcript without "Here is the model card for ..."',
    }


def test_any_bytes_are_read_or_set_aside(read):
    for text in (b"", b"\0\xff---USER\n", TEXT.encode()[:400], TEXT.encode("utf-16")):
        assert all(isinstance(row, (RawCard, Rejected)) for row in read(text))


def test_a_folder_is_read_whole_and_an_empty_one_refused(tmp_path):
    assert [raw.source for raw in read_transcripts(FOLDER)] == ["transcripts:veltin.txt"]
    with pytest.raises(ValueError, match=r"holds no file ending in \.txt or \.jsonl; set collect\.path"):
        list(read_transcripts(tmp_path))
    with pytest.raises(ValueError, match=r"there is no .*; set collect\.path"):
        list(read_transcripts(tmp_path / "gone"))
