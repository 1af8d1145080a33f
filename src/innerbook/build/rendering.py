"""Renders the executed pages with Jupyter Book, on all cores; its own command line uses one.

A process of its own, for Sphinx leaves much behind: ``python -m innerbook.build.rendering CONFIG TOC FOLDER``.
"""

import sys
from pathlib import Path

from jupyter_book.sphinx import build_sphinx

from innerbook import settings


def main(config: str, toc: str, folder: str) -> int:
    """Render what a table of contents names into a folder's ``html``, and return 0 if there was no warning."""
    root, part = Path.cwd(), folder != "_build"
    result = build_sphinx(
        root,
        root / folder / "html",
        use_external_toc=True,
        noconfig=True,
        path_config=config,
        # A part does not hold all that its pages refer to.
        confoverrides={"external_toc_path": str(root / toc), "nitpicky": not part, "latex_individualpages": False},
        warningiserror=True,
        keep_going=True,
        quiet=True,
        freshenv=True,  # or a warning of an earlier run would not be seen again
        jobs=settings.usable_cores(),
    )
    if isinstance(result, Exception):
        print(f"{type(result).__name__}: {result}", file=sys.stderr)
        return 1
    return result


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
