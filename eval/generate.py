"""Writes every system's summaries of the held-out cards; for pairs, the SFT model's of training cards, and its second tries.

    python -m eval.generate --config recipes/demo/eval.yaml
    python -m eval.generate --config recipes/demo/eval.yaml --stage sample
    python -m eval.generate --config recipes/demo/eval.yaml --stage repair

Reads data/heldout.jsonl (or data/sampling.jsonl). Writes eval/generations/<system>.jsonl (or data/samples.jsonl for the
first system, which is the model to be aligned, and data/samples.<system>.jsonl for the others). `repair` reads data/samples.jsonl
too, keeps each failing sample up to its first fault, lets the model go on from there, and writes data/repairs.jsonl.
The same prompt and budget for all. Batches have a frozen order and a seed each: a run that was killed keeps its whole
batches, does the broken one again, and ends with the same text.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from data_prep.manifest import Manifest, content_hash
from data_prep.prompts import render
from data_prep.recipe import Block, Recipe, command, exit_on_mistake
from data_prep.schema import Generation, HeldOut, read_jsonl, samples_of, sha256_text, to_json, write_jsonl
from eval.baselines import BASELINES
from eval.repair import beginnings


class GenerateConfig(Block):
    systems: dict[str, str] = {}
    """Name -> model: a folder, a Hub id, or `baseline:lead`, `baseline:front_matter`. `{run_dir}` stands for the run."""
    cards: int | None = None
    """The first so many cards only."""
    batch_size: int = 8
    """Prompts per batch; part of what a sampled text depends on."""
    max_new_tokens: int = 1_200
    """A summary that is not finished by then has the finish reason "length" and fails."""
    samples: int = 1
    """Summaries per card. More than one needs a temperature above 0."""
    temperature: float = 0.0
    """0 is greedy. SmolLM3's own evaluation samples at 0.6 with top_p 0.95."""
    top_p: float = 1.0
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    device: str = "auto"
    """`auto` is CUDA where there is one, else the CPU."""
    threads: int | None = None
    """CPU threads of torch."""


@dataclass(frozen=True)
class Opening:
    """What the model is to go on from: a card's prompt, and the beginning of a summary that is kept, if any."""

    card_id: str
    prompt: str
    begun: str = ""
    repairs: str = ""  # key of the sample that `begun` is from

    @property
    def text(self) -> str:
        return self.prompt + self.begun


@dataclass(frozen=True)
class Batch:
    """Openings of one batch, the number of their sample, and the batch's own seed."""

    number: int
    seed: int
    openings: list[Opening]
    sample: int


def main(recipe: Recipe[GenerateConfig]) -> None:
    block = recipe.block
    if block.samples > 1 and block.temperature == 0:
        raise ValueError(
            f"{recipe.stage}.samples is {block.samples} at temperature 0: all would be the same; set a temperature"
        )
    source = recipe.run_dir / "data" / ("heldout.jsonl" if recipe.stage == "generate" else "sampling.jsonl")
    samples = [recipe.run_dir / "data" / "samples.jsonl"] if recipe.stage == "repair" else []
    if recipe.stage == "repair" and len(block.systems) > 1:
        raise ValueError(
            f"repair.systems names {', '.join(block.systems)}; only the one that made data/samples.jsonl can go on"
        )
    if not block.systems:
        if recipe.stage != "repair":
            raise ValueError(f'{recipe.stage}.systems names no model; add for example {{sft: "{{run_dir}}/sft-merged"}}')
        write_jsonl(store_of(recipe, ""), [])
        print("repair: no system named, so nothing is sampled again")
        return
    cards: list[HeldOut] = []
    for system, model in block.systems.items():
        place = model.replace("{run_dir}", str(recipe.run_dir))
        output = store_of(recipe, system)
        manifest = Manifest(
            output.with_suffix(".manifest.json"),
            f"{recipe.stage} {system}",
            {"seed": recipe.seed, "model": model, **block.model_dump(exclude={"systems", "threads"})},
            [source, *samples, *([Path(place)] if Path(place).is_dir() else [])],
            [output],
        )
        if manifest.is_done():
            continue
        cards = cards or list(read_jsonl(source, HeldOut))[: block.cards]
        if model.startswith("baseline:"):
            write_jsonl(output, baseline(system, model, cards))
        else:
            generate(system, place, cards, output, recipe)
        count = sum(1 for _ in read_jsonl(output, Generation))
        manifest.write(summaries=count)
        print(f"{recipe.stage}: {count} summaries by {system} in {output}")


def store_of(recipe: Recipe[GenerateConfig], system: str) -> Path:
    if recipe.stage == "repair":
        return recipe.run_dir / "data" / "repairs.jsonl"
    if recipe.stage == "sample":  # the first system is the SFT model, the others are smaller ones to set it against
        first = system == next(iter(recipe.block.systems))
        return recipe.run_dir / "data" / ("samples.jsonl" if first else f"samples.{system}.jsonl")
    return recipe.run_dir / "eval" / "generations" / f"{system}.jsonl"


def baseline(system: str, model: str, cards: list[HeldOut]) -> Iterator[Generation]:
    name = model.partition(":")[2]
    if name not in BASELINES:
        raise ValueError(f'"{model}" is no baseline; known: {", ".join(f"baseline:{known}" for known in BASELINES)}')
    for card in cards:
        text = BASELINES[name](card)
        yield Generation(sha256_text(f"{model}\0{card.source}"), card.id, system, text, "stop", 0, 0)


def generate(system: str, place: str, cards: list[HeldOut], output: Path, recipe: Recipe[GenerateConfig]) -> None:
    """Appends batch by batch to `output.part`; renames it when the last batch is in."""
    import torch  # here, so that a finished stage says so without five seconds of import

    block = recipe.block
    if block.threads:
        torch.set_num_threads(block.threads)
    tokenizer, model = load_model(place, block)
    openings = list(openings_of(cards, tokenizer, recipe))
    identity = {
        "weights": content_hash(Path(place)) or place,
        "seed": recipe.seed,
        **block.model_dump(exclude={"systems", "threads"}),
    }
    batches = list(plan(openings, block, recipe.seed))
    store = output.with_name(output.name + ".part")
    finished = whole_batches(store, batches, identity)
    if finished:
        print(f"{recipe.stage}: {finished} of {len(batches)} batches of {system} are there already")
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(store, "a", encoding="utf-8") as handle,
        tqdm(total=len(batches), initial=finished, desc=f"{recipe.stage} {system}", unit=" batches") as progress,
    ):
        for batch in batches[finished:]:
            torch.manual_seed(batch.seed)
            rows = run_batch(model, tokenizer, batch, block, system, identity)
            handle.write("".join(to_json(row) + "\n" for row in rows))
            handle.flush()
            os.fsync(handle.fileno())
            progress.update()
    os.replace(store, output)


def openings_of(cards: list[HeldOut], tokenizer: Any, recipe: Recipe[GenerateConfig]) -> Iterator[Opening]:
    """The cards' prompts; for repairs, those of each failing sample with what it said before its first fault."""
    prompts = {card.id: render(card.prompt, tokenizer) for card in cards}
    if recipe.stage != "repair":
        yield from (Opening(card.id, prompts[card.id]) for card in cards)
        return
    wanted = {card.id for card in cards}
    store = recipe.run_dir / "data" / "samples.jsonl"
    everybody = list(read_jsonl(recipe.run_dir / "data" / "sampling.jsonl", HeldOut))
    samples = [(card, own) for card, own in samples_of(everybody, store) if card.id in wanted]
    for card, sample, begun in beginnings(samples, prompts, tokenizer):
        yield Opening(card.id, prompts[card.id], begun, sample.key)


def plan(openings: list[Opening], block: GenerateConfig, seed: int) -> Iterator[Batch]:
    """Prompts of like length share a batch, which is frozen by content: the same cards give the same batches."""
    ordered = sorted(openings, key=lambda opening: (len(opening.text), opening.card_id, opening.repairs))
    number = 0
    for sample in range(block.samples):
        for start in range(0, len(ordered), block.batch_size):
            yield Batch(number, int(sha256_text(f"{seed}:{number}")[:8], 16), ordered[start : start + block.batch_size], sample)
            number += 1


def whole_batches(store: Path, batches: list[Batch], identity: dict[str, Any]) -> int:
    """How many batches lie in `store` whole. What follows them (a broken batch, another model's rows) is removed."""
    if not store.exists():
        return 0
    lines = store.read_bytes().splitlines(keepends=True)
    finished, kept = 0, 0
    for batch in batches:
        wanted = [key_of(opening, batch, identity) for opening in batch.openings]
        if [_key(line) for line in lines[kept : kept + len(wanted)]] != wanted:
            break
        finished, kept = finished + 1, kept + len(wanted)
    with open(store, "r+b") as handle:
        handle.truncate(sum(map(len, lines[:kept])))
    return finished


def _key(line: bytes) -> str | None:
    try:
        return json.loads(line)["key"] if line.endswith(b"\n") else None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return None


def key_of(opening: Opening, batch: Batch, identity: dict[str, Any]) -> str:
    what = [opening.card_id, sha256_text(opening.text), *([opening.repairs] if opening.repairs else [])]
    parts = [*what, json.dumps(identity, sort_keys=True), str(batch.number), str(batch.sample)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def load_model(place: str, block: GenerateConfig) -> tuple[Any, Any]:
    """Tokenizer (padding on the left, as batched generation needs) and model in evaluation mode."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = ("cuda" if torch.cuda.is_available() else "cpu") if block.device == "auto" else block.device
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(place, dtype=getattr(torch, block.dtype), use_safetensors=True)
    except OSError as error:
        raise ValueError(
            f'cannot load the model "{place}": {str(error).splitlines()[0]}; run the stage that makes it, or correct systems'
        ) from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, model.to(device).eval()


def run_batch(
    model: Any,
    tokenizer: Any,
    batch: Batch,
    block: GenerateConfig,
    system: str,
    identity: dict[str, Any],
) -> list[Generation]:
    import torch

    texts = [opening.text for opening in batch.openings]
    encoded = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    sampling = (
        {"do_sample": True, "temperature": block.temperature, "top_p": block.top_p, "top_k": 0}
        if block.temperature
        else {"do_sample": False}
    )
    with torch.inference_mode():
        output = model.generate(
            **encoded,
            max_new_tokens=block.max_new_tokens,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **sampling,
        )
    width = encoded["input_ids"].shape[1]
    rows = []
    for opening, ids, mask in zip(batch.openings, output[:, width:].tolist(), encoded["attention_mask"], strict=True):
        length = ids.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in ids else None
        rows.append(
            Generation(
                key=key_of(opening, batch, identity),
                id=opening.card_id,
                system=system,
                # Special tokens stay visible: a summary that spells one is faulty and must look it.
                text=(opening.begun + tokenizer.decode(ids[:length], skip_special_tokens=False)).strip(),
                finish_reason="length" if length is None else "stop",
                prompt_tokens=int(mask.sum()),
                completion_tokens=len(ids) if length is None else length + 1,
                sample=batch.sample,
                repairs=opening.repairs,
            )
        )
    return rows


def stage_of(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """`--stage sample|repair|generate` out of the arguments."""
    rest = list(arguments)
    if "--stage" not in rest:
        return "generate", rest
    position = rest.index("--stage")
    stage = rest[position + 1] if position + 1 < len(rest) else ""
    if stage not in ("sample", "repair", "generate"):
        raise ValueError(f'--stage is "{stage}", expected sample, repair or generate')
    return stage, rest[:position] + rest[position + 2 :]


def run() -> None:
    stage, sys.argv[1:] = stage_of(sys.argv[1:])
    command(stage, GenerateConfig, main, __doc__, "eval.generate")


if __name__ == "__main__":
    exit_on_mistake(run, "eval.generate")
