"""Papers as students hand them in, good and bad, to a homework of nine points."""

import copy
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from innerbook.grading.release import is_check, release

HOMEWORK = Path(__file__).parent / "homework"
MASTER = HOMEWORK / "tiny" / "master.md"
GIVEN = release(MASTER)
RIGHT = {
    "mean-square": "def mean_square(x):\n    return float((x**2).mean())",
    "halve": "def halve(x):\n    return x * 0.5",
    "standardize": "def standardize(x):\n    return (x - x.mean()) / x.std()",
    "total": "total = float((data**2).sum())",
}
FIRST_TWO = {name: RIGHT[name] for name in ("mean-square", "halve")}


@dataclass(frozen=True)
class Case:
    """A paper, where it lies, and what must come of it."""

    file: str
    content: bytes
    total: float
    status: str
    note: str = ""


def paper(answers: dict[str, str], change: Callable[[NotebookNode], None] | None = None) -> bytes:
    """Return the released notebook with these answers, as Jupyter would save it."""
    notebook = copy.deepcopy(GIVEN)
    for cell in notebook.cells:
        if cell.id in answers:
            cell.source = answers[cell.id]
    if change:
        change(notebook)
    return nbformat.writes(notebook).encode()


def with_(name: str, source: str) -> dict[str, str]:
    """Return right answers, but for one."""
    return {**RIGHT, name: source}


def third(source: str) -> bytes:
    """Return a paper with the first two answers right, something in the third, and no fourth: four points."""
    return paper({**FIRST_TWO, "standardize": source})


def without_checks(notebook: NotebookNode) -> None:
    notebook.cells = [cell for cell in notebook.cells if not is_check(cell)]


def without_metadata(notebook: NotebookNode) -> None:
    notebook.metadata = NotebookNode()
    for i, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = NotebookNode(), f"new-{i}"


def edited_checks(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if is_check(cell):
            cell.source, cell.metadata.nbgrader.points = "assert True", 100


def duplicated(notebook: NotebookNode) -> None:
    at = next(i for i, cell in enumerate(notebook.cells) if cell.id == "halve")
    wrong = copy.deepcopy(notebook.cells[at])
    wrong.source, wrong.id = "def halve(x):\n    return x", "another"
    notebook.cells.insert(at, wrong)


def helper_added(notebook: NotebookNode) -> None:
    at = next(i for i, cell in enumerate(notebook.cells) if cell.id == "halve")
    notebook.cells[at].source = "def halve(x):\n    return my_helper(x)"
    notebook.cells.insert(at + 1, new_code_cell("def my_helper(x):\n    return x / 2"))
    notebook.cells.insert(at + 2, new_markdown_cell("This helps."))


def import_added(notebook: NotebookNode) -> None:
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source += "\nimport math"
    next(cell for cell in notebook.cells if cell.id == "total").source = "total = math.fsum(data**2)"


def answered_below(notebook: NotebookNode) -> None:
    """The cell for the answer stays as it is, and a new cell behind it has the answer."""
    at = next(i for i, cell in enumerate(notebook.cells) if cell.id == "halve")
    notebook.cells[at].source = GIVEN.cells[at].source
    notebook.cells.insert(at + 1, new_code_cell(RIGHT["halve"]))


def as_colab(notebook: NotebookNode) -> bytes:
    """As Google Colab saves: its own metadata alone, no ids of cells, sources as lists of lines."""
    cells = []
    for i, cell in enumerate(notebook.cells):
        made: dict[str, Any] = {"cell_type": cell.cell_type, "metadata": {"id": f"x{i}K9"}}
        made["source"] = cell.source.splitlines(keepends=True)
        if cell.cell_type == "code":
            made |= {"execution_count": i, "outputs": []}
            made["metadata"]["colab"] = {"base_uri": "https://localhost:8080/"}
        cells.append(made)
    about = {"colab": {"provenance": []}, "kernelspec": {"name": "python3", "display_name": "Python 3"}}
    return json.dumps({"nbformat": 4, "nbformat_minor": 0, "metadata": about, "cells": cells}).encode()


def as_vscode(notebook: NotebookNode) -> bytes:
    """As VS Code can save: new ids, its own metadata, and here the questions in another order."""
    cells = copy.deepcopy(notebook.cells)
    starts = [i for i, cell in enumerate(cells) if cell.source.startswith("## ")] + [len(cells)]
    parts = [cells[start:end] for start, end in itertools.pairwise(starts)]
    cells = [*cells[: starts[0]], *(cell for part in reversed(parts) for cell in part)]
    for i, cell in enumerate(cells):
        cell.metadata, cell.id = NotebookNode(vscode={"languageId": "python"}), f"{i:08x}"
    made = nbformat.v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
    return nbformat.writes(made).encode()


def older(notebook: NotebookNode) -> None:
    notebook.metadata.innerbook.release = "00000000"


def other_homework(notebook: NotebookNode) -> None:
    notebook.metadata.innerbook.homework = "2-probes"


def other_without_metadata(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        cell.source = cell.source.replace("# homework tiny,", "# homework 2-probes,")
    without_metadata(notebook)


_WARNS = """\
import sys, warnings
def halve(x):
    print("a warning", file=sys.stderr)
    warnings.warn("old")
    return x / 2"""
_CENTRES = "standardize = lambda x: x - x.mean()"
_TRIPLES = "mean_square = lambda x: 3 * float(x.mean())"
_DIES = "import os\nos.kill(os.getpid(), 9)"
_PRINTS = "for i in range(300):\n    print('x' * 10**6)"
_PATCHES = """\
import ast, numpy

class Strip(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)

get_ipython().ast_transformers.append(Strip())
numpy.isclose = numpy.allclose = lambda *a, **k: True
def mean_square(x):
    return 7.5"""
_PATCHES_NUMPY = """\
import numpy
numpy.isclose = numpy.allclose = lambda *a, **k: numpy.True_
def standardize(x):
    return x"""
_FORGES = """\
import sys
def standardize(x):
    sys.displayhook(3)
    raise ValueError("after the points were shown")"""
_LOOP = "def standardize(x):\n    return x\nwhile True:\n    pass"
_DEAF = """\
import time
def standardize(x):
    return x
while True:
    try:
        time.sleep(0.1)
    except BaseException:
        pass"""
_FORKS = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
_FILLS = """\
for i in range(10**6):
    with open(f"/tmp/{i}", "wb") as file:
        file.write(bytes(2**20))"""
_WRITES = """\
import glob
found = [each for place in ("~", "/data", "/home", "/proc/*/cwd", "/srv") for each in glob.glob(f"{place}/*")]
for path in ["paper.ipynb", "../paper.ipynb", "/tmp/paper.ipynb", *found]:
    try:
        open(path, "w").write("mine")
    except OSError:
        pass
def halve(x):
    return x / 2"""
_KILLS_ALL = "import os\nos.kill(-1, 9)"
_HOARDS = "held = []\nwhile True:\n    held.append(bytearray(50 * 2**20))"
_ESCAPES = """\
import base64
from IPython.display import HTML, Image, display
shown = base64.b64encode(repr(In).encode()).decode()
print("ENCODED", shown, "END")
print("<script>alert(1)</script>")
display(HTML("<script>alert(2)</script>"))
display({"image/png": 'x"><script>alert(3)</script>'}, raw=True)
total = 29.0"""


def cases(port: int = 9) -> list[Case]:
    """Return the papers of a class; `port` is one on this machine, which a hostile one asks."""
    network = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)"
    good = paper(RIGHT)
    given = copy.deepcopy(GIVEN)
    for cell in given.cells:
        cell.source = RIGHT.get(cell.id, cell.source)
    return [
        Case("good-reference/paper.ipynb", good, 9, "ok"),
        Case("good-blank/paper.ipynb", paper({}), 0, "ok"),
        Case("good-hw01/hw01 (1).ipynb", good, 9, "ok"),
        Case("Zoë Müller Ñandú/Heft 1 (Lösung).ipynb", good, 9, "ok"),
        Case("good-flat.ipynb", good, 9, "ok"),
        Case("good-warns/paper.ipynb", paper(with_("halve", _WARNS)), 9, "ok"),
        Case("good-helper/paper.ipynb", paper(RIGHT, helper_added), 9, "ok"),
        Case("good-import/paper.ipynb", paper(RIGHT, import_added), 9, "ok"),
        Case("part-first-two/paper.ipynb", paper(FIRST_TWO), 4, "ok"),
        Case(
            "part-mean-only/paper.ipynb", paper(with_("standardize", "standardize = lambda x: x - x.mean()")), 7, "ok"
        ),
        Case(
            "part-hidden/paper.ipynb",
            paper(with_("mean-square", "mean_square = lambda x: 3 * float(x.mean())")),
            7,
            "ok",
        ),
        Case("part-syntax/paper.ipynb", paper(with_("halve", "def halve(x)\n    return x / 2")), 7, "ok"),
        Case("part-name/paper.ipynb", paper(with_("total", "total = float(sum(dota))")), 7, "ok"),
        Case("part-prints/paper.ipynb", paper(with_("total", _ESCAPES)), 7, "ok"),
        Case("broken-checks-deleted/paper.ipynb", paper(RIGHT, without_checks), 9, "rebuilt", "4 check(s) missing"),
        Case("broken-metadata/paper.ipynb", paper(RIGHT, without_metadata), 9, "rebuilt", "metadata lost"),
        Case("broken-duplicate/paper.ipynb", paper(RIGHT, duplicated), 9, "rebuilt", "2 times"),
        Case("broken-below/paper.ipynb", paper(RIGHT, answered_below), 9, "ok"),
        Case("broken-colab/paper.ipynb", as_colab(given), 9, "rebuilt", "metadata lost"),
        Case("broken-vscode/paper.ipynb", as_vscode(given), 9, "rebuilt", "re-ordered"),
        Case("broken-json/paper.ipynb", good[:-99], 0, "unreadable"),
        Case("broken-empty/paper.ipynb", b"", 0, "unreadable"),
        Case("broken-list/paper.ipynb", b"[1, 2]", 0, "unreadable"),
        Case("broken-report/report.pdf", b"%PDF-1.4", 0, "no notebook"),
        Case("other-homework/paper.ipynb", paper(RIGHT, other_homework), 0, "other homework", "2-probes"),
        Case("other-stripped/paper.ipynb", paper(RIGHT, other_without_metadata), 0, "other homework", "2-probes"),
        Case("old-release/paper.ipynb", paper(RIGHT, older), 9, "ok", "older release 00000000"),
        Case("twice/first.ipynb", paper(FIRST_TWO), 4, "ok"),
        Case("twice/second.ipynb", good, 9, "ok"),
        Case("hostile-edits/paper.ipynb", paper({}, edited_checks), 0, "rebuilt", "restored"),
        Case("hostile-loop/paper.ipynb", third(_LOOP), 4, "time limit"),
        Case("hostile-deaf/paper.ipynb", third(_DEAF), 4, "time limit"),
        Case("hostile-sleeps/paper.ipynb", third("import time\ntime.sleep(10**6)"), 4, "time limit"),
        Case("hostile-dies/paper.ipynb", third(_DIES), 0, "kernel died", "gave 4 points"),
        Case("hostile-kills-all/paper.ipynb", third(_KILLS_ALL), 4, "ok"),
        Case("hostile-prints/paper.ipynb", third(_PRINTS), 4, "stopped", "too much"),
        Case("hostile-network/paper.ipynb", third(network), 4, "ok"),
        Case("hostile-patches/paper.ipynb", paper(with_("mean-square", _PATCHES)), 9, "flagged"),
        Case("hostile-numpy/paper.ipynb", paper(with_("standardize", _PATCHES_NUMPY)), 9, "flagged"),
        Case("hostile-forges/paper.ipynb", paper(with_("standardize", _FORGES)), 6, "ok"),
        Case("hostile-forks/paper.ipynb", third(_FORKS), 4, "stopped"),
        Case("hostile-fills/paper.ipynb", third(_FILLS), 4, "ok"),
        Case("hostile-hoards/paper.ipynb", third(_HOARDS), 4, "stopped", "memory"),
        Case("hostile-writes/paper.ipynb", paper(with_("halve", _WRITES)), 9, "ok"),
    ]


def hand_in(folder: Path, papers: list[Case]) -> None:
    """Write the papers into a folder of submissions, one after the other."""
    for case in papers:
        path = folder / case.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(case.content)
