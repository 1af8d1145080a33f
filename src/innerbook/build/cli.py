"""The command line: ``innerbook build``, which ``make book`` runs in the repository's root."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from innerbook import data, settings
from innerbook.build import executing, results
from innerbook.build.pages import read_pages


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, by default the one that the process was started with, and return the exit status."""
    parser = argparse.ArgumentParser(prog="innerbook", description="Makes the book of Inner View.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("build", help="fetch the data, execute the pages that changed, render the book")
    parser.parse_args(arguments)
    root = Path.cwd()
    if not (root / "_toc.yml").exists():
        parser.error(f"expected to run in the repository's root, where _toc.yml is; received {root}")
    try:
        told = settings.current()
    except ValueError as error:
        parser.error(str(error))
    try:
        return build(root, told)
    except KeyboardInterrupt:
        print("\nThe build was interrupted. The next one goes on: pages that were done are not executed again.")
        return 130


def build(root: Path, told: settings.Settings) -> int:
    """Build the course in `root` and return the exit status: 0 if the book is built, 1 if not."""
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user's file says, for it downloads the data
    # Once the data is here, no page asks the network again, and every page sees the same data.
    data.load_mnist()
    data.load_resnet50()
    # What the kernels and Sphinx inherit; nothing is read here.
    os.environ.update(replace(told, offline=True).to_environment(), **executing.environment(root))
    try:
        pages = read_pages(root)
        results.read_paper_results(root)  # a lost row is told now, not after hours
    except (FileNotFoundError, ValueError) as error:
        print(f"The book was not built: {error}")
        return 1
    executing.execute(root, pages, workers=settings.usable_cores())
    problems = [problem for page in pages for problem in page.problems]
    if problems:
        print("\n".join(["", *problems, "", f"The book was not built: {len(problems)} problem(s), listed above."]))
        return 1
    found = results.write_results(root, pages)
    print(f"{len(found)} claims measured, in _build/claims.json. Rendering.", flush=True)
    return _render(root)


def _render(root: Path) -> int:
    # --all, or a warning of an earlier run would not be seen again; -n asks for every missing reference.
    jupyter_book = shutil.which("jupyter-book", path=str(Path(sys.executable).parent)) or "jupyter-book"
    command = [jupyter_book, "build", ".", "--all", "-W", "-n", "--keep-going", "-q"]
    rendered = subprocess.run(command, cwd=root, capture_output=True, text=True, encoding="utf-8", errors="replace")
    front = root / "_build" / "html" / "index.html"
    if rendered.returncode or not front.exists():
        print(rendered.stdout, rendered.stderr, "The book was not built: see the warnings above.", sep="\n")
        return 1
    print(f"The book is built. Open {front.as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
