"""Notebooks are run as a student would run them: alone, in an empty folder, with an eye on the clock."""

import asyncio
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_notebook, writes

from innerbook.build import trial

ROOT = Path(__file__).parents[2]


def tried(folder: Path, *codes: str) -> dict[str, object]:
    path = folder / "as-read" / "page.ipynb"
    path.parent.mkdir()
    path.write_text(writes(new_notebook(cells=[new_code_cell(code) for code in codes])))
    return asyncio.run(trial._Student(path, Path(sys.executable), folder).run())


def test_a_row_says_when_the_first_figure_came_and_how_long_nothing_moved(tmp_path: Path) -> None:
    row = tried(
        tmp_path,
        "import pathlib, time\nassert not list(pathlib.Path('data').rglob('*.npz'))",
        "from IPython.display import HTML\ntime.sleep(2)\nHTML('<b>seen</b>')",
        "print('also seen')",
    )
    assert row["page"] == "as-read/page" and row["problem"] == ""
    assert 2 <= float(str(row["first figure"])) <= float(str(row["seconds"]))
    assert 2 <= float(str(row["longest silence"])) <= float(str(row["seconds"]))


def test_a_notebook_that_fails_says_so_in_a_line(tmp_path: Path) -> None:
    row = tried(tmp_path, "1 / 0", "1")
    assert "ZeroDivisionError" in str(row["problem"]) and row["first figure"] is None


def test_the_site_is_served_for_the_first_cell(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("here")
    with trial._site(tmp_path) as address, urllib.request.urlopen(f"{address}/a.txt", timeout=5) as answer:
        assert answer.read() == b"here"


def test_what_cannot_be_tried_is_told() -> None:
    with pytest.raises(ValueError, match="an environment of clean, colab; received 'windows'"):
        trial.run(ROOT, [], "windows", 1)


def test_a_page_that_was_not_executed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pages: Any = [SimpleNamespace(name="book/index")]
    monkeypatch.setattr("innerbook.build.executing.recall", lambda root, pages: pages)
    with pytest.raises(ValueError, match="book/index is not executed: run `make book` first"):
        trial.run(ROOT, pages, "clean", 1)
