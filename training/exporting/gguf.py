"""llama.cpp's own converter and quantiser, as programs: nothing of it is imported or installed with this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FileType = Literal["BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"]
NO_ROPE_EVERY = 4  # llama.cpp's own constant for SmolLM3: a GGUF file does not say which layers rotate
KNOWN_FAILURES = {
    "No module named 'sentencepiece'": "llama.cpp's converter needs the package sentencepiece; recipes/export/install.sh installs it",
    "pre-tokenizer was not recognized": "llama.cpp does not know how this model's tokenizer splits text, so it would read other "
    "tokens than the model was trained on; only models with SmolLM3's own tokenizer, or another that it knows, can be converted",
}


@dataclass(frozen=True)
class Tools:
    """`converter` is a Python script, `conversion` the folder of what it imports, `quantize` a program."""

    converter: Path
    conversion: Path
    quantize: Path

    @classmethod
    def of(cls, folder: Path) -> Tools:
        """Raises ValueError where the folder is not llama.cpp, built."""
        tools = cls(folder / "convert_hf_to_gguf.py", folder / "conversion", folder / "build" / "bin" / "llama-quantize")
        for path in (tools.converter, tools.conversion, tools.quantize):
            if not path.exists():
                raise ValueError(
                    f"{path} is missing; run recipes/export/install.sh, or name llama.cpp's folder in export.llama_cpp"
                )
        return tools


def check_convertible(model: Path) -> None:
    """Raises ValueError where llama.cpp would run the model otherwise than transformers does, without an error."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") != "smollm3":
        return
    rotated = config["no_rope_layers"]
    if rotated != [int((layer + 1) % NO_ROPE_EVERY != 0) for layer in range(len(rotated))]:
        raise ValueError(
            f"{model} leaves out rotary positions in other layers than every fourth, and llama.cpp knows no other SmolLM3; "
            "serve it with vLLM or transformers"
        )


def convert(tools: Tools, model: Path, output: Path) -> Path:
    """The model as it is, in bfloat16. Raises ValueError with what the converter said where it fails."""
    # The interpreter of this project: the converter then reads config and tokenizer as training wrote them.
    return _made(output, [sys.executable, str(tools.converter), str(model), "--outtype", "bf16", "--outfile", str(output)])


def quantise(tools: Tools, whole: Path, output: Path, kind: FileType) -> Path:
    """A smaller copy of a GGUF file. Raises ValueError with what llama.cpp said where it fails."""
    return _made(output, [str(tools.quantize), str(whole), str(output), kind])


def _made(output: Path, program: Sequence[str]) -> Path:
    print(f"export: {' '.join(program)}", flush=True)
    # Without compiled files, which would change the hash of llama.cpp's folder.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    )
    if done.returncode or not output.exists():
        known = next((advice for sign, advice in KNOWN_FAILURES.items() if sign in done.stdout), None)
        last = (done.stdout.strip().splitlines() or ["it said nothing"])[-1]
        raise ValueError(known or f"{Path(program[0]).name} ended with {done.returncode} and no {output.name}: {last}")
    return output
