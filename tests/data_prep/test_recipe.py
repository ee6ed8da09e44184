from typing import Literal

import pytest
from commands import ROOT, run_command, run_here

from data_prep.core.lock import alone
from data_prep.core.recipe import Block, load, usage


class ToyConfig(Block):
    source: Literal["hub", "folder"]
    """Where from."""
    limit: int | None = None
    share: float = 0.1
    path: str | None = None
    ids: list[str] = []


def write(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return str(path)


def read(tmp_path, text, *overrides):
    return load("collect", ToyConfig, ["--config", write(tmp_path, text), *overrides])


def test_yaml_and_overrides_meet_in_one_typed_block(tmp_path):
    recipe = read(
        tmp_path,
        "run_dir: runs/x\nseed: 3\ncollect: {source: hub, share: 2e-1}\nsplit: {anything: 1}\n",
        *("--collect.source", "folder", "--collect.path=007", "--collect.limit", "5", "--seed", "9", "--split.heldout", "0.2"),
    )
    assert (recipe.seed, str(recipe.run_dir)) == (9, "runs/x")
    assert recipe.block == ToyConfig(source="folder", limit=5, share=0.2, path="007")
    assert recipe.resolved() == {"seed": 9, "collect": recipe.block.model_dump()}


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        ("run_dir: x\ncollect: {sorce: hub}", [], ['unknown key "collect.sorce"', 'Did you mean "source"?']),
        ("run_dir: x\ncolect: {source: hub}", [], ['unknown key "colect"', 'Did you mean "collect"?']),
        ("run_dir: x\ncollect: {source: hub, limit: '3'}", [], ["collect.limit", "'3'", "integer"]),
        ("run_dir: x\ncollect: {source: hub, share: [1]}", [], ["collect.share", "[1]", "number"]),
        ("run_dir: x\ncollect: {source: ftp}", [], ["collect.source", "'ftp'", "'hub' or 'folder'"]),
        ("run_dir: x\ncollect: {}", [], ['lacks "collect.source"']),
        ("collect: {source: hub}", [], ["names no run_dir"]),
        ("run_dir: x\nseed: two\ncollect: {source: hub}", [], ["seed is 'two'"]),
        ("run_dir: x\ncollect: {source: hub}", ["--collect.limit"], ["--collect.limit has no value"]),
        ("run_dir: x\ncollect: {source: hub}", ["--collect", "hub"], ["--collect is a block", "limit"]),
        ("run_dir: x\ncollect: {source: hub}", ["hub"], ['"hub" is not an option']),
        ("run_dir: x\ncollect: {source: hub}", ["--merge.adaptor", "x", "--colect.limit", "3"], ['unknown key "colect"']),
        (
            "run_dir: x\ncollect:\n  source: hub\n  source: folder",
            [],
            ['not valid YAML, line 4: found duplicate key "source"; keep one'],
        ),
        (
            "run_dir: x\ncollect: {source: hub}",
            ["--collect.ids", "{a: 1, a: 2}"],
            ["--collect.ids is '{a: 1, a: 2}'", 'duplicate key "a"; keep one'],
        ),
        (
            "run_dir: x\ncollect: {source: hub}",
            ["--collect.ids", "[a"],
            ["--collect.ids is '[a', which is not valid YAML: expected"],
        ),
        (
            "run_dir: x\ncollect: {source: hub}",
            ["--collect.sorce", "[a"],
            ['"collect.sorce" in the command line', "Did you mean"],
        ),
        (
            "run_dir: x\ncollect: {source: hub}",
            ["--collect.limit", "five"],
            ["\"collect.limit\" is 'five' in the command line"],
        ),
        ("run_dir: x\ncollect: {source: hub}", ["--seed", "[1"], ["--seed is '[1', which is not valid YAML"]),
        ("run_dir: x\ncollect: {source: hub}", ["--colect.limit", "3"], ['unknown key "colect" in the command line']),
        ("- a\n- b", [], ["holds list"]),
        ("a: [", [], ["not valid YAML, line 1"]),
    ],
)
def test_mistakes_are_refused_with_place_rule_and_next_move(tmp_path, text, overrides, words):
    with pytest.raises(ValueError, match=r".") as caught:
        read(tmp_path, text, *overrides)
    for word in words:
        assert word in str(caught.value)


def test_a_key_that_a_merge_brings_does_not_stand_twice(tmp_path):
    text = (
        "run_dir: x\nsplit: &base {source: hub, limit: 1}\nwrite: &more {<<: *base, limit: 2}\ncollect: {<<: *more, limit: 3}\n"
    )
    assert read(tmp_path, text).block == ToyConfig(source="hub", limit=3)


def test_a_missing_recipe_is_named():
    with pytest.raises(ValueError, match=r"there is no recipe nowhere\.yaml"):
        load("collect", ToyConfig, ["--config", "nowhere.yaml"])


def test_help_lists_every_key_with_type_default_and_meaning():
    text = usage("collect", ToyConfig, "Collects.", "data_prep.collect")
    assert "limit: int | None, default None" in text
    assert "Where from." in text
    assert "source: Literal['hub', 'folder'], required" in text


@pytest.mark.parametrize(
    "module",
    "data_prep.collect data_prep.split data_prep.research data_prep.write data_prep.examples data_prep.pairs "
    "eval.generate eval.probes eval.support eval.judge eval.score eval.report eval.compare eval.gate eval.ability eval.validate eval.benchmark eval.sampling_benchmark training.sft training.align training.merge training.soup training.benchmark training.tiny_base".split(),
)
def test_every_stage_has_help(module):
    done = run_here(module, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_2():
    done = run_command("-m", "data_prep.collect", "--config", "recipes/demo/data.yaml", "--collect.sorce", "hub")
    assert done.returncode == 2
    assert 'Did you mean "source"?' in done.stderr
    assert done.stderr.count("\n") == 1


def test_run_sh_refuses_what_it_does_not_know():
    import subprocess

    for arguments, words in (
        (["no-such"], "there is no recipes/no-such/data.yaml"),
        (["demo", "--verbose"], '"--verbose" is not an option'),
    ):
        done = subprocess.run(["bash", "recipes/run.sh", *arguments], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2
        assert words in done.stderr


def test_a_misspelt_key_of_a_block_within_a_block_is_named_with_the_nearest_of_that_block():
    from data_prep.research import ResearchConfig
    from data_prep.write import WriteConfig

    for stage, schema, arguments, near in (
        ("research", ResearchConfig, ["--research.teacher.modle", "x"], "model"),
        ("research", ResearchConfig, ["--research.fetch.mdoe", "off"], "mode"),
        ("write", WriteConfig, ["--write.teachers", "[{modle: x, base_url: 'http://a.example/v1', licence: mit}]"], "model"),
    ):
        with pytest.raises(ValueError, match=f'Did you mean "{near}"'):
            load(stage, schema, ["--run_dir", "x", *arguments])
    with pytest.raises(ValueError, match=r'lacks "write.teachers.0.base_url"; add it to the block$'):
        load("write", WriteConfig, ["--run_dir", "x", "--write.teachers", "[{model: x, licence: mit}]"])


def test_an_override_reaches_into_a_block_that_the_recipe_leaves_out():
    from data_prep.research import ResearchConfig

    recipe = load(
        "research", ResearchConfig, ["--run_dir", "x", "--research.fetch.mode", "open", "--research.fetch.concurrency", "2"]
    )
    assert (recipe.block.fetch.mode, recipe.block.fetch.concurrency) == ("open", 2)


def test_a_folder_for_a_file_is_a_persons_mistake():
    done = run_command("-m", "data_prep.collect", "--config", "recipes/demo")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_one_data_stage_at_a_time_works_in_a_runs_folder(tmp_path):
    """All of them write rejected.jsonl, each its own rows between those of the others."""
    with alone(tmp_path / "run" / "data"):
        done = run_here("data_prep.pairs", "--config", "recipes/demo/data.yaml", "--run_dir", str(tmp_path / "run"))
    assert done.returncode == 2
    assert "another process is writing" in done.stderr
    assert "name another --run_dir" in done.stderr
