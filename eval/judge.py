"""Lets models of other families judge the summaries: each by a rubric, and systems against each other, behind a gate.

    python -m eval.judge --config recipes/smollm3-3b/eval.yaml
    python -m eval.judge --config recipes/demo/eval.yaml --judge.cards 20 \\
        --judge.judges '[{model: MODEL, base_url: "http://localhost:8000/v1"}]'

Reads   <run_dir>/data/heldout.jsonl, <run_dir>/eval/generations/<system>.jsonl; whose families no judge may share from
        <run_dir>/data/candidates.jsonl, manifests and training recipes
Writes  <run_dir>/eval/judge.sqlite           every answer, kept as it comes: after a kill nothing is asked again
        <run_dir>/eval/judgments.jsonl        every judgment: parsed, or unparsed with the reason, and what it is for
        <run_dir>/eval/measures/judge.jsonl   scores of each summary, from 0 to 1, mean of the judges that passed the gate
        <run_dir>/eval/measures/judge.json    what the scores are, preferences, the judges with gate and controls

Where a question got no answer, measures/judge.* stay as they were and the exit code is 2: answers are kept, run it again.
A judge that fails the gate (judging/qualification.py) stays out of scores and preferences; where none passes, none are printed.
Judging all at once costs a failed judge's answers: try a new judge with `--judge.cards 1` first, which asks the whole gate
and one card.

How many cards: to tell a win rate of 55% from 50% takes 783 cards without ties and 469 with 40% of ties; to tell 60%, 194 or
116. To tell mean scores that differ by 0.05 takes 71, by 0.10 takes 18, where paired differences have a deviation of 0.15.
At 5% and a power of 80%, for unrelated cards: families of m cards that correlate by r take 1 + (m - 1) r times as many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_prep.chat.client import Usage
from data_prep.chat.endpoint import check_endpoint
from data_prep.core.files import replacing, to_json, write_json, write_jsonl
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import Recipe, command
from data_prep.core.text import plural
from eval.judging.answers import Judge, Judgment, Subject, judgments
from eval.judging.model_families import relatives, writers
from eval.judging.pairwise import outcome
from eval.judging.prompts import JUDGE_VERSION
from eval.judging.qualification import fault, tallies
from eval.judging.results import JudgeRun, described, measure_rows
from eval.judging.task import FORMS, JudgeConfig, Task, print_estimate, read_task
from eval.runs.summaries import named_systems


def main(recipe: Recipe[JudgeConfig]) -> None:
    block, folder = recipe.block, recipe.run_dir / "eval"
    heldout, generations = recipe.run_dir / "data" / "heldout.jsonl", folder / "generations"
    if not block.judges:
        print("judge: no model named in judge.judges, so nothing is judged")
        return
    check_judges(block.judges)
    systems = named_systems(generations, block.systems, block.comparisons, "judge")
    notes = family_notes(recipe.run_dir, systems, block)
    outputs = [folder / "judgments.jsonl", folder / "measures" / "judge.jsonl", folder / "measures" / "judge.json"]
    manifest = Manifest(
        folder / "judge.manifest.json",
        "judge",
        recipe.resolved() | {"version": JUDGE_VERSION, "families": notes},
        [heldout, *(generations / f"{name}.jsonl" for name in systems)],
        outputs,
    )
    if manifest.is_done():
        return
    task = read_task(heldout, generations, systems, block, recipe.seed)
    print_estimate(task, block.judges)
    usages = [Usage() for _ in block.judges]
    with replacing(outputs[0]) as handle:
        judges = [
            ask(judge, task, block, folder / "judge.sqlite", usage, handle)
            for judge, usage in zip(block.judges, usages, strict=True)
        ]
    for one, usage in zip(judges, usages, strict=True):
        report_judge(one, usage)
    refuse_unheard(judges, outputs[2])
    write_jsonl(outputs[1], measure_rows(task, judges))
    measures = described(task, judges, notes, block, recipe.seed)
    write_json(outputs[2], measures)
    report(measures)
    manifest.write(judges={one.judge.model: one.fault or "passed the gate" for one in judges}, summaries=len(task.summaries))


def check_judges(judges: Sequence[Judge]) -> None:
    names = [judge.model for judge in judges]
    if len(set(names)) < len(names):
        raise ValueError(f"judge.judges names {max(names, key=names.count)} twice; results are kept by model, name each once")
    for judge in judges:
        check_endpoint(judge)


def family_notes(run_dir: Path, systems: Sequence[str], block: JudgeConfig) -> list[str]:
    """What to say of the judges' families. Raises ValueError where a judge is of one that it must not be of."""
    forbidden, notes = relatives(run_dir, systems), []
    for judge in block.judges:
        for family in sorted(judge.families & set(forbidden)):
            near = f"{judge.model} is of the family {family}, as is {forbidden[family]}"
            if not block.force_family:
                raise ValueError(
                    f"{near}: judges prefer their own; name a judge of another family, or set judge.force_family true"
                )
            notes.append(f"{near}: it is likely to prefer its own, and was forced by judge.force_family.")
        if not judge.families:
            notes.append(
                f"The family of {judge.model} is not known, so it was not compared with teacher and student; name `family`."
            )
    if "attached" in writers(run_dir):
        notes.append(
            "Who wrote the summaries that came with the cards is not known, so no judge's family was compared with theirs."
        )
    return notes


def ask(judge: Judge, task: Task, block: JudgeConfig, cache: Path, usage: Usage, handle: Any) -> JudgeRun:
    """Everything, of one judge; writes each judgment as it comes."""
    answers: dict[Subject, Judgment] = {}
    with tqdm(total=len(task.uses), desc=f"judge {judge.model}", unit=" judgments", mininterval=1) as progress:
        for form in FORMS:
            with closing(judgments(judge, task.subjects(form), task.cards, cache, usage)) as stream:
                for judgment in stream:
                    answers[judgment.subject] = judgment
                    handle.write(to_json(judgment.row(task.uses[judgment.subject])) + "\n")
                    progress.update()
    gate = tallies(task.gate, answers)
    outcomes = {names: [outcome(pair, answers) for pair in pairs] for names, pairs in task.pairs.items()}
    return JudgeRun(judge, answers, gate, fault(gate, block.gate_accuracy, block.gate_kind_accuracy), outcomes)


def report_judge(one: JudgeRun, usage: Usage) -> None:
    print(f"judge {one.judge.model}: {usage.line()}")
    if one.failures:
        print(f"  gate: not heard, {unanswered(one)}")
        return
    verdict = f"FAILED, {one.fault}" if one.fault else "passed"
    print(f"  gate: {verdict}; " + ", ".join(tally.line() for tally in one.gate))


def unanswered(one: JudgeRun) -> str:
    return f"{len(one.failures):,} of {plural(len(one.answers), 'question')} got no answer, the first: {one.failures[0]}"


def refuse_unheard(judges: Sequence[JudgeRun], measures: Path) -> None:
    """Raises ValueError where a question got no answer: means over whatever came would be of a part that nobody chose."""
    if failed := [f"of {one.judge.model} {unanswered(one)}" for one in judges if one.failures]:
        left = "was left as it was, of an earlier run" if measures.exists() else "was not written"
        raise ValueError(
            f"{'; '.join(failed)}. {measures} {left}; what was answered is kept, run it again to ask for the rest alone"
        )


def report(measures: Mapping[str, Any]) -> None:
    for row in measures["preferences"]:
        interval = "" if row["ci95"] is None else f" [{100 * row['ci95'][0]:.1f}, {100 * row['ci95'][1]:.1f}]"
        rate = "no verdict" if row["win_rate"] is None else f"{100 * row['win_rate']:.1f}%{interval} of {row['n']} cards"
        print(f"  {row['b']} preferred to {row['a']} by {row['judge']}: {rate}")
    for note in measures["notes"]:
        print(f"  {note}")


if __name__ == "__main__":
    command("judge", JudgeConfig, main, __doc__, "eval.judge")
