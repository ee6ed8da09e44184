"""Faithfulness that no check of ours decides: the share of a summary's statements that an entailment checker finds supported.

    python -m eval.support --config recipes/smollm3-3b/eval.yaml

Reads   <run_dir>/data/heldout.jsonl, <run_dir>/eval/generations/<system>.jsonl
Writes  <run_dir>/eval/support/<checker>.jsonl     one verdict a line, appended as they come
        <run_dir>/eval/support/to_label.jsonl      statements drawn for a person to label, once
        <run_dir>/eval/measures/support.jsonl      one line a summary: shares, and spans of what is not supported
        <run_dir>/eval/measures/support.json       shares by system, the checkers' errors, corrected shares, disagreement

Every bullet, row and sentence is a claim; the source is cut into chunks, and the best of them decides. Stop it at any
moment: verdicts are kept by the content of claim, chunks and checker, and none is asked for twice. Where a claim got no answer,
the measures stay as they were and the exit code is 2.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field
from tqdm import tqdm

from data_prep.core.append_log import open_log
from data_prep.core.files import read_dicts, read_jsonl, sha256_text, to_json, write_json, write_jsonl
from data_prep.core.manifest import Manifest, content_hash
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import Generation, HeldOut
from data_prep.core.text import bracketed, figure, plural
from eval.entailment.calibration import SYNTHETIC, Labelled, read_labelled, synthetic_claims
from eval.entailment.card_labels import read_card_labels
from eval.entailment.checkers import KNOWN, Checker, EntailmentScore, Item, contract_of
from eval.entailment.chunks import Ranking, chunks_of
from eval.entailment.endpoint_checker import EndpointChecker
from eval.entailment.local_checker import LocalChecker
from eval.entailment.results import Checked, Checking, Findings
from eval.entailment.statements import statements
from eval.runs.summaries import choose_decoding, named_systems, read_cards, read_system

SYNTHETIC_CARDS = 40  # 160 claims, half of them true
TO_LABEL = 120


class SupportConfig(Block):
    """Block `support` of an eval recipe."""

    checkers: list[Checker] = Field([], max_length=2)
    """One or two, of different lineage; none: nothing is checked. the first gives the metric `support`, the second `support_2`. Keys of each: model (a known
    Hub id is enough), revision, kind, like, template, supported_label, answer_tokens, threshold, max_tokens, batch_size, dtype,
    device, endpoint; eval/entailment/checkers.py tells what they mean."""
    systems: list[str] = []
    """Systems to check. Empty: every file in eval/generations."""
    cards: int | None = Field(default=None, ge=1)
    """The first so many held-out cards only: a checker on a CPU takes minutes a card."""
    chunk_tokens: int = Field(default=400, ge=32)
    """Length of a chunk of the source, in the checker's tokens."""
    top_k: int | None = Field(default=8, ge=1)
    """Chunks a claim is held against, those that share most words with it (BM25). null: all."""
    calibration: str | None = None
    """Claims with labels, to measure the checkers by: recipes/references/statements.jsonl, about real cards, labelled by a large
    language model; a JSONL file of your own (source, context, claim, supported, origin); or `synthetic` for claims about invented
    models. null: rates stay uncorrected."""
    card_texts: list[str] | None = None
    """Folders of .md files and Parquet tables where the cards of statements.jsonl are looked up by SHA-256; null asks the Hub."""
    bootstrap_samples: int = Field(default=10_000, ge=1000)
    """Draws of each interval."""


def main(recipe: Recipe[SupportConfig]) -> None:
    block, folder = recipe.block, recipe.run_dir / "eval"
    heldout, generations = recipe.run_dir / "data" / "heldout.jsonl", folder / "generations"
    rows, figures = folder / "measures" / "support.jsonl", folder / "measures" / "support.json"
    if not block.checkers:
        print("support: no checker named in support.checkers, so no statement is checked")
        return
    names = named_systems(generations, block.systems, (), "support")
    marked = [Path(block.calibration), *map(Path, block.card_texts or ())] if block.calibration not in (None, SYNTHETIC) else []
    # Not among the inputs: two folders of one name would share a key there. An endpoint's empty name is no folder.
    folders = [Path(checker.model) for checker in block.checkers if checker.model]
    weights = [content_hash(path) for path in folders if path.is_dir()]
    manifest = Manifest(
        folder / "support.manifest.json",
        "support",
        {**recipe.resolved(), "weights": weights},
        [heldout, generations, *marked],
        [rows, figures],
    )
    if not manifest.is_done():
        checked = check_run(recipe, names, rows, figures)
        manifest.write(summaries=len(checked), claims=sum(len(one.statements) for one in checked))
    print_figures(json.loads(figures.read_text(encoding="utf-8")))


def check_run(recipe: Recipe[SupportConfig], names: Sequence[str], rows: Path, figures: Path) -> list[Checked]:
    """Checks the summaries of the systems `names` and writes both files. Raises ValueError where a claim got no answer."""
    block, folder = recipe.block, recipe.run_dir / "eval"
    labelled = read_calibration(block.calibration, block.card_texts)
    known = read_cards(recipe.run_dir / "data" / "heldout.jsonl")
    cards = dict(islice(known.items(), block.cards))
    systems = [read_system(folder / "generations" / f"{name}.jsonl", known, allow_missing=True) for name in names]
    written = [row for system in systems for row in system.generations if row.id in cards]
    checkers = [open_checker(checker, folder / "support" / "answers.sqlite") for checker in block.checkers]
    if len({checker.name for checker in checkers}) < len(checkers):
        raise ValueError(f'both checkers are called "{checkers[0].name}"; take two different ones, or rename one\'s folder')
    refuse_relatives(recipe.run_dir, checkers)
    checked, labels, verdicts, failed = check_all(checkers, cards, written, labelled, block, folder / "support")
    if not (to_label := folder / "support" / "to_label.jsonl").exists():  # a person may be labelling in it
        write_jsonl(to_label, draw_to_label(checked, recipe.seed))
    if failed:
        left = "were left as they were, of an earlier run" if figures.exists() else "were not written"
        raise ValueError(
            f"{plural(failed, 'claim')} got no answer; {figures} and its rows {left}; "
            "the verdicts that came are kept, run it again to ask for the rest alone"
        )
    decoding = choose_decoding(systems, None, "support")
    headline = {row.key for system in systems for row in system.decoded(decoding)}
    found = Findings(checkers, checked, headline, verdicts, labels, labelled, block.bootstrap_samples, recipe.seed)
    write_jsonl(rows, found.rows())
    write_json(figures, found.figures())
    return checked


def read_calibration(name: str | None, card_texts: Sequence[str] | None = None) -> list[Labelled]:
    if name is None:
        return []
    if name == SYNTHETIC:
        return synthetic_claims(SYNTHETIC_CARDS)
    if not Path(name).is_file():
        raise ValueError(
            f"support.calibration is {name}, and there is no such file; label eval/support/to_label.jsonl of a run, "
            f"or write {SYNTHETIC}"
        )
    first = next(read_dicts(Path(name)), {})
    return read_card_labels(Path(name), card_texts) if "sha256" in first else read_labelled(Path(name))


def refuse_relatives(run_dir: Path, checkers: Sequence[Checking]) -> None:
    """Raises ValueError where a checker is a model that this run trained, or one that wrote its training summaries: it would
    find its own words true. Says so where nothing tells who wrote them."""
    students = _named(run_dir, ("eval/generations/*.manifest.json", "sft/sft_recipe.json"), ("model", "model_name_or_path"))
    teachers = _named(run_dir, (f"data/{stage}.manifest.json" for stage in ("research", "write", "revise")), ("model",))
    for checker in checkers:
        for names, role in ((students, "one of the systems under test"), (teachers, "the teacher of this run")):
            if same := next((name for name in names if _is_same(name, checker.model)), None):
                raise ValueError(
                    f'checker "{checker.model}" is {role} ({same}), and nobody checks himself; take another model for support.checkers'
                )
        if not teachers and checker.usage is not None:
            print(f"support: no manifest in {run_dir}/data names a teacher, so see yourself that {checker.model} was not it")


def _named(run_dir: Path, patterns: Iterator[str] | Sequence[str], keys: Sequence[str]) -> set[str]:
    """Values of `keys`, however deep, in the JSON files."""

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in keys and isinstance(inner, str):
                    yield inner.replace("{run_dir}", str(run_dir))
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    files = [path for pattern in patterns for path in run_dir.glob(pattern)]
    return {name for path in files for name in walk(json.loads(path.read_text(encoding="utf-8")))}


def _is_same(a: str, b: str) -> bool:
    """One model under two names: a server may leave out the owner. Folders are compared whole."""
    a, b = a.rstrip("/").lower(), b.rstrip("/").lower()
    return a == b or (not Path(a).exists() and not Path(b).exists() and a.split("/")[-1] == b.split("/")[-1])


def open_checker(config: Checker, cache: Path) -> Checking:
    """A checker, its weights not loaded yet. Raises ValueError where the configuration does not say how to ask it."""
    contract = contract_of(config)
    if contract.kind == "endpoint":
        if config.endpoint is None:
            raise ValueError("a checker of kind endpoint lacks `endpoint`; add endpoint: {model: ..., base_url: ...}")
        return EndpointChecker(config, cache)
    if not config.model:
        raise ValueError(f"a checker of kind {contract.kind} names no model; add model: HUB_ID or FOLDER ({', '.join(KNOWN)})")
    return LocalChecker(config, contract)


# --- asking -----------------------------------------------------------------------------------------------------------


def check_all(
    checkers: Sequence[Checking],
    cards: dict[str, HeldOut],
    written: Sequence[Generation],
    labelled: Sequence[Labelled],
    block: SupportConfig,
    folder: Path,
) -> tuple[list[Checked], list[list[str]], list[dict[str, EntailmentScore]], int]:
    """Summaries with their statements; for each checker the keys of the labelled claims and its verdicts by key; and how many
    claims got no answer."""
    said = [statements(one.text) for one in written]
    keys: list[list[list[str]]] = [[] for _ in written]
    labels, verdicts, failed = [], [], 0
    for checker in checkers:
        asking = Asking(checker, block)
        own = [asking.items(cards[one.id].source, [s.claim for s in parts]) for one, parts in zip(written, said, strict=True)]
        marks = [asking.items(row.source, [row.text])[0] for row in labelled]
        unique = {item.key: item for items in [*own, marks] for item in items}
        found = ask(checker, list(unique.values()), folder / f"{checker.name}.jsonl")
        failed += sum(key not in found for key in unique)
        verdicts.append(found)
        labels.append([item.key for item in marks])
        for place, items in enumerate(own):
            keys[place].append([item.key for item in items])
    parts = zip(written, said, keys, strict=True)
    return [Checked(cards[one.id], one, pieces, its) for one, pieces, its in parts], labels, verdicts, failed


class Asking:
    """Claims -> items for one checker; a source is cut once."""

    def __init__(self, checker: Checking, block: SupportConfig) -> None:
        self.checker, self.block = checker, block
        self.identity = json.dumps(checker.identity, sort_keys=True)
        self._rankings: dict[str, Ranking] = {}

    def items(self, source: str, claims: Sequence[str]) -> list[Item]:
        name = sha256_text(source)
        if name not in self._rankings:
            self._rankings[name] = Ranking(chunks_of(source, self.block.chunk_tokens, self.checker.count))
        best = [self._rankings[name].best(claim, self.block.top_k) for claim in claims]
        return [
            Item(sha256_text("\0".join([self.identity, claim, *chunks])), claim, tuple(chunks))
            for claim, chunks in zip(claims, best, strict=True)
        ]


def ask(checker: Checking, items: Sequence[Item], store: Path) -> dict[str, EntailmentScore]:
    """Verdicts by key: what the store holds, and what is asked now and appended to it."""
    wanted = {item.key for item in items}
    with open_log(store) as append:
        found = {verdict.key: verdict for verdict in read_jsonl(store, EntailmentScore)}
        done = wanted & set(found)
        if done:
            print(f"support: {len(done):,} of {len(items):,} verdicts by {checker.name} are there already")
        progress = tqdm(total=len(items), initial=len(done), desc=f"support {checker.name}", unit=" claims", mininterval=1)
        with progress:
            for verdicts in checker.check(items, done):
                append(*map(to_json, verdicts))
                found |= {verdict.key: verdict for verdict in verdicts}
                progress.update(len(verdicts))
    if checker.usage is not None:
        print(f"support: {checker.usage.line()}")
    return {key: verdict for key, verdict in found.items() if key in wanted}


def draw_to_label(checked: Sequence[Checked], seed: int) -> list[dict[str, Any]]:
    """Statements of all systems in random order, who wrote them not shown; `supported` is for a person to fill in."""
    everything = [(one.card.source, piece) for one in checked for piece in one.statements]
    drawn = random.Random(seed).sample(everything, min(TO_LABEL, len(everything)))
    return [
        {"source": source, "context": piece.context, "claim": piece.text, "supported": None, "origin": "human"}
        for source, piece in drawn
    ]


def print_figures(figures: dict[str, Any]) -> None:
    names = [metric["name"] for metric in figures["metrics"]]
    for system, measured in figures["systems"].items():
        for name in names:
            one = measured[name]
            interval = bracketed(one["ci95"], "share", figure)
            mean = "not measured" if one["mean"] is None else f"{figure(one['mean'], 'share')}%{interval}"
            told = one.get("corrected", {}).get("mean")
            mean += "" if told is None else f", corrected {figure(told, 'share')}%"
            print(f"{system}: {name} {mean} of {measured['claims']:,} claims on {one['n']} cards")
    if not figures["printed"]:
        print(f"support is not printed: {figures['reason']}")
    for note in figures["notes"]:
        print(note)


if __name__ == "__main__":
    command("support", SupportConfig, main, __doc__, "eval.support")
