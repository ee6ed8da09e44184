"""The body of a chat-completions reply -> Answer.

Servers differ in where reasoning goes: a field of its own, or the text, between tags of which the first may be missing
because the prompt ended with it. Here it always ends up in `Answer.reasoning`.
"""

from __future__ import annotations

import re

from pydantic import BaseModel, Field, ValidationError

from data_prep.chat.answer_cache import Answer

# Summaries of reasoning models speak of `<think>`: a tag in backticks is a word, not a tag.
BLOCK = re.compile(r"(?<!`)<think>(.*?)</think>(?!`)", re.DOTALL)
NOT_OPENED = re.compile(r"\A(.*?)</think>[ \t]*(?:\n|\Z)", re.DOTALL)
NOT_CLOSED = re.compile(r"^[ \t]*<think>(.*)\Z", re.DOTALL | re.MULTILINE)
REFUSED = ("content_filter", "refusal")


class NoAnswer(Exception):
    """There is no use in what came, or nothing came; `ask_again` where the same question may fare better at once."""

    def __init__(self, reason: str, ask_again: bool = True, empty: Answer | None = None) -> None:
        super().__init__(reason)
        self.reason, self.ask_again, self.empty = reason, ask_again, empty


class _Message(BaseModel):
    content: str | None = None
    reasoning_content: str | None = None  # the older name of the field below, still the more common one
    reasoning: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Tokens(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Reply(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Tokens | None = None
    model: str | None = None


def read_answer(content: bytes, key: str) -> Answer:
    """The first choice of a reply. Raises NoAnswer where there is none, with the place and the start of what came."""
    try:
        reply = _Reply.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        start = content[:100].decode("utf-8", "replace")
        raise NoAnswer(f"not a chat completion ({': '.join(filter(None, (place, first['msg'])))}): {start}") from None
    choice, tokens = reply.choices[0], reply.usage or _Tokens()
    message = choice.message
    text, thoughts = split_thinking(message.content or "")
    reasoning = [message.reasoning_content or message.reasoning or "", thoughts]
    return Answer(
        text=text,
        finish_reason="refusal" if message.refusal else choice.finish_reason or "unknown",
        prompt_tokens=tokens.prompt_tokens,
        completion_tokens=tokens.completion_tokens,
        model=reply.model or "",
        key=key,
        reasoning="\n".join(part.strip() for part in reasoning if part.strip()),
    )


def split_thinking(said: str) -> tuple[str, str]:
    """What a model said, and what it thought aloud: the text between the tags, that before a closing tag alone, and that
    after an opening tag that is never closed. Both stripped."""
    thoughts: list[str] = []
    for pattern in (BLOCK, NOT_OPENED, NOT_CLOSED):
        thoughts += pattern.findall(said)
        said = pattern.sub("", said)
    return said.strip(), "\n".join(part.strip() for part in thoughts if part.strip())


def check_answer(answer: Answer) -> None:
    """Raises NoAnswer for a refusal and for an answer without text."""
    if answer.finish_reason in REFUSED:
        raise NoAnswer(f"refused ({answer.finish_reason})", ask_again=False)
    if answer.finish_reason == "length" and not answer.text:
        said = f"no text within {answer.completion_tokens} tokens; raise max_tokens or turn reasoning off in extra_body"
        raise NoAnswer(said, ask_again=False, empty=answer)
    if not answer.text:
        raise NoAnswer(f"empty answer ({answer.finish_reason})", empty=answer if answer.finish_reason == "stop" else None)
