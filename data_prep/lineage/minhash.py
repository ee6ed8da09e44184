"""Texts that are nearly the same: MinHash of 5-word shingles (Broder 1997), looked up by bands (Leskovec et al., MMDS, 3.4)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from rensa import RMinHash

SHINGLE = 5  # words
MIN_WORDS = 30  # below this, prose is too short for its overlap with another's to mean anything
# 40 bands of 3: a pair at Jaccard 0.5 is looked at with probability 0.995, a pair at 0.1 with 0.04.
PERMUTATIONS, BANDS = 120, 40
SEED = 20_240_517
# A card this close to one already known finds whatever its twin would find, so the twin stands for both.
TWIN = 0.95
CHUNK = 512  # texts whose bands are worked out at once
# Odd multipliers, one a place in the band: three 32-bit numbers become one of 64 bits.
MIX = np.random.default_rng(SEED).integers(1, 2**63, (BANDS, PERMUTATIONS // BANDS), np.uint64) * np.uint64(2) + np.uint64(1)


def signature(text: Sequence[str]) -> np.ndarray | None:
    """MinHash of a text given as words: PERMUTATIONS numbers of 32 bits; None below MIN_WORDS words."""
    if len(text) < MIN_WORDS:
        return None
    sketch = RMinHash(num_perm=PERMUTATIONS, seed=SEED)
    sketch.update([" ".join(text[start : start + SHINGLE]) for start in range(len(text) - SHINGLE + 1)])
    return np.array(sketch.digest(), np.uint32)


class NearDuplicates:
    """Finds, among the texts added so far, those whose estimated Jaccard similarity is at least `threshold`.

    All signatures that will come are given at the start, so that memory goes only to bands that two of them share, and each
    band's texts are chained in flat arrays: a dictionary of lists takes 5 KB a card where every card has a copy.
    """

    def __init__(self, threshold: float, signatures: Iterable[np.ndarray | None]):
        self.threshold = threshold
        self.shared = shared_bands([one for one in signatures if one is not None])
        self.newest = array("i", [-1]) * self.shared.size  # slot of a band -> its newest entry
        self.text, self.before = array("i"), array("i")  # entry -> place of the text, and the entry before it in its band
        self.ids: list[str] = []
        self.sketches: list[np.ndarray] = []

    def find(self, sketch: np.ndarray | None) -> list[tuple[str, float]]:
        """Ids and similarities of the near-duplicates known so far, in the order they were added."""
        if sketch is None:
            return []
        candidates = sorted({place for slot in self._slots(sketch) for place in self._texts(slot)})
        if not candidates:
            return []
        similar = (np.stack([self.sketches[place] for place in candidates]) == sketch).mean(axis=1).tolist()
        pairs = zip(candidates, similar, strict=True)
        return [(self.ids[place], similarity) for place, similarity in pairs if similarity >= self.threshold]

    def add(self, card_id: str, sketch: np.ndarray | None, found: Iterable[tuple[str, float]]) -> None:
        """Remembers a text. `found` is what `find` gave for it."""
        if sketch is None or any(similarity >= TWIN for _, similarity in found):
            return
        for slot in self._slots(sketch):
            self.before.append(self.newest[slot])
            self.newest[slot] = len(self.text)
            self.text.append(len(self.ids))
        self.sketches.append(sketch)
        self.ids.append(card_id)

    def _slots(self, sketch: np.ndarray) -> list[int]:
        """Places in `shared` of those bands of the text that another text has too."""
        if not self.shared.size:
            return []
        own = bands(sketch[None])[0]
        places = np.minimum(np.searchsorted(self.shared, own), self.shared.size - 1)
        return places[self.shared[places] == own].tolist()

    def _texts(self, slot: int) -> Iterator[int]:
        entry = self.newest[slot]
        while entry >= 0:
            yield self.text[entry]
            entry = self.before[entry]


def bands(signatures: np.ndarray) -> np.ndarray:
    """One 64-bit number a band: (texts, PERMUTATIONS) -> (texts, BANDS). Equal bands of one place give equal numbers."""
    parts = signatures.reshape(len(signatures), BANDS, -1).astype(np.uint64)
    return (parts * MIX).sum(axis=2, dtype=np.uint64) ^ np.arange(BANDS, dtype=np.uint64)


def shared_bands(signatures: Sequence[np.ndarray]) -> np.ndarray:
    """Sorted numbers of the bands that more than one text has."""
    if not signatures:
        return np.empty(0, np.uint64)
    numbers = np.empty((len(signatures), BANDS), np.uint64)
    for start in range(0, len(signatures), CHUNK):
        numbers[start : start + CHUNK] = bands(np.stack(signatures[start : start + CHUNK]))
    flat = numbers.reshape(-1)
    flat.sort()
    return np.unique(flat[1:][flat[1:] == flat[:-1]])
