"""Runs a paper where it reaches nothing: no network, no file but its own, so much memory, disk and time.

On Linux by bubblewrap (``bwrap``). A paper sees, and cannot write, the system's programs, this Python and the course's
data; what it writes is in memory, of limited size, and gone afterwards. What is to be run goes in through a pipe, and
what came of it out through another, line by line, so that what was done before a paper was stopped is not lost.
"""

import functools
import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from innerbook import settings

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/fonts", "/etc/localtime")
_DATA = ("mnist", "imagenet")  # what the course keeps there for all; results are not a student's to read
# Makes a map as papers do, so that Numba compiles what these need.
_COMPILES = """\
import numpy
from innerbook.embedding import embed
x = numpy.random.default_rng(0).normal(size=(50, 5))
embed("UMAP", [(x, x[:5])], [0])
"""
# No process of bwrap's own inside (as-pid-1): a paper could write to what that has open.
_APART = (
    "--unshare-ipc --unshare-pid --unshare-net --unshare-uts --unshare-cgroup-try --as-pid-1 --die-with-parent "
    "--new-session --hostname paper --clearenv --cap-drop ALL"
)
_COMPILED = "/tmp/home/compiled"  # a paper's own copy, for Numba reads only where it can write
_POLL_SECONDS = 0.1
_count = itertools.count()


@dataclass(frozen=True)
class Limits:
    """What a paper may use.

    Attributes:
        cell_seconds: for each cell; under 45 s, a busy machine can cut off the import of Keras.
        paper_seconds: for all cells together, with the start.
        memory: bytes in memory, of all its processes together.
        address_space: bytes of addresses, of each process. TensorFlow asks for many more than it uses.
        file_size: bytes of each file that it writes.
        disk: bytes of each of the folders that it can write to, which are in memory.
        processes: its processes and threads, together.
        output: bytes that it prints and shows.
    """

    cell_seconds: int = 120
    paper_seconds: int = 900
    memory: int = 4 * 2**30
    address_space: int = 16 * 2**30
    file_size: int = 64 * 2**20
    disk: int = 256 * 2**20
    processes: int = 1024
    output: int = 20 * 2**20


@dataclass(frozen=True)
class Run:
    """What came of a run.

    Attributes:
        lines: what `innerbook.grading.inside` told, in order.
        stopped: why the run was ended from outside; ``""`` if it ended by itself.
        seconds: how long it took.
        memory: the most bytes that were in memory at once, of all its processes.
    """

    lines: tuple[Mapping[str, Any], ...]
    stopped: str
    seconds: float
    memory: int


@functools.cache
def refusal() -> str:
    """Return why there is no sandbox here; ``""`` if there is one."""
    if not sys.platform.startswith("linux"):
        return f"the sandbox needs Linux; this is {sys.platform}"
    if shutil.which("bwrap") is None:
        return "the sandbox needs bubblewrap, which is not installed (Debian and Ubuntu: apt install bubblewrap)"
    asked = [*command(Limits()), sys.executable, "-c", "import nbclient, ipykernel"]
    tried = subprocess.run(asked, capture_output=True, text=True, errors="replace", timeout=120, env={})
    return f"bubblewrap does not work here: {tried.stderr.strip()[-300:]}" if tried.returncode else ""


def compile_maps(folder: Path) -> None:
    """Compile into a folder what UMAP needs, outside and once: `run` gives each paper a copy of its own."""
    told = {**os.environ, **_environment(folder, folder), "NUMBA_CACHE_DIR": str(folder / "compiled")}
    subprocess.run([sys.executable, "-I", "-c", _COMPILES], env=told, cwd=folder, capture_output=True)  # or papers do
    for path in (folder / "compiled").rglob("*"):
        path.chmod(0o755)  # a paper's user is another one


def command(limits: Limits, data_folder: Path | None = None, compiled: Path | None = None) -> list[str]:
    """Return the beginning of a command that runs in the sandbox what follows it.

    Args:
        limits: of which those of the disk are set here, others by `innerbook.grading.inside`.
        data_folder: the course's; its MNIST and its weights can be read in ``/data``.
        compiled: a folder by `compile_maps`; it can be read in ``/compiled``.
    """
    # Root needs no namespace for users, and changes to a number of no user inside: limits do not hold for root.
    users = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if _is_root() else ["--unshare-user"]
    asked = [shutil.which("bwrap") or "bwrap", *_APART.split(), *users]
    asked += [part for name, value in _environment().items() for part in ("--setenv", name, value)]
    asked += ["--proc", "/proc", "--dev", "/dev"]
    writable = ("/tmp", "/data", "/dev/shm")
    for folder in writable:
        asked += ["--perms", "1777", "--size", str(limits.disk), "--tmpfs", folder]
    for path in _SYSTEM:
        link = Path(path).is_symlink()
        asked += ["--symlink", str(Path(path).readlink()), path] if link else ["--ro-bind-try", path, path]
    bound = (*_ETC, *_python())
    parents = {str(parent) for path in bound for parent in Path(path).parents} - {"/", *writable}
    for path in sorted(parents):  # or the way to them is open to root alone
        asked += ["--perms", "0755", "--dir", path]
    for path in bound:
        asked += ["--ro-bind-try", path, path]
    if data_folder:
        for name in _DATA:
            asked += ["--ro-bind-try", str(data_folder / name), f"/data/{name}"]
    if compiled:
        asked += ["--ro-bind-try", str(compiled / "compiled"), "/compiled", "--setenv", "NUMBA_CACHE_DIR", _COMPILED]
    return [*asked, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]


def run(
    cells: Sequence[str],
    limits: Limits,
    *,
    sandboxed: bool = True,
    data_folder: Path | None = None,
    compiled: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Execute code cells one after another in a kernel of their own, and return what came of it.

    Args:
        cells: their sources.
        limits: what they may use.
        sandboxed: False runs them unprotected, with time limits alone, where there is no sandbox.
        data_folder, compiled: see `command`.
        stop: asked ten times a second; the run ends when it is true.

    Raises:
        OSError: the sandbox does not start: why.
    """
    user = 100_000 + (os.getpid() * 97 + next(_count)) % 1_000_000 if _is_root() and sandboxed else 0
    job = {"cells": list(cells), "sandboxed": sandboxed, "user": user, **asdict(limits)}
    asked = [sys.executable, "-I", "-m", "innerbook.grading.inside"]  # -I: it imports nothing that a paper wrote
    asked = [*command(limits, data_folder, compiled), *asked] if sandboxed else asked
    lines, began = list[Mapping[str, Any]](), time.monotonic()
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryDirectory() as folder:
        where = {} if sandboxed else {**os.environ, **_environment(Path(folder), data_folder)}
        process = subprocess.Popen(
            asked,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=where,
            cwd="/" if sandboxed else folder,
        )
        listening = threading.Thread(target=_listen, args=(process, lines), daemon=True)
        listening.start()
        _feed(process, json.dumps(job).encode() + b"\n")
        stopped, memory = _watch(process, limits, began, stop)
        _end(process)
        listening.join(5)
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        errors.seek(0)
        why = errors.read(2000).decode(errors="replace").strip()
    # Until then nothing of the paper has run, so it is not to blame.
    if stopped != "interrupted" and not any("start" in line for line in lines):
        raise OSError(f"the sandbox does not start: {stopped or why or lines or process.returncode}")
    return Run(tuple(lines), stopped, time.monotonic() - began, memory)


def _listen(process: "subprocess.Popen[bytes]", lines: list[Mapping[str, Any]]) -> None:
    assert process.stdout is not None
    for line in process.stdout:  # of limited length: see `innerbook.grading.inside`
        with suppress(ValueError):  # cut off when the run was ended
            lines.append(json.loads(line))


def _feed(process: "subprocess.Popen[bytes]", job: bytes) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it did not start; what it said tells why
        process.stdin.write(job)
        process.stdin.flush()  # it stays open: the paper ends when it is closed, be it by the end of this process


def _watch(
    process: "subprocess.Popen[bytes]", limits: Limits, began: float, stop: Callable[[], bool]
) -> tuple[str, int]:
    """Wait for the end of a run, or say why it must be ended; also return the most bytes in memory."""
    most = 0
    while process.poll() is None:
        time.sleep(_POLL_SECONDS)
        count, memory = _usage(process.pid)
        most = max(most, memory)
        if stop():
            return "interrupted", most
        if time.monotonic() - began > limits.paper_seconds:
            return "time limit of the paper", most
        if memory > limits.memory:
            return "too much memory", most
        if count > limits.processes:
            return "too many processes", most
    return "", most


def _usage(number: int) -> tuple[int, int]:
    """Return how many processes descend from this one, and their bytes in memory."""
    count = memory = 0
    for each in _family(number):
        with suppress(psutil.Error):  # it has ended meanwhile
            memory += each.memory_info().rss
            count += 1
    return count, memory


def _end(process: "subprocess.Popen[bytes]") -> None:
    family = _family(process.pid)
    process.kill()
    for each in family:  # in a sandbox, all end with the first
        with suppress(psutil.Error):
            each.kill()
    process.wait()


def _family(number: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process(number).children(recursive=True)
    return []


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _python() -> list[str]:
    """Return the folders of this Python and of the course, outermost first, without those that the system has."""
    folders = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent.parent}
    for name in ("innerbook", "innerview"):
        found = importlib.util.find_spec(name)
        folders |= {Path(each) for each in (found.submodule_search_locations or ())} if found else set()
    held = [Path(path) for path in _SYSTEM]
    kept: list[str] = []
    for folder in sorted(folders):
        if not any(folder.is_relative_to(each) for each in held):
            held.append(folder)
            kept.append(str(folder))
    return kept


def _environment(home: Path | None = None, data_folder: Path | None = None) -> dict[str, str]:
    """Return all variables that a paper has: in the sandbox, or for a home of its own without one."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    told = settings.current()
    data = Path("/data") if home is None else data_folder or told.data_folder
    own = settings.Settings("class", 0, data, offline=True).to_environment()
    return {
        **own,
        **dict.fromkeys((*threads, "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"),
        "HOME": "/tmp/home" if home is None else str(home),
        "IPYTHONDIR": f"{'/tmp/home' if home is None else home}/ipython",
        "KERAS_BACKEND": "tensorflow",
        "LANG": "C.UTF-8",
        "LOKY_MAX_CPU_COUNT": "1",  # or each core would compile what maps need
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
        "PYTHONHASHSEED": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": settings.onednn() or "0",
    }
