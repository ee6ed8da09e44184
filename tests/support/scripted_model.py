"""A model that says what a test has it say: a tiny one's real `generate`, with its logits bent towards a script."""

import torch
from transformers import AutoModelForCausalLM, LogitsProcessor, LogitsProcessorList

SCRIPTED, SECOND = 50.0, 25.0  # far above what the model thinks itself


class Script(LogitsProcessor):
    """Row by row the tokens wanted; `second` is the next best at every place, and all others stay the model's own."""

    def __init__(self, rows, second=None):
        self.rows, self.second, self.start = rows, second, None

    def __call__(self, input_ids, scores):
        self.start = input_ids.shape[1] if self.start is None else self.start
        scores = scores.clone()
        for row, wanted in enumerate(self.rows):
            at = input_ids.shape[1] - self.start
            if self.second is not None:
                scores[row, self.second] = SECOND
            if at < len(wanted):
                scores[row, wanted[at]] = SCRIPTED
        return scores


class ScriptedModel:
    """Stands where weights stand. `texts`: what each row says, its end token with it where it is to end."""

    def __init__(self, folder, tokenizer, texts, second=None):
        self.weights = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        self.second, self.device, self.config = second, self.weights.device, self.weights.config
        self.forward = self.weights.forward
        self.steps = 0

    def to(self, device):
        return self

    def eval(self):
        return self

    def generate(self, *prompts, logits_processor=(), **how):
        if prompts:  # only read
            return self.weights.generate(*prompts, **how)
        made = self.weights.generate(
            logits_processor=LogitsProcessorList([Script(self.rows, self.second), *logits_processor]), **how
        )
        self.steps = made.shape[1] - how["input_ids"].shape[1]
        return made
