"""A class of papers, good, partial, broken and hostile, is graded in one run that is killed and goes on."""

import base64
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from papers import HOMEWORK, MASTER, RIGHT, Case, cases, hand_in, paper, third, with_
from sandboxed import SHORT, need_sandbox

from innerbook.grading import sandbox
from innerbook.grading.command import main
from innerbook.grading.grade import Options, grade
from innerbook.grading.handed_in import find, which_homework
from innerbook.grading.leaks import leaks, secrets
from innerbook.grading.marking import Homework, points_of

ROOT = Path(__file__).parents[3]
TINY = Homework.read(MASTER)
ESSAY = Homework.read(HOMEWORK / "essay" / "master.md")
OPTIONS = Options(SHORT)
LINKS = ("hostile-link/paper.ipynb", "hostile-folder")


@pytest.fixture(autouse=True)
def _sandbox():
    need_sandbox()


def snapshot(folder: Path) -> dict[str, tuple[str, int]]:
    """Return the digest of each file and when it was changed."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Graded:
    """The class's papers, graded by the command line, which is killed half-way and started again."""

    def __init__(self, folder: Path):
        self.folder, self.out = folder / "handed in", folder / "graded"
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(0.1)
        self.cases = cases(self.server.getsockname()[1])
        hand_in(self.folder, self.cases)
        outside = folder / "outside.ipynb"
        outside.write_bytes(paper(RIGHT))
        (self.folder / "hostile-link").mkdir()
        (self.folder / LINKS[0]).symlink_to(outside)
        (self.folder / LINKS[1]).symlink_to(self.folder / "good-reference")
        os.utime(self.folder / "twice" / "first.ipynb", (1_700_000_000, 1_700_000_000))
        self.before = snapshot(folder)
        roster = ["student,name,email,canvas_id"]
        roster += [
            f"{each.student},Name of {each.student},{i}@example.org,{i}" for i, each in enumerate(find(self.folder))
        ]
        roster += ["absent,Nobody,nobody@example.org,999"]
        (folder / "students.csv").write_text("\n".join(roster), encoding="utf-8")
        self.command = [str(Path(sys.executable).with_name("innerbook")), "grade", str(self.folder)]
        self.command += ["--masters", str(HOMEWORK)]
        self.command += ["--out", str(self.out), "--students", str(folder / "students.csv"), "--jobs", "2"]
        self.command += ["--cell-seconds", "12", "--paper-seconds", "90", "--memory", "0.9", "--column", "HW (7)"]
        self._killed()
        done = subprocess.run(self.command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr
        self.said = done.stdout
        self.marks = {row["file"]: row for row in rows(self.out / "marks.csv")}

    def _killed(self) -> None:
        """Start grading, and kill it when half of the papers are done."""
        process = subprocess.Popen(self.command, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(f"[{len(self.cases) // 2}/"):
                break
        family = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        self.graded_before = len((self.out / "journal.jsonl").read_text(encoding="utf-8").splitlines())
        _, self.survivors = psutil.wait_procs(family, timeout=10)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    need_sandbox()
    made = Graded(tmp_path_factory.mktemp("class"))
    yield made
    made.server.close()


def test_every_paper_gets_its_marks(graded):
    assert len(graded.marks) >= 40
    assert len(graded.marks) == len(graded.cases) + len(LINKS)
    wrong = []
    for case in graded.cases:
        row = graded.marks.get(case.file) or graded.marks[case.file.split("/")[0]]  # a folder without a notebook
        if (float(row["total"]), row["status"]) != (case.total, case.status) or case.note not in row["notes"]:
            wrong.append((case.file, case.total, case.status, case.note, row))
    assert wrong == []
    for file in LINKS:
        assert (graded.marks[file]["status"], graded.marks[file]["total"]) == ("link", "0")


def test_the_table_has_points_a_question_time_and_memory(graded):
    row = graded.marks["part-mean-only/paper.ipynb"]
    assert [row[name] for name in TINY.questions] == ["2", "2", "1", "2"]
    assert (row["total"], row["of"], row["counts"]) == ("7", "9", "yes")
    ran = [row for row in graded.marks.values() if float(row["seconds"]) > 0]
    assert len(ran) > 35
    assert all(float(row["megabytes"]) > 50 for row in ran)


def test_a_killed_run_goes_on_and_leaves_nothing_running(graded):
    assert graded.survivors == []
    count = len(graded.marks)
    assert f"{count} papers, {graded.graded_before} of them graded before" in graded.said
    assert graded.said.count("] ") == count - graded.graded_before
    assert re.search(r"about \d+ (s|min) left", graded.said)
    journal = [json.loads(line)["file"] for line in (graded.out / "journal.jsonl").read_text().splitlines()]
    assert sorted(journal) == sorted(graded.marks)


def test_no_submission_is_changed(graded):
    inside = {path: state for path, state in graded.before.items()}
    assert {path: snapshot(graded.folder.parent).get(path) for path in inside} == inside
    assert {path.name for path in graded.folder.rglob("*")} & {"mine", "journal.jsonl", ".ipynb_checkpoints"} == set()


def test_the_network_was_not_reached(graded):
    with pytest.raises(TimeoutError):
        graded.server.accept()


def test_feedback_shows_no_hidden_test_and_no_solution(graded):
    pages = list((graded.out / "feedback").rglob("*.html"))
    assert len(pages) == len(graded.marks)
    assert leaks(graded.out, secrets(MASTER)) == []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "secret" not in text
        assert "HIDDEN" not in text


def test_feedback_says_what_came_of_each_question(graded):
    text = (graded.out / "feedback" / "part-hidden" / "paper.html").read_text(encoding="utf-8")
    assert "7 of 9 points" in text
    assert "the check that you were given passes; further tests give less" in text
    text = (graded.out / "feedback" / "part-name" / "paper.html").read_text(encoding="utf-8")
    assert "dota" in text
    assert "the check that you were given fails" in text


def test_feedback_of_a_paper_that_prints_all_it_can_reach(graded):
    text = (graded.out / "feedback" / "part-prints" / "paper.html").read_text(encoding="utf-8")
    encoded = re.search(r"ENCODED ([\w+/=\s]+) END", text)
    assert encoded, "the page shows outputs"
    decoded = base64.b64decode(encoded[1]).decode()
    assert "half of 4" in decoded
    assert "secret" not in decoded
    assert "<script" not in text
    assert "further tests give less" in text


def test_the_newest_of_two_papers_counts(graded):
    assert graded.marks["twice/first.ipynb"]["counts"] == "no"
    assert graded.marks["twice/second.ipynb"]["counts"] == "yes"


def test_tables_for_moodle_and_canvas_read_back(graded):
    moodle = {row["Email address"]: row["HW (7)"] for row in rows(graded.out / "moodle.csv")}
    roster = rows(graded.folder.parent / "students.csv")
    by_student = {one["student"]: moodle[one["email"]] for one in roster}
    for file, row in graded.marks.items():
        if row["counts"] == "yes":
            assert float(by_student[row["student"]]) == float(row["total"]), file
    assert by_student["absent"] == ""
    assert by_student["Zoë Müller Ñandú"] == "9"
    first, *canvas = rows(graded.out / "canvas.csv")
    assert list(first) == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "HW (7)"]
    assert (first["Student"], first["HW (7)"]) == ("    Points Possible", "9")
    assert {row["ID"]: row["HW (7)"] for row in canvas} == {one["canvas_id"]: moodle[one["email"]] for one in roster}


def test_one_paper_is_graded_again_when_asked_and_only_changed_ones_otherwise(tmp_path):
    folder, out, said = tmp_path / "in", tmp_path / "out", list[str]()
    hand_in(folder, [Case(f"{name}/paper.ipynb", paper(RIGHT), 9, "ok") for name in ("anna", "ben")])

    def count(**options) -> int:
        said.clear()
        made = grade(folder, TINY, out, Options(SHORT, **options), say=said.append)
        assert [each.student for each in made] == ["anna", "ben"]
        return sum(line.startswith("[") for line in said)

    assert [count(), count(), count(regrade=["ben"])] == [2, 0, 1]
    (folder / "anna" / "paper.ipynb").write_bytes(paper({}))
    assert count() == 1
    shutil.rmtree(out / "feedback" / "ben")
    assert count() == 1
    assert [row["total"] for row in rows(out / "marks.csv")] == ["0", "9"]


def test_marks_of_an_older_master_do_not_stay(tmp_path):
    master = tmp_path / "tiny" / "master.md"
    master.parent.mkdir()
    shutil.copy(MASTER, master)
    folder, out = tmp_path / "in", tmp_path / "out"
    hand_in(folder, [Case("anna/paper.ipynb", paper(RIGHT), 9, "ok")])
    assert grade(folder, Homework.read(master), out, OPTIONS, say=lambda line: None)[0].total == 9
    master.write_text(MASTER.read_text(encoding="utf-8").replace("total == 30.0,", "total == 31.0,"), encoding="utf-8")
    assert grade(folder, Homework.read(master), out, OPTIONS, say=lambda line: None)[0].total == 7


def test_written_answers_wait_for_a_teacher_and_their_points_come_back(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    notebook = ESSAY.released.copy()
    notebook = json.loads(json.dumps(notebook))
    for cell in notebook["cells"]:
        cell["source"] = {
            "double": "double = lambda x: 2 * x",
            "why": "</pre>Because <script>.\n\n[x](javascript:alert(1))",
        }.get(cell["id"], cell["source"])
    blank = json.loads(json.dumps(ESSAY.released))
    for name, content in (("anna", notebook), ("ben", blank)):
        hand_in(folder, [Case(f"{name}/paper.ipynb", json.dumps(content).encode(), 1, "ok")])
    roster = [{"student": "anna", "email": "a@example.org"}, {"student": "ben", "email": "b@example.org"}]

    def run() -> tuple[list[str], list[str]]:
        grade(folder, ESSAY, out, OPTIONS, roster=roster, say=lambda line: None)
        return [row["total"] for row in rows(out / "marks.csv")], [row["essay"] for row in rows(out / "moodle.csv")]

    assert run() == (["1", "0"], ["", "0"])  # an answer left blank is nothing
    text = (out / "feedback" / "anna" / "paper.html").read_text(encoding="utf-8")
    assert "&lt;/pre&gt;Because &lt;script&gt;." in text
    assert "<script" not in text
    assert 'href="javascript' not in text
    path = out / "by-hand.csv"
    assert rows(path) == [{"file": "anna/paper.ipynb", "question": "why", "of": "3", "points": ""}]
    path.write_text(path.read_text(encoding="utf-8").replace(",3,", ",3,2.5"), encoding="utf-8")
    for _ in range(2):
        assert run() == (["3.5", "0"], ["3.5", "0"])
    path.write_text(path.read_text(encoding="utf-8").replace("2.5", "4"), encoding="utf-8")
    with pytest.raises(ValueError, match="0 to 3 points to why; received 4"):
        run()


def test_partial_credit_is_the_checks_number():
    """A text, and no result, are full marks. nbgrader alone gives them for the next five, too."""
    shows = "import sys, numpy as np\nsys.displayhook(3)\n"
    right = {"2": 2.0, "0.5": 0.5, "'well done'": 3.0, "None": 3.0}
    odd = {"np.float64(1.5)": 1.5, "np.nan": None, "-1": None, f"{shows}1": 1.0, f"{shows}1 / 0": 0.0, "99": None}
    expected = right | odd
    run = sandbox.run([f"import numpy as np\n{source}" for source in expected], SHORT)
    (check,) = (cell for cell in TINY.released.cells if cell.id == "standardize-check")
    for (source, points), line in zip(expected.items(), run.lines[1:], strict=False):
        if points is None:
            with pytest.raises(ValueError, match="the check gave"):
                points_of(check, line["outputs"])
        else:
            assert points_of(check, line["outputs"]) == points, source
    assert points_of(check, None) == 0.0  # it was not executed


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    (tmp_path / "in" / "anna").mkdir(parents=True)
    os.mkfifo(tmp_path / "in" / "anna" / "pipe.ipynb")
    (record,) = grade(tmp_path / "in", TINY, tmp_path / "out", OPTIONS, say=lambda line: None)
    assert record.status == "unreadable"


def test_which_homework_most_papers_are_of(tmp_path):
    hand_in(tmp_path, [case for case in cases() if case.file.startswith(("good", "other"))])
    assert which_homework(find(tmp_path)) == "tiny"


def test_canvas_names_of_one_student_are_one(tmp_path):
    names = ["perezana_12_345_hw.ipynb", "perezana_LATE_12_346_hw-1.ipynb", "other.ipynb"]
    hand_in(tmp_path, [Case(name, b"", 0, "unreadable") for name in names])
    assert [each.student for each in find(tmp_path)] == ["other", "perezana_12", "perezana_12"]


def test_the_command_says_what_is_wrong(tmp_path, capsys, monkeypatch):
    assert main([str(tmp_path / "nowhere"), "--masters", str(HOMEWORK)]) == 1
    assert "expected a folder of submissions" in capsys.readouterr().out
    hand_in(tmp_path / "in", [Case("anna/paper.ipynb", third("x = 1"), 4, "ok")])
    assert main([str(tmp_path / "in"), "--masters", str(HOMEWORK), "--homework", "none"]) == 1
    assert "expected --homework of essay, tiny; received 'none'" in capsys.readouterr().out
    assert main([str(tmp_path / "in"), "--masters", str(HOMEWORK), "--out", str(tmp_path / "in" / "out")]) == 1
    assert "outside of" in capsys.readouterr().out
    monkeypatch.setattr(sandbox, "refusal", lambda: "there is none")
    assert main([str(tmp_path / "in"), "--masters", str(HOMEWORK)]) == 1
    assert "Nothing was graded: there is none" in capsys.readouterr().out


def test_without_a_sandbox_only_with_the_flag_and_a_warning(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sandbox, "refusal", lambda: "there is none")
    hand_in(tmp_path / "in", [Case("anna/paper.ipynb", paper(with_("total", "total = 30.0")), 9, "ok")])
    asked = [str(tmp_path / "in"), "--masters", str(HOMEWORK), "--without-sandbox", "--out", str(tmp_path / "out")]
    assert main(asked) == 0
    assert "WARNING: papers run without a sandbox" in capsys.readouterr().out
    assert [row["total"] for row in rows(tmp_path / "out" / "marks.csv")] == ["9"]


def test_what_is_missing_is_told(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "innerbook.grading.grade", None)
    assert main(["anywhere"]) == 1
    assert "pip install '.[grading]'" in capsys.readouterr().out
