"""Builds the course: fetches the data, executes the pages, renders the book. Run by ``make book``."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import course

from innerview import datasets


def main(root: Path) -> int:
    """Build the course in `root` and return the exit status."""
    scale = os.environ.setdefault("INNERVIEW_SCALE", "class")
    if scale not in ("class", "paper"):
        print(f"SCALE must be class or paper; received {scale}")
        return 2
    # Once the data is here, no page asks the network again, and every page sees the same data.
    mnist = datasets.load_mnist()
    os.environ["INNERVIEW_MNIST"] = "small" if mnist.small else "full"
    if any("load_resnet50" in path.read_text("utf-8") for path in (root / "book").rglob("*.md")):
        os.environ["INNERVIEW_RESNET"] = "none" if datasets.load_resnet50() is None else "imagenet"
    os.environ["INNERVIEW_OFFLINE"] = "1"

    try:
        pages = course.read_pages(root)
    except (FileNotFoundError, ValueError) as error:
        print(f"The book was not built: {error}")
        return 1
    course.execute(root, pages, workers=os.cpu_count() or 1)
    problems = [problem for page in pages for problem in page.problems]
    if problems:
        print("\n".join(["", *problems, "", f"The book was not built: {len(problems)} problem(s), listed above."]))
        return 1
    found = course.write_results(root, pages)
    print(f"{len(found)} claims measured, in _build/claims.json. Rendering.", flush=True)

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
    sys.exit(main(Path.cwd()))
