"""Makes a release of a tuned model, with its card, and pushes it to the Hub where that is asked for.

    python -m training.publish --config recipes/smollm3-3b/eval.yaml --publish_model.repository OWNER/NAME
    python -m training.publish --config recipes/smollm3-3b/eval.yaml --publish_model.repository OWNER/NAME --publish_model.push true

Reads   <run_dir>/model, aligned, sft, data and eval: metrics.json, gate.json, results.md, model-index.yaml
Writes  <run_dir>/release/model and, where an adapter_repository or a space is named, release/adapter and release/space, and prints what
        would go up

Nothing is sent without `push`. A model that eval.gate did not pass is refused, unless `force`; its card then says so. The token
comes from the environment alone (`HF_TOKEN` or `hf auth login`).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from pydantic import Field

from data_prep.core.files import follow_umask, write_text
from data_prep.core.recipe import Block, Recipe, command
from data_prep.core.text import first_line
from data_prep.prompts.chat_format import chat_format
from data_prep.prompts.student import load_tokenizer
from training.release.card import PICTURE, Named, model_card
from training.release.files import PAPERS, human_size, place, write_adapter, write_model
from training.release.provenance import Data, ModelRun, read_data, read_model_run
from training.release.scan import check
from training.release.space import write_space


class PublishModelConfig(Block):
    repository: str
    """Model on the Hub, OWNER/NAME. The card's script loads it from there."""
    model: str = "{run_dir}/model"
    """What training.merge wrote. `{run_dir}` stands for the run."""
    adapter_repository: str | None = None
    """Publishes the tuning as a LoRA adapter of the base too, OWNER/NAME. Needs a base that is on the Hub."""
    space: str | None = None
    """Makes a Space too, OWNER/NAME: the page of `python -m eval.app` with this model to choose. Visitors can use it once the model is public."""
    title: str | None = None
    """Heading of the card; the repository's name where it is not given."""
    base: str | None = None
    """Hub id of the base, where training recorded a folder."""
    base_licence: str | None = None
    """Licence of the base, where its card is not on this machine."""
    licence: str | None = None
    """Licence of the model, a Hub identifier; that of the base where it is not given."""
    licence_file: str | None = None
    """The licence's text, which becomes LICENSE; that of the base where it has one."""
    language: list[str] = ["en"]
    """Languages of the summaries."""
    dataset: str | None = None
    """Data set on the Hub that it was tuned on, OWNER/NAME."""
    dataset_revision: str | None = None
    """Tag or commit of it."""
    writer_licences: dict[str, str] = {}
    """Licences of who wrote notes and summaries, where the run does not know: {attached: cc0-1.0}."""
    notes: list[str] = []
    """Sentences for the end of the card, such as a teacher's terms."""
    tag: str = Field("v1", pattern=r"^[\w][\w.-]*$")
    """Name of the revision; a name that is taken by other files is refused."""
    private: bool = True
    """False makes a new repository public. One that is there keeps its visibility."""
    create_pr: bool = False
    """Opens a pull request in place of a commit to main; the tag is set by a later run."""
    push: bool = False
    """True sends the release; false writes and shows it."""
    force: bool = False
    """Publishes although eval.gate did not pass; the card states its reasons."""


def main(recipe: Recipe[PublishModelConfig]) -> None:
    block, run_dir = recipe.block, recipe.run_dir
    check_names(block)
    run = read_model_run(run_dir, Path(block.model.replace("{run_dir}", str(run_dir))), block.base, block.base_licence)
    if run.gate and not block.force:
        raise ValueError(
            f"{run.model} may not be published: {'; '.join(run.gate)}. Or pass --publish_model.force true: the card then says so"
        )
    data = read_data(run_dir, block.writer_licences, run.trained)
    out = run_dir / "release"
    making = out.with_name("release.making")  # what was made before stays until this is whole and clean
    build(run, data, block, making)
    check(
        making,
        {word for name in (block.repository, block.adapter_repository or "", block.space or "") for word in name.split("/")},
    )
    shutil.rmtree(out, ignore_errors=True)
    os.replace(making, out)
    show(run, block, out)
    if block.push:
        send(block, out)
    else:
        print("publish: nothing was sent; add --publish_model.push true to send it")


def check_names(block: PublishModelConfig) -> None:
    for key in ("repository", "adapter_repository", "space", "base", "dataset"):
        name = getattr(block, key)
        if name is None:
            continue
        try:
            validate_repo_id(name)
            if name.count("/") != 1:
                raise HFValidationError("it takes an owner and a name")
        except HFValidationError as error:
            raise ValueError(
                f"publish_model.{key} is {name!r}, expected OWNER/NAME ({first_line(error)}); pass --publish_model.{key} OWNER/NAME"
            ) from None
    if block.repository == block.adapter_repository:
        raise ValueError(f"publish_model.repository and adapter_repository are both {block.repository}; name two")


def build(run: ModelRun, data: Data | None, block: PublishModelConfig, making: Path) -> None:
    """Both folders anew, the cards last."""
    shutil.rmtree(making, ignore_errors=True)
    model = making / "model"
    model.mkdir(parents=True)
    write_model(run.model, model, decoding(run))
    follow_umask(model)
    finish(run, data, block, model, human_size(model), adapter=False)
    if block.adapter_repository:
        if not run.base.on_hub:
            raise ValueError(
                f"the adapter's base is the folder {run.base.name}, which nobody else has; set publish_model.base to its Hub id, or "
                "leave adapter_repository out"
            )
        adapter = making / "adapter"
        adapter.mkdir()
        write_adapter([trained.folder for trained in run.trained], adapter, run.base.name, run.base.revision)
        finish(run, data, block, adapter, "", adapter=True)
        follow_umask(adapter)
    if block.space:
        write_space(making / "space", block.repository, block.space.partition("/")[2])


def decoding(run: ModelRun) -> dict[str, object]:
    """How the summaries were made that the results rest on."""
    recipe = run.decoding
    limit = {"max_new_tokens": recipe["max_new_tokens"]} if "max_new_tokens" in recipe else {}
    if run.metrics and run.metrics["decoding"] == "sampled":
        return limit | {"do_sample": True, "temperature": recipe["temperature"], "top_p": recipe["top_p"], "top_k": 0}
    return limit | {"do_sample": False}


def finish(run: ModelRun, data: Data | None, block: PublishModelConfig, folder: Path, size: str, adapter: bool) -> None:
    """Licence, notice and card."""
    licence = block.licence or run.base.licence
    if not licence:
        raise ValueError(
            f"the licence of {run.base.name} is not known here; set publish_model.licence, and base_licence beside it"
        )
    if run.base.folder:
        place(run.base.folder, folder, PAPERS)
    if block.licence_file:
        (folder / "LICENSE").unlink(missing_ok=True)
        copy_licence(Path(block.licence_file), folder)
    notice = folder / "NOTICE"
    theirs = notice.read_text(encoding="utf-8") if notice.exists() else ""
    notice.unlink(missing_ok=True)  # a second name of the base's own file
    own, other = block.repository, block.adapter_repository
    name, sibling = (other, own) if adapter and other else (own, other)
    title = block.title or name.partition("/")[2]
    place_results(run, folder)
    write_text(notice, notice_text(run, title, adapter) + (f"\n{theirs}" if theirs else ""))
    named = Named(
        title, name, sibling, block.tag, licence, tuple(block.language),
        block.dataset, block.dataset_revision, tuple(block.notes),
        tuple(sorted(path.name for path in folder.iterdir())), chat_format(load_tokenizer(str(run.model), "publish_model.model")),
    )  # fmt: skip
    write_text(folder / "README.md", model_card(run, data, named, size, adapter))


def place_results(run: ModelRun, folder: Path) -> None:
    """The picture of the curves, and the figures in the form that the Hub reads, where eval.report made them."""
    place(run.run_dir / "eval", folder, [PICTURE])
    if run.metrics and run.system:
        entries = folder / ".eval_results"
        entries.mkdir()
        place(run.run_dir / "eval" / "eval_results", entries, ["*.yaml"])


def copy_licence(source: Path, folder: Path) -> None:
    if not source.is_file():
        raise ValueError(f"there is no file {source}; correct publish_model.licence_file")
    shutil.copyfile(source, folder / "LICENSE")


def notice_text(run: ModelRun, title: str, adapter: bool) -> str:
    licence = run.base.licence or "see its own page"
    revision = f", revision {run.base.revision}" if run.base.revision else ""
    what = "is a LoRA adapter for" if adapter else "is a changed version of"
    return f"{title}\n\nThis {what} {run.base.name} (licence: {licence}{revision}).\nChanges: its weights were tuned for summaries of model cards.\n"


def parts(block: PublishModelConfig, out: Path) -> list[tuple[Path, str]]:
    """Folders and their repositories; the one called space is a Space."""
    named = {"model": block.repository, "adapter": block.adapter_repository, "space": block.space}
    return [(out / folder, repository) for folder, repository in named.items() if repository]


def show(run: ModelRun, block: PublishModelConfig, out: Path) -> None:
    verdict = "forced past the gate: " + "; ".join(run.gate) if run.gate else "the gate passed"
    print(f"publish: model {run.sha256[:12]}, {verdict}")
    for folder, repository in parts(block, out):
        visible = "private" if block.private else "public"
        print(
            f"publish: {folder} -> {repository} ({visible} where new), {'pull request' if block.create_pr else f'tag {block.tag}'}"
        )
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            print(f"  {path.relative_to(folder)}: {path.stat().st_size:,} bytes")


def send(block: PublishModelConfig, out: Path) -> None:
    from training.release.push import Target, push  # the Hub library takes a second that a dry run need not wait for

    for folder, repository in parts(block, out):
        kind = "space" if folder.name == "space" else "model"
        print(f"publish: {push(folder, Target(repository, block.tag, block.private, block.create_pr, kind))}")


if __name__ == "__main__":
    command("publish_model", PublishModelConfig, main, __doc__, "training.publish")
