"""Lets a reader set the model's own pages right: pairs whose chosen side is true where no check can see it.

    python -m data_prep.correct --config recipes/smollm2-135m/data.yaml --correct.folder runs/smollm2-135m/pages

Reads data/sampling.jsonl and data/samples.jsonl. Writes for each card FOLDER/CARD/source.md, what the model was shown, and the pages
it wrote, FOLDER/CARD/SAMPLE.md. A reader edits the pages, statement by statement against the source and as little as makes them true
(RLHF-V, arXiv 2312.00849, corrects segments so). Run again, it adds every changed page to data/corrections.jsonl and says what the
checks mark in it; a page that says what was written counts as not read yet. Nothing that was edited is written over, and corrections
whose page or sample is gone stay. `data_prep.pairs` sets each against the page as it was written: pool `corrected`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field
from tqdm import tqdm

from data_prep.checks import check_summary, failures
from data_prep.checks.document import read
from data_prep.checks.wording import check_repetition
from data_prep.core.files import read_jsonl, samples_of, write_changed, write_jsonl, write_text
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.records import Correction, Generation, HeldOut
from data_prep.prompts.student import read_source


class CorrectConfig(Block):
    folder: str
    """Where the pages lie that a reader edits."""
    per_card: int = Field(2, ge=1)
    """Pages of a card that are laid out, those that repeat themselves least: one that runs in circles says little to set right."""


def main(recipe: Recipe[CorrectConfig]) -> None:
    data, folder = recipe.run_dir / "data", Path(recipe.block.folder)
    output = data / "corrections.jsonl"
    made = {row.key: row for row in read_jsonl(output, Correction)} if output.exists() else {}
    read_back, waiting = 0, 0
    paths = set()
    for card, sample, path in pages(data, folder, recipe.block.per_card, made):
        paths.add(path)
        text = page(path)
        if not text:
            print(f"{path} is empty, which corrects nothing; put the page back, or delete the file and run this again")
        elif text == plain(sample.text):
            made.pop(sample.key, None)
            waiting += 1
        else:
            made[sample.key] = correction(card, sample, text)
            read_back += 1
            if flags := failures(check_summary(text, card.source)):
                print(f"{path}: {flags}")
    for path in sorted(set(folder.glob("*/*.md")) - paths):
        if path.name != "source.md":
            print(f"{path} is of no sample of {data / 'samples.jsonl'}; it is left as it is and not read")
    write_jsonl(output, made.values())
    print(f"correct: {read_back} pages corrected, {waiting} as they were written, in {folder}; {len(made)} in {output}")


def pages(data: Path, folder: Path, per_card: int, made: dict[str, Correction]) -> Iterator[tuple[HeldOut, Generation, Path]]:
    """Each card's samples that have a page, and its file. New pages are laid out up to `per_card`, as they were corrected before
    where they were."""
    cards = list(read_jsonl(data / "sampling.jsonl", HeldOut))
    for card, samples in tqdm(samples_of(cards, data / "samples.jsonl"), "correct", len(cards), unit=" cards", mininterval=1):
        written = [sample for sample in samples if sample.text.strip()]
        path_of = {sample.key: folder / card.id / f"{sample.key[:16]}.md" for sample in written}
        there = {key for key, path in path_of.items() if path.exists()}
        more = sorted((sample for sample in written if sample.key not in there), key=circles) if len(there) < per_card else []
        laid = there | {sample.key for sample in more[: per_card - len(there)]}
        for sample in written:
            if sample.key in laid:
                path, known = path_of[sample.key], made.get(sample.key)
                if sample.key not in there:
                    write_text(path, (known.corrected if known else plain(sample.text)) + "\n")
                write_changed(path.with_name("source.md"), card.source)
                yield card, sample, path


def circles(sample: Generation) -> float:
    return check_repetition(read(sample.text)).value or 0.0


def page(path: Path) -> str:
    """Raises ValueError where it is no UTF-8."""
    try:
        return plain(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None


def plain(text: str) -> str:
    """Without what editors change unasked: line ends and blanks at the end of lines."""
    lines = text.strip().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines)


def correction(card: HeldOut, sample: Generation, text: str) -> Correction:
    _, model_id, _ = read_source(card.source)
    return Correction(sample.key, card.id, model_id, sample.system, sample.text, sample.thinking, sample.finish_reason, text)


if __name__ == "__main__":
    command("correct", CorrectConfig, main, __doc__, "data_prep.correct")
