"""A hostile paper reaches nothing."""

import ast
import os
import socket
import threading
import time
from pathlib import Path

import psutil
import pytest
from sandboxed import MB, SHORT, need_sandbox

from innerbook.grading import sandbox
from innerbook.grading.sandbox import Limits

SECRET = "secret-5d1f"


@pytest.fixture(autouse=True)
def _sandbox():
    need_sandbox()


def value(run: sandbox.Run, cell: int = -1):
    """Return what a cell's last expression was."""
    outputs = [line["outputs"] for line in run.lines if "cell" in line][cell]
    assert [each["output_type"] for each in outputs] == ["execute_result"], outputs
    return ast.literal_eval(outputs[0]["data"]["text/plain"])


_REACHES = """\
import glob, os, pathlib, socket
found = []
for path in {paths}:
    try:
        found.append((path, os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(20)))
    except OSError:
        pass
for path in ["/etc/shadow", "/etc/passwd", os.path.expanduser("~root"), "/home", "/var/log", "/sys/kernel"]:
    if os.path.exists(path) and os.access(path, os.R_OK):
        found.append((path, "read"))
for number in filter(str.isdigit, os.listdir("/proc")):
    if int(number) != os.getpid():
        for name in ("environ", "mem", "fd"):
            try:
                where = f"/proc/{{number}}/{{name}}"
                content = os.listdir(where) if name == "fd" else open(where, "rb").read(10**6)
                if content and (name != "environ" or b"{secret}" in content):
                    found.append((where, "read"))
            except (OSError, OverflowError):
                pass
for path in ["/", "/usr", "/etc", "/dev", "/data", "/proc/1", os.path.dirname(os.__file__), {package!r}]:
    if path != "/data":
        try:
            open(os.path.join(path, "mine"), "w").close()
            found.append((path, "written"))
        except OSError:
            pass
for address in [("127.0.0.1", {port}), ("192.0.2.1", 80)]:
    try:
        socket.create_connection(address, 2)
        found.append((address, "connected"))
    except OSError:
        pass
found"""


def test_a_paper_reaches_no_file_no_process_no_variable_and_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("INNERVIEW_TEST_SECRET", SECRET)
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "paper.ipynb").write_text(SECRET)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        here = Path(__file__)
        paths = [str(tmp_path / "others"), str(here), str(here.parent / "homework"), str(Path.cwd() / "homework")]
        code = _REACHES.format(
            paths=paths, secret=SECRET, package=str(Path(sandbox.__file__).parent), port=server.getsockname()[1]
        )
        run = sandbox.run(["1 + 1", code, "import os\n(os.getuid() != 0, sorted(os.environ))"], SHORT)
        with pytest.raises(TimeoutError):
            server.accept()
    assert value(run, 1) == []
    not_root, variables = value(run, 2)
    assert not_root
    assert "INNERVIEW_TEST_SECRET" not in variables
    assert SECRET not in str(run)


def test_the_reach_of_the_same_paper_without_a_sandbox_is_seen(tmp_path):
    """The control: the test above would notice."""
    (tmp_path / "paper.ipynb").write_text(SECRET)
    code = f"open({str(tmp_path / 'paper.ipynb')!r}).read()"
    assert value(sandbox.run([code], SHORT, sandboxed=False)) == SECRET


def test_data_can_be_read_and_not_changed(tmp_path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "digits").write_text("7")
    (tmp_path / "results").mkdir()
    code = """\
import os
found = [open("/data/mnist/digits").read(), os.listdir("/data"), os.environ["INNERVIEW_DATA"]]
try:
    open("/data/mnist/digits", "w")
except OSError as error:
    found.append(type(error).__name__)
found"""
    run = sandbox.run([code], SHORT, data_folder=tmp_path)
    assert value(run)[:3] == ["7", ["mnist"], "/data"]
    assert value(run)[3] in ("OSError", "PermissionError")
    assert (tmp_path / "mnist" / "digits").read_text() == "7"


def test_what_is_compiled_is_shared_and_a_paper_writes_its_own_copy_alone(tmp_path):
    (tmp_path / "compiled").mkdir()
    (tmp_path / "compiled" / "umap.nbi").write_text("7")
    code = """\
import os
found = []
for folder in (os.environ["NUMBA_CACHE_DIR"], "/compiled"):
    found.append(open(f"{folder}/umap.nbi").read())
    try:
        open(f"{folder}/umap.nbi", "w").write("mine")
    except OSError:
        found.append("refused")
found"""
    for _ in range(2):  # the second paper reads nothing of the first
        assert value(sandbox.run([code], SHORT, compiled=tmp_path)) == ["7", "7", "refused"]
    assert (tmp_path / "compiled" / "umap.nbi").read_text() == "7"


def test_disk_and_files_are_limited():
    code = """\
import os
def write(path, size):
    try:
        with open(path, "wb") as file:
            for _ in range(size):
                file.write(bytes(2**20))
        return "written"
    except OSError:
        return "full"
    finally:
        os.path.exists(path) and os.remove(path)
[write("/tmp/a", 8), write("/tmp/a", 30), [write("/dev/shm/x", 8)]]"""
    assert value(sandbox.run([code], SHORT)) == ["written", "full", ["written"]]
    many = """\
written = 0
try:
    for i in range(200):
        with open(f"/tmp/{i}", "wb") as file:
            file.write(bytes(2**20))
        written += 1
except OSError:
    pass
30 < written < 50"""
    assert value(sandbox.run([many], SHORT)) is True


def test_processes_are_limited_and_end_with_the_paper():
    code = """\
import subprocess, sys
started = []
try:
    for _ in range(400):
        started.append(subprocess.Popen(["/bin/sleep", "987"]))
except OSError:
    pass
10 < len(started) < 150"""
    run = sandbox.run([code], SHORT)
    assert value(run) is True
    assert not [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["/bin/sleep", "987"]]


def test_addresses_and_memory_are_limited():
    code = "try:\n    held = bytearray(3 * 2**30)\nexcept MemoryError:\n    held = None\nheld is None"
    run = sandbox.run([code], Limits(cell_seconds=20, address_space=2 * 2**30))
    assert value(run) is True
    hoard = sandbox.run(["held = [b'x' * 2**20 for _ in range(4000)]"], SHORT)
    assert hoard.stopped == "too much memory"
    assert hoard.memory > SHORT.memory


def test_time_and_memory_are_measured():
    run = sandbox.run(["import time\nheld = b'x' * (200 * 2**20)\ntime.sleep(1)"], SHORT)
    assert run.lines[-1] == {"end": "done"}
    assert run.seconds > 1
    assert 250 * MB < run.memory < 700 * MB


def test_a_paper_that_takes_too_long_in_all_is_ended_and_what_it_did_is_kept():
    limits = Limits(cell_seconds=90, paper_seconds=20)
    began = time.monotonic()
    run = sandbox.run(["6 * 7", "import time\ntime.sleep(80)"], limits)
    assert run.stopped == "time limit of the paper"
    assert value(run) == 42
    assert time.monotonic() - began < 40


def test_a_run_can_be_interrupted():
    stop = threading.Event()
    threading.Timer(3, stop.set).start()
    run = sandbox.run(["import time\ntime.sleep(60)"], Limits(), stop=stop.is_set)
    assert run.stopped == "interrupted"
    assert run.seconds < 30


def test_results_cannot_be_written_by_the_paper():
    """The process that tells what came of the paper is closed to it."""
    code = """\
import os
tried = []
for number in filter(str.isdigit, os.listdir("/proc")):
    for fd in range(10):
        try:
            with open(f"/proc/{number}/fd/{fd}", "wb", buffering=0) as file:
                if int(number) != os.getpid():
                    file.write(b'{"end": "forged"}\\n')
                    tried.append(number)
        except OSError:
            pass
tried"""
    run = sandbox.run([code], SHORT)
    assert value(run) == []
    assert run.lines[-1] == {"end": "done"}


def test_why_there_is_no_sandbox_is_told(monkeypatch):
    sandbox.refusal.cache_clear()
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    assert "bubblewrap, which is not installed" in sandbox.refusal()
    sandbox.refusal.cache_clear()
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    assert "needs Linux" in sandbox.refusal()
    monkeypatch.undo()
    sandbox.refusal.cache_clear()
    assert sandbox.refusal() == ""
    assert os.environ.get("HOME")
