"""Grounded decoding: the model's own choice of tokens, changed only where a check would have to fail what it says.

A rule is asked about the token that would be chosen, the likeliest or the one drawn. Only where it refuses are others tried: the
likeliest TRIED, then what the rule itself knows as ways on, by their likelihood. Where none fits, the model has its way.
So the cost is that of looking at one token a step, and a text that keeps the rules comes out as without them, sampled too: a
token is drawn here as `generate` draws it, with the same random numbers.

    link     an address goes on towards one of the source's (`link_rule.py`)
    number   a number, and a name with a digit, is one of the source's (`number_rule.py`)
    heading  the first heading names the model (`heading_rule.py`)
    form     one title, no section named by a number, every emphasis closed, no mark of the prompt's frame and no control token (`form_rule.py`)
    length   no end before 300 words, and what is beyond 500 is cut at a line (`length_rule.py`)
    repeat   no sentence and no run of five words is said twice, and a loop ends, also one in other words (`repeat_rule.py`)
    fact     a page that goes round in circles first tells what it left out of the front matter (`left_out_lines.py`)

Thoughts (`<think>`) are left alone, as the checks leave them. In fenced code link, number and, but for control tokens, form are not
asked; heading, length and sentences said before are.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from data_prep.chat.loops import loop_end
from data_prep.core.text import plural
from eval.decoding.form_rule import FormRule
from eval.decoding.grounds import Grounds
from eval.decoding.heading_rule import HeadingRule
from eval.decoding.left_out_lines import left_out_lines
from eval.decoding.length_rule import LengthRule, without_bare_headings
from eval.decoding.link_rule import LinkRule
from eval.decoding.number_rule import NumberRule
from eval.decoding.pieces import Pieces
from eval.decoding.repeat_rule import RepeatRule
from eval.decoding.sampling import Decoding, Draws, warpers
from eval.decoding.thoughts import Budget, Tally

GROUNDED_VERSION = 12  # of the rules: under others the same model writes another text
KINDS = ("link", "number", "form", "heading", "length", "repeat", "fact")
TRIED = 64
_SENTENCE_END = re.compile(r"[.!?](?=\s)|[。！？]")
FRESH_STARTS = 3  # of a page that is too short where it begins to repeat itself
LEFT_OUT = "## Also stated"


def interventions_of(rows: Iterable[Any]) -> dict[str, int]:
    """Of several summaries together, by kind."""
    found = dict.fromkeys(KINDS, 0)
    for row in rows:
        for kind, count in row.interventions.items():
            found[kind] += count
    return found


def describe_interventions(interventions: Mapping[str, int]) -> str:
    """ "3 tokens (2 link, 1 number)"."""
    parts = ", ".join(f"{count} {kind}" for kind, count in interventions.items() if count)
    total = sum(interventions.values())
    return plural(total, "token") + (f" ({parts})" if parts else "")


class Row:
    """One summary on its way: the line that is being written, and what each rule remembers. What it gives up is not counted by `tally`,
    without which it has no limit."""

    def __init__(self, source: str, begun: str, pieces: Pieces, ends: Sequence[int], tally: Tally | None = None) -> None:
        grounds = Grounds.of(source)
        self._pieces, self._ends, self._known = pieces, ends, grounds.known
        self.links = LinkRule(grounds.addresses)
        self.numbers = NumberRule(grounds.known, grounds.spellings, grounds.names)
        self.heading, self.repeats = HeadingRule(grounds.titles), RepeatRule(grounds.words)
        self.form, self.length = FormRule(pieces), LengthRule()
        self._rules = (self.links, self.numbers, self.form, self.heading, self.repeats)
        self.text, self.line, self._newlines, self._excused = "", "", 0, 0
        self._fenced = self._thinks = self._alert = self._full = self.over = False
        self._tally, self.was_cut = tally, False
        self._given_up: list[range] = []  # numbers of the lines in which it was stuck
        self._told = False  # what it left out
        self._tokens, self._count = list[tuple[int, int]](), 0  # that the model sees: newlines up to each, and its number
        self._forgotten: list[int] = []  # numbers of tokens
        self._title_end = 0  # lines up to the end of the first heading
        self.forced: list[int] = []  # tokens that are to come next, whatever the model says
        self.counts = dict.fromkeys(KINDS, 0)
        self._follow(begun)
        self._newlines_begun = self._newlines

    def refused(self, token: int) -> str:
        """The rule that forbids `token` here; "" where none does."""
        if self._thinks:
            return ""
        if not self._alert and token not in self._ends and self._pieces.is_plain(token):
            return self._said_before(token)
        for line, added, closed in self._steps(token):
            excused = self._excused if line else 0
            for rule in self._asked(line):
                if rule.refuses(line, added, closed, excused):
                    return rule.kind
        if token in self._ends:
            return "length" if self.length.refuses_end(self.page) else ""
        if self._pieces.is_control(token):
            return "form"
        return self._said_before(token)

    def _asked(self, line: str) -> tuple[Any, ...]:
        """In code the heading and what comes again; within an address, whose dots end no sentence, all but what comes again."""
        if self._fenced:
            return (self.heading,) if line.startswith("#") else (self.heading, self.repeats)
        return self._rules[:-1] if self.links.is_open(line) else self._rules

    def _said_before(self, token: int) -> str:
        """Of the run of words that the token would complete."""
        free = self._fenced or self.links.is_open(self.line)
        return "" if free or not self.repeats.refuses_word(self.line, self._pieces.text(token)) else "repeat"

    def _steps(self, token: int) -> Iterator[tuple[str, str, bool]]:
        """What the token does to each line that it touches: (the line so far, what is added, whether it ends)."""
        if token in self._ends:
            yield self.line, "", True
            return
        first, *rest = self._pieces.text(token).split("\n")
        yield self.line, first, bool(rest)
        for at, part in enumerate(rest, 1):
            yield "", part, at < len(rest)

    def follow(self, token: int) -> None:
        """The token is written."""
        if token in self._ends:
            self.over = True
            return
        text = self._pieces.text(token)
        self._follow(text)
        self._tokens.append((self._newlines, self._count))
        self._count += 1
        if self._tally:
            self._tally.add(text)
        if not self._thinks:
            self.repeats.wrote(self.line, self._fenced)

    def _follow(self, text: str) -> None:
        self.text += text
        first, *rest = text.split("\n")
        self._extend(first)
        self.form.wrote(text)
        for part in rest:
            self._complete()
            self.line = ""
            self._extend(part)
        self._full = self._full or (bool(rest) and self.length.is_full(self.page))
        is_open = self.numbers.is_open(self.line) or self.links.is_open(self.line) or self.form.is_open(self.line)
        self._alert = is_open or self.line[-1:] in "].!?"

    def _extend(self, part: str) -> None:
        self.line += part
        if "think>" in self.line:
            self._thinks = self.line.rfind("<think>") > self.line.rfind("</think>")

    def _complete(self) -> None:
        self._newlines, self._excused = self._newlines + 1, 0
        if not self._thinks:
            self.heading.completed(self.line)
            if self.line.startswith("#") and not self._title_end and not self._fenced:
                self._title_end = self._newlines
            if not self._fenced:
                self.form.completed(self.line)
            if self.line.lstrip().startswith("```"):
                self._fenced = not self._fenced
            elif not self._fenced:
                self.repeats.completed(self.line, self._newlines)

    def excuse(self) -> None:
        """What now stands open in the line could not be helped: it is not asked about again."""
        self._excused = len(self.line) + 1

    def ways_on(self, kind: str) -> list[int]:
        """First tokens of what the rule knows to be possible."""
        rules: dict[str, LinkRule | NumberRule | FormRule] = {"link": self.links, "number": self.numbers, "form": self.form}
        texts = list(rules[kind].ways_on(self.line)) if kind in rules else [".", "\n", " "]
        found = [ids[0] for text in texts if text and (ids := self._pieces.tokens(text))]
        return [*dict.fromkeys(found), *self._ends]

    def force_heading(self) -> None:
        self.forced = self._pieces.tokens(self.heading.rest(self.line))

    def owes_marks(self, token: int) -> bool:
        """True where `token` ends the line and an emphasis in it is open."""
        if self._fenced or self._thinks or "**" not in self.line:
            return False
        first, *rest = [""] if token in self._ends else self._pieces.text(token).split("\n")
        return (bool(rest) or token in self._ends) and bool(self.form.owed(self.line + first))

    def force_marks(self) -> None:
        self.forced = self._pieces.tokens(self.form.owed(self.line))

    def starts_over(self) -> bool:
        """What the page is stuck in is given up. It tells what it has left out of the front matter, and ends, or, where it is too short yet,
        goes on with a section that the model chooses."""
        if self._full or self._fenced or len(self._given_up) == FRESH_STARTS:
            return False
        page = self._without(self.text, self._stuck_in)
        left_out = [] if self._told else left_out_lines(page, self._known)
        is_short = self.length.refuses_end("\n".join([page, *left_out]))
        if not left_out and not is_short:
            return False
        self._told = True
        self._given_up.append(self._stuck_in)
        self._forget()
        told = "\n".join(["\n", LEFT_OUT, "", *left_out, ""]) if left_out else "\n"
        self.forced = self._pieces.tokens(told)
        self.counts["fact" if left_out else "repeat"] += len(self.forced) if left_out else 1
        self.forced += self._pieces.tokens("\n## ") if is_short else self._ends[:1]
        self.repeats.start_over(self._newlines + told.count("\n") if left_out else 0)
        return True

    @property
    def _stuck_in(self) -> range:
        return range(self._worth_keeping, self._newlines + 1)

    @property
    def _worth_keeping(self) -> int:
        """Lines up to the last new one, the title at least."""
        return max(self.repeats.new_lines, self._title_end)

    def _forget(self) -> None:
        """Of what the model sees all behind the last line worth keeping, or behind what it began with."""
        at = bisect_left(self._tokens, self._worth_keeping, key=lambda token: token[0])
        at += self._worth_keeping > self._newlines_begun
        self._forgotten = [number for _, number in self._tokens[at:]]
        del self._tokens[at:]
        if self._tally:
            self._tally.give_back(len(self._forgotten))

    def take_forgotten(self) -> list[int]:
        """The numbers of its tokens that the model is to see no more, told once."""
        forgotten, self._forgotten = self._forgotten, []
        return forgotten

    @property
    def page(self) -> str:
        """What is written, without what was given up."""
        return self._without(self.text) if self._given_up else self.text

    def _without(self, text: str, *more: range) -> str:
        given_up = [*self._given_up, *more]
        lines = enumerate(text.split("\n"))
        return "\n".join(line for number, line in lines if not any(number in numbers for numbers in given_up))

    @property
    def is_spent(self) -> bool:
        """True where the token limit cuts it here."""
        return self._tally is not None and self._tally.is_full

    @property
    def is_done(self) -> bool:
        """True where nothing that follows would be kept."""
        return self.repeats.is_stuck or self._full

    def kept(self, said: str, cut: bool = False) -> str:
        """Of the finished text what is neither a loop that was ended, nor beyond the longest page, nor, where the token limit `cut` it,
        a half line."""
        if self.repeats.is_stuck:
            end = loop_end(said)
            if end is None:
                end = sum(len(line) for line in said.splitlines(keepends=True)[: self._worth_keeping])
            elif "\n" not in said[end:].lstrip(" ")[:1]:
                end = said.rfind("\n", 0, end) + 1  # not half a line, which may leave a link open
            said = said[:end]
        elif cut and self._is_half(line := said[said.rfind("\n") + 1 :]):
            whole = next(
                (line[: end.end()] for end in [*_SENTENCE_END.finditer(line)][::-1] if not self._is_half(line[: end.end()])), ""
            )
            said = without_bare_headings((said.removesuffix(line) + whole).rstrip()) or said
        if self.repeats.is_stuck or self._given_up:
            said = without_bare_headings(self._without(said)) or said
        shorter = self.length.shortened(said)
        self.counts["length"] += shorter != said
        return shorter

    def _is_half(self, line: str) -> bool:
        ended = self._fenced or line.rstrip("*_)\"'”’ ").endswith((".", "!", "?", "。", "！", "？", "|", "```"))
        return not ended or bool(self.form.owed(line)) or self.links.is_open(line)


class Grounded:
    """A logits processor of transformers for a batch, each row with its source. It stands last: `warpers` are those of the
    sampling, and it draws as well, so that `generate` has to take the likeliest."""

    def __init__(
        self,
        ends: Sequence[int],
        decoding: Decoding,
        sources: Sequence[str],
        begun: Sequence[str],
        seeds: Sequence[int],
        pieces: Pieces,
        budget: Budget,
    ) -> None:
        self._ends, self._warpers, self._draws = tuple(ends), warpers(decoding), Draws(seeds)
        self.most_tokens = budget.total + FRESH_STARTS * budget.page + 1  # with those that it gives up, and an end
        self.rows = [
            Row(source, said, pieces, self._ends, Tally(budget, said)) for source, said in zip(sources, begun, strict=True)
        ]
        self._started = False

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        if self._started:
            for row, token in zip(self.rows, input_ids[:, -1].tolist(), strict=True):
                if not row.over:
                    row.follow(token)
        self._started = True
        warped = scores
        for warper in self._warpers:
            warped = warper(input_ids, warped)
        chosen, draw = self._choice(warped)
        for at, (row, token) in enumerate(zip(self.rows, chosen, strict=True)):
            if not row.over and (other := self._instead(row, at, token, scores, draw)) is not None:
                chosen[at] = other
                if draw is None:
                    warped[at] = float("-inf")
                    warped[at, other] = 0.0
        return warped if draw is None else draw.only_chosen(warped)

    def _choice(self, scores: Any) -> tuple[list[int], _Draw | None]:
        if not self._warpers:
            return scores.argmax(dim=-1).tolist(), None
        draw = _Draw(self._draws.ranked(scores))
        return draw.chosen, draw

    def _instead(self, row: Row, at: int, token: int, scores: Any, draw: _Draw | None) -> int | None:
        """The token that row number `at` is to have in place of `token`; None where that may stay."""
        if row.is_spent and not row.is_done:
            row.was_cut = True
            return self._ends[0]
        if row.forced:
            return row.forced.pop(0)
        if row.is_done:
            return row.forced.pop(0) if row.starts_over() else self._ends[0]
        if row.owes_marks(token):
            row.counts["form"] += 1
            row.force_marks()
            return row.forced.pop(0)
        kind = row.refused(token)
        if not kind:
            return None
        if kind == "heading":
            row.counts[kind] += 1
            row.force_heading()
            return row.forced.pop(0)
        if kind == "repeat":
            row.repeats.was_refused()
        for other in self._others(row, at, kind, scores, draw):
            if other != token and not row.refused(other):
                row.counts[kind] += 1
                return other
        if kind == "repeat":
            row.counts[kind] += 1
            row.repeats.gave_up = True
            return self._ends[0]
        row.excuse()
        return None

    def _others(self, row: Row, at: int, kind: str, scores: Any, draw: _Draw | None) -> Iterator[int]:
        """Other tokens for the row, in the order in which they are to be tried."""
        if draw is not None:
            yield from draw.next_best(at)
        yield from scores[at].topk(min(TRIED, scores.shape[-1])).indices.tolist()
        ways = row.ways_on(kind)
        likelihood = scores[at, ways].tolist()
        yield from (token for _, token in sorted(zip(likelihood, ways, strict=True), reverse=True))


class _Draw:
    """What each row draws, and what it would draw without that: `ranked` is of `Draws`."""

    def __init__(self, ranked: Any) -> None:
        self._ranked = ranked
        self.chosen: list[int] = ranked.argmax(dim=-1).tolist()

    def only_chosen(self, scores: Any) -> Any:
        """Scores whose largest are the tokens chosen: `generate` takes the likeliest, and nothing is drawn twice."""
        import torch

        chosen = torch.tensor(self.chosen, device=scores.device)[:, None]
        return torch.full_like(scores, float("-inf")).scatter_(1, chosen, 0.0)

    def next_best(self, row: int) -> list[int]:
        drawn = self._ranked[row].topk(min(TRIED, self._ranked.shape[-1]))
        return [token for value, token in zip(drawn.values.tolist(), drawn.indices.tolist(), strict=True) if value > 0]
