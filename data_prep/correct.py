"""Lets a reader set the model's own pages right: pairs whose chosen side is true where no check can see it.

    python -m data_prep.correct --config recipes/smollm2-135m/data.yaml --correct.folder runs/smollm2-135m/pages

Reads data/sampling.jsonl and data/samples.jsonl. Writes for each card FOLDER/CARD/source.md, what the model was shown, and the pages
it wrote, FOLDER/CARD/SAMPLE.md. A reader edits the pages, statement by statement against the source and as little as makes them true
(RLHF-V, arXiv 2312.00849, corrects segments so). Run again, it keeps what was edited, adds every changed page to
data/corrections.jsonl and says what the checks mark in it. `data_prep.pairs` sets each against the page as it was written: pool
`corrected`. A page that is as it was counts as not read yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field
from tqdm import tqdm

from data_prep.candidates.checked import CheckedSummary
from data_prep.checks import check_summary, failures
from data_prep.core.files import read_jsonl, samples_of, write_jsonl, write_text
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import Correction, Generation, HeldOut
from data_prep.prompts.student import read_source


class CorrectConfig(Block):
    folder: str
    """Where the pages lie that a reader edits. What lies there already is not written over."""
    per_card: int = Field(2, ge=1)
    """Samples of a card at most, those that repeat themselves least first: a page that runs in circles says little to set right."""


def main(recipe: Recipe[CorrectConfig]) -> None:
    data, block = recipe.run_dir / "data", recipe.block
    output = data / "corrections.jsonl"
    # Those of earlier samples stay: the pages may be gone, what was read is not.
    made = {row.key: row for row in read_jsonl(output, Correction)} if output.exists() else {}
    read = waiting = 0
    for card, sample, path in pages(data, block):
        text = path.read_text(encoding="utf-8").strip()
        if text == sample.text.strip():
            made.pop(sample.key, None)
            waiting += 1
            continue
        _, model_id, _ = read_source(card.source)
        made[sample.key] = Correction(card.id, model_id, sample.key, sample.text, sample.finish_reason, text)
        read += 1
        if flags := failures(check_summary(text, card.source)):
            print(f"{path}: {flags}")
    write_jsonl(output, made.values())
    print(f"correct: {read} pages corrected, {waiting} as they were written, in {block.folder}; {len(made)} in {output}")


def pages(data: Path, block: CorrectConfig) -> Iterator[tuple[HeldOut, Generation, Path]]:
    """Each card's samples that are to be read, and the file of each, made where it is not there."""
    cards = list(read_jsonl(data / "sampling.jsonl", HeldOut))
    for card, samples in tqdm(samples_of(cards, data / "samples.jsonl"), "correct", len(cards), unit=" cards", mininterval=1):
        judged = {sample.key: CheckedSummary.sample(sample, card.source) for sample in samples if sample.text.strip()}
        least = sorted(judged, key=lambda key: judged[key].value("repetition"))[: block.per_card]
        for sample in (sample for sample in samples if sample.key in least):
            path = Path(block.folder) / card.id / f"{sample.key[:16]}.md"
            for file, text in ((path.with_name("source.md"), card.source), (path, sample.text.strip() + "\n")):
                if not file.exists():
                    write_text(file, text)
            yield card, sample, path


if __name__ == "__main__":
    command("correct", CorrectConfig, main, __doc__, "data_prep.correct")
