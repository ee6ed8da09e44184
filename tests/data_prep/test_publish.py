"""A run as a data set: what goes out, in which form, that it loads, and that the Hub gets exactly what was shown."""

import json
import re
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from commands import BASE, ROOT, run_command
from loopback_hub import TOKEN, loopback_hub

from data_prep.collecting.filters import PERMISSIVE
from data_prep.core.files import read_jsonl, read_split, stable_id, write_json, write_jsonl
from data_prep.core.parquet import EXAMPLE_SCHEMA, PAIR_SCHEMA, table_writer
from data_prep.core.recipe import load
from data_prep.core.records import PRUNED, Candidate, Card, Correction, PreferencePair
from data_prep.prompts.chat_format import chat_format
from data_prep.prompts.student import fitted
from data_prep.publish import PublishConfig, main

KNOWN = "{attached: cc0-1.0}"
STAGES = ("collect", "split", "research", "write", "examples")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run up to pairs, with one pair of the model's own and one that quotes a reference per training card."""
    from importlib import import_module

    run_dir = tmp_path_factory.mktemp("publish") / "run"
    arguments = ("--config", "recipes/demo/data.yaml", "--run_dir", str(run_dir), "--collect.cards", "40")
    for stage in STAGES:
        module = import_module(f"data_prep.{stage}")
        module.main(load(stage, getattr(module, f"{stage.title()}Config"), [*arguments, "--split.heldout", "0.3"]))
    with table_writer(run_dir / "data" / "pairs" / "train.parquet", PAIR_SCHEMA) as add:
        for row in table_of(run_dir, "sft/train"):
            told = json.loads(row["provenance"])
            for chosen, text in (("own sample", "## Own\n\nText"), ("reference", row["completion"][0]["content"])):
                bad = [{"role": "assistant", "content": "no"}]
                good = [{"role": "assistant", "content": text}]
                provenance = {"card_id": told["card_id"], "family": told["family"], "chosen": chosen}
                name = stable_id(row["id"], chosen)
                add(PreferencePair(name, row["prompt"], good, bad, row["chat_template_kwargs"], "too short", provenance))
    return run_dir


@pytest.fixture
def run(made, tmp_path):
    """A copy of the run with a function that publishes it."""
    import shutil

    shutil.copytree(made, tmp_path / "run")

    def publish(**block):
        block = {"writer_licences": KNOWN} | block
        arguments = [part for key, value in block.items() for part in (f"--publish.{key}", str(value))]
        main(load("publish", PublishConfig, ["--run_dir", str(tmp_path / "run"), *arguments]))
        return tmp_path / "run" / "data" / "publish"

    publish.dir = tmp_path / "run"
    return publish


def table_of(run_dir, name):
    return pq.read_table(run_dir / "data" / f"{name}.parquet").to_pylist()


def loaded(out, config, tmp_path):
    from datasets import load_dataset

    return load_dataset(str(out), config, cache_dir=str(tmp_path / "cache"))


def permissive(run_dir):
    return {card.id for card in read_jsonl(run_dir / "data" / "cards.jsonl", Card) if card.licence in PERMISSIVE}


def card_of(row):
    return json.loads(row["provenance"])["card_id"]


@pytest.mark.parametrize("pool", ["corrected", "own"])
def test_pages_that_a_reader_corrected_are_not_promised_to_be_made_again(run, pool):
    write_json(run.dir / "data" / "pairs.manifest.json", {"recipe": {"seed": 1, "pairs": {"shares": {pool: 1.0}}}})
    assert ("no program makes those again" in (run() / "README.md").read_text()) == (pool == "corrected")


# --- what goes out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("config", "table"), [("sft", "sft"), ("preference", "pairs")])
def test_rows_of_permissive_cards_load_as_they_were(run, tmp_path, config, table):
    found = loaded(run(), config, tmp_path)
    free = permissive(run.dir)
    for split in found:
        whole = [row for row in table_of(run.dir, f"{table}/{split}") if card_of(row) in free]
        assert found[split].num_rows == len(whole) > 0
        for row, before in zip(found[split], whole, strict=True):
            told = json.loads(row["provenance"])
            assert {**row, "provenance": ""} == {**before, "provenance": ""}
            assert json.loads(before["provenance"]).items() <= (told | {"writer": "attached"}).items()
            assert told["licence"] in PERMISSIVE
            assert "/" in told["model_id"]


def test_of_other_cards_id_hash_and_notes_go_out(run, tmp_path):
    found = loaded(run(), "withheld", tmp_path)
    cards = {card.id: card for card in read_jsonl(run.dir / "data" / "cards.jsonl", Card)}
    splits = read_split(run.dir / "data" / "split.json")["splits"]
    assert "train" in found
    for split in found:
        expected = {name for name in cards if splits[name] == split} - permissive(run.dir)
        assert {row["card_id"] for row in found[split]} == expected
    for row in found["train"]:
        card = cards[row["card_id"]]
        assert (row["model_id"], row["revision"], row["sha256"]) == (card.model_id, card.revision, card.sha256)
        assert row["notes"]
        assert card.body.strip().split("\n\n")[1] not in json.dumps(row, ensure_ascii=False)


def test_candidates_carry_split_writer_licence_and_decoding(run, tmp_path):
    rows = loaded(run(), "candidates", tmp_path)["train"]
    whole = {one.id: one for one in read_jsonl(run.dir / "data" / "candidates.jsonl", Candidate)}
    assert rows.num_rows
    for row in rows:
        assert row["text"] == whole[row["id"]].text
        assert (row["split"], row["writer"], row["licence"], row["decoding"]) == ("train", "attached", "cc0-1.0", "{}")


@pytest.mark.parametrize("text", ["licensed", "never"])
def test_of_held_out_cards_only_id_and_family_go_out(run, text):
    out = run(text=text)
    split = read_split(run.dir / "data" / "split.json")
    held = {name for name, where in split["splits"].items() if where == "heldout"}
    assert held
    rows = pq.read_table(out / "cards" / "all.parquet").to_pylist()
    told = {row["card_id"]: row for row in rows if row["split"] == "heldout"}
    assert told.keys() == held
    assert all(row["family"] == split["families"][name] for name, row in told.items())
    assert {row[key] for row in told.values() for key in ("revision", "sha256", "licence")} == {None}
    for file in out.rglob("*.parquet"):
        if file.parent.name != "cards":
            assert not any(name in json.dumps(pq.read_table(file).to_pylist()) for name in held)


def test_never_means_no_text_of_any_card(run, tmp_path):
    out = run(text="never")
    assert not (out / "withheld").exists()
    everything = "".join(json.dumps(pq.read_table(file).to_pylist(), ensure_ascii=False) for file in out.rglob("*.parquet"))
    for card in read_jsonl(run.dir / "data" / "cards.jsonl", Card):
        for paragraph in card.body.split("\n\n"):
            if len(paragraph) > 80:
                assert json.dumps(paragraph, ensure_ascii=False)[1:-1] not in everything
    rows = loaded(out, "sft", tmp_path)["train"]
    assert "prompt" not in rows.column_names
    assert rows.num_rows == len(table_of(run.dir, "sft/train"))
    assert set(rows.column_names) >= {"card_id", "model_id", "revision", "sha256", "notes", "completion"}


def test_rows_whose_writer_nobody_vouches_for_stay_with_the_reason_in_the_card(run):
    path = run.dir / "data" / "candidates.jsonl"
    placed = read_split(run.dir / "data" / "split.json")["splits"]
    rows = list(read_jsonl(path, Candidate))
    strange = {row.id for row in [row for row in rows if placed[row.card_id] == "train"][:2]}
    write_jsonl(path, [replace(row, writer="stranger") if row.id in strange else row for row in rows])
    out = run(text="never")
    assert 'candidates: the licence of the writer "stranger" is not known |' in (out / "README.md").read_text()
    assert "stranger" not in json.dumps(pq.read_table(out / "candidates" / "train.parquet").to_pylist())


def test_a_sample_without_what_was_marked_is_the_models_own(run):
    rows = table_of(run.dir, "pairs/train")
    revised = [
        Candidate("r", card_of(row), row["chosen"][0]["content"], PRUNED, revises="s")
        for row in rows
        if json.loads(row["provenance"])["chosen"] == "own sample"
    ]
    write_jsonl(run.dir / "data" / "revisions.jsonl", revised)
    told = [row | {"provenance": row["provenance"].replace("own sample", "revision")} for row in rows]
    pq.write_table(pa.Table.from_pylist(told, PAIR_SCHEMA), run.dir / "data" / "pairs" / "train.parquet")
    out = run(text="never")
    assert "pruned" not in (out / "README.md").read_text()
    assert pq.read_table(out / "preference" / "train.parquet").num_rows == len(rows)


def test_a_pair_that_quotes_a_reference_needs_its_writers_licence_and_one_of_the_models_own_does_not(run):
    path = run.dir / "data" / "candidates.jsonl"
    write_jsonl(path, [Candidate(row.id, row.card_id, row.text, "stranger") for row in read_jsonl(path, Candidate)])
    rows = pq.read_table(run(text="never") / "preference" / "train.parquet").to_pylist()
    assert {json.loads(row["provenance"])["chosen"] for row in rows} == {"own sample"}
    assert {json.loads(row["provenance"])["writer"] for row in rows} == {"this project's model"}


def test_a_page_that_a_reader_set_right_goes_out_where_the_readers_licence_is_told(run):
    path = run.dir / "data" / "candidates.jsonl"
    candidates = list(read_jsonl(path, Candidate))
    write_jsonl(path, [replace(row, text="another") for row in candidates])
    corrections = [Correction(row.id, row.card_id, "m", "sft", "no", "", "stop", row.text) for row in candidates]
    write_jsonl(run.dir / "data" / "corrections.jsonl", corrections)

    def writers(**block):
        rows = pq.read_table(run(text="never", **block) / "preference" / "train.parquet").to_pylist()
        return {json.loads(row["provenance"])["writer"] for row in rows}

    assert writers() == {"this project's model"}
    assert writers(writer_licences="{attached: cc0-1.0, reader: apache-2.0}") == {"this project's model", "reader"}


def test_a_teachers_licence_is_known_from_the_run(run):
    path = run.dir / "data" / "candidates.jsonl"
    write_jsonl(path, [Candidate(row.id, row.card_id, row.text, "teacher-9b", "mit") for row in read_jsonl(path, Candidate)])
    rows = pq.read_table(run(text="never") / "candidates" / "train.parquet").to_pylist()
    assert {(row["writer"], row["licence"]) for row in rows} == {("teacher-9b", "mit")}


def test_sentences_of_a_card_follow_its_licence_and_stay_where_no_card_text_goes_out(run):
    path = run.dir / "data" / "candidates.jsonl"
    write_jsonl(path, [Candidate(row.id, row.card_id, row.text, "extractive") for row in read_jsonl(path, Candidate)])
    rows = pq.read_table(run() / "candidates" / "train.parquet").to_pylist()
    assert {row["licence"] for row in rows} <= PERMISSIVE
    assert not (run(text="never") / "candidates").exists()


def test_a_run_of_which_nothing_may_go_out_is_refused(run):
    with pytest.raises(ValueError, match=r'the licence of the writer "attached" is not known.*publish\.writer_licences'):
        run(writer_licences="{}")
    assert not (run.dir / "data" / "publish").exists()


# --- the card ---------------------------------------------------------------------------------------------------------


def test_the_card_tells_rows_licences_split_and_commands(run):
    out = run(text="never")
    text = (out / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert [config["config_name"] for config in front["configs"]] == ["sft", "preference", "candidates", "cards"]
    assert f"| sft | {len(table_of(run.dir, 'sft/train'))} |" in text
    assert "| attached | cc0-1.0 |" in text
    assert "| heldout |" in text
    assert "Prompt version 1" in text
    for module in re.findall(r"^python -m (data_prep\.\w+)", text, re.MULTILINE):
        assert (ROOT / (module.replace(".", "/") + ".py")).exists()
    assert str(run.dir.parent) not in text + (out / "recipe.yaml").read_text()


def test_the_recipe_in_the_data_set_is_the_runs_own_without_folders_and_servers(run):
    from data_prep.collect import CollectConfig
    from data_prep.split import SplitConfig

    path = run.dir / "data" / "collect.manifest.json"
    written = json.loads(path.read_text())
    written["recipe"]["collect"] |= {"path": "/home/somebody/cards.parquet"}
    path.write_text(json.dumps(written))
    path = run.dir / "data" / "research.manifest.json"
    written = json.loads(path.read_text())
    written["recipe"]["research"]["teacher"] = {"model": "t", "licence": "mit", "base_url": "http://inner.example:9/v1"}
    written["recipe"]["research"]["fetch"] = {"contact": "somebody@inner.example", "mirror": "http://inner.example:8"}
    path.write_text(json.dumps(written))
    out = run()
    assert load("collect", CollectConfig, ["--config", str(out / "recipe.yaml")]).block.path == "cards.parquet"
    assert load("split", SplitConfig, ["--config", str(out / "recipe.yaml")]).block.heldout == 0.3
    assert "inner.example" not in "".join(file.read_text() for file in (out / "recipe.yaml", out / "README.md"))


def test_a_finished_build_is_left_alone(run, capsys):
    out = run()
    before = (out / "README.md").stat().st_mtime_ns
    capsys.readouterr()
    run()
    said = capsys.readouterr().out
    assert "done already" in said
    assert "nothing was sent" in said
    assert (out / "README.md").stat().st_mtime_ns == before


# --- the Hub ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub():
    with loopback_hub() as (store, address):
        yield store, address


def push(run, address, *overrides, token=TOKEN):
    environment = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(run.dir / "hf")}
    arguments = ("--run_dir", str(run.dir), "--publish.writer_licences", KNOWN, *overrides)
    return run_command("-m", "data_prep.publish", *arguments, HF_TOKEN=token, **environment)


SEND = ("--publish.push", "true", "--publish.repo_id", "ana/cards")


def test_what_is_pushed_is_what_was_shown(run, hub):
    store, address = hub
    shown = push(run, address)
    assert shown.returncode == 0, shown.stderr
    assert store.asked == []
    done = push(run, address, *SEND)
    assert done.returncode == 0, done.stderr
    out = run.dir / "data" / "publish"
    files = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert {name: store.files["ana/cards"][name] for name in files} == files
    assert store.private == {"ana/cards": True}
    assert list(store.tags["ana/cards"]) == ["v1"]
    for name in files:
        assert name in shown.stdout


def test_a_second_push_needs_another_tag_and_takes_away_what_is_withdrawn(run, hub):
    store, address = hub
    assert push(run, address, *SEND).returncode == 0
    refused = push(run, address, *SEND)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "has a tag v1; choose another publish.tag" in refused.stderr
    assert push(run, address, *SEND, "--publish.text", "never", "--publish.tag", "v2").returncode == 0
    assert not any(name.startswith("withheld/") for name in store.files["ana/cards"])
    assert list(store.tags["ana/cards"]) == ["v1", "v2"]


def test_a_public_data_set_is_not_pushed_to_unasked(run, hub):
    store, address = hub
    assert push(run, address, *SEND, "--publish.private", "false").returncode == 0
    assert store.private == {"ana/cards": False}
    refused = push(run, address, *SEND, "--publish.tag", "v2")
    assert refused.returncode == 2
    assert "ana/cards is public" in refused.stderr


def test_a_wrong_token_is_one_clear_line_without_the_token(run, hub):
    store, address = hub
    done = push(run, address, *SEND, token="hf_" + "x" * 30)
    assert done.returncode == 2
    assert "ana/cards was not pushed: the token is not valid" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "x" * 8 not in done.stdout + done.stderr
    assert store.files == {}


@pytest.mark.parametrize(("token", "said"), [("hf_\u00fcber", "characters that no token has"), ("", "there is no token")])
def test_what_cannot_be_a_token_is_not_sent(run, monkeypatch, token, said):
    from data_prep.publishing.push import push

    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(run.dir / "none"))
    with pytest.raises(ValueError, match=said) as error:
        push(run.dir, "ana/cards", True, "v1")
    assert not token or token not in str(error.value)


def test_no_hub_and_no_repo_id_are_said(run):
    done = push(run, "http://127.0.0.1:1", *SEND)
    assert done.returncode == 2
    assert "does not answer" in done.stderr
    with pytest.raises(ValueError, match="expected owner/name"):
        run(push="true", repo_id="cards")


# --- back again -------------------------------------------------------------------------------------------------------


@pytest.fixture
def rebuild(hub, tmp_path, tokenizer, monkeypatch):
    from huggingface_hub import HfApi, constants

    from data_prep.rebuild import main as rebuild

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return lambda out: rebuild(out, tmp_path / "whole", tokenizer, 1200, HfApi(endpoint=hub[1]))


def test_prompts_are_rebuilt_from_the_cards_and_a_changed_card_is_left_out(run, hub, rebuild, tmp_path):
    cards = list(read_jsonl(run.dir / "data" / "cards.jsonl", Card))
    hub[0].readmes = {card.model_id: card.text.encode() for card in cards}
    whole = table_of(run.dir, "sft/train")
    changed = next(card for card in cards if card.id == card_of(whole[0]))
    hub[0].readmes[changed.model_id] += b"\nmore"
    rebuild(run(text="never"))
    for config in ("sft", "pairs"):
        rows = pq.read_table(tmp_path / "whole" / config / "train.parquet").to_pylist()
        kept = [row for row in table_of(run.dir, f"{config}/train") if card_of(row) != changed.id]
        assert [{**row, "provenance": ""} for row in rows] == [{**row, "provenance": ""} for row in kept]
    [aside] = [json.loads(line) for line in (tmp_path / "whole" / "rejected.jsonl").read_text().splitlines()]
    assert (aside["id"], aside["reason"]) == (changed.model_id, "the card differs from the one that was used")


def test_a_row_that_thinks_is_rebuilt_with_the_prompt_that_asks_for_it(run, hub, rebuild, tmp_path, tokenizer):
    hub[0].readmes = {card.model_id: card.text.encode() for card in read_jsonl(run.dir / "data" / "cards.jsonl", Card)}
    table, chat = run.dir / "data" / "sft" / "train.parquet", chat_format(tokenizer, think=True)
    rows = table_of(run.dir, "sft/train")
    rows[0] |= {"prompt": fitted(rows[0]["prompt"], chat), "chat_template_kwargs": chat.kwargs}
    pq.write_table(pa.Table.from_pylist(rows, EXAMPLE_SCHEMA), table)
    rebuild(run(text="never"))
    again = pq.read_table(tmp_path / "whole" / "sft" / "train.parquet").to_pylist()
    assert [row["prompt"] for row in again] == [row["prompt"] for row in rows]
    assert "/think" in again[0]["prompt"][0]["content"]


def test_a_rebuild_waits_for_a_busy_hub_and_takes_no_card_for_gone(run, hub, rebuild, tmp_path):
    hub[0].readmes = {card.model_id: card.text.encode() for card in read_jsonl(run.dir / "data" / "cards.jsonl", Card)}
    out, aside = run(text="never"), tmp_path / "whole" / "rejected.jsonl"
    hub[0].busy = [{"Retry-After": "4000"}]  # longer than anybody waits
    with pytest.raises(ValueError, match="does not answer"):
        rebuild(out)
    assert not aside.exists()
    hub[0].busy = [{"Retry-After": "0"}, {"Retry-After": "0"}]
    rebuild(out)
    assert (hub[0].busy, aside.read_text()) == ([], "")


def test_nothing_to_rebuild_is_said(run, rebuild, tmp_path):
    with pytest.raises(ValueError, match=r"no row of .* could be rebuilt"):
        rebuild(run(text="never"))
    assert '"no card on the Hub"' in (tmp_path / "whole" / "rejected.jsonl").read_text()
    arguments = (
        "--published",
        str(tmp_path),
        "--to",
        str(tmp_path / "to"),
        "--tokenizer",
        str(BASE),
        "--max_prompt_tokens",
        "1200",
    )
    done = run_command("-m", "data_prep.rebuild", *arguments)
    assert done.returncode == 2
    assert "holds no folder sft" in done.stderr


def test_a_failed_build_leaves_the_earlier_data_set_alone(run):
    out = run()
    before = (out / "README.md").read_text()
    notes = run.dir / "data" / "notes.jsonl"
    kept = notes.read_text()
    notes.unlink()
    with pytest.raises(ValueError, match=r"notes\.jsonl is missing"):
        run(name="Another")
    assert (out / "README.md").read_text() == before
    first = json.loads(kept.splitlines()[0])["card_id"]
    notes.write_text(kept.replace(first, "f" * 16, 1))
    with pytest.raises(ValueError, match=r"run the stages from|no card"):
        run(name="Another")
    assert (out / "README.md").read_text() == before
