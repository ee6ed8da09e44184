"""TRL's GRPOTrainer with our reward: metered, pushing named files alone, and going on after a stop with the cards due next."""

from __future__ import annotations

from typing import Any

import torch
from trl import GRPOConfig, GRPOTrainer

from data_prep.prompts.chat_format import chat_format
from data_prep.prompts.end_tokens import end_ids
from training.loop.reward import Reward
from training.monitoring.checkpoint_push import HubPush
from training.monitoring.flops import Work
from training.monitoring.throughput import Metered
from training.preflight.rollouts import check_cards
from training.setup.config import Parsed
from training.setup.load import Rows, load_model
from training.shared_prefix.answer_head import score_answers_alone


class Rollouts(Metered, HubPush, GRPOTrainer):
    args: GRPOConfig
    _buffered_inputs: list[dict[str, torch.Tensor]]  # type: ignore[assignment]  # TRL starts with None

    def work_of(self, inputs: Any) -> Work:
        """Of the samples that the step before was taken on; sampling itself counts in time and not in work."""
        batch = self._buffered_inputs[(self._step - 1) % len(self._buffered_inputs)]
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
        return Work.of_batch({"attention_mask": mask, "completion_mask": batch["completion_mask"]})

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """Cards shuffled by seed and epoch: TRL's order follows from the epochs gone before, which a resumed run has not seen."""
        sampler: Any = super()._get_train_sampler(dataset)
        if sampler.shuffle:
            sampler.set_epoch = lambda epoch: sampler.generator.manual_seed(self.args.seed + epoch)
        return sampler


def grpo_trainer(parsed: Parsed, rows: Rows, tokenizer: Any) -> Rollouts:
    from trl import get_peft_config

    check_cards(parsed, rows, tokenizer)
    if parsed.run.threads:
        torch.set_num_threads(parsed.run.threads)
    score_answers_alone()
    parsed.trainer.chat_template_kwargs = chat_format(tokenizer).kwargs  # TRL asks here and not in the rows
    model = load_model(parsed)
    return Rollouts(
        model=model,
        reward_funcs=[Reward(tokenizer, end_ids(tokenizer, model.generation_config))],
        args=parsed.trainer,
        train_dataset=rows.train,
        eval_dataset=rows.validation,
        processing_class=tokenizer,
        peft_config=get_peft_config(parsed.model),
    )
