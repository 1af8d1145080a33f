"""Runs inside the sandbox: reads cells from its input, executes them, and tells after each what came of it.

Each line that it writes is a JSON object: ``{"cell": 0, "outputs": [...], "late": false}`` after a cell, and at last
``{"end": "done"}``, or why the end came earlier. A paper runs in a kernel, another process of the same user; so this
one gives its files to none, and its memory is closed to it.
"""

import ctypes
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

# A grammar of internet addresses, which no notebook needs, and which takes two seconds to import.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

from nbclient import NotebookClient  # noqa: E402
from nbclient.exceptions import CellTimeoutError, DeadKernelError  # noqa: E402
from nbformat.v4 import new_code_cell, new_notebook, new_output  # noqa: E402

LATE = "CellTimeoutError"
_UNREADABLE = (4, 0, 0, 0, 0)  # for prctl: PR_SET_DUMPABLE, 0


def main() -> None:
    """Execute the job that stands in the first line of the standard input, as long as nobody closes that."""
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with, args=(os.dup(0),), daemon=True).start()
    results = os.fdopen(os.dup(1), "wb", buffering=0)  # not inherited by the kernel
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    _confine(job)
    Path(os.environ["HOME"]).mkdir(exist_ok=True)
    os.chdir(os.environ["HOME"])
    if job["sandboxed"] and Path("/compiled").exists():
        shutil.copytree("/compiled", os.environ["NUMBA_CACHE_DIR"])
    try:
        _execute(job, results)
    except Exception as error:  # nobody would hear of it otherwise
        _tell(results, {"end": f"broken: {type(error).__name__}: {error}"})


def _end_with(grader: int) -> None:
    os.read(grader, 1)  # the grader writes nothing more: this returns when it has ended, in whatever way
    os._exit(1)


def _confine(job: Mapping[str, Any]) -> None:
    if not job["sandboxed"]:
        return
    import resource

    limits = {"RLIMIT_AS": "address_space", "RLIMIT_FSIZE": "file_size", "RLIMIT_NPROC": "processes"}
    for name, limit in limits.items():
        resource.setrlimit(getattr(resource, name), (job[limit], job[limit]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if job["user"]:
        os.setgroups([])
        os.setgid(job["user"])
        os.setuid(job["user"])
    ctypes.CDLL(None).prctl(*_UNREADABLE)


class _Client(NotebookClient):
    """Ends all when a paper shows too much."""

    room: int
    results: BinaryIO

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        """Count what comes, then take it."""
        self.room -= len(json.dumps(msg["content"], default=str)) + sum(map(len, msg.get("buffers", ())))
        if self.room < 0:
            _tell(self.results, {"end": "too much output"})
            os._exit(0)
        return super().process_message(msg, cell, cell_index)


def _execute(job: Mapping[str, Any], results: BinaryIO) -> None:
    notebook = new_notebook(cells=[new_code_cell(source) for source in job["cells"]])
    client = _Client(
        notebook,
        timeout=job["cell_seconds"],
        startup_timeout=120,
        allow_errors=True,
        interrupt_on_timeout=True,
        iopub_timeout=10,  # so long after its time limit a cell may take to end
        raise_on_iopub_timeout=True,
        error_on_timeout={"ename": LATE, "evalue": "", "traceback": []},
    )
    client.room, client.results = job["output"], results
    with client.setup_kernel():
        _tell(results, {"start": True})
        _tell(results, {"end": _cells(client, job["cell_seconds"], results)})
        if job["sandboxed"]:
            os._exit(0)  # with which all that runs here ends


def _cells(client: _Client, seconds: int, results: BinaryIO) -> str:
    """Execute cell by cell, and return why that ended."""
    for i, cell in enumerate(client.nb.cells):
        began, end = time.monotonic(), ""
        try:
            client.execute_cell(cell, i)
        except CellTimeoutError:  # interrupted, and it goes on: no later cell can run
            end = "time limit"
        except DeadKernelError:
            end = "kernel died"
        late = end == "time limit" or time.monotonic() - began > seconds
        if late or end:  # also where the paper has caught the interrupt
            name = LATE if late else "DeadKernelError"
            cell.outputs.append(new_output("error", ename=name, evalue="", traceback=[end or "time limit"]))
        _tell(results, {"cell": i, "outputs": cell.outputs, "late": late})
        if end:
            return end
    return "done"


def _tell(results: BinaryIO, what: Mapping[str, Any]) -> None:
    line = json.dumps(what).encode() + b"\n"
    while line:
        line = line[results.write(line) :]


if __name__ == "__main__":
    main()
