"""What only a CUDA device can show; run by `make test-gpu`. Everything else about these paths is tested without one."""

import pytest
import torch

from training.benchmark import BenchmarkConfig, Case, alignment, sft
from training.monitoring.throughput import measured_matmul_flops
from training.shared_prefix.attention import plan, split_attention, varlen_attention, varlen_kernel

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.fixture
def packed():
    """Two pairs of 1,500 and 900 tokens of prompt, with heads as SmolLM3-3B has them."""
    ids = torch.randint(5, 500, (4, 1700))
    ids[2, :1500], ids[3, :900] = ids[0, :1500], ids[1, :900]
    lengths = torch.tensor([1700, 1000, 1640, 1100])
    mask = (torch.arange(1700) < lengths[:, None]).long()
    answered = mask * (torch.arange(1700) >= torch.tensor([1500, 900, 1500, 900])[:, None])
    return plan(ids.cuda(), mask.cuda(), answered.cuda())


def states(packed):
    return [torch.randn(1, heads, packed.tokens, 128, device="cuda", requires_grad=True) for heads in (16, 4, 4)]


def attended(attention, tensors, dtype):
    """Output and gradients in float32 of attention computed in `dtype`."""
    cast = [tensor.detach().to(dtype).requires_grad_() for tensor in tensors]
    output = attention(*cast)
    output.float().square().sum().backward()
    return [output.float(), *(tensor.grad.float() for tensor in cast)]


@pytest.mark.parametrize("kind", ["split", "varlen"])
def test_both_kinds_of_attention_are_those_of_float32(kind, packed):
    torch.manual_seed(0)
    tensors = states(packed)
    expected = attended(lambda *qkv: split_attention(*qkv, packed, None, 0.0), tensors, torch.float32)
    if kind == "split":
        ours = attended(lambda *qkv: split_attention(*qkv, packed, None, 0.0), tensors, torch.bfloat16)
    else:
        ours = attended(lambda *qkv: varlen_attention(*qkv, packed, None, varlen_kernel()), tensors, torch.bfloat16)
    for one, other in zip(ours, expected, strict=True):
        assert (one - other).norm() / other.norm() < 0.02


@pytest.mark.parametrize(
    ("dtype", "kind"), [("float32", "split"), ("float32", "auto"), ("bfloat16", "split"), ("bfloat16", "varlen")]
)
def test_a_step_over_one_prompt_is_that_of_each_row_alone(dtype, kind):
    """The comparison of log-probs that stops a run where they differ, and the loss of plain TRL."""
    sizes = {
        "hidden_size": 512,
        "intermediate_size": 1024,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    block = BenchmarkConfig(config=sizes | {"vocab_size": 1024}, device="cuda", dtype=dtype, attention=[kind])
    pair, references = Case(1500, (200, 140), False, "precomputed"), Case(1500, (100, 100, 100), False)
    for subject, case in ((alignment(block, 1), pair), (sft(block, 1), references)):
        batch, losses = subject.batch(case), {}
        subject.trainer.agrees = False
        for way in ("plain", kind):
            subject.step(way, case, batch)
            losses[way] = subject.loss(way, dict(batch)).item()
        assert subject.trainer.agrees
        assert losses[kind] == pytest.approx(losses["plain"], rel=1e-4 if dtype == "float32" else 0.02)


def test_the_cards_matmul_rate_is_one_of_a_gpu():
    assert measured_matmul_flops("cuda", torch.bfloat16) > 1e13
