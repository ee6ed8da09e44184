"""SFT, alignment and merging of the summariser. Imports only `data_prep`; meets `eval` in files."""

import logging

# On every import it says that a kernel for 4-bit weights on a CPU is not there; nobody here asked for it.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
