"""What students can open holds no line of a homework's solution, and none of its hidden tests."""

from pathlib import Path

import pytest

from innerbook.grading import release
from innerbook.grading.leaks import leaks, secrets

from .conftest import ROOT, SITE

BUNDLE = ROOT / "_build" / "inner-view-class.tar"


@pytest.fixture(scope="module")
def secret() -> list[str]:
    pages = [*ROOT.glob("book/**/*.md"), *ROOT.glob("src/**/*.py")]  # whose lines everyone may read
    masters = sorted(ROOT.glob("homework/*/master.md"))
    released = (cell.source for master in masters for cell in release.release(master).cells)
    known = "\n".join([*(path.read_text("utf-8") for path in pages), *released])
    found = [secrets(master, known) for master in masters]
    assert len(found) == 6 and all(len(lines) > 20 for lines in found)
    return [line for lines in found for line in lines]


def test_the_site_and_its_notebooks_hold_none(secret: list[str]) -> None:
    assert leaks(SITE, secret) == []


def test_released_homeworks_hold_none(secret: list[str], tmp_path: Path) -> None:
    assert len(release.write_all(ROOT / "homework", tmp_path)) == 6
    assert leaks(tmp_path, secret) == []


@pytest.mark.skipif(not BUNDLE.exists(), reason="there is no class bundle; make class-bundle writes one")
def test_the_class_bundle_holds_none(secret: list[str]) -> None:
    assert leaks(BUNDLE, secret) == []


def test_the_search_finds_a_line_that_has_got_out(secret: list[str], tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<p>{secret[0]}</p>")
    assert [line for _, line in leaks(tmp_path, secret)] == [secret[0]]
