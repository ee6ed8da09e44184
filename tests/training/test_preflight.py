"""Each guard against the real trap: TRL's own trainers, built as a person would by mistake."""

import copy
import math
import sys

import pytest
import torch
from commands import SMOLLM3_SYSTEM, TEMPLATE_KWARGS, run_command
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer, get_peft_config

from data_prep.prompts.chat_format import chat_format
from data_prep.prompts.student import build_completion, build_prompt, fitted, rendered_length
from data_prep.synthetic.world import raw_cards
from training.loop.trainers import PlainAlignment, SharedAlignment
from training.preflight.rows import check_adapter, check_alignment, check_rows, check_sft
from training.setup.config import DEFAULTS, RawRecipe, parse
from training.setup.load import load_model


@pytest.fixture(scope="module")
def sft_rows(tokenizer):
    return [
        {
            "id": f"card-{number}",
            "prompt": build_prompt(card.model_id, str(card.content), card.notes, tokenizer, 250).messages,
            "completion": build_completion(card.summaries[0][:400], tokenizer),
            "chat_template_kwargs": TEMPLATE_KWARGS,
        }
        for number, card in enumerate(raw_cards(seed=5, cards=3))
    ]


@pytest.fixture(scope="module")
def pairs(sft_rows):
    def pair(row):
        other = [{"role": "assistant", "content": row["completion"][0]["content"][:200]}]
        shared = {key: row[key] for key in ("id", "prompt", "chat_template_kwargs")}
        return {**shared, "chosen": row["completion"], "rejected": other}

    return [pair(row) for row in sft_rows]


@pytest.fixture
def recipe(tiny_model, tmp_path):
    def parsed(kind=SFTConfig, **values):
        base = {"run_dir": "x", "output_dir": str(tmp_path), "model_name_or_path": str(tiny_model), "use_cpu": True}
        return parse(RawRecipe({**base, "dtype": "float32", "bf16": False, **values}, "r.yaml"), kind, DEFAULTS)

    return parsed


def trainer_of(parsed, rows, tokenizer, model=None, peft=True, kind=None, **kwargs):
    kind = kind or (SFTTrainer if isinstance(parsed.trainer, SFTConfig) else DPOTrainer)
    return kind(
        model=model or load_model(parsed),
        args=parsed.trainer,
        train_dataset=Dataset.from_list([{key: row[key] for key in row if key != "id"} for row in rows]),
        processing_class=tokenizer,
        peft_config=get_peft_config(parsed.model) if peft else None,
        **kwargs,
    )


def retemplated(tokenizer, old, new):
    assert old in tokenizer.chat_template
    other = copy.deepcopy(tokenizer)
    other.chat_template = tokenizer.chat_template.replace(old, new, 1)
    return other


def test_good_rows_pass(sft_rows, pairs, tokenizer):
    check_rows(Dataset.from_list(sft_rows), tokenizer, ["completion"])
    check_rows(Dataset.from_list(pairs), tokenizer, ["chosen", "rejected"])


@pytest.fixture(scope="module")
def thinking(sft_rows, tokenizer):
    """The same rows in think mode."""
    chat = chat_format(tokenizer, think=True)
    return [
        {
            "id": f"{row['id']}-think",
            "prompt": fitted(row["prompt"], chat),
            "completion": build_completion(row["completion"][0]["content"], tokenizer, "card: 3B\nTraining: 2T tokens"),
            "chat_template_kwargs": chat.kwargs,
        }
        for row in sft_rows
    ]


@pytest.mark.parametrize("first", [0, 1])
def test_rows_of_both_modes_pass_and_are_trained_on_from_their_thought_on(sft_rows, thinking, tokenizer, recipe, capsys, first):
    rows = [*(sft_rows, thinking)[first], *(thinking, sft_rows)[first]]
    check_rows(Dataset.from_list(rows), tokenizer, ["completion"])
    trainer = trainer_of(recipe(), rows, tokenizer)
    check_sft(trainer, 6)
    assert ("trained on: '<think>\\ncard: 3B" in capsys.readouterr().out) == (first == 1)
    for row, made in zip(rows, trainer.train_dataset, strict=True):
        trained = tokenizer.decode([label for label in made["labels"] if label != -100])
        assert trained == row["completion"][0]["content"].lstrip("\n") + "<|im_end|>\n"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("## A\n\nIt is.", "think mode, and completion begins with no thought"),
        ("<think>\n\n</think>\n## A", "begins with no thought"),
        ("<think>\nplan\n</think>\n", "begins with no thought"),
        ("<think>\na <|im_end|>\n</think>\n## A", "completion holds the special token"),
        ("<think>\na\n</think>\n## A\n<think>", "completion holds the special token <think>"),
    ],
)
def test_a_think_row_begins_with_one_thought(thinking, tokenizer, said, words):
    rows = [thinking[0], {**thinking[1], "completion": [{"role": "assistant", "content": said}]}]
    with pytest.raises(ValueError, match=words):
        check_rows(Dataset.from_list(rows), tokenizer, ["completion"])


def test_pairs_and_cards_to_sample_are_without_thoughts(pairs, thinking, tokenizer):
    both = {key: thinking[0][key] for key in ("id", "prompt", "chat_template_kwargs")}
    for row, answers in (
        ({**both, **{name: pairs[0][name] for name in ("chosen", "rejected")}}, ["chosen", "rejected"]),
        (both, []),
    ):
        with pytest.raises(ValueError, match="or trains in think mode"):
            check_rows(Dataset.from_list([row]), tokenizer, answers)


USER = {"role": "user", "content": "Summarise."}
ANSWER = {"role": "assistant", "content": "## A"}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("chat_template_kwargs", None, ["chat_template_kwargs is None", "TRL stops"]),
        ("chat_template_kwargs", {"enable_thinking": True}, ["{'enable_thinking': True}", "think mode"]),
        ("completion", [ANSWER, {"role": "user", "content": "Thank you"}], ["completion is", "of assistant"]),
        ("completion", [{"role": "assistant", "content": " \n"}], ["completion is", "with text"]),
        ("completion", [], ["completion is '[]'"]),
        ("prompt", [USER], ["prompt is", "of system and user"]),
        ("prompt", [{"role": "system", "content": f"{SMOLLM3_SYSTEM} A card of /think"}, USER], ["the system message is", "expected SYSTEM"]),
        ("prompt", [{"role": "system", "content": SMOLLM3_SYSTEM}, {"role": "user", "content": "a <|im_end|> b"}], ["prompt holds", "<|im_end|>"]),
        ("completion", [{"role": "assistant", "content": "<think>hm</think>"}], ["completion holds", "<think>"]),
    ],
)  # fmt: skip
def test_a_row_at_fault_is_named(sft_rows, tokenizer, column, value, words):
    rows = [sft_rows[0], {**sft_rows[1], column: value}]
    with pytest.raises(ValueError, match=r"row card-1: .*data_prep\.examples") as caught:
        check_rows(Dataset.from_list(rows), tokenizer, ["completion"])
    for word in words:
        assert word in str(caught.value)


def test_runs_of_newlines_that_a_tokenizer_adds_are_no_special_tokens_of_a_row(sft_rows, tokenizer):
    """Gemma's adds them. One that a row holds is read as it is."""
    own = copy.deepcopy(tokenizer)
    own.add_tokens(["\n\n", "<start_of_turn>"])
    row = {**sft_rows[0], "completion": [{"role": "assistant", "content": "## A\n\nB"}]}
    check_rows(Dataset.from_list([row]), own, ["completion"])
    row["completion"][0]["content"] += " <start_of_turn>"
    with pytest.raises(ValueError, match="completion holds the special token <start_of_turn>"):
        check_rows(Dataset.from_list([row]), own, ["completion"])


def test_a_rejected_answer_at_fault_is_named(pairs, tokenizer):
    rows = [{**pairs[0], "rejected": [USER]}]
    with pytest.raises(ValueError, match=r"row card-0: rejected is .*data_prep\.pairs"):
        check_rows(Dataset.from_list(rows), tokenizer, ["chosen", "rejected"])


def test_trl_stops_in_its_own_words_without_template_kwargs(sft_rows, tokenizer, recipe):
    with pytest.raises(TypeError, match="not a mapping"):
        trainer_of(recipe(), [sft_rows[0], {**sft_rows[1], "chat_template_kwargs": None}], tokenizer)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"/system_override" in system', "false", "today's date"),
        ('{{- "<|im_end|>\\n" -}}', "", r"3 turns and 2 <\|im_end\|>"),
        ("~ empty ~ message", "~ message", "not how prompt and answer begin"),
    ],
)
def test_a_template_that_renders_otherwise_is_refused(sft_rows, tokenizer, old, new, words):
    other = retemplated(tokenizer, old, new)
    rows = [{**row, "prompt": fitted(row["prompt"], chat_format(other))} for row in sft_rows]
    with pytest.raises(ValueError, match=words):
        check_rows(Dataset.from_list(rows), other, ["completion"])


def test_sft_on_whole_rows_passes_and_shows_what_is_trained_on(sft_rows, tokenizer, recipe, capsys):
    trainer = trainer_of(recipe(), sft_rows, tokenizer)
    check_sft(trainer, 3)
    check_adapter(trainer.model, recipe())
    assert "sft: 3 rows; the first has" in (said := capsys.readouterr().out)
    assert said.rstrip().endswith("<|im_end|>\\n'")


@pytest.mark.parametrize(("room", "words"), [(-20, "1 training rows went in and 0"), (20, "expected '## ")])
def test_max_length_drops_or_cuts_sft_rows(sft_rows, tokenizer, recipe, room, words):
    parsed = recipe()
    parsed.trainer.max_length = rendered_length(sft_rows[0]["prompt"], tokenizer) + room
    with pytest.raises(ValueError, match=words) as caught:
        check_sft(trainer_of(parsed, sft_rows[:1], tokenizer), 1)
    assert "set max_length: null" in str(caught.value)


def test_max_length_cuts_a_later_row(sft_rows, tokenizer, recipe):
    parsed, longer = recipe(), {**sft_rows[1], "completion": [{"role": "assistant", "content": "many words " * 300}]}
    parsed.trainer.max_length = 600
    with pytest.raises(ValueError, match=r"training row 1 .* max_length is 600; set max_length: null"):
        check_sft(trainer_of(parsed, [sft_rows[0], longer], tokenizer), 2)


def test_validation_rows_are_counted_too(sft_rows, tokenizer, recipe):
    validation = Dataset.from_list(sft_rows[:2]).remove_columns("id")
    trainer = trainer_of(recipe(), sft_rows, tokenizer, eval_dataset=validation)
    check_sft(trainer, 3, 2)
    with pytest.raises(ValueError, match="4 validation rows went in and 2"):
        check_sft(trainer, 3, 4)


def test_messages_are_trained_on_as_a_whole(sft_rows, tokenizer, recipe):
    rows = [{"messages": row["prompt"] + row["completion"], "chat_template_kwargs": TEMPLATE_KWARGS} for row in sft_rows]
    trainer = trainer_of(recipe(completion_only_loss=True), rows, tokenizer)
    with pytest.raises(ValueError, match=r"trained on as a whole.* prompt and completion"):
        check_sft(trainer, 3)


def test_a_think_block_in_the_trained_part_is_refused(sft_rows, tokenizer, recipe):
    other = retemplated(tokenizer, 'assistant\\n" ~ empty -}}{%- endif', 'assistant\\n" -}}{%- endif')
    with pytest.raises(ValueError, match=r"first row's completion is '<think>"):
        check_sft(trainer_of(recipe(), sft_rows, other), 3)


@pytest.mark.parametrize("values", [{"loss_type": "apo_zero"}, {"loss_type": "sigmoid"}, {"precompute_ref_log_probs": True}])
def test_alignment_from_a_fresh_adapter_passes_and_leaves_no_trace(pairs, tokenizer, recipe, capsys, values):
    parsed = recipe(DPOConfig, **values)
    trainer = trainer_of(parsed, pairs, tokenizer)
    random = torch.get_rng_state()
    check_alignment(trainer, parsed, 3)
    assert torch.equal(torch.get_rng_state(), random)
    assert trainer.model.training
    assert not any(trainer._metrics.values())
    assert trainer._total_train_tokens == 0
    start = 1.0 if "apo_zero" in trainer.loss_types else math.log(2)
    assert f"before the first step loss {start:.4f}" in capsys.readouterr().out


def test_references_scored_before_in_other_batches_differ_by_rounding(pairs, tokenizer, recipe):
    parsed = recipe(DPOConfig, precompute_ref_log_probs=True, precompute_ref_batch_size=3, bf16=True)
    check_alignment(trainer_of(parsed, pairs, tokenizer), parsed, 3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_alignment_over_a_shared_prefix_passes_in_mixed_precision(pairs, tokenizer, recipe, dtype):
    from training.shared_prefix.trainers import SharedPrefixDPOTrainer

    parsed = recipe(DPOConfig, dtype=dtype, bf16=True)
    check_alignment(trainer_of(parsed, pairs, tokenizer, kind=SharedPrefixDPOTrainer), parsed, 3)


@pytest.mark.parametrize("kind", [PlainAlignment, SharedAlignment])
def test_no_end_is_put_behind_a_rejected_text_that_was_cut(pairs, tokenizer, recipe, kind):
    cut = [{**row, "rejected_cut": index != 1} for index, row in enumerate(pairs)]
    parsed = recipe(DPOConfig)
    trainer = trainer_of(parsed, cut, tokenizer, kind=kind)
    check_alignment(trainer, parsed, 3)
    for row, made in zip(cut, trainer.train_dataset, strict=True):
        for answer, end in (("chosen", "<|im_end|>\n"), ("rejected", "" if row["rejected_cut"] else "<|im_end|>\n")):
            assert tokenizer.decode(made[f"{answer}_ids"]) == row[answer][0]["content"].lstrip("\n") + end


@pytest.mark.parametrize(
    ("cut", "words"), [([True] * 3, "first row's rejected is"), ([False, False, True], "pair 2 has rejected_cut and")]
)
def test_an_end_behind_a_cut_text_is_refused(pairs, tokenizer, recipe, cut, words):
    rows = [{**row, "rejected_cut": one} for row, one in zip(pairs, cut, strict=True)]
    parsed = recipe(DPOConfig)
    with pytest.raises(ValueError, match=words):
        check_alignment(trainer_of(parsed, rows, tokenizer), parsed, 3)


@pytest.mark.parametrize(("room", "words"), [(-20, "1 training rows went in and 0"), (20, "training pair 0 .* TRL cuts it")])
def test_max_length_drops_or_cuts_pairs(pairs, tokenizer, recipe, room, words):
    parsed = recipe(DPOConfig)
    parsed.trainer.max_length = rendered_length(pairs[0]["prompt"], tokenizer) + room
    with pytest.raises(ValueError, match=f"{words}.*set max_length: null"):
        check_alignment(trainer_of(parsed, pairs[:1], tokenizer), parsed, 1)


def test_a_model_merged_in_memory_has_its_old_base_as_reference(pairs, tokenizer, recipe):
    parsed = recipe(DPOConfig)
    tuned = get_peft_model(load_model(parsed), LoraConfig(target_modules="all-linear", init_lora_weights=False))
    trainer = trainer_of(parsed, pairs, tokenizer, model=tuned.merge_and_unload(), peft=False)
    with pytest.raises(ValueError, match=r"the reference is a second model, loaded from .*use_peft: true"):
        check_alignment(trainer, parsed, 3)


def test_an_adapter_trained_before_has_its_copy_as_reference(pairs, tokenizer, recipe):
    parsed = recipe(DPOConfig)
    tuned = get_peft_model(load_model(parsed), LoraConfig(target_modules="all-linear"))
    with pytest.raises(ValueError, match=r"adapters default, ref, .*training.merge --merge.adapter sft"):
        check_alignment(trainer_of(parsed, pairs, tokenizer, model=tuned, peft=False), parsed, 3)


def test_a_first_margin_that_is_not_0_is_refused(pairs, tokenizer, recipe):
    parsed = recipe(DPOConfig)
    trainer = trainer_of(parsed, pairs, tokenizer)
    for name, weight in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    with pytest.raises(ValueError, match=r"the first margin is .* again with training.merge"):
        check_alignment(trainer, parsed, 3)


def test_a_first_loss_of_another_kind_is_refused(pairs, tokenizer, recipe):
    parsed = recipe(DPOConfig, loss_type="apo_zero")

    class Other(DPOTrainer):
        def _compute_loss(self, *arguments):
            return super()._compute_loss(*arguments) + 0.01

    with pytest.raises(ValueError, match=r"the first loss is 1\.010000, apo_zero starts at 1\.000000"):
        check_alignment(trainer_of(parsed, pairs, tokenizer, kind=Other), parsed, 3)


def test_a_cut_prompt_is_refused(pairs, tokenizer, recipe):
    parsed = recipe(DPOConfig)
    trainer = trainer_of(parsed, pairs, tokenizer)
    trainer.train_dataset = trainer.train_dataset.map(lambda row: {"prompt_ids": row["prompt_ids"][:-1]})
    with pytest.raises(ValueError, match=r"prompt has .* tokens in training and .* in use"):
        check_alignment(trainer, parsed, 3)


def adapted(tiny_model, dtype=torch.float32, **lora):
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=dtype)
    return get_peft_model(base, LoraConfig(**{"target_modules": "all-linear", "r": 4, **lora}))


@pytest.mark.parametrize("targets", [["all-linear"], ["q_proj", "v_proj"]])
def test_the_adapter_that_the_recipe_asks_for_passes(recipe, targets):
    parsed = recipe(lora_target_modules=targets)
    check_adapter(get_peft_model(load_model(parsed), get_peft_config(parsed.model)), parsed)


def test_the_adapter_of_a_4_bit_base_passes(sft_rows, tokenizer, recipe):
    parsed = recipe(load_in_4bit=True, dtype="bfloat16")
    check_adapter(trainer_of(parsed, sft_rows, tokenizer).model, parsed)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target_modules": ["q_proj", "v_proj"]}, r"lacks model\.layers\.0\.mlp\.down_proj, .* and 17 more"),
        ({"target_modules": "all-linear", "exclude_modules": r".*layers\.3\..*o_proj"}, r"lacks model\.layers\.3\.self_attn\.o_proj .*; name the layers"),
        ({"target_modules": [*"q k v o gate up down".split(), "lm_head"]}, "has lm_head beside"),
        ({"dtype": torch.bfloat16}, "dtype is float32 in the recipe, but not in the model"),
    ],
)  # fmt: skip
def test_an_adapter_elsewhere_or_a_base_of_another_dtype_is_refused(tiny_model, recipe, change, words):
    names = change.get("target_modules")
    if isinstance(names, list):
        change = {**change, "target_modules": [name if "_" in name else f"{name}_proj" for name in names]}
    with pytest.raises(ValueError, match=words):
        check_adapter(adapted(tiny_model, **change), recipe())


@pytest.mark.parametrize("saved", [["lm_head"], ["embed_tokens"], ["q_proj"]])
def test_layers_that_are_trained_whole_are_no_fault_of_the_target_modules(tiny_model, recipe, saved):
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32, tie_word_embeddings=False)
    check_adapter(get_peft_model(base, LoraConfig(target_modules="all-linear", modules_to_save=saved)), recipe())


@pytest.mark.parametrize("saved", ["lm_head", "embed_tokens"])
def test_a_head_trained_apart_from_the_embeddings_that_it_is_tied_to_is_refused_under_its_key(recipe, saved):
    parsed = recipe(lora_modules_to_save=[saved])
    with pytest.raises(ValueError, match=rf"lora_modules_to_save is \['{saved}'\].* leave both out of lora_modules_to_save"):
        check_adapter(get_peft_model(load_model(parsed), get_peft_config(parsed.model)), parsed)


def test_trained_base_weights_a_frozen_adapter_and_none_at_all_are_refused(tiny_model, recipe):
    model = adapted(tiny_model)
    model.get_base_model().model.norm.weight.requires_grad_(True)
    with pytest.raises(ValueError, match=r"of the base: base_model\.model\.model\.norm\.weight"):
        check_adapter(model, recipe())
    model = adapted(tiny_model)
    model.get_parameter("base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight").requires_grad_(False)
    with pytest.raises(ValueError, match=r"not trained though of the adapter: .*q_proj.lora_A"):
        check_adapter(model, recipe())
    with pytest.raises(ValueError, match="has no adapter; set use_peft: true"):
        check_adapter(AutoModelForCausalLM.from_pretrained(tiny_model), recipe())


TWO_PROCESSES = """
import sys
from pathlib import Path
from trl import DPOConfig, DPOTrainer, get_peft_config
from training.setup.config import DEFAULTS, RawRecipe, parse
from data_prep.prompts.student import load_tokenizer
from training.setup.load import load_model, read_rows
from training.preflight.rows import check_alignment

rows = read_rows(Path(sys.argv[1]), ["prompt", "chosen", "rejected", "chat_template_kwargs"])
values = {"run_dir": "x", "output_dir": sys.argv[3], "model_name_or_path": sys.argv[2], "use_cpu": True, "dtype": "float32"}
parsed = parse(RawRecipe({**values, "max_steps": 1, "save_strategy": "no"}, "r.yaml"), DPOConfig, DEFAULTS)
trainer = DPOTrainer(
    model=load_model(parsed), args=parsed.trainer, train_dataset=rows,
    processing_class=load_tokenizer(sys.argv[2], "base"), peft_config=get_peft_config(parsed.model),
)
check_alignment(trainer, parsed, len(rows))
assert trainer.accelerator.num_processes == 2
trainer.train()
"""


@pytest.mark.slow
def test_two_processes_check_together_and_train_on(pairs, tiny_model, tmp_path):
    Dataset.from_list(pairs).to_parquet(str(tmp_path / "pairs.parquet"))
    (tmp_path / "check.py").write_text(TWO_PROCESSES)
    launch = "-m torch.distributed.run --standalone --nproc_per_node 2".split()
    places = [str(tmp_path / "check.py"), str(tmp_path / "pairs.parquet"), str(tiny_model), str(tmp_path / "out")]
    done = run_command(*launch, *places, OMP_NUM_THREADS="1", PYTHONPATH=":".join(sys.path))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.count("align: 3 pairs; before the first step loss") == 1
