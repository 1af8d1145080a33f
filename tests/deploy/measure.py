"""Measures whole chapters on a real JupyterHub, and writes ``deploy/measured.json``, from which a hub is sized.

python tests/deploy/measure.py [--data FOLDER] [--output FILE]      after `make book`, on a quiet machine; ten minutes
"""

import argparse
import datetime
import json
import platform
import shutil
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from local_hub import COURSE, ROOT, Meter, Student, at_once, chapter, codes, memory, publish, running, size

from innerbook import settings
from innerbook.memory import atomic_write

# A page, how many students run it at once, and whether they find what its computations have come to.
CASES = [
    ("5-inversion/undone", 4, True),
    ("1-first-network/fingerprints", 4, True),
    ("1-first-network/fingerprints", 1, False),
    ("6-residual/named", 4, True),
]
PACKAGES = ["jupyterhub", "nbgitpuller", "jupyter-server", "keras", "tensorflow-cpu"]
_MINUTES = 60


def main() -> None:
    """Measure all cases, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=settings.current().data_folder, help="of a built book, with its results"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "deploy" / "measured.json")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what in ("mnist", "imagenet"):
            shutil.copytree(asked.data / what, folder / "downloads" / what)
        shutil.copytree(asked.data, folder / "all")
        publish(folder / f"{COURSE}.git", {_file(page): chapter(page) for page, *_ in CASES}, "Course")
        for i, (page, count, found) in enumerate(CASES):
            row = measured(folder, folder / f"case-{i}", page, count, found)
            rows.append(row)
            print(json.dumps(row), flush=True)
    told = {"date": f"{datetime.date.today()}", "machine": machine(), "rows": rows}
    with atomic_write(asked.output) as temporary:
        temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"{asked.output} is written. For book/teaching/hub.md:", table(rows), sep="\n")


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as the page on hubs shows them."""
    lines = []
    for row in rows:
        numbers = [row[name] for name in ("processor_seconds", "server_mb", "peak_mb")]
        cells = [f"{{doc}}`/book/{row['page']}`", row["students"], "yes" if row["results_shared"] else "no"]
        lines.append(f"| {' | '.join([*map(str, cells), *(f'{round(value):,}' for value in numbers)])} |")
    return "\n".join(lines)


def _file(page: str) -> str:
    return f"{page}.ipynb"


def measured(folder: Path, case: Path, page: str, count: int, found: bool) -> dict[str, Any]:
    """Return what some students take who run a whole page at once: medians, and the most memory of anyone."""
    shared, names = folder / ("all" if found else "downloads"), [f"student{i}" for i in range(count)]
    with running(case, shared, 60 * _MINUTES) as hub:
        students = [Student(hub, name) for name in names]
        try:
            assert all(student.log_in(hub.password) for student in students)
            with Meter(hub, names) as meter:
                _, start = at_once(students, Student.start)
                alone = [sum(map(memory, hub.pids(name))) for name in names]
                at_once(students, lambda student: student.pull(folder / f"{COURSE}.git"))
                given: nbformat.NotebookNode = students[0].read(_file(page))
                _, run = at_once(students, lambda s: s.run(_file(page), codes(given), 20 * _MINUTES))
            others = set(hub.pids()) - {pid for name in names for pid in hub.pids(name)}
            hub_mb = sum(map(memory, others))
        finally:
            for student in students:
                student.close()
    return {
        "page": page,
        "students": count,
        "results_shared": found,
        "server_seconds": round(statistics.median(start), 1),
        "chapter_seconds": round(statistics.median(run), 1),
        "processor_seconds": round(statistics.median(meter.processor.values()), 1),
        "server_mb": round(statistics.median(alone)),
        "peak_mb": round(max(meter.peak.values())),
        "home_mb": round(statistics.median(size(hub.homes / name) for name in names), 1),
        "hub_mb": round(hub_mb),
    }


def machine() -> dict[str, Any]:
    """Return what it was measured on, without a name."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    total = Path("/proc/meminfo").read_text().splitlines()[0].split()[1]  # MemTotal, in kB
    return {
        "processor": models[0].partition(": ")[2] if models else platform.machine(),
        "cores": settings.usable_cores(),
        "memory_gb": round(int(total) / 2**20),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


if __name__ == "__main__":
    main()
