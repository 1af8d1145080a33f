"""The command line in the repository's root: ``innerbook build``, which ``make book`` runs, and what teachers need."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from innerbook import data, settings
from innerbook.build import bundle, executing, notebooks, pdf, results, trial
from innerbook.build.pages import Page, read_pages, toc_names
from innerbook.memory import atomic_write


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, by default the one that the process was started with, and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    asked, others = parser.parse_known_args(arguments)
    root = Path.cwd()
    if not (root / "_toc.yml").exists():
        parser.error(f"expected to run in the repository's root, where _toc.yml is; received {root}")
    if asked.command == "grade":
        from innerbook.grading.command import main as grade  # with nbgrader, which nothing else needs

        return grade(others)
    if others:
        parser.error(f"unknown arguments: {' '.join(others)}")
    if asked.command == "homework":
        from innerbook.grading import release

        written = release.write_all(root / "homework", root / "_build" / "homework")
        print("\n".join(str(path) for path in written))
        return 0
    try:
        told = settings.current()
    except ValueError as error:
        parser.error(str(error))
    if asked.command != "build":
        return _from_the_built(root, asked)
    try:
        return build(root, told, asked.pages)
    except KeyboardInterrupt:
        print("\nThe build was interrupted. The next one goes on: pages that were done are not executed again.")
        return 130


def _from_the_built(root: Path, asked: argparse.Namespace) -> int:
    """Make something out of the built book, and return the exit status."""
    try:
        if asked.command == "bundle":
            path = bundle.make(root, asked.platforms, asked.pythons)
            print(f"{path} is written, {path.stat().st_size / 1e9:.1f} GB.")
            return 0
        if asked.command == "pdf":
            path = pdf.make(root)
            print(f"{path} is written, {path.stat().st_size / 1e6:.0f} MB.")
            return 0
        return _try(root, asked.pages, asked.like)
    except (ValueError, FileNotFoundError, subprocess.SubprocessError) as error:
        missed = {"bundle": "There is no archive", "pdf": "There is no PDF", "try": "The notebooks were not tried"}
        print(f"{missed[asked.command]}: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="innerbook", description="Makes the book of Inner View, and grades homework.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    builds = commands.add_parser("build", help="fetch the data, execute the pages that changed, render the book")
    builds.add_argument("pages", nargs="*", help="only these pages or parts, such as 2-probes/linear-probes or 4-depth")
    bundles = commands.add_parser("bundle", help="write one archive of the built course, for a room without internet")
    bundles.add_argument("--platforms", nargs="+", default=["linux"], help=f"of {', '.join(bundle.PLATFORMS)}")
    bundles.add_argument("--pythons", nargs="+", default=["3.12"], help="versions of Python, such as 3.12")
    commands.add_parser("pdf", help="print the built book as one PDF, by Chromium")
    tries = commands.add_parser("try", help="run the notebooks of the built course as a student would")
    tries.add_argument("pages", nargs="*", help="only these pages or parts")
    tries.add_argument("--like", default="clean", help=f"the environment: {', '.join(trial.ENVIRONMENTS)}")
    commands.add_parser("homework", help="write the homeworks as students get them, into _build/homework")
    commands.add_parser("grade", add_help=False, help="grade a folder of submissions: innerbook grade --help")
    return parser


def _try(root: Path, wanted: Sequence[str], like: str) -> int:
    pages = read_pages(root)
    pages = select(pages, wanted, toc_names(root)[0]) if wanted else pages
    rows = trial.run(root, pages, like, settings.usable_cores())
    failed = [row for row in rows if row["problem"]]
    print(f"{len(rows) - len(failed)} of {len(rows)} notebooks ran without a problem.")
    return 1 if failed else 0


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
    if wanted:
        _write_part(root, pages)
    status = _render(root, part=bool(wanted))
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


def _write_part(root: Path, pages: list[Page]) -> None:
    """Write what renders some pages alone, with the first page, the report, terms and papers, into ``_build/part``."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    config["only_build_toc_files"] = True
    told = config["sphinx"].setdefault("config", {})
    told |= {"innerbook_results": "_build/part", "innerbook_pages": [page.name for page in pages]}
    told["suppress_warnings"] = [*told.get("suppress_warnings", []), "ref", "myst.xref_missing", "toc"]
    first, *others = toc_names(root)
    # With what pages refer to: terms and papers.
    built = {"book/report", "book/glossary", "book/bibliography", *(page.name for page in pages)}
    names = [name for name in others if name in built]
    toc = {"format": "jb-book", "root": first, "chapters": [{"file": name} for name in names]}
    files = {"_config.yml": config, "_toc.yml": toc}
    for name, content in files.items():
        with atomic_write(root / "_build" / "part" / name) as temporary:
            temporary.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


def _render(root: Path, part: bool) -> int:
    folder = "_build/part" if part else ""
    paths = [str(Path(folder) / "_config.yml"), str(Path(folder) / "_toc.yml"), str(Path(folder) / "_build")]
    command = [sys.executable, "-m", "innerbook.build.rendering", *paths]
    rendered = subprocess.run(command, cwd=root, capture_output=True, text=True, encoding="utf-8", errors="replace")
    front = root / paths[-1] / "html" / "index.html"
    if rendered.returncode or not front.exists():
        print(rendered.stdout, rendered.stderr, "The book was not built: see the warnings above.", sep="\n")
        return 1
    print(f"{'These pages are' if part else 'The book is'} built. Open {front.as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
