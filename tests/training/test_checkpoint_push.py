"""Pushing while training, with the real client: what goes up, what never does, and a connection that is cut."""

import json

import pytest
import yaml
from commands import TEMPLATE_KWARGS, run_command
from loopback_hub import TOKEN, loopback_hub
from training_runs import Ended, Run, hub_at

from data_prep.core.files import write_json
from data_prep.core.parquet import EXAMPLE_SCHEMA, table_writer
from data_prep.core.records import Example
from data_prep.prompts.chat_format import ChatFormat
from data_prep.prompts.student import build_prompt
from data_prep.synthetic.world import raw_cards
from training.monitoring.checkpoint_push import model_card, without_local_paths
from training.setup.hub_names import lineage

LAUNCH = ("-m", "accelerate.commands.launch", "--config_file", "recipes/accelerate/cpu.yaml", "-m", "training.sft")
ADAPTER = (
    "README.md adapter_config.json adapter_model.safetensors chat_template.jinja tokenizer.json tokenizer_config.json".split()
)


@pytest.fixture
def hub():
    with loopback_hub() as (store, address):
        yield store, address


@pytest.fixture
def train(tmp_path, tiny_model, tokenizer, hub):
    """Runs `training.sft` for four steps with a push every two, forked where the imports are done; `launched` has accelerate start it."""
    with table_writer(tmp_path / "run" / "data" / "sft" / "train.parquet", EXAMPLE_SCHEMA) as add:
        for index, raw in enumerate(raw_cards(4, 5)):
            prompt = build_prompt(raw.model_id, raw.content[:300], [], tokenizer, 600).messages
            answer = [{"role": "assistant", "content": "## A summary\n\n- one point"}]
            add(Example(f"row{index}", prompt, answer, TEMPLATE_KWARGS, {"card_id": f"card{index}"}))
    recipe = {
        "run_dir": str(tmp_path / "run"), "model_name_or_path": str(tiny_model), "dtype": "float32", "use_cpu": True, "lora_r": 2,
        "max_steps": 4, "save_steps": 2, "logging_steps": 2, "per_device_train_batch_size": 1, "disable_tqdm": True,
        "gradient_checkpointing": False, "push_to_hub": True, "hub_model_id": "someone/tiny", "hub_strategy": "every_save",
        "hub_always_push": True,
    }  # fmt: skip

    def run(token=TOKEN, **changes):
        (tmp_path / "sft.yaml").write_text(yaml.safe_dump(recipe | changes))
        return Run(tmp_path).train(first=hub_at(hub[1]), HF_TOKEN=token)

    def launched():
        (tmp_path / "sft.yaml").write_text(yaml.safe_dump(recipe))
        environment = {"HF_ENDPOINT": hub[1], "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hf")}
        done = run_command(*LAUNCH, "--config", str(tmp_path / "sft.yaml"), HF_TOKEN=TOKEN, **environment)
        return Ended(done.returncode, done.stdout + done.stderr)

    run.launched = launched
    run.output = tmp_path / "run" / "sft"
    return run


def test_the_adapter_goes_up_and_nothing_that_names_this_machine(train, hub, tmp_path):
    store, _ = hub
    done = train.launched()
    assert done.code == 0, done.output[-3000:]
    assert store.private == {"someone/tiny": True}
    assert [message for message, _ in store.commits] == [
        "Training in progress, step 2", "Training in progress, step 4", "Model save",
    ]  # fmt: skip
    files = store.files["someone/tiny"]
    assert sorted(files) == ADAPTER
    assert files["adapter_model.safetensors"] == (train.output / "adapter_model.safetensors").read_bytes()
    written = b"".join(path.read_bytes() for path in train.output.rglob("*") if path.is_file())
    assert TOKEN not in done.output
    assert TOKEN.encode() not in written
    assert all(str(tmp_path.parent).encode() not in content for content in files.values())
    assert "pushed to someone/tiny" in done.output


def test_cut_connections_are_told_and_cost_nothing(train, hub):
    store, _ = hub
    store.cuts = {"/lfs/": 1, "/commit/": 2}  # the client sends a file again by itself, a commit it does not
    done = train()
    assert done.code == 0, done.output[-3000:]
    assert "the push of step 2 to someone/tiny failed" in done.output
    assert "training goes on and the next save is pushed again" in done.output
    assert store.cuts == {"/lfs/": 0, "/commit/": 0}
    assert sorted(store.files["someone/tiny"]) == ADAPTER
    assert store.commits[-1][0] == "Model save"


@pytest.mark.slow
def test_a_hub_that_stays_away_leaves_a_finished_run_and_the_command_to_push_it(train, hub):
    store, _ = hub
    store.cuts = {"/commit/": 100}
    done = train()
    assert done.code == 0, done.output[-3000:]
    assert store.commits == []
    assert (train.output / "sft.manifest.json").exists()
    line = next(line for line in done.output.splitlines() if "was not pushed to someone/tiny" in line)
    assert f"hf upload someone/tiny {train.output} --include README.md adapter_config.json" in line


def test_a_wrong_token_ends_before_training_in_one_line(train, hub):
    done = train(token="hf_" + "x" * 30)
    assert done.code != 0
    assert "cannot push to someone/tiny" in done.output
    assert "x" * 8 not in done.output
    assert not (train.output / "checkpoint-2").exists()


def test_the_card_names_the_real_base_through_the_merged_model_and_never_a_path(tmp_path):
    """TRL's card says "fine-tuned version of None" of every local base, and PEFT puts the folder's path into the metadata."""
    (tmp_path / "sft").mkdir()
    merged = tmp_path / "sft-merged"
    merged.mkdir()
    for base, named in (("HuggingFaceTB/SmolLM3-3B", "HuggingFaceTB/SmolLM3-3B"), (str(tmp_path), None)):
        (tmp_path / "sft" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
        card = model_card("aligned", str(merged), "DPO", ChatFormat(kwargs=TEMPLATE_KWARGS))
        assert card.data.base_model == named
        assert "It was trained on sft-merged, that base with the adapter of SFT merged in" in card.text
        assert f"Its base is {named or tmp_path.name}" in card.text
        assert "enable_thinking=False" in card.text
        assert "None" not in str(card)
        assert str(tmp_path) not in str(card)


def test_the_base_of_a_later_round_is_found_through_its_links(tmp_path):
    for folder in ("sft", "sft-merged", "round-1/aligned", "round-1/model", "round-2"):
        (tmp_path / folder).mkdir(parents=True)
    for number, newest in ((1, "../sft-merged"), (2, "../round-1/model")):
        (tmp_path / f"round-{number}" / "sft-merged").symlink_to(newest)
    write_json(tmp_path / "sft" / "adapter_config.json", {"base_model_name_or_path": "org/base"})
    merged = {"base_model_name_or_path": str(tmp_path / "round-1" / "sft-merged")}
    write_json(tmp_path / "round-1" / "aligned" / "adapter_config.json", merged)
    for number in (1, 2):
        assert lineage(str(tmp_path / f"round-{number}" / "sft-merged"))[-1] == "org/base"


def test_published_json_keeps_no_path(tmp_path):
    for name, key in (("adapter_config.json", "base_model_name_or_path"), ("trainer_state.json", "best_model_checkpoint")):
        (tmp_path / name).write_text(json.dumps({key: str(tmp_path), "kept": 1}))
        content = without_local_paths(tmp_path / name)
        assert str(tmp_path).encode() not in content
        assert json.loads(content)["kept"] == 1


@pytest.mark.slow
def test_a_run_to_go_on_from_elsewhere_is_pushed_without_the_pickle_of_its_arguments(train, hub):
    store, _ = hub
    assert train(hub_strategy="checkpoint").code == 0
    inside = {
        name.removeprefix("last-checkpoint/") for name in store.files["someone/tiny"] if name.startswith("last-checkpoint/")
    }
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "adapter_model.safetensors"} <= inside
    assert "training_args.bin" not in inside
    assert json.loads(store.files["someone/tiny"]["last-checkpoint/trainer_state.json"])["global_step"] == 4


@pytest.mark.slow
def test_what_is_to_be_private_is_not_pushed_to_a_public_repository(train, hub):
    store, _ = hub
    store.private["someone/tiny"], store.files["someone/tiny"], store.tags["someone/tiny"] = False, {}, {}
    done = train()
    assert done.code != 0
    assert "someone/tiny is public and hub_private_repo is true; set hub_private_repo: false" in done.output
    assert store.commits == []
