"""Run by two processes of `accelerate launch`: 12 steps of alignment by plain TRL and over a shared prefix.

accelerate launch --cpu --num_processes 2 tests/support/two_ways.py MODEL FOLDER
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOTrainer

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent), str(ROOT / "tests" / "training")]

from test_shared_prefix import pairs, trainer_of  # noqa: E402

from training.shared_prefix.trainers import SharedPrefixDPOTrainer  # noqa: E402


def main(model: str, folder: Path) -> None:
    base, tokenizer = AutoModelForCausalLM.from_pretrained(model).double(), AutoTokenizer.from_pretrained(model)
    options = {"max_steps": 12, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "learning_rate": 1e-3,
               "gradient_checkpointing": True, "loss_type": ["apo_zero"]}  # fmt: skip
    for kind in (DPOTrainer, SharedPrefixDPOTrainer):
        trainer = trainer_of(base, tokenizer, folder / kind.__name__, kind, rows=pairs(8), **options)
        assert trainer.accelerator.num_processes == 2
        trainer.train()
        if trainer.is_world_process_zero():
            weights = {name: weight.detach() for name, weight in trainer.model.named_parameters() if weight.requires_grad}
            torch.save(
                {name.removeprefix("module."): weight for name, weight in weights.items()}, folder / f"{kind.__name__}.pt"
            )
    # Reference log-probs in a file that every process finds.
    trainer = trainer_of(base, tokenizer, folder / "kept", reference="precomputed", rows=pairs(8), **options)
    alone = trainer_of(base, tokenizer, folder / "off", rows=pairs(8), **options)
    batch = alone.data_collator([alone.train_dataset[at] for at in range(8)])
    expected = alone.compute_ref_log_probs(alone.model, batch)[0]
    assert torch.allclose(torch.tensor(trainer.train_dataset["ref_chosen_logps"][:]), expected, atol=1e-4)
    (folder / f"kept-{trainer.accelerator.process_index}").touch()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
