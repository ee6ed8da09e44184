"""The script of a published card: transformers alone, with the prompt's own code, so that card and project cannot differ."""

from __future__ import annotations

import ast
import inspect
import json
from typing import Any

from data_prep.prompts import chat_format, end_tokens, student
from data_prep.prompts.chat_format import ChatFormat

# Whatever the messages of a summary are built from, as data_prep/prompts/student.py spells it.
CONSTANTS = ("SYSTEM", "TASK", "DELIMITERS")
OF_PROMPT = (
    chat_format.added_tokens,
    student.control_strings,
    student.neutralise,
    student._attribute,
    student.conversation,
    student._messages,
)
FUNCTIONS = (*OF_PROMPT, end_tokens.end_ids, end_tokens.before_end)
HEAD = '''"""python summarize.py ORG/NAME card.md [notes.json] > summary.md

ORG/NAME is the model to be summarised, card.md its README, in UTF-8. notes.json holds notes on the pages that it links to:
[{"url": "https://...", "text": "..."}]. Without notes the summary rests on the card alone.
"""

from __future__ import annotations

import html
import json
import sys
from collections import namedtuple
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
'''
WITH_PEFT = "from peft import AutoPeftModelForCausalLM\nfrom transformers import AutoTokenizer"
MAIN = """def summarise(model_id, card, notes):
    tokenizer = AutoTokenizer.from_pretrained(MODEL, revision=REVISION)
    model = AutoModelForCausalLM.from_pretrained(MODEL, revision=REVISION, dtype=DTYPE).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    control = control_strings(tokenizer)
    notes = [Note(note["url"], neutralise(note["text"], control)) for note in notes]
    messages = _messages(model_id, neutralise(card, control), notes, control, CHAT)
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **CHAT.kwargs)
    inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).to(model.device)
    length = inputs["input_ids"].shape[1]
    if length > MAX_PROMPT_TOKENS:
        sys.exit(f"the prompt takes {length} tokens, it was tuned on up to {MAX_PROMPT_TOKENS}; shorten the longest part")
    ends = end_ids(tokenizer, model.generation_config)
    with torch.inference_mode():
        output = model.generate(
            **inputs, do_sample=False, max_new_tokens=MAX_NEW_TOKENS, eos_token_id=list(ends), pad_token_id=tokenizer.pad_token_id
        )
    written = output[0, length:].tolist()
    length = before_end(written, ends)
    if length is None:
        print(f"cut off after {MAX_NEW_TOKENS} tokens", file=sys.stderr)
    return tokenizer.decode(written[:length]).strip()


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    model_id, card, *rest = sys.argv[1:]
    notes = json.loads(Path(rest[0]).read_text(encoding="utf-8")) if rest else []
    print(summarise(model_id, Path(card).read_text(encoding="utf-8"), notes))
"""


def snippet(
    repository: str,
    revision: str,
    dtype: str,
    max_prompt_tokens: int,
    max_new_tokens: int,
    chat: ChatFormat,
    adapter: bool = False,
) -> str:
    """A whole Python script. `max_prompt_tokens`: longest prompt that the model was trained on. `chat`: of its tokenizer."""
    settings: dict[str, Any] = {
        "MODEL": repository,
        "REVISION": revision,
        "DTYPE": dtype,
        "MAX_PROMPT_TOKENS": max_prompt_tokens,
        "MAX_NEW_TOKENS": max_new_tokens,
    }
    constants = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    constants += [spelled(name) for name in CONSTANTS]
    constants.append('Note = namedtuple("Note", "url text")')
    constants.append(f'ChatFormat = namedtuple("ChatFormat", "{" ".join(ChatFormat._fields)}")')
    constants.append(f"CHAT = {chat}")
    functions = [inspect.getsource(function).rstrip() for function in FUNCTIONS]
    script = "\n\n\n".join([HEAD + "\n" + "\n".join(constants), *functions, MAIN])
    if adapter:
        # transformers would look for the adapter's tag in the repository of the base too.
        script = script.replace("from transformers import AutoModelForCausalLM, AutoTokenizer", WITH_PEFT)
        script = script.replace("AutoModelForCausalLM.from_pretrained", "AutoPeftModelForCausalLM.from_pretrained")
    return script


def spelled(name: str) -> str:
    """The assignment of a constant as it stands in data_prep/prompts/student.py."""
    source = inspect.getsource(student)
    for node in ast.parse(source).body:
        names = [target.id for target in node.targets if isinstance(target, ast.Name)] if isinstance(node, ast.Assign) else []
        if names == [name] and (assignment := ast.get_source_segment(source, node)):
            return assignment
    raise AssertionError(f"data_prep/prompts/student.py assigns no {name}")
