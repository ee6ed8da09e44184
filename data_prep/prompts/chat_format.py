"""How one tokenizer's chat template takes our conversations. Found by rendering short ones, never by a list of model names.

SmolLM3 takes control words out of the system text and an argument that turns thinking off; Qwen3 the argument alone; SmolLM2
neither, and reads control words as text, which it then repeats; Gemma 2 refuses a system turn. What a template does not take, a
prompt for it does not hold. Where a template has a switch, a conversation has two modes: without thoughts, which is ours unless said
otherwise, and with them. A think block that a template opens, and has no switch for, stays open at the prompt's end: the model
thinks first, chat/replies.py tells thoughts from reply, and training refuses a template whose answers do not begin like its prompts end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

# `/system_override` leaves out SmolLM3's block with today's date; `/no_think` puts the empty think block into its prompt.
CONTROL_WORDS = ("/system_override", "/no_think")
THINK_WORDS = ("/system_override", "/think")
THINK_SWITCH = "enable_thinking"  # the argument by which templates turn thinking on and off
SYSTEM, USER, ANSWER = "Be brief about zebras.", "What is a quagga?", "An extinct zebra."


class ChatFormat(NamedTuple):
    """`control`: words that end the system text. `kwargs`: arguments of `apply_chat_template`. `system_role`: False where the
    system text has to stand at the head of the user's turn. `turn_end`: the special token that ends the model's turn."""

    control: str = ""
    kwargs: dict[str, bool] = {}
    system_role: bool = True
    turn_end: str = ""


_known: dict[tuple[str | bool, ...], ChatFormat] = {}


def chat_format(tokenizer: Any, think: bool = False) -> ChatFormat:
    """The format that the tokenizer's template takes in one of the two modes; the same object for the same template. Raises ValueError
    where a model is to think and its template has no switch for it."""
    key = (str(getattr(tokenizer, "chat_template", "")), str(getattr(tokenizer, "eos_token", "")), think)
    if key not in _known:
        _known[key] = _probed(tokenizer, think)
    return _known[key]


def has_think_mode(tokenizer: Any) -> bool:
    return bool(chat_format(tokenizer).kwargs)


def thinks(kwargs: dict[str, Any] | None) -> bool:
    """Whether arguments of `apply_chat_template` turn thinking on."""
    return bool((kwargs or {}).get(THINK_SWITCH))


def _probed(tokenizer: Any, think: bool) -> ChatFormat:
    system_role = SYSTEM in (_rendered(tokenizer, SYSTEM) or "")
    control: list[str] = []
    for word in (THINK_WORDS if think else CONTROL_WORDS) if system_role else ():
        if _takes(tokenizer, [*control, word]):
            control.append(word)
    kwargs = {THINK_SWITCH: think} if _switches(tokenizer, system_role) else {}
    if think and not kwargs:
        raise ValueError(
            f"the chat template of {getattr(tokenizer, 'name_or_path', '') or 'this model'} has no think mode (no {THINK_SWITCH} that "
            "changes the prompt); leave out think, or give the model a template with that switch (a small base made "
            "before it had one: delete its folder and run data_prep.small_base)"
        )
    return ChatFormat(" ".join(control), kwargs, system_role, _turn_end(tokenizer))


def _rendered(tokenizer: Any, system: str | None, **kwargs: Any) -> str | None:
    """None where the template refuses the conversation."""
    from jinja2 import TemplateError

    turns = [{"role": "user", "content": USER}]
    if system is not None:
        turns.insert(0, {"role": "system", "content": system})
    try:
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **kwargs)
    except TemplateError:
        return None


def _takes(tokenizer: Any, words: list[str]) -> bool:
    """A control word is one that the template takes out of the text, here the last one, behind those that it takes."""
    text = _rendered(tokenizer, f"{SYSTEM}\n{' '.join(words)}")
    return text is not None and SYSTEM in text and words[-1] not in text


def _switches(tokenizer: Any, system_role: bool) -> bool:
    system = SYSTEM if system_role else None
    return _rendered(tokenizer, system, **{THINK_SWITCH: False}) != _rendered(tokenizer, system, **{THINK_SWITCH: True})


def _turn_end(tokenizer: Any) -> str:
    """The first special token behind an answer; the tokenizer's end token where the template writes none."""
    turns = [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}]
    behind = tokenizer.apply_chat_template(turns, tokenize=False).rpartition(ANSWER)[2]
    found = [(behind.index(token), -len(token), token) for token in added_tokens(tokenizer) if token in behind]
    return min(found)[2] if found else tokenizer.eos_token


def added_tokens(tokenizer: Any) -> list[str]:
    """Those that text must not spell: all that were added to the vocabulary, but for the runs of spaces and newlines that some have (Gemma,
    Phi-2). Whether a token is marked as special does not tell: `<start_of_turn>` of Gemma is not."""
    return sorted(token for token in tokenizer.get_added_vocab() if token.strip(" \t\r\n▁"))
