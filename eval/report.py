"""Makes one self-contained page of the scores, and the tables and metadata that a model card takes from them.

    python -m eval.report --config recipes/demo/eval.yaml

Reads   <run_dir>/data/heldout.jsonl, <run_dir>/eval/scores.parquet, <run_dir>/eval/metrics.json, and for the curves what
        training left in <run_dir>/sft, <run_dir>/aligned and <run_dir>/round-N/aligned
Writes  <run_dir>/eval/report.html                  opens from disk, loads nothing from anywhere
        <run_dir>/eval/results.md                   the figures as tables to paste, and what each check looks for
        <run_dir>/eval/example.md                   one page of one system with what the checks say of it
        <run_dir>/eval/model-index.yaml             `model-index` of one system's model card
        <run_dir>/eval/eval_results/<system>.yaml   the same for a model repository's .eval_results; nothing is pushed
        <run_dir>/eval/training.html                curves of what was trained in the run, from its own files
        <run_dir>/eval/curves.svg                   losses and rewards among them as a picture, for a model card
        <run_dir>/wandb                             with report.report_to: wandb; rows, figures and page

While the run still trains and nothing is scored, the curves alone are drawn: run it again as often as you like.

What the cards are filtered and sorted by stands in the page's address, so a view can be sent to a colleague:
report.html#show=base&show=sft&fails=numbers&differ=1&q=tokenizer&sort=fact_recall&by=gain&open=CARD_ID
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from pydantic import Field

from data_prep.checks.form import LENGTH_MAX, LENGTH_MIN
from data_prep.checks.meaning import sentence_of
from data_prep.core.files import read_jsonl, sha256_text, to_json, write_changed, write_text
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import Block, Recipe, command, did_you_mean
from data_prep.core.records import HeldOut
from data_prep.core.text import figure, probability, signed
from eval.reporting.example import example
from eval.reporting.explained import checks_table
from eval.reporting.hub_metadata import write_card_metadata
from eval.reporting.markdown import markdown_results, measure_rows
from eval.reporting.page_data import headline_decodings, page_data
from eval.reporting.picture import picture
from eval.reporting.plots import COLOURS, copying, curve_plot, differences, histogram, lengths, range_mark, short, slice_panels
from eval.reporting.training_log import Training, table, trainings
from eval.reporting.wandb_log import check_wandb, log_report
from eval.runs.scored import kind_of_cards, read_metrics, refuse_changed
from eval.scoring.metrics import code_version
from eval.stats.claims import not_shown
from eval.stats.records import Metrics

HERE = Path(__file__).parent / "reporting"
PAGE_FILES = tuple(HERE / name for name in ("page.html.j2", "page.css", "page.js"))
NEEDED = ("cards", "families", "metrics", "systems", "comparisons", "claims", "decoding", "slices", "measures")
GROUPS = {
    "checks": ("Checks (also used to select training data)", "A system tuned on what they accept is expected to do well here."),
    "independent": ("Independent", "Measures that selected nothing."),
}


class ReportConfig(Block):
    """Block `report` of an eval recipe."""

    title: str = "Summaries of model cards"
    """Heading of the page."""
    cards: int = Field(default=300, ge=0)
    """How many cards to show with their texts, in the order of heldout.jsonl; tables and plots always cover all."""
    system: str = ""
    """System whose figures go into model-index.yaml and eval_results, and a page into example.md. Empty: the last of the tables."""
    dataset: str = "held-out-model-cards"
    """Name of the held-out cards in that metadata; their Hub id (owner/name) once they are published there."""
    beside: dict[str, str] = {}
    """Other scored runs, by name, whose declared metrics are shown under the kind of their cards: {laptop: runs/smollm2-135m}."""
    report_to: Literal["none", "wandb"] = "none"
    """Where else the results go."""
    wandb_project: str = "card-summarizer"
    """Project for report_to: wandb."""


def main(recipe: Recipe[ReportConfig]) -> None:
    config, folder = recipe.block, recipe.run_dir / "eval"
    heldout, scores, measured = recipe.run_dir / "data" / "heldout.jsonl", folder / "scores.parquet", folder / "metrics.json"
    report, results, page, index, entries = (
        folder / name for name in ("report.html", "results.md", "example.md", "model-index.yaml", "eval_results")
    )
    inputs = [heldout, scores, measured, *PAGE_FILES]
    outputs = [report, results, page, index, entries]
    scored, trained = scores.exists() and measured.exists(), trainings(recipe.run_dir)
    if trained:
        write_changed(curves := folder / "training.html", render_training(config.title, trained, scored))
        print(f"report: curves of training in {curves}")
        if drawn := picture(trained):
            write_changed(folder / "curves.svg", drawn)
    elif not scored:
        raise ValueError(f"{folder} lacks scores.parquet or metrics.json; run eval.score first")
    if not scored:
        print(f"report: no report yet, {folder} lacks scores.parquet or metrics.json; run eval.score")
        return
    metrics = read_metrics(recipe.run_dir, NEEDED)
    refuse_changed(recipe.run_dir)
    kinds = by_kind(recipe.run_dir, config.beside)
    code = code_version("eval/reporting", "eval/stats", "eval/report.py")
    identity = recipe.resolved() | {"kinds": sha256_text(to_json(kinds)), "curves": bool(trained), "code": code}
    manifest = Manifest(folder / "report.manifest.json", "report", identity, inputs, outputs)
    if manifest.is_done():
        return
    if config.report_to == "wandb":
        check_wandb()
    cards, rows = list(read_jsonl(heldout, HeldOut)), pq.read_table(scores).to_pylist()
    system = chosen(config.system, list(metrics["systems"]))
    write_text(report, render_page(config, cards, rows, metrics, kinds, bool(trained)))
    write_text(results, f"{markdown_results(metrics)}\n{checks_table(metrics)}\n")
    headline = headline_decodings(metrics, rows)[system]
    write_text(page, example(cards, [row for row in rows if row["decoding"] == headline], system))
    write_card_metadata(metrics, system, f"{recipe.run_dir.resolve().name}-{system}", config.dataset, index, entries)
    if config.report_to == "wandb":
        log_report(recipe, config.wandb_project, rows, metrics, [report, results, measured])
    manifest.write(cards=len(cards), bytes=report.stat().st_size)
    print(f"report: {report} ({report.stat().st_size / 1e6:.1f} MB), tables to paste: {results}")


def chosen(system: str, known: Sequence[str]) -> str:
    if system and system not in known:
        raise ValueError(f'report.system names "{system}", which was not scored. {did_you_mean(system, known)}')
    return system or known[-1]


def by_kind(run_dir: Path, beside: dict[str, str]) -> dict[str, dict[str, Metrics]]:
    """Kind of cards -> run -> its figures, this run among them; {} without others. Nothing is computed across runs: their
    cards differ, and what holds for invented ones need not hold for real ones."""
    kinds: dict[str, dict[str, Metrics]] = {}
    others = {name: Path(folder) for name, folder in beside.items()}
    runs = {f"{run_dir.resolve().name} (this run)": run_dir, **others} if others else {}
    for name, folder in runs.items():
        refuse_changed(folder)
        kinds.setdefault(kind_of_cards(folder), {})[name] = read_metrics(folder, NEEDED)
    return dict(sorted(kinds.items()))


def template(name: str) -> Template:
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"figure": figure, "signed": signed, "probability": probability, "measure_rows": measure_rows}
    environment.filters |= {"sentence": sentence_of, "plot": curve_plot, "short": short, "table": table}
    environment.globals["style"] = (HERE / "page.css").read_text(encoding="utf-8")
    return environment.get_template(name)


def render_training(title: str, trained: Sequence[Training], scored: bool) -> str:
    """The page of curves, without any script. `scored`: there is a report to go to."""
    return template("training.html.j2").render(title=title, trainings=trained, scored=scored)


def render_page(
    config: ReportConfig,
    cards: Sequence[HeldOut],
    rows: Sequence[dict[str, Any]],
    metrics: Metrics,
    kinds: dict[str, dict[str, Metrics]],
    trained: bool,
) -> str:
    """The page. Texts of cards and summaries are untrusted: the template escapes them, the script sets them as text, and
    the page's policy lets no script run but ours (by its hash) and nothing load. `trained`: there are curves to go to."""
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    decodings = headline_decodings(metrics, rows)
    shown, plotted = cards[: config.cards], [row for row in rows if row["decoding"] == decodings[row["system"]]]
    return template("page.html.j2").render(
        title=config.title,
        trained=trained,
        kinds=kinds,
        metrics=metrics,
        groups={name: (*GROUPS[name], [m for m in metrics["metrics"] if m["group"] == name]) for name in GROUPS},
        units={metric["name"]: metric["unit"] for metric in metrics["metrics"]},
        not_shown=not_shown(
            metrics["comparisons"], metrics["metrics"], [m["name"] for m in metrics["metrics"] if m["headline"]]
        ),
        **plots(metrics, plotted),
        data=page_data(shown, rows, metrics),
        shown=len(shown),
        script=script,
        script_hash=f"sha256-{digest}",
    )


def plots(metrics: Metrics, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the template needs of the plots. `rows`: summaries of the decoding that the headline rests on."""
    lengths_shown = lengths(list(metrics["systems"]), rows)
    band = (LENGTH_MIN, LENGTH_MAX)
    histograms = {
        name: histogram(name, shares, lengths_shown["tallest"], band) for name, shares in lengths_shown["shares"].items()
    }
    return {
        "range_mark": range_mark,
        "differences": differences(metrics),
        "lengths": lengths_shown,
        "histograms": histograms,
        "band": band,
        "copying": copying(metrics, rows),
        "slices": slice_panels(metrics),
        "colours": COLOURS,
    }


if __name__ == "__main__":
    command("report", ReportConfig, main, __doc__, "eval.report")
