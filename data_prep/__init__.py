"""The base layer: what a card, a prompt and an acceptable summary are, and the stages that build the data set.

Imports nothing of `training` or `eval`, and its vocabulary (schema, recipe, manifest, prompts, cards, checks) no torch.
"""
