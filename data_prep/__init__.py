"""The base layer: what a card, a prompt and an acceptable summary are, and the stages that build the data set.

Imports nothing of `training` or `eval`; its lower floors (core, cards, chat, checks, prompts) and the invented world need no torch.
"""

import os

from data_prep.core.extras import install

install()
# OpenMP reads it when torch loads: threads that wait for each other sleep. By default they spin, and where another process has
# one of the cores, every operation waits through its time slice. Idle cores decode some 5% slower for it (recipes/LOG.md).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
