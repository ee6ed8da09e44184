"""One copy of the prompt changes nothing but the time: log-probs, gradients, weights and metrics against plain TRL.

Compared in float64. Both ways add the same numbers in another order: in float32 the sums differ by processor, and losses as
steep as discopop's, or Adam where a gradient is next to nothing, make anything of the difference. What is left here comes of
steps that the libraries take in float32 whatever the model has (norms, the head's sums): a few of its roundings, the same on
every machine.
"""

import copy
import json
import random
from collections import Counter, defaultdict

import pytest
import torch
from commands import SUPPORT, run_command
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from training.shared_prefix import attention
from training.shared_prefix.attention import Group, PrefixSharing, plan, varlen_attention
from training.shared_prefix.trainers import KeepsReferences, SamePromptSampler, SharedPrefixDPOTrainer, SharedPrefixSFTTrainer

LOSSES = (
    "sigmoid hinge ipo exo_pair nca_pair robust bco_pair sppo_hard aot aot_unpaired apo_zero apo_down discopop sft sigmoid_norm"
).split()
WORDS = "model data trained on four billion tokens of code with open weights and a licence that allows use".split()


def sentence(chance, words):
    return " ".join(chance.choice(WORDS) for _ in range(words))


def pairs(count=4):
    """Uneven prompts and answers; the first pair's answers begin with the same words."""
    chance = random.Random(5)
    rows = [
        {
            "prompt": sentence(chance, 12 + 4 * at),
            "chosen": " " + sentence(chance, 7 + 3 * at),
            "rejected": " " + sentence(chance, 15),
        }
        for at in range(count)
    ]
    rows[0]["rejected"] = rows[0]["chosen"] + " but not for all."
    return Dataset.from_list(rows)


def adapter(model, seed=0):
    """LoRA on all linear layers, B not zero: at zero half of the gradients would be."""
    torch.manual_seed(seed)
    model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
    shake(model, seed)
    return model


def shake(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.copy_(torch.randn(weight.shape, generator=generator) * 0.05)


def arguments(folder, kind=DPOConfig, **changes):
    values = {
        "output_dir": str(folder), "max_length": None, "use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True,
        "gradient_checkpointing": False, "per_device_train_batch_size": 4, "save_strategy": "no", "seed": 3, **changes,
    }  # fmt: skip
    return kind(**values)


@pytest.fixture(scope="module")
def base(tiny_model):
    """Queries and keys larger than at random, so that attention looks somewhere and a wrong mask or position shows."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    for name, weight in model.named_parameters():
        if "q_proj" in name or "k_proj" in name:
            weight.data *= 4
    return model


@pytest.fixture(scope="module")
def exact(base):
    """The same in float64."""
    return copy.deepcopy(base).double()


def trainer_of(base, tokenizer, folder, kind=SharedPrefixDPOTrainer, *, reference="adapter_off", rows=None, **changes):
    """reference: adapter_off or precomputed (fresh LoRA), copy (an adapter trained on), model (full tuning)."""
    torch.manual_seed(0)  # for a fresh adapter
    model, options = copy.deepcopy(base), {}
    if reference in ("adapter_off", "precomputed"):
        options["peft_config"] = LoraConfig(r=8, target_modules="all-linear")
    elif reference == "copy":
        model = adapter(model, seed=1)
    else:
        options["ref_model"] = copy.deepcopy(base)
    changes["precompute_ref_log_probs"] = reference == "precomputed"
    trainer = kind(
        model,
        args=arguments(folder, **changes),
        train_dataset=rows or pairs(),
        eval_dataset=changes.get("eval_strategy") and pairs(),
        processing_class=tokenizer,
        **options,
    )
    shake(trainer.model)
    if reference == "model":
        for weight in trainer.model.parameters():
            weight.data += torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)) * 0.003
    return trainer


def batch_of(trainer):
    return trainer.data_collator([trainer.train_dataset[at] for at in range(len(trainer.train_dataset))])


def gradients(trainer, batch, kind):
    """Loss, metrics and the gradient of every trained weight, by the loss of `kind`."""
    trainer.model.train()
    trainer.model.zero_grad()
    trainer._metrics["train"].clear()
    loss = kind._compute_loss(trainer, trainer.model, batch, False)
    loss.backward()
    found = {name: weight.grad.clone() for name, weight in trainer.model.named_parameters() if weight.grad is not None}
    assert found
    return loss.item(), dict(trainer._metrics["train"]), found


def relative(ours, theirs):
    """Relative difference of two sets of tensors taken as one vector."""
    assert ours.keys() == theirs.keys()
    apart = sum((ours[name] - theirs[name]).square().sum() for name in ours).sqrt()
    return float(apart / sum(theirs[name].square().sum() for name in theirs).sqrt())


def per_token(trainer, batch, shared):
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    packed = plan(batch["input_ids"], batch["attention_mask"], batch["completion_mask"]) if shared else None
    with torch.no_grad(), trainer.sharing.over(packed):
        return trainer.model(**inputs, labels=labels, use_cache=False, fused_lm_head=True).log_probs


def assert_same(trainer):
    batch = batch_of(trainer)
    assert (per_token(trainer, batch, True) - per_token(trainer, batch, False)).abs().max() < 5e-6
    loss, metrics, ours = gradients(trainer, batch, SharedPrefixDPOTrainer)
    expected, theirs_metrics, theirs = gradients(trainer, batch, DPOTrainer)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert relative(ours, theirs) < 1e-6
    for name, values in theirs_metrics.items():
        if name != "num_tokens":
            assert metrics[name] == pytest.approx(values, rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_trls(loss, exact, tokenizer, tmp_path):
    smoothing = {"exo_pair": 1e-3, "robust": 0.1}.get(loss, 0.0)
    assert_same(trainer_of(exact, tokenizer, tmp_path, loss_type=[loss], beta=0.1, label_smoothing=smoothing))


@pytest.mark.parametrize("reference", ["adapter_off", "precomputed", "copy", "model"])
@pytest.mark.parametrize("checkpointing", [None, {"use_reentrant": False}, {"use_reentrant": True}], ids=["kept", "recomputed", "reentrant"])  # fmt: skip
def test_every_reference_with_and_without_checkpointing(reference, checkpointing, exact, tokenizer, tmp_path):
    changes = {"gradient_checkpointing": checkpointing is not None, "gradient_checkpointing_kwargs": checkpointing}
    assert_same(trainer_of(exact, tokenizer, tmp_path, reference=reference, loss_type=["apo_zero"], **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.2]},
        {"ld_alpha": 0.5},
        {"use_weighting": True},
        {"f_divergence_type": "js_divergence"},
        {"max_length": 30, "truncation_mode": "keep_end"},
        {"pad_to_multiple_of": 64},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_trls_other_options(changes, exact, tokenizer, tmp_path):
    assert_same(trainer_of(exact, tokenizer, tmp_path, **changes))


def test_the_list_of_losses_is_trls_own():
    from inspect import getsource

    listed = getsource(DPOTrainer._compute_loss).partition("Should be one of [")[2].partition("]")[0]
    assert sorted(listed.replace('"', "").replace("'", "").replace("\n", "").replace(" ", "").split(",")) == sorted(LOSSES)


class InOurOrder(DPOTrainer):
    """TRL's, with the rows in the order in which ours takes them."""

    _get_train_sampler = SharedPrefixDPOTrainer._get_train_sampler


@pytest.mark.parametrize("reference", ["adapter_off", "precomputed"])
def test_twelve_steps_end_at_the_same_weights(reference, exact, tokenizer, tmp_path):
    def trained(kind):
        changes = {"max_steps": 12, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "learning_rate": 1e-3,
                   "gradient_checkpointing": True, "loss_type": ["apo_zero"], "eval_strategy": "steps", "eval_steps": 6, "logging_steps": 1}  # fmt: skip
        trainer = trainer_of(
            exact, tokenizer, tmp_path / kind.__name__, kind, reference=reference, rows=of_few_cards(), **changes
        )
        before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters() if weight.requires_grad}
        trainer.train()
        after = {name: weight.detach() for name, weight in trainer.model.named_parameters() if weight.requires_grad}
        assert relative(after, before) > 0.01
        return after, trainer

    (theirs, plain), (ours, shared) = trained(InOurOrder), trained(SharedPrefixDPOTrainer)
    assert relative(ours, theirs) < 1e-6
    for one, other in zip(shared.state.log_history, plain.state.log_history, strict=True):
        for name in ("loss", "eval_loss", "rewards/margins", "eval_rewards/margins", "num_tokens"):
            if name in other:
                assert one[name] == pytest.approx(other[name], abs=1e-5), name
    assert [len(group.tails) for group in shared.plan_run.groups] == [4]  # both pairs of a card


def of_few_cards():
    """Eight pairs, two of each card, the second of a card far from its first."""
    rows = pairs(8)
    prompts = rows["prompt"][:4]
    return rows.remove_columns("prompt").add_column("prompt", [*prompts, *prompts])


def test_with_one_pair_a_micro_batch_the_order_is_trls(exact, tokenizer, tmp_path):
    ours, theirs = (
        trainer_of(exact, tokenizer, tmp_path, kind, rows=of_few_cards(), per_device_train_batch_size=1)
        for kind in (SharedPrefixDPOTrainer, DPOTrainer)
    )
    orders = []
    for trainer in (ours, theirs):
        torch.manual_seed(3)
        orders.append(list(trainer._get_train_sampler()))
    assert orders[0] == orders[1]


def test_pairs_of_one_card_share_one_prompt(exact, tokenizer, tmp_path):
    chance = random.Random(1)
    rows = [{"prompt": WORDS[0] * 30, "chosen": sentence(chance, 9), "rejected": sentence(chance, 5)} for _ in range(3)]
    trainer = trainer_of(exact, tokenizer, tmp_path, rows=Dataset.from_list(rows))
    batch = batch_of(trainer)
    packed = plan(batch["input_ids"], batch["attention_mask"], batch["completion_mask"])
    assert [len(group.tails) for group in packed.groups] == [6]
    assert_same(trainer)


def test_a_llama_shares_as_well(tokenizer, tmp_path):
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True)  # fmt: skip
    torch.manual_seed(0)
    assert_same(trainer_of(LlamaForCausalLM(config).double(), tokenizer, tmp_path, gradient_checkpointing=True))


# What must be seen to fail: each breaks the mask or the positions as a library below could.


def without_restart(monkeypatch):
    def running(*batch):
        packed = plan(*batch)
        object.__setattr__(packed, "positions", torch.arange(packed.tokens)[None])
        return packed

    monkeypatch.setattr("training.shared_prefix.trainers.plan", running)


def chosen_visible(monkeypatch):
    def one_causal_row(query, key, value, packed, scale, dropout):
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)

    monkeypatch.setattr(attention, "split_attention", one_causal_row)


def prompt_hidden(monkeypatch):
    def documents(query, key, value, packed, scale, dropout):
        whole = [Group(at, 0, (tail,)) for group in packed.groups for at, tail in group.further()]
        firsts = [Group(group.start, 0, (group.prefix + group.tails[0],)) for group in packed.groups]
        spans = sorted(whole + firsts, key=lambda span: span.start)
        parts = [slice(span.start, span.stop) for span in spans]
        return torch.cat([torch.nn.functional.scaled_dot_product_attention(query[:, :, p], key[:, :, p], value[:, :, p],
                          is_causal=True, scale=scale, enable_gqa=True) for p in parts], dim=2)  # fmt: skip

    monkeypatch.setattr(attention, "split_attention", documents)


@pytest.mark.parametrize("fault", [without_restart, chosen_visible, prompt_hidden])
def test_a_broken_mask_stops_before_the_first_step(fault, base, tokenizer, tmp_path, monkeypatch):
    fault(monkeypatch)
    trainer = trainer_of(base, tokenizer, tmp_path, loss_type=["apo_zero"])
    with pytest.raises(ValueError, match="the attention mask was not kept; set shared_prefix_attention: split"):
        trainer.train()
    assert trainer.state.global_step == 0


@pytest.mark.parametrize("fault", [without_restart, chosen_visible, prompt_hidden])
def test_and_its_gradients_are_far_off(fault, exact, tokenizer, tmp_path, monkeypatch):
    fault(monkeypatch)
    trainer = trainer_of(exact, tokenizer, tmp_path)
    trainer.agrees = True
    ours = gradients(trainer, batch_of(trainer), SharedPrefixDPOTrainer)[2]
    assert relative(ours, gradients(trainer, batch_of(trainer), DPOTrainer)[2]) > 0.01


def test_the_first_batch_is_compared_once_and_said(base, tokenizer, tmp_path, capsys):
    trainer = trainer_of(base, tokenizer, tmp_path, max_steps=2, per_device_train_batch_size=2)
    trainer.train()
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("shared prefix: 4 rows of")]
    assert len(said) == 1


# The plan


def test_a_plan_packs_and_finds_back():
    ids = torch.tensor([[1, 2, 3, 7, 8, 0], [1, 2, 3, 7, 9, 6], [4, 5, 6, 7, 0, 0]])
    answered = torch.tensor([[0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 0]])
    packed = plan(ids, (ids > 0).long(), answered)
    assert packed.groups == (Group(0, 4, (1, 2)), Group(7, 0, (4,)))
    tokens = ids.flatten()[packed.source]
    assert tokens.tolist() == [1, 2, 3, 7, 8, 9, 6, 4, 5, 6, 7]
    assert packed.positions[0].tolist() == [0, 1, 2, 3, 4, 4, 5, 0, 1, 2, 3]
    assert torch.equal(tokens[packed.target][ids > 0], ids[ids > 0])


def test_equal_answers_keep_a_token_of_their_own():
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 4]])
    assert plan(ids, torch.ones_like(ids), (ids > 2).long()).groups == (Group(0, 3, (1, 1)),)


def test_varlen_segments_say_the_same_as_split():
    """The layout for the CUDA kernel, run by a plain loop with its alignment to the lower right."""

    def loop(query, keys, values, at, scale):
        outputs = []
        for segment in range(len(at.query_ends) - 1):
            q, k, v = (
                tensor[ends[segment] : ends[segment + 1]].transpose(0, 1)[None]
                for tensor, ends in ((query, at.query_ends), (keys, at.key_ends), (values, at.key_ends))
            )
            assert q.size(2) <= at.longest_query
            assert k.size(2) <= at.longest_key
            mask = torch.ones(q.size(2), k.size(2), dtype=torch.bool).tril(k.size(2) - q.size(2))
            outputs.append(torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, scale=scale, enable_gqa=True)[0].transpose(0, 1))  # fmt: skip
        return torch.cat(outputs)

    torch.manual_seed(0)
    ids = torch.randint(1, 50, (5, 30))
    ids[1, :20], ids[2, :20], ids[4, :9] = ids[0, :20], ids[0, :20], ids[3, :9]
    lengths = torch.tensor([30, 26, 23, 12, 17])
    mask = (torch.arange(30) < lengths[:, None]).long()
    answered = mask * (torch.arange(30) >= torch.tensor([20, 20, 20, 9, 9])[:, None])
    packed = plan(ids, mask, answered)
    assert sorted(len(group.tails) for group in packed.groups) == [2, 3]
    query, key, value = (torch.randn(1, heads, packed.tokens, 8) for heads in (4, 2, 2))
    expected = attention.split_attention(query, key, value, packed, None, 0.0)
    assert torch.allclose(varlen_attention(query, key, value, packed, None, loop), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "autocast", "used"), [(torch.float32, False, False), (torch.bfloat16, False, True), (torch.float32, True, True)]
)
def test_a_kernel_gets_the_dtypes_it_takes_and_split_the_others(dtype, autocast, used):
    """CUDA's varlen kernels refuse float32, which is what rotated queries are under autocast."""
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]])
    packed = plan(ids, torch.ones_like(ids), (ids > 3).long())
    tensors = [torch.randn(1, 2, packed.tokens, 8, dtype=dtype) for _ in range(3)]
    seen = []

    def kernel(query, keys, values, at, scale):
        seen.append({query.dtype, keys.dtype, values.dtype})
        return query

    def attend(required):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return attention._attention(None, *tensors, None, shared_prefix=(packed, kernel, required))[0]

    output = attend(required=False)
    assert seen == [{torch.bfloat16}] * used
    assert output.dtype == (torch.bfloat16 if used else torch.float32)
    if not used:
        with pytest.raises(
            ValueError, match=r"is varlen, which computes in bfloat16 or float16, and the model in torch.float32; set bf16"
        ):
            attend(required=True)


# What cannot share


@pytest.mark.parametrize("implementation", ["eager", "flash_attention_2", "flex_attention"])
def test_an_attention_that_cannot_express_the_mask_is_refused_by_name(implementation, base):
    model = copy.deepcopy(base)
    model.config._attn_implementation = implementation
    with pytest.raises(ValueError, match=f"attn_implementation is {implementation}.*shared_prefix: false"):
        PrefixSharing().attach(model)


def test_sliding_windows_names_and_unknown_kinds_are_refused(base, tokenizer, tmp_path):
    model = copy.deepcopy(base)
    model.config.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(ValueError, match="layers of sliding_attention"):
        PrefixSharing().attach(model)
    with pytest.raises(ValueError, match='is "fast"; choose one of auto, split, varlen'):
        PrefixSharing("fast")
    with pytest.raises(ValueError, match='is the name "some/model"; load it first'):
        SharedPrefixDPOTrainer("some/model", args=arguments(tmp_path), train_dataset=pairs(), processing_class=tokenizer)


def test_generation_and_plain_forwards_are_transformers_own(base, tokenizer):
    model = copy.deepcopy(base)
    PrefixSharing().attach(model)
    batch = tokenizer(["four billion tokens", "open weights and a licence that allows use"], return_tensors="pt", padding=True)
    assert torch.equal(model(**batch).logits, base(**batch).logits)
    options = {"max_new_tokens": 8, "do_sample": False}
    assert torch.equal(model.generate(**batch, **options), base.generate(**batch, **options))
    assert "shared_prefix" not in json.dumps(model.config.to_dict())


# Precomputed references


def test_kept_references_follow_what_they_depend_on(base, tokenizer, tmp_path, monkeypatch):
    """TRL gives another ld_alpha the values of the first."""

    def references(**changes):
        trainer = trainer_of(base, tokenizer, tmp_path / "aligned", reference="precomputed", **changes)
        return trainer.train_dataset["ref_chosen_logps"]

    plain, weighted = list(references()), list(references(ld_alpha=0.5))
    assert plain[1:] != weighted[1:]
    assert len(list((tmp_path / "references").glob("train-*.arrow"))) == 2
    monkeypatch.setattr(KeepsReferences, "compute_ref_log_probs", None)
    monkeypatch.setattr(SharedPrefixDPOTrainer, "compute_ref_log_probs", None)
    assert list(references()) == plain  # read, not computed again


# Several references of one card


def references_of(cards, each, words=6):
    chance = random.Random(2)
    prompts = [sentence(chance, 30 + 5 * card) for card in range(cards)]
    return Dataset.from_list([
        {"prompt": prompt, "completion": " " + sentence(chance, words + at)} for prompt in prompts for at in range(each)
    ])  # fmt: skip


def sft_trainer(kind, base, tokenizer, folder, rows, **changes):
    model = adapter(copy.deepcopy(base))
    options = {"max_steps": 6, "learning_rate": 1e-3, "logging_steps": 1, **changes}
    return kind(model, args=arguments(folder, SFTConfig, **options), train_dataset=rows, processing_class=tokenizer)


def test_k_references_of_a_card_train_as_trl_trains_them(exact, tokenizer, tmp_path, monkeypatch):
    rows = references_of(cards=3, each=4)
    shared = sft_trainer(SharedPrefixSFTTrainer, exact, tokenizer, tmp_path / "shared", rows)
    plain = sft_trainer(SFTTrainer, exact, tokenizer, tmp_path / "plain", rows)
    monkeypatch.setattr(plain, "_get_train_sampler", shared._get_train_sampler)  # the same rows in the same order
    shared.train()
    plain.train()
    weights = [{name: weight.detach() for name, weight in trainer.model.named_parameters()} for trainer in (shared, plain)]
    assert relative(*weights) < 1e-6
    for one, other in zip(shared.state.log_history[:-1], plain.state.log_history[:-1], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-6)
        assert one["num_tokens"] == other["num_tokens"]
    assert max(len(group.tails) for group in shared.plan_run.groups) >= 3  # 4, but for a token across the boundary


@pytest.mark.parametrize(("each", "size"), [(4, 4), (4, 2), (3, 4), (2, 6), (5, 4), (1, 3)])
def test_the_sampler_puts_a_cards_rows_into_one_micro_batch(each, size):
    prompts = [f"card {at // each}" for at in range(each * 30)]
    sampler = SamePromptSampler(prompts, size, seed=7)
    order = list(sampler)
    assert sorted(order) == list(range(len(prompts)))
    assert order == list(sampler)
    batches = [order[at : at + size] for at in range(0, len(order), size)]
    most = [max(Counter(prompts[row] for row in batch).values()) for batch in batches]
    if each % size == 0 or size % each == 0:
        assert min(most) == min(each, size)
    else:
        assert sum(most) / len(most) > min(each, size) / 2
    sampler.set_epoch(1)
    assert list(sampler) != order


def test_when_a_card_is_trained_on_does_not_hang_on_its_number_of_rows():
    each = [1, 2, 2, 3, 3, 3, 3, 4, 4, 4]  # of ten cards: too few single ones to fill up those with three
    prompts = [f"card {card}" for card in range(400) for _ in range(each[card % 10])]
    order = list(SamePromptSampler(prompts, 4, seed=7))
    assert sorted(order) == list(range(len(prompts)))
    size = Counter(prompts)
    places = defaultdict(list)
    for place, row in enumerate(order):
        places[size[prompts[row]]].append(place / len(order))
    assert {rows: sum(found) / len(found) for rows, found in places.items()} == pytest.approx(
        dict.fromkeys(range(1, 5), 0.5), abs=0.06
    )


# The head


def test_scoring_answers_alone_changes_no_value(exact, tokenizer, tmp_path, monkeypatch):
    import trl.trainer.utils as trl_utils
    from trl.kernels import chunked_logprob

    from training.shared_prefix.answer_head import score_answers_alone

    trainer = trainer_of(exact, tokenizer, tmp_path)
    batch = batch_of(trainer)
    scored = []
    head = trl_utils._ChunkedLogProbFunction.apply
    monkeypatch.setattr(trl_utils._ChunkedLogProbFunction, "apply", lambda states, *rest: scored.append(len(states)) or head(states, *rest))  # fmt: skip
    monkeypatch.setattr(trl_utils, "_use_triton", chunked_logprob._use_triton)  # TRL's own, and put back afterwards
    loss, _, everywhere = gradients(trainer, batch, SharedPrefixDPOTrainer)
    score_answers_alone()
    again, _, alone = gradients(trainer, batch, SharedPrefixDPOTrainer)
    assert again == pytest.approx(loss, abs=1e-6)
    assert relative(alone, everywhere) < 1e-6
    assert scored[-1] == int(batch["completion_mask"][:, 1:].sum()) < scored[0]


@pytest.mark.slow
def test_two_processes_end_at_trls_weights(tiny_model, tmp_path):
    script = SUPPORT / "two_ways.py"
    launch = ["-m", "accelerate.commands.launch", "--config_file", "recipes/accelerate/ddp.yaml", "--num_processes", "2"]
    done = run_command(*launch, str(script), str(tiny_model), str(tmp_path), OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr[-2000:]
    ours, theirs = (torch.load(tmp_path / f"{kind}.pt", weights_only=True) for kind in ("SharedPrefixDPOTrainer", "DPOTrainer"))
    assert relative(ours, theirs) < 1e-6
    assert sorted(path.name for path in tmp_path.glob("kept-*")) == ["kept-0", "kept-1"]
