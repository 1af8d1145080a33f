"""Executes the pages that the cache does not know, several at a time, and says how it goes."""

import asyncio
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from nbclient import NotebookClient

from innerbook import memory, settings
from innerbook.build import nursery
from innerbook.build.pages import Page

# A cell that takes longer is stuck; at paper scale an honest one can take hours.
CELL_SECONDS = {"class": 2_400, "paper": 24 * 3_600}
HEARTBEAT_SECONDS = 15
# Of threads, and of processes that make maps.
LIMITS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "LOKY_MAX_CPU_COUNT")
INLINE = "module://matplotlib_inline.backend_inline"
# Python's warnings, and those of libraries that log; TensorFlow's word on its own log is none.
WARNING = re.compile(r"^(?:.*\w*Warning: |WARNING(?!.*absl::InitializeLog)).*$", flags=re.M)
# An error in a thread, in a callback or in another process is only written.
ERROR = re.compile(r"^((?:Exception|Process) .*\n)?.*Traceback \(most recent call last\):\n(?:[ \t].*\n)*(.*)", re.M)


def environment(root: Path) -> dict[str, str]:
    """Return what the pages' processes are told of their libraries, in place of what the user has set for other work.

    Settings files of Keras and matplotlib are looked for in folders of the build's own, below ``_build``.
    """
    own = {name: str(root / "_build" / "home" / name) for name in ("keras", "matplotlib")}
    return {
        "KERAS_BACKEND": "tensorflow",  # on which the book is measured
        "KERAS_HOME": own["keras"],
        "MPLBACKEND": INLINE,
        "MPLCONFIGDIR": own["matplotlib"],
        "MATPLOTLIBRC": own["matplotlib"],  # which holds none
        "PYTHONOPTIMIZE": "",  # asserts hold
        "PYTHONWARNINGS": "",  # and warnings are heard
        # Convolutions two to four times as fast, and what most readers' TensorFlow does by itself.
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",  # its remarks on the processor are not for readers
    }


def execute(root: Path, pages: list[Page], workers: int) -> None:
    """Execute the pages that the cache does not know, `workers` at a time, and say how it goes.

    Their kernels have this process's environment, but no start-up file of the user. What went wrong is left in each
    page's `problems`; only pages without problems enter the cache.
    """
    fresh = recall(root, pages)
    print(f"{len(pages)} pages hold code; {len(fresh)} of them to execute, {workers} at a time.", flush=True)
    if fresh:
        # A page has its share of the cores. Libraries would each take all of them, and wait for one another.
        share = str(max(1, workers // len(fresh)))
        os.environ.update(dict.fromkeys(LIMITS, share))
        with (
            tempfile.TemporaryDirectory() as profile,
            nursery.opened(page.code for page in fresh) as kernels,
            asyncio.Runner(loop_factory=_Loop) as runner,
        ):
            fresh[0].problems += kernels.warned
            runner.run(_Run(_cache(root), fresh, workers, Path(profile), kernels).all())


def recall(root: Path, pages: list[Page]) -> list[Page]:
    """Give pages the outputs and the seconds that the cache holds, and return those that it does not know."""
    cache, fresh = _cache(root), []
    for page in pages:
        try:
            record = cache.match_cache_notebook(page.notebook)
        except KeyError:
            fresh.append(page)
        else:
            _, page.notebook = cache.merge_match_into_notebook(page.notebook)
            page.seconds = record.data["execution_seconds"]
    return fresh


def _cache(root: Path) -> JupyterCacheAbstract:
    return get_cache(str(root / "_build" / ".jupyter_cache"))


class _Loop(asyncio.SelectorEventLoop):
    """Leaves Ctrl+C to asyncio, which cancels all pages; nbclient would end one of them and call it an error."""

    def add_signal_handler(self, *args: Any) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("signals are asyncio's")  # nbclient goes on without


class _Run:
    """The execution of pages: which are done, and which run now."""

    def __init__(
        self, cache: JupyterCacheAbstract, pages: list[Page], workers: int, profile: Path, kernels: nursery.Kernels
    ):
        self.cache, self.profile, self.kernels = cache, profile, kernels
        # A network is trained by the first page with it, which introduces it; others may need it at other sizes only.
        first = {network: page for page in pages[::-1] for network in page.networks}
        self.firsts = {page.name: [first[n] for n in page.networks if first[n] is not page] for page in pages}
        awaited = {page.name for found in self.firsts.values() for page in found}
        # Then from the last page on: the longest stand there, and one that begins late keeps all others waiting.
        self.pages = sorted(pages[::-1], key=lambda page: page.name not in awaited)
        self.began, self.done = time.monotonic(), 0
        self.places = asyncio.Semaphore(workers)
        self.running: list[Page] = []

    def say(self, text: str) -> None:
        print(f"[{self.done}/{len(self.pages)}] {time.monotonic() - self.began:4.0f} s  {text}", flush=True)

    async def all(self) -> None:
        pulse = asyncio.create_task(self.heartbeat())
        await asyncio.gather(*(self.one(page) for page in self.pages))
        pulse.cancel()

    async def heartbeat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self.say(", ".join(f"{p.name} in cell {p.running_cell} of {len(p.code_cells)}" for p in self.running))

    async def one(self, page: Page) -> None:
        """Execute a page; of those that share a network, after the first, which trains it."""
        for first in self.firsts[page.name]:
            await first.ended.wait()
        async with self.places:
            self.running.append(page)
            self.say(f"{page.name} starts")
            start = time.monotonic()
            await _execute(page, self.profile, self.kernels)
            took = time.monotonic() - start
            page.seconds = took + self.kernels.seconds + saved_seconds(page)  # a reader's kernel imports
            for cell in page.code_cells:  # what was read from disk is the build's business, not the reader's
                cell.outputs = [output for output in cell.outputs if memory.MIME not in output.get("data", {})]
            self.running.remove(page)
            if not page.problems:
                bundle = CacheBundleIn(page.notebook, str(page.path), data={"execution_seconds": page.seconds})
                self.cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            self.done += 1
            page.ended.set()
            self.say(f"{page.name} {'FAILED after' if page.problems else 'done in'} {took:.0f} s")
            for problem in page.problems:  # now, not at the end only: the other pages may take an hour
                print(problem, flush=True)


def saved_seconds(page: Page) -> float:
    """Return for how long a page would have computed what it read from disk, and a reader's run of it computes.

    What it reads for a second time, or after computing it, a reader's run would read, too.
    """
    saved: dict[str, float] = {}
    for output in (output for cell in page.code_cells for output in cell.outputs):
        for name, seconds in output.get("data", {}).get(memory.MIME, {}).items():
            saved.setdefault(name, seconds)
    return sum(saved.values())


async def _execute(page: Page, profile: Path, kernels: nursery.Kernels) -> None:
    def note_cell(cell: nbformat.NotebookNode, cell_index: int) -> None:
        if cell.cell_type == "code":
            page.running_cell += 1

    client = NotebookClient(
        page.notebook,
        timeout=CELL_SECONDS[settings.current().scale],
        resources={"metadata": {"path": page.path.parent}},
        on_cell_start=note_cell,
        kernel_manager_class=kernels.manager,
        record_timing=False,  # times in the cells' metadata would change the page's key
        extra_arguments=[
            # The kernel's own log would remark that it runs without encryption, and that Ctrl+C ended it.
            "--IPKernelApp.log_level=50",
            f"--IPKernelApp.ipython_dir={profile}",
            "--IPKernelApp.exec_PYTHONSTARTUP=False",
            "--IPKernelApp.extra_extensions=['innerbook.dark']",
            "--InteractiveShell.system_raise_on_error=True",  # a cell's !command that fails is an error
        ],
    )
    task = asyncio.current_task()
    try:
        # What a kernel writes there, its cells' outputs hold; TensorFlow's remarks would stand between our lines.
        await client.async_execute(stderr=subprocess.DEVNULL)
    except Exception as error:  # a cell's error, a time-out, a dead kernel: each is one page's, and the others go on
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from error  # which nbclient takes for a dead kernel
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
        page.problems.append(f"{page.where(max(1, page.running_cell))}: {type(error).__name__}: {plain}")
        return
    for number, cell in enumerate(page.code_cells, start=1):
        page.problems += [f"{page.where(number)}: {problem}" for problem in _problems(cell)]


def _problems(cell: nbformat.NotebookNode) -> Iterable[str]:
    """Find what should fail the build though the cell raised nothing, such as a warning or an undefined number."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield from WARNING.findall(output.text)[:1]
            yield from (f"{place.strip()} {error}" for place, error in ERROR.findall(output.text)[:1])
        if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
            yield f"{output.ename}: {output.evalue}"
        glued = output.get("metadata", {}).get("scrapbook", {}).get("name")
        value = output.get("data", {}).get("text/plain", "").strip()
        if glued and value in ("nan", "inf", "-inf", "None"):
            yield f"the glued number {glued!r} is {value}"
    kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
    described = {"figure", "image"} & set(cell.metadata.get("mystnb", {}))
    if described and not kinds & {"image/png", "image/svg+xml", "text/html"}:
        yield "the cell has a caption or a description, and no picture"
