"""The base layer: what a card, a prompt and an acceptable summary are, and the stages that build the data set.

Imports nothing of `training` or `eval`; its lower floors (core, cards, chat, checks, prompts) and the invented world need no torch.
"""

from data_prep.core.extras import install

install()
