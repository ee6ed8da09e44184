"""What a missing package is told with, as a person who installed the core alone sees it."""

import subprocess
import sys

import pytest
from commands import ROOT

from data_prep.core.extras import EXTRA_OF

WITHOUT = "import runpy, sys; sys.modules['{missing}'] = None; runpy.run_module('{command}', run_name='__main__')"


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [("data_prep.collect", "pyarrow", "data"), ("training.sft", "trl", "train"), ("eval.score", "pyarrow", "data")],
)
def test_a_missing_package_is_told_with_its_extra(command, missing, extra, tmp_path):
    code = WITHOUT.format(missing=missing, command=command)
    # A run of its own: in the demo's, which may lie here, the stage is done already.
    arguments = ["--config", "recipes/demo/sft.yaml", "--run_dir", tmp_path]
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1]
        == f"{missing} is not installed; the extra {extra} brings it: pip install 'card-summarizer[{extra}]'"
    )
    assert "Traceback" not in done.stderr


def test_any_other_module_that_is_missing_is_a_mistake_of_ours():
    done = subprocess.run([sys.executable, "-c", "import data_prep.nothing"], cwd=ROOT, capture_output=True, text=True)
    assert "Traceback" in done.stderr


def test_the_core_and_no_extra_is_what_a_summary_needs():
    """Modules that are loaded where --help is asked for, and for a card in a file, belong to the core."""
    code = "import sys, eval.summarize; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & (set(EXTRA_OF) | {"torch", "transformers"})
