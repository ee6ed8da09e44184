"""One page of the published system with what the checks say of it, for its model card. Which page is nobody's choice."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from data_prep.checks.meaning import NO_FLAG
from data_prep.core.records import HeldOut
from data_prep.core.text import plural
from data_prep.prompts.student import read_source


def example(cards: Sequence[HeldOut], rows: Sequence[dict[str, Any]], system: str) -> str:
    """Markdown; "" where `system` wrote nothing. `rows`: of scores.parquet, of one decoding. The card is the first by id, and ids are hashes."""
    pages = {row["id"]: row for row in sorted(rows, key=lambda row: row["sample"], reverse=True) if row["system"] == system}
    card = min((card for card in cards if card.id in pages), key=lambda card: card.id, default=None)
    if card is None:
        return ""
    page = pages[card.id]
    _, model_id, _ = read_source(card.source)
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall("`+", page["text"]))])
    lines = [
        f"What `{system}` wrote of `{model_id}`, the first of the held-out cards in the order of their ids, which are hashes:",
        f"{fence}markdown\n{page['text'].strip()}\n{fence}",
        verdict(json.loads(page["checks"])) + f" {NO_FLAG}",
    ]
    return "\n\n".join(lines) + "\n"


def verdict(checks: Sequence[dict[str, Any]]) -> str:
    flags = [check for check in checks if not check["passed"]]
    said = "; ".join(f"{check['name']}: {' '.join(check['reason'].split())}" for check in flags).replace("<", "&lt;")
    return f"Of {plural(len(checks), 'check')} {len(flags)} {'flags' if len(flags) == 1 else 'flag'} it{': ' if said else ''}{said}."
