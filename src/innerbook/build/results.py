"""What a build measured: the claims, how long each page took, and the results at the documents' own sizes."""

import datetime
import hashlib
import json
import os
import platform
import re
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from innerbook import settings
from innerbook.build.pages import Page, toc_names
from innerbook.claims import MIME, held
from innerbook.memory import atomic_write

# Results at the documents' own sizes, which take longer than a build may; committed.
PAPER_RESULTS = "book/paper-results.json"
VERSIONS = ("keras", "numpy", "openTSNE", "scikit-learn", "tensorflow", "tensorflow_cpu", "torch", "umap-learn")
Rows = list[dict[str, Any]]


def write_results(root: Path, pages: list[Page], folder: str = "_build") -> Rows:
    """Write ``claims.json`` and ``seconds.json`` from the executed pages into a folder; return the claims.

    Raises:
        ValueError: two boxes have one id, or a kept row does not fit its page any more.
    """
    found = [
        {**json.loads(output.data[MIME]), "page": page.name}
        for page in pages
        for cell in page.code_cells
        for output in cell.outputs
        if MIME in output.get("data", {})
    ]
    ids = [claim["id"] for claim in found]
    if twice := sorted({id for id in ids if ids.count(id) > 1}):
        raise ValueError(f"expected one box for each id, such as B10a and B10b; several have {', '.join(twice)}")
    write_json(root / folder / "claims.json", found)
    write_json(root / folder / "seconds.json", {page.name: page.seconds for page in pages})
    now = settings.current()
    if now.scale == "paper" and now.first_seed == 0:  # a run on other seeds tries the rows, and replaces none
        measured_now = {page.name for page in pages if page.running_cell}
        _keep_paper_results(root, [claim for claim in found if claim["scale"] == "paper"], measured_now)
    _check_fit(read_paper_results(root), {claim["id"]: claim for claim in found}, {page.name for page in pages})
    return found


def duration(seconds: float) -> str:
    """Return a time in words: in seconds, or from a hundred on in minutes."""
    return f"{max(2, seconds):.0f} seconds" if seconds < 100 else f"{seconds / 60:.1f} minutes"


def in_order(claims: Rows) -> Rows:
    """Return claims in the order of the documents' letters and of their rows' numbers."""

    def place(claim: dict[str, Any]) -> tuple[str, int, str]:
        letter, number, rest = re.fullmatch(r"(\D*)(\d*)(.*)", claim["id"]).groups()  # type: ignore[union-attr]
        return letter, int(number or 0), rest

    return sorted(claims, key=place)


def counted(claim: dict[str, Any]) -> dict[str, bool]:
    """Return which of a claim's statements hold."""
    return held(claim["holds"], claim["runs"])


def _check_fit(kept: Rows, found: dict[str, dict[str, Any]], built: set[str]) -> None:
    for row in kept:
        if row["page"] in built:
            now = found.get(row["id"], {"page": None, "claim": "", "holds": {}})
            # At class scale a page may leave out what only the document's size can show, if it says so.
            left_out = set(now.get("at_size", ())) - set(now["holds"])
            expected = [name for name in row["holds"] if name not in left_out]
            if (now["page"], now["claim"], list(now["holds"])) != (row["page"], row["claim"], expected):
                raise ValueError(
                    f"{PAPER_RESULTS} holds {row['id']} of {row['page']} with statements that the page does not make: "
                    f"{list(row['holds'])}. Measure it anew: make book SCALE=paper PAGES={row['page'][5:]}"
                )


def read_paper_results(root: Path) -> Rows:
    """Return the committed rows at the documents' own sizes; none if there is no such file.

    Raises:
        ValueError: a row was not written by a run, or its page is not in the table of contents, so that it would stand
            nowhere.
    """
    path = root / PAPER_RESULTS
    kept: Rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    pages = set(toc_names(root))
    lost = [f"{row['id']} {row['claim']!r} of {row['page']}" for row in kept if row["page"] not in pages]
    if lost:
        raise ValueError(f"{PAPER_RESULTS} holds rows whose page is not in _toc.yml: {'; '.join(lost)}")
    if changed := [row["id"] for row in kept if row.get("digest") != digest(row)]:
        raise ValueError(f"{PAPER_RESULTS} holds rows that were changed by hand, not by a run: {', '.join(changed)}")
    return kept


def digest(row: dict[str, Any]) -> str:
    """Return a digest of all that a row says, so that a change by hand is seen."""
    said = json.dumps({name: value for name, value in row.items() if name != "digest"}, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _keep_paper_results(root: Path, found: Rows, measured_now: set[str]) -> None:
    """Put the results of a build at paper scale into the file that is committed, with where they come from.

    Pages that came from the cache keep the entries, and so the dates, that they have.
    """
    kept = read_paper_results(root)
    renewed = measured_now | ({claim["page"] for claim in found} - {claim["page"] for claim in kept})
    results = [claim for claim in kept if claim["page"] not in renewed]
    made = origin()
    new = [{**claim, **made} for claim in found if claim["page"] in renewed]
    results += [{**row, "digest": digest(row)} for row in new]
    write_json(root / PAPER_RESULTS, in_order(results))


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
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
