"""The tables: on invented cards (eval/checks_invented.md) and on the halves of the real ones (eval/checks.md, eval/checks_work.md). Their
figures are never mixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from eval.validation.tally import Figure

FEWEST_STATEMENTS = 20  # of a writer, for a share in the opening paragraph


def rendered(figures: dict[str, Any], seed: int, cards: int) -> str:
    clean = figures["clean"]
    lines = [
        "# How far the checks can be trusted",
        "",
        "[checks.md](checks.md) has the same on real cards, which is what to expect; this table watches for regressions.",
        "",
        f"Made by `python -m eval.validate` with seed {seed} on {cards} invented cards: {clean['n']} true summaries, "
        f"{clean['k']} of them flagged, and {figures['texts']} with one planted fault each. What each check looks at is in",
        "`data_prep/checks/__init__.py`, what is planted in `data_prep/synthetic/planted.py`. Intervals are Wilson's, 95%.",
        "",
        "Recall: of the faults that a check must see, those it flags. Precision: of all its flags, on true and on otherwise faulty",
        "summaries, those where the planted fault is one that it may speak of. Spans: of the faults caught with a mark on the text, those",
        "where the mark touches the planted characters. The invented cards are tidier than real ones; real errors are of more kinds.",
        "",
        *_check_rows(figures),
        "",
        "By fault. Beside the check that must see it, a fault may rightly trip others; in brackets, how many of the texts they flagged.",
        "",
        "| fault | must be seen by | n | recall | spans | others that may see it |",
        "|---|---|---|---|---|---|",
        *_fault_rows(figures),
        "",
        "A true number in the wrong place is seen where the source has it in a table, a list of scores or `key: value` lines, and the",
        "summary puts it plainly beside another name, as in the last row. Where only prose has it, or the summary compares, no check sees it.",
    ]
    return "\n".join(lines) + "\n"


def rendered_real(figures: dict[str, Any]) -> str:
    """`figures` as `eval.validate` writes them for real cards. No text of a card is in it, but for words that the summaries share with it."""
    parts = [_opening(figures["made"]), _meaning(figures), _true_pages(figures["true"], figures["refused"]), _planted(figures)]
    if figures["statements"]:
        parts.append(_statements(figures["statements"]))
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _opening(made: dict[str, Any]) -> list[str]:
    mended = {
        "work": "Checks are mended on this half, so expect less of other cards: [checks.md](checks.md) says how much.",
        "fresh": "Checks are mended on these cards, which are in neither half; [checks.md](checks.md) says what to expect of others.",
        "unseen": "These cards are in neither half, their pages of other writers, without notes; no check had been mended on them when these figures were made.",
        "final": "No check was mended on this half: [checks_work.md](checks_work.md) is the other.",
    }
    return [
        "# How far the checks can be trusted on real cards",
        "",
        f'Made on {made["date"]} with seed {made["seed"]} on the half "{made["half"]}": {made["cards"]} of {made["of"]} real cards, '
        f"{made['families']} families. By",
        "",
        f"    {made['command']}",
        "",
        "The true pages are the summaries of recipes/references and, counted apart, earlier writings of them that hold computed figures. Both were",
        "written and read by a large language model, by no person. Each text with a fault is such a summary with one thing made wrong by",
        "program (`eval/validation/real_faults.py`). Intervals are Wilson's, 95%; the texts of one card share its facts, so they are a little narrow.",
        mended[made["half"]],
        "[checks_invented.md](checks_invented.md) is the same for invented cards, and watches for regressions.",
    ]


def _meaning(figures: dict[str, Any]) -> list[str]:
    wrong, found = 1 - figures["true"]["summaries"]["passed"]["share"], figures["found"]
    by_kind = [fault["any"]["share"] for fault in figures["faults"].values() if fault["seen_by"] and fault["any"]["n"]]
    least = f" (by kind {min(by_kind):.0%} to {max(by_kind):.0%})" if by_kind else ""
    return [
        "**What a flag means, and what no flag does not.** A flag is a reason to look at the marked place, no verdict: of the true pages",
        f"{wrong:.0%} had at least one. A page without a flag need not be true. A remark marks a small count, or a romanised or translated name, that the check can neither bear",
        f"out nor refuse, and refuses no page: {_percent(figures['clean_remarks'])} of the true ones have some.",
        f"Of the planted faults that a check claims to see, {_percent(found['claimed'])}",
        f"were flagged{least}; of those that none claims to see, such as a denial, an invented ability, a unit that a number counts,",
        f"two numbers exchanged in a sentence, {_percent(found['unclaimed'])}. What share of a model's own errors is flagged hangs on what it gets wrong; no table of planted faults can tell.",
        *_own_errors(figures["statements"]),
    ]


def _own_errors(statements: dict[str, Figure]) -> list[str]:
    told = [
        f"{_percent(figure)} of {figure['n']} ({name.split(':')[0]})"
        for name, figure in statements.items()
        if name.endswith("not right") and figure["n"] >= FEWEST_STATEMENTS
    ]
    return (
        [f"Of statements that readers found wrong or not there the checks mark {', '.join(told)}; see the end."] if told else []
    )


def _true_pages(true: dict[str, Any], refused: Sequence[dict[str, str]]) -> list[str]:
    passed = [
        f"| {name} | {found['passed']['n']} | {shown(found['passed'])} | {shown(found['passed_truth'])} |"
        for name, found in true.items()
    ]
    return [
        "## True pages",
        "",
        "A flag of form may be right: some cards give too little for a page of 300 words. Every other flag here is wrong. Form is length,",
        "structure, preamble, repetition and copying.",
        "",
        "| pages | n | without a flag | without a flag but for form |",
        "|---|---|---|---|",
        *passed,
        "",
        *_refusals(true),
        "",
        "Each summary that was refused:",
        "",
        "| card | check | what it says |",
        "|---|---|---|",
        *(f"| {one['model_id']} | {one['check']} | {one['reason'].replace('|', chr(92) + '|')} |" for one in refused),
    ]


def _planted(figures: dict[str, Any]) -> list[str]:
    return [
        "## Planted faults",
        "",
        f"{figures['texts']} texts. Recall: of the faults that a check must see, those it flags. What it says of the true summary too does not",
        f"count, unless it marks the planted place. Precision: of its flags on the {figures['clean']['n']} true summaries and of those that come with a",
        "fault, the share where the fault is one that it may speak of; it hangs on how many texts there are of each kind. Spans: of the faults",
        "caught with a mark on the text, those where the mark touches the planted characters.",
        "",
        *_check_rows(figures),
        "",
        f"Of the planted wrong numbers {_percent(figures['derived'])} follow from others by chance and were let pass as derived.",
        "",
        "By fault. Where no check claims to see a fault, none must; remarked: not flagged, but marked as a remark; in the last column, how many",
        "of the texts other checks flagged.",
        "",
        "| fault | must be seen by | n | recall | remarked | seen by any that may | spans | flagged by others |",
        "|---|---|---|---|---|---|---|---|",
        *_real_fault_rows(figures),
    ]


def _statements(found: dict[str, Figure]) -> list[str]:
    return [
        "## A model's own statements",
        "",
        "Statements about cards of this half, of references and of a small tuned model's pages, that two readers (a large language model, no person)",
        "held against the whole source (`recipes/references/statements.jsonl`). Marked: by links, numbers, names or contradiction, where the statement stands",
        "alone under its heading. Statements of one card and page share their faults, so the intervals (Wilson's, 95%) are too narrow.",
        "",
        "| statements | n | marked |",
        "|---|---|---|",
        *(f"| {name} | {figure['n']} | {shown(figure)} |" for name, figure in found.items()),
    ]


def _percent(figure: Figure) -> str:
    if not figure["n"]:
        return "none (no such fault found a place)"
    low, high = figure["ci95"]
    return f"{figure['share']:.0%} [{low:.0%}, {high:.0%}]"


def _refusals(true: dict[str, Any]) -> Iterator[str]:
    kinds = list(true)
    yield f"| check | {' | '.join(f'{name} refused | share' for name in kinds)} |"
    yield "|---" * (1 + 2 * len(kinds)) + "|"
    for check in true[kinds[0]]["refused"]:
        found = [true[name]["refused"][check] for name in kinds]
        yield f"| {check} | {' | '.join(str(one['k']) + ' | ' + shown(one) for one in found)} |"


def _check_rows(figures: dict[str, Any]) -> Iterator[str]:
    yield "| check | planted | recall | flags | precision | spans |"
    yield "|---|---|---|---|---|---|"
    for check, found in figures["checks"].items():
        recall, precision, spans = found["recall"], found["precision"], found["spans"]
        yield f"| {check} | {recall['n']} | {shown(recall)} | {precision['n']} | {shown(precision)} | {shown(spans)} |"


def _fault_rows(figures: dict[str, Any]) -> Iterator[str]:
    for fault, found in figures["faults"].items():
        named = dict.fromkeys(found["may"], 0) | found["others"]
        others = ", ".join(f"{name} ({count})" for name, count in sorted(named.items()) if name)
        seen_by = found["seen_by"] or "none"
        recall = found["recall"]
        yield f"| {fault} | {seen_by} | {recall['n']} | {shown(recall)} | {shown(found['spans'])} | {others} |"


def _real_fault_rows(figures: dict[str, Any]) -> Iterator[str]:
    for fault, found in figures["faults"].items():
        others = ", ".join(
            f"{name} ({count}{'' if name in found['may'] else ', wrongly'})" for name, count in sorted(found["others"].items())
        )
        recall = shown(found["recall"]) if found["seen_by"] else ""
        remarked = f"{found['remarked']['share']:.3f}" if found["remarked"]["k"] else ""
        yield (
            f"| {fault} | {found['seen_by'] or 'none'} | {found['recall']['n']} | {recall} | {remarked} | {shown(found['any'])} | "
            f"{shown(found['spans'])} | {others} |"
        )


def shown(figure: Figure) -> str:
    if not figure["n"]:
        return ""
    low, high = figure["ci95"]
    return f"{figure['share']:.3f} [{low:.3f}, {high:.3f}]"
