"""SFT, alignment and merging of the summariser. Imports only `data_prep`; meets `eval` in files."""

import logging
import os
import warnings

import data_prep  # noqa: F401  # tells what is missing with the extra that brings it

# On every import it says that a kernel for 4-bit weights on a CPU is not there; nobody here asked for it.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
# TRL tells its makers of every trainer, unless told otherwise before it is imported.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# The new name of gradient_checkpointing is not in transformers 5.17, where our recipes run as well.
warnings.filterwarnings("ignore", message=".*gradient_checkpointing.* is deprecated", category=FutureWarning)
