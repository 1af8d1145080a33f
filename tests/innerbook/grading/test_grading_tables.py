"""The tables: what stands in them, and what is wrong with a roster."""

import csv
from pathlib import Path
from typing import Any

import pytest

from innerbook.grading import tables
from innerbook.grading.tables import Record

QUESTIONS = {"first-check": 2.0, "why": 1.5}


def record(student: str, file: str = "", **changes: Any) -> Record:
    about: dict[str, Any] = {"key": "k", "status": "ok", "points": {"first-check": 2.0, "why": 0.5}, "notes": []}
    about |= {"seconds": 3.21, "megabytes": 151.4, "changed": 0.0}
    return Record(student=student, file=file or f"{student}/paper.ipynb", **(about | changes))


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_marks_read_back(tmp_path):
    odd = record('=cmd("x")', notes=["a, b", "+1"], status="flagged", points={"first-check": 1 / 3, "why": None})
    assert tables.write(tmp_path, [record("Ana Pérez, 2"), odd], QUESTIONS, None, "hw") == []
    head, first, second = rows(tmp_path / "marks.csv")
    assert head[:6] == ["student", "file", "first-check", "why", "total", "of"]
    assert first[:6] == ["Ana Pérez, 2", "Ana Pérez, 2/paper.ipynb", "2", "0.5", "2.5", "3.5"]
    assert first[6:] == ["ok", "yes", "3.2", "151", ""]
    assert second[0] == '\'=cmd("x")'  # no spreadsheet computes it
    assert second[2:7] == ["0.3333", "", "0.3333", "3.5", "flagged"]
    assert second[-1] == "a, b; +1"
    assert [path.name for path in tmp_path.iterdir()] == ["marks.csv"]


def test_the_newest_paper_that_could_be_graded_counts():
    old, new = record("anna", "a/1.ipynb", changed=1.0), record("anna", "a/2.ipynb", changed=2.0)
    broken = record("anna", "a/3.ipynb", changed=3.0, points={}, status="unreadable")
    assert tables.counting([new, broken, old]) == {"anna": new}
    assert tables.counting([broken]) == {"anna": broken}


def test_a_roster_names_students_by_the_beginning_of_their_folder(tmp_path):
    folder = "Ana Pérez_4711_assignsubmission_file"
    roster = [
        {"student": "Ana Pérez", "email": "ana@example.org", "id_number": "7"},
        {"student": "Ben", "email": "ben@example.org", "id_number": "8"},
        {"student": "Two", "email": "two@example.org", "id_number": "9"},
    ]
    papers = [record(folder), record("Two_1_x"), record("Two_2_x"), record("Zoe")]
    notes = tables.write(tmp_path, papers, QUESTIONS, roster, "hw")
    assert rows(tmp_path / "moodle.csv") == [
        ["ID number", "Email address", "hw"],
        ["7", "ana@example.org", "2.5"],
        ["8", "ben@example.org", ""],
        ["9", "two@example.org", ""],
    ]
    assert notes == ["Two of the roster fits Two_1_x, Two_2_x: give its whole name", "not on the roster: Zoe"]


def test_a_mark_that_is_not_final_stays_empty(tmp_path):
    roster = [{"student": name, "username": name} for name in ("open", "unreadable")]
    papers = [record("open", points={"first-check": 2.0, "why": None}), record("unreadable", points={})]
    tables.write(tmp_path, papers, QUESTIONS, roster, "hw")
    assert rows(tmp_path / "moodle.csv")[1:] == [["open", ""], ["unreadable", "0"]]
    assert rows(tmp_path / "canvas.csv")[1][-1] == "3.5"


def test_a_roster_is_read_as_spreadsheets_save_it(tmp_path):
    path = tmp_path / "students.csv"
    path.write_bytes("\ufeffstudent,email\r\n Jose\u0301 ,j@example.org\r\n".encode())
    assert tables.read_roster(path) == [{"student": "José", "email": "j@example.org"}]
    path.write_text("name,email\n")
    with pytest.raises(ValueError, match="needs a column student; received name, email"):
        tables.read_roster(path)


@pytest.mark.parametrize("points", ["2", "-1", "nan", "good"])
def test_odd_points_by_hand_are_refused(tmp_path, points):
    (tmp_path / "by-hand.csv").write_text(f"file,question,of,points\na/paper.ipynb,why,1.5,{points}\n")
    with pytest.raises(ValueError, match=f"0 to 1.5 points to why; received {points}"):
        tables.by_hand(tmp_path, [], QUESTIONS)
