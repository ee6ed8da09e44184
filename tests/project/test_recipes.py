"""Every file under recipes/ is read by what runs it, and every training recipe trains: none can rot unseen."""

import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chat_templates import SMOLLM2
from commands import BASE, ROOT

from data_prep.core.files import write_json, write_jsonl
from data_prep.core.recipe import load, read_yaml
from data_prep.core.records import HeldOut, Note
from data_prep.prompts.student import build_completion, build_prompt, source_text
from training.setup.config import RawRecipe, parse, read_recipe

RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
LAUNCHERS = [path for path in RECIPES if path.parent.name == "accelerate"]
TRAINING = [path for path in RECIPES if path.name.startswith(("sft", "rft", "apo", "dpo", "grpo"))]
STAGES = [path for path in RECIPES if path not in LAUNCHERS + TRAINING]
# What a CPU without bfloat16 arithmetic needs, and two short steps.
TWO_STEPS = (
    "--max_steps 2 --gradient_accumulation_steps 1 --per_device_train_batch_size 2 --logging_steps 1 --use_cpu true --bf16 false"
).split()
FEW_SAMPLES = "--num_generations 2 --num_generations_eval 2 --per_device_eval_batch_size 2 --max_completion_length 8 --use_vllm false".split()
SUMMARY = "# {name}\n\nA language model with {size}B parameters. See [its page](https://example.org/{name})."


def name_of(path):
    return str(path.relative_to(ROOT / "recipes"))


def schemas():
    """The block of every stage that recipes hold."""
    from data_prep.best import BestConfig
    from data_prep.collect import CollectConfig
    from data_prep.correct import CorrectConfig
    from data_prep.examples import ExamplesConfig
    from data_prep.pairs import PairsConfig
    from data_prep.publish import PublishConfig
    from data_prep.research import ResearchConfig
    from data_prep.revise import ReviseConfig
    from data_prep.split import SplitConfig
    from data_prep.write import WriteConfig
    from eval.ability import AbilityConfig
    from eval.gate import GateConfig
    from eval.generate import GenerateConfig, ProbeConfig, SampleConfig
    from eval.judging.task import JudgeConfig
    from eval.notes import NotesConfig
    from eval.probes import ProbesConfig
    from eval.report import ReportConfig
    from eval.score import ScoreConfig
    from eval.support import SupportConfig
    from eval.validate import ValidateConfig
    from training.benchmark import BenchmarkConfig
    from training.export import ExportConfig
    from training.merge import MergeConfig
    from training.publish import PublishModelConfig
    from training.soup import SoupConfig

    return {
        "collect": CollectConfig, "split": SplitConfig, "research": ResearchConfig, "write": WriteConfig, "examples": ExamplesConfig,
        "revise": ReviseConfig, "correct": CorrectConfig, "pairs": PairsConfig, "best": BestConfig, "publish": PublishConfig, "merge": MergeConfig, "soup": SoupConfig,
        "benchmark": BenchmarkConfig, "sample": SampleConfig, "repair": SampleConfig, "generate": GenerateConfig,
        "probes": ProbesConfig, "probe": ProbeConfig, "support": SupportConfig, "judge": JudgeConfig, "score": ScoreConfig,
        "report": ReportConfig, "gate": GateConfig, "ability": AbilityConfig, "validate": ValidateConfig, "notes": NotesConfig, "export": ExportConfig, "publish_model": PublishModelConfig,
    }  # fmt: skip


def trainer_config(path):
    from trl import DPOConfig, GRPOConfig, SFTConfig

    kinds = {"sft": SFTConfig, "rft": SFTConfig, "grpo": GRPOConfig}
    return kinds.get(re.match(r"[a-z]+", path.name)[0], DPOConfig)


HEADINGS = ["Launch", "Needs", "What it does"]
# Operations a second that predictions take; recipes/README.md says why.
RATES = {"H100": 330e12, "H200": 395e12, "GPU of 10 TFLOP/s used by half": 5e12}
SMOLLM2_SIZES = {"vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
           "num_key_value_heads": 3}  # fmt: skip


def head_lines(path):
    return list(itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines()))


def parts_of_head(path):
    """The text under each heading of a recipe's head, in the order in which they stand."""
    found = re.findall(r"^# ([A-Z][\w ]*): (.+(?:\n#   \S.*)*)", "\n".join(head_lines(path)), re.MULTILINE)
    return {heading: text.replace("\n#   ", " ") for heading, text in found}


def parse_training(path, *overrides):
    raw = read_recipe(["--config", str(path), *overrides])
    values = raw.values | {"use_cpu": True, "bf16": False, "output_dir": "x"}
    return parse(RawRecipe(values, raw.where), trainer_config(path), {"model_name_or_path": "x"})


def test_there_are_recipes_of_every_kind():
    assert {path.parent.name for path in TRAINING} == {"demo", "smollm2-135m", "smollm3-3b"}
    assert {path.stem for path in LAUNCHERS} == {"cpu", "one_gpu", "ddp", "fsdp2", "two_nodes"}
    assert {path.name for path in STAGES} >= {"data.yaml", "data_hub.yaml", "eval.yaml", "merge.yaml"}


@pytest.mark.parametrize("path", TRAINING, ids=name_of)
def test_training_recipes_parse_strictly(path):
    parsed = parse_training(path)
    assert getattr(parsed.trainer, "max_length", None) is None
    assert parsed.model.dtype in ("float32", "bfloat16")
    if parsed.model.load_in_4bit:
        assert parsed.model.dtype == "bfloat16"  # also what 4-bit layers compute in


@pytest.mark.parametrize("path", STAGES, ids=name_of)
def test_every_block_of_a_stage_parses_strictly(path):
    blocks = set(read_yaml(path)) - {"run_dir", "seed"}
    assert blocks
    known = schemas()
    for block in blocks:
        load(block, known[block], ["--config", str(path)])


@pytest.mark.parametrize("path", LAUNCHERS, ids=name_of)
def test_launcher_files_hold_accelerates_own_keys(path):
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    config = load_config_from_file(str(path))  # refuses unknown keys, at the first level alone
    options = {action.dest for action in launch_command_parser()._actions}
    assert set(config.fsdp_config) <= options
    assert config.num_processes % config.num_machines == 0
    assert config.mixed_precision == "no"  # the recipe's bf16 says it


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_the_head_is_a_manual(path):
    lines, parts = head_lines(path), parts_of_head(path)
    assert list(parts) == HEADINGS
    assert [line for line in lines if not re.match(r"# (?:Launch|Needs|What it does): \S|#   \S", line)] == []
    assert len(lines) <= 15
    assert len(lines) - next(at for at, line in enumerate(lines) if line.startswith("# What it does:")) <= 5
    if path in TRAINING:
        values = read_yaml(path)
        rows = int(re.search(r"(\d+) (?:rows|pairs|samples) per step", parts["What it does"])[1])
        assert rows == values["per_device_train_batch_size"] * values["gradient_accumulation_steps"]
        if path.parent.name != "demo":
            assert re.findall(r"(Memory|Time): (?:predicted|measured) ", parts["Needs"]) == ["Memory", "Time"]


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_commands_in_heads_exist(path):
    """The launch line runs this file with a stage of ours, and every override that the head shows is understood."""
    parts = parts_of_head(path)
    launch = parts["Launch"]
    assert f"{'--config_file' if path in LAUNCHERS else '--config'} {path.relative_to(ROOT)}" in launch
    stages = re.findall(r"python -m \$?([\w.]+)|-m (training\.\w+)", launch)
    assert stages
    modules = [one or other for one, other in stages]
    if loop := re.match(r"for (\w+) in ([\w ]+); do python -m (\w+\.)\$\1 .*; done$", launch):
        modules = [loop[3] + stage for stage in loop[2].split()]
    for module in modules:
        assert 'if __name__ == "__main__"' in (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    if path in LAUNCHERS:
        return
    text = re.sub(r"`[^`]*`|python -m \S+( --\w+ \S+)*", "", f"{parts['Needs']} {parts['What it does']}")
    for key, value in re.findall(r"(?<!\S)--([a-z]\w*(?:\.\w+)*) ('[^']*'|[\w.@/-]*\w)", text):
        if path in TRAINING:
            parse_training(path, f"--{key}", value)
        else:
            block = key.partition(".")[0]
            load(block, schemas()[block], ["--config", str(path), f"--{key}", value.strip("'")])


@pytest.mark.parametrize(
    "path", [path for path in TRAINING if "Memory: predicted" in path.read_text(encoding="utf-8")], ids=name_of
)
def test_predictions_in_heads_are_what_the_code_predicts(path):
    """Memory as the stage's own check before its first step says, time as the benchmark counts the operations of a step."""
    from transformers import SmolLM3Config

    from training.benchmark import BenchmarkConfig, Case, weights_of
    from training.preflight.memory import Longest, Settings, estimate

    needs, values, parsed = parts_of_head(path)["Needs"], read_yaml(path), parse_training(path)
    sizes = SMOLLM2_SIZES if path.parent.name == "smollm2-135m" else {}
    config = SmolLM3Config(**sizes)
    settings = replace(
        Settings.of(parsed),
        on_gpu=not values.get("use_cpu"),
        autocast=values.get("bf16", True),  # TRL's default
    )

    def gigabytes(row, **changes):
        return round(estimate(config, replace(settings, **changes), Longest(*row)).total / 1e9)

    rows = [numbers(row) for row in re.findall(r"\d+ GB at (\d[\d,]*(?: \+ \d[\d,]*\d)+)", needs)]
    assert rows
    assert [int(size) for size in re.findall(r"(\d+) GB at", needs)] == [gigabytes(row) for row in rows]
    if whole := re.search(r"(\d+) and (\d+) GB with --gradient_checkpointing false", needs):
        assert [int(whole[1]), int(whole[2])] == [gigabytes(row, checkpointing=False) for row in rows]
    case = Case(
        *rows[0], parsed.trainer.gradient_checkpointing, None if path.name.startswith(("sft", "rft")) else "adapter_off"
    )
    operations = case.flops("shared", weights_of(BenchmarkConfig(config=sizes, lora_r=parsed.model.lora_r)))
    for minutes, device in re.findall(rf"(\d+)(?: min per 1,000 (?:rows|pairs|samples))? on an? ({'|'.join(RATES)})", needs):
        assert int(minutes) == round(1000 * operations / RATES[device] / 60)


def numbers(row):
    """`10,500 + 900` as a prompt and its answers."""
    prompt, *answers = (int(part.replace(",", "")) for part in row.split(" + "))
    return prompt, tuple(answers)


@pytest.mark.parametrize("path", TRAINING, ids=name_of)
def test_what_trains_on_a_cpu_is_not_in_mixed_precision_by_default(path):
    values = read_yaml(path)
    assert not values.get("use_cpu") or values.get("bf16") is False


@pytest.mark.parametrize("folder", sorted({path.parent for path in TRAINING}), ids=lambda folder: folder.name)
def test_dpo_is_apo_with_two_lines_changed(folder):
    apo, dpo = (
        [line for line in (folder / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        for name in ("apo.yaml", "dpo.yaml")
    )
    changed = [(a.partition(":")[0], d.partition(":")[0]) for a, d in zip(apo, dpo, strict=True) if a != d]
    assert changed == [("loss_type", "loss_type"), ("beta", "beta")]


@pytest.fixture(scope="module")
def models(tmp_path_factory, tiny_model):
    """A tiny model of each architecture that recipes train; widths that bitsandbytes can pack on a CPU where it must."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from training.tiny_base import build_model

    torch.manual_seed(0)
    folder, tokenizer = tmp_path_factory.mktemp("models"), AutoTokenizer.from_pretrained(BASE)
    build_model(tokenizer, hidden=192).save_pretrained(folder / "sft_qlora")
    tokenizer.save_pretrained(folder / "sft_qlora")
    tokenizer.chat_template = SMOLLM2
    llama = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(llama).save_pretrained(folder / "smollm2-135m")
    tokenizer.save_pretrained(folder / "smollm2-135m")
    return {"sft_qlora": folder / "sft_qlora", "smollm2-135m": folder / "smollm2-135m", "other": tiny_model}


def write_rows(run, tokenizer, count=4):
    """Short rows of each kind and cards in `run`, as the data stages write them."""
    rows, cards = {"sft": [], "pairs": [], "best": []}, []
    for number in range(count):
        name = f"lab/model-{number}"
        prompt = build_prompt(
            name, f"# {name}\nIt has {number}B parameters.", [Note("https://example.org", "A page.")], tokenizer, 900
        )
        good, bad = (build_completion(SUMMARY.format(name=name, size=size), tokenizer) for size in (number, number + 40))
        kwargs = prompt.template_kwargs or {"enable_thinking": None}  # as the tables' schema writes what is not taken
        shared = {"id": str(number), "prompt": prompt.messages, "chat_template_kwargs": kwargs}
        rows["sft"].append(shared | {"completion": good})
        rows["best"] = rows["sft"]
        rows["pairs"].append(shared | {"chosen": good, "rejected": bad})
        cards += [
            HeldOut(f"{split}-{number}", prompt.messages, source_text(name, prompt.card, []), "", name, prompt.template_kwargs)
            for split in ("train", "validation")
        ]
    write_jsonl(run / "data" / "sampling.jsonl", cards)
    write_json(run / "data" / "split.json", {"families": {}, "splits": {card.id: card.id.split("-")[0] for card in cards}})
    for kind, of_kind in rows.items():
        (run / "data" / kind).mkdir(parents=True)
        for split in ("train", "validation"):
            pq.write_table(pa.Table.from_pylist(of_kind), run / "data" / kind / f"{split}.parquet")


@pytest.mark.parametrize("path", TRAINING, ids=name_of)
def test_training_recipes_train_two_steps(path, models, tmp_path):
    from transformers import AutoTokenizer

    from training import align, grpo, sft

    model = models.get(path.stem) or models.get(path.parent.name) or models["other"]
    write_rows(tmp_path, AutoTokenizer.from_pretrained(model))
    arguments = ["--config", str(path), "--run_dir", str(tmp_path), *TWO_STEPS]
    if path.name.startswith("sft"):
        stage, result = sft, tmp_path / "sft" / "sft.manifest.json"
        arguments += ["--model_name_or_path", str(model)]
    else:
        stage = {"rft": sft, "grpo": grpo}.get(path.stem, align)
        result = tmp_path / "aligned" / "align.manifest.json"
        arguments += FEW_SAMPLES if path.stem == "grpo" else []
        (tmp_path / "sft-merged").symlink_to(model)
    # In 4 bits the recipe's bfloat16 stays; after an evaluation a CPU's 4-bit layers cannot be trained on.
    arguments += ["--eval_strategy", "no"] if read_yaml(path).get("load_in_4bit") else ["--dtype", "float32"]
    stage.main(read_recipe(arguments))
    losses = [entry["loss"] for entry in json.loads(result.read_text(encoding="utf-8"))["result"]["history"] if "loss" in entry]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    first = {"apo": 1.0, "dpo": math.log(2)}.get(path.stem)
    assert first is None or losses[0] == pytest.approx(first, abs=1e-4)


STUBS = {
    # Starts the task once per node, here; the worst code is its own, as with Slurm.
    "srun": """
        echo "$*" >"$CALLS/srun"
        while [[ $1 == --* ]]; do [[ $1 == --nodes=* ]] && nodes=${1#*=}; shift; done
        tasks=() worst=0
        for ((node = 0; node < nodes; node++)); do SLURM_NODEID=$node "$@" & tasks+=($!); done
        echo "${tasks[*]}" >"$CALLS/tasks"
        for task in "${tasks[@]}"; do wait "$task"; code=$?; ((code > worst)) && worst=$code; done
        exit $worst
    """,
    "scontrol": """
        if [[ $1 == show ]]; then echo 127.0.0.1; else echo "$*" >>"$CALLS/scontrol"; fi
    """,
    "recording-python": """
        echo "$*" >>"$CALLS/node-$(grep -o 'machine_rank [0-9]*' <<<"$*" | tail -c 2)"; exit "$CODE"
    """,
}


@pytest.fixture
def slurm(tmp_path):
    """Runs launch.slurm under a Slurm of two scripts; `.calls` is a folder with what was asked of them."""
    programs, calls = tmp_path / "programs", tmp_path / "calls"
    programs.mkdir()
    calls.mkdir()
    for name, text in STUBS.items():
        (programs / name).write_text("#!/usr/bin/env bash\n" + text, encoding="utf-8")
        (programs / name).chmod(0o755)

    def start(*arguments, nodes, gpus, python=sys.executable, code=0):
        environment = {
            **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(calls), "CODE": str(code), "PYTHON": str(python),
            "SLURM_SUBMIT_DIR": str(ROOT), "SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "node[0-1]",
            "SLURM_JOB_NUM_NODES": str(nodes), "SLURM_GPUS_ON_NODE": str(gpus), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        return subprocess.Popen(
            ["bash", "recipes/launch.slurm", *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    start.calls, start.python = calls, programs / "recording-python"
    return start


@pytest.mark.parametrize(("code", "again"), [(0, False), (2, False), (75, True)])
def test_slurm_runs_one_launcher_per_node_and_queues_again_what_was_stopped(slurm, code, again):
    job = slurm("training.sft", "--config", "a recipe.yaml", nodes=2, gpus=4, python=slurm.python, code=code)
    job.communicate(timeout=60)
    assert job.returncode == code
    assert (slurm.calls / "scontrol").exists() == again
    for node in "01":
        asked = (slurm.calls / f"node-{node}").read_text(encoding="utf-8")
        assert "-m training.launch --config_file recipes/accelerate/two_nodes.yaml" in asked
        assert f"--num_machines 2 --num_processes 8 --machine_rank {node} --main_process_ip 127.0.0.1" in asked
        assert asked.endswith("-m training.sft --config a recipe.yaml\n")


@pytest.mark.parametrize(("gpus", "file"), [(1, "one_gpu"), (8, "ddp")])
def test_slurm_takes_the_launcher_that_fits_and_hands_it_to_other_commands(slurm, gpus, file):
    job = slurm("bash", "-c", "echo $LAUNCH >$CALLS/launch", nodes=2, gpus=gpus)
    job.communicate(timeout=60)
    assert job.returncode == 0
    assert (slurm.calls / "launch").read_text() == f"recipes/accelerate/{file}.yaml\n"
    job = slurm("training.sft", nodes=1, gpus=gpus, python=slurm.python)
    job.communicate(timeout=60)
    assert f"--config_file recipes/accelerate/{file}.yaml" in (slurm.calls / "node-0").read_text()


def test_slurms_task_has_the_cpus_of_the_job_and_a_chain_of_stages_hears_that_its_time_is_up(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "64")
    chain = tmp_path / "run.sh"
    chain.write_text('echo "$(trap -p USR1)" >"$CALLS/chain"\n')
    chain.chmod(0o755)
    for command, ignored in (((str(chain),), ""), (("bash", "-c", "trap -p USR1 >$CALLS/chain"), "trap -- '' SIGUSR1")):
        assert slurm(*command, nodes=1, gpus=1).wait(timeout=60) == 0
        assert (slurm.calls / "chain").read_text().strip() == ignored
        assert "--cpus-per-task=64" in (slurm.calls / "srun").read_text()


# FSDP2 as on GPUs: accelerate takes it for CUDA alone and without a word runs DDP on a CPU, so it is told that gloo's
# processes are GPUs. Sharding, its policies and checkpoints are the real ones.
AS_ON_GPUS = """
import runpy, sys
from accelerate.state import PartialState
from accelerate.utils import DistributedType
import transformers.training_args
PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)
transformers.training_args.is_torch_bf16_gpu_available = lambda: True
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
FOUR_STEPS = (
    "--max_steps 4 --per_device_train_batch_size 1 --logging_steps 1 --eval_strategy no --learning_rate 1e-3 --warmup_steps 0 "
    "--lr_scheduler_type constant"
).split()


def launched(file, processes, *command, **environment):
    """`training.launch` as a shell runs it, with a port of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "training.launch", "--config_file", f"recipes/accelerate/{file}.yaml", "--num_processes",
         str(processes), "--main_process_port", "0", *command],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def result_of(run, stage):
    """Losses by step, and the adapter, of a finished stage."""
    from safetensors.torch import load_file

    folder = run / {"sft": "sft", "align": "aligned"}[stage]
    entries = json.loads((folder / f"{stage}.manifest.json").read_text(encoding="utf-8"))["result"]["history"]
    return [entry["loss"] for entry in entries if "loss" in entry], load_file(folder / "adapter_model.safetensors")


def arguments_of(stage, run, model, *more):
    recipe = {"sft": "sft", "align": "apo"}[stage]
    base = ["--model_name_or_path", str(model)] if stage == "sft" else []
    return ["--config", f"recipes/smollm3-3b/{recipe}.yaml", "--run_dir", str(run), *FOUR_STEPS, *base, *more]


@pytest.fixture
def runs(tmp_path, tiny_model, tokenizer):
    """Run folders with the same rows."""

    def make(name):
        write_rows(tmp_path / name, tokenizer, count=8)
        (tmp_path / name / "sft-merged").symlink_to(tiny_model)
        return tmp_path / name

    return make


def assert_same(found, expected, tolerance):
    (losses, adapter), (expected_losses, expected_adapter) = found, expected
    assert losses == pytest.approx(expected_losses, abs=tolerance)
    assert adapter.keys() == expected_adapter.keys()
    assert max(float((adapter[name] - expected_adapter[name]).abs().max()) for name in adapter) < tolerance


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "align"])
def test_two_processes_train_as_one_does(stage, runs, tiny_model):
    cpu = ["--use_cpu", "true", "--bf16", "false", "--dtype", "float32"]
    alone, ddp, sharded = runs("alone"), runs("ddp"), runs("sharded")
    module = f"training.{stage}"
    launched("cpu", 1, "-m", module, *arguments_of(stage, alone, tiny_model, *cpu, "--gradient_accumulation_steps", "4"))
    launched("ddp", 2, "-m", module, *arguments_of(stage, ddp, tiny_model, *cpu, "--gradient_accumulation_steps", "2"))
    (sharded / "as_on_gpus.py").write_text(AS_ON_GPUS, encoding="utf-8")
    as_on_gpus = [str(sharded / "as_on_gpus.py"), module]
    more = ["--bf16", "false", "--dtype", "float32", "--gradient_accumulation_steps", "2"]
    launched(
        "fsdp2", 2, *as_on_gpus, *arguments_of(stage, sharded, tiny_model, *more), ACCELERATE_TORCH_DEVICE="cpu"
    )  # fmt: skip
    assert_same(result_of(ddp, stage), result_of(alone, stage), 2e-5)
    assert_same(result_of(sharded, stage), result_of(alone, stage), 2e-5)


@pytest.mark.slow
def test_sharded_alignment_in_bfloat16_keeps_whole_log_probs(runs, tiny_model):
    # accelerate has FSDP2 round what a model returns to bfloat16: log-probs sum to rewards in steps of 0.2.
    alone, sharded = runs("alone"), runs("sharded")
    (sharded / "as_on_gpus.py").write_text(AS_ON_GPUS, encoding="utf-8")
    launched(
        "cpu",
        1,
        "-m",
        "training.align",
        *arguments_of("align", alone, tiny_model, "--use_cpu", "true", "--gradient_accumulation_steps", "4"),
    )
    more = arguments_of("align", sharded, tiny_model, "--gradient_accumulation_steps", "2")
    launched("fsdp2", 2, str(sharded / "as_on_gpus.py"), "training.align", *more, ACCELERATE_TORCH_DEVICE="cpu")
    assert result_of(sharded, "align")[0] == pytest.approx(result_of(alone, "align")[0], abs=2e-3)


@pytest.mark.slow
def test_slurm_trains_on_two_nodes_and_goes_on_after_its_warning(slurm, runs, tiny_model):
    run, again = runs("run"), runs("again")
    on_cpu = ["--use_cpu", "true", "--bf16", "false", "--dtype", "float32", "--gradient_accumulation_steps", "2"]

    def start(folder):
        return slurm("training.sft", *arguments_of("sft", folder, tiny_model, *on_cpu, "--max_steps", "40"), nodes=2, gpus=1)

    job = start(again)
    for line in job.stdout:
        if "'loss'" in line:
            break
    # Slurm tells every process of the tasks, srun and the batch script not.
    for task in map(psutil.Process, map(int, (slurm.calls / "tasks").read_text().split())):
        for process in (task, *task.children(recursive=True)):
            process.send_signal(signal.SIGUSR1)
    job.communicate(timeout=300)
    assert job.returncode == 75
    assert (slurm.calls / "scontrol").read_text() == f"requeue {os.getpid()}\n"
    assert not (again / "sft" / "sft.manifest.json").exists()
    for folder in (again, run):
        job = start(folder)
        output, _ = job.communicate(timeout=300)
        assert job.returncode == 0, output[-3000:]
    assert_same(result_of(again, "sft"), result_of(run, "sft"), 1e-6)
