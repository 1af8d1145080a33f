"""Each page as notebooks that anyone can open: as read, for students, and with solutions.

A page is MyST text, of which Jupyter shows the directives and roles as they stand. Here they become plain Markdown,
with the numbers of this build, and a first cell brings the course where it is missing.
"""

import ast
import copy
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import jupytext
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pybtex.database import parse_file

from innerbook.build import results
from innerbook.build.pages import Page, chapter_numbers, titles, toc_names
from innerbook.claims import MIME
from innerbook.memory import atomic_write

Kind = Literal["as-read", "students", "solutions"]
KINDS: tuple[Kind, ...] = ("as-read", "students", "solutions")
_OPENING = re.compile(r"^(:{3,}|`{3,})(?:\{([\w-]+)\} ?(.*))?")
_ROLE = re.compile(r"\{([\w:-]+)\}`([^`]+)`")
_GLUED = "application/papermill.record/text/plain"  # how myst-nb's glue keeps a number that it does not show
_NO_OUTPUT = re.compile(r"remove-(cell|output)")


@dataclass(frozen=True)
class Course:
    """What a notebook says of the course around its page."""

    titles: Mapping[str, str]  # of the pages, by name such as "book/report"
    numbers: Mapping[str, int]  # of the chapters, by name
    seconds: Mapping[str, float]  # that each page took
    kept: Mapping[str, Mapping[str, Any]]  # rows at the documents' sizes, by id
    site: str = ""  # where the book is published, if it is
    version: str = field(default_factory=lambda: version("innerview"))
    papers: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # who wrote them, and when, by key


@dataclass(frozen=True)
class _Directive:
    name: str
    title: str
    options: Mapping[str, str]
    body: str


_Part = str | _Directive | NotebookNode


def write_all(root: Path, pages: Sequence[Page], folder: Path, site: str | None = None) -> None:
    """Write the notebooks of executed pages beside a rendered book, with what their first cells install.

    Notebooks as read and for students go into ``html/notebooks``, those with solutions into ``notebooks``, apart from
    what is published. ``html/binder`` tells Binder what to install.

    Args:
        root: the repository's folder.
        pages: executed, with their outputs.
        folder: of the built book, which holds ``html``.
        site: where the book is published, if not where ``_config.yml`` says.
    """
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    seconds = {page.name: page.seconds or 0.0 for page in pages}
    kept = {row["id"]: row for row in results.read_paper_results(root)}
    site = config["html"].get("baseurl") or "" if site is None else site
    papers = read_papers(root / "book" / "references.bib")
    course = Course(titles(root), chapter_numbers(root), seconds, kept, site.rstrip("/"), papers=papers)
    chapters = [page for page in pages if page.name != toc_names(root)[0]]
    shutil.rmtree(folder / "html" / "notebooks", ignore_errors=True)
    write(folder / "html" / "notebooks", chapters, course, ("as-read", "students"))
    write(folder / "notebooks", chapters, course, ("solutions",))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "html" / "notebooks")]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    with atomic_write(folder / "html" / "binder" / "requirements.txt") as temporary:
        temporary.write_text(f"./notebooks/{_wheel(course)}[notebooks,tensorflow]\n", encoding="utf-8")


def write(folder: Path, pages: Iterable[Page], course: Course, kinds: Iterable[Kind] = KINDS) -> None:
    """Write each executed chapter as ``folder/kind/part/page.ipynb``."""
    for page in pages:
        for kind in kinds:
            with atomic_write(folder / kind / f"{page.name.removeprefix('book/')}.ipynb") as temporary:
                # By its text, for a temporary name ends in nothing that says "notebook".
                temporary.write_text(jupytext.writes(convert(page, kind, course), fmt="ipynb"), encoding="utf-8")


def convert(page: Page, kind: Kind, course: Course) -> NotebookNode:
    """Return one executed page as a notebook of one kind.

    Args:
        page: with its outputs, out of which come the numbers in the text.
        kind: ``"as-read"`` has outputs, and solutions folded into the text; ``"students"`` has no output, and cells
            for answers and their checks in place of solutions; ``"solutions"`` has all cells, and outputs.
        course: what stands around the page.

    Raises:
        ValueError: the page names a number that it has not reported, or holds a directive that no notebook can show.
    """
    made = _Notebook(page, kind, course)
    for part in _parts(page):
        if isinstance(part, str):
            made.add_text(part)
        elif isinstance(part, _Directive):
            made.add_directive(part)
        else:
            made.add_code(part)
    for i, cell in enumerate(made.cells):
        cell.id = f"cell-{i}"  # the same notebook from the same page
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=made.cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


class _Notebook:
    """A notebook in the making, cell by cell."""

    def __init__(self, page: Page, kind: Kind, course: Course):
        self.kind, self.say = kind, _Speaker(page, course)
        self.chapter = course.numbers.get(page.name)
        self.exercises: dict[str, str] = {}  # their numbers, by label
        self.starter = ""  # of the last exercise
        self.solution: str | None = None  # the exercise whose solution is being read
        self.folded: list[str] = []  # what stands in it
        self.cells = [new_markdown_cell(_about(page, kind, course)), new_code_cell(_set_up(course))]

    def add_text(self, text: str) -> None:
        """Add text of the page, or of a solution."""
        if self.solution is None or self.kind == "solutions":
            self._markdown(text)
        elif self.kind == "as-read":
            self.folded.append(text.strip())

    def add_code(self, cell: NotebookNode) -> None:
        """Add a code cell of the page, or of a solution, with its caption."""
        tags = cell.metadata.get("tags", [])
        if self.solution is not None and self.kind == "as-read":
            if "remove-cell" not in tags:
                self.folded.append(f"```python\n{cell.source}\n```")
        elif self.solution is None or self.kind == "solutions" or "check" in tags:
            self.cells.append(_code(cell, self.kind))
            if caption := cell.metadata.get("mystnb", {}).get("figure", {}).get("caption"):
                self._cell(f"*{self.say(caption).replace('*', '')}*")

    def add_directive(self, part: _Directive) -> None:
        """Add an exercise, a solution, or a box or table of the page."""
        if part.name == "exercise":
            number = f"{len(self.exercises) + 1}"
            number = self.exercises[part.options["label"]] = f"{self.chapter}.{number}" if self.chapter else number
            body, self.starter = _without_starter(part.body) if self.kind == "students" else (part.body, "")
            self._markdown(f"### Exercise {number} ({part.title})\n\n{body}")
        elif part.name == "solution" and self.kind == "students":
            self._cell("*Your answer (double-click here to write):*", tags=["answer"])
        elif part.name == "solution":
            self._solve(part.title, part.body)
        elif part.name == "solution-start":
            self.solution = part.title
            if self.kind == "students":
                self.cells.append(new_code_cell(self.starter or "# Your answer\n", metadata={"tags": ["answer"]}))
            elif self.kind == "solutions":
                self._solve(part.title, "")
        elif part.name == "solution-end":
            assert self.solution is not None, "a test of the book pairs starts and ends"
            if self.kind == "as-read":
                self._solve(self.solution, "\n\n".join(filter(None, self.folded)))
            self.solution, self.folded = None, []
        else:
            self.add_text(_plain(part))

    def _solve(self, label: str, body: str) -> None:
        head = f"Solution of exercise {self.exercises[label]}"
        folded = f"<details><summary><b>{head}</b></summary>\n\n{body}\n\n</details>"
        self._markdown(folded if self.kind == "as-read" else f"**{head}.** {body}")

    def _markdown(self, text: str) -> None:
        """Add text to the last cell, if that is one of text, or as a cell of its own."""
        if not (text := self.say(text).strip()):
            return
        if len(self.cells) > 2 and self.cells[-1].cell_type == "markdown" and not self.cells[-1].metadata:
            self.cells[-1].source += f"\n\n{text}"
        else:
            self._cell(text)

    def _cell(self, text: str, **metadata: Any) -> None:
        self.cells.append(new_markdown_cell(text, metadata=metadata))


class _Speaker:
    """Turns roles, and links to places in the book, into plain Markdown."""

    def __init__(self, page: Page, course: Course):
        self.page, self.course = page, course
        self.numbers = {
            output.metadata["scrapbook"]["name"]: ast.literal_eval(output.data[_GLUED])
            for cell in page.code_cells
            for output in cell.get("outputs", ())
            if "scrapbook" in output.get("metadata", {})
        }

    def __call__(self, text: str) -> str:
        """Return the text without a role, outside of code."""
        blocks = re.split(r"(^```python\n.*?^```$)", text, flags=re.M | re.S)
        return "".join(block if i % 2 else self._said(block) for i, block in enumerate(blocks))

    def _said(self, text: str) -> str:
        text = re.sub(r"\[([^\]]+)\]\((document-\w)\)", lambda m: self._link(m[1], "book/index", f"#{m[2]}"), text)
        return _ROLE.sub(lambda role: self._role(*role.groups()), text)

    def _role(self, name: str, text: str) -> str:
        if name == "glue:text":
            key, _, form = text.rpartition(":") if ":" in text else (text, "", "")
            if key not in self.numbers:
                raise ValueError(f"{self.page.name}.md names the number {key!r}, which it does not report")
            return format(self.numbers[key], form)
        if name == "kept":
            id, what, form, which = [*(part.strip() for part in text.replace("\\|", "|").split("|")), "median"][:4]
            row = self.course.kept.get(id)
            return format(row["measured"][what][which], form) if row else "(not measured yet)"
        if name == "measured-time":
            return results.duration(self.course.seconds[self.page.name if text == "." else text])
        if name == "term":
            return re.sub(r" *<[^>]+>$", "", text)
        if name.startswith("cite:"):
            return self._cited(name, [self.course.papers[key] for key in text.split(",")])
        if name in ("doc", "ref"):
            title, target = re.fullmatch(r"(?:(.*?) *<)?([^>]+)>?", text).groups()  # type: ignore[union-attr]
            if name == "ref":
                return self._link(title or target.replace("-", " "), "book/index", f"#{target}")
            page = target.lstrip("/") if target.startswith("/") else str(Path(self.page.name).parent / target)
            return self._link(title or self.course.titles[page], page)
        return f"`{text.removeprefix('innerview.')}`"

    def _cited(self, role: str, papers: list[tuple[str, str]]) -> str:
        """Return a citation as the book shows it: by name and year, by name with the year, or by the year."""
        if role == "cite:t":
            return ", ".join(f"{who} [{year}]" for who, year in papers)
        return f"[{', '.join(year if role == 'cite:yearpar' else f'{who}, {year}' for who, year in papers)}]"

    def _link(self, text: str, page: str, place: str = "") -> str:
        return f"[{text}]({self.course.site}/{page}.html{place})" if self.course.site else f"*{text}*"


def read_papers(path: Path) -> dict[str, tuple[str, str]]:
    """Return who wrote each paper of a bibliography, and when, by its key."""
    found = {}
    for key, paper in parse_file(path).entries.items():
        names = [" ".join(person.prelast_names + person.last_names) for person in paper.persons.get("author", ())]
        who = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
        found[key] = (who, paper.fields.get("year", ""))
    return found


def _parts(page: Page) -> Iterator[_Part]:
    """Return a page's text, directives and code cells, in order."""
    for cell in page.notebook.cells:
        if cell.cell_type == "code":
            yield cell
        else:
            yield from _blocks(cell.source, page.name)


def _blocks(text: str, name: str) -> Iterator[str | _Directive]:
    lines, plain = iter(text.splitlines()), list[str]()
    for line in lines:
        opening = _OPENING.match(line)
        if not opening:
            plain.append(line)
            continue
        inner = []
        for each in lines:
            if each.strip() == opening[1]:
                break
            inner.append(each)
        else:
            raise ValueError(f"{name}.md: nothing closes {line!r}")
        if opening[2] is None:
            plain += [line, *inner, opening[1]]
            continue
        yield "\n".join(plain)
        plain = []
        options = {}
        while inner and (option := re.match(r"^:([\w-]+): *(.*)$", inner[0])):
            options[option[1]] = option[2]
            inner.pop(0)
        yield _Directive(opening[2], opening[3].strip(), options, "\n".join(inner).strip("\n"))
    yield "\n".join(plain)


def _plain(part: _Directive) -> str:
    """Return a directive of text as Markdown: a box as a quotation, a list of rows as a table."""
    if part.name == "predict":  # the question, with its options
        return part.body
    if part.name in ("admonition", "note"):
        inner = (each if isinstance(each, str) else _plain(each) for each in _blocks(part.body, part.title))
        lines = [f"**{part.title or 'Note'}**", "", *"\n".join(inner).strip().splitlines()]
        return "\n".join(f"> {line}".rstrip() for line in lines)
    if part.name == "list-table":
        rows = [
            re.split(r"^[*\s]+- ", row, flags=re.M)[1:] for row in re.split(r"^(?=\* - )", part.body, flags=re.M)[1:]
        ]
        lines = [f"| {' | '.join(' '.join(each.split()) for each in row)} |" for row in rows]
        head = [f"*{part.title}*", ""] if part.title else []
        return "\n".join([*head, lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
    raise ValueError(f"a notebook cannot show the directive {{{part.name}}}")


def _without_starter(body: str) -> tuple[str, str]:
    """Return an exercise without its last block of Python, which goes into the cell for the answer, and that block."""
    found = list(re.finditer(r"^```python\n(.*?)^```$", body, flags=re.M | re.S))
    if not found:
        return body, ""
    last = found[-1]
    return (body[: last.start()] + body[last.end() :]).strip(), last[1].rstrip("\n")


def _code(cell: NotebookNode, kind: Kind) -> NotebookNode:
    tags = cell.metadata.get("tags", [])
    made = new_code_cell(cell.source)
    if any(tag in ("hide-input", "hide-cell", "remove-cell", "remove-input") for tag in tags):
        made.metadata = NotebookNode(jupyter={"source_hidden": True}, cellView="form")  # Jupyter's word, and Colab's
    if kind != "students" and not any(_NO_OUTPUT.fullmatch(tag) for tag in tags):
        for output in copy.deepcopy(cell.get("outputs", [])):
            output.get("data", {}).pop(MIME, None)  # which is for the report
            glued = "scrapbook" in output.get("metadata", {})
            if not glued and output.get("name") != "stderr":
                made.outputs.append(output)
    return made


def _about(page: Page, kind: Kind, course: Course) -> str:
    title = course.titles[page.name]
    where = f"[{title}]({course.site}/{page.name}.html)" if course.site else f"*{title}*"
    says = {
        "as-read": "The pictures and results are those of the book.",
        "students": "Run the cells in their order. Exercises have a cell for your answer, most a cell that checks it.",
        "solutions": "For teachers: exercises are followed by their solutions.",
    }
    return (
        f"From **Inner View** {course.version}, page {where}. {says[kind]} "
        "Numbers in the text were measured when the book was built; yours can differ a little."
    )


_SET_UP = """\
# Brings the course where it is missing, and is silent otherwise.
import importlib.util
import os
import subprocess
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
if importlib.util.find_spec("innerbook") is None:
"""
_MISSING = """\
    raise ModuleNotFoundError(
        "this notebook needs Inner View VERSION: in the course's folder, say "
        "pip install '.[notebooks,tensorflow]', then run this cell again"
    )"""
_FETCHED = """\
    backend = "" if importlib.util.find_spec("tensorflow") else ",tensorflow"
    wanted = f"innerview[notebooks{backend}] @ WHEEL"
    pip = subprocess.Popen(
        [sys.executable, "-m", "pip", "install", "--quiet", wanted],
        stderr=subprocess.PIPE,
        text=True,
    )
    began, says = time.time(), "a minute or two:"
    while pip.poll() is None:
        passed = f"{says} {time.time() - began:.0f} s"
        print(f"\\rInstalling Inner View VERSION, {passed}", end="")
        time.sleep(1)
    importlib.invalidate_caches()
    if pip.returncode or importlib.util.find_spec("innerbook") is None:
        told = pip.stderr.read().strip()[-500:]
        raise ModuleNotFoundError(f"Inner View was not installed: {told}")"""


def _set_up(course: Course) -> str:
    wheel = f"{course.site}/notebooks/{_wheel(course)}"
    code = _SET_UP + _FETCHED
    if not course.site:  # then nothing is installed, and the other imports are idle
        code = re.sub(r"import (subprocess|sys|time)\n", "", _SET_UP) + _MISSING
    return code.replace("VERSION", course.version).replace("WHEEL", wheel)


def _wheel(course: Course) -> str:
    return f"innerview-{course.version}-py3-none-any.whl"
