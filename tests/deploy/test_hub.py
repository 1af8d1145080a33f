"""A class of four on a real JupyterHub: they log in, pull the course, run a chapter, save, and come back the next day.

It needs the programs node, npm and git. ``INNERVIEW_HUB_FIGURES`` names a file for the seconds and memory of each.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlencode

import nbformat
import pytest

if sys.platform != "linux":
    pytest.skip("JupyterHub, and the figures in /proc, are of Linux", allow_module_level=True)

import local_hub
from local_hub import COURSE, Meter, Student, at_once, chapter, codes, publish, running

from innerbook.memory import atomic_write

NAMES = ["ada", "bob", "cleo", "dan"]
PAGE, CELLS = "5-inversion/undone", 5
NOTEBOOK, SECOND = "undone.ipynb", "undone-2.ipynb"
# One result goes into the student's own folder; the second line says what the folder has to offer.
OWN = """\
from innerbook import data, memory
one = memory.kept(lambda number: 2 * number, 21.0)
print(data.available(), one.result, "read" if one.read else "computed")
"""


@dataclass(frozen=True)
class Class:
    """What was seen, in the order of the two days."""

    strangers: list[bool]
    let_in: list[bool]
    link: tuple[str, int, str]
    given: list[list[str]]
    ran: list[list[str]]
    own: list[str]
    kept_in: dict[str, list[Path]]
    shared: tuple[str, str]
    found: list[nbformat.NotebookNode]
    after_fix: list[nbformat.NotebookNode]
    renamed: list[bool]
    after_sharing: str
    figures: dict[str, dict[str, float]]
    left: list[int]


def require_programs() -> None:
    """Skip, or fail where the tests of the project run, if something is missing that pip does not bring."""
    missing = [name for name in ("node", "npm", "git") if shutil.which(name) is None]
    missing += [name for name in ("jupyterhub", "nbgitpuller") if find_spec(name) is None]
    if not missing:
        try:
            local_hub.proxy()
        except (subprocess.SubprocessError, FileNotFoundError) as error:
            missing = [f"configurable-http-proxy ({error})"]
    if missing:
        promised = os.environ.get("CI") and sys.platform == "linux"  # there, CI installs them
        (pytest.fail if promised else pytest.skip)(f"this test needs {', '.join(missing)}")


def digest(folder: Path) -> str:
    """A digest of a folder's files, their names and when they were last written."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    told = [(str(path), path.stat().st_mtime_ns, path.read_bytes()) for path in files]
    return hashlib.sha256(repr(told).encode()).hexdigest()


def results(home: Path) -> list[Path]:
    return sorted((home / ".cache" / "innerview" / "results").glob("*.npz"))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Class:
    require_programs()
    folder = tmp_path_factory.mktemp("class")
    shared, repository = folder / "shared", folder / f"{COURSE}.git"
    (shared / "mnist").mkdir(parents=True)
    (shared / "results").mkdir()
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"):
        (shared / "mnist" / name).write_bytes(b"as the teacher fetched it")
    (shared / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(b"the last of the four")
    (shared / "results" / "somebody.lock").write_bytes(b"")
    page = chapter(PAGE, CELLS)
    publish(repository, {NOTEBOOK: page}, "Lesson")
    before = digest(shared)

    with running(folder, shared) as hub:
        students = [Student(hub, name) for name in NAMES]
        ada, bob, *_ = students
        try:
            strangers = [student.log_in("guessed") for student in students]
            let_in, _ = at_once(students, lambda student: student.log_in(hub.password))
            with Meter(hub, NAMES) as meter:
                _, start = at_once(students, Student.start)
                alone = {name: sum(map(local_hub.memory, hub.pids(name))) for name in NAMES}
                address = "/hub/user-redirect/git-pull?" + urlencode({"repo": repository.as_uri(), "branch": "main"})
                answer = ada.follow(address)
                _, pull = at_once(students, lambda student: student.pull(repository))
                given = [codes(student.read(NOTEBOOK)) for student in students]
                ran, run = at_once(students, lambda student: student.run(NOTEBOOK, codes(page)))
                own, _ = at_once([ada], lambda student: student.run(NOTEBOOK, [OWN])[0])
            for student in students:
                edited = student.read(NOTEBOOK)
                edited.cells[-1].source = f"# the answer of {student.name}"
                student.save(NOTEBOOK, edited)
            at_once(students, Student.stop)

            # The next day: the teacher has mended two cells, and shares what ada's run has computed.
            mended = chapter(PAGE, CELLS)
            mended.cells[0].source = mended.cells[-1].source = "# mended by the teacher"
            publish(repository, {NOTEBOOK: mended, SECOND: mended}, "Mended")
            after = digest(shared)
            kept_in = {name: results(hub.homes / name) for name in NAMES}
            for path in kept_in["ada"]:
                shutil.copy(path, shared / "results")
            _, again = at_once(students, Student.start)
            found = [student.read(NOTEBOOK) for student in students]
            at_once(students, lambda student: student.pull(repository))
            after_fix = [student.read(NOTEBOOK) for student in students]
            renamed = [student.exists(SECOND) and codes(student.read(SECOND)) == codes(mended) for student in students]
            after_sharing = bob.run(NOTEBOOK, [OWN])[0]
            figures = {
                name: {
                    "server_seconds": start[i],
                    "pull_seconds": pull[i],
                    "cells_seconds": run[i],
                    "return_seconds": again[i],
                    "server_mb": alone[name],
                    "peak_mb": meter.peak[name],
                    "processor_seconds": meter.processor[name],
                    "home_mb": local_hub.size(hub.homes / name),
                }
                for i, name in enumerate(NAMES)
            }
        finally:
            for student in students:
                student.close()
    link = (str(answer.url), answer.status_code, answer.text)
    seen = (given, ran, own, kept_in, (before, after), found, after_fix, renamed, after_sharing, figures, hub.pids())
    return Class(strangers, let_in, link, *seen)


def test_only_who_knows_the_password_gets_in(seen: Class) -> None:
    assert seen.strangers == [False] * 4 and seen.let_in == [True] * 4


def test_a_link_leads_through_the_login_to_the_course(seen: Class) -> None:
    address, status, text = seen.link
    assert status == 200 and "/user/ada/git-pull?repo=file" in address and f"{COURSE}.git" in text


def test_everyone_gets_the_course_and_runs_its_cells(seen: Class) -> None:
    assert seen.given == [codes(chapter(PAGE, CELLS))] * 4
    # What a convolution of four values cannot see: it goes up and down by one half.
    assert [any(".5" in text and "-0.5" in text for text in texts) for texts in seen.ran] == [True] * 4


def test_edits_are_there_the_next_day(seen: Class) -> None:
    assert [found.cells[-1].source for found in seen.found] == [f"# the answer of {name}" for name in NAMES]


def test_a_fix_reaches_whoever_edited_the_cell_only_under_a_new_name(seen: Class) -> None:
    assert [found.cells[-1].source for found in seen.after_fix] == [f"# the answer of {name}" for name in NAMES]
    assert [found.cells[0].source for found in seen.after_fix] == ["# mended by the teacher"] * 4  # which none edited
    assert seen.renamed == [True] * 4


def test_students_share_the_data_and_write_into_their_own_homes(seen: Class) -> None:
    assert seen.own[0].endswith("{'mnist': True, 'resnet50': False} 42.0 computed\n")
    assert [len(seen.kept_in[name]) for name in NAMES] == [1, 0, 0, 0]
    assert seen.shared[0] == seen.shared[1]


def test_what_the_teacher_shares_later_is_read(seen: Class) -> None:
    assert seen.after_sharing.endswith("{'mnist': True, 'resnet50': False} 42.0 read\n")


def test_each_student_is_measured(seen: Class, tmp_path: Path) -> None:
    with atomic_write(Path(os.environ.get("INNERVIEW_HUB_FIGURES") or tmp_path / "figures.json")) as temporary:
        temporary.write_text(json.dumps(seen.figures, indent=1) + "\n", encoding="utf-8")
    columns = list(seen.figures["ada"])
    print("\n" + "".join(f"{column.replace('_', ' '):>19}" for column in ["student", *columns]))
    for name, row in seen.figures.items():
        print(f"{name:>19}" + "".join(f"{value:19.1f}" for value in row.values()))
    assert all(value > 0 for row in seen.figures.values() for value in row.values())
    # A server of Jupyter and a kernel with pandas, Matplotlib and SciPy.
    assert all(100 < row["peak_mb"] < 1500 and row["peak_mb"] > row["server_mb"] for row in seen.figures.values())


def test_nothing_is_left_running(seen: Class) -> None:
    assert seen.left == []


def test_a_failure_leaves_nothing_running_either(tmp_path: Path) -> None:
    require_programs()
    with pytest.raises(RuntimeError, match="in the middle of a lesson"), running(tmp_path, tmp_path / "none") as hub:
        student = Student(hub, "eve")
        try:
            assert student.log_in(hub.password)
            student.start()
            assert len(hub.pids("eve")) == 1 and len(hub.pids()) >= 3  # the server; the hub, its guard and its proxy
        finally:
            student.close()
        raise RuntimeError("in the middle of a lesson")
    assert hub.pids() == []
