"""The key of a page: a digest of all that bears on its outputs. If it changes, the page runs again.

jupyter-cache knows a page by its code cells and its kernel. The rest is folded into the kernel's metadata here, both
when the build fills the cache and when Sphinx reads it: the modules of ours that the page imports, by the same
fingerprint as results on disk, how figures look, the locked versions, Python, scale, seeds, and whether the data are
the real ones.
"""

import json
import re
import sys
from importlib import resources
from pathlib import Path

import yaml
from IPython.core.inputtransformer2 import TransformerManager

from innerbook import data, fingerprint, settings

# What a page gets from these depends on what the data folder holds.
_READ_DATA = {"innerbook.data.mnist", "innerbook.data.imagenet", "innerbook.zoo"}


def of_code(root: Path, code: str) -> str:
    """Return the key of a page that holds this Python code, in the repository `root`."""
    modules = fingerprint.imported_by(code)
    now = settings.current()
    return fingerprint.of_values(
        fingerprint.of_modules(modules | {"innerbook.dark"}),
        resources.files("innerbook").joinpath("course.mplstyle").read_text(encoding="utf-8"),
        (root / "requirements.lock").read_text(encoding="utf-8"),
        sys.version_info[:2],
        now.scale,
        now.first_seed,
        data.available() if _READ_DATA & fingerprint.closure(modules) else {},
    )


def without_magics(code: str) -> str:
    """Return a cell's code as plain Python: IPython's magics become calls, and a cell magic leaves its body alone."""
    head, _, body = code.partition("\n")
    return TransformerManager().transform_cell(body if head.startswith("%%") else code)


def write_into(text: str, key: str) -> str:
    """Return a page's text with the key in its kernel's metadata; every line keeps its number.

    Raises:
        ValueError: the page's head names no kernel.
    """

    def in_one_line(block: re.Match[str]) -> str:
        kernel = yaml.safe_load(block[0])["kernelspec"]
        return f"kernelspec: {json.dumps({**kernel, 'innerbook': key})}" + "\n" * block[0].count("\n")

    text, found = re.subn(r"^kernelspec:\n(?:[ \t]+\S.*\n)+", in_one_line, text, count=1, flags=re.M)
    if not found:
        raise ValueError("expected a kernel in the page's head (kernelspec:, and below it its name); received none")
    return text
