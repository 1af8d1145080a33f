"""The course's pages: which there are, what each depends on, and their execution into jupyter-cache.

jupyter-cache knows a page by its code cells and its kernel. What else a page depends on (the modules of innerview
that it imports, the data, the scale, the versions of the libraries) is folded into the kernel's metadata here, both
when `execute` fills the cache and when Sphinx reads it, so that a change in any of them makes the page run again.
"""

import ast
import asyncio
import datetime
import hashlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import nbformat
import sphinx_external_toc.parsing
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from myst_nb.core.config import NbParserConfig
from myst_nb.core.read import MystMetadataParsingError, create_nb_reader, is_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig
from nbclient import NotebookClient

from innerview import claims, datasets

# A cell that takes longer is stuck; at paper scale an honest one can take hours.
CELL_SECONDS = 24 * 3_600 if claims.SCALE == "paper" else 1_200
HEARTBEAT_SECONDS = 15
# Results at the documents' own sizes, which take longer than a build may; committed.
PAPER_RESULTS = "book/paper-results.json"
VERSIONS = ("keras", "numpy", "openTSNE", "scikit-learn", "tensorflow", "tensorflow_cpu", "torch", "umap-learn")
SMALL_SET_NOTE = """
:::{warning}
This page ran on the **small set**: the 5,000 digits that come with the course, because the full MNIST could not be
fetched on the machine that built it. Its figures are rougher than the documents', and it gives no verdict at their
scale.
The sentences of the text were written for the full set: where one disagrees with a verdict box, trust the box.
:::
"""
NO_RESNET_NOTE = """
:::{warning}
This page ran **without ImageNet weights**, because they could not be fetched on the machine that built it. A small
residual network stands in, trained on digits here. The sentences of the text were written for ResNet50: where one
disagrees with a verdict box, trust the box.
:::
"""
# What a page may load, the variable that says what serves, its value if something stands in, and the note for then.
STAND_INS = (
    ("load_mnist", "INNERVIEW_MNIST", "small", SMALL_SET_NOTE),
    ("load_resnet50", "INNERVIEW_RESNET", "none", NO_RESNET_NOTE),
)


@dataclass
class Page:
    """A page that holds code, and what came of executing it."""

    path: Path
    name: str
    notebook: nbformat.NotebookNode
    seconds: float | None = None
    problems: list[str] = field(default_factory=list)
    running_cell: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def after(self) -> str | None:
        """The page that has to end before this one starts, because it trains what this one reads from disk."""
        return self.notebook.metadata.get("innerview", {}).get("after")

    @property
    def code_cells(self) -> list[nbformat.NotebookNode]:
        """The page's code cells, in order."""
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]

    def where(self, number: int) -> str:
        """Name a code cell, counted from 1, by page, number and line."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        line = [i for i, text in enumerate(lines, start=1) if re.match(r"```+\{code-cell\}", text)][number - 1]
        return f"{self.name}.md, code cell {number} (line {line})"


def toc_names(root: Path) -> list[str]:
    """Return the names of all pages in the table of contents, in reading order."""
    return list(sphinx_external_toc.parsing.parse_toc_yaml(root / "_toc.yml"))


def read_pages(root: Path) -> list[Page]:
    """Return the pages of the table of contents that hold code.

    Raises:
        FileNotFoundError: the table of contents names a page that is not there.
        ValueError: a page's cell cannot be read, say because its alt text holds a colon and no quotes.
    """
    pages = []
    for name in toc_names(root):
        path = root / f"{name}.md"
        if not path.exists():
            raise FileNotFoundError(f"_toc.yml names {name}, but there is no {name}.md")
        text = path.read_text(encoding="utf-8")
        if is_myst_markdown_notebook(text):
            text = with_dependencies(root, text)
            reader = create_nb_reader(str(path), MdParserConfig(), NbParserConfig(), text)
            assert reader is not None  # the text was just seen to be a notebook
            try:
                pages.append(Page(path, name, reader.read(text)))
            except MystMetadataParsingError as error:
                raise ValueError(f"{name}.md: {error}") from error
    return pages


def with_dependencies(root: Path, text: str) -> str:
    """Return a page's text with a digest of its dependencies in its kernel's metadata.

    A note goes below the title of a page for whose data something else stands in.
    """
    notes = [note for load, name, value, note in STAND_INS if load in text and os.environ.get(name) == value]
    used = sorted(_modules_used(root, text))
    digest = hashlib.sha256()
    for path in used:
        digest.update(path.read_bytes())
    if any(path.stem == "plotting" for path in used):
        for path in sorted((root / "src" / "innerview" / "views").glob("*")):
            digest.update(path.read_bytes())
    digest.update((root / "requirements.lock").read_bytes())
    facts: list[object] = [
        [path.stem for path in used],
        os.environ.get("INNERVIEW_SCALE", "class"),
        sys.version_info[:2],
    ]
    facts.append(notes)
    digest.update(json.dumps(facts).encode())
    text = re.sub(r"^kernelspec:\n", f"kernelspec:\n  innerview: {digest.hexdigest()}\n", text, count=1, flags=re.M)
    if notes:
        text = re.sub(r"^# .*\n", lambda title: title[0] + "".join(notes), text, count=1, flags=re.M)
    return text


def _modules_used(root: Path, text: str) -> set[Path]:
    """Return the modules of innerview that a page's code imports, with those that they import in turn."""
    package = root / "src" / "innerview"
    code = "\n".join(re.findall(r"^```+\{code-cell\}.*\n((?:.*\n)*?)^```+$", text, flags=re.M))
    # Options and IPython's magics are no Python; imports stand on lines of their own, or in parentheses.
    imports = "\n".join(re.findall(r"^(?:from|import) [^(\n]*(?:\([^)]*\))?", code, flags=re.M))
    found: set[Path] = set()
    waiting = _imported(imports, package)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting |= _imported(path.read_text(encoding="utf-8"), package)
    return found


def _imported(code: str, package: Path) -> set[Path]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "innerview":
            names.update([node.module] if "." in node.module else [f"innerview.{alias.name}" for alias in node.names])
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if alias.name.startswith("innerview."))
    paths = {package / f"{name.split('.')[1]}.py" for name in names}
    return {path for path in paths if path.exists()} | ({package / "__init__.py"} if names else set())


def execute(root: Path, pages: list[Page], workers: int) -> None:
    """Execute the pages that the cache does not know, `workers` at a time, and say how it goes.

    What went wrong is left in each page's `problems`; only pages without problems enter the cache.
    """
    cache = get_cache(str(root / "_build" / ".jupyter_cache"))
    fresh = []
    for page in pages:
        try:
            record = cache.match_cache_notebook(page.notebook)
        except KeyError:
            fresh.append(page)
        else:
            _, page.notebook = cache.merge_match_into_notebook(page.notebook)
            page.seconds = record.data["execution_seconds"]
    print(f"{len(pages)} pages hold code; {len(fresh)} of them to execute, {workers} at a time.", flush=True)
    if fresh:
        asyncio.run(_execute_all(cache, fresh, workers))


async def _execute_all(cache: JupyterCacheAbstract, pages: list[Page], workers: int) -> None:
    began = time.monotonic()
    places = asyncio.Semaphore(workers)
    running: list[Page] = []
    done = 0

    def say(text: str) -> None:
        print(f"[{done}/{len(pages)}] {time.monotonic() - began:4.0f} s  {text}", flush=True)

    async def run(page: Page) -> None:
        nonlocal done
        for earlier in pages:
            if earlier.name == page.after:
                await earlier.ended.wait()
        async with places:
            running.append(page)
            say(f"{page.name} starts")
            start = time.monotonic()
            await _execute_one(page)
            page.seconds = time.monotonic() - start
            running.remove(page)
            if not page.problems:
                bundle = CacheBundleIn(page.notebook, str(page.path), data={"execution_seconds": page.seconds})
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            done += 1
            page.ended.set()
            say(f"{page.name} {'FAILED after' if page.problems else 'done in'} {page.seconds:.0f} s")

    async def heartbeat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            say(", ".join(f"{p.name} in cell {p.running_cell} of {len(p.code_cells)}" for p in running))

    pulse = asyncio.create_task(heartbeat())
    await asyncio.gather(*(run(page) for page in pages))
    pulse.cancel()


async def _execute_one(page: Page) -> None:
    cells = page.code_cells

    def note_cell(cell: nbformat.NotebookNode, cell_index: int) -> None:
        if cell.cell_type == "code":
            page.running_cell += 1

    client = NotebookClient(
        page.notebook,
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": page.path.parent}},
        on_cell_start=note_cell,
        record_timing=False,  # times in the cells' metadata would change the page's key
        # The kernel's own log would remark at each start that it runs without encryption.
        extra_arguments=["--IPKernelApp.log_level=40"],
    )
    try:
        await client.async_execute()
    except Exception as error:  # a cell's error, a time-out, a dead kernel: each is one page's, and the others go on
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
        page.problems.append(f"{page.where(max(1, page.running_cell))}: {type(error).__name__}: {plain}")
        return
    for number, cell in enumerate(cells, start=1):
        page.problems += [f"{page.where(number)}: {problem}" for problem in _problems(cell)]


def _problems(cell: nbformat.NotebookNode) -> Iterable[str]:
    """Find what should fail the build though the cell raised nothing: warnings, and numbers that are none."""
    for output in cell.outputs:
        if output.output_type == "stream":
            # Python's warnings, and those of libraries that log; TensorFlow's word on its own log is none.
            warned = re.search(r"^(.*\w*Warning: .*|WARNING(?!.*absl::InitializeLog).*)$", output.text, flags=re.M)
            if warned:
                yield warned[0]
        glued = output.get("metadata", {}).get("scrapbook", {}).get("name")
        value = output.get("data", {}).get("text/plain", "").strip()
        if glued and value in ("nan", "inf", "-inf", "None"):
            yield f"the glued number {glued!r} is {value}"


def write_results(root: Path, pages: list[Page]) -> list[dict[str, Any]]:
    """Write ``_build/claims.json`` and ``_build/seconds.json`` from the executed pages; return the claims."""
    found = [
        {**json.loads(output.data[claims.MIME]), "page": page.name}
        for page in pages
        for cell in page.code_cells
        for output in cell.outputs
        if claims.MIME in output.get("data", {})
    ]
    seconds = {page.name: page.seconds for page in pages}
    write_json(root / "_build" / "claims.json", found)
    write_json(root / "_build" / "seconds.json", seconds)
    if claims.SCALE == "paper":
        measured_now = {page.name for page in pages if page.running_cell}
        _keep_paper_results(root, [claim for claim in found if claim["scale"] == "paper"], measured_now)
    return found


def _keep_paper_results(root: Path, found: list[dict[str, Any]], measured_now: set[str]) -> None:
    """Put the results of a build at paper scale into the file that is committed, with where they come from.

    Pages that came from the cache keep the entries, and so the dates, that they have.
    """
    path = root / PAPER_RESULTS
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    renewed = measured_now | ({claim["page"] for claim in found} - {claim["page"] for claim in kept})
    results = [claim for claim in kept if claim["page"] not in renewed]
    made = origin()
    results += [{**claim, **made} for claim in found if claim["page"] in renewed]
    write_json(path, sorted(results, key=lambda claim: claim["id"]))


def origin() -> dict[str, Any]:
    """Return where a measurement comes from: the date, the machine, the versions of the libraries."""
    cpu = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.*)$", cpu.read_text(), flags=re.M) if cpu.exists() else []
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores",
        "versions": {d.name: d.version for d in sorted(distributions(), key=lambda d: d.name) if d.name in VERSIONS},
    }


def write_json(path: Path, content: object) -> None:
    """Write JSON for people and programs to read, whole or not at all."""
    with datasets.written_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
