"""A finished run in small, made by the stages themselves: data, SFT, alignment, both merges, then scores that are invented."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pyarrow.parquet as pq
from commands import BASE
from report_run import make_scored_run, report

from data_prep.core.files import stable_id, write_jsonl
from data_prep.core.manifest import Manifest
from data_prep.core.parquet import PAIR_SCHEMA, table_writer
from data_prep.core.recipe import Recipe, load
from data_prep.core.records import PreferencePair
from eval import gate

SYSTEMS = {"base": str(BASE), "sft": "{run_dir}/sft-merged", "aligned": "{run_dir}/model", "lead": "baseline:lead"}
TRAINING = {
    "dtype": "float32", "bf16": False, "use_cpu": True, "lora_r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "max_length": None,
    "learning_rate": 0.0005, "max_steps": 3, "per_device_train_batch_size": 1, "logging_steps": 1, "save_steps": 3,
    "gradient_checkpointing": False, "eval_strategy": "no", "report_to": "none", "disable_tqdm": True, "seed": 1,
}  # fmt: skip


def make_run(run_dir: Path) -> Path:
    make_data(run_dir)
    train(run_dir, "sft", model_name_or_path=str(BASE))
    merge(run_dir, "sft")
    train(run_dir, "align", loss_type="apo_zero")
    merge(run_dir, "aligned")
    evaluate(run_dir)
    return run_dir


def make_data(run_dir: Path) -> None:
    arguments = [
        "--config",
        "recipes/demo/data.yaml",
        "--run_dir",
        str(run_dir),
        "--collect.cards",
        "24",
        "--split.heldout",
        "0.3",
    ]
    for stage in ("collect", "split", "research", "write", "examples"):
        module = import_module(f"data_prep.{stage}")
        module.main(load(stage, getattr(module, f"{stage.title()}Config"), arguments))
    rows = pq.read_table(run_dir / "data" / "sft" / "train.parquet").to_pylist()
    with table_writer(run_dir / "data" / "pairs" / "train.parquet", PAIR_SCHEMA) as add:
        for row in rows[:6]:
            told = json.loads(row["provenance"])
            bad = [{"role": "assistant", "content": row["completion"][0]["content"][:300]}]
            provenance = {"card_id": told["card_id"], "family": told["family"], "chosen": "own sample", "failed": ["length"]}
            kwargs = row["chat_template_kwargs"]
            add(PreferencePair(stable_id(row["id"]), row["prompt"], row["completion"], bad, kwargs, "too short", provenance))


def train(run_dir: Path, stage: str, **more: object) -> None:
    from training.setup.config import RawRecipe

    import_module(f"training.{stage}").main(RawRecipe(TRAINING | {"run_dir": str(run_dir)} | more, "the test"))


def merge(run_dir: Path, adapter: str) -> None:
    from training import merge as merging

    block = merging.MergeConfig(adapter=adapter, dtype="float32", tolerance=1e-3, prompts=1, greedy_tokens=4, device="cpu")
    merging.main(Recipe(stage="merge", run_dir=run_dir, seed=0, block=block))


def evaluate(run_dir: Path) -> None:
    """Invented scores, with the report and the verdict that the stages make of them."""
    folder = run_dir / "eval"
    make_scored_run(run_dir, ("lead", "base", "sft", "aligned"), cards=40)
    for name, model in SYSTEMS.items():
        place = Path(model.replace("{run_dir}", str(run_dir)))
        summaries = folder / "generations" / f"{name}.jsonl"
        write_jsonl(summaries, [])
        recipe = {"system": {"model": model}, "max_new_tokens": 60, "dtype": "float32", "temperature": 0.6, "top_p": 0.95}
        inputs = [run_dir / "data" / "heldout.jsonl", *([place] if place.is_dir() else [])]
        Manifest(summaries.with_suffix(".manifest.json"), f"generate {name}", recipe, inputs, [summaries]).write()
    judge(run_dir)


def judge(run_dir: Path, **block: object) -> None:
    report(run_dir, "--report.system", "aligned")
    config = gate.GateConfig(**{"tuned": "aligned", "base": "sft", "metrics": ["fact_recall"], "margin": MARGIN} | block)
    try:
        gate.main(Recipe(stage="gate", run_dir=run_dir, seed=0, block=config))
    except SystemExit:
        pass  # not passed is a verdict too


MARGIN = {"all_pass": 0.99, "supported": 0.99}
