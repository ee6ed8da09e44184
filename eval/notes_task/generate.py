"""Every system's notes on the held-out pages: greedy, kept under keys as summaries are, never made twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_prep.candidates.extractive import lead_notes
from data_prep.chat.loops import LOOPS_VERSION
from data_prep.core.files import read_jsonl, sha256_text, write_jsonl
from data_prep.core.lock import alone
from data_prep.core.manifest import Manifest
from data_prep.core.records import Generation, HeldOut
from data_prep.prompts.student import NOTES_WORDS, read_source
from eval.decoding.sampling import GREEDY
from eval.generation import transformers_backend
from eval.generation.local_model import LocalModel, check_lengths, open_model, render_for
from eval.generation.requests import GenerationRequest, PromptPrefix, cache_key, plan
from eval.generation.store import appending, assemble, read_store
from eval.generation.systems import BASELINE, System


def lead(page: HeldOut) -> str:
    """The page's first sentences: what a run without a teacher has for notes."""
    return lead_notes(read_source(page.source)[2][0].text, NOTES_WORDS)


def reference(page: HeldOut) -> str:
    """What the teacher wrote."""
    return page.reference


NOTES_BASELINES: dict[str, Callable[[HeldOut], str]] = {"lead": lead, "reference": reference}


def check_notes_system(name: str, system: System) -> None:
    """Raises ValueError for a system that cannot take notes here, before any model is loaded."""
    known = [f"{BASELINE}{known}" for known in NOTES_BASELINES]
    if system.is_baseline and system.model not in known:
        raise ValueError(f'notes.systems: "{system.model}" is no baseline for notes; known: {", ".join(known)}')
    if system.backend != "transformers":
        raise ValueError(
            f"notes.systems: {name} has backend {system.backend}; notes are written by backend: transformers alone"
        )
    if system.grounded:
        raise ValueError(f"notes.systems: {name} is grounded, which summaries alone can be; leave out grounded")
    if system.think:
        raise ValueError(f"notes.systems: {name} thinks, which summaries alone are asked to; leave out think")


@dataclass(frozen=True)
class NotesJob:
    """One system and the pages, from prompts to eval/notes/<system>.jsonl."""

    name: str
    system: System
    run_dir: Path
    settings: dict[str, Any]  # what can change a text: max_new_tokens, batch_size, dtype, and how many pages
    device: str

    @property
    def output(self) -> Path:
        return self.run_dir / "eval" / "notes" / f"{self.name}.jsonl"

    def run(self, pages: Sequence[HeldOut]) -> list[Generation]:
        """The system's notes in the order of the pages: those that are there, and the missing ones made."""
        place = Path(self.system.place(self.run_dir))
        manifest = Manifest(
            self.output.with_suffix(".manifest.json"),
            f"notes {self.name}",
            {"system": self.system.model_dump(), **self.settings},
            [self.run_dir / "data" / "heldout_notes.jsonl", *([place] if place.is_dir() else [])],
            [self.output],
        )
        if not manifest.is_done():
            with alone(self.output):
                rows = self.baseline(pages) if self.system.is_baseline else self.made(pages)
                cut, looped = (sum(row.finish_reason == reason for row in rows) for reason in ("length", "loop"))
                manifest.write(notes=len(rows), cut=cut, loops=looped)
                counts = f"{cut} cut by the token limit, {looped} ended in a loop"
                print(f"notes: {len(rows)} notes by {self.name} in {self.output}: {counts}")
        return list(read_jsonl(self.output, Generation))

    def baseline(self, pages: Sequence[HeldOut]) -> list[Generation]:
        model, rows = self.system.model, []
        for page in pages:
            text = NOTES_BASELINES[model.removeprefix(BASELINE)](page)
            rows.append(Generation(sha256_text(f"{model}\0{page.id}\0{text}"), page.id, self.name, text, "stop", 0, 0))
        write_jsonl(self.output, rows)
        return rows

    def made(self, pages: Sequence[HeldOut]) -> list[Generation]:
        model = open_model(self.system.place(self.run_dir), self.system.revision)
        how = {"task": "notes", "model": model.identity, "loops": LOOPS_VERSION} | {
            key: self.settings[key] for key in ("max_new_tokens", "batch_size", "dtype")
        }
        openings = [PromptPrefix(page.id, page.prompt, render_for(model, page.id, page.prompt)) for page in pages]
        check_lengths(model, openings, "notes", self.settings["max_new_tokens"], None)
        asks = [GenerationRequest(opening, GREEDY, cache_key(opening, GREEDY, how, 0)) for opening in openings]
        stored = read_store(self.output)
        if missing := [ask for ask in asks if ask.key not in stored]:
            if len(missing) < len(asks):
                print(f"notes: {len(asks) - len(missing)} of {len(asks)} notes by {self.name} are there already")
            self.write(model, missing)
        return assemble(self.output, asks, read_store(self.output))

    def write(self, model: LocalModel, missing: Sequence[GenerationRequest]) -> None:
        batches = plan(missing, self.settings["batch_size"])
        device = transformers_backend.device_of(self.device, 0)
        made = transformers_backend.summaries(
            model, batches, self.name, self.settings["max_new_tokens"], self.settings["dtype"], device
        )
        tokens, start = 0, time.monotonic()
        with appending(self.output, 0) as put, tqdm(total=len(missing), desc=f"notes {self.name}", unit=" notes") as progress:
            for rows in made:
                put(rows)
                tokens += sum(row.completion_tokens for row in rows)
                progress.set_postfix_str(f"{tokens / (time.monotonic() - start):,.0f} tokens/s", refresh=False)
                progress.update(len(rows))
