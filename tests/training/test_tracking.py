"""Following a run: what wandb gets offline, speed in the log, samples of fixed cards, and trackers that are not there."""

import itertools
import json
import math
import shutil
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
import yaml
from commands import TEMPLATE_KWARGS, run_command
from wandb_records import records

from data_prep.core.files import read_dicts, write_jsonl
from data_prep.core.parquet import EXAMPLE_SCHEMA, table_writer
from data_prep.core.records import Example, HeldOut
from data_prep.prompts.student import build_prompt, source_text
from data_prep.synthetic.world import raw_cards
from training.monitoring.flops import Weights, Work, step_flops
from training.monitoring.throughput import Meter, measured_matmul_flops, time_left
from training.monitoring.tracking import name_of

LAUNCH = ("-m", "accelerate.commands.launch", "--config_file", "recipes/accelerate/cpu.yaml")
RECIPE = {
    "dtype": "float32", "use_cpu": True, "lora_r": 2, "max_steps": 4, "save_steps": 2, "logging_steps": 1,
    "per_device_train_batch_size": 2, "gradient_checkpointing": True, "sample_cards": 2, "sample_steps": 2, "sample_tokens": 8,
    "eval_strategy": "steps", "eval_steps": 4, "report_to": "wandb",
}  # fmt: skip


def write_data(data, tokenizer):
    """Four training rows and two validation cards of two rows each, with the cards' sources."""
    made = []
    for index, raw in enumerate(raw_cards(4, 5)):
        prompt = build_prompt(raw.model_id, raw.content[:300], [], tokenizer, 600).messages
        made.append(HeldOut(f"card{index}", prompt, source_text(raw.model_id, raw.content, raw.notes), raw.summaries[0], "f"))
    write_jsonl(data / "sampling.jsonl", made)
    for split, cards in (("train", made), ("validation", [made[2], made[2], made[1], made[1]])):
        with table_writer(data / "sft" / f"{split}.parquet", EXAMPLE_SCHEMA) as add:
            for index, card in enumerate(cards):
                answer = [{"role": "assistant", "content": f"## Summary {index}\n\n- one point"}]
                add(Example(f"{split}{index}", card.prompt, answer, TEMPLATE_KWARGS, {"card_id": card.id}))


def launch(folder, tiny_model, *before, **changes):
    """Runs `training.sft`; `before` replaces the launcher's configuration."""
    run = {"run_dir": str(folder / "run"), "model_name_or_path": str(tiny_model)}
    (folder / "sft.yaml").write_text(yaml.safe_dump(RECIPE | run | changes))
    command = (*(before or LAUNCH), "-m", "training.sft", "--config", str(folder / "sft.yaml"))
    return run_command(*command, WANDB_MODE="offline", HF_TOKEN="hf_" + "w" * 30)


@pytest.fixture(scope="module")
def followed(tmp_path_factory, tiny_model, tokenizer):
    """A finished run with wandb offline: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("followed")
    write_data(folder / "run" / "data", tokenizer)
    done = launch(folder, tiny_model)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return folder / "run", done.stdout + done.stderr


def key_of(item):
    return item.key or "/".join(item.nested_key)


def test_wandb_has_one_group_a_run_one_job_type_a_stage_and_our_recipe(followed):
    run, _ = followed
    begun = [record.run for record in records(run) if record.HasField("run")]
    assert {(one.run_group, one.job_type, one.display_name, one.project) for one in begun} == {
        ("run", "sft", "run-sft", "card-summarizer")
    }
    config = {key_of(item): item.value_json for one in begun for item in one.config.update}
    config |= {key_of(item): item.value_json for record in records(run) for item in record.config.update}
    assert config["recipe/sample_cards"] == "2"
    assert config["recipe/lora_r"] == "2"
    assert config["max_steps"] == "4"  # transformers' part
    everything = b"".join(path.read_bytes() for path in (run / "wandb").rglob("*") if path.is_file())
    assert ("w" * 30).encode() not in everything


def test_wandb_has_the_data_as_input_and_the_adapter_as_output(followed):
    run, _ = followed
    artifacts = [record.artifact for record in records(run) if record.HasField("artifact")]
    seen = {(one.name, one.type): one for one in artifacts}
    data, adapter = seen["run-sft-data", "dataset"], seen["run-sft", "model"]
    assert data.use_after_commit
    assert not adapter.use_after_commit
    assert {entry.path for entry in data.manifest.contents} == {"train.parquet", "validation.parquet"}
    assert {entry.path for entry in adapter.manifest.contents} == {"adapter_config.json", "adapter_model.safetensors"}


def test_alignment_takes_the_sft_adapter_as_input_under_the_name_that_sft_gave_it(tmp_path):
    from data_prep.core.manifest import Manifest
    from training.monitoring.tracking import adapter_artifact, input_artifacts

    run = tmp_path / "run"
    for name in ("data/pairs/train.parquet", "sft/adapter_config.json", "sft/adapter_model.safetensors"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    tables = [run / "data" / "pairs" / f"{split}.parquet" for split in ("train", "validation")]
    data, adapter = input_artifacts(
        Manifest(run / "aligned" / "align.manifest.json", "align", {}, [*tables, run / "sft-merged"], [])
    )
    assert (data.name, data.type, list(data.manifest.entries)) == ("run-align-data", "dataset", ["train.parquet"])
    written = adapter_artifact(run / "sft")
    assert (
        (adapter.name, adapter.type, adapter.digest)
        == (written.name, "model", written.digest)
        == ("run-sft", "model", adapter.digest)
    )


def test_a_large_data_set_goes_in_as_a_path_and_a_hash(tmp_path, monkeypatch):
    from data_prep.core.manifest import Manifest
    from training.monitoring import tracking

    monkeypatch.setattr(tracking, "COPIED_MB", 0)
    table = tmp_path / "run é 1" / "train.parquet"
    table.parent.mkdir()
    table.write_text("rows")
    (data,) = tracking.input_artifacts(Manifest(table.parent / "sft" / "sft.manifest.json", "sft", {}, [table], []))
    assert data.name == "run-1-sft-data"
    (entry,) = data.manifest.entries.values()
    assert entry.ref == table.as_uri()
    assert entry.digest


def test_samples_of_fixed_validation_cards_go_into_file_table_and_log(followed):
    run, _ = followed
    rows = list(read_dicts(run / "sft" / "samples.jsonl"))
    assert [(row["step"], row["id"]) for row in rows] == [(step, card) for step in (0, 2, 4) for card in ("card2", "card1")]
    assert all(row["finish_reason"] == "length" and not row["passes"] for row in rows)
    assert rows[0]["reason"].split("; length: ")[0] == "not finished within the token limit"
    tables = sorted(run.glob("wandb/offline-run-*/files/media/table/samples/*.json"), key=lambda path: path.stat().st_size)
    shown = json.loads(tables[-1].read_text())
    assert shown["columns"][:3] == ["step", "id", "text"]
    assert [row[:3] for row in shown["data"]] == [[row["step"], row["id"], row["text"]] for row in rows]
    logged = {key_of(item) for record in records(run) for item in record.history.item}
    assert "train/samples/passes" in logged


def test_speed_lands_in_history_wandb_and_bar(followed):
    run, output = followed
    state = json.loads((run / "sft" / "checkpoint-4" / "trainer_state.json").read_text())
    steps = [entry for entry in state["log_history"] if "loss" in entry]
    assert [entry["step"] for entry in steps] == [1, 2, 3, 4]  # samples at 2 and 4 took no line away
    assert all(entry["num_tokens"] > 0 and entry["speed/memory_gb"] > 0.01 for entry in steps)
    assert all(entry["speed/tokens_per_second"] > 0 for entry in steps)
    logged = {key_of(item) for record in records(run) for item in record.history.item}
    assert {"train/speed/tokens_per_second", "train/speed/memory_gb", "train/loss", "eval/loss"} <= logged
    assert "tokens/s, " in output
    assert " left" in output


@pytest.mark.slow
def test_samples_do_not_change_what_is_trained(followed, tmp_path, tiny_model, tokenizer):
    """Dropout included: mode and random numbers are given back as they were."""
    run, _ = followed
    write_data(tmp_path / "run" / "data", tokenizer)
    done = launch(tmp_path, tiny_model, sample_cards=0, report_to="none")
    assert done.returncode == 0, done.stderr[-3000:]
    assert not (tmp_path / "run" / "sft" / "samples.jsonl").exists()
    first, second = (
        [entry["loss"] for entry in json.loads((one / "sft" / "sft.manifest.json").read_text())["result"]["history"] if "loss" in entry]
        for one in (run, tmp_path / "run")
    )  # fmt: skip
    assert first == second


@pytest.mark.slow
def test_a_run_that_goes_on_writes_no_step_twice_and_keeps_its_id(followed, tmp_path, tiny_model):
    shutil.copytree(followed[0], tmp_path / "run", symlinks=True)
    (tmp_path / "run" / "sft" / "sft.manifest.json").unlink()
    done = launch(tmp_path, tiny_model)
    assert done.returncode == 0, done.stderr[-3000:]
    counts = Counter((row["step"], row["id"]) for row in read_dicts(tmp_path / "run" / "sft" / "samples.jsonl"))
    assert set(counts.values()) == {1}
    assert len(ids_of(tmp_path / "run")) == 1
    assert launch(tmp_path, tiny_model, fresh=True).returncode == 0
    assert len(ids_of(tmp_path / "run")) == 2


def ids_of(run):
    return {path.name.rpartition("-")[2] for path in (run / "wandb").glob("offline-run-*")}


def test_a_curve_goes_on_with_its_checkpoint_and_another_recipe_or_a_fresh_start_begins_one(tmp_path, monkeypatch):
    import wandb

    from data_prep.core.manifest import Manifest
    from training.monitoring.tracking import go_on_with_curve
    from training.resume.checkpoints import open_output

    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.teardown()  # what another test has set up knows another mode
    wandb.setup()  # as the check of the login does, which comes first

    def curve(rate, fresh=False):
        manifest = Manifest(tmp_path / "sft" / "sft.manifest.json", "sft", {"learning_rate": rate}, [], [])
        open_output(manifest, fresh)
        go_on_with_curve(manifest)
        with wandb.init(dir=tmp_path, project="test") as run:
            return run.id

    try:
        first, same, fresh, other, back = (curve(*given) for given in ((1,), (1,), (1, True), (2,), (1,)))
    finally:
        wandb.teardown()
    assert first == same
    assert len({first, fresh, other, back}) == 4


@pytest.mark.slow
def test_of_two_processes_the_first_alone_tells_wandb_and_tokens_are_of_both(tmp_path, tiny_model, tokenizer):
    write_data(tmp_path / "run" / "data", tokenizer)
    two = (
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
    )
    done = launch(tmp_path, tiny_model, *two, per_device_train_batch_size=1)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list((tmp_path / "run" / "wandb").glob("offline-run-*"))) == 1
    rows = list(read_dicts(tmp_path / "run" / "sft" / "samples.jsonl"))
    assert [row["step"] for row in rows] == [0, 0, 2, 2, 4, 4]


@pytest.mark.parametrize(
    ("tracker", "words"),
    [
        ("tensorboard", ['report_to names "tensorboard", which cannot be used here', "install it, or set report_to: none"]),
        ("trackio", ['report_to names "trackio", which cannot be used here', "install it, or set report_to: none"]),
        ("tensorbord", ['report_to names "tensorbord"', 'Did you mean "tensorboard"?']),
    ],
)
def test_a_tracker_that_is_not_there_is_refused(tracker, words):
    from importlib.util import find_spec

    from training.monitoring.tracking import check_installed

    if find_spec(tracker):
        check_installed([tracker])
        return
    with pytest.raises(ValueError, match=r".") as caught:
        check_installed([tracker])
    for word in words:
        assert word in str(caught.value)


def test_wandb_without_a_login_is_refused_before_the_model_is_loaded(tmp_path):
    code = "from training.monitoring.tracking import check_logged_in; check_logged_in()"
    home = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "none"), "WANDB_DIR": str(tmp_path), "WANDB_API_KEY": ""}
    refused = run_command("-c", code, **home, WANDB_MODE="online")
    assert "there is no login; set WANDB_API_KEY" in refused.stderr
    assert run_command("-c", code, **home, WANDB_MODE="offline").returncode == 0


# --- samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "words"), [("sampling.jsonl", "run data_prep.examples"), ("sft/validation.parquet", "set sample_cards: 0")]
)
def test_samples_without_their_cards_are_refused(tmp_path, tokenizer, missing, words):
    from training.monitoring.sample_summaries import validation_cards

    write_data(tmp_path, tokenizer)
    assert [card.id for card in validation_cards(tmp_path, 8)] == ["card2", "card1"]
    (tmp_path / missing).unlink()
    with pytest.raises(ValueError, match=words):
        validation_cards(tmp_path, 8)


def test_a_sample_leaves_mode_and_random_numbers_as_they_were(tmp_path, tokenizer, tiny_model):
    from transformers import AutoModelForCausalLM

    from training.monitoring.sample_summaries import generate, validation_cards

    write_data(tmp_path, tokenizer)
    (card,) = validation_cards(tmp_path, 1)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, use_cache=False).train()
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
    before = torch.get_rng_state()
    first, second = (generate(model, tokenizer, card, 6) for _ in range(2))
    assert first == second
    assert (first.completion_tokens, first.finish_reason) == (6, "length")
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(weight.grad is None for weight in model.parameters())


def test_tensorboard_gets_the_samples_as_text(tmp_path):
    from training.monitoring.sample_summaries import Sample, SampleCallback

    told = []
    writer = SimpleNamespace(add_text=lambda *parts: told.append(parts))
    trainer = SimpleNamespace(
        args=SimpleNamespace(output_dir=str(tmp_path), report_to=["tensorboard"]),
        is_fsdp_enabled=False,
        is_deepspeed_enabled=False,
        callback_handler=SimpleNamespace(callbacks=[SimpleNamespace(tb_writer=writer)]),
    )
    SampleCallback(trainer, [], 1, 1).show([], [Sample(3, "card1", "text", "stop", True, "")])
    assert told == [("samples/card1", "text", 3)]


# --- speed ------------------------------------------------------------------------------------------------------------

SMOLLM3 = SimpleNamespace(
    hidden_size=2048, intermediate_size=11008, num_attention_heads=16, num_key_value_heads=4, num_hidden_layers=36,
    vocab_size=128_256,
)  # fmt: skip
LORA_R16 = 30_228_480


def per_token(length, scored, **options):
    """GFLOP a token of one document of `length` tokens."""
    return step_flops(Weights.of(SMOLLM3, LORA_R16), Work(length, length**2 / 2, scored), **options) / length / 1e9


@pytest.mark.parametrize(
    ("length", "scored", "plain", "checkpointed"),
    [(16_384, 16_384, 21.5, 29.6), (16_384, 900, 20.0, 28.1), (11_107, 900, 17.3, 24.6), (65_536, 900, 45.3, 60.6)],
)
def test_a_tokens_operations_are_those_worked_out_by_hand(length, scored, plain, checkpointed):
    """SmolLM3-3B with LoRA of rank 16: 2 x 2.81e9 forward, attention 147,456 x length, head 0.525e9 a scored token."""
    assert Weights.of(SMOLLM3, LORA_R16).body == 2_812_280_832
    assert math.isclose(per_token(length, scored), plain, abs_tol=0.051)
    assert math.isclose(per_token(length, scored, checkpointing=True), checkpointed, abs_tol=0.051)


def test_a_pairs_operations_are_those_worked_out_by_hand():
    """12,000 prompt tokens and two answers of 700, the reference in the same step: TFLOP of two rows, and of one copy."""
    weights = Weights.of(SMOLLM3, LORA_R16)
    rows = Work(25_400, 2 * 12_700**2 / 2, 1400)
    assert math.isclose(step_flops(weights, rows, checkpointing=True, reference=True) / 1e12, 842.2, abs_tol=0.2)
    assert math.isclose(step_flops(weights, rows) / 1e12, 842.2 - 191.2 - 192.0, abs_tol=0.2)
    shared = Work.of_shared(12_000, (700, 700)) + Work(scored=1400)
    assert math.isclose(step_flops(weights, shared, checkpointing=True, reference=True) / 1e12, 452.5, abs_tol=0.2)


def test_tokens_are_those_that_trl_counts_and_utilisation_is_operations_over_time(tmp_path, tokenizer, tiny_model):
    from transformers import AutoModelForCausalLM
    from trl import ModelConfig, SFTConfig, SFTTrainer, get_peft_config

    from training.monitoring.throughput import Metered
    from training.setup.load import read_rows

    seen = []

    class Trainer(Metered, SFTTrainer):
        def speed(self):
            seen.append((self.meter.work, self.meter.seconds))
            return super().speed()

        def matmul_flops(self):
            return 1e9

    write_data(tmp_path, tokenizer)
    config = {
        "use_cpu": True,
        "max_steps": 3,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "max_length": None,
    }
    trainer = Trainer(
        AutoModelForCausalLM.from_pretrained(tiny_model),
        SFTConfig(str(tmp_path), per_device_train_batch_size=2, report_to="none", gradient_checkpointing=False, **config),
        train_dataset=read_rows(tmp_path / "sft" / "train.parquet", ["prompt", "completion", "chat_template_kwargs"]),
        processing_class=tokenizer,
        peft_config=get_peft_config(ModelConfig(use_peft=True, lora_r=2, lora_target_modules=["all-linear"])),
    )
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert [line["num_tokens"] for line in lines] == list(itertools.accumulate(float(work.tokens) for work, _ in seen))
    lora = sum(weight.numel() for name, weight in trainer.model.named_parameters() if "lora" in name)
    for line, (work, seconds) in zip(lines, seen, strict=True):
        needed = float(step_flops(Weights.of(trainer.model.config, lora), work))
        assert line["speed/utilisation"] == pytest.approx(needed / seconds / 1e9, rel=0.01, abs=1e-4)
        assert line["speed/tokens_per_second"] == pytest.approx(float(work.tokens) / seconds, rel=0.01)


def test_under_alignment_over_one_copy_of_the_prompt_tokens_are_those_really_run(tmp_path, tokenizer, tiny_model):
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, ModelConfig, get_peft_config

    from training.monitoring.throughput import Metered
    from training.shared_prefix.trainers import SharedPrefixDPOTrainer

    class Trainer(Metered, SharedPrefixDPOTrainer):
        pass

    user = [{"role": "user", "content": "Write a summary of this card. " * 20}]
    good, bad = ([{"role": "assistant", "content": text}] for text in ("## A\n\n- one", "no"))
    pair = {"prompt": user, "chosen": good, "rejected": bad, "chat_template_kwargs": TEMPLATE_KWARGS}
    config = {
        "use_cpu": True,
        "max_steps": 2,
        "logging_steps": 5,
        "save_strategy": "no",
        "disable_tqdm": True,
        "max_length": None,
    }
    trainer = Trainer(
        AutoModelForCausalLM.from_pretrained(tiny_model),
        args=DPOConfig(str(tmp_path), per_device_train_batch_size=1, report_to="none", gradient_checkpointing=False, **config),
        train_dataset=Dataset.from_list([pair] * 2),
        processing_class=tokenizer,
        peft_config=get_peft_config(ModelConfig(use_peft=True, lora_r=2, lora_target_modules=["all-linear"])),
    )
    trainer.train()
    work = trainer.meter.work
    assert float(work.tokens) == 2 * trainer.plan_run.tokens
    prompt = len(trainer.train_dataset[0]["prompt_ids"])
    assert prompt < trainer.plan_run.tokens < 1.5 * prompt
    assert float(work.pairs) < 2 * (1.5 * prompt) ** 2 / 2
    assert float(work.scored) == 2 * sum(len(trainer.train_dataset[0][f"{part}_ids"]) for part in ("chosen", "rejected"))


def test_work_of_a_batch_leaves_padding_out_and_counts_packed_rows_apart():
    padded = Work.of_batch(
        {
            "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
            "labels": torch.tensor([[-100, 3, 4, 5], [-100, 3, -100, -100]]),
        }
    )
    packed = Work.of_batch(
        {
            "position_ids": torch.tensor([[0, 1, 2, 3, 0, 1]]),
            "completion_mask": torch.tensor([[0, 1, 1, 1, 0, 1]]),
        }
    )
    for work in (padded, packed):
        assert (work.tokens, work.pairs, work.scored) == (6, 4 * 5 / 2 + 2 * 3 / 2, 4)
    both = padded + Work.of_shared(2, (1, 1))
    assert (both.tokens, both.pairs, both.scored) == (6 + 4, 13 + 3 + 2 * 3, 4)


def test_the_clock_stands_still_while_a_run_evaluates_or_samples(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("training.monitoring.throughput.time", SimpleNamespace(perf_counter=lambda: now[0]))
    meter, control = Meter(), SimpleNamespace(should_log=True)
    for at, tell in ((1, meter.on_train_begin), (3, meter.on_step_end), (30, meter.on_log), (33, meter.on_step_end)):
        now[0] = at
        tell(None, None, control)
    assert meter.take()[1:] == (5, 2)
    assert meter.take()[2] == 0


def test_the_matmul_rate_is_plausible_measured_once_and_touches_no_random_numbers():
    before = torch.get_rng_state()
    rate = measured_matmul_flops("cpu", torch.float32)
    assert 1e8 < rate < 1e14
    assert measured_matmul_flops("cpu", torch.float32) == rate
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("seconds", "words"), [(40, "40 s left"), (420, "7 min left"), (7500, "2 h 05 min left"), (86_340, "23 h 59 min left")]
)
def test_time_left_is_in_words(seconds, words):
    assert time_left(seconds) == words


def test_a_model_of_another_make_has_no_utilisation():
    assert Weights.of(SimpleNamespace(hidden_size=8), 1) is None


def test_a_round_is_named_with_its_run(tmp_path):
    assert name_of(tmp_path / "mine" / "round-2") == "mine-round-2"
    assert name_of(tmp_path / "mine") == "mine"
    assert name_of(tmp_path / "round-trip") == "round-trip"
