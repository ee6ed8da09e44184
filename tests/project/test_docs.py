"""What documents say must stay true: their commands are understood, what they name exists, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
import yaml
from commands import ROOT
from documents import (
    COMMAND,
    PACKAGES,
    Place,
    anchors,
    blocks,
    examples,
    heads,
    is_stage,
    links,
    markdown_files,
    modules,
    repository,
    shown_commands,
    spans,
    tokens,
)
from shown_commands import EXTERNAL, PROJECT, blocks_of_stages, check, has_key

from data_prep.core.recipe import BLOCKS, load

MARKDOWN = markdown_files()
PLACES = [*MARKDOWN, *modules(), *examples(), *heads()]
FILE = re.compile(
    r"[\w.*/-]*\.(?:py|yaml|yml|md|sh|slurm|toml|txt|jinja|j2|cff|json|jsonl|parquet|sqlite|html|css|js|log|safetensors)"
)
FOLDER = re.compile(r"[\w.-]+(?:/[\w.-]+)*/")
KEY = re.compile(rf"(?:{'|'.join(BLOCKS)})(?:\.[a-z]\w*)+")
MODULE = re.compile(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+")
OF_OTHERS = {"results.json", "scontrol", "index.jsonl"}  # lighteval's, Slurm's, a reader's
OPTIONS_OF_OTHERS = {"max-model-len", "enable-prefix-caching", "generation-config", "hf-overrides", "rope-scaling"}  # vLLM's
# What a program says where a sentence leaves something out.
SHORTENED = re.compile(r"lacks \"|has no value|arguments are required|unrecognized arguments: --run_dir|expected one argument")
# Words that stood for a figure or a text that was yet to come.
UNFINISHED = re.compile(r"@+[A-Z]+@+|\b(?:TODO|TBD|FIXME|XXX|RUNTIME)\b|[:,] [A-Z]{4,}$")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def none_of(wrong: Iterable[object]) -> None:
    assert [str(one) for one in wrong] == []


def test_there_is_something_to_test():
    assert {"README.md", "CONTRIBUTING.md", "recipes/README.md", "eval/README.md"} <= {name_of(path) for path in MARKDOWN}
    shown = {path: [place.text for place in shown_commands(path)] for path in PLACES}
    assert sum(map(len, shown.values())) > 100
    assert shown[ROOT / "README.md"][:3] == ["make summary CARD=path/to/card.md", "make demo", "make test"]
    assert len(shown[ROOT / "eval" / "judge.py"]) == 2
    assert (
        "python -m data_prep.write --config recipes/smollm3-3b/data_hub.yaml"
        in shown[ROOT / "recipes/smollm3-3b/data_hub.yaml"]
    )
    assert any("launch.slurm" in text for text in shown[ROOT / "recipes/launch.slurm"])


@pytest.mark.parametrize("path", [path for path in PLACES if shown_commands(path)], ids=name_of)
def test_commands_are_understood(path):
    wrong, mistake = [], None
    for place in shown_commands(path):
        if re.match(rf"{MODULE.pattern}: ", place.text):  # what the command above it says
            assert place.text == mistake, f"{place}\nit says {mistake}"
            mistake = None
            continue
        wrong += [mistake] if mistake else []
        mistake = understood(place.text)
    wrong += [mistake] if mistake else []
    none_of(wrong)


@cache
def understood(command: str) -> str | None:
    """What a program says against a command; None where nothing. That a reader's own input is not here is no mistake."""
    try:
        check(command)
    except ValueError as error:
        words = shlex.split(command, comments=True)
        return None if any(f"{word} is no file" in str(error) for word in words) else str(error)
    return None


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_commands_in_running_text_are_understood(path):
    """Shortened as a sentence shortens them: a recipe or a required key may be left out."""
    wrong = []
    for place in spans(path):
        text = place.text
        if re.match(rf"{MODULE.pattern} --", text):
            text = f"python -m {text}"
        program = text.split(" ")[0]
        if not COMMAND.match(text) or text.startswith("-") or " " not in text or program in EXTERNAL:
            continue
        text = re.sub(r"--config \.\.\.|\.\.\.", "", text).replace("NAME", "demo").replace("/X.yaml", "/cpu.yaml")
        if " -m " in text and not re.search(r"--config |--run_dir | -m (?:pytest|pip|venv)|\.launch\b", text):
            text = re.sub(r" -m ([\w.]+)", r" -m \1 --run_dir x", text, count=1) if "--help" not in text else text
        mistake = understood(text)
        if mistake and not SHORTENED.search(mistake):
            wrong.append(f"{place}: {mistake}")
    none_of(wrong)


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_options_and_keys_in_running_text_exist(path):
    none_of(str(place) for place in spans(path) if not all(map(is_known, options_in(place.text))))


def options_in(text: str) -> list[str]:
    """Names of options and keys of blocks that a span consists of."""
    if text.startswith("--"):
        return [name for name in re.findall(r"--([\w.-]+)", text) if name.lower() == name]
    return [text] if KEY.fullmatch(text) and not FILE.fullmatch(text) and not MODULE.fullmatch(text) else []


def is_known(name: str) -> bool:
    """A key of a stage's block, of a training recipe, or an option of some program of ours."""
    block, dot, key = name.partition(".")
    if dot:
        return any(has_key(schema, key) for schema in blocks_of_stages().get(block, ()))
    return name in training_keys() | OPTIONS_OF_OTHERS or any(f'"--{name}"' in text for text in sources().values())


@cache
def training_keys() -> frozenset[str]:
    import dataclasses

    from trl import DPOConfig, GRPOConfig, ModelConfig, SFTConfig

    from training.setup.config import RunArguments

    kinds = (RunArguments, SFTConfig, DPOConfig, GRPOConfig, ModelConfig)
    return frozenset(field.name for kind in kinds for field in dataclasses.fields(kind)) | {"config", "seed", "run_dir"}


@cache
def sources() -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in modules()}


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_files_and_modules_in_running_text_exist(path):
    none_of(str(place) for place in spans(path) if is_name(place) and not exists(place))


def is_name(place: Place) -> bool:
    text = place.text
    if re.search(r"path/to/|^my-|^\.|^/|^runs/\w+/?$", text):  # a reader's own
        return False
    return bool(FILE.fullmatch(text) or FOLDER.fullmatch(text) or MODULE.fullmatch(text)) and text == re.sub(
        "[A-Z]{2,}", "", text
    )


def exists(place: Place) -> bool:
    """In the repository, seen from its root or from the document; or a stage writes it, so that its name stands in the code."""
    text = place.text.rstrip("/")
    if MODULE.fullmatch(text) and not FILE.fullmatch(text):
        return is_module(text)
    known = {name_of(one): one for one in repository()}
    known |= {name_of(folder): folder for one in repository() for folder in one.parents if folder.is_relative_to(ROOT)}
    pattern = re.escape(text).replace(r"\*", "[^/]*")
    if any(re.fullmatch(rf"(?:.*/)?{pattern}", name) for name in known):
        return True
    last = re.sub(r"^\w+\.\w+(?=\.\w+\.\w+$)", "", text.rpartition("/")[2])  # a reader's file with a stage's ending
    written = any(last in source for source in sources().values())
    return last in OF_OTHERS or (written and not last.endswith((".py", ".sh")))


def is_module(name: str) -> bool:
    """A module, a name in one, or a package of data."""
    file = ROOT / f"{name.replace('.', '/')}.py"
    if file.exists() or file.with_suffix("").is_dir():
        return True
    holder, _, last = name.rpartition(".")
    file = ROOT / f"{holder.replace('.', '/')}.py"
    return file.exists() and bool(re.search(rf"^(?:def |class )?{last}\b", file.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_links_lead_somewhere(path):
    wrong = []
    for place in links(path):
        file, _, anchor = place.text.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(str(place))
    none_of(wrong)


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_nothing_is_left_unfinished(path):
    prose = [place.text for place in spans(path)]
    lines = path.read_text(encoding="utf-8").splitlines()
    shown = {line for first, _, text in blocks(path) for line in range(first, first + len(text.splitlines()))}
    wrong = [line for number, line in enumerate(lines, start=1) if number not in shown and UNFINISHED.search(line)]
    none_of(line for line in wrong if not any(span in line and UNFINISHED.search(span) for span in prose))


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_code_and_recipes_in_blocks_are_whole(path):
    """Python compiles, JSON and YAML parse, and a block of a recipe holds keys that its stage knows."""
    for first, language, text in blocks(path):
        where = f"{name_of(path)}:{first}"
        if language == "python":
            compile(text, where, "exec")
        elif language in ("yaml", "json") or (not language and re.match(rf"(?:{'|'.join(BLOCKS)}):\n", text)):
            assert not mistakes_in_recipe(yaml.safe_load(text)), where


def test_a_recipe_may_hold_the_block_of_every_stage_and_no_other():
    assert sorted(BLOCKS) == sorted(blocks_of_stages())


def mistakes_in_recipe(values: object) -> list[str]:
    found = []
    for block, value in values.items() if isinstance(values, dict) else ():
        if block not in BLOCKS or not isinstance(value, dict):
            continue
        words = [
            word for key, text in value.items() for word in (f"--{block}.{key}", yaml.safe_dump(text, default_flow_style=True))
        ]
        tries = [mistake_of(block, schema, words) for schema in blocks_of_stages()[block]]
        found += [] if None in tries else tries[:1]
    return found


def mistake_of(block: str, schema: type, words: list[str]) -> str | None:
    try:
        load(block, schema, ["--run_dir", "x", *(word.removesuffix("...\n").strip() for word in words)])
    except ValueError as error:
        return None if "lacks" in str(error) else str(error)
    return None


def tree() -> dict[str, list[str]]:
    """Lines of README's file tree by the folder that they stand in; a line of a folder itself belongs to that folder too."""
    stream = tokens(ROOT / "README.md")
    at = next(number for number, token in enumerate(stream) if token.type == "inline" and token.content == "Files")
    text = next(token.content for token in stream[at:] if token.type in ("code_block", "fence"))
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line.startswith(" "):
            folder = line.split("/")[0]
        found.setdefault(folder, []).append(line.strip())
    return found


def names_in(line: str) -> list[str]:
    return re.findall(r"[\w.*-]+\.(?:py|yaml|md|sh|slurm|cff)\b|[\w.-]+/(?=[\s;,.]|$)|\w+_\*(?=[\s,;)])", line)


def test_the_file_tree_names_what_exists():
    wrong = []
    for folder, lines in tree().items():
        for line in lines:
            first = line.split()[0].rstrip("/")
            for name in names_in(line):
                name = name.rstrip("/")
                places = (ROOT / folder, ROOT / folder / first, ROOT)
                if name != folder and not any(any(place.glob(name)) for place in places):
                    wrong.append(f"{folder}: {name}")
    none_of(wrong)


def test_every_module_is_named_in_the_tree_or_in_its_package_s_readme():
    missing = []
    for package in PACKAGES:
        readme = ROOT / package / "README.md"
        said = "\n".join(tree()[package]) + (readme.read_text(encoding="utf-8") if readme.exists() else "")
        patterns = [name.rstrip("/") for name in names_in(said)]
        for path in modules():
            inside = path.relative_to(ROOT).parts
            if inside[0] != package or path.name == "__init__.py":
                continue
            named = f"{package}.{path.stem}" in said or any(
                path.match(f"{pattern}.py" if pattern.endswith("_*") else pattern) for pattern in patterns
            )
            if not named and not (len(inside) > 2 and f"{inside[1]}/" in said):
                missing.append(name_of(path))
    none_of(missing)


def test_every_recipe_is_in_the_table_of_recipes():
    text = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    rows = " ".join(re.findall(r"^\| `([^|]+)` \|", text, re.MULTILINE))
    folders = {path.name for path in (ROOT / "recipes").iterdir() if path.is_dir()}
    assert folders
    none_of(f"recipes/{folder}/" for folder in sorted(folders) if f"{folder}/" not in rows)


def test_every_metric_has_a_label_of_its_own_and_results_are_shown_under_these():
    from eval.scoring.metrics import METRICS, VALUES

    labels = [metric.label for metric in METRICS]
    assert len(set(labels)) == len({metric.name for metric in METRICS}) == len(METRICS)
    assert all(labels)
    assert set(VALUES) <= {metric.name for metric in METRICS}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    header = re.search(r"^\| system \|(.+)\|$", readme, re.MULTILINE)
    assert header
    none_of(cell.strip() for cell in header[1].split("|") if cell.strip() not in labels)


def test_every_stage_says_how_it_is_run():
    silent = []
    for path in filter(is_stage, modules()):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        scripts = [name for name, place in PROJECT["project"].get("scripts", {}).items() if place.startswith(f"{module}:")]
        ways = [f"-m {module}", *scripts]
        if not any(way in text for _, _, text in blocks(path) for way in ways):
            silent.append(module)
    none_of(silent)


def test_a_command_of_no_known_kind_is_a_mistake():
    assert "no known kind" in understood("bazel build --config=x")
    assert "no stage" in understood("python -m training.nothing --config x")
    assert 'Did you mean "learning_rate"' in understood(
        "accelerate launch -m training.sft --config recipes/demo/sft.yaml --learning_rat 1"
    )
    assert "no target" in understood("make dmeo")
    assert "no extra" in understood("pip install -e '.[vlm]'")
    assert "no marker" in understood("pytest -m slwo")
    assert "not an option" in understood("recipes/run.sh demo --verbose")
    assert "unknown key" in understood("recipes/run.sh demo --collect.crads 3")


# Files that tell others what this is.


def test_the_workflow_runs_what_a_person_runs():
    workflow = yaml.load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"), yaml.BaseLoader)
    assert set(workflow["on"]) == {"push", "pull_request"}
    assert workflow["permissions"] == {"contents": "read"}
    whole, newer = workflow["jobs"]["all"], workflow["jobs"]["newer-python"]
    assert int(whole["timeout-minutes"]) <= 60
    assert whole["steps"][-1]["run"] == ".ci/run"
    assert newer["steps"][-1]["run"] == "make test"
    used = [step for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in used)
    pythons = [step["with"]["python-version"] for step in used if step["uses"].startswith("actions/setup-python@")]
    assert f">={pythons[0]}" == PROJECT["project"]["requires-python"]
    assert pythons[1] == "${{ matrix.python-version }}"
    index = re.search(r"--extra-index-url \S+", (ROOT / "Makefile").read_text(encoding="utf-8"))[0].rstrip('"')
    assert workflow["env"]["PIP_ARGS"] == index


def test_hooks_run_the_ruff_that_lint_runs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    pinned = next(word for word in PROJECT["project"]["optional-dependencies"]["dev"] if word.startswith("ruff=="))
    ruff = next(one for one in hooks["repos"] if one["repo"].endswith("/ruff-pre-commit"))
    assert ruff["rev"] == f"v{pinned.removeprefix('ruff==')}"
    assert [hook["id"] for hook in ruff["hooks"]] == ["ruff-check", "ruff-format"]
    assert all(re.fullmatch(r"v\d+\.\d+\.\d+", one["rev"]) for one in hooks["repos"])


def test_the_citation_is_cff_and_agrees_with_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    required = {"cff-version", "message", "title", "authors"}
    allowed = required | {
        "abstract",
        "keywords",
        "license",
        "type",
        "version",
        "date-released",
        "repository-code",
        "url",
        "references",
    }
    assert required <= set(citation) <= allowed
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    for author in citation["authors"]:
        assert set(author) in ({"name"}, {"family-names", "given-names"})


def test_the_changelog_begins_with_the_version_that_is_here():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[([\d.]+)\] - (\d{4}-\d\d-\d\d|unreleased)$", text, re.MULTILINE)
    assert versions[0][0] == PROJECT["project"]["version"]
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_licence_is_whole_and_the_notice_names_what_is_built_on():
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert licence.lstrip().startswith("Apache License\n")
    assert "END OF TERMS AND CONDITIONS" in licence
    assert len(licence.split()) == 1581
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for name in ("SmolLM3-3B", "SmolLM2-135M-Instruct", "Apache License, Version 2.0", "teacher", "fonts"):
        assert name in notice


def test_the_log_is_dated_and_in_order():
    text = (ROOT / "recipes" / "LOG.md").read_text(encoding="utf-8")
    dates = re.findall(r"^## (\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    assert dates
    assert dates == sorted(dates, reverse=True)
