"""The prompt: its only owner. Data, training, evaluation and use build it here, so all four see the same tokens.

A conversation has three turns. The system turn holds our words alone: SmolLM3's template searches it for `/think`, so
card text there could switch the mode. What else a prompt has to say to a template, so that it neither thinks nor names today's
date, follows from the template itself (chat_format.py); `fitted` puts one conversation into any model's form.
The user turn holds card, notes and the task, in that order: a model reads its task last, and several completions of one
card share the longest prefix.

The second task, notes on a page that a card links to, has the same shape: beginning of the card, page, task.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from data_prep.cards.front_matter import split_front_matter
from data_prep.cards.parse import decode
from data_prep.core.files import sha256_file, sha256_text
from data_prep.core.records import Card, Note, RawCard
from data_prep.core.text import first_line
from data_prep.prompts.chat_format import ChatFormat, added_tokens, chat_format

PROMPT_VERSION = "1"
NOTES_VERSION = "1"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")
SYSTEM = (
    "You write one-page summaries of machine-learning models for AI researchers. "
    "You state only what the model card and the research notes say."
)
TASK = (
    "Summarise {model_id} for AI researchers in 300 to 500 words of Markdown. "
    "Open with a heading. State the major facts and traits, give notable points as bullets, "
    "and link to the sources that support them."
)
THINK_TAGS = ("<think>", "</think>")  # not every tokenizer has them as tokens of their own
# Our own delimiters: a card that spells one of them must not end its section.
DELIMITERS = ("<model_card", "</model_card", "<research", "</research", "<source", "</source")

NOTHING_NEW = "NOTHING NEW"
NOTES_WORDS = 350
CARD_TOKENS = 1_000  # of the card in a notes prompt: enough to know the model, and the room belongs to the page
NOTES_SYSTEM = (
    "You write research notes on web pages about machine-learning models for AI researchers. You state only what the page says."
)
NOTES_TASK = (
    "Write notes on this page for a researcher who has read the card of {model_id}: what the page adds about the model. "
    "Markdown bullets, the most important first, each one a fact with its figures as they stand on the page, "
    "at most {words} words. If the page adds nothing about {model_id}, answer NOTHING NEW."
)
SYSTEMS = (SYSTEM, NOTES_SYSTEM)  # of the prompts that are trained on
# Apart from DELIMITERS: there they would change the summary prompt of a card that spells them.
PAGE_DELIMITERS = ("<page", "</page")


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that the prompt needs."""

    def __call__(self, text: str, add_special_tokens: bool = ...) -> Any: ...
    def apply_chat_template(self, conversation: list[dict[str, str]], **kwargs: Any) -> Any: ...
    def get_added_vocab(self) -> dict[str, int]: ...


@dataclass(frozen=True)
class Omission:
    """What the budget left out of one part of the prompt, in tokens."""

    part: str
    tokens: int


@dataclass(frozen=True)
class Prompt:
    """Messages without the assistant's turn, their length in tokens as rendered, and what did not fit."""

    messages: list[dict[str, str]]
    tokens: int
    omitted: list[Omission] = field(default_factory=list)
    card: str = ""  # as it stands in the prompt
    notes: list[Note] = field(default_factory=list)  # as they stand there
    template_kwargs: dict[str, bool] = field(default_factory=dict)  # what the template takes beside the messages

    def provenance(self, card: Card, family: str, version: str) -> dict[str, Any]:
        """What a training row tells of its card and of this prompt, which `version` of the words made."""
        told = {name: getattr(card, name) for name in ("model_id", "revision", "licence")}
        omitted = {omission.part: omission.tokens for omission in self.omitted}
        own = {"prompt_version": version, "prompt_tokens": self.tokens, "omitted": omitted}
        return {"card_id": card.id, **told, "family": family, **own}


def load_tokenizer(name: str, key: str, revision: str | None = None) -> Tokenizer:
    """The tokenizer of a folder or Hub id. Raises ValueError that blames `key`, the option that named it."""
    from transformers import AutoTokenizer  # two seconds of import that `--help` need not wait for

    if name.startswith(("/", ".", "~")) and not Path(name).is_dir():
        raise ValueError(f"there is no folder {name}; {key} is a folder or a Hub id")
    try:
        return AutoTokenizer.from_pretrained(name, revision=revision)
    except (OSError, ValueError) as error:
        raise ValueError(f'{key} is "{name}", which cannot be loaded: {first_line(error)}') from None


def tokenizer_hash(name: str) -> str | None:
    """Of what a folder's tokenizer and template are made of; None of a Hub id, whose name says it."""
    files = [path for path in (Path(name) / file for file in TOKENIZER_FILES) if path.exists()]
    return sha256_text("".join(map(sha256_file, files))) if files else None


def build_prompt(model_id: str, card: str, notes: Sequence[Note], tokenizer: Tokenizer, max_tokens: int) -> Prompt:
    """The prompt of one card, at most `max_tokens` long as rendered with its generation prompt.

    Where card and notes do not fit, the longest parts are cut first, all to the same length, at the ends of lines, or of words where a line is too long.
    Raises ValueError where `max_tokens` leaves no room for the text at all.
    """
    control, chat = control_strings(tokenizer), chat_format(tokenizer)
    parts = [neutralise(card, control), *(neutralise(note.text, control) for note in notes)]
    labels = ["card", *(note.url for note in notes)]
    sizes = [count_tokens(part, tokenizer) for part in parts]
    # Tokens merge across the seams of the parts, so the sum is an estimate; the loop settles the last few tokens.
    frame = rendered_length(_messages(model_id, "", [Note(note.url, "") for note in notes], control, chat), tokenizer)
    room = max_tokens - frame
    while True:
        if room <= 0:
            raise ValueError(
                f"the prompt's frame takes {frame} tokens of {max_tokens} for {model_id}; raise max_prompt_tokens or lower max_sources"
            )
        cut = [
            part if size <= limit else cut_short(part, limit, tokenizer)
            for part, size, limit in zip(parts, sizes, fair_shares(sizes, room), strict=True)
        ]
        kept = [Note(note.url, text) for note, text in zip(notes, cut[1:], strict=True)]
        messages = _messages(model_id, cut[0], kept, control, chat)
        total = rendered_length(messages, tokenizer)
        if total <= max_tokens:
            break
        room -= total - max_tokens
    omitted = [
        Omission(label, size - count_tokens(short, tokenizer))
        for label, part, short, size in zip(labels, parts, cut, sizes, strict=True)
        if short != part
    ]
    return Prompt(messages, total, omitted, cut[0], kept, chat.kwargs)


def build_notes_prompt(model_id: str, card: str, url: str, page: str, tokenizer: Tokenizer, max_tokens: int) -> Prompt:
    """The prompt for notes on one page, at most `max_tokens` long as rendered with its generation prompt.

    Of the card the beginning of its body is shown, at most CARD_TOKENS; the page is cut to the rest. Both end at a line's
    end; a page whose first line alone is too long, at a word's end. The page's omission is recorded under its URL; the
    result's `card` is the excerpt and its one note is the page.
    Raises ValueError where the page is empty or `max_tokens` leaves no room for it.
    """
    if not page.strip():
        raise ValueError(f"the page {url} holds no text; leave it out of the pages to take notes on")
    control, chat = notes_control_strings(tokenizer), chat_format(tokenizer)
    # Front matter would fill the excerpt of many cards with tags and results.
    body = neutralise((split_front_matter(card).body.strip() or card.strip()), control)
    text = neutralise(page.strip(), control)
    excerpt = body if count_tokens(body, tokenizer) <= CARD_TOKENS else cut_short(body, CARD_TOKENS, tokenizer)
    size = count_tokens(text, tokenizer)
    frame = rendered_length(notes_messages(model_id, excerpt, url, "", control, chat), tokenizer)
    room = max_tokens - frame
    while True:
        short = text if size <= room else cut_short(text, room, tokenizer)
        if not short:
            raise ValueError(
                f"the frame of the notes prompt takes {frame} tokens of {max_tokens} for {model_id} and leaves no room for {url}; "
                "raise the budget"
            )
        messages = notes_messages(model_id, excerpt, url, short, control, chat)
        total = rendered_length(messages, tokenizer)
        if total <= max_tokens:
            break
        room = min(room, size) - (total - max_tokens)
    omitted = [
        Omission(label, count_tokens(whole, tokenizer) - count_tokens(kept, tokenizer))
        for label, whole, kept in (("card", body, excerpt), (url, text, short))
        if kept != whole
    ]
    return Prompt(messages, total, omitted, excerpt, [Note(url, short)], chat.kwargs)


def notes_messages(
    model_id: str, card_excerpt: str, url: str, page: str, control: tuple[str, ...], chat: ChatFormat
) -> list[dict[str, str]]:
    """System and user turn of the notes task. `control` comes from `notes_control_strings`; no text need be neutralised
    before, and text that is stays as it is."""
    name = neutralise(model_id, control)
    card = f'<model_card id="{html.escape(name)}">\n{neutralise(card_excerpt, control)}\n</model_card>'
    document = f'<page url="{_attribute(url, control)}">\n{neutralise(page, control)}\n</page>'
    task = NOTES_TASK.format(model_id=name, words=NOTES_WORDS)
    return conversation(NOTES_SYSTEM, f"{card}\n\n{document}\n\n{task}", chat)


def is_nothing_new(notes: str) -> bool:
    """True where the answer says that the page adds nothing, with or without marks around it."""
    return notes.strip().strip(".*_`").upper() == NOTHING_NEW


def build_completion(summary: str, tokenizer: Tokenizer, thought: str = "") -> list[dict[str, str]]:
    """The assistant's turn. Without a thought no think block: where a model has one, the template writes the empty one into the
    prompt. With a thought the same block, filled."""
    control = control_strings(tokenizer)
    said = neutralise(summary.strip(), control)
    if thought:
        begin, end = THINK_TAGS
        said = f"{begin}\n{neutralise(thought.strip(), (*control, *THINK_TAGS))}\n{end}\n{said}"
    return [{"role": "assistant", "content": said}]


# A paragraph of a card may begin so as well: what is meant is the last that the pages, or nothing, follows.
_MODEL_LINE = re.compile(r'\n\nModel: ([^\n]*)(?=\Z|\n\n<source url=")')


def source_text(model_id: str, card: str, notes: Sequence[Note]) -> str:
    """Card and notes as one text, whole: what the checks compare a summary with. The card comes first, as found."""
    pages = (f'<source url="{note.url}">\n{note.text}\n</source>' for note in notes)
    return "\n\n".join([card.rstrip(), f"Model: {model_id}", *pages])


def raw_source(card: RawCard) -> str:
    """`source_text` of a card as a source of cards hands it out."""
    return source_text(card.model_id, decode(card.content), card.notes)


def read_source(source: str) -> tuple[str, str, list[Note]]:
    """Card, model id and notes of a `source_text`."""
    parts = list(_MODEL_LINE.finditer(source))
    if not parts:
        return source, "", []
    pages = source[parts[-1].end() :]
    notes = [Note(*page) for page in re.findall(r'<source url="([^"]+)">\n(.*?)\n</source>', pages, re.DOTALL)]
    return source[: parts[-1].start()], parts[-1][1], notes


def conversation(system: str, user: str, chat: ChatFormat) -> list[dict[str, str]]:
    """The turns before the answer, in the form that a template takes."""
    system = f"{system}\n{chat.control}" if chat.control else system
    if not chat.system_role:
        return [{"role": "user", "content": f"{system}\n\n{user}"}]
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def parted(messages: Sequence[dict[str, str]]) -> tuple[str, str] | None:
    """Our system text without control words, and the user's text, in whatever form they stand; None for a stranger's
    conversation."""
    first = messages[0]["content"]
    for system in SYSTEMS:
        if first.startswith(system):
            return system, messages[1]["content"] if len(messages) > 1 else first.removeprefix(system).lstrip("\n")
    return None


def fitted(messages: list[dict[str, str]], chat: ChatFormat) -> list[dict[str, str]]:
    """A prompt built for one model, in the form that another one's template takes. Other conversations stay as they are."""
    parts = parted(messages)
    return conversation(*parts, chat) if parts else messages


def render(messages: list[dict[str, str]], tokenizer: Tokenizer, think: bool = False) -> str:
    """The prompt's text in the form of this tokenizer's template, up to and with the empty think block if it has one and the model is
    not to think. Raises ValueError as `chat_format` does."""
    chat = chat_format(tokenizer, think)
    return tokenizer.apply_chat_template(fitted(messages, chat), tokenize=False, add_generation_prompt=True, **chat.kwargs)


def rendered_length(messages: list[dict[str, str]], tokenizer: Tokenizer) -> int:
    return count_tokens(render(messages, tokenizer), tokenizer)


def token_ids(text: str, tokenizer: Tokenizer) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def count_tokens(text: str, tokenizer: Tokenizer) -> int:
    return len(token_ids(text, tokenizer)) if text else 0


def control_strings(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Every text that must not come from a card as it is: the tokenizer's control tokens and our delimiters."""
    return (*added_tokens(tokenizer), *DELIMITERS)


def notes_control_strings(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The same for the notes prompt, which has a delimiter of its own."""
    return (*control_strings(tokenizer), *PAGE_DELIMITERS)


def neutralise(text: str, control: Iterable[str]) -> str:
    """Puts a space behind the first character of each control string: `<|im_end|>` becomes `< |im_end|>`.

    Readable for the model, and no token of its own: a card that shows a chat template cannot close the user's turn.
    """
    for token in control:
        if len(token) > 1 and token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def fair_shares(sizes: Sequence[int], room: int) -> list[int]:
    """Limits that sum to at most `room`: parts below the common limit keep their size, the others get the limit.

    The largest such limit (water-filling), so that a short note is never cut to make room for a long card.
    """
    shares, left = [0] * len(sizes), room
    for position, index in enumerate(sorted(range(len(sizes)), key=lambda i: sizes[i])):
        shares[index] = min(sizes[index], left // (len(sizes) - position))
        left -= shares[index]
    return shares


def cut_short(text: str, limit: int, tokenizer: Tokenizer) -> str:
    """At most `limit` tokens from the start: whole lines, or whole words where a long line would cost half of the room."""
    lines = _longest_start(text.splitlines(keepends=True), limit, tokenizer)
    if 2 * count_tokens(lines, tokenizer) >= limit:
        return lines
    return _longest_start(re.findall(r"\s*\S+", text.rstrip()), limit, tokenizer)


def _longest_start(pieces: Sequence[str], limit: int, tokenizer: Tokenizer) -> str:
    """The longest run of whole pieces from the start with at most `limit` tokens."""
    low, high = 0, len(pieces)
    while low < high:
        middle = (low + high + 1) // 2
        if count_tokens("".join(pieces[:middle]), tokenizer) <= limit:
            low = middle
        else:
            high = middle - 1
    return "".join(pieces[:low]).rstrip()


def _messages(
    model_id: str, card: str, notes: Sequence[Note], control: tuple[str, ...], chat: ChatFormat
) -> list[dict[str, str]]:
    name = neutralise(model_id, control)
    pages = "\n".join(f'<source url="{_attribute(note.url, control)}">\n{note.text}\n</source>' for note in notes)
    document = f'<model_card id="{html.escape(name)}">\n{card}\n</model_card>'
    research = f"<research>\n{pages}\n</research>" if notes else "<research>\nNo notes.\n</research>"
    task = TASK.format(model_id=name)
    return conversation(SYSTEM, f"{document}\n\n{research}\n\n{task}", chat)


def _attribute(url: str, control: tuple[str, ...]) -> str:
    """A URL that cannot close its attribute; `&` stays, since the summary must repeat the URL as it is."""
    return neutralise(url.replace('"', "%22").replace("<", "%3C").replace(">", "%3E").replace("\n", ""), control)
