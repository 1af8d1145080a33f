"""The command line, in the repository's root: ``innerbook build``, which ``make book`` runs, ``try`` and ``bundle``."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from innerbook import data, settings
from innerbook.build import bundle, executing, notebooks, results, trial
from innerbook.build.pages import Page, read_pages, toc_names
from innerbook.memory import atomic_write


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, by default the one that the process was started with, and return the exit status."""
    parser = argparse.ArgumentParser(prog="innerbook", description="Makes the book of Inner View.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    builds = commands.add_parser("build", help="fetch the data, execute the pages that changed, render the book")
    builds.add_argument("pages", nargs="*", help="only these pages or parts, such as 2-probes/linear-probes or 4-depth")
    bundles = commands.add_parser("bundle", help="write one archive of the built course, for a room without internet")
    bundles.add_argument("--platforms", nargs="+", default=["linux"], help=f"of {', '.join(bundle.PLATFORMS)}")
    bundles.add_argument("--pythons", nargs="+", default=["3.12"], help="versions of Python, such as 3.12")
    tries = commands.add_parser("try", help="run the notebooks of the built course as a student would")
    tries.add_argument("pages", nargs="*", help="only these pages or parts")
    tries.add_argument("--like", default="clean", help=f"the environment: {', '.join(trial.ENVIRONMENTS)}")
    asked = parser.parse_args(arguments)
    root = Path.cwd()
    if not (root / "_toc.yml").exists():
        parser.error(f"expected to run in the repository's root, where _toc.yml is; received {root}")
    try:
        told = settings.current()
    except ValueError as error:
        parser.error(str(error))
    if asked.command == "bundle":
        try:
            path = bundle.make(root, asked.platforms, asked.pythons)
        except (ValueError, FileNotFoundError, subprocess.CalledProcessError) as error:
            print(f"There is no archive: {error}")
            return 1
        print(f"{path} is written, {path.stat().st_size / 1e9:.1f} GB.")
        return 0
    if asked.command == "try":
        try:
            pages = read_pages(root)
            pages = select(pages, asked.pages, toc_names(root)[0]) if asked.pages else pages
            rows = trial.run(root, pages, asked.like, settings.usable_cores())
        except (ValueError, FileNotFoundError, subprocess.CalledProcessError) as error:
            print(f"The notebooks were not tried: {error}")
            return 1
        failed = [row for row in rows if row["problem"]]
        print(f"{len(rows) - len(failed)} of {len(rows)} notebooks ran without a problem.")
        return 1 if failed else 0
    try:
        return build(root, told, asked.pages)
    except KeyboardInterrupt:
        print("\nThe build was interrupted. The next one goes on: pages that were done are not executed again.")
        return 130


def build(root: Path, told: settings.Settings, wanted: Sequence[str] = ()) -> int:
    """Build the course in `root` and return the exit status: 0 if the book is built, 1 if not.

    Args:
        root: the repository's folder.
        told: the run's settings.
        wanted: pages or parts by name, to build them alone: into ``_build/part``, with a report of their own.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user's file says, for it downloads the data
    # Once the data is here, no page asks the network again, and every page sees the same data.
    data.load_mnist()
    data.load_resnet50()
    # What the kernels and Sphinx inherit; nothing is read here.
    os.environ.update(replace(told, offline=True).to_environment(), **executing.environment(root))
    try:
        pages = read_pages(root)
        if wanted:
            pages = select(pages, wanted, toc_names(root)[0])
        results.read_paper_results(root)  # a lost row is told now, not after hours
    except (FileNotFoundError, ValueError) as error:
        print(f"The book was not built: {error}")
        return 1
    executing.execute(root, pages, workers=settings.usable_cores())
    problems = [problem for page in pages for problem in page.problems]
    if problems:
        print("\n".join(["", *problems, "", f"The book was not built: {len(problems)} problem(s), listed above."]))
        return 1
    folder = "_build/part" if wanted else "_build"
    try:
        found = results.write_results(root, pages, folder)
    except ValueError as error:
        print(f"The book was not built: {error}")
        return 1
    print(f"{len(found)} claims measured, in {folder}/claims.json. Rendering.", flush=True)
    status = _render(root, *(_part(root, pages) if wanted else ()))
    if status == 0:
        try:
            notebooks.write_all(root, pages, root / ("_build/part/_build" if wanted else "_build"))
        except (ValueError, subprocess.CalledProcessError) as error:
            print(f"The book is rendered, but its notebooks were not made: {error}")
            return 1
    return status


def select(pages: list[Page], wanted: Sequence[str], first: str) -> list[Page]:
    """Return the pages that have one of these names, or lie in a part of this name, in reading order, and the first.

    Raises:
        ValueError: a name fits no page.
    """
    fits = {name: [p for p in pages if f"/{name.strip('/')}/" in f"/{p.name}/"] for name in wanted}
    for name, found in fits.items():
        if not found:
            raise ValueError(f"PAGES must name pages or parts, such as {', '.join(p.name for p in pages)}; got {name}")
    return [page for page in pages if page.name == first or any(page in found for found in fits.values())]


def _part(root: Path, pages: list[Page]) -> tuple[str, ...]:
    """Write what renders some pages alone, with the first page and the report; return it as arguments."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    config["only_build_toc_files"] = True
    told = config["sphinx"].setdefault("config", {})
    told |= {"innerbook_results": "_build/part", "innerbook_pages": [page.name for page in pages]}
    told["suppress_warnings"] = [*told.get("suppress_warnings", []), "ref", "myst.xref_missing", "toc"]
    first, *others = toc_names(root)
    built = {"book/report", *(page.name for page in pages)}
    names = [name for name in others if name in built]
    toc = {"format": "jb-book", "root": first, "chapters": [{"file": name} for name in names]}
    files = {"_config.yml": config, "_toc.yml": toc}
    for name, content in files.items():
        with atomic_write(root / "_build" / "part" / name) as temporary:
            temporary.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return "--path-output", "_build/part", "--config", "_build/part/_config.yml", "--toc", "_build/part/_toc.yml"


def _render(root: Path, *part: str) -> int:
    # --all, or a warning of an earlier run would not be seen again; -n asks for every missing reference.
    jupyter_book = shutil.which("jupyter-book", path=str(Path(sys.executable).parent)) or "jupyter-book"
    command = [jupyter_book, "build", ".", "--all", "-W", "--keep-going", "-q", *(part or ["-n"])]
    rendered = subprocess.run(command, cwd=root, capture_output=True, text=True, encoding="utf-8", errors="replace")
    front = root / ("_build/part/_build" if part else "_build") / "html" / "index.html"
    if rendered.returncode or not front.exists():
        print(rendered.stdout, rendered.stderr, "The book was not built: see the warnings above.", sep="\n")
        return 1
    print(f"{'These pages are' if part else 'The book is'} built. Open {front.as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
