"""Feedback pages: the points of each question, why some are missing, and what to do next. Nothing of a hidden test.

A page has the questions, the student's answers, and what the checks that the student was given said of them: their
outputs come from a run in which the hidden tests were not; of the run with them, a page has the points alone. So
nothing that a paper prints can show them. A page runs no script and asks no network.
"""

import copy
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbconvert.filters import strip_ansi
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbgrader.preprocessors import LimitOutput
from nbgrader.utils import is_grade, is_solution

from innerbook.build.mathml import from_tex
from innerbook.grading.marking import points_of
from innerbook.grading.release import is_check

_SHOWN = ("text/plain", "image/png", "image/jpeg")  # other kinds of output can hold scripts
_PLAIN = ("AssertionError", "NotImplementedError")  # errors whose message says it all
_LONGEST = 20_000  # signs of a text, and of a cell
_MANY = 50  # outputs of a cell
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.S)
_QUESTION = re.compile(r"^## (.+?)(?: \(.*\))?$", re.M)  # its points and minutes left out
_STYLE = """
:root { color-scheme: light dark; background: Canvas; color: CanvasText;
  --keyword: #0a58a5; --comment: #4d5c4d; --text: #8a3b12; }
@media (prefers-color-scheme: dark) { :root { --keyword: #79b8ff; --comment: #a3b8a3; --text: #f0a878; } }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font-family: system-ui, sans-serif; line-height: 1.5;
  overflow-wrap: anywhere; }
pre { white-space: pre-wrap; padding: .6rem; background: rgb(128 128 128 / .12); font-size: .85rem; }
.text_cell p, main > p { max-width: 46rem; }
.output pre { font-size: .8rem; background: none; border-left: 3px solid rgb(128 128 128 / .6); }
.output_error pre { border-color: #c0392b; }
.highlight .k, .highlight .kn, .highlight .kc { color: var(--keyword); }
.highlight .c1, .highlight .sd { color: var(--comment); }
.highlight .s1, .highlight .s2 { color: var(--text); }
.prompt, .anchor-link { display: none; }
table { border-collapse: collapse; }
td, th { border: 1px solid rgb(128 128 128 / .6); padding: .2rem .6rem; text-align: left; vertical-align: top; }
td.number { text-align: right; white-space: nowrap; }
img { max-width: 100%; background: white; }
"""
# What became of a paper that was not graded as it is, and what its student can do.
_STATUS = {
    "rebuilt": "Parts of this notebook were missing or changed, and have been put back. That costs no points.",
    "flagged": "Something in this notebook changes how it is checked. Your teacher reads it before points count.",
    "time limit": "This notebook took too long and was stopped; what was not run has no points. Is there a loop that "
    "does not end? Restart the kernel, run all cells, and see where they stop.",
    "stopped": "This notebook asked for more memory, disk or output than it may and was stopped; what was not run has "
    "no points.",
    "kernel died": "This notebook ended Python itself, so there are no points. Restart the kernel, run all cells, and "
    "see where they stop.",
    "unreadable": "This file cannot be read as a notebook. Open it in Jupyter; if that works, save it and ask whether "
    "you may hand it in again.",
    "other homework": "This is not the notebook of this homework. Look for the right file, and ask whether you may "
    "still hand it in.",
    "no notebook": "Hand in the notebook itself, the file whose name ends in .ipynb.",
    "link": "Hand in the notebook itself, not a link to it.",
}
_NEXT = {
    (
        "fails",
        "gives",
    ): "Where a check fails, or gives fewer points, its message below says what is likely wrong. Change your "
    "answer in your own notebook, and run the check again until it gives all points.",
    (
        "further",
    ): "Where further tests give less, your answer fits the numbers of the check and not all others. Try it on "
    "other numbers, other shapes and other arguments than those of the check.",
}


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
        title: the page's, if the paper has none.
        status: of the paper, such as ``"ok"``.
        notes: for the student.
    """
    texts = [cell.source for cell in shown.cells if cell.cell_type == "markdown" and not is_solution(cell)]
    heading = next((found[1] for text in texts if (found := re.match(r"# (.+)", text))), title)
    notebook = new_notebook(cells=list(_cells(shown, outputs)), metadata=shown.metadata)
    notebook, _ = LimitOutput(max_lines=200).preprocess(notebook, {})
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    told = [_STATUS[status]] if status in _STATUS else []
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    above = "".join(f"<p>{html.escape(each)}</p>\n" for each in told) + (f"<ul>{listed}</ul>\n" if listed else "")
    above = f"<h1>{html.escape(heading)}</h1>\n{_table(shown, outputs, points)}\n{above}"
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{html.escape(heading)}</title><style>{_STYLE}</style>"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{above}\n{body}\n</main></body></html>\n'
    )


def _cells(shown: NotebookNode, outputs: Mapping[int, Sequence[Any]]) -> Iterator[NotebookNode]:
    """Return what a page shows of a paper: questions, answers and outputs. What was given, the student has."""
    for i, cell in enumerate(shown.cells):
        kept = copy.deepcopy(cell)
        kept.id, kept.source = f"cell-{i}", kept.source[:_LONGEST]
        if cell.cell_type == "code":
            safe = (_safe(each, is_check(cell)) for each in outputs.get(i, ())[:_MANY])
            kept.outputs = [each for each in safe if each is not None]
            if not is_solution(cell) and "innerbook" not in cell.metadata:
                kept.metadata.transient = NotebookNode(remove_source=True)
            yield kept
        elif is_solution(cell):  # as text, whatever it holds
            written = new_code_cell(outputs=[new_output("stream", text=kept.source)], id=kept.id)
            written.metadata.transient = NotebookNode(remove_source=True)
            yield written
        elif not cell.source.startswith("# "):  # which says how to hand in
            kept.source = _FORMULA.sub(_formula, kept.source)
            yield kept


def _table(shown: NotebookNode, outputs: Mapping[int, Sequence[Any]], points: Mapping[str, float | None]) -> str:
    """Return the points in all, a row for each question, and what to do next."""
    rows, said, question, total, most = [], "", "", 0.0, 0.0
    for i, cell in enumerate(shown.cells):
        if cell.cell_type == "markdown" and (found := re.search(_QUESTION, cell.source)):
            question = f'<a href="#cell-id=cell-{i}">{html.escape(found[1])}</a>'
        if is_grade(cell):
            name, full = cell.metadata.nbgrader.grade_id, float(cell.metadata.nbgrader.points)
            got = points.get(name, 0.0)
            total, most = total + (got or 0.0), most + full
            number = f"{'' if got is None else f'{got:g}'} of {full:g}"
            says = _says(cell, got, outputs.get(i))
            said += says
            rows.append(f'<td>{question or name}</td><td class="number">{number}</td><td>{says}</td>')
    if not rows:
        return ""
    open_ = " so far" if any(each is None for each in points.values()) else ""
    table = "".join(f"<tr>{row}</tr>\n" for row in ("<th>question</th><th>points</th><th>what came of it</th>", *rows))
    after = "".join(f"<p>{what}</p>\n" for words, what in _NEXT.items() if any(word in said for word in words))
    return f"<p><strong>{total:g} of {most:g} points{open_}.</strong></p>\n<table>{table}</table>\n{after}"


def _says(cell: NotebookNode, got: float | None, outputs: Sequence[Any] | None) -> str:
    """Say how the points of a question came about, by the check that the student was given."""
    full = float(cell.metadata.nbgrader.points)
    if got is None:
        return "your teacher reads this answer"
    if got >= full:
        return "all points"
    if not is_check(cell):
        return "no answer" if not got else ""
    if outputs is None:
        return ""
    stopped = [str(each["ename"]) for each in outputs if each["output_type"] == "error"]
    if stopped:
        return "no answer" if "NotImplementedError" in stopped else "the check that you were given fails"
    try:
        given = points_of(cell, outputs) or 0.0
    except ValueError:
        return ""
    says = "passes" if given >= full else f"gives {given:g}"
    return f"the check that you were given {says}{'; further tests give less' if got < given else ''}"


def _safe(output: Mapping[str, Any], of_check: bool) -> NotebookNode | None:
    """Return an output as text and pictures, not too long, or None. nbconvert escapes what is left."""
    kind = output["output_type"]
    if kind == "stream":
        return new_output("stream", text=str(output["text"])[:_LONGEST])
    if kind == "error":
        name, message = str(output["ename"]), str(output["evalue"])
        lines = [f"{name}: {message}"] if name in _PLAIN else output["traceback"]
        told = [strip_ansi(str(line))[:_LONGEST] for line in lines]
        return new_output("error", ename=name, evalue="", traceback=told)
    if of_check and kind == "execute_result":
        return None  # the points, which stand in the table
    data = {mime: str(text) for mime, text in output.get("data", {}).items() if mime in _SHOWN}
    if "text/plain" in data:
        data["text/plain"] = data["text/plain"][:_LONGEST]
    return new_output("display_data", data, metadata={"alt": "What this cell has drawn"}) if data else None


def _formula(found: re.Match[str]) -> str:
    try:
        return from_tex(found[1] or found[2], "block" if found[1] else "inline")
    except ValueError:  # it stays as it is
        return found[0]
