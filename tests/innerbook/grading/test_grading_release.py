"""What students get: cleared, marked, the same each time; and a search that finds what leaks."""

import json
import tarfile
from pathlib import Path

import nbformat
import pytest
from papers import GIVEN, HOMEWORK, MASTER

from innerbook.grading.leaks import leaks, secrets
from innerbook.grading.release import MARK, is_check, read_master, release, write_all


def test_released_notebooks_hold_no_answer_no_hidden_test_and_no_output(tmp_path):
    for path in write_all(HOMEWORK, tmp_path):
        text = path.read_text(encoding="utf-8")
        for word in ("SOLUTION", "HIDDEN", "secret", "squares_of_all", "two things"):
            assert word not in text
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") for cell in notebook.cells)
        assert leaks(path, secrets(HOMEWORK / path.stem / "master.md")) == []


def test_questions_and_visible_checks_stay():
    text = "\n".join(cell.source for cell in GIVEN.cells)
    assert "def halve(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()" in text
    assert 'f"half of 4 is 2, not {halve(4)}"' in text
    assert len(GIVEN.cells) == len(read_master(MASTER).cells)
    assert [cell.metadata.nbgrader.points for cell in GIVEN.cells if is_check(cell)] == [2, 2, 3, 2]


def test_release_is_the_same_to_the_byte(tmp_path):
    first = [path.read_bytes() for path in write_all(HOMEWORK, tmp_path / "a")]
    assert first == [path.read_bytes() for path in write_all(HOMEWORK, tmp_path / "b")]
    assert len(first) == 2


def test_metadata_and_text_both_tell_the_release(tmp_path):
    about = GIVEN.metadata.innerbook
    marks = [MARK.findall(cell.source) for cell in GIVEN.cells]
    assert [mark for mark in marks if mark] == [[("tiny", about.release)]] * 5  # the first code cell, four checks
    changed = tmp_path / "tiny" / "master.md"
    changed.parent.mkdir()
    changed.write_text(MASTER.read_text(encoding="utf-8").replace("half of a number", "a half"), encoding="utf-8")
    assert release(changed).metadata.innerbook.release != about.release


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "### END SOLUTION\n```\n\n```{code-cell}\n---\nnbgrader: {grade: true",
            "```\n\n```{code-cell}\n---\nnbgrader: {grade: true",
            "end solution",
        ),
        ("### END HIDDEN TESTS", "", "hidden tests"),
        ("grade_id: halve,", "grade_id: total,", "grade id"),
        ("points: 3, ", "", "points"),
    ],
)
def test_a_broken_master_is_refused(tmp_path, old, new, says):
    master = tmp_path / "tiny" / "master.md"
    master.parent.mkdir()
    text = MASTER.read_text(encoding="utf-8")
    assert old in text
    master.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=f"(?i){says}"):
        release(master)


def test_secrets_are_solutions_and_hidden_tests():
    found = secrets(MASTER)
    assert "squares_of_all=np.square(x)" in found
    assert 'asserttotal==30.0,"secret:oneandfourandnineandsixteen"' in found
    assert not any("half of 4".replace(" ", "") in line for line in found)
    told = secrets(MASTER, known="The book has squares_of_all = np.square(x) as well.")
    assert set(found) - set(told) == {"squares_of_all=np.square(x)"}


def test_leaks_are_found_in_pages_notebooks_and_archives(tmp_path):
    line = "assert np.isclose(mean_square(np.array([-3.0, 3.0])), 9.0)"
    secret = ["".join(line.split())]
    coloured = "".join(f'<span class="n">{sign}</span>' for sign in line.replace(">", "&gt;"))
    (tmp_path / "page.html").write_text(f"<pre>{coloured}</pre>")
    notebook = {"cells": [{"source": [f"x = 1\n{line[:9]}", line[9:]]}]}
    (tmp_path / "book.ipynb").write_text(json.dumps(notebook))
    with tarfile.open(tmp_path / "class.tar", "w") as archive:
        archive.add(tmp_path / "page.html", "book/page.html")
    (tmp_path / "clean.html").write_text("<p>np.isclose</p>")
    assert {Path(name).name for name, _ in leaks(tmp_path, secret)} == {"page.html", "book.ipynb"}
    assert len(leaks(tmp_path, secret)) == 3
    assert leaks(tmp_path / "clean.html", secret) == []
