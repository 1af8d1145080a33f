"""Proves the checks of each homework both ways: solutions get all points, blanks none, wrong answers what they deserve.

A master's cells run here one after the other, as in a notebook. At each question its blank and its wrong answers go
first, each on a copy of the names, and then the reference solution, with which the notebook goes on.
"""

import ast
import io
import os
import re
import shutil
import time
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import jupytext
import matplotlib.pyplot as plt
import pytest
import yaml
from nbformat import NotebookNode

from innerbook.data.mnist import copy_files

ROOT = Path(__file__).parents[2]
MASTERS = sorted((ROOT / "homework").glob("*/master.md"))
# The copy of MNIST of this machine, if it has one, found before a test names another data folder.
COPY = copy_files()
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?### END SOLUTION$", flags=re.M | re.S)
HIDDEN = re.compile(r"^### BEGIN HIDDEN TESTS\n.*?^### END HIDDEN TESTS\n?", flags=re.M | re.S)
# What nbgrader puts in a solution's place.
STUB = r"\1# YOUR CODE HERE\n\1raise NotImplementedError()"
COMMON = {"grade", "solution", "locked", "grade_id", "schema_version", "task"}
each_homework = pytest.mark.parametrize("master", MASTERS, ids=lambda path: path.parent.name)


def read(master: Path) -> list[NotebookNode]:
    return jupytext.read(master, fmt="md:myst").cells


def graded(cell: NotebookNode) -> dict[str, Any]:
    return cell.metadata.get("nbgrader", {"grade": False, "solution": False})


def questions(master: Path) -> dict[str, tuple[NotebookNode, NotebookNode]]:
    """The cells for code and their checks, by the names of the former."""
    by_name = {graded(cell).get("grade_id"): cell for cell in read(master)}
    solutions = [c for c in read(master) if c.cell_type == "code" and graded(c)["solution"]]
    return {graded(c)["grade_id"]: (c, by_name[f"{graded(c)['grade_id']}-check"]) for c in solutions}


def other_answers(master: Path, kind: str) -> dict[str, list[dict[str, Any]]]:
    """Answers to each question that are right, or wrong, and not the solution's."""
    return yaml.safe_load((master.parent / f"{kind}-answers.yaml").read_text("utf-8"))


@dataclass
class Marked:
    """A question's points, and all that its check said."""

    points: float
    said: str


@dataclass
class Notebook:
    """Runs cells as a notebook does, one after the other, with the same names."""

    name: str
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "homework"})

    def copy(self) -> "Notebook":
        return Notebook(self.name, dict(self.names))

    def run(self, source: str) -> tuple[Any, str]:
        """Run a cell; return the value of its last expression, or None, and what it printed."""
        body, last, printed = ast.parse(source), None, io.StringIO()
        if body.body and isinstance(end := body.body[-1], ast.Expr):
            body.body.pop()
            last = compile(ast.Expression(end.value), self.name, "eval")
        with redirect_stdout(printed):
            exec(compile(body, self.name, "exec"), self.names)
            value = None if last is None else eval(last, self.names)
        plt.close("all")
        return value, printed.getvalue()

    def mark(self, check: str, most: float) -> Marked:
        """Run a check as nbgrader does: an error gives nothing, a number so many points, and nothing gives all."""
        printed = io.StringIO()
        try:
            with redirect_stdout(printed):
                value, said = self.run(check)
        except Exception as error:
            return Marked(0.0, f"{printed.getvalue()}{type(error).__name__}: {error}")
        if value is None:
            return Marked(most, said)
        assert type(value) in (int, float), f"nbgrader takes {value!r} for full marks: end the check with int or float"
        assert 0 <= value <= most, f"expected a check to give 0 to {most} points; received {value}"
        return Marked(float(value), said)

    def answer(self, source: str, check: str, most: float) -> Marked:
        """Mark an answer on a copy of the names, where warnings do not matter."""
        own, said = self.copy(), ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                own.run(source)
            except Exception as error:  # as in a notebook, the check comes nevertheless
                said = f"{type(error).__name__}: {error}\n"
            marked = own.mark(check, most)
        return Marked(marked.points, said + marked.said)


@pytest.fixture(params=["small set", "full set"])
def digits(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The digits that a class has: the 5,000 that come with the course, or all of MNIST."""
    if request.param == "full set":
        if not all(path.exists() for path in COPY):
            pytest.skip("the full MNIST is not on this machine")
        for path in COPY:
            (tmp_path / "mnist").mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / "mnist")
    told = {"INNERVIEW_DATA": str(tmp_path), "INNERVIEW_OFFLINE": "1", "INNERVIEW_SCALE": "class"}
    with mock.patch.dict(os.environ, told):
        yield request.param


def blank(solution: str) -> str:
    made, count = SOLUTION.subn(STUB, solution)
    assert count, "expected a region between ### BEGIN SOLUTION and ### END SOLUTION"
    return made


def none(solution: str) -> str:
    """An answer of the same names that comes to nothing; the grader, too, makes sure that it gets no points."""
    body = ast.parse(solution).body
    return "\n".join(f"{each.name} = lambda *a, **k: None" for each in body if isinstance(each, ast.FunctionDef))


@each_homework
def test_checks_give_each_answer_what_it_deserves(
    master: Path, digits: str, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    if digits == "full set" and "load_mnist" not in master.read_text("utf-8"):
        pytest.skip("this homework uses no digits")
    asked = questions(master)
    once = digits == "small set"
    wrong, right = (other_answers(master, kind) if once else {} for kind in ("wrong", "right"))
    notebook, seconds, problems = Notebook(master.parent.name), 0.0, []
    checks = {graded(check)["grade_id"] for _, check in asked.values()}
    for cell in read(master):
        name = graded(cell).get("grade_id")
        if cell.cell_type != "code" or name in checks:
            continue
        if name not in asked:
            began = time.monotonic()
            notebook.run(cell.source)
            seconds += time.monotonic() - began
            continue
        check, most = asked[name][1].source, graded(asked[name][1])["points"]
        for nothing in (blank(cell.source), none(cell.source)):
            marked = notebook.answer(nothing, check, most)
            if marked.points:
                problems.append(f"{name}: {nothing.splitlines()[-1].strip()} gets {marked.points} of {most}")
        for other in wrong.get(name, []):
            marked = notebook.answer(other["answer"], check, most)
            if marked.points != other["points"] or other["says"] not in marked.said:
                expected = f"{other['points']} of {most} and {other['says']!r}"
                told = f"{marked.points} and {marked.said[:600]!r}"
                problems.append(f"{name}: {other['name']}: expected {expected}; received {told}")
        for other in right.get(name, []):
            marked = notebook.answer(other["answer"], check, most)
            if marked.points != most:
                problems.append(f"{name}: {other['name']} is right, and gets {marked.points}: {marked.said[:600]}")
        # What students run, without the hidden tests, passes the solution as well.
        began = time.monotonic()
        notebook.run(cell.source)
        seconds += time.monotonic() - began
        for kind, source in (("released", HIDDEN.sub("", check)), ("whole", check)):
            began = time.monotonic()
            marked = notebook.mark(source, most)
            if marked.points != most:
                problems.append(f"{name}: the solution gets {marked.points} of {most} by the {kind} check: {marked}")
        seconds += time.monotonic() - began
    record_property("seconds", round(seconds))
    with capsys.disabled():
        print(f"\n{master.parent.name}, {digits}: {seconds:.0f} s for the solutions and their checks")
    assert not problems, "\n".join(problems)


@each_homework
def test_metadata_are_what_nbgrader_reads(master: Path) -> None:
    cells = [cell for cell in read(master) if "nbgrader" in cell.metadata]
    names = [graded(cell)["grade_id"] for cell in cells]
    assert len(names) == len(set(names)) and all(re.fullmatch(r"[a-zA-Z0-9_-]+", name) for name in names)
    for cell in cells:
        told = graded(cell)
        assert set(told) == (COMMON | {"points"} if told["grade"] else COMMON), told
        assert told["schema_version"] == 3 and told["task"] is False
        # Nobody may edit a check, everybody an answer; what is both is marked by hand.
        assert told["locked"] is not told["solution"]
        if told["grade"] and told["solution"]:
            assert cell.cell_type == "markdown" and "full marks" in cell.source.lower()
        else:
            assert cell.cell_type == "code"


@each_homework
def test_a_homework_has_four_to_six_questions_and_twenty_points(master: Path) -> None:
    cells = read(master)
    worth = [graded(cell)["points"] for cell in cells if graded(cell)["grade"]]
    by_hand = [cell for cell in cells if graded(cell)["grade"] and graded(cell)["solution"]]
    assert sum(worth) == 20 and 4 <= len(worth) <= 6 and len(by_hand) <= 1
    asked = questions(master)  # which finds a check for each
    assert len(asked) + len(by_hand) == len(worth)
    order = [graded(cell).get("grade_id") for cell in cells if "nbgrader" in cell.metadata]
    assert all(order.index(f"{name}-check") == order.index(name) + 1 for name in asked)


@each_homework
def test_each_question_has_three_wrong_answers(master: Path) -> None:
    wrong, asked = other_answers(master, "wrong"), questions(master)
    assert set(wrong) == set(asked)
    for name, answers in wrong.items():
        assert len(answers) >= 3 and len({each["name"] for each in answers}) == len(answers), name
        worth = graded(asked[name][1])["points"]
        for each in answers:
            assert set(each) == {"name", "answer", "points", "says"} and each["says"], each["name"]
            assert 0 <= each["points"] < worth, each["name"]


@each_homework
def test_each_question_has_another_right_answer(master: Path) -> None:
    right, asked = other_answers(master, "right"), questions(master)
    assert set(right) == set(asked)
    for name, (solution, _) in asked.items():
        assert all(set(each) == {"name", "answer"} and each["answer"] not in solution.source for each in right[name])
        # What a question asks for by name, students are given: each function and class stands in their notebook.
        given = {node.name for node in ast.parse(blank(solution.source)).body if isinstance(node, ast.FunctionDef)}
        assert given == {node.name for node in ast.parse(solution.source).body if isinstance(node, ast.FunctionDef)}


@each_homework
def test_each_check_names_mistakes_and_has_hidden_tests(master: Path) -> None:
    for name, (solution, check) in questions(master).items():
        assert len(HIDDEN.findall(check.source)) == 1, name
        asserts = [node for node in ast.walk(ast.parse(check.source)) if isinstance(node, ast.Assert)]
        assert asserts and all(node.msg is not None for node in asserts), name
        assert "HIDDEN" not in solution.source and "SOLUTION" not in HIDDEN.sub("", check.source)
        assert blank(solution.source) != solution.source
        assert "HIDDEN" not in HIDDEN.sub("", check.source)


@each_homework
def test_saving_a_master_in_jupyterlab_changes_nothing_else(master: Path) -> None:
    text = master.read_text("utf-8")
    notebook = jupytext.reads(text, fmt="md:myst")
    again = jupytext.writes(notebook, fmt="md:myst")
    head, again_head = (each.index("\n---\n", 4) for each in (text, again))
    assert again[again_head:] == text[head:]


def test_there_is_a_homework_for_each_part() -> None:
    parts = sorted(path.name for path in (ROOT / "book").glob("[1-9]-*"))
    assert [master.parent.name for master in MASTERS] == parts


def test_the_teachers_page_lists_each_homework_as_it_is() -> None:
    rows = []
    for master in MASTERS:
        text = master.read_text("utf-8")
        title = re.search(r"^# Homework (\d): (.*)$", text, flags=re.M)
        takes = re.search(r"\*\*It takes\*\* about (\d+) minutes", text)
        asked = re.findall(r"^## Question \d: (.*) \((\d+) points, (\d+) minutes\)$", text, flags=re.M)
        assert title and takes and 40 <= int(takes[1]) <= 90
        assert [int(points) for _, points, _ in asked] == [
            graded(c)["points"] for c in read(master) if graded(c)["grade"]
        ]
        listed = "; ".join(f"{name.lower()} ({points}, {minutes})" for name, points, minutes in asked)
        rows.append(f"| {title[1]}. {title[2]} | {listed} | {takes[1]} minutes |")
    page = (ROOT / "book" / "teaching" / "homework.md").read_text("utf-8")
    assert [line for line in page.splitlines() if re.match(r"\| \d\. ", line)] == rows


def test_masters_are_no_pages_of_the_book() -> None:
    # A build in the repository's root once published them, with their solutions.
    assert "homework" in yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["exclude_patterns"]
