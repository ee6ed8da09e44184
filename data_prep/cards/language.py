"""The language of a text, by py3langid."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from data_prep.cards.parse import IDEOGRAPHS, words

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# py3langid knows 97 languages and takes a name or a loan word for the rarer ones; these it tells apart on a paragraph.
KNOWN_LANGUAGES = (
    "ar bg bn ca cs da de el en es et fa fi fr he hi hr hu id is it ja ko lt lv nl no pl pt ro ru sk sl sr sv ta th tr uk ur vi zh"
).split()
IDEOGRAPH = re.compile(rf"[{IDEOGRAPHS}]+")
MOST_QUOTED = 0.5  # of the words
MIN_CHARACTERS = 200  # of prose: on less, a list of names passes for Catalan


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # a tenth of a second that --help need not wait for

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(KNOWN_LANGUAGES)
    return identifier


def language_of(text: str) -> str:
    """Two-letter code of the language of at least 200 characters of prose.

    A few ideographs decide for Chinese or Japanese, so where they are names and examples in a text of words they are left out.
    """
    counted = words(text)
    if sum(map(len, ideographs := IDEOGRAPH.findall(text))) < MOST_QUOTED * len(counted):
        text = IDEOGRAPH.sub(" ", text) if ideographs else text
    return _identifier().classify(text[:2000])[0]
