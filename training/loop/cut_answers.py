"""Alignment on rejected texts that have no end: no end is put behind them."""

from __future__ import annotations

from typing import Any

from trl import DPOTrainer

from data_prep.prompts.chat_format import chat_format

CUT = "rejected_cut"


class LeavesCutAnswersOpen(DPOTrainer):
    """DPOTrainer whose rejected texts end only where their writer ended them.

    TRL renders every answer as a whole turn, so a sample that the token limit cut, or that ran in a loop, would be rejected together
    with an end that its model never wrote: the more samples are cut, the less the aligned model ends its own.
    Rows say so in a column `rejected_cut`; without it they are TRL's.
    """

    def _prepare_dataset(self, dataset: Any, processing_class: Any, *args: Any, **kwargs: Any) -> Any:
        rows = super()._prepare_dataset(dataset, processing_class, *args, **kwargs)
        if CUT not in rows.column_names:
            return rows
        end = processing_class.convert_tokens_to_ids(chat_format(processing_class).turn_end)
        return rows.map(open_ended, fn_kwargs={"end": end}, desc="Taking ends from cut answers")


def open_ended(row: dict[str, Any], end: int) -> dict[str, list[int]]:
    """The tokens of a rejected text, up to the end of its turn where it was cut."""
    ids = row["rejected_ids"]
    return {"rejected_ids": ids[: ids.index(end)] if row[CUT] else ids}
