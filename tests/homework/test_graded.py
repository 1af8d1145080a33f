"""Grades papers of wrong answers alone, by the command and in the sandbox: each question gets what its answer deserves.

No question may need the answer to another, so each gets the same points as with right answers before it. Two homeworks
take a minute; all of them: HOMEWORKS="1-first-network ..." python -m pytest -s tests/homework/test_graded.py
"""

import csv
import os
import random
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from test_homework import MASTERS, ROOT, graded, other_answers, read

from innerbook.grading import sandbox
from innerbook.grading.leaks import leaks, secrets
from innerbook.grading.release import release

SEED = int(os.environ.get("HOMEWORK_SEED", "3"))
ASKED = os.environ.get("HOMEWORKS", "2-probes 4-depth").split()
EXTRA = os.environ.get("GRADE_ARGUMENTS", "--points-only").split()


def a_wrong_paper(master: Path) -> tuple[NotebookNode, dict[str, float]]:
    """A notebook with a wrong answer to each question, and the points of each check; what is written stays blank."""
    choose, wrong = random.Random(SEED), other_answers(master, "wrong")
    chosen = {name: choose.choice(answers) for name, answers in wrong.items()}
    paper = release(master)
    for cell in paper.cells:
        if cell.id in chosen:
            cell.source = chosen[cell.id]["answer"]
    expected = {graded(cell)["grade_id"]: 0.0 for cell in read(master) if graded(cell)["grade"]}
    return paper, expected | {f"{name}-check": float(each["points"]) for name, each in chosen.items()}


@pytest.mark.parametrize(
    "master", [each for each in MASTERS if each.parent.name in ASKED], ids=lambda each: each.parent.name
)
def test_a_paper_of_wrong_answers_gets_what_they_deserve(
    master: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if why := sandbox.refusal():
        pytest.skip(why)
    (tmp_path / "in").mkdir()
    paper, expected = a_wrong_paper(master)
    (tmp_path / "in" / "anna.ipynb").write_text(nbformat.writes(paper), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("innerbook")), "grade", str(tmp_path / "in"), *EXTRA]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "in-graded" / "marks.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    with capsys.disabled():
        print(f"\n{master.parent.name}: {row['total']} of {row['of']}, {row['seconds']} s, {row['megabytes']} MB")
    assert (row["status"], row["notes"]) == ("ok", "")
    assert {name: float(row[name]) for name in expected} == expected
    own = "\n".join(cell.source for cell in paper.cells)  # wrong answers have right lines
    assert leaks(tmp_path / "in-graded", secrets(master, own)) == []
