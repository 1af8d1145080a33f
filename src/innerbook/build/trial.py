"""Runs the notebooks as a student would: in an environment that has only what their first cell installs."""

import asyncio
import functools
import http.server
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from innerbook import settings
from innerbook.build import executing, notebooks, results
from innerbook.build.pages import Page

# What stands there before the first cell, beside the kernel. Colab's are those of August 2026.
ENVIRONMENTS = {"clean": (), "colab": ("numpy==2.1.3", "tensorflow==2.20.0", "keras==3.13.2")}
_FIGURES = {"image/png", "image/svg+xml", "text/html"}
_SEEN = {"stream", "display_data", "update_display_data", "execute_result"}


def run(root: Path, pages: list[Page], like: str, workers: int) -> list[dict[str, Any]]:
    """Run each chapter's notebook from an empty folder, and return a row for each: seconds, and what went wrong.

    The site is served on this machine, so the first cell fetches the course as it would from a published one. The
    data that is downloaded once is at hand, no result is; but it is one student, and what a notebook has computed, a
    later one reads. Rows are also written to ``_build/trial-LIKE.json``.

    Args:
        root: the repository's folder, after ``make book``.
        pages: to try; the cache holds them all.
        like: which of `ENVIRONMENTS`.
        workers: how many notebooks run at a time, on one core each.

    Raises:
        ValueError: there is no such environment, or a page has not been executed.
        subprocess.CalledProcessError: the environment cannot be made.
    """
    if like not in ENVIRONMENTS:
        raise ValueError(f"expected an environment of {', '.join(ENVIRONMENTS)}; received {like!r}")
    if fresh := executing.recall(root, pages):
        raise ValueError(f"expected a built book; {fresh[0].name} is not executed: run `make book` first")
    with tempfile.TemporaryDirectory() as name, _site(Path(name) / "html") as address:
        folder = Path(name)
        notebooks.write_all(root, pages, folder, site=address)
        python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "ipykernel", *ENVIRONMENTS[like]], check=True)
        found = sorted((folder / "html" / "notebooks" / "as-read").rglob("*.ipynb"))
        rows = asyncio.run(_all(found, python, folder, workers))
    results.write_json(root / "_build" / f"trial-{like}.json", rows)
    return rows


@contextmanager
def _site(html: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *told: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(html))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


async def _all(found: Sequence[Path], python: Path, folder: Path, workers: int) -> list[dict[str, Any]]:
    places = asyncio.Semaphore(workers)

    async def one(path: Path) -> dict[str, Any]:
        async with places:
            row = await _Student(path, python, folder).run()
            print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            return row

    first = await one(found[0])  # it installs the course, and the others find it
    return [first, *await asyncio.gather(*(one(path) for path in found[1:]))]


class _Student(NotebookClient):
    """Opens a notebook in an empty folder, runs its cells, and looks at the clock."""

    def __init__(self, path: Path, python: Path, folder: Path):
        self.path, self.python = path, python
        self.home, self.data = folder / "homes" / path.stem, folder / "data"
        self.installed: float | None = None
        self.first_figure: float | None = None
        self.silent, self.last = 0.0, 0.0
        super().__init__(nbformat.read(path, 4), timeout=1_200, record_timing=False, on_cell_start=self.starts)

    def starts(self, cell: Any, cell_index: int) -> None:
        """Note that a reader sees the cells' marks move."""
        self.silent, self.last = max(self.silent, time.monotonic() - self.last), time.monotonic()
        if cell_index > 1 and self.installed is None:  # after the first cell of code, which brings the course
            self.installed = self.last - self.began

    async def run(self) -> dict[str, Any]:
        """Run all cells; return the row."""
        self.home.mkdir(parents=True)
        self.data.mkdir(exist_ok=True)
        for part in ("mnist", "imagenet"):
            found = settings.current().data_folder / part
            if found.exists() and not (self.data / part).exists():
                (self.data / part).symlink_to(found)
        given = {key: value for key, value in os.environ.items() if re.match("PATH$|LANG$|PIP_|SSL_", key)}
        limits = dict.fromkeys(executing.LIMITS, "1")
        self.km = AsyncKernelManager(kernel_name="python3")
        assert self.km.kernel_spec is not None
        self.km.kernel_spec.argv = [str(self.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        began, problem = time.monotonic(), ""
        self.began = self.last = began
        try:
            environment = {**given, **limits, "HOME": str(self.home), "INNERVIEW_DATA": str(self.data)}
            await self.async_execute(env=environment, cwd=str(self.home), stderr=subprocess.DEVNULL)
        except Exception as error:  # one notebook's, and the others go on
            problem = str(error).strip().splitlines()[-1][:200]
        return {
            "page": "/".join(self.path.parts[-2:]).removesuffix(".ipynb"),
            "seconds": round(time.monotonic() - began),
            "installing": round(self.installed or 0),
            "first figure": None if self.first_figure is None else round(self.first_figure),
            "longest silence": round(self.silent),
            "problem": problem,
        }

    def process_message(self, message: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Take a message of the kernel, and note what a reader sees when."""
        now = time.monotonic()
        if message["msg_type"] in _SEEN:
            self.silent, self.last = max(self.silent, now - self.last), now
            if self.first_figure is None and _FIGURES & set(message["content"].get("data", {})):
                self.first_figure = now - self.began
        return super().process_message(message, cell, cell_index)
