"""Text from cards and web pages on its way to a teacher: without what a reader cannot see, marked as data, flagged where it
speaks to a model.

A page may hold words for the model that reads it ("ignore what you were told"). The teacher has no tools, so what it could
do is poison a training row. Nothing stops that for certain: hidden text goes, a delimiter that the page cannot know
encloses the rest (spotlighting, arXiv 2403.14720), known phrases are reported beside the row and never dropped in silence.
"""

from __future__ import annotations

import hashlib
import re

COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
# Elements that a browser does not show.
# A lone quote is no quotation, and "<b" within a tag is another tag; what is read again is bounded.
_TAG = re.compile(
    r"<(?P<name>[a-z][\w-]*)(?P<attributes>(?:[\s/](?:[^<>\"']|<(?![a-z/!])|\"[^\"]{0,2000}\"|'[^']{0,2000}'|[\"'])*+)?)>",
    re.IGNORECASE,
)
_NEVER_SHOWN = ("script", "style", "template", "noscript")
_VOID = "area base br col embed hr img input link meta source track wbr".split()  # without an end tag
_INLINE = (
    "a abbr b bdi bdo cite code em font i kbd label mark p q s small span strong sub sup tt u var".split()
)  # end with their paragraph
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_HIDDEN = re.compile(r"\shidden(?=[\s=/]|\Z)", re.IGNORECASE)
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]*[1-9])|opacity\s*:\s*0(?![.\d]*[1-9])", re.IGNORECASE
)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
# Zero-width and joining marks, bidirectional controls, tags, variation selectors, soft hyphens, C0 controls but tab and line ends.
UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
INJECTIONS = {
    "tells to ignore instructions": r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|earlier|all|any|your|system)\b.{0,30}"
    r"\b(?:instructions?|prompts?|rules?|directions?|guidelines?|messages?)\b",
    "speaks to a model": r"\b(?:if you are|as|attention|dear|note to|instructions? (?:to|for)|message (?:to|for))\b[ ,:]{0,3}(?:an? |any |the |all )?"
    r"(?:ai|llms?|language models?|assistants?|chatbots?|gpt|claude|agents?|summari[sz]ers?)\b.{0,60}\b(?:must|should|please|you|always|never|say|write|output|rate)\b",
    "gives a role": r"\byou are now\b|\bfrom now on,? you\b|\bact as (?:an? |the )?(?:dan|unrestricted|jailbroken|different)\b|\bnew (?:system )?instructions?:",
    "asks for the prompt": r"\b(?:reveal|print|repeat|show|output)\b.{0,30}\b(?:system prompt|your (?:instructions|prompt)|hidden prompt)\b",
    "asks for praise or a grade": r"\b(?:rate|score|grade|rank)\b (?:this|it|our|your|me)\b.{0,40}\b(?:10 ?/ ?10|ten out of ten|highest|maximum|best|perfect)(?!\w)"
    r"|\b(?:say|state|write|mention|claim|conclude)\b.{0,20}\bthat (?:this|the|our) (?:model|system)\b.{0,30}\b(?:is|was) the (?:best|safest|most)\b",
    "dictates the summary": r"\b(?:include|insert|add|append|put|mention)\b.{0,40}\b(?:in|into|to|at the end of)\b.{0,12}\b(?:your|the|every|any) (?:summary|answer|response|reply|output)\b",
    "spells a chat template": r"<\|?(?:im_start|im_end|system|assistant|user|endoftext|eot_id|start_header_id)\|?>|\[/?INST\]|<<SYS>>",
}
_INJECTION = {name: re.compile(pattern, re.IGNORECASE | re.DOTALL) for name, pattern in INJECTIONS.items()}


def visible(text: str) -> str:
    """The text a reader sees: no comments, no hidden elements, no characters without a shape or that turn the line round."""
    return UNSEEN.sub("", _without_hidden(COMMENT.sub(" ", text)))


def _without_hidden(text: str) -> str:
    """Of an element without an end tag all that follows goes, as in a browser; of one that ends with its paragraph, or a script or style
    within a line, which may be spoken of, what stands up to the next blank line. No end is looked for twice."""
    parts, at, endless = [], 0, set[str]()
    for tag in _TAG.finditer(text):
        name = tag["name"].lower()
        if tag.start() < at or not _hides(name, tag["attributes"]):
            continue
        parts.append(text[at : tag.start()])
        at = tag.end()
        if name in _VOID or tag["attributes"].endswith("/"):
            continue
        end = None if name in endless else re.compile(rf"</{name}\s*>", re.IGNORECASE).search(text, at)
        if end is None:
            endless.add(name)
            begins_line = not text[text.rfind("\n", 0, tag.start()) + 1 : tag.start()].strip()
            is_of_paragraph = name in _INLINE or (name in _NEVER_SHOWN and not begins_line)
            blank = _BLANK_LINE.search(text, at) if is_of_paragraph else None
            at = blank.start() if blank else len(text)
        else:
            at = end.end()
    return " ".join([*parts, text[at:]])


def _hides(name: str, attributes: str) -> bool:
    return name in _NEVER_SHOWN or bool(_HIDDEN.search(_QUOTED.sub('""', attributes)) or _HIDING.search(attributes))


def injection_flags(text: str) -> list[str]:
    """What in `text` reads as meant for a model, by name. Looked for in the text as found, comments and hidden parts too.

    A card may show a chat template for good reasons, so a flag is a mark for a person and no verdict.
    """
    plain = UNSEEN.sub("", text)
    return [name for name, pattern in _INJECTION.items() if pattern.search(plain)]


def marker(*texts: str) -> str:
    """A delimiter that none of the texts holds and no author could foresee. It follows from the texts, so that the same
    question is the same twice and its stored answer is found again."""
    salt = 0
    while True:
        mark = hashlib.sha256("\x1f".join([str(salt), *texts]).encode("utf-8", "surrogatepass")).hexdigest()[:12]
        if not any(mark in text for text in texts):
            return mark
        salt += 1


def enclosed(label: str, text: str, mark: str) -> str:
    """`text` between two lines that name it and carry the mark."""
    return f"[[{mark} {label} begins]]\n{text.strip()}\n[[{mark} {label} ends]]"
