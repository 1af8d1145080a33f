"""Puts a student's answers into the paper again, whatever became of the rest of the notebook.

Only answers, and cells that the student added, come from what was handed in. Everything else comes from the release
(what the student was given) and the master (its checks, with hidden tests).
"""

import ast
import copy
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.utils import is_grade, is_solution

from innerbook.grading.release import MARK, is_check

_ASSIGNS = re.compile(r"^(?:(?:async )?def|class)\s+(\w+)|^(\w+)\s*(?::[^=\n]+)?=(?!=)", re.M)

_MOST = 1_000_000  # signs of text and code


@dataclass(frozen=True)
class Cell:
    """One cell of what was handed in: its kind, its text, nbgrader's metadata if it still has them, and its id."""

    kind: str
    source: str
    nbgrader: Mapping[str, Any]
    id: str


@dataclass(frozen=True)
class Handed:
    """A notebook that was handed in: its cells, and the homework and release that it says it is of, or ``""``."""

    cells: tuple[Cell, ...]
    homework: str
    release: str


@dataclass(frozen=True)
class Paper:
    """A paper that can be graded.

    Attributes:
        graded: the release with the student's answers, and the checks of the master.
        shown: the same with the checks that the student was given.
        notes: what was amiss, in words.
        found: how many answers were found, also unchanged ones.
    """

    graded: NotebookNode
    shown: NotebookNode
    notes: tuple[str, ...]
    found: int


def read(content: bytes) -> Handed:
    """Read a notebook that was handed in, as leniently as can be.

    Raises:
        ValueError: it is no notebook: why.
    """
    try:
        raw = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected a notebook; {str(error)[:100]}") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("cells"), list):
        raise ValueError("expected a notebook; there are no cells")
    cells = tuple(_cell(each) for each in raw["cells"] if isinstance(each, dict))
    if sum(len(cell.source) for cell in cells) > _MOST:
        raise ValueError(f"expected a notebook; there are more than {_MOST} signs in its cells")
    homework, digest = _origin(_mapping(_mapping(raw.get("metadata")).get("innerbook")), cells)
    return Handed(cells, homework, digest)


def answer_names(source: str) -> set[str]:
    """Return the functions, classes and variables that a cell makes, also where its Python is broken.

    Example::

        answer_names("def f(x):\\n    y = x\\n    return y")  # {"f"}
    """
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {one or other for one, other in _ASSIGNS.findall(source)}
    names = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
    return names


def repair(master: NotebookNode, released: NotebookNode, handed: Handed) -> Paper:
    """Rebuild a paper from its release, with the answers of a notebook that was handed in.

    An answer is sought by its grade_id, then by its cell's id, then by the names that it must make. Of several, the
    last one that is not as it was given counts. Code cells that the student added stay behind the cell that they
    followed.

    Args:
        master: by `release.read_master`.
        released: by `release.release`, of the same master.
        handed: by `read`.
    """
    answers = [(given, made) for given, made in zip(released.cells, master.cells, strict=True) if is_solution(given)]
    seeking = _Seeking(released, handed.cells)
    chosen = {given.id: seeking.find(given, answer_names(made.source)) for given, made in answers}
    seeking.find_written([given for given, _ in answers if given.cell_type == "markdown"], chosen)
    added = seeking.added(chosen)
    first = answers[0][0].id if answers else ""
    graded, shown = [], []
    for given, made in zip(released.cells, master.cells, strict=True):
        cell, at = copy.deepcopy(given), chosen.get(given.id)
        if at is not None:
            cell.source = handed.cells[at].source
        before = added.get("", []) if given.id == first else []
        cells = [*map(_extra, before), cell, *map(_extra, added.get(given.id, []))]
        shown += cells
        graded += copy.deepcopy(cells)
        if is_check(cell):
            graded[len(before) - len(cells)].source = made.source
    notes = [*seeking.notes, *_about_checks(released, handed.cells), *_about_order(released, chosen)]
    found = sum(at is not None for at in chosen.values())
    return Paper(_notebook(graded, released), _notebook(shown, released), tuple(notes), found)


class _Seeking:
    """Which cell of what was handed in is which."""

    def __init__(self, released: NotebookNode, cells: Sequence[Cell]):
        self.cells, self.notes = cells, list[str]()
        self.given = {cell.id: cell for cell in released.cells}
        texts = {_squeezed(cell.source) for cell in released.cells if not is_solution(cell)}
        # Cells that stand in the release as well, as they were given or locked: they are not the student's.
        self.ours = {i for i, cell in enumerate(cells) if _squeezed(cell.source) in texts or self._locked(cell)}
        self.taken: set[int] = set()
        if cells and not any(cell.nbgrader.get("grade_id") in self.given for cell in cells):
            self.notes.append("metadata lost")

    def find(self, given: NotebookNode, names: set[str]) -> int | None:
        """Return which cell is the answer to this one of the release, or None."""
        tiers = (
            self._those(lambda cell: cell.nbgrader.get("grade_id") == given.id),
            self._those(lambda cell: cell.id == given.id and not cell.nbgrader),
            self._those(lambda cell: given.cell_type == cell.kind == "code" and self._makes(cell, names)),
        )
        asked = _squeezed(given.source)
        answered = [[i for i in tier if _squeezed(self.cells[i].source) != asked] for tier in tiers]
        changed = next(filter(None, answered), [])
        same = [i for tier in tiers for i in tier if _squeezed(self.cells[i].source) == asked]
        if not changed and not same:
            same = self._those(lambda cell: _squeezed(cell.source) == asked)[:1]
        if len(changed) > 1:
            self.notes.append(f"{given.id} is answered {len(changed)} times: the last one counts")
        if not changed and not same and given.cell_type == "code":
            self.notes.append(f"no answer found to {given.id}")
        self.taken |= {*changed, *same}
        return changed[-1] if changed else same[0] if same else None

    def find_written(self, essays: Sequence[NotebookNode], chosen: dict[str, int | None]) -> None:
        """Give written answers that lost their metadata to their questions in order, if there are as many as these."""
        missing = [given.id for given in essays if chosen[given.id] is None]
        text = self._those(lambda cell: cell.kind == "markdown" and bool(cell.source.strip()))
        if missing and len(text) == len(missing):
            chosen.update(zip(missing, text, strict=True))
            self.taken |= set(text)
        elif missing:
            self.notes.append(f"no written answer found to {', '.join(missing)}: look into the file")

    def added(self, chosen: Mapping[str, int | None]) -> dict[str, list[str]]:
        """Return the code cells that the student added, by the cell of the release behind which they stand.

        ``""`` has those in front of everything.
        """
        texts = {_squeezed(cell.source): name for name, cell in self.given.items() if not is_solution(cell)}
        answers = {at: name for name, at in chosen.items() if at is not None}
        behind, found = "", dict[str, list[str]]()
        for i, cell in enumerate(self.cells):
            name = answers.get(i) or texts.get(_squeezed(cell.source)) or cell.nbgrader.get("grade_id", cell.id)
            if i in answers or (i in self.ours and name in self.given):
                behind = name
            elif cell.kind == "code" and i not in self.ours | self.taken and cell.source.strip():
                found.setdefault(behind, []).append(cell.source)
        return found

    def _those(self, fits: Any) -> list[int]:
        free = (i for i in range(len(self.cells)) if i not in self.taken and i not in self.ours)
        return [i for i in free if fits(self.cells[i])]

    def _makes(self, cell: Cell, names: set[str]) -> bool:
        """Tell whether a cell that is no other question's makes all that an answer must."""
        return bool(names) and cell.nbgrader.get("grade_id") not in self.given and names <= answer_names(cell.source)

    def _locked(self, cell: Cell) -> bool:
        given = self.given.get(cell.nbgrader.get("grade_id", cell.id))
        return given is not None and is_grade(given) and not is_solution(given)


def _about_checks(released: NotebookNode, cells: Sequence[Cell]) -> list[str]:
    """Say which checks were deleted, changed or given other points."""
    texts = {_squeezed(cell.source) for cell in cells}
    known = {cell.nbgrader.get("grade_id", cell.id): cell for cell in cells}
    checks = [cell for cell in released.cells if is_check(cell)]
    same = {cell.id for cell in checks if _squeezed(cell.source) in texts}
    deleted = [cell.id for cell in checks if cell.id not in same | set(known)]
    changed = [
        cell.id
        for cell in checks
        if cell.id in known
        and (
            cell.id not in same
            or (points := cell.metadata.nbgrader.points) != known[cell.id].nbgrader.get("points", points)
        )
    ]
    notes = [f"{len(deleted)} check(s) missing: put back"] if deleted else []
    return notes + ([f"changed check(s) or points restored: {', '.join(changed)}"] if changed else [])


def _about_order(released: NotebookNode, chosen: Mapping[str, int | None]) -> list[str]:
    places = [at for cell in released.cells if (at := chosen.get(cell.id)) is not None]
    return ["cells re-ordered"] if places != sorted(places) else []


def _cell(raw: Mapping[str, Any]) -> Cell:
    source = raw.get("source", "")
    text = "".join(each for each in source if isinstance(each, str)) if isinstance(source, list) else source
    about = _mapping(_mapping(raw.get("metadata")).get("nbgrader"))
    about = {**about, "grade_id": str(about["grade_id"])} if "grade_id" in about else about
    kind = str(raw.get("cell_type", ""))
    return Cell(kind, text if isinstance(text, str) else "", about, str(raw.get("id", "")))


def _origin(told: Mapping[str, Any], cells: Iterable[Cell]) -> tuple[str, str]:
    """Return what the metadata say, or what most marks in the text say."""
    if found := MARK.fullmatch(f"# homework {told.get('homework')}, release {told.get('release')}"):
        return found[1], found[2]
    marks = Counter(match for cell in cells for match in MARK.findall(cell.source))
    return marks.most_common(1)[0][0] if marks else ("", "")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _extra(source: str) -> NotebookNode:
    return new_code_cell(source, metadata={"innerbook": {"added": True}})


def _notebook(cells: list[NotebookNode], released: NotebookNode) -> NotebookNode:
    cells = copy.deepcopy(cells)
    for i, cell in enumerate(cells):
        cell.id = f"cell-{i}"  # an added cell could bear any
    return new_notebook(cells=cells, metadata=copy.deepcopy(released.metadata))


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)
