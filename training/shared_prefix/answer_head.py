"""The language-model head over answers alone, on every device.

TRL projects only labelled positions where Triton is at hand, and all positions elsewhere, lest shapes change from batch
to batch on devices that compile. On a CPU that is the whole prompt: half of a step's time at 10,000 tokens.
"""

from __future__ import annotations

import torch
import trl.trainer.utils
from trl.kernels import chunked_logprob

EAGER_DEVICES = ("cpu", "cuda", "xpu", "mps")  # nothing is compiled for one shape


def score_answers_alone() -> None:
    """Makes TRL's fused head skip unlabelled positions on all eager devices; values stay what they were."""
    # The head asks this name whether to skip; its kernels ask their own module's, which stays.
    assert trl.trainer.utils._use_triton in (chunked_logprob._use_triton, _on_eager_devices)
    trl.trainer.utils._use_triton = _on_eager_devices


def _on_eager_devices(device: torch.device) -> bool:
    return device.type in EAGER_DEVICES
