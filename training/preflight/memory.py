"""How much memory a step takes at its peak, from shapes alone, asked before any weights are loaded.

Counts what autograd keeps, tensor by tensor, for a decoder of SmolLM3's kind (RMSNorm, grouped keys, gated MLP) under LoRA
on all its linear layers, with attention by sdpa or flash, which keeps no matrix of scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from data_prep.core.text import first_line
from data_prep.prompts.chat_format import thinks
from data_prep.prompts.student import count_tokens, render
from training.setup.config import Parsed
from training.setup.load import ANSWERS, torch_dtype

TILE_TOKENS, TILE_WORDS = 4096, 32768  # of trl's fused head
CANDIDATES = 8  # rows tokenised to find the longest: characters say nearly which it is
GB = 1e9


@dataclass(frozen=True)
class Longest:
    """The longest row in tokens: its prompt, and one answer for SFT or two, chosen and rejected, for alignment."""

    prompt: int
    answers: tuple[int, ...]


@dataclass(frozen=True)
class Settings:
    """What of a recipe decides over memory. Precision is in bytes; `autocast`: mixed precision on top of `dtype`."""

    dtype: int
    autocast: bool
    batch: int
    checkpointing: bool
    offloading: bool
    shared_prefix: bool
    load_in_4bit: bool
    load_in_8bit: bool
    lora_r: int
    on_gpu: bool
    processes: int
    sampled: int = 0  # GRPO's summaries that the model itself samples at a time
    vllm_bytes: int = 0  # what vLLM takes of the card, where it samples them beside the model

    @classmethod
    def of(cls, parsed: Parsed) -> Settings:
        trainer, model = parsed.trainer, parsed.model
        steps = getattr(trainer, "steps_per_generation", 0)  # GRPO's alone
        return cls(
            dtype=torch_dtype(model.dtype).itemsize,
            autocast=trainer.bf16 or trainer.fp16,
            batch=trainer.per_device_train_batch_size,
            checkpointing=bool(trainer.gradient_checkpointing),
            offloading=getattr(trainer, "activation_offloading", False),
            shared_prefix=parsed.run.shared_prefix and not steps,
            load_in_4bit=model.load_in_4bit,
            load_in_8bit=model.load_in_8bit,
            lora_r=model.lora_r,
            on_gpu=trainer.device.type == "cuda",
            processes=trainer.world_size,
            sampled=0 if steps and trainer.use_vllm else trainer.per_device_train_batch_size * steps,
            vllm_bytes=_vllm_bytes(trainer),
        )

    @property
    def quantised(self) -> bool:
        return self.load_in_4bit or self.load_in_8bit

    @property
    def computed(self) -> int:
        """Bytes of a number between layers."""
        return 2 if self.autocast else self.dtype


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on one device at the peak of a step. `adapter`: with gradients and Adam's moments; `logits`: trl's tile;
    `sampling`: what GRPO's samples take beyond the step on them."""

    weights: int
    adapter: int
    activations: int
    logits: int
    sampling: int = 0

    @property
    def total(self) -> int:
        return sum(asdict(self).values())

    def words(self) -> str:
        parts = ", ".join(f"{name} {size / GB:.1f}" for name, size in asdict(self).items() if size or name != "sampling")
        return f"{self.total / GB:.1f} GB ({parts})"


@dataclass(frozen=True)
class Shapes:
    """Widths of one decoder layer, in numbers."""

    hidden: int
    inner: int
    query: int
    key: int
    heads: int

    @classmethod
    def of(cls, config: Any) -> Shapes:
        heads = config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // heads
        keys = getattr(config, "num_key_value_heads", None) or heads
        return cls(config.hidden_size, config.intermediate_size, heads * size, keys * size, heads)

    @property
    def linears(self) -> list[tuple[int, int]]:
        """Inputs and outputs of q, k, v, o, gate, up and down."""
        hidden, inner = self.hidden, self.inner
        attention = [(hidden, self.query), (hidden, self.key), (hidden, self.key), (self.query, hidden)]
        return [*attention, (hidden, inner), (hidden, inner), (inner, hidden)]


def estimate(config: Any, settings: Settings, longest: Longest) -> MemoryEstimate:
    """Peak of one training step on a batch of rows as long as the longest. config: of transformers, of the base."""
    shapes, layers = Shapes.of(config), config.num_hidden_layers
    rows, tokens = _batch(settings, longest)
    activations, logits = _activations(shapes, layers, settings, longest, rows, tokens), _logits(config, settings, longest)
    return MemoryEstimate(
        weights=_weights(config, shapes, settings),
        adapter=_adapter(shapes, layers, settings),
        activations=activations,
        logits=logits,
        sampling=settings.vllm_bytes or max(0, _sampling(shapes, layers, settings, longest) - activations - logits),
    )


def _batch(settings: Settings, longest: Longest) -> tuple[int, int]:
    """Rows, and tokens of all rows, as the decoder sees them: one row without padding where prompts are shared."""
    rows = settings.batch * len(longest.answers)
    if settings.shared_prefix:
        return 1, settings.batch * (longest.prompt + sum(longest.answers))
    return rows, rows * (longest.prompt + max(longest.answers))


def _weights(config: Any, shapes: Shapes, settings: Settings) -> int:
    linear = config.num_hidden_layers * sum(inputs * outputs for inputs, outputs in shapes.linears)
    tables = 1 if config.tie_word_embeddings else 2
    other = tables * config.vocab_size * shapes.hidden + (2 * config.num_hidden_layers + 1) * shapes.hidden
    if settings.load_in_4bit:
        return linear // 2 + linear // 64 * 4 + other * settings.dtype  # a float32 scale for every 64 weights
    if settings.load_in_8bit:
        return linear + other * settings.dtype
    copies = 0
    if settings.autocast and settings.dtype == 4:  # autocast keeps the half-precision copy of every frozen weight it used
        copies = 2 * linear // (config.num_hidden_layers if settings.checkpointing else 1)
    return (linear + other) * settings.dtype + copies


def _adapter(shapes: Shapes, layers: int, settings: Settings) -> int:
    """Weights, gradients and two moments, float32 but for a quantised base; one more gradient where processes share them."""
    numbers = settings.lora_r * layers * sum(inputs + outputs for inputs, outputs in shapes.linears)
    copies = 2 if settings.autocast and not settings.quantised else 0  # in half precision, kept for the backward pass
    return numbers * ((4 + (settings.processes > 1)) * (2 if settings.quantised else 4) + copies)


def _activations(shapes: Shapes, layers: int, settings: Settings, longest: Longest, rows: int, tokens: int) -> int:
    size, hidden, inner = settings.computed, shapes.hidden, shapes.inner
    layer = _layer(shapes, settings, longest, rows, tokens)
    backward = tokens * (4 * inner * size + 3 * hidden * 4)  # gradients of the layer that the backward pass is in
    ends = tokens * (2 * hidden * 4 + hidden * size)  # embedding, last norm, last states
    if settings.offloading:
        return layer + backward + ends
    if settings.checkpointing:
        return layers * tokens * hidden * max(settings.dtype, size) + layer + backward + ends
    return layers * layer + backward + ends


def _layer(shapes: Shapes, settings: Settings, longest: Longest, rows: int, tokens: int) -> int:
    """What autograd keeps of one layer, in bytes."""
    size, hidden, inner, query = settings.computed, shapes.hidden, shapes.inner, shapes.query
    padded = rows > 1
    keys = query if padded else shapes.key  # with a mask, grouped keys are repeated for every head
    norms = 2 * (hidden + 1) * 4  # computed in float32
    attention = (2 * query + 2 * keys) * size + shapes.heads * 4
    gates = 3 * inner * size
    # Adapters of the base's own precision read the tensor that is there; others each read a copy of it.
    if settings.quantised or (settings.dtype == 4 and not settings.autocast):
        read, inputs = size, 2 * hidden + inner
    else:
        read, inputs = (2 if settings.autocast else 4), 5 * hidden + query + inner
    inputs += len(shapes.linears) * settings.lora_r  # and the second matrix reads what the first gives
    total = tokens * (norms + attention + gates + inputs * read)
    if padded:
        length = tokens // rows
        total += rows * length * length * size  # sdpa keeps the mask as numbers
    if settings.shared_prefix:
        for answer in longest.answers[1:]:  # keys and values of the prompt again
            total += settings.batch * (longest.prompt + answer) * 2 * shapes.key * size
    return total


def _logits(config: Any, settings: Settings, longest: Longest) -> int:
    """trl's tile with what is worked out beside it, and the states that it scores with their gradient."""
    scored = settings.batch * sum(longest.answers)  # see shared_prefix/answer_head.py
    height, width = min(scored, TILE_TOKENS), min(config.vocab_size, TILE_WORDS)
    beside = 0 if settings.on_gpu else 8 * height * width * 4  # its torch form keeps that many copies in float32
    return height * TILE_WORDS * settings.computed + beside + scored * config.hidden_size * (settings.computed + 4)


def _sampling(shapes: Shapes, layers: int, settings: Settings, longest: Longest) -> int:
    """Keys and values of all samples at full length, and of the prompts' pass what one layer holds at a time."""
    length = longest.prompt + sum(longest.answers)
    cache = layers * length * 2 * shapes.key
    layer = longest.prompt * (2 * shapes.hidden + 2 * shapes.query + 3 * shapes.inner)
    return settings.sampled * (cache + layer) * settings.computed


def _vllm_bytes(trainer: Any) -> int:
    if not getattr(trainer, "use_vllm", False) or trainer.vllm_mode != "colocate" or trainer.device.type != "cuda":
        return 0
    import torch

    return int(trainer.vllm_gpu_memory_utilization * torch.cuda.mem_get_info(trainer.device)[1])


def check_memory(parsed: Parsed, tokenizer: Any, rows: Any, kind: str, answers: Sequence[str] | None = None) -> None:
    """Prints the estimate for the longest row, or raises ValueError that names a setting with which the step would fit.

    rows: a `datasets.Dataset` of the training rows. kind: "sft" or "align". Loads the base's config and no weights.
    answers: columns, of `kind` where none are given; [] where they are sampled.
    """
    from transformers import AutoConfig

    name = parsed.model.model_name_or_path
    try:
        config = AutoConfig.from_pretrained(name, revision=parsed.model.model_revision)
    except OSError as error:
        raise ValueError(f'cannot load the model "{name}": {first_line(error)}') from None
    settings, longest = Settings.of(parsed), find_longest(rows, tokenizer, ANSWERS[kind] if answers is None else answers)
    if not longest.answers:
        longest = Longest(longest.prompt, (parsed.trainer.max_completion_length,))
    free = free_memory(parsed)
    needed = estimate(config, settings, longest)
    place = "the GPU" if settings.on_gpu else "this machine"
    size = f"about {needed.words()} at the longest row, {longest.prompt} + {' + '.join(map(str, longest.answers))} tokens"
    if needed.total <= free:
        if parsed.trainer.process_index == 0:
            print(f"{kind}: a step takes {size}; {place} has {free / GB:.1f} GB free")
        return
    raise ValueError(
        f"a step takes {size}, and {place} has {free / GB:.1f} GB free; {advice(config, parsed, longest, free)}. Where the "
        "estimate is wrong: memory_check: false"
    )


def find_longest(rows: Any, tokenizer: Any, answers: Sequence[str]) -> Longest:
    """The row with the most tokens among those with the most characters."""

    def characters(index: int) -> int:
        row = rows[index]
        return sum(len(turn["content"]) for column in ("prompt", *answers) for turn in row[column])

    def tokens(index: int) -> Longest:
        row = rows[index]
        lengths = (count_tokens(row[answer][0]["content"], tokenizer) + 2 for answer in answers)  # end token, newline
        think = thinks(row.get("chat_template_kwargs"))
        return Longest(count_tokens(render(row["prompt"], tokenizer, think), tokenizer), tuple(lengths))

    candidates = sorted(range(len(rows)), key=characters, reverse=True)[:CANDIDATES]
    return max(map(tokens, candidates), key=lambda found: found.prompt + sum(found.answers))


def free_memory(parsed: Parsed) -> int:
    """Bytes that this process may take: of its GPU, or its share of the machine's memory."""
    import psutil
    import torch

    if parsed.trainer.device.type == "cuda":
        return torch.cuda.mem_get_info(parsed.trainer.device)[0]
    return psutil.virtual_memory().available // parsed.trainer.world_size


def advice(config: Any, parsed: Parsed, longest: Longest, free: int) -> str:
    """The first setting, alone or with those before it, that makes the step fit; else the memory that they all need."""
    settings = Settings.of(parsed)
    savers = list(_savers(parsed, settings, longest))
    for tried in [*([saver] for saver in savers), *(savers[: count + 1] for count in range(1, len(savers)))]:
        changes = {name: value for _, change in tried for name, value in change.items()}
        if (saved := estimate(config, replace(settings, **changes), longest)).total <= free:
            return f"set {' and '.join(words for words, _ in tried)}: then it takes about {saved.words()}"
    every = {name: value for _, change in savers for name, value in change.items()}
    least = estimate(config, replace(settings, **every), longest).total / GB
    place = "a GPU with" if settings.on_gpu else "a machine with"
    also = f" even with {' and '.join(words for words, _ in savers)}" if savers else ""
    return f"use {place} at least {least:.0f} GB free{also}, or shorter prompts: examples.max_prompt_tokens of the data recipe"


def _savers(parsed: Parsed, settings: Settings, longest: Longest) -> Iterator[tuple[str, dict[str, Any]]]:
    if not settings.checkpointing:
        yield "gradient_checkpointing: true", {"checkpointing": True}
    if settings.batch > 1:
        steps = settings.batch * parsed.trainer.gradient_accumulation_steps
        yield f"per_device_train_batch_size: 1 and gradient_accumulation_steps: {steps}", {"batch": 1}
    if settings.batch * len(longest.answers) > 1 and not parsed.run.shared_prefix:
        yield "shared_prefix: true", {"shared_prefix": True}
    if not settings.quantised:
        yield "load_in_4bit: true", {"load_in_4bit": True}
