"""Chat templates of other model families, in our words: each shows how one family takes system text, thinking and ends."""

from __future__ import annotations

from typing import Any

from commands import BASE

# A stock system message where there is none, no think mode.
SMOLLM2 = (
    "{%- if messages[0].role != 'system' -%}{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' -}}{%- endif -%}"
    "{%- for message in messages -%}{{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
# An argument turns thinking off, words in the text are left where they are.
QWEN = (
    "{%- for message in messages -%}{{- '<|im_start|>' ~ message.role ~ '\\n' -}}"
    "{%- if message.role == 'assistant' -%}{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}"
    "{{- message.content ~ '<|im_end|>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}"
    "{%- if enable_thinking is defined and enable_thinking is false -%}{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}{%- endif -%}"
)
# No system role, other names of the turns, and an end of turn that is not the tokenizer's end token.
GEMMA = (
    "{%- if messages[0].role == 'system' -%}{{- raise_exception('System role not supported') -}}{%- endif -%}"
    "{%- for message in messages -%}{{- '<tool_call>' ~ ('model' if message.role == 'assistant' else message.role) ~ '\\n' -}}"
    "{{- message.content ~ '</tool_call>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<tool_call>model\\n' -}}{%- endif -%}"
)


def with_template(template: str) -> Any:
    """The demo's tokenizer with another template; its special tokens stand for the family's own."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BASE)
    tokenizer.chat_template = template
    return tokenizer
