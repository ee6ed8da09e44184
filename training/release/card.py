"""The card of a published model, written from the files of its run. What no file says is left out, or said to be unknown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from data_prep.checks.form import LENGTH_MAX, LENGTH_MIN
from data_prep.core.text import markdown_table
from data_prep.prompts.chat_format import ChatFormat
from data_prep.prompts.student import PROMPT_VERSION
from training.release.provenance import Data, ModelRun, Trained, read_json
from training.release.results import bullets, headline_figures, model_index, results, weak_spots
from training.release.snippet import snippet

TEMPLATE = "card.md.j2"
PICTURE = "curves.svg"  # beside the card
SOURCES = {
    "synthetic": "cards of invented models, made by a program: no real model is described, so the model knows nothing of real cards",
    "hub": "cards of the Hugging Face Hub", "folder": "cards from a folder of files", "parquet": "cards from Parquet tables",
    "transcripts": "logged conversations with card, research and summary",
    "references": "cards of the Hugging Face Hub with the reference summaries of the project", "summaries": "cards and summaries from a file",
}  # fmt: skip
CURVE = {"step": "step", "loss": "loss", "rewards/margins": "reward margin", "rewards/accuracies": "reward accuracy",
         "mean_token_accuracy": "token accuracy", "learning_rate": "learning rate", "reward": "reward", "kl": "KL"}  # fmt: skip
WRITERS = {"attached": "attached: came with the cards", "extractive": "sentences of the cards themselves"}
FLAGS = {"temperature": "temp", "top_p": "top-p"}  # of llama.cpp
CURVE_ROWS = 8
SERVERS = """vllm serve {repository} --revision {revision} --dtype {dtype} --max-model-len {context} \\
    --override-generation-config '{sampling}'"""
LLAMA_CPP = """
hf download {repository} --revision {revision} --local-dir model      # llama.cpp reads GGUF
python convert_hf_to_gguf.py model --outfile model.gguf
llama-server -m model.gguf -c {context} --jinja{kwargs} {flags}"""


@dataclass(frozen=True)
class Named:
    """What the recipe says of a release: where it goes, and what no file of the run knows."""

    title: str
    repository: str
    sibling: str | None  # the repository of the other form, adapter or whole weights
    revision: str
    licence: str
    language: tuple[str, ...]
    dataset: str | None
    dataset_revision: str | None
    notes: tuple[str, ...]
    files: tuple[str, ...]  # that lie beside the card
    chat: ChatFormat  # of the released tokenizer


def model_card(run: ModelRun, data: Data | None, named: Named, size: str, adapter: bool = False) -> str:
    """README.md. `size` tells how large the weights are."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip  # Markdown, not HTML
    longest, new = budgets(run, data)
    dtype = run.decoding.get("dtype") or read_json(run.model / "config.json").get("dtype") or "auto"
    text = environment.get_template(TEMPLATE).render(
        front=yaml.safe_dump(front_matter(run, named, adapter), sort_keys=False, allow_unicode=True, width=120),
        title=named.title,
        reasons=run.gate,
        intro=intro(run, data),
        adapter=adapter,
        sibling=named.sibling,
        size=size,
        limits=limits(run),
        snippet=snippet(named.repository, named.revision, dtype, longest, new, named.chat, adapter),
        decoding=decoding(run),
        budget=budget(run, data, longest, new),
        kwargs=json.dumps(named.chat.kwargs),
        servers="" if adapter else servers(named, dtype, longest + new, decoding(run), run.base.on_hub),
        base=base(run, adapter),
        data=data_section(run, data, named),
        training=training(run),
        results=results(run.run_dir, run.metrics, run.system, {} if run.gate else run.verdict)
        if run.metrics and run.system
        else "This model was not evaluated.",
        environment=environment_note(run),
        licence=licence(run, named),
        notes=named.notes,
    )
    return "\n".join(line.rstrip() for line in text.split("\n")).replace("\n\n\n\n", "\n\n\n")


def front_matter(run: ModelRun, named: Named, adapter: bool) -> dict[str, Any]:
    methods = [trained.recipe["trainer"].get("loss_type") for trained in run.trained if trained.is_alignment]
    front: dict[str, Any] = {"license": named.licence, "language": list(named.language)}
    if run.base.on_hub:
        front |= {"base_model": run.base.name, "base_model_relation": "adapter" if adapter else "finetune"}
    if named.dataset:
        front["datasets"] = [named.dataset]
    front |= {
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["summarization", "model-cards", "trl", "sft", "lora", *(str(name) for name in flat(methods))],
    }
    if run.metrics and run.system:
        front["model-index"] = model_index(run.run_dir / "eval", run.system, named.title)
    return front


def flat(values: list[Any]) -> list[Any]:
    return [inner for value in values if value for inner in (value if isinstance(value, list) else [value])]


def servers(named: Named, dtype: str, context: int, sampling: dict[str, float], known: bool) -> str:
    """Command lines. `known`: the tokenizer is that of a base on the Hub, which llama.cpp's converter tells by its hash."""
    return (SERVERS + LLAMA_CPP * known).format(
        repository=named.repository,
        revision=named.revision,
        dtype=dtype,
        context=context,
        kwargs=f" --chat-template-kwargs '{json.dumps(named.chat.kwargs)}'" if named.chat.kwargs else "",
        sampling=json.dumps(sampling),
        flags=" ".join(f"--{FLAGS[name]} {value:g}" for name, value in sampling.items()),
    )


def decoding(run: ModelRun) -> dict[str, float]:
    """The evaluated sampling, as servers take it."""
    if run.metrics and run.metrics["decoding"] == "sampled":
        return {"temperature": run.decoding["temperature"], "top_p": run.decoding["top_p"]}
    return {"temperature": 0.0}


def intro(run: ModelRun, data: Data | None) -> str:
    parts = [
        f"Writes a one-page summary of a machine-learning model for AI researchers. In: the model's card, and research notes on the "
        f"pages that the card links to. Out: {LENGTH_MIN} to {LENGTH_MAX} words of Markdown that open with a heading, notable points as "
        f"bullets, links to the sources. It is {named_base(run)} after "
        f"{' and then '.join(trained.method for trained in run.trained)} with LoRA."
    ]
    if data and data.collect.get("source") == "synthetic":
        parts.append(
            "**It was tuned on invented cards alone and is good for trying out the path, not for summarising real models.**"
        )
    parts.append(headline_figures(run.metrics, run.system) if run.metrics and run.system else "**It was not evaluated.**")
    return "\n\n".join(parts)


def named_base(run: ModelRun) -> str:
    return run.base.name if run.base.on_hub else f'a local model called "{run.base.name}"'


def limits(run: ModelRun) -> list[str]:
    return [
        "Not a chat model: tuned on one task and one prompt. What it does with others was not measured here.",
        "Not a source. It repeats what card and notes claim, and can state numbers, names and links wrongly, or leave a fact out; "
        "the results below say how often the checks found that. A wrong sentence without number, name or link passes them.",
        "Not a reviewer: a card's own figures are claims of its authors, and nothing here tests them.",
        "Not safe from its input: a card can hold instructions. Text is kept from becoming control tokens, no more than that.",
        *(weak_spots(run.metrics, run.system) if run.metrics and run.system else ()),
    ]


def budgets(run: ModelRun, data: Data | None) -> tuple[int, int]:
    """Tokens of the longest prompt and of the longest answer."""
    context = read_json(run.model / "config.json").get("max_position_embeddings", 4096)
    new = run.decoding.get("max_new_tokens") or min(1024, context // 4)
    longest = data and data.examples.get("recipe", {}).get("examples", {}).get("max_prompt_tokens")
    return longest or context - new, new


def budget(run: ModelRun, data: Data | None, longest: int, new: int) -> str:
    said = f"Prompts of up to {longest:,} tokens" if not data else f"It was tuned on prompts of up to {longest:,} tokens"
    said += ", card and notes together; what is longer has to be shortened first"
    found = (data.examples.get("result", {}).get("tokens", {}).get("prompt") if data else None) or {}
    if found:
        said += f" (median {found['median']:,}, longest {found['max']:,} in its data)"
    return said + f". {new:,} new tokens were allowed when it was evaluated." if run.system else said + "."


def base(run: ModelRun, adapter: bool) -> str:
    one = run.base
    name = (
        f"[{one.name}](https://huggingface.co/{one.name})"
        if one.on_hub
        else f'A local model called "{one.name}" that is not on the Hub'
    )
    said = f"{name}, {f'licence {one.licence}' if one.licence else 'whose licence the run did not record: see its own page'}"
    said += f", revision `{one.revision}`." if one.revision else ", revision not recorded." if one.on_hub else "."
    if any(trained.recipe["model"].get(key) for trained in run.trained for key in ("load_in_4bit", "load_in_8bit")):
        said += " It was trained on with its weights quantised; the merged model holds those weights dequantised" + (
            ", so this adapter on the base in full precision gives slightly other output." if adapter else "."
        )
    if adapter and len(run.trained) > 1:
        said += (
            " Alignment trained a second adapter on the base with the first one merged in; here both are one adapter on the base "
            "itself. It differs from the whole weights, which the results are of, by their rounding."
        )
    return said


def data_section(run: ModelRun, data: Data | None, named: Named) -> str:
    if data is None:
        return "The run does not hold its data."
    where = f"[{named.dataset}](https://huggingface.co/datasets/{named.dataset})" if named.dataset else ""
    version = f", revision `{named.dataset_revision}`" if where and named.dataset_revision else ""
    source = data.collect.get("source") or "not recorded"
    lines = [
        *([f"Published as {where}{version}."] if where else ["The data set is not published, or its place was not given."]),
        f"Source: {SOURCES.get(source, source)}. The revision is known of {data.revisions:,} of {data.cards:,} cards.",
        f"{data.rows:,} rows of prompt and summary for SFT"
        + (f", {data.pairs:,} pairs of a chosen and a rejected summary for alignment" if data.pairs else "")
        + (f", {data.best:,} of its own best samples for further fine-tuning." if data.best else "."),
        f"Prompt version {PROMPT_VERSION}.",
    ]
    if data.cut:
        lines.append(f"Cards whose prompt was cut to the budget, at the ends of lines: {data.cut:,}.")
    if data.chosen:
        lines.append(f"Origin of the chosen texts: {counted(data.chosen)}. Faults of the rejected: {counted(data.faults)}.")
    lines.append("Licences of the cards trained on: " + counted(data.licences) + ".")
    writers = [
        [WRITERS.get(name, name), "summaries", f"{count:,} rows", licence or "not known"]
        for name, (count, licence) in data.writers.items()
    ]
    writers += [[name, "notes", "", licence or "not known"] for name, licence in data.note_writers.items()]
    splits = [[name, f"{cards:,}", f"{families:,}"] for name, (cards, families) in data.splits.items()]
    return "\n\n".join([
        bullets(lines),
        "Split by lineage: a card and its copies, fine-tunes and near-duplicates are one family, and a family is in one split.",
        markdown_table(["split", "cards", "families"], splits),
        "Who wrote what it was tuned on:",
        markdown_table(["writer", "wrote", "amount", "licence"], writers),
    ])  # fmt: skip


def counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def training(run: ModelRun) -> str:
    rows = [(label, [value(trained) for trained in run.trained]) for label, value in RECIPE.items()]
    table = markdown_table(
        ["", *(trained.method for trained in run.trained)],
        [
            [label, *("–" if cell is None else cell for cell in cells)]
            for label, cells in rows
            if any(cell is not None for cell in cells)
        ],
    )
    versions = run.trained[-1].versions
    told = ", ".join(
        f"{name} {versions[name]}" for name in ("transformers", "trl", "peft", "torch", "accelerate") if name in versions
    )
    drawn = (run.run_dir / "eval" / PICTURE).exists()
    picture = [f"![Curves of training; their figures are in the tables below]({PICTURE})"] if drawn else []
    return "\n\n".join([table, f"Versions: {told}.", *picture, *(curve(trained) for trained in run.trained)])


def of_model(key: str) -> Any:
    return lambda trained: trained.recipe["model"].get(key)


def of_trainer(key: str) -> Any:
    return lambda trained: trained.recipe["trainer"].get(key)


def layers(trained: Trained) -> str | None:
    """From the adapter itself: a recipe may say "all-linear"."""
    found = read_json(trained.folder / "adapter_config.json")["target_modules"]
    return ", ".join(sorted(found)) if isinstance(found, list) else found


def quantisation(trained: Trained) -> str | None:
    model = trained.recipe["model"]
    return "4 bits" if model.get("load_in_4bit") else "8 bits" if model.get("load_in_8bit") else None


def schedule(trained: Trained) -> str:
    trainer = trained.recipe["trainer"]
    return f"{trainer['lr_scheduler_type']}, warm-up {trainer.get('warmup_steps', 0):g}"


RECIPE: dict[str, Any] = {
    "loss": lambda trained: ", ".join(flat([of_trainer("loss_type")(trained)])) if trained.is_alignment else None,
    "beta": lambda trained: of_trainer("beta")(trained) if trained.is_alignment else None,
    "LoRA rank": of_model("lora_r"),
    "LoRA alpha": of_model("lora_alpha"),
    "LoRA dropout": of_model("lora_dropout"),
    "layers": layers,
    "base quantised to": quantisation,
    "learning rate": lambda trained: f"{of_trainer('learning_rate')(trained):g}",
    "schedule": schedule,
    "optimiser": of_trainer("optim"),
    "epochs": lambda trained: f"{trained.result.get('epochs') or of_trainer('num_train_epochs')(trained):.3g}",
    "rows per device and step": of_trainer("per_device_train_batch_size"),
    "gradient accumulation": of_trainer("gradient_accumulation_steps"),
    "rows": lambda trained: f"{trained.result['rows']:,}",
    "optimiser steps": lambda trained: f"{trained.result['steps']:,}",
    "dtype of the base": of_model("dtype"),
    "bfloat16 autocast": of_trainer("bf16"),
    "seed": of_trainer("seed"),
}


def curve(trained: Trained) -> str:
    """Some steps of the log, the first and the last among them, and the figures of the evaluation after training."""
    history = [entry for entry in trained.result.get("history", ()) if "loss" in entry]
    if not history:
        return f"The log of {trained.method} holds no loss."
    last = len(history) - 1
    chosen = sorted({round(index * last / (CURVE_ROWS - 1)) for index in range(CURVE_ROWS)})
    columns = [key for key in CURVE if any(key in entry for entry in history)]
    rows = [
        [f"{history[index].get(key, '')}" if key == "step" else spelled(history[index].get(key)) for key in columns]
        for index in chosen
    ]
    text = f"Loss of {trained.method}:\n\n" + markdown_table([CURVE[key] for key in columns], rows)
    kept = {"eval_loss": "loss", "eval_mean_token_accuracy": "token accuracy", "eval_rewards/accuracies": "reward accuracy",
            "eval_rewards/margins": "reward margin"}  # fmt: skip
    found = [f"{label} {spelled(trained.result[key])}" for key, label in kept.items() if key in trained.result]
    return text + (f"\n\nOn {validation_rows(trained)} at the end: {', '.join(found)}." if found else "")


def validation_rows(trained: Trained) -> str:
    import pyarrow.parquet as pq

    if trained.rows is None:
        return "validation cards"
    path = trained.rows / "validation.parquet"
    return f"{pq.read_metadata(path).num_rows:,} validation rows" if path.exists() else "validation rows"


def spelled(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def environment_note(run: ModelRun) -> str:
    """Time and device where the run recorded them. Energy is never guessed from them."""
    said = []
    for trained in run.trained:
        seconds, device = trained.result.get("train_runtime"), trained.result.get("device")
        last = "'s last part, after a stop," if trained.result.get("resumed") else ""
        time = f"took {seconds / 3600:.2g} hours" if seconds else "ran for a time that was not recorded"
        where = device or ("a CPU" if trained.recipe["trainer"].get("use_cpu") else "a device that was not recorded")
        if device not in (None, "cpu") and (processes := trained.result.get("processes")):
            where = f"{processes} x {device}"
        said.append(f"{trained.method[0].upper()}{trained.method[1:]}{last} {time} on {where}.")
    return " ".join(said) + " Energy was not measured, so no emissions are given. The base model's own training is not in this."


def licence(run: ModelRun, named: Named) -> str:
    papers = [f"`{name}`" for name in named.files if name.startswith(("LICEN", "NOTICE"))]
    said = f"{named.licence}" + (f", see {' and '.join(papers)}." if papers else ".")
    if run.base.licence and run.base.licence != named.licence:
        said += f" The base model is under {run.base.licence}, whose terms go on for what is made from it."
    return said + " The licences of cards and writers are in the section Data."
