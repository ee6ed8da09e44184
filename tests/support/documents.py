"""What the documents show: their commands, names of files, links and headings, each with the place that it stands in.

Documents are the Markdown files, the docstrings of modules, and the heads of recipes and shell scripts.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from inspect import cleandoc
from itertools import pairwise
from pathlib import Path

from commands import ROOT
from markdown_it import MarkdownIt
from markdown_it.token import Token

PACKAGES = ("data_prep", "training", "eval")
PASSED_OVER = {"wandb", "__pycache__", "node_modules"}
SHELL = {"bash", "sh", "shell", "console"}
STARTS = r"(?:\.venv/bin/)?(?:python3?|pip|pytest|accelerate|make|sbatch|for|vllm|hf|curl|git|card-summarizer|recipes/[\w./-]+\.sh|\.ci/run)"
# A command, settings of the environment before it. An option alone makes one too, so that a program nobody thought of is seen.
COMMAND = re.compile(rf"(?:[A-Z][A-Z_]*=\S+ )*{STARTS}(?= |$)|[\w./-]+( \S+)* --[a-z]")
REMARK = re.compile(r"(?<=\S)\s{3,}(?!-).*$")
LABEL = re.compile(r"^#\s+(?:[A-Z][\w ]*(?::\s+|\.\s{2,}))?")
LOOP = re.compile(r"for (\w+) in (.+?); do(?: (.+?); done)?$")


@dataclass(frozen=True)
class Place:
    """A piece of a document. `text` is what is shown there."""

    file: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.text}"


@cache
def repository() -> tuple[Path, ...]:
    """Every file of the repository and none that it makes."""
    found, folders = [], [ROOT]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            hidden = path.name.startswith(".") and path.name not in (".ci", ".github", ".gitignore", ".pre-commit-config.yaml")
            if hidden or path.name in PASSED_OVER or path == ROOT / "runs" or path.name.endswith(".egg-info"):
                continue
            folders.append(path) if path.is_dir() and not path.is_symlink() else found.append(path)
    return tuple(found)


def markdown_files() -> list[Path]:
    return [path for path in repository() if path.suffix == ".md" and "fixtures" not in path.parts]


def modules() -> list[Path]:
    return [path for path in repository() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES]


def examples() -> list[Path]:
    """Scripts that show how the project is used as a library."""
    return sorted((ROOT / "recipes" / "examples").glob("*.py"))


def is_stage(path: Path) -> bool:
    """Whether a module is run as a command."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'" for node in body)


def heads() -> list[Path]:
    """Recipes and scripts, whose comments are read by people."""
    return [path for path in repository() if path.suffix in (".yaml", ".sh", ".slurm") or path.name in ("Makefile", "run")]


@cache
def tokens(path: Path) -> tuple[Token, ...]:
    """A Markdown file, or a module's docstring read as one."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = cleandoc(ast.get_docstring(ast.parse(text), clean=False) or "")
    return tuple(MarkdownIt("commonmark").enable("table").parse(text))


def blocks(path: Path) -> Iterator[tuple[int, str, str]]:
    """Fenced and indented blocks as (line, language, text)."""
    for token in tokens(path):
        if token.type in ("fence", "code_block"):
            yield token.map[0] + 1 + (token.type == "fence"), token.info.split(" ")[0], token.content


def shown_commands(path: Path) -> list[Place]:
    """Every command that a document shows as a line of its own, as a shell would read it."""
    found = []
    for first, language, text in commented(path) if path.suffix not in (".py", ".md") else blocks(path):
        for line, part in parts(text):
            lines = [(line + number, row) for number, row in enumerate(part)]
            if language in SHELL or (not language and COMMAND.match(part[0])):
                found += [Place(path, first + number, row) for number, row in in_one_line(lines)]
    return found


def commented(path: Path) -> Iterator[tuple[int, str, str]]:
    """The comments of a recipe or script, a command line and what belongs to it as a block each."""
    rows = path.read_text(encoding="utf-8").splitlines()
    inside: list[str] = []
    for number, row in enumerate(rows, start=1):
        text = LABEL.sub("", row) if row.startswith("#") else ""
        if inside and text:
            inside.append(text.strip())
        elif re.match(rf"(?:[A-Z][A-Z_]*=\S+ )*{STARTS} ", text) and not re.match(r"make |for [^;]*$|git ", text):
            inside = [text]
        if inside and (not inside[0].startswith("for ") or re.search(r"(?:^|; )done\b", text.strip())):
            yield number - len(inside) + 1, "", "\n".join(inside) + "\n"
            inside = []
        for span in re.findall(r"`([^`]+)`", text):
            if COMMAND.match(span):
                yield number, "", span + "\n"


def parts(text: str) -> Iterator[tuple[int, list[str]]]:
    """The pieces of a block between its empty lines, each with the number of lines before it."""
    rows, part = text.splitlines(), []
    for number, row in enumerate([*rows, ""]):
        if row.strip():
            part.append(row.strip())
        elif part:
            yield number - len(part), part
            part = []


def in_one_line(rows: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines put together at a trailing backslash, remarks taken off, loops run out."""
    whole: list[tuple[int, str]] = []
    for number, row in rows:
        if whole and whole[-1][1].endswith("\\"):
            whole[-1] = (whole[-1][0], whole[-1][1][:-1].rstrip() + " " + row)
        else:
            whole.append((number, row))
    loop: list[tuple[str, list[str]]] = []
    for number, row in whole:
        row = REMARK.sub("", row.removeprefix("$ "))
        if begins := LOOP.match(row):
            if begins[3]:
                yield from ((number, begins[3].replace(f"${begins[1]}", value)) for value in begins[2].split())
            else:
                loop = [(begins[1], begins[2].split())]
        elif row.startswith("#"):
            continue
        elif row.split(" ")[0] == "done":
            loop = []
        elif loop:
            yield from ((number, row.replace(f"${loop[0][0]}", value)) for value in loop[0][1])
        else:
            yield number, row


def spans(path: Path) -> list[Place]:
    """What stands between backticks in running text."""
    found = []
    for token in tokens(path):
        for child in token.children or ():
            if child.type == "code_inline":
                found.append(Place(path, (token.map or [0])[0] + 1, child.content))
    return found


def links(path: Path) -> list[Place]:
    """Targets of links and images that lead into the repository."""
    found = []
    for token in tokens(path):
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if target and not re.match(r"[a-z]+:", str(target)):
                found.append(Place(path, (token.map or [0])[0] + 1, str(target)))
    return found


def anchors(path: Path) -> set[str]:
    """What `#...` can lead to in a Markdown file, as GitHub names its headings."""
    stream, found = tokens(path), set()
    for heading, inline in pairwise(stream):
        if heading.type == "heading_open":
            name = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", inline.content).lower()).replace(" ", "-")
            found.add(next(one for one in (name, *(f"{name}-{number}" for number in range(1, 99))) if one not in found))
    return found
