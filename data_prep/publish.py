"""Makes a data set of a run that others can load with `datasets`, and pushes it to the Hub where that is asked for.

    python -m data_prep.publish --config recipes/demo/data.yaml --publish.writer_licences '{attached: cc0-1.0}'
    python -m data_prep.publish --config recipes/demo/data.yaml --publish.push true --publish.repo_id owner/name

Reads data/sft, data/pairs, data/candidates.jsonl, notes.jsonl, cards.jsonl, split.json. Writes data/publish: Parquet files of the
configs sft, preference, candidates, withheld and cards, README.md and recipe.yaml, and prints what would go up. Nothing is
sent without `push`. The token comes from the environment alone (`HF_TOKEN` or `hf auth login`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from data_prep.core.files import made_whole, write_text
from data_prep.core.manifest import Manifest, manifest_of
from data_prep.core.parquet import write_table
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import TRAINED_ON
from data_prep.publishing.dataset_card import STAGES, card_text, recipe_yaml
from data_prep.publishing.rows import CANDIDATE_SCHEMA, CARD_SCHEMA, WITHHELD_SCHEMA, Mode, PublishableRun

RELEASE_VERSION = "2"
INPUTS = (
    "sft pairs candidates.jsonl revisions.jsonl corrections.jsonl notes.jsonl cards.jsonl split.json rejected.jsonl"
).split()
REPO_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


class PublishConfig(Block):
    text: Mode = "licensed"
    """licensed: card text goes out where the card's licence is permissive. never: it never does; ids and hashes do."""
    writer_licences: dict[str, str] = {}
    """Licences of who wrote notes and summaries, where the run does not know: {attached: cc0-1.0}. Rows of others stay here."""
    name: str = "Card summaries"
    """Title of the data set."""
    push: bool = False
    """True sends data/publish to the Hub; false writes and shows it."""
    repo_id: str | None = None
    """Data set on the Hub, owner/name."""
    private: bool = True
    """False makes a new data set public. One that is there keeps its visibility."""
    tag: str = Field("v1", pattern=r"^[\w][\w.-]*$")
    """Name of the revision that is pushed; a name that is taken is refused."""


def main(recipe: Recipe[PublishConfig]) -> None:
    data, block = recipe.run_dir / "data", recipe.block
    if block.push and not (block.repo_id and REPO_ID.fullmatch(block.repo_id)):
        raise ValueError(
            f"publish.repo_id is {block.repo_id or 'not set'}, expected owner/name; pass --publish.repo_id owner/name"
        )
    out = data / "publish"
    stages = {stage: manifest_of(data, stage).get("recipe") for stage in STAGES}  # told in the card and recipe.yaml
    settings = {
        "publish": block.model_dump(include={"text", "writer_licences", "name"}),
        "version": RELEASE_VERSION,
        "stages": stages,
    }
    manifest = Manifest(data / "publish.manifest.json", "publish", settings, [data / name for name in INPUTS], [out])
    if not manifest.is_done():
        release = PublishableRun.of(data, block.text, block.writer_licences)
        with made_whole(out) as making:
            rows = build(release, making, block.name)
        manifest.write(
            rows={f"{config}/{split}": count for (config, split), count in rows.items()}, left_out=dict(release.left_out)
        )
        report(release)
    show(out)
    if block.push:
        assert block.repo_id  # looked at above
        from data_prep.publishing.push import push  # the Hub library takes a second that a dry run need not wait for

        print(f"publish: {push(out, block.repo_id, block.private, block.tag)}")
    else:
        print("publish: nothing was sent; add --publish.push true --publish.repo_id owner/name to send it")


def build(release: PublishableRun, out: Path, name: str) -> dict[tuple[str, str], int]:
    """Writes all files, the card last; returns rows by config and split.

    Raises ValueError where no row may go out.
    """
    makers: dict[str, Callable[[str], tuple]] = {
        "sft": lambda split: (release.schema("sft"), release.rows("sft", split)),
        "preference": lambda split: (release.schema("pairs"), release.rows("pairs", split)),
        "candidates": lambda split: (CANDIDATE_SCHEMA, release.candidates(split)),
        "withheld": lambda split: (WITHHELD_SCHEMA, release.withheld_cards(split)),
    }
    rows = {
        (config, split): count
        for config, made in makers.items()
        for split in TRAINED_ON
        if (count := write_table(out / config / f"{split}.parquet", *made(split)))
    }
    if not any(config in ("sft", "preference", "candidates") for config, _ in rows):
        reasons = "; ".join(f"{count} {reason}" for reason, count in release.left_out.most_common(3)) or "there is none"
        raise ValueError(
            f"no row may be published: {reasons}. Say what is known in publish.writer_licences, or use other cards"
        )
    rows["cards", "all"] = write_table(
        out / "cards" / "all.parquet", CARD_SCHEMA, (card.row() for card in release.cards.values())
    )
    for file, text in {"recipe.yaml": recipe_yaml(release), "README.md": card_text(name, release, rows)}.items():
        write_text(out / file, text)
    return rows


def report(release: PublishableRun) -> None:
    licences = Counter(card.licence or "none stated" for card in release.cards.values() if card.split in TRAINED_ON)
    print("publish: licences of the cards: " + ", ".join(f"{name} {count}" for name, count in licences.most_common()))
    for reason, count in release.left_out.most_common():
        print(f"  {count} left out, {reason}")


def show(out: Path) -> None:
    import pyarrow.parquet as pq

    for file in sorted(path for path in out.rglob("*") if path.is_file()):
        rows = f", {pq.read_metadata(file).num_rows:,} rows" if file.suffix == ".parquet" else ""
        print(f"  {file.relative_to(out)}: {file.stat().st_size:,} bytes{rows}")


if __name__ == "__main__":
    command("publish", PublishConfig, main, __doc__, "data_prep.publish")
