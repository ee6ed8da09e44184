"""Which APO loss fits: measured by how often the SFT model already writes as well as the texts that will be chosen."""

from __future__ import annotations

from collections.abc import Sequence

from data_prep.candidates.checked import CheckedSummary
from data_prep.core.wilson import wilson


class ReferenceMatchRate:
    """How many validation cards the SFT model writes as well of as the reference, by the checks: in half of its samples or more.
    Cards are counted, not samples, of which those of one card are alike."""

    def __init__(self) -> None:
        self.n = self.matches = 0

    def add(self, samples: Sequence[CheckedSummary], reference: CheckedSummary) -> None:
        if samples:
            good = [sample.accepted and sample.value("facts") >= reference.value("facts") for sample in samples]
            self.n += 1
            self.matches += 2 * sum(good) >= len(good)

    def result(self) -> dict[str, float | int]:
        low, high = wilson(self.matches, self.n)
        return {"share": self.matches / self.n if self.n else 0.0, "low": low, "high": high, "n": self.n}

    def advice(self) -> str:
        """TRL: apo_zero raises chosen texts and is for a model that is worse than them, apo_down lowers both."""
        low, high = wilson(self.matches, self.n)
        share = f"on {self.matches} of {self.n} validation cards half of the own samples match the reference ({low:.0%} to {high:.0%})"
        if low > 0.5:
            return f"{share}: the model is as good as what is chosen, loss_type apo_down is advised"
        if high < 0.5:
            return f"{share}: the model is below what is chosen, loss_type apo_zero is advised"
        return f"{share}: too close to half, or too few, to advise between apo_zero and apo_down"
