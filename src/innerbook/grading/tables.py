"""The tables of a graded homework, as CSV in UTF-8.

- ``marks.csv``: a row a paper, with the points of each question, the total, the status, what it took, and notes. Of a
  student's papers the one with ``counts`` *yes* goes into the other tables: the newest that can be graded.
- ``by-hand.csv``: a row for each written answer. Write the points into its last column and grade again: no paper is
  executed anew, and the points stand in all tables.
- ``moodle.csv``: for Grades, Import, CSV file. *Map from* "Email address" *to* "Email address" (or ID number, or
  username), and the homework's column to its grade item. A column that is empty in the roster is left out.
- ``canvas.csv``: for Grades, Import. Canvas knows an assignment by its column in an exported file, such as
  ``Homework 1 (12345)``: give it as `column`, or Canvas asks whether the column is a new assignment.

The last two need a roster, ``students.csv``, with the columns ``student`` (the name of the folder or file that was
handed in, or its beginning up to a ``_``), ``name``, ``email``, ``id_number``, ``username``, ``canvas_id``,
``sis_user_id``, ``sis_login_id`` and ``section``; only the first is needed. They leave a mark empty where there is no
paper, or a written answer has no points yet.
"""

import csv
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from innerbook.memory import atomic_write

_MOODLE = {"username": "Username", "id_number": "ID number", "email": "Email address"}
_CANVAS = {
    "name": "Student",
    "canvas_id": "ID",
    "sis_user_id": "SIS User ID",
    "sis_login_id": "SIS Login ID",
    "section": "Section",
}


@dataclass(frozen=True)
class Record:
    """What came of one paper.

    Attributes:
        key: a digest of the paper, the master and the limits: with the same, it need not be graded again.
        student: whose it is.
        file: where it lies, in the folder of submissions.
        status: ``ok``, ``rebuilt``, ``flagged``, ``time limit``, ``stopped``, ``kernel died``, ``unreadable``,
            ``other homework``, ``no notebook`` or ``link``.
        points: by question; None where a teacher has yet to give them. Empty if it was not graded.
        notes: what a teacher should know.
        seconds: how long it ran.
        megabytes: the most that it had in memory.
        changed: when the file was last changed, in seconds since 1970.
    """

    key: str
    student: str
    file: str
    status: str
    points: Mapping[str, float | None]
    notes: Sequence[str]
    seconds: float
    megabytes: float
    changed: float

    @property
    def total(self) -> float:
        """The points that are known."""
        return sum(each or 0.0 for each in self.points.values())

    @property
    def open(self) -> bool:
        """Whether a teacher has yet to give points."""
        return any(each is None for each in self.points.values())

    @property
    def graded(self) -> bool:
        """Whether there was something to grade."""
        return bool(self.points)


def counting(records: Iterable[Record]) -> dict[str, Record]:
    """Return of each student the paper that counts: the newest that could be graded, or else the newest."""
    best: dict[str, Record] = {}
    for each in records:
        before = best.get(each.student)
        if before is None or _rank(each) > _rank(before):
            best[each.student] = each
    return best


def write(
    folder: Path,
    records: Sequence[Record],
    questions: Mapping[str, float],
    roster: Sequence[Mapping[str, str]] | None,
    column: str,
) -> list[str]:
    """Write the tables into a folder; return what a teacher should know of the roster.

    Args:
        folder: gets ``marks.csv`` and, with a roster, ``moodle.csv`` and ``canvas.csv``.
        records: of all papers.
        questions: the most points of each, in the homework's order.
        roster: by `read_roster`.
        column: the name of the homework's column.
    """
    chosen = counting(records)
    head = ["student", "file", *questions, "total", "of", "status", "counts", "seconds", "megabytes", "notes"]
    rows = [
        [
            _harmless(each.student),
            _harmless(each.file),
            *(_number(each.points.get(name)) for name in questions),
            _number(each.total),
            _number(sum(questions.values())),
            each.status,
            "yes" if chosen[each.student] is each else "no",
            f"{each.seconds:.1f}",
            f"{each.megabytes:.0f}",
            _harmless("; ".join(each.notes)),
        ]
        for each in records
    ]
    _write(folder / "marks.csv", [head, *rows])
    if roster is None:
        return []
    found, notes = _joined(chosen, roster)
    marks = [_number(each.total) if each and each.graded and not each.open else "" for each in found]
    marks = ["0" if each and not each.graded else mark for each, mark in zip(found, marks, strict=True)]
    known = {key: name for key, name in _MOODLE.items() if any(one.get(key) for one in roster)}
    moodle = [[*(one.get(key, "") for key in known), mark] for one, mark in zip(roster, marks, strict=True)]
    _write(folder / "moodle.csv", [[*known.values(), column], *moodle])
    canvas = [[*(one.get(key, "") for key in _CANVAS), mark] for one, mark in zip(roster, marks, strict=True)]
    possible = ["    Points Possible", "", "", "", "", _number(sum(questions.values()))]
    _write(folder / "canvas.csv", [[*_CANVAS.values(), column], possible, *canvas])
    return notes


def read_roster(path: Path) -> list[dict[str, str]]:
    """Read ``students.csv``: see above.

    Raises:
        ValueError: it has no column ``student``.
        FileNotFoundError: there is no such file.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if "student" not in (reader.fieldnames or ()):
            raise ValueError(f"{path} needs a column student; received {', '.join(reader.fieldnames or ())}")
        return [
            {key: unicodedata.normalize("NFC", (value or "").strip()) for key, value in row.items() if key}
            for row in reader
        ]


def by_hand(folder: Path, records: Sequence[Record], questions: Mapping[str, float]) -> dict[tuple[str, str], float]:
    """Read the points of ``by-hand.csv`` by file and question, and write it with a row for each written answer.

    Raises:
        ValueError: points are no number from 0 to the question's most.
    """
    path, given = folder / "by-hand.csv", dict[tuple[str, str], float]()
    if path.exists():
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                if text := (row.get("points") or "").strip():
                    given[row["file"], row["question"]] = _checked(text, questions, row["question"], path)
    open_ = [(each, name) for each in records for name, points in each.points.items() if points is None]
    if open_:
        rows = [
            [each.file, name, _number(questions[name]), _number(given.get((each.file, name)))] for each, name in open_
        ]
        _write(path, [["file", "question", "of", "points"], *rows])
    return given


def _checked(text: str, questions: Mapping[str, float], name: str, path: Path) -> float:
    try:
        points = float(text.replace(",", "."))
    except ValueError:
        points = -1.0
    if not 0 <= points <= questions.get(name, 0.0):
        raise ValueError(f"{path} must give 0 to {questions.get(name, 0):g} points to {name}; received {text}")
    return points


def _joined(chosen: Mapping[str, Record], roster: Sequence[Mapping[str, str]]) -> tuple[list[Record | None], list[str]]:
    """Return the paper of each row of the roster, or None, and what does not fit together."""
    found, notes, used = list[Record | None](), list[str](), set[str]()
    for one in roster:
        name = one["student"]
        fits = [name] if name in chosen else [each for each in chosen if name and each.startswith(f"{name}_")]
        if len(fits) > 1:
            notes.append(f"{name} of the roster fits {', '.join(fits)}: give its whole name")
        found.append(chosen[fits[0]] if len(fits) == 1 else None)
        used |= set(fits)
    if strangers := sorted(set(chosen) - used):
        notes.append(f"not on the roster: {', '.join(strangers)}")
    return found, notes


def _rank(each: Record) -> tuple[bool, float, str]:
    return each.graded, each.changed, each.file


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text  # or a spreadsheet computes it


def _write(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
