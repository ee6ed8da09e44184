"""Rules of the repository that a reviewer would otherwise have to remember."""

import ast
import subprocess
import sys

import pytest
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
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules()}
    stages = {name for path, name in names.items() if 'if __name__ == "__main__"' in path.read_text(encoding="utf-8")}
    wrong = [
        f"{path.name}:{line} imports {name}"
        for path in modules()
        if names[path] in stages
        for line, name, _ in imported(path)
        if name in stages
    ]
    assert not wrong


def test_the_vocabulary_needs_no_torch():
    code = "import sys; " + "; ".join(f"import data_prep.{name}" for name in VOCABULARY) + "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


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
