"""Feedback pages: what a student handed in, what came of it, and the points. No hidden test, and nothing of one.

The outputs come from a run in which the hidden tests were not; of the run with them, a page has the points alone. So
nothing that a paper prints can show them. A page runs no script and asks no network.
"""

import copy
import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbgrader.preprocessors import LimitOutput
from nbgrader.utils import is_grade, is_solution

from innerbook.grading.marking import points_of
from innerbook.grading.release import is_check

_PICTURES = ("image/png", "image/jpeg")  # other kinds of output can hold scripts
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_LONGEST = 20_000  # signs of a text, and of a cell
_MANY = 50  # outputs of a cell
_STYLE = """
.highlight .k, .highlight .kn { color: #0a58a5; } .highlight .c1 { color: #5a6b5a; } .highlight .s2 { color: #8a3b12; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font-family: system-ui, sans-serif; line-height: 1.5; }
pre { overflow-x: auto; padding: .6rem; background: #f5f5f5; font-size: .85rem; }
.jp-OutputArea pre, .output pre { background: none; border-left: 3px solid #bbb; }
.jp-InputPrompt, .jp-OutputPrompt, .prompt, .anchor-link { display: none; }
table { border-collapse: collapse; } td, th { border: 1px solid #bbb; padding: .2rem .6rem; text-align: left; }
img { max-width: 100%; }
"""


def page(
    shown: NotebookNode,
    outputs: Mapping[int, Sequence[Any]],
    points: Mapping[str, float | None],
    *,
    title: str,
    status: str,
    notes: Sequence[str],
) -> str:
    """Return one feedback page, as HTML.

    Args:
        shown: the paper with the checks that the student was given.
        outputs: of its cells by place, from a run of this very paper; empty if it was not run.
        points: by grade_id; None where a teacher has yet to give them.
        title: the page's.
        status: of the paper, such as ``"ok"``.
        notes: for the student.
    """
    cells = []
    for i, cell in enumerate(shown.cells):
        kept = copy.deepcopy(cell)
        kept.source = kept.source[:_LONGEST]
        if cell.cell_type == "code":
            kept.outputs = [safe for each in outputs.get(i, ())[:_MANY] if (safe := _safe(each)) is not None]
            cells.append(kept)
        elif is_solution(cell):
            cells.append(new_code_cell(outputs=[new_output("stream", text=kept.source)]))  # so that it stays text
        elif cell.cell_type == "markdown":
            cells.append(kept)
    for i, cell in enumerate(cells):
        cell.id = f"cell-{i}"
    notebook = new_notebook(cells=cells, metadata=shown.metadata)
    notebook, _ = LimitOutput(max_lines=200).preprocess(notebook, {})
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    told = f"<p>Status: {html.escape(status)}.</p>\n<ul>{listed}</ul>\n{_table(shown, outputs, points)}"
    body = f"<h1>{html.escape(title)}</h1>\n{told}\n{body}"
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _table(shown: NotebookNode, outputs: Mapping[int, Sequence[Any]], points: Mapping[str, float | None]) -> str:
    """Return the points in all, and a row for each question."""
    rows = []
    for i, cell in enumerate(shown.cells):
        if is_grade(cell):
            name, full = cell.metadata.nbgrader.grade_id, float(cell.metadata.nbgrader.points)
            got = points.get(name, 0.0)
            says = _says(cell, got, outputs.get(i))
            cells = (name, "" if got is None else f"{got:g}", f"{full:g}", says)
            rows.append("".join(f"<td>{html.escape(each)}</td>" for each in cells))
    total = sum(each or 0.0 for each in points.values())
    full = sum(float(cell.metadata.nbgrader.points) for cell in shown.cells if is_grade(cell))
    open_ = " so far" if any(each is None for each in points.values()) else ""
    table = "".join(f"<tr>{row}</tr>" for row in ("<th>question</th><th>points</th><th>of</th><th></th>", *rows))
    return f"<p><strong>{total:g} of {full:g} points{open_}.</strong></p>\n<table>{table}</table>"


def _says(cell: NotebookNode, got: float | None, outputs: Sequence[Any] | None) -> str:
    """Say how the points of a question came about, by the check that the student was given."""
    full = float(cell.metadata.nbgrader.points)
    if got is None:
        return "your teacher reads this answer"
    if got >= full:
        return "passed"
    if outputs is None or not is_check(cell):
        return ""
    if any(each["output_type"] == "error" for each in outputs):
        return "the check that you were given fails: see below"
    try:
        given = points_of(cell, outputs) or 0.0
    except ValueError:
        return ""
    says = "passes" if given >= full else f"gives {given:g}: see below"
    return f"the check that you were given {says}{'; further tests give less' if got < given else ''}"


def _safe(output: Mapping[str, Any]) -> NotebookNode | None:
    """Return an output that holds only text and pictures, not too long, or None."""
    kept = NotebookNode(copy.deepcopy(dict(output)))
    if kept.output_type == "stream":
        kept.text = str(kept.text)[:_LONGEST]
    elif kept.output_type == "error":
        kept.traceback = [str(line)[:_LONGEST] for line in kept.traceback]
    elif kept.output_type in ("execute_result", "display_data"):
        data = {mime: str(kept.data[mime]) for mime in ("text/plain", *_PICTURES) if mime in kept.data}
        data = {mime: text for mime, text in data.items() if mime not in _PICTURES or _BASE64.fullmatch(text)}
        kept.data = NotebookNode({mime: text if mime in _PICTURES else text[:_LONGEST] for mime, text in data.items()})
        kept.metadata = NotebookNode()
        return kept if kept.data else None
    else:
        return None
    return kept
