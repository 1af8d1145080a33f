"""A paper is rebuilt from its release, whatever became of the notebook."""

import copy
import json

import pytest
from papers import GIVEN, HOMEWORK, MASTER, RIGHT, cases, paper

from innerbook.grading.release import is_check, read_master, release
from innerbook.grading.repair import answer_names, read, repair

MASTER_CELLS = read_master(MASTER)
GRADED = {case.file: case for case in cases() if case.status in ("ok", "rebuilt")}


def rebuilt(content: bytes):
    return repair(MASTER_CELLS, GIVEN, read(content))


@pytest.mark.parametrize("file", [file for file, case in GRADED.items() if case.status == "rebuilt"])
def test_what_was_amiss_is_said(file):
    assert GRADED[file].note in "; ".join(rebuilt(GRADED[file].content).notes)


@pytest.mark.parametrize("file", [file for file, case in GRADED.items() if file.startswith("broken")])
def test_answers_are_found_and_checks_are_the_masters(file):
    made = rebuilt(GRADED[file].content)
    sources = [cell.source for cell in made.graded.cells]
    assert [sources.count(RIGHT[name]) for name in RIGHT] == [1] * 4
    checks = [cell.source for cell in MASTER_CELLS.cells if is_check(cell)]
    assert [source for source in sources if source in checks] == checks
    shown = [cell.source for cell in made.shown.cells if is_check(cell)]
    assert shown == [cell.source for cell in GIVEN.cells if is_check(cell)]
    for source, check in zip(RIGHT.values(), checks, strict=True):  # an answer stands in front of its check
        assert sources.index(source) < sources.index(check)


def test_an_untouched_paper_has_no_notes():
    for content in (paper({}), paper(RIGHT)):
        made = rebuilt(content)
        assert made.notes == ()
        assert len(made.graded.cells) == len(GIVEN.cells)
        assert made.found == 4


def test_points_come_from_the_release():
    made = rebuilt(GRADED["hostile-edits/paper.ipynb"].content)
    assert [cell.metadata.nbgrader.points for cell in made.graded.cells if is_check(cell)] == [2, 2, 3, 2]
    assert any("points" in note for note in made.notes)


def test_an_added_cell_stays_between_its_neighbours():
    made = rebuilt(GRADED["good-helper/paper.ipynb"].content)
    sources = [cell.source for cell in made.graded.cells]
    at = sources.index("def my_helper(x):\n    return x / 2")
    assert "my_helper(x)" in sources[at - 1]
    assert sources[at + 1].startswith("# homework tiny") or "BEGIN HIDDEN" in sources[at + 1]


def test_a_missing_answer_is_named_and_left_as_it_was_given():
    notebook = json.loads(paper(RIGHT))
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] != "halve"]
    made = rebuilt(json.dumps(notebook).encode())
    assert "no answer found to halve" in made.notes
    assert any("raise NotImplementedError" in cell.source for cell in made.graded.cells)


def test_written_answers_are_found_without_metadata():
    master = HOMEWORK / "essay" / "master.md"
    given = release(master)
    for stripped in (False, True):
        notebook = copy.deepcopy(given)
        next(cell for cell in notebook.cells if cell.id == "why").source = "Because of addition."
        if stripped:
            for cell in notebook.cells:
                cell.metadata, cell.id = {}, f"x{cell.id}"
        made = repair(read_master(master), given, read(json.dumps(notebook).encode()))
        (essay,) = (cell for cell in made.graded.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == "why")
        assert essay.source == "Because of addition."


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b'{"cells": 3}', b"\xff\xfe\x00", b"[" * 100_000],
)
def test_what_is_no_notebook_is_a_value_error(content):
    with pytest.raises(ValueError, match="expected a notebook"):
        read(content)


def test_odd_cells_do_no_harm():
    odd = {
        "cells": [3, {}, {"cell_type": "code", "source": 5}, {"metadata": {"nbgrader": "x"}, "source": [1, "a = 1"]}]
    }
    assert [cell.source for cell in read(json.dumps(odd).encode()).cells] == ["", "", "a = 1"]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(x):\n    y = x\n    return y", {"f"}),
        ("a, (b, c) = 1, (2, 3)\nd: int = 4\nclass E: pass", {"a", "b", "c", "d", "E"}),
        ("def broken(x)\n    return x\ntotal = 3\nif x == 3:", {"broken", "total"}),
        ("print('nothing')", set()),
    ],
)
def test_names_that_a_cell_makes(source, names):
    assert answer_names(source) == names
