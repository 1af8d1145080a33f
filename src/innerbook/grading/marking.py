"""What a paper's outputs are worth, and whether they can be believed."""

import copy
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.utils import determine_grade, is_grade, is_solution

from innerbook.grading import sandbox
from innerbook.grading.release import is_check, read_master, release
from innerbook.grading.repair import Paper, answer_names

# Cells that must fail: they pass only where a paper has disarmed what checks are made of.
_CANARIES = (
    "assert False, 'canary'",
    "import numpy\nassert numpy.allclose(0.0, 1.0) or numpy.array_equal([0], [1]) or numpy.isclose(0.0, 1.0)",
    "import numpy.testing\nnumpy.testing.assert_allclose(0.0, 1.0)",
)
_NOTHING = """\
for _name in _names:
    globals()[_name] = (lambda *a, **k: None) if callable(globals().get(_name)) else object()"""
_NUMBER = re.compile(r"^(?:np|numpy)\.\w+\((.*)\)$")  # how NumPy shows a number


@dataclass(frozen=True)
class Homework:
    """A homework: its master, its release, and what is computed from them once.

    Attributes:
        name: of its folder.
        master: with solutions and hidden tests.
        released: what students were given.
        key: a digest of the master.
    """

    name: str
    master: NotebookNode
    released: NotebookNode
    key: str

    @classmethod
    def read(cls, path: Path) -> "Homework":
        """Read ``homework/NAME/master.md``.

        Raises:
            FileNotFoundError, ValueError: see `innerbook.grading.release.release`.
        """
        key = hashlib.sha256(path.read_bytes()).hexdigest()
        return cls(path.parent.name, read_master(path), release(path), key)

    @property
    def questions(self) -> dict[str, float]:
        """The most points of each question, by its grade_id, in order."""
        graded = (cell.metadata.nbgrader for cell in self.released.cells if is_grade(cell))
        return {about.grade_id: float(about.points) for about in graded}

    @property
    def mark(self) -> str:
        """The digest of the release."""
        return str(self.released.metadata.innerbook.release)

    @property
    def draws_maps(self) -> bool:
        """Whether its papers draw maps, which need much that is compiled first."""
        return any("innerbook.embedding" in cell.source for cell in self.master.cells)

    def canaries(self) -> list[tuple[str, str]]:
        """Return cells that must fail at a paper's end: (the check that it repeats, or "", and its source) each.

        The checks are repeated with nothing in the answers' places. One that still gives points has been disarmed.
        """
        names = {cell.id: answer_names(cell.source) for cell in self.master.cells if is_solution(cell)}
        checks = [cell for cell in self.master.cells if is_check(cell) and names.get(cell.id.removesuffix("-check"))]
        made = sorted({each for some in names.values() for each in some})
        nothing = f"_names = {made}\n{_NOTHING}"
        return [*(("", each) for each in _CANARIES), *((cell.id, f"{nothing}\n{cell.source}") for cell in checks)]


def outputs_of_run(run: sandbox.Run) -> tuple[dict[int, list[Any]], list[int]]:
    """Return the outputs of the cells that were executed, and which of them took too long."""
    done = [line for line in run.lines if "cell" in line]
    return {line["cell"]: line["outputs"] for line in done}, [line["cell"] for line in done if line["late"]]


def marks(paper: Paper, outputs: Mapping[int, Sequence[Any]]) -> tuple[dict[str, float | None], list[str]]:
    """Return the points of each question, and the checks that gave a number which cannot be."""
    points, odd = dict[str, float | None](), list[str]()
    for i, cell in enumerate(paper.graded.cells):
        if is_grade(cell):
            name = cell.metadata.nbgrader.grade_id
            try:
                points[name] = points_of(cell, outputs.get(i))
            except ValueError as error:
                points[name] = 0.0
                odd.append(f"{name}: {error}")
    return points, odd


def points_of(cell: NotebookNode, outputs: Sequence[Any] | None) -> float | None:
    """Return a cell's points by nbgrader's rule; of its outputs only what it says itself counts.

    An error counts wherever it stands, warnings never, and of several results the last. A check that was not
    executed gives nothing. None is for a teacher to mark.

    Raises:
        ValueError: the check's number is not one of 0 to its points; nbgrader would give full marks to some such.
    """
    if not is_check(cell):
        return _optional(determine_grade(cell)[0])
    if outputs is None:
        return 0.0
    judged = copy.deepcopy(cell)
    errors = [each for each in outputs if each["output_type"] == "error"]
    results = [each for each in outputs if each["output_type"] == "execute_result"]
    judged.outputs = [NotebookNode(copy.deepcopy(each)) for each in errors or results[-1:]]
    if not errors and results:
        text = str(results[-1]["data"].get("text/plain", "")).strip()
        text = _NUMBER.sub(r"\1", text)
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if math.isnan(number) or not 0 <= number <= float(cell.metadata.nbgrader.points):
            raise ValueError(f"the check gave {text[:40]} points")
        judged.outputs[0].data = {"text/plain": text or "text"}
    return _optional(determine_grade(judged)[0])


def lost(cell: NotebookNode, points: Mapping[str, float | None]) -> bool:
    """Tell whether a check gave fewer points than it may."""
    return (points[cell.metadata.nbgrader.grade_id] or 0.0) < float(cell.metadata.nbgrader.points)


def flags(
    homework: Homework,
    canaries: Sequence[tuple[str, str]],
    outputs: Sequence[Sequence[Any] | None],
    points: Mapping[str, float | None],
) -> list[str]:
    """Say which canaries passed, though they must fail."""
    checks = {cell.id: cell for cell in homework.released.cells}
    found = []
    for (name, source), each in zip(canaries, outputs, strict=True):
        if each is None:
            continue
        if not name and not any(one["output_type"] == "error" for one in each):
            found.append(f"passes what must fail: {source.splitlines()[-1]}")
        elif name and (mine := points.get(name)):
            try:
                if (points_of(checks[name], each) or 0.0) >= mine:
                    found.append(f"{name} passes with nothing in the answer's place")
            except ValueError:
                found.append(f"{name} gives odd points")
    return found


def status(run: sandbox.Run, late: bool, flags: Sequence[str], amiss: bool) -> tuple[str, list[str]]:
    """Return a paper's status, and why it is not ok.

    Args:
        run: with the checks of the master, and the canaries.
        late: whether a cell of the paper took too long.
        flags: by `flags`.
        amiss: whether something in the paper had to be repaired.
    """
    end = run.stopped or next((str(line["end"]) for line in run.lines if "end" in line), "kernel died")
    if end == "kernel died" or end.startswith("broken"):
        return "kernel died", [end] if end.startswith("broken") else ["the kernel died"]
    if end == "time limit" or (end == "done" and late and not flags):
        return "time limit", ["a cell took too long"]
    if end == "time limit of the paper":
        return "time limit", ["it took too long in all"]
    if end != "done":
        return "stopped", [f"stopped: {end}"]
    return "flagged" if flags else "rebuilt" if amiss else "ok", []


def _optional(value: float | None) -> float | None:
    return None if value is None else float(value)
