"""Writes every system's summaries of the held-out cards and of the probes; for pairs, the SFT model's of training cards.

    python -m eval.generate --config recipes/demo/eval.yaml
    python -m eval.generate --config recipes/demo/eval.yaml --stage probe
    python -m eval.generate --config recipes/demo/eval.yaml --stage sample
    python -m eval.generate --config recipes/demo/eval.yaml --stage repair
    accelerate launch --config_file recipes/accelerate/ddp.yaml -m eval.generate --config recipes/smollm3-3b/eval.yaml

| stage    | reads                               | writes                                                              |
|----------|-------------------------------------|---------------------------------------------------------------------|
| generate | data/heldout.jsonl                  | eval/generations/<system>.jsonl                                     |
| probe    | data/probes.jsonl                   | eval/probe_generations/<system>.jsonl                               |
| sample   | data/sampling.jsonl                 | data/samples.jsonl for the first system, which is the model to be aligned, data/samples.<system>.jsonl for the others |
| repair   | data/sampling.jsonl, samples.jsonl  | data/repairs.jsonl: failing samples up to their first fault, and on from there |

The same prompt and budget for all systems. A summary is kept under a key of all that can change its text, in a store
beside the file (`.part`), and never made twice: a run that was killed goes on, one with more cards, seeds or systems makes
what is missing. Batches have a seed each, from their content, so the end is the same however often and in however many
processes a run was started. A launch of several processes shares out the batches of models run by transformers.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from tqdm import tqdm

from data_prep.chat.endpoint import Endpoint
from data_prep.chat.loops import LOOPS_VERSION
from data_prep.core.dtype import fast_dtype
from data_prep.core.files import read_jsonl, samples_of, sha256_text, write_jsonl
from data_prep.core.lock import alone
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import Block, Recipe, command, exit_on_mistake
from data_prep.core.records import Generation, HeldOut, Probe
from data_prep.prompts.chat_format import ChatFormat, chat_format
from data_prep.prompts.student import fitted, load_tokenizer
from eval.decoding.grounded import GROUNDED_VERSION, describe_interventions, interventions_of
from eval.decoding.sampling import DRAWS_VERSION, GREEDY, Decoding
from eval.decoding.thoughts import Budget
from eval.generation import transformers_backend, vllm_backend
from eval.generation.baselines import BASELINES
from eval.generation.local_model import LocalModel, check_lengths, open_model, render_for
from eval.generation.processes import Processes, process_group
from eval.generation.repair import beginnings
from eval.generation.requests import Batch, GenerationRequest, PromptPrefix, cache_key, plan
from eval.generation.store import appending, assemble, read_store
from eval.generation.systems import BASELINE, System, check_names


class ProbeConfig(Block):
    systems: dict[str, System] = {}
    """Name -> model: a folder, a Hub id, `baseline:lead|front_matter|extractive|reference`, or a block {model, revision,
    backend: transformers|vllm|endpoint, grounded: true, think: true, endpoint: {...}}. `{run_dir}` stands for the run."""
    cards: int | None = Field(None, ge=1)
    """The first so many cards or probes only."""
    batch_size: int = Field(8, ge=1)
    """Rows per batch of transformers, samples of a card side by side. What they pad each other by is in the rounding of a text."""
    max_new_tokens: int = Field(1_200, ge=1)
    """A summary that is not finished by then has the finish reason "length" and fails; one that repeats itself is ended at once
    and has "loop", where a server or vLLM writes when it comes back. Tokens that grounded decoding gives up are not counted."""
    max_thought_tokens: int = Field(400, ge=1)
    """Of systems with think: true, before the summary and beside its tokens. Thoughts that have no end by then leave no summary, and
    the finish reason "thought"; a server counts both together."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "bfloat16"
    """auto: bfloat16 where the machine multiplies in it, else float32."""
    device: str = "auto"
    """Of transformers. `auto` is CUDA where there is one, else the CPU."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of torch."""


class SampleConfig(ProbeConfig):
    samples: int = Field(1, ge=1)
    """Summaries per card, each with a seed of its own. More than one needs a temperature above 0."""
    temperature: float = Field(0.6, ge=0, le=2)
    """0 is greedy. SmolLM3's own evaluation samples at 0.6 with top_p 0.95."""
    top_p: float = Field(0.95, gt=0, le=1)


class GenerateConfig(SampleConfig):
    greedy: bool = True
    """One greedy summary per card: the figure to watch for regressions."""
    samples: int = Field(0, ge=0)
    """Sampled summaries per card, each with a seed of its own: what the headline figures rest on where there are any."""


CONFIGS: dict[str, type[ProbeConfig]] = {
    "generate": GenerateConfig,
    "probe": ProbeConfig,
    "sample": SampleConfig,
    "repair": SampleConfig,
}
SOURCES = {"generate": "heldout.jsonl", "probe": "probes.jsonl", "sample": "sampling.jsonl", "repair": "sampling.jsonl"}


def main(recipe: Recipe[Any]) -> None:
    stage, systems = recipe.stage, recipe.block.systems
    decodings = decodings_of(stage, recipe.block)
    check_names(stage, systems)
    if stage == "repair" and len(systems) > 1:
        raise ValueError(f"repair.systems names {', '.join(systems)}; only the one that made data/samples.jsonl can go on")
    with process_group() as processes:
        if not systems:
            if stage != "repair":
                raise ValueError(f'{stage}.systems names no model; add for example {{sft: "{{run_dir}}/sft-merged"}}')
            if processes.is_main:
                write_jsonl(output_of(recipe, ""), [])
                print("repair: no system named, so nothing is sampled again")
            return
        for name, system in systems.items():
            check_system(stage, name, system, processes)
        cards = functools.cache(lambda: read_cards(recipe))
        for name, system in systems.items():
            Job(recipe, name, system, decodings, processes, cards).run()


def decodings_of(stage: str, block: Any) -> list[Decoding]:
    """The ways in which each card is summarised, in the order of the rows. Raises ValueError where they make no sense."""
    if stage == "probe":
        return [GREEDY]
    if block.temperature == 0 and block.samples > 1:
        raise ValueError(f"{stage}.samples is {block.samples} at temperature 0: all would be the same; set a temperature")
    sampled = [Decoding("sampled", sample, float(block.temperature), float(block.top_p)) for sample in range(block.samples)]
    if block.temperature == 0 and sampled:
        return [GREEDY]
    found = [GREEDY] * getattr(block, "greedy", False) + sampled
    if not found:
        raise ValueError(f"{stage}.greedy is false and {stage}.samples is 0, so nothing would be written; set one of them")
    return found


def check_system(stage: str, name: str, system: System, processes: Processes) -> None:
    """Raises ValueError for what is wrong however the cards look, before any model is loaded."""
    if system.is_baseline:
        known = [f"{BASELINE}{known}" for known in BASELINES]
        if system.model not in known:
            raise ValueError(f'"{system.model}" is no baseline; known: {", ".join(known)}')
        if stage == "probe" and system.model == f"{BASELINE}reference":
            raise ValueError(f"nobody wrote a reference for a changed card; leave {name} out of probe.systems")
    if stage == "repair" and (system.is_baseline or system.endpoint):
        raise ValueError(f"repair.systems: {name} cannot go on from a beginning; name a folder or a Hub id")
    if system.think and stage in ("sample", "repair"):
        raise ValueError(
            f"{stage}.systems: {name} is to think, but samples are for pairs and best rows, which are without thoughts; leave out think"
        )
    if system.backend == "vllm" and processes.count > 1:
        raise ValueError(
            f"{name} is run by vLLM, which shares out its work itself; start one process (python -m eval.generate) and set "
            f"tensor_parallel_size, which is {system.tensor_parallel_size}"
        )


def read_cards(recipe: Recipe[Any]) -> list[HeldOut]:
    """The stage's cards; a probe passes for a card without a reference. Raises ValueError where there is none."""
    source = recipe.run_dir / "data" / SOURCES[recipe.stage]
    if recipe.stage == "probe":
        probes = read_jsonl(source, Probe)
        cards = [HeldOut(probe.id, probe.prompt, probe.source, "", probe.family) for probe in probes]
    else:
        cards = list(read_jsonl(source, HeldOut))
    if not cards and recipe.stage in ("generate", "probe"):
        before = "data_prep.examples" if recipe.stage == "generate" else "eval.probes"
        raise ValueError(f"{source} holds no card; data/rejected.jsonl says why cards were set aside, {before} writes it")
    return cards[: recipe.block.cards]


def output_of(recipe: Recipe[Any], system: str) -> Path:
    data, evaluation = recipe.run_dir / "data", recipe.run_dir / "eval"
    if recipe.stage == "repair":
        return data / "repairs.jsonl"
    if recipe.stage == "sample":  # the first system is the SFT model, the others are smaller ones to set it against
        first = system == next(iter(recipe.block.systems))
        return data / ("samples.jsonl" if first else f"samples.{system}.jsonl")
    return evaluation / ("probe_generations" if recipe.stage == "probe" else "generations") / f"{system}.jsonl"


@dataclass(frozen=True)
class Work:
    """All summaries of a system in the order of its file, and the batches of those that are missing."""

    asks: list[GenerationRequest]
    batches: list[Batch]
    model: LocalModel | None  # None for an endpoint
    identity: str  # of the model


@dataclass(frozen=True)
class Job:
    """One system of a stage, from cards to file. The main process decides what is to be done and writes the file."""

    recipe: Recipe[Any]
    name: str
    system: System
    decodings: list[Decoding]
    processes: Processes
    cards: Callable[[], list[HeldOut]]

    @property
    def output(self) -> Path:
        return output_of(self.recipe, self.name)

    @functools.cached_property
    def chat(self) -> ChatFormat:
        """Of the model behind an endpoint."""
        place = self.system.tokenizer
        return (
            chat_format(load_tokenizer(place, f"{self.recipe.stage}.systems.{self.name}.tokenizer"), self.system.think)
            if place
            else ChatFormat()
        )

    @property
    def budget(self) -> Budget:
        block = self.recipe.block
        return Budget(block.max_new_tokens, block.max_thought_tokens if self.system.think else 0)

    @property
    def endpoint(self) -> Endpoint:
        """With the arguments that its template takes, where the recipe does not set them."""
        given = self.system.endpoint
        assert given  # asked for where the system has one
        kwargs = {"chat_template_kwargs": self.chat.kwargs} if self.chat.kwargs else {}
        return given.model_copy(update={"extra_body": kwargs | given.extra_body})

    @property
    def dtype(self) -> str:
        block = self.recipe.block
        return fast_dtype(transformers_backend.device_of(block.device, 0)) if block.dtype == "auto" else block.dtype

    @property
    def title(self) -> str:
        return f"{self.recipe.stage} {self.name}"

    def rules(self, decoding: Decoding) -> dict[str, int]:
        """Versions of what ends, bends and draws: under others the same model writes another text. vLLM and servers draw by themselves."""
        draws = {"draws": DRAWS_VERSION} if decoding.temperature and self.system.backend == "transformers" else {}
        return {"loops": LOOPS_VERSION} | ({"grounded": GROUNDED_VERSION} if self.system.grounded else {}) | draws

    @property
    def manifest(self) -> Manifest:
        recipe, data = self.recipe, self.recipe.run_dir / "data"
        inputs = [data / SOURCES[recipe.stage], *([data / "samples.jsonl"] if recipe.stage == "repair" else [])]
        place = Path(self.system.place(recipe.run_dir))
        apart = {"systems", "threads", "device", *([] if self.system.think else ["max_thought_tokens"])}
        how = recipe.block.model_dump(exclude=apart)
        rules = {name: version for decoding in self.decodings for name, version in self.rules(decoding).items()}
        return Manifest(
            self.output.with_suffix(".manifest.json"),
            self.title,
            {"seed": recipe.seed, "system": self.system.model_dump(), **how, **rules},
            [*inputs, *([place] if self.system.model and place.is_dir() else [])],
            [self.output],
        )

    def run(self) -> None:
        with ExitStack() as held:
            work = self.processes.share(self.prepare(held) if self.processes.is_main else None)
            if work is None:
                return
            failed: list[str] = []
            start = time.monotonic()
            if share := self.share_of(work):
                self.make(work.model, share, failed)
            self.processes.wait()
            if self.processes.is_main:
                self.finish(work, failed, time.monotonic() - start)

    def prepare(self, held: ExitStack) -> Work | None:
        """What is to be done; None where that is nothing. The output is held until the job ends."""
        if self.manifest.is_done():
            return None
        cards = self.cards()
        held.enter_context(alone(self.output))
        if self.system.is_baseline:
            write_jsonl(self.output, baseline(self.name, self.system.model, cards))
            self.announce(list(read_jsonl(self.output, Generation)), self.system.model)
            return None
        block = self.recipe.block
        how: dict[str, Any] = {"backend": self.system.backend, "max_new_tokens": block.max_new_tokens}
        if self.system.think:
            how |= {"max_thought_tokens": block.max_thought_tokens}
        if self.system.endpoint:
            from eval.generation import endpoint_backend

            model = None
            how |= endpoint_backend.identity(self.endpoint) | {"system": self.name}  # two servers may give one name
            openings = [PromptPrefix(card.id, fitted(card.prompt, self.chat), "") for card in cards]
        else:
            model = open_model(self.system.place(self.recipe.run_dir), self.system.revision)
            how |= {"model": model.identity, "dtype": self.dtype}
            openings = list(openings_of(self.recipe, cards, model, self.system))
            check_lengths(model, openings, self.recipe.stage, self.budget.total, self.system.max_model_len)
        if self.system.backend == "transformers":
            how |= {"batch_size": block.batch_size}  # the padding that others bring is in the rounding
        seed = 0 if self.system.endpoint else self.recipe.seed  # a server never hears of it
        ways = [(one, way) for one in openings for way in self.decodings]
        asks = [GenerationRequest(one, way, cache_key(one, way, how | self.rules(way), seed), seed) for one, way in ways]
        stored = read_store(self.output)
        missing = [ask for ask in asks if ask.key not in stored]
        if asks and len(missing) < len(asks):
            print(f"{self.recipe.stage}: {len(asks) - len(missing)} of {len(asks)} summaries by {self.name} are there already")
        return Work(asks, plan(missing, block.batch_size), model, how["model"])

    def share_of(self, work: Work) -> list[Batch]:
        """This process's batches of what is missing; vLLM and servers share out their work themselves."""
        if self.system.backend != "transformers":
            return work.batches if self.processes.is_main else []
        return work.batches[self.processes.rank :: self.processes.count]

    def make(self, model: LocalModel | None, share: list[Batch], failed: list[str]) -> None:
        """Stores what comes of `share`, as it comes."""
        asks = [ask for batch in share for ask in batch.asks]
        made = self.rows(model, share, asks, failed)
        tokens, start = 0, time.monotonic()
        with (
            appending(self.output, self.processes.rank) as put,
            tqdm(total=len(asks), desc=self.title, unit=" summaries", disable=not self.processes.is_main) as progress,
        ):
            for rows in made:
                put(rows)
                tokens += sum(row.completion_tokens for row in rows)
                progress.set_postfix_str(f"{tokens / (time.monotonic() - start):,.0f} tokens/s", refresh=False)
                progress.update(len(rows))

    def rows(
        self, model: LocalModel | None, share: list[Batch], asks: list[GenerationRequest], failed: list[str]
    ) -> Iterator[list[Generation]]:
        block, budget = self.recipe.block, self.budget
        if self.system.endpoint:
            from eval.generation import endpoint_backend

            cache = self.output.with_suffix(".sqlite")
            return endpoint_backend.summaries(self.endpoint, asks, self.name, budget.total, cache, failed)
        assert model
        if self.system.backend == "vllm":
            return vllm_backend.summaries(model, asks, self.name, self.system, budget, self.dtype, self.recipe.seed)
        transformers_backend.use_threads(block.threads)
        device = transformers_backend.device_of(block.device, self.processes.local_rank)
        return transformers_backend.summaries(model, share, self.name, budget.page, self.dtype, device, budget.thoughts)

    def finish(self, work: Work, failed: list[str], seconds: float) -> None:
        if failed:
            stage = self.recipe.stage
            mend = f"correct {stage}.systems.{self.name}.endpoint (its max_tokens is {stage}.max_new_tokens)"
            raise ValueError(
                f"{len(failed)} of {len(work.asks)} summaries by {self.name} got no answer, first {failed[0]}; answers are kept: "
                f"run the same command again, or {f'raise {stage}.max_thought_tokens' if self.system.think else mend}"
            )
        stored = read_store(self.output)
        made = sum(stored[ask.key].completion_tokens for batch in work.batches for ask in batch.asks)
        speed = f", {made:,} tokens at {made / seconds:,.0f} tokens/s" if made else ""
        self.announce(assemble(self.output, work.asks, stored), work.identity, speed)

    def announce(self, rows: list[Generation], identity: str, speed: str = "") -> None:
        """Counts, and the manifest that says that the file is whole."""
        cut, looped = (sum(row.finish_reason == reason for row in rows) for reason in ("length", "loop"))
        thought = sum(bool(row.thinking) for row in rows)
        endless = sum(row.finish_reason == "thought" for row in rows)
        changed = {"interventions": interventions_of(rows)} if self.system.grounded else {}
        self.manifest.write(model=identity, summaries=len(rows), cut=cut, loops=looped, thinking=thought, **changed)
        counts = (
            f"{len(rows)} summaries by {self.name} in {self.output}: {cut} cut by the token limit, {looped} ended in a loop, "
            f"{thought} with think text"
            + (f", {endless} without an end to it" if endless else "")
            + "".join(f", {describe_interventions(counts)} changed by grounding" for counts in changed.values())
        )
        print(f"{self.recipe.stage}: {counts}{speed}")


def baseline(name: str, model: str, cards: list[HeldOut]) -> Iterator[Generation]:
    for card in cards:
        text = BASELINES[model.removeprefix(BASELINE)](card)
        yield Generation(sha256_text(f"{model}\0{card.id}\0{text}"), card.id, name, text, "stop", 0, 0)


def openings_of(recipe: Recipe[Any], cards: list[HeldOut], model: LocalModel, system: System) -> Iterator[PromptPrefix]:
    """The cards' prompts; for repairs, those of each failing sample with what it said before its first fault."""
    openings = {
        card.id: PromptPrefix(
            card.id,
            card.prompt,
            render_for(model, card.id, card.prompt, system.think),
            source=card.source if system.grounded else "",
        )
        for card in cards
    }
    if recipe.stage != "repair":
        yield from openings.values()
        return
    everybody = list(read_jsonl(recipe.run_dir / "data" / SOURCES["repair"], HeldOut))
    samples = [item for item in samples_of(everybody, recipe.run_dir / "data" / "samples.jsonl") if item[0].id in openings]
    prompts = {card_id: opening.prompt for card_id, opening in openings.items()}
    for card, sample, begun in beginnings(samples, prompts, model.tokenizer):
        yield replace(openings[card.id], begun=begun, repairs=sample.key)


def stage_of(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """`--stage generate|probe|sample|repair` out of the arguments."""
    stage, rest = "generate", list(arguments)
    if "--stage" in rest:
        position = rest.index("--stage")
        stage = "".join(rest[position + 1 : position + 2])
        del rest[position : position + 2]
    if stage not in CONFIGS:
        raise ValueError(f'--stage is "{stage}", expected generate, probe, sample or repair')
    return stage, rest


def run() -> None:
    stage, keys = stage_of(sys.argv[1:])
    command(stage, CONFIGS[stage], main, __doc__, "eval.generate", keys)


if __name__ == "__main__":
    exit_on_mistake(run, "eval.generate")
