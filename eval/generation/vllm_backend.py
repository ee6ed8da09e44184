"""Summaries by vLLM in this process, which batches on its own and keeps what it has read of a prompt (prefix caching).

The prompts are the token ids that the transformers back-end sees. Every request has a seed of its own. Even so the text
may differ from run to run with the batches that form: vLLM promises the same only with VLLM_BATCH_INVARIANT=1 or
VLLM_ENABLE_V1_MULTIPROCESSING=0, on the same hardware and version. What is stored is not made again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from typing import Any

from data_prep.core.records import Generation
from data_prep.core.text import first_line
from data_prep.prompts.end_tokens import before_end
from eval.decoding.pieces import Pieces
from eval.decoding.thoughts import Budget
from eval.generation.local_model import LocalModel, summary
from eval.generation.requests import GenerationRequest
from eval.generation.systems import System

CHUNK = 256  # requests handed over at once; what comes of them is stored before the next


def summaries(
    model: LocalModel, asks: Sequence[GenerationRequest], name: str, system: System, budget: Budget, dtype: str, seed: int
) -> Iterator[list[Generation]]:
    """Loads the model; then the rows of `asks`, a chunk at a time. All summaries of one card stand side by side, so its
    prompt is read once. Raises ValueError where vLLM is not installed or refuses the model."""
    try:
        from vllm import LLM, SamplingParams
    except ImportError as error:
        raise ValueError(
            f"{name} asks for the backend vllm, which is not there ({first_line(error)}): pip install -e '.[vllm]'"
        ) from None
    try:
        engine = LLM(
            model=model.place,
            revision=model.revision,
            tokenizer_revision=model.revision,
            dtype=dtype,
            seed=seed,
            tensor_parallel_size=system.tensor_parallel_size,
            enable_prefix_caching=True,
            trust_remote_code=False,
            generation_config="vllm",  # no defaults out of the model's folder: all systems decode alike
            **({"max_model_len": system.max_model_len} if system.max_model_len else {}),
        )
    except (ValueError, OSError) as error:
        raise ValueError(f'vLLM cannot load "{model.place}": {first_line(error)}; or use backend: transformers') from None
    return _written(engine, SamplingParams, model, asks, name, budget)


def _written(
    engine: Any, parameters_of: Any, model: LocalModel, asks: Sequence[GenerationRequest], name: str, budget: Budget
) -> Iterator[list[Generation]]:
    pieces = Pieces(model.tokenizer)
    ordered = sorted(asks, key=lambda ask: (len(ask.opening.text), ask.opening.card_id, ask.opening.repairs))
    for start in range(0, len(ordered), CHUNK):
        chunk = ordered[start : start + CHUNK]
        prompts = model.tokenizer([ask.opening.text for ask in chunk], add_special_tokens=False)["input_ids"]
        parameters = [
            parameters_of(
                n=1,
                temperature=ask.decoding.temperature,
                top_p=ask.decoding.top_p,
                max_tokens=budget.total,
                seed=ask.seed if ask.decoding.temperature else None,
                skip_special_tokens=False,
                stop_token_ids=list(model.end_ids),
            )
            for ask in chunk
        ]
        outputs = engine.generate([{"prompt_token_ids": ids} for ids in prompts], parameters, use_tqdm=False)
        yield [_row(model, ask, name, output, budget, pieces) for ask, output in zip(chunk, outputs, strict=True)]
    del engine  # the next system needs the GPU's memory
    gc.collect()


def _row(model: LocalModel, ask: GenerationRequest, name: str, output: Any, budget: Budget, pieces: Pieces) -> Generation:
    said = output.outputs[0]
    ids = list(said.token_ids)
    # It may leave out the end token that it stopped at.
    if said.finish_reason == "stop" and before_end(ids, model.end_ids) is None:
        ids.append(model.end_ids[0])
    ids = budget.kept(ids, pieces.text, ask.opening.said)
    return summary(model, ask, name, ids, len(output.prompt_token_ids), thinks=budget.thoughts > 0)
