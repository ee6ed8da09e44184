"""The two tables: on invented cards (eval/checks.md) and on real ones (eval/checks_real.md). Their figures are never mixed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eval.validation.tally import Figure


def rendered(figures: dict[str, Any], seed: int, cards: int) -> str:
    clean = figures["clean"]
    lines = [
        "# How far the checks can be trusted",
        "",
        "[checks_real.md](checks_real.md) has the same on real cards, which is what to expect; this table watches for regressions.",
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
        "No check sees a true number in the wrong place: all of its texts pass, and the last row is there to say so.",
    ]
    return "\n".join(lines) + "\n"


def rendered_real(figures: dict[str, Any]) -> str:
    """`figures` as `eval.validate` writes them for real cards. No word of a card is in it."""
    made, clean = figures["made"], figures["clean"]
    lines = [
        "# How far the checks can be trusted on real cards",
        "",
        f'Made on {made["date"]} with seed {made["seed"]} on the half "{made["half"]}": {made["cards"]} of {made["of"]} real cards, '
        f"{made['families']} families. By",
        "",
        f"    {made['command']}",
        "",
        "The true pages are the summaries of recipes/references and, counted apart, earlier writings of them that hold computed figures. Both were",
        "written and read by a large language model, by no person. Of the texts with a fault each is such a summary with one thing made wrong by",
        "program (`eval/validation/real_faults.py`). Intervals are Wilson's, 95%; the texts of one card share its facts, so they are a little narrow.",
        *_half(made["half"]),
        "[checks.md](checks.md) is the same for invented cards.",
        "",
        *_meaning(figures),
        "",
        "## True pages",
        "",
        "Every flag here is wrong. Form is length, structure, preamble, repetition and copying.",
        "",
        "| pages | n | passed by every check | passed by every check but those of form |",
        "|---|---|---|---|",
        *(
            f"| {name} | {found['passed']['n']} | {shown(found['passed'])} | {shown(found['passed_truth'])} |"
            for name, found in figures["true"].items()
        ),
        "",
        *_refusals(figures["true"]),
        "",
        "## Planted faults",
        "",
        f"{figures['texts']} texts. Recall: of the faults that a check must see, those it flags. What it says of the true summary too does not",
        f"count, unless it marks the planted place. Precision: of its flags on the {clean['n']} true summaries and of those that come with a fault, the share where",
        "the fault is one that it may speak of; it hangs on how many texts there are of each kind. Spans: of the faults caught with a mark on the",
        "text, those where the mark touches the planted characters.",
        "",
        *_check_rows(figures),
        "",
        "By fault. Where no check claims to see a fault, none must; in the last column, how many of the texts other checks flagged.",
        "",
        "| fault | must be seen by | n | recall | seen by any that may | spans | flagged by others |",
        "|---|---|---|---|---|---|---|",
        *_real_fault_rows(figures),
    ]
    return "\n".join(lines) + "\n"


def _half(half: str) -> list[str]:
    if half == "work":
        return ['The checks are mended on this half, so expect somewhat less of other cards; the half "final" says how much.']
    return ["The checks were not mended on this half."]


def _meaning(figures: dict[str, Any]) -> list[str]:
    passed, found = figures["true"]["summaries"]["passed"], figures["found"]
    wrong = 1 - passed["share"]
    return [
        f"**What a flag means, and what none does not.** A flag is a reason to look at the marked place, no verdict: {wrong:.0%} of the true pages had at",
        f"least one. A page without a flag is not a true page. Of the planted faults that a check claims to see, {_percent(found['claimed'])} were flagged; of",
        f"those that none claims to see (a true number in the wrong place, a denial, a name that is a plain word), {_percent(found['unclaimed'])}. The share among",
        "all errors that a model makes is between the two, nearer to which depends on what it gets wrong, and no table of planted faults can tell.",
    ]


def _percent(figure: Figure) -> str:
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
        yield (
            f"| {fault} | {found['seen_by'] or 'none'} | {found['recall']['n']} | {recall} | {shown(found['any'])} | "
            f"{shown(found['spans'])} | {others} |"
        )


def shown(figure: Figure) -> str:
    if not figure["n"]:
        return ""
    low, high = figure["ci95"]
    return f"{figure['share']:.3f} [{low:.3f}, {high:.3f}]"
