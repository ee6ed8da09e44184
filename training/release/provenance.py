"""What a run knows of its model: which training made it, from which base, on which data, and what was measured of it.

Everything is read from files of the run, and each is held against the next: an adapter that was trained again after
merging, or scores of another model, would make a card that tells of something else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from data_prep.cards.front_matter import split_front_matter
from data_prep.core.files import read_jsonl, read_split, sha256_file
from data_prep.core.manifest import content_hash, manifest_of
from data_prep.core.records import Card
from data_prep.publishing.rows import notes_licence, written
from training.release.figures import Metrics

STAGES = {"sft": "sft", "aligned": "align"}
METHODS = {
    "sft": "supervised fine-tuning",
    "aligned": "preference alignment",
    "best": "fine-tuning on its own best samples",
    "grpo": "reinforcement learning (GRPO) with the checks as reward",
}


@dataclass(frozen=True)
class Trained:
    """One adapter on the way to the model. `recipe` holds the blocks run, model and trainer as they were resolved."""

    name: str  # sft, aligned
    folder: Path
    recipe: dict[str, Any]
    result: dict[str, Any]
    versions: dict[str, str]

    @property
    def on_own_best(self) -> bool:
        return bool(self.recipe.get("run", {}).get("rejection_sampling"))

    @property
    def on_samples(self) -> bool:
        """Of GRPO, which writes what it is trained on."""
        return "num_generations" in self.recipe["trainer"]

    @property
    def is_alignment(self) -> bool:
        return self.name == "aligned" and not self.on_own_best

    @property
    def method(self) -> str:
        return METHODS["best" if self.on_own_best else "grpo" if self.on_samples else self.name]

    @property
    def rows(self) -> Path | None:
        """Folder of the tables that it was trained on."""
        if self.on_samples:
            return None
        kind = "best" if self.on_own_best else {"sft": "sft", "aligned": "pairs"}[self.name]
        return self.folder.parent / "data" / kind


@dataclass(frozen=True)
class Base:
    """`name` is a Hub id, or of a folder its last part; `folder` is where its files lie here, None where they do not."""

    name: str
    on_hub: bool
    revision: str | None
    folder: Path | None
    told_licence: str | None  # by the recipe

    @cached_property
    def licence(self) -> str | None:
        """As the recipe tells it, or its own card; None where the card is not here."""
        if self.told_licence:
            return self.told_licence
        path = self.folder and self.folder / "README.md"
        if not path or not path.exists():
            return None
        found = split_front_matter(path.read_text(encoding="utf-8", errors="replace")).metadata.get("license")
        return found if isinstance(found, str) else None


@dataclass(frozen=True)
class ModelRun:
    """A merged model and what lies around it."""

    run_dir: Path
    model: Path
    sha256: str  # content_hash of `model`
    trained: tuple[Trained, ...]  # in the order of training
    base: Base
    system: str | None  # the name under which this very model was evaluated
    generated: dict[str, Any]  # manifest of its summaries of held-out cards
    gate: list[str]  # why it may not be published; empty where the gate passed
    verdict: dict[str, Any]  # gate.json; empty where there is none
    metrics: Metrics | None

    @property
    def data(self) -> Path:
        return self.run_dir / "data"

    @property
    def decoding(self) -> dict[str, Any]:
        return self.generated.get("recipe", {})


def read_model_run(run_dir: Path, model: Path, base: str | None, base_licence: str | None) -> ModelRun:
    """Raises ValueError where the model is not what this run's adapters were merged into. `base`: its Hub id, where
    training recorded a folder."""
    digest = content_hash(model)
    if digest is None:
        raise ValueError(f"there is no folder {model}; run training.merge, or correct publish_model.model")
    trained = tuple(read_chain(run_dir, model, digest))
    system, generated = evaluated(run_dir / "eval", digest)
    metrics = read_json(run_dir / "eval" / "metrics.json")
    return ModelRun(
        run_dir, model, digest, trained, read_base(trained[0], base, base_licence), system, generated,
        list(gate_reasons(run_dir / "eval", digest, system)), verdict if isinstance(verdict := read_json(run_dir / "eval" / "gate.json"), dict) else {},
        metrics if system in (metrics or {}).get("systems", ()) else None,
    )  # fmt: skip


def read_chain(run_dir: Path, model: Path, digest: str) -> Iterator[Trained]:
    """The adapters in `model`, first trained first. A model or base that is a link, as rounds of alignment leave them, belongs to
    the run that it leads to."""
    record = read_json(model / "merge.manifest.json")
    if record is None:
        raise ValueError(
            f"{model} has no merge.manifest.json, so nothing says what it is made of; publish what training.merge wrote"
        )
    if digest not in record["outputs"].values():
        raise ValueError(f"{model} is not what training.merge wrote; run training.merge again")
    name = record["recipe"]["merge"]["adapter"]
    linked = model.resolve().parent
    if model.is_symlink() and (linked / name).is_dir():
        run_dir = linked
    folder = run_dir / name
    if content_hash(folder) != record["inputs"].get(name):
        raise ValueError(f"{folder} is not the adapter that {model} was merged from; run training.merge again")
    if name == "aligned":
        below = run_dir / "sft-merged"
        yield from read_chain(run_dir, below, record["inputs"][below.name])
    stage = STAGES[name]
    recipe, manifest = read_json(folder / f"{stage}_recipe.json"), read_json(folder / f"{stage}.manifest.json")
    if recipe is None or manifest is None:
        raise ValueError(f"{folder} lacks {stage}_recipe.json or {stage}.manifest.json; run training.{stage} again")
    yield Trained(name, folder, recipe, manifest["result"], manifest["versions"])


def read_base(first: Trained, named: str | None, licence: str | None) -> Base:
    from huggingface_hub import try_to_load_from_cache

    from training.setup.hub_names import is_hub_id, public_name

    recorded, revision = first.recipe["model"]["model_name_or_path"], first.result.get("base_commit")
    if not is_hub_id(recorded):
        folder = Path(recorded) if Path(recorded).is_dir() else None
        return Base(named or public_name(recorded), bool(named), None, folder, licence)
    if named and named != recorded:
        raise ValueError(f"publish_model.base is {named}, but the run was trained on {recorded}; leave it out")
    cached = try_to_load_from_cache(recorded, "config.json", revision=revision)
    return Base(recorded, True, revision, Path(cached).parent if isinstance(cached, str) else None, licence)


def evaluated(folder: Path, digest: str) -> tuple[str | None, dict[str, Any]]:
    """Name and manifest of the system whose summaries this very model wrote: of several the one that the gate judged, else one that was
    scored."""
    gated, scored = ((read_json(folder / name) or {}) for name in ("gate.json", "metrics.json"))
    found = {}
    for path in sorted((folder / "generations").glob("*.manifest.json")):
        record = read_json(path) or {}
        if digest in [value for name, value in record.get("inputs", {}).items() if name != "heldout.jsonl"]:
            found[path.name.removesuffix(".manifest.json")] = record
    best = max(found, key=lambda name: (name == gated.get("tuned"), name in scored.get("systems", ())), default=None)
    return best, found.get(best or "", {})


def gate_reasons(folder: Path, digest: str, system: str | None) -> Iterator[str]:
    """Why the model may not be published, each as a sentence; nothing where the gate passed for this very model."""
    verdict = read_json(folder / "gate.json")
    if not isinstance(verdict, dict):
        yield f"{folder.name}/gate.json {'is missing' if verdict is None else 'is no verdict'}: run eval.gate"
        return
    if verdict.get("model_sha256") != digest:
        yield f"{folder.name}/gate.json is about another model ({verdict.get('tuned')}): run eval.generate, eval.score and eval.gate again"
        return
    metrics = folder / "metrics.json"
    if not metrics.exists() or verdict.get("metrics_json_sha256") != sha256_file(metrics):
        yield f"{folder.name}/gate.json judged other figures than {folder.name}/metrics.json holds: run eval.gate again"
    if verdict["tuned"] != system:
        yield f"{folder.name}/gate.json is about {verdict['tuned']}, this model was evaluated as {system}: run eval.gate again"
    if not any(row["must"] == "win" for row in verdict["metrics"].values()):
        yield f"{folder.name}/gate.json asked for no win over {verdict['base']}: name gate.metrics, or set it to null, and run eval.gate"
    yield from () if verdict["passed"] else verdict["reasons"]


@dataclass(frozen=True)
class Data:
    """Counts of what the model was tuned on."""

    splits: dict[str, tuple[int, int]]  # split -> cards, families
    collect: dict[str, Any]  # the recipe block
    revisions: int  # cards whose revision is known
    cards: int
    rows: int
    pairs: int
    writers: dict[str, tuple[int, str | None]]  # who wrote summaries -> training rows, licence
    note_writers: dict[str, str | None]
    licences: dict[str, int]  # of the cards trained on
    chosen: dict[str, int]
    faults: dict[str, int]  # of rejected texts in pairs
    examples: dict[str, Any]  # manifest of the stage
    cut: int  # cards trained on whose prompt the budget cut
    best: int = 0  # rows that are the model's own samples


def read_data(run_dir: Path, licences: dict[str, str], trained: Sequence[Trained]) -> Data | None:
    """`licences` says what is known of writers beside what the run recorded. None where the run has no data folder."""
    data = run_dir / "data"
    if not (data / "sft" / "train.parquet").exists() or not (data / "split.json").exists():
        return None
    split, known = read_split(data / "split.json"), notes_licence(data)
    places, families = split["splits"], split["families"]
    for candidate in written(data) if (data / "candidates.jsonl").exists() else ():
        known.setdefault(candidate.writer, candidate.licence)
    known |= licences
    sft = provenance(data / "sft" / "train.parquet")
    tables = [one.rows for one in trained if one.rows]
    pairs, best = (
        [row for table in tables if table.name == kind for row in provenance(table / "train.parquet")]
        for kind in ("pairs", "best")
    )
    used = {row["card_id"] for row in [*sft, *pairs, *best]}
    cards = [(card.id, card.revision, card.licence) for card in read_jsonl(data / "cards.jsonl", Card)]
    writers = Counter(row["writer"] for row in sft)
    return Data(
        splits={
            name: (count, len({families[card] for card, place in places.items() if place == name}))
            for name, count in sorted(Counter(places.values()).items())
        },
        collect=manifest_of(data, "collect").get("recipe", {}).get("collect", {}),
        revisions=sum(1 for _, revision, _ in cards if revision),
        cards=len(cards),
        rows=len(sft),
        pairs=len(pairs),
        writers={name: (count, known.get(name) or None) for name, count in writers.most_common()},
        note_writers={name: licence or None for name, licence in notes_licence(data).items()},
        licences=dict(Counter(licence or "none stated" for card, _, licence in cards if card in used).most_common()),
        chosen=dict(Counter(row["chosen"] for row in pairs).most_common()),
        faults=dict(Counter(fault for row in pairs for fault in row.get("failed", ())).most_common()),
        examples=manifest_of(data, "examples"),
        cut=len({row["card_id"] for row in [*sft, *pairs] if row.get("omitted")}),
        best=len(best),
    )  # fmt: skip


def provenance(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    if not path.exists():
        return []
    return [json.loads(row) for row in pq.read_table(path, columns=["provenance"])["provenance"].to_pylist()]


def read_json(path: Path) -> Any:
    """Raises ValueError that names the file where it is no JSON."""
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error.msg}); run the stage that writes it again") from None
