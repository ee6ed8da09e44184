"""Checks before the first step, in seconds: the rows, what is trained on, the adapter, and where alignment starts.

TRL trains without a word on rows that it cut, on prompts, in think mode and against another reference. Each of these is
a ValueError here that names the row or the setting and the mend.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeGuard

from data_prep.prompts.chat_format import ChatFormat, added_tokens, chat_format, has_think_mode, thinks
from data_prep.prompts.student import SYSTEMS, conversation, count_tokens, render
from training.setup.config import Parsed
from training.setup.load import torch_dtype

# Put before a template it answers in place of the date: transformers lets no function of ours into one.
NO_DATE = "{%- macro strftime_now(format) -%}~today~{%- endmacro -%}"
FIRST_LOSS = {"apo_zero": 1.0, "sigmoid": math.log(2)}  # of a policy that is its reference
EXACT = 1e-6  # a fresh adapter adds zeros, so policy and reference compute the same numbers
_THOUGHT = re.compile(r"<think>\n(.+?)\n</think>\n(?=\S)", re.DOTALL)
# Where precision is low or the reference was scored in other batches: sums of log-probs over some 900 tokens, times beta.
MARGIN_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.1}


def check_rows(rows: Any, tokenizer: Any, answers: Sequence[str]) -> None:
    """Rows as the data stages write them, before a trainer is built on them.

    rows: a `datasets.Dataset` with `prompt`, `chat_template_kwargs`, the columns of `answers` and perhaps `id`.
    answers: ["completion"] for SFT, ["chosen", "rejected"] for alignment, [] for GRPO, which samples them.
    Raises ValueError that names the first row at fault.
    """
    stages = {"chosen": "data_prep.pairs", "completion": "data_prep.examples, or data_prep.best,"}
    stage = stages[answers[0]] if answers else "data_prep.examples"
    control = re.compile("|".join(re.escape(token) for token in added_tokens(tokenizer) if len(token) > 1) or "(?!)")
    modes = [chat_format(tokenizer)]
    if "completion" in answers and has_think_mode(tokenizer):  # summaries alone are trained on in both modes
        modes.append(chat_format(tokenizer, think=True))
    first: dict[bool, Any] = {}
    for index, row in enumerate(rows):
        if fault := row_fault(row, answers, control, modes):
            raise ValueError(f"row {row.get('id', index)}: {fault}; make the rows again with {stage}")
        first.setdefault(thinks(row.get("chat_template_kwargs")), row)
    for row in first.values():
        for answer in [row[name] for name in answers] or [[{"role": "assistant", "content": "Text."}]]:
            _check_rendering(row["prompt"], answer, tokenizer, thinks(row.get("chat_template_kwargs")))


def row_fault(row: dict[str, Any], answers: Sequence[str], control: re.Pattern[str], modes: Sequence[ChatFormat]) -> str:
    """What is wrong with a row, in words; "" where nothing is. `control` finds the tokenizer's special tokens; `modes` are those that
    the row may be in, the one without thoughts first."""
    settings = row.get("chat_template_kwargs")
    chat = next((mode for mode in modes if mode.kwargs == (settings or {})), None)
    if chat is None:
        expected = " or ".join(str(mode.kwargs) for mode in modes)
        return (
            f"chat_template_kwargs is {settings!r}, expected {expected}: TRL stops without it, or trains in think mode unasked"
        )
    asked = ["system", "user"] if chat.system_role else ["user"]
    for column, roles in {"prompt": asked, **{answer: ["assistant"] for answer in answers}}.items():
        turns = row.get(column)
        if not _is_conversation(turns, roles):
            return f"{column} is {str(turns)[:60]!r}, expected messages with text, of {' and '.join(roles)}"
        for turn in turns:
            said = turn["content"]
            if thinks(settings) and turn["role"] == "assistant":
                if not (thought := _THOUGHT.match(said)):
                    return (
                        f"chat_template_kwargs is {settings!r}, think mode, and {column} begins with no thought: {said[:60]!r}"
                    )
                said = thought[1] + said[thought.end() :]
            if found := control.search(said):
                return f"{column} holds the special token {found[0]}, which would end or switch a turn"
    if not any(_opens(row["prompt"][0]["content"], system, chat) for system in SYSTEMS):
        said = row["prompt"][0]["content"][:60]
        return f"the system message is {said!r}, expected SYSTEM or NOTES_SYSTEM of data_prep/prompts/student.py: other text can switch the template's mode"
    return ""


def _opens(said: str, system: str, chat: ChatFormat) -> bool:
    expected = conversation(system, "", chat)[0]["content"]
    return said == expected if chat.system_role else said.startswith(expected)


def _is_conversation(turns: Any, roles: list[str]) -> TypeGuard[list[dict[str, str]]]:
    return (
        isinstance(turns, list)
        and all(isinstance(turn, dict) for turn in turns)
        and [turn.get("role") for turn in turns] == roles
        and all(isinstance(turn.get("content"), str) and turn["content"].strip() for turn in turns)
    )


def _check_rendering(prompt: list[dict[str, str]], answer: list[dict[str, str]], tokenizer: Any, think: bool) -> None:
    template = tokenizer.get_chat_template()
    mend = "use another chat template, or mend data_prep/prompts/chat_format.py"
    chat = chat_format(tokenizer, think)
    dated = tokenizer.apply_chat_template(
        prompt, chat_template=NO_DATE + template, tokenize=False, add_generation_prompt=True, **chat.kwargs
    )
    if "~today~" in dated:
        raise ValueError(
            f"the rendered prompt carries today's date, so that a model trained today meets another prompt tomorrow; {mend}"
        )
    whole = tokenizer.apply_chat_template(prompt + answer, tokenize=False, **chat.kwargs)
    if not whole.startswith(render(prompt, tokenizer, think)):
        raise ValueError(f"the rendered prompt is not how prompt and answer begin: TRL would train on a part of it; {mend}")
    said = "<think>\nText.\n</think>\nText." if think else "Text."
    plain = [*conversation(SYSTEMS[0], "Text.", chat), {"role": "assistant", "content": said}]
    expected = _special_tokens(tokenizer.apply_chat_template(plain, tokenize=False, **chat.kwargs), tokenizer)
    if (found := _special_tokens(whole, tokenizer)) != expected:
        raise ValueError(f"the first row has the special tokens {' '.join(found)}, expected {' '.join(expected)}; {mend}")
    if (count := expected.count(chat.turn_end)) not in (1, len(plain)):  # some templates end the model's turns alone
        raise ValueError(f"the template writes {len(plain)} turns and {count} {chat.turn_end}; {mend}")


def _special_tokens(text: str, tokenizer: Any) -> list[str]:
    special = set(added_tokens(tokenizer))
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])
    return [token for token in tokens if token in special]


def check_sft(trainer: Any, rows_in: int, eval_rows_in: int = 0) -> None:
    """What an SFTTrainer made of the rows: all of them, whole, and the answers alone trained on. Prints the first in brief.

    rows_in, eval_rows_in: rows handed to the trainer; 0 for a validation set that it did not get.
    Raises ValueError where a row is gone or cut, or the prompt is trained on.
    """
    _check_counts(trainer, rows_in, eval_rows_in)
    tokenizer, first = trainer.processing_class, trainer.train_dataset[0]
    end = chat_format(tokenizer).turn_end
    trained = [token for token in first["labels"] if token != -100]
    if len(trained) == len(first["labels"]):
        raise ValueError(
            f"the first row is trained on as a whole, {len(trained)} tokens with its prompt; "
            f"rows need the columns prompt and completion, these have {', '.join(trainer.train_dataset.column_names)}"
        )
    _check_answer(first, "completion", first["input_ids"][: -len(trained) or None], trained, tokenizer)
    for name, dataset in _datasets(trainer):
        for index, row in enumerate(dataset.with_format("numpy", columns=["labels"])):
            places = (row["labels"] != -100).nonzero()[0]
            at_the_end = len(places) and places[0] == len(row["labels"]) - len(places) > 0
            if not at_the_end or tokenizer.convert_tokens_to_ids(end) not in row["labels"][-2:]:
                raise ValueError(
                    f"{name} row {index} is trained on {len(places)} of {len(row['labels'])} tokens and does not end with "
                    f"{end}: TRL cut it, max_length is {trainer.args.max_length}; set max_length: null"
                )
    text = tokenizer.decode(trained)
    trainer.accelerator.print(
        f"sft: {rows_in} rows; the first has {len(first['labels'])} tokens, trained on: {text[:60]!r} ... {text[-40:]!r}"
    )


def check_alignment(trainer: Any, parsed: Parsed, rows_in: int, eval_rows_in: int = 0) -> None:
    """What a DPOTrainer made of the pairs, and that its reference is the model that training starts from.

    Policy and reference then agree on every answer: margin 0, and a first loss known beforehand. Leaves metrics, mode and
    random states as they were. Every process must call it: the losses are gathered.
    Under FSDP or DeepSpeed the rows and the kind of reference are checked, the first loss is not.
    Raises ValueError where a pair is gone or cut, or the reference is another model.
    """
    _check_counts(trainer, rows_in, eval_rows_in)
    tokenizer, first = trainer.processing_class, trainer.train_dataset[0]
    for answer in ("chosen", "rejected"):
        _check_answer(first, answer, first["prompt_ids"], first[f"{answer}_ids"], tokenizer)
    limit, end = trainer.args.max_length, chat_format(tokenizer).turn_end
    end_id = tokenizer.convert_tokens_to_ids(end)
    for name, dataset in _datasets(trainer):
        columns = {"prompt_ids", "chosen_ids", "rejected_ids", "rejected_cut"} & set(dataset.column_names)
        for index, row in enumerate(dataset.with_format("numpy", columns=sorted(columns))):
            longest = len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
            ends = [end_id in row[f"{answer}_ids"][-2:] for answer in ("chosen", "rejected")]
            cut = bool(row.get("rejected_cut"))
            if cut and ends[1]:
                raise ValueError(
                    f"{name} pair {index} has rejected_cut and its rejected text ends with {end}, which its model did not write: "
                    "TRL puts it there; train with training.align"
                )
            if ends != [True, not cut] or (limit is not None and longest > limit):
                raise ValueError(
                    f"{name} pair {index} has {longest} tokens and does not reach {end} in training: "
                    f"TRL cuts it, max_length is {limit}; set max_length: null"
                )
    _check_reference(trainer, parsed)
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:  # the model is on no device before training begins
        trainer.accelerator.print(f"align: {rows_in} pairs; the first loss is not measured where weights are sharded")
        return
    loss, margin = _first_step(trainer)
    trainer.accelerator.print(f"align: {rows_in} pairs; before the first step loss {loss:.6f}, margin {margin:.2e}")
    tolerance = _tolerance(parsed, trainer.precompute_ref_logps)
    if not margin <= tolerance:
        raise ValueError(
            f"the first margin is {margin:.4g}, expected 0 within {tolerance}: the reference is not the model that training "
            f"starts from; make {parsed.model.model_name_or_path} again with training.merge"
        )
    expected = _first_loss(trainer)
    if expected is not None and not abs(loss - expected) <= tolerance:
        raise ValueError(
            f"the first loss is {loss:.6f}, {trainer.loss_types[0]} starts at {expected:.6f} within {tolerance}: "
            "the loss is not TRL's; check trl's version against pyproject.toml"
        )


def _datasets(trainer: Any) -> Iterator[tuple[str, Any]]:
    yield "training", trainer.train_dataset
    if trainer.eval_dataset is not None:
        yield "validation", trainer.eval_dataset


def _check_counts(trainer: Any, rows_in: int, eval_rows_in: int) -> None:
    kept = {name: len(dataset) for name, dataset in _datasets(trainer)}
    for name, given in (("training", rows_in), ("validation", eval_rows_in)):
        if kept.get(name, 0) != given:
            raise ValueError(
                f"{given} {name} rows went in and {kept.get(name, 0)} would be used: TRL drops rows whose prompt fills "
                f"max_length, which is {trainer.args.max_length}; set max_length: null"
            )


def _check_answer(row: dict[str, Any], column: str, prompt: list[int], answer: list[int], tokenizer: Any) -> None:
    """Prompt and answer as token ids against the row's messages: both are what use and evaluation will see."""
    cut = column == "rejected" and row.get("rejected_cut")
    words = row[column][0]["content"].lstrip("\n") + ("" if cut else chat_format(tokenizer).turn_end)
    text = tokenizer.decode(answer, clean_up_tokenization_spaces=False)
    if text not in (words, words + "\n"):
        raise ValueError(
            f"the trained part of the first row's {column} is {text[:40]!r} ... {text[-40:]!r}, expected {words[:40]!r} ... "
            f"{words[-40:]!r}; set max_length: null, and check the tokenizer's chat template against data_prep/prompts/student.py"
        )
    think = thinks(row.get("chat_template_kwargs"))
    if len(prompt) != (expected := count_tokens(render(row["prompt"], tokenizer, think), tokenizer)):
        raise ValueError(
            f"the first row's prompt has {len(prompt)} tokens in training and {expected} in use; "
            "check the tokenizer's chat template against data_prep/prompts/student.py"
        )


def _check_reference(trainer: Any, parsed: Parsed) -> None:
    from peft import PeftModel

    model = trainer.accelerator.unwrap_model(trainer.model)
    if trainer.ref_model is not None or not isinstance(model, PeftModel):
        loaded = getattr(getattr(trainer.ref_model, "config", None), "_name_or_path", None)
        raise ValueError(
            f"the reference is a second model, loaded from {loaded}, and need not be where training starts; "
            f"set use_peft: true: then it is {parsed.model.model_name_or_path} with the adapter off"
        )
    if list(model.peft_config) != ["default"]:
        raise ValueError(
            f"the model has the adapters {', '.join(model.peft_config)}, expected a fresh one alone: the reference would be a "
            "copy of an older adapter; merge that first: training.merge --merge.adapter sft"
        )


def _first_step(trainer: Any) -> tuple[float, float]:
    """Mean loss and largest reward or margin, in size, of the first two pairs. One at a time: a mean could hide opposites."""
    import torch

    losses, sizes = [], []
    with _undisturbed(trainer), torch.no_grad(), trainer.accelerator.autocast():
        for index in range(min(2, len(trainer.train_dataset))):
            batch = trainer.data_collator([trainer.train_dataset[index]])
            on_device = {name: value.to(trainer.model.device) for name, value in batch.items()}
            losses.append(trainer.compute_loss(trainer.model, on_device).item())
        metrics = trainer._metrics["eval"]
        for name in ("rewards/chosen", "rewards/rejected", "rewards/margins"):
            sizes += [abs(value) for value in metrics[name]]
    return sum(losses) / len(losses), math.nan if any(map(math.isnan, sizes)) else max(sizes)


@contextmanager
def _undisturbed(trainer: Any) -> Iterator[None]:
    """Evaluation mode: no dropout that draws random numbers, no count of trained tokens; its metrics are forgotten."""
    was_training = trainer.model.training
    trainer.model.eval()
    try:
        yield
    finally:
        trainer.model.train(was_training)
        trainer._metrics["eval"].clear()


def _tolerance(parsed: Parsed, scored_before: bool) -> float:
    """`scored_before`: the reference ran in batches of another shape, which mixed precision feels too."""
    if parsed.model.dtype == "float32" and not scored_before:
        return EXACT
    mixed = {"bfloat16": parsed.trainer.bf16, "float16": parsed.trainer.fp16}
    return max(MARGIN_TOLERANCE[name] for name in MARGIN_TOLERANCE if name == parsed.model.dtype or mixed.get(name))


def _first_loss(trainer: Any) -> float | None:
    if len(trainer.loss_types) > 1 or trainer.use_weighting or trainer.loss_types[0] not in FIRST_LOSS:
        return None
    return FIRST_LOSS[trainer.loss_types[0]] * trainer.loss_weights[0]


def check_adapter(model: Any, parsed: Parsed) -> None:
    """The adapter sits where the recipe says, it alone is trained, and the base has the recipe's dtype.

    model: the trainer's, before anything wraps it. Raises ValueError that names the modules or parameters at fault.
    """
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    if not isinstance(model, PeftModel):
        raise ValueError("the model has no adapter; set use_peft: true")
    base = model.get_base_model()
    _check_tied_embeddings(base, parsed)
    adapted = {name for name, module in base.named_modules() if isinstance(module, BaseTunerLayer)}
    wanted = _wanted_modules(base, parsed.model.lora_target_modules)
    if adapted != wanted:
        targets = parsed.model.lora_target_modules
        advice = "name the layers in it" if targets == "all-linear" else "set lora_target_modules: all-linear"
        raise ValueError(
            f"lora_target_modules is {targets}, but the adapter lacks {_some(wanted - adapted)} "
            f"and has {_some(adapted - wanted)} beside; {advice}"
        )
    parts = {name: weight for name, weight in model.named_parameters() if "lora_" in name or ".modules_to_save." in name}
    frozen = {name for name, weight in parts.items() if not weight.requires_grad}
    others = {name for name, weight in model.named_parameters() if weight.requires_grad and name not in parts}
    if frozen or others:
        raise ValueError(f"not trained though of the adapter: {_some(frozen)}; trained though of the base: {_some(others)}")
    if not (parsed.model.load_in_4bit or parsed.model.load_in_8bit):
        expected = torch_dtype(parsed.model.dtype)
        wrong = {name for name, weight in model.named_parameters() if name not in parts and weight.dtype != expected}
        if wrong:
            raise ValueError(f"dtype is {parsed.model.dtype} in the recipe, but not in the model: {_some(wrong)}")


def _check_tied_embeddings(base: Any, parsed: Parsed) -> None:
    """PEFT trains a copy of one of two that are the same weights: they part, and merged they are no longer this architecture."""
    from peft.utils import ModulesToSaveWrapper

    ends = (base.get_input_embeddings(), base.get_output_embeddings())
    if base.config.tie_word_embeddings and any(isinstance(module, ModulesToSaveWrapper) for module in ends):
        raise ValueError(
            f"lora_modules_to_save is {parsed.model.lora_modules_to_save}, but this base ties lm_head to embed_tokens, and "
            "training one of them alone would part them; leave both out of lora_modules_to_save"
        )


def _wanted_modules(base: Any, targets: str | list[str] | None) -> set[str]:
    import torch
    from peft.utils import ModulesToSaveWrapper

    head = base.get_output_embeddings()
    whole = tuple(f"{name}." for name, module in base.named_modules() if isinstance(module, ModulesToSaveWrapper))
    linear = {
        name.removesuffix(".base_layer")
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.Linear) and ".lora_" not in name and module is not head and not name.startswith(whole)
    } - {name for name, module in base.named_modules() if module is head}  # by name: an adapted head is another module
    if targets == "all-linear":
        return linear
    if isinstance(targets, str):  # one name is a pattern of the whole name to PEFT
        return {name for name in linear if re.fullmatch(targets, name)}
    return {name for name in linear if name.rpartition(".")[2] in (targets or [])}


def _some(names: set[str]) -> str:
    shown = sorted(names)[:3]
    return f"{', '.join(shown)} and {len(names) - 3} more" if len(names) > 3 else ", ".join(shown) or "nothing"
