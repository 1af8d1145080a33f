"""From a master to what students get: without solutions, hidden tests and output, and with a mark of its release.

A master is ``homework/NAME/master.md``: MyST text with nbgrader's metadata. nbgrader's own preprocessors clear it.
"""

import hashlib
import json
import re
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbgrader import preprocessors
from nbgrader.nbgraderformat import MetadataValidator, ValidationError
from nbgrader.utils import is_grade, is_solution

from innerbook.memory import atomic_write

# Stands in code cells, for a paper can lose its metadata: Colab drops them.
MARK = re.compile(r"^# homework ([\w.-]+), release ([0-9a-f]{8})$", re.M)
_CLEARED = ("LockCells", "ClearSolutions", "ClearOutput", "ClearHiddenTests", "ClearMarkScheme")
_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def read_master(master: Path) -> NotebookNode:
    """Return a master as a notebook, with solutions and hidden tests; each cell's id is its grade_id, if it has one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: nbgrader's metadata in it are incomplete, or a grade_id stands twice.
    """
    notebook = jupytext.reads(master.read_text(encoding="utf-8"), fmt="md:myst")
    for i, cell in enumerate(notebook.cells):
        cell.id = cell.metadata.get("nbgrader", {}).get("grade_id", f"cell-{i}")
    notebook.metadata = NotebookNode(kernelspec=_KERNEL, language_info={"name": "python"})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    try:
        MetadataValidator().validate_nb(notebook)
        nbformat.validate(notebook)
    except (ValidationError, nbformat.ValidationError) as error:
        raise ValueError(f"{master}: expected nbgrader's metadata, complete; {error}") from None
    return notebook


def release(master: Path) -> NotebookNode:
    """Return what students get of a master: the same cells, cleared, with the homework's name and a digest.

    Both stand in the notebook's metadata, as ``innerbook: {homework, release}``, and in a comment of the first code
    cell and of every check, so that an old release, or another homework, is told apart when metadata are lost. The
    same master gives the same notebook.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the master's metadata are incomplete, or a region of a solution or hidden test is not closed.
    """
    notebook, name = read_master(master), master.parent.name
    try:
        for step in _CLEARED:
            notebook, _ = getattr(preprocessors, step)().preprocess(notebook, {})
    except RuntimeError as error:
        raise ValueError(f"{master}: {error}") from None
    cells = [[cell.source, cell.metadata] for cell in notebook.cells]
    digest = hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()[:8]
    first = next((cell for cell in notebook.cells if cell.cell_type == "code"), None)
    for cell in notebook.cells:
        if cell is first or is_check(cell):
            cell.source = f"# homework {name}, release {digest}\n{cell.source}".rstrip()
    notebook.metadata["innerbook"] = {"homework": name, "release": digest}
    notebook, _ = preprocessors.ComputeChecksums().preprocess(notebook, {})
    return notebook


def write_all(masters: Path, folder: Path) -> list[Path]:
    """Write the release of each ``masters/NAME/master.md`` as ``folder/NAME.ipynb``; return the paths, sorted.

    Raises:
        ValueError: see `release`.
    """
    written = []
    for master in sorted(masters.glob("*/master.md")):
        path = folder / f"{master.parent.name}.ipynb"
        with atomic_write(path) as temporary:
            temporary.write_text(nbformat.writes(release(master)) + "\n", encoding="utf-8")
        written.append(path)
    return written


def is_check(cell: NotebookNode) -> bool:
    """Tell whether a cell checks answers by code."""
    return bool(cell.cell_type == "code" and is_grade(cell) and not is_solution(cell))
