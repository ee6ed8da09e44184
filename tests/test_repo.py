"""Rules of the repository that a reviewer would otherwise have to remember."""

import ast
import subprocess
import sys

import pytest
import yaml
from commands import BASE, ROOT

PACKAGES = ("data_prep", "training", "eval")
MAY_IMPORT = {"data_prep": set(), "training": {"data_prep"}, "eval": {"data_prep"}}
VOCABULARY = "schema recipe manifest prompts cards checks tables synthetic".split()


def modules():
    found = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(found) > 25
    return found


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, True) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module, False


def test_packages_import_downwards_only_and_never_import_eval_by_name():
    wrong = []
    for path in modules():
        package = path.relative_to(ROOT).parts[0]
        for line, name, plain in imported(path):
            top = name.partition(".")[0]
            if top in PACKAGES and top != package and top not in MAY_IMPORT[package]:
                wrong.append(f"{path.name}:{line} imports {name}")
            if plain and top == "eval":  # it would hide the builtin in that file
                wrong.append(f"{path.name}:{line} says import {name}; write from {name} import ...")
    assert not wrong


def test_no_stage_imports_a_stage():
    stages = {path.stem for path in modules() if 'if __name__ == "__main__"' in path.read_text(encoding="utf-8")}
    shared = {"data_prep.checks"}
    wrong = [
        f"{path.name}:{line} imports {name}"
        for path in modules()
        if path.stem in stages
        for line, name, _ in imported(path)
        if name.partition(".")[0] in PACKAGES and name.rpartition(".")[2] in stages and name not in shared
    ]
    assert not wrong


def test_the_vocabulary_needs_no_torch():
    code = "import sys; " + "; ".join(f"import data_prep.{name}" for name in VOCABULARY) + "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_every_recipe_parses_strictly():
    from trl import DPOConfig, SFTConfig

    from data_prep.collect import CollectConfig
    from data_prep.examples import ExamplesConfig
    from data_prep.pairs import PairsConfig
    from data_prep.recipe import load, read_yaml
    from data_prep.research import ResearchConfig
    from data_prep.revise import ReviseConfig
    from data_prep.split import SplitConfig
    from data_prep.write import WriteConfig
    from eval.generate import GenerateConfig
    from eval.report import ReportConfig
    from eval.score import ScoreConfig
    from training.config import RawRecipe, parse
    from training.merge import MergeConfig

    data = {
        "collect": CollectConfig, "split": SplitConfig, "research": ResearchConfig, "write": WriteConfig, "examples": ExamplesConfig,
        "revise": ReviseConfig, "pairs": PairsConfig,
    }  # fmt: skip
    evaluation = {"sample": GenerateConfig, "generate": GenerateConfig, "score": ScoreConfig, "report": ReportConfig}
    blocks = {"data.yaml": data, "eval.yaml": evaluation, "merge.yaml": {"merge": MergeConfig}}
    seen = 0
    for path in sorted((ROOT / "recipes").glob("*/*.yaml")):
        if path.parent.name == "accelerate":
            assert yaml.safe_load(path.read_text())["num_machines"] >= 1
        elif path.name in blocks or path.name.startswith("data_"):
            for stage, schema in blocks.get(path.name, data).items():
                load(stage, schema, ["--config", str(path)])
        else:
            trainer = SFTConfig if path.name.startswith("sft") else DPOConfig
            values = read_yaml(path) | {"use_cpu": True, "bf16": False, "output_dir": "x"}
            assert parse(RawRecipe(values, str(path)), trainer, {"model_name_or_path": "x"}).trainer.max_length is None
        seen += 1
    assert seen >= 6


def test_dpo_is_apo_with_two_lines_changed():
    for folder in ("demo", "smollm3-3b"):
        apo, dpo = (
            [line for line in (ROOT / "recipes" / folder / name).read_text().splitlines() if not line.startswith("#")]
            for name in ("apo.yaml", "dpo.yaml")
        )
        changed = [(a.partition(":")[0], d.partition(":")[0]) for a, d in zip(apo, dpo, strict=True) if a != d]
        assert changed == [("loss_type", "loss_type"), ("beta", "beta")]


def test_the_base_model_is_small_and_safe():
    files = [path for path in BASE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".jinja", ".md"}
    assert (BASE / "README.md").exists()


@pytest.mark.parametrize("word", ["/wor" + "k/", "pypi" + "-more", "sub" + "agent", "issue " + "#"])
def test_files_speak_of_the_project_alone(word):
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    if not tracked:
        pytest.skip("not a git checkout")
    texts = [ROOT / name for name in tracked if not name.endswith((".safetensors", ".parquet"))]
    assert [str(path) for path in texts if path.exists() and word in path.read_text(encoding="utf-8", errors="replace")] == []
