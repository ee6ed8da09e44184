"""GRPO with TRL's own trainer: what a sample is worth, what is refused before the first step, and a run that trains, merges and goes on."""

import json
from types import SimpleNamespace

import pytest
import torch
import yaml
from commands import BASE, ROOT
from safetensors.torch import load_file
from test_grade import FILLER, SOURCE, padded
from training_runs import Run, at
from trl import GRPOConfig

from data_prep.core.files import write_json, write_jsonl
from data_prep.core.records import HeldOut
from data_prep.prompts.student import build_completion, build_prompt, raw_source, rendered_length
from data_prep.synthetic.world import raw_cards
from eval.reporting.training_log import trainings
from training import grpo, merge
from training.loop.reward import Reward
from training.loop.rollouts import grpo_trainer
from training.preflight.rollouts import check_cards, check_rollouts
from training.setup.config import DEFAULTS, RawRecipe, parse
from training.setup.load import Rows

SHORT = {
    "num_generations": 4, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "max_completion_length": 48,
    "max_steps": 2, "logging_steps": 1, "save_steps": 1, "warmup_steps": 0, "eval_strategy": "no",
}  # fmt: skip
PAGE = padded(330)


def make_run(folder, tokenizer, cards=6):
    """Invented cards of both splits, and SFT rows for the parity of merging; the demo's base stands for the SFT model."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = list(raw_cards(seed=5, cards=cards))
    prompts = [build_prompt(card.model_id, str(card.content), card.notes, tokenizer, 300) for card in raw]
    held = [
        HeldOut(f"card-{number}", prompt.messages, raw_source(card), card.summaries[0], "f", prompt.template_kwargs)
        for number, (card, prompt) in enumerate(zip(raw, prompts, strict=True))
    ]
    splits = {card.id: "validation" if number % 3 == 2 else "train" for number, card in enumerate(held)}
    write_jsonl(folder / "data" / "sampling.jsonl", held)
    write_json(folder / "data" / "split.json", {"families": {}, "splits": splits})
    rows = [
        {"id": card.id, "prompt": card.prompt, "completion": build_completion(card.reference, tokenizer),
         "chat_template_kwargs": card.chat_template_kwargs} for card in held
    ]  # fmt: skip
    (folder / "data" / "sft").mkdir()
    for split in ("train", "validation"):
        pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "sft" / f"{split}.parquet")
    (folder / "sft-merged").symlink_to(BASE)
    recipe = yaml.safe_load((ROOT / "recipes" / "demo" / "grpo.yaml").read_text(encoding="utf-8"))
    return {**recipe, **SHORT, "run_dir": str(folder)}


@pytest.fixture(scope="module")
def recipe(tokenizer, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("grpo") / "run", tokenizer)


def parsed_of(recipe, tmp_path, **values):
    base = {"output_dir": str(tmp_path), "model_name_or_path": str(BASE)}
    return parse(RawRecipe({**recipe, **values}, "r.yaml"), GRPOConfig, {**DEFAULTS, **base})


def cards_of(recipe, parsed):
    from pathlib import Path

    return Rows.cards(Path(recipe["run_dir"]) / "data", parsed)


# --- the reward -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worth(tokenizer):
    """What a text of the model is worth, and the parts that were logged; the end token stands where the model ended."""

    def graded(text, ended=True, source=SOURCE):
        logged = {}
        ids = tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id] * ended
        reward = Reward(tokenizer, (tokenizer.eos_token_id,))
        [score] = reward(completion_ids=[ids], source=[source], log_metric=logged.__setitem__, prompts=[], id=["card"])
        return score, logged

    return graded


def test_a_true_page_is_worth_nearly_all_and_every_part_is_logged(worth):
    score, logged = worth(PAGE)
    assert score > 0.9
    assert logged.keys() >= {f"parts/{name}" for name in ("facts", "numbers", "names", "links", "form", "length", "copying")}
    assert (logged["parts/finished"], logged["parts/ended"], logged["parts/unlooped"], logged["parts/unthought"]) == (
        1,
        1,
        1,
        1,
    )
    assert worth(PAGE.replace("71.2", "81.2"))[0] < score


@pytest.mark.parametrize(
    ("text", "ended", "part"),
    [
        (PAGE, False, "ended"),
        (f"{PAGE}- {FILLER[0]}.\n" + f"- {FILLER[1]}, twice.\n" * 3 + f"- {FILLER[2]}.\n", True, "unlooped"),
        (PAGE + "<|im_start|>" * 200, True, "unlooped"),  # what TRL's text leaves out
        (f"<think>\nLet me see.\n</think>\n\n{PAGE}", True, "unthought"),
        ("", True, "length"),
        (" \n\n", True, "length"),
    ],
)  # fmt: skip
def test_what_is_cut_loops_thinks_aloud_or_is_empty_is_worth_nothing(worth, text, ended, part):
    score, logged = worth(text, ended)
    assert score == 0
    assert logged[f"parts/{part}"] == 0


def test_what_follows_the_end_token_is_no_part_of_a_sample(worth, tokenizer):
    assert worth(PAGE + tokenizer.eos_token + "81.2", ended=False) == worth(PAGE)


# --- before the first step ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"max_completion_length": 40_000},
            r"card card-0 has \d+ tokens, with max_completion_length 40,000 beyond the base's max_position_embeddings 4,096",
        ),
        ({"max_completion_length": None}, "max_completion_length is None, expected"),
        ({"chat_template_kwargs": {"enable_thinking": True}}, "chat_template_kwargs is {'enable_thinking': True}, expected"),
        ({"use_vllm": True}, "use_vllm is true, and vLLM samples on a GPU"),
        ({"steps_per_generation": 4}, "a step would end amid its samples"),
        ({"num_iterations": 2, "gradient_accumulation_steps": 1}, "a step would end amid its samples"),
        ({"gradient_accumulation_steps": 8}, "there are 4 cards and each round of sampling takes 8"),
    ],
)
def test_a_recipe_that_cannot_do_is_refused(recipe, tokenizer, tmp_path, changes, words):
    parsed = parsed_of(recipe, tmp_path, **changes)
    with pytest.raises(ValueError, match=words):
        check_cards(parsed, cards_of(recipe, parsed), tokenizer)


def test_vllm_where_it_is_not_installed_is_refused(recipe, tokenizer, tmp_path, monkeypatch):
    from training.preflight import rollouts

    parsed = SimpleNamespace(
        trainer=SimpleNamespace(use_vllm=True, device=torch.device("cuda")), model=SimpleNamespace(dtype="bfloat16")
    )
    monkeypatch.setattr(rollouts, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"vLLM is not installed; pip install"):
        rollouts.check_vllm(parsed)
    monkeypatch.setattr(rollouts, "find_spec", lambda name: name)
    with pytest.raises(ValueError, match=r"dtype bfloat16: TRL merges the adapter into the base .* set dtype: float32"):
        rollouts.check_vllm(parsed)
    parsed.model.dtype = "float32"
    rollouts.check_vllm(parsed)


def test_a_prompt_that_fills_vllms_context_is_refused(recipe, tokenizer, tmp_path, monkeypatch):
    from training.preflight import rollouts

    parsed = parsed_of(recipe, tmp_path, use_vllm=True, vllm_max_model_length=300)
    rows = cards_of(recipe, parsed)
    monkeypatch.setattr(rollouts, "check_vllm", lambda parsed: None)
    with pytest.raises(ValueError, match="beyond vllm_max_model_length 300"):
        check_cards(parsed, rows, tokenizer)
    longest = max(rendered_length(row["prompt"], tokenizer) for row in rows.train)
    check_cards(parsed_of(recipe, tmp_path, use_vllm=True, vllm_max_model_length=longest + 48), rows, tokenizer)


def test_a_card_without_source_and_a_split_without_cards_are_refused(recipe, tokenizer, tmp_path):
    parsed = parsed_of(recipe, tmp_path)
    rows = cards_of(recipe, parsed)
    with pytest.raises(ValueError, match="card card-0 has no source"):
        check_cards(parsed, Rows(rows.train.map(lambda row: {"source": " "}), None), tokenizer)
    (tmp_path / "data").mkdir()
    card = HeldOut("a", [{"role": "user", "content": "x"}], "source", "", "f")
    write_jsonl(tmp_path / "data" / "sampling.jsonl", [card])
    write_json(tmp_path / "data" / "split.json", {"families": {}, "splits": {"a": "train"}})
    with pytest.raises(ValueError, match="has no validation card"):
        Rows.cards(tmp_path / "data", parsed_of(recipe, tmp_path, eval_strategy="epoch", per_device_eval_batch_size=4))


def test_another_prompt_than_that_of_sft_and_a_sample_that_cannot_end_are_refused(recipe, tokenizer, tmp_path, capsys):
    parsed = parsed_of(recipe, tmp_path)
    rows = cards_of(recipe, parsed)
    trainer = grpo_trainer(parsed, rows, tokenizer)
    check_rollouts(trainer, parsed, len(rows.train))
    assert "4 cards to sample from, 0 to evaluate on; 4 summaries of each of 2 cards at a time" in capsys.readouterr().out
    trainer.chat_template = "Hello. " + tokenizer.chat_template
    with pytest.raises(ValueError, match=r"the prompt of card card-0 has \d+ tokens when it is sampled from"):
        check_rollouts(trainer, parsed, len(rows.train))
    trainer.chat_template, trainer.eos_token_ids = None, [0]
    with pytest.raises(ValueError, match="ends a turn and no sample"):
        check_rollouts(trainer, parsed, len(rows.train))


# --- runs -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(recipe):
    from pathlib import Path

    grpo.main(RawRecipe(recipe, "the test"))
    return Path(recipe["run_dir"])


def test_two_steps_train_the_adapter_and_log_the_parts(trained, recipe, capsys):
    weights = load_file(trained / "aligned" / "adapter_model.safetensors")
    assert any(weight.abs().sum() > 0 for name, weight in weights.items() if "lora_B" in name)  # 0 in a fresh adapter
    written = json.loads((trained / "aligned" / "align.manifest.json").read_text(encoding="utf-8"))
    assert written["inputs"].keys() == {"sampling.jsonl", "split.json", "sft-merged"}
    steps = [entry for entry in written["result"]["history"] if "loss" in entry]
    assert [entry["step"] for entry in steps] == [1, 2]
    assert steps[0].keys() >= {"reward", "rewards/grade/mean", "rewards/grade/std", "parts/facts", "parts/finished", "kl"}
    assert steps[0]["kl"] == 0  # the reference is where training starts
    assert steps[0]["reward_std"] > 0
    drawn = trainings(trained)[1]
    assert (drawn.method, drawn.steps, len(drawn.parts[0].series["train"])) == ("GRPO", 2, 2)
    assert {"reward", "KL from the SFT model"} <= {curve.label for curve in drawn.curves}
    resolved = json.loads((trained / "aligned" / "align_recipe.json").read_text(encoding="utf-8"))["trainer"]
    assert resolved["chat_template_kwargs"] == {"enable_thinking": False}
    grpo.main(RawRecipe(recipe, "the test"))
    assert "align: done already" in capsys.readouterr().out


def test_the_adapter_merges_as_that_of_any_alignment(trained):
    from data_prep.core.recipe import Recipe

    block = merge.MergeConfig(adapter="aligned", dtype="float32", prompts=1, greedy_tokens=8, device="cpu")
    merge.main(Recipe(stage="merge", run_dir=trained, seed=1, block=block))
    assert json.loads((trained / "model" / "merge.parity.json").read_text(encoding="utf-8"))["together"]["max"] < 1e-3


@pytest.mark.slow
def test_killed_runs_end_as_an_undisturbed_one(tokenizer, tmp_path):
    """Within an epoch, in a checkpoint and in the second epoch, whose cards come in another order."""
    runs = {}
    for name in ("whole", "killed"):
        values = {**make_run(tmp_path / name, tokenizer), "max_steps": 5, "lora_dropout": 0.1}
        (tmp_path / name / "grpo.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        runs[name] = Run(tmp_path / name)
    assert runs["whole"].train(stage="grpo").code == 0
    for kill in (at(5, "training_step"), at(1, "_save_rng_state"), at(5, "training_step")):
        assert runs["killed"].train(stage="grpo", first=kill).code == -9
    ended = runs["killed"].train(stage="grpo")
    assert ended.code == 0, ended.output[-2000:]
    assert runs["killed"].result("align") == runs["whole"].result("align")


def test_a_sample_whose_loss_is_no_number_is_told_by_its_card(recipe, tokenizer, tmp_path):
    from training.resume.non_finite import StopOnNonFinite

    parsed = parsed_of(recipe, tmp_path)
    trainer = grpo_trainer(parsed, cards_of(recipe, parsed), tokenizer)
    trainer.compute_loss = lambda model, inputs, *_, **__: torch.tensor(float("nan"))
    stop = StopOnNonFinite(trainer)
    trainer.add_callback(stop)
    with pytest.raises(ValueError, match=r"the loss is nan in step 1, rows: card-\d(, card-\d)?\. Look at these"):
        trainer.train()
