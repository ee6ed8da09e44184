"""A prompt holds what its tokenizer's template takes, and nothing that the model would read as text."""

import pytest
from chat_templates import GEMMA, QWEN, SMOLLM2, with_template
from commands import SMOLLM3_SYSTEM, TEMPLATE_KWARGS
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from data_prep.pretrained.smollm2 import CHAT_TEMPLATE
from data_prep.prompts.chat_format import ChatFormat, chat_format, has_think_mode
from data_prep.prompts.student import SYSTEM, build_completion, build_notes_prompt, build_prompt, fitted, parted, render
from training.preflight.rows import check_rows, check_sft
from training.setup.config import DEFAULTS, RawRecipe, parse
from training.setup.load import load_model

CARD = "# Quillon-2B\n\nA model of 2.2B parameters that thinks /think before it speaks."
FORMATS = {
    "smollm2": (SMOLLM2, ChatFormat("", {}, True, "<|im_end|>")),
    "qwen": (QWEN, ChatFormat("", TEMPLATE_KWARGS, True, "<|im_end|>")),
    "gemma": (GEMMA, ChatFormat("", {}, False, "</tool_call>")),
}


def prompt_of(tokenizer):
    return build_prompt("quill/Quillon-2B", CARD, [], tokenizer, 2000)


def test_smollm3s_template_takes_both_words_and_the_argument(tokenizer):
    assert chat_format(tokenizer) == ChatFormat("/system_override /no_think", TEMPLATE_KWARGS, True, "<|im_end|>")
    assert prompt_of(tokenizer).messages[0] == {"role": "system", "content": SMOLLM3_SYSTEM}


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_template_takes_is_found_by_rendering(name):
    template, expected = FORMATS[name]
    assert chat_format(with_template(template)) == expected


def test_in_think_mode_smollm3s_prompt_is_the_same_without_the_empty_block(tokenizer):
    assert chat_format(tokenizer, think=True) == ChatFormat(
        "/system_override /think", {"enable_thinking": True}, True, "<|im_end|>"
    )
    messages = prompt_of(tokenizer).messages
    assert render(messages, tokenizer, think=True) + "<think>\n\n</think>\n" == render(messages, tokenizer)


def test_other_templates_think_by_their_own_switch_or_not_at_all():
    qwen = with_template(QWEN)
    assert chat_format(qwen, think=True) == ChatFormat("", {"enable_thinking": True}, True, "<|im_end|>")
    for template in (SMOLLM2, GEMMA):
        assert not has_think_mode(with_template(template))
        with pytest.raises(ValueError, match=r"no think mode .* leave out think"):
            chat_format(with_template(template), think=True)


def test_the_small_base_has_smollm3s_switch_and_else_its_own_prompts():
    plain, ours = with_template(SMOLLM2), with_template(CHAT_TEMPLATE)
    assert chat_format(ours) == ChatFormat("/no_think", TEMPLATE_KWARGS, True, "<|im_end|>")
    assert chat_format(ours, think=True) == ChatFormat("/think", {"enable_thinking": True}, True, "<|im_end|>")
    messages = prompt_of(plain).messages
    assert render(messages, ours) == render(messages, plain)  # what the adapter that ships was trained on
    assert render(messages, ours, think=True) == render(messages, plain).replace(
        f"{SYSTEM}<|im_end|>", f"{SYSTEM}\n\nReasoning Mode: think<|im_end|>"
    )
    named = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    turns = [{"role": "user", "content": "Is /think a word?"}, {"role": "assistant", "content": "Yes."}]
    for before in ([], [{"role": "system", "content": "Be brief. "}]):
        system = before[0]["content"] if before else named
        assert ours.apply_chat_template([*before, *turns], tokenize=False) == (
            f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nIs /think a word?<|im_end|>\n"
            "<|im_start|>assistant\nYes.<|im_end|>\n"
        )
    for words in ("/think", "/no_think"):
        text = ours.apply_chat_template(
            [{"role": "system", "content": f"Be brief. {words}"}], tokenize=False, enable_thinking=words != "/think"
        )
        assert text.startswith(
            "<|im_start|>system\nBe brief." + "\n\nReasoning Mode: think" * (words == "/think") + "<|im_end|>"
        )


@pytest.mark.parametrize("name", FORMATS)
def test_no_other_template_gets_smollm3s_words(name):
    tokenizer = with_template(FORMATS[name][0])
    prompt = prompt_of(tokenizer)
    text = render(prompt.messages, tokenizer)
    assert "no_think" not in text
    assert "override" not in text
    assert text.count(SYSTEM) == 1
    assert text.endswith({"smollm2": "assistant\n", "qwen": "assistant\n<think>\n\n</think>\n\n", "gemma": "model\n"}[name])
    assert prompt.tokens == len(tokenizer(text, add_special_tokens=False)["input_ids"])
    notes = build_notes_prompt("quill/Quillon-2B", CARD, "https://q.example", "It has 12 layers.", tokenizer, 2000)
    assert "no_think" not in render(notes.messages, tokenizer)


@pytest.mark.parametrize("name", FORMATS)
def test_a_prompt_for_one_model_is_rendered_in_the_form_of_another(name, tokenizer):
    other = with_template(FORMATS[name][0])
    theirs, ours = prompt_of(other).messages, prompt_of(tokenizer).messages
    assert render(theirs, tokenizer) == render(ours, tokenizer)
    assert render(ours, other) == render(theirs, other)
    assert fitted(theirs, ChatFormat())[0] == {"role": "system", "content": SYSTEM}
    assert parted(theirs) == parted(ours)


def test_a_strangers_conversation_is_left_as_it_is(tokenizer):
    turns = [{"role": "user", "content": "Hello /no_think"}]
    assert fitted(turns, chat_format(tokenizer)) is turns


@pytest.mark.parametrize("name", FORMATS)
def test_rows_train_the_answer_with_the_turns_own_end(name, tiny_model, tmp_path):
    """The end of the turn is trained where the pad token is the same token, as SmolLM2's is."""
    tokenizer = with_template(FORMATS[name][0])
    tokenizer.pad_token = tokenizer.eos_token
    prompt = prompt_of(tokenizer)
    rows = [
        {"id": f"r{n}", "prompt": prompt.messages, "completion": build_completion("# Quillon\n\n" + "Brief. " * n, tokenizer)}
        | ({"chat_template_kwargs": prompt.template_kwargs} if prompt.template_kwargs else {})
        for n in (1, 9)
    ]
    check_rows(Dataset.from_list(rows), tokenizer, ["completion"])
    values = {
        "run_dir": "x",
        "output_dir": str(tmp_path),
        "model_name_or_path": str(tiny_model),
        "use_cpu": True,
        "bf16": False,
    }
    parsed = parse(RawRecipe(values, "r.yaml"), SFTConfig, DEFAULTS)
    columns = [{key: row[key] for key in row if key != "id"} for row in rows]
    trainer = SFTTrainer(
        load_model(parsed), parsed.trainer, train_dataset=Dataset.from_list(columns), processing_class=tokenizer
    )
    check_sft(trainer, 2)
    batch = trainer.data_collator([trainer.train_dataset[0], trainer.train_dataset[1]])
    end = tokenizer.convert_tokens_to_ids(FORMATS[name][1].turn_end)
    assert (batch["labels"] == end).sum(dim=1).tolist() == [1, 1]
    assert (batch["labels"] != -100).sum() < batch["attention_mask"].sum()
