"""Our trainers: TRL's, over one copy of each prompt where the recipe says so, metered, and pushing named files alone."""

from __future__ import annotations

from typing import Any

from trl import SFTTrainer

from training.loop.cut_answers import LeavesCutAnswersOpen
from training.monitoring.checkpoint_push import HubPush
from training.monitoring.throughput import Metered
from training.setup.config import Parsed
from training.setup.load import Rows, load_model
from training.shared_prefix.answer_head import score_answers_alone
from training.shared_prefix.trainers import KeepsReferences, SharedPrefixDPOTrainer, SharedPrefixSFTTrainer


class PlainSft(Metered, HubPush, SFTTrainer):
    pass


class SharedSft(Metered, HubPush, SharedPrefixSFTTrainer):
    pass


class PlainAlignment(Metered, HubPush, LeavesCutAnswersOpen, KeepsReferences):
    pass


class SharedAlignment(Metered, HubPush, LeavesCutAnswersOpen, SharedPrefixDPOTrainer):
    pass


def sft_trainer(parsed: Parsed, rows: Rows, tokenizer: Any) -> Any:
    """Sharing needs rows side by side: with one row a micro-batch it is TRL's own trainer."""
    shared = parsed.run.shared_prefix and parsed.trainer.per_device_train_batch_size > 1
    return _build(SharedSft if shared else PlainSft, shared, parsed, rows, tokenizer)


def alignment_trainer(parsed: Parsed, rows: Rows, tokenizer: Any) -> Any:
    shared = parsed.run.shared_prefix
    return _build(SharedAlignment if shared else PlainAlignment, shared, parsed, rows, tokenizer)


def _build(kind: type, shared: bool, parsed: Parsed, rows: Rows, tokenizer: Any) -> Any:
    import torch
    from trl import get_peft_config

    if parsed.run.threads:
        torch.set_num_threads(parsed.run.threads)
    score_answers_alone()
    return kind(
        model=load_model(parsed),
        args=parsed.trainer,
        train_dataset=rows.train,
        eval_dataset=rows.validation,
        processing_class=tokenizer,
        peft_config=get_peft_config(parsed.model),
        **({"shared_prefix_attention": parsed.run.shared_prefix_attention} if shared else {}),
    )
