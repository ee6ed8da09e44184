"""In which precision this machine multiplies fastest: found out, so that no recipe has to ask what processor it has."""

from __future__ import annotations

BFLOAT16_CPU = ("amx_bf16", "avx512_bf16", "bf16")  # x86 by tiles or vectors, and Arm's


def fast_dtype(device: str = "cpu") -> str:
    """bfloat16 where `device` multiplies in it, else float32: a CPU without such arithmetic is several times slower in bfloat16."""
    import torch

    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    able = torch.cpu.get_capabilities()
    return "bfloat16" if any(able.get(name) for name in BFLOAT16_CPU) else "float32"
