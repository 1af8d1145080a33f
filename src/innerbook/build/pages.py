"""The course's pages: which there are, and what each of them holds."""

import ast
import asyncio
import functools
import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import nbformat
import sphinx_external_toc.parsing
import yaml
from myst_nb.core.read import MystMetadataParsingError, is_myst_markdown_notebook, read_myst_markdown_notebook

from innerbook.build import keys


@dataclass(eq=False)
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
    def code_cells(self) -> list[nbformat.NotebookNode]:
        """The page's code cells, in order."""
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]

    @property
    def code(self) -> str:
        """The page's code as plain Python."""
        return "\n".join(keys.without_magics(cell.source) for cell in self.code_cells)

    @property
    def networks(self) -> set[str]:
        """The networks of `innerbook.zoo` that the page trains, or reads from disk after another page."""
        return {name for cell in self.code_cells for name in re.findall(r"\bzoo\.(\w+)", cell.source)} & _trained()

    def where(self, number: int) -> str:
        """Name a code cell, counted from 1, by page, number and line."""
        cells = zip(self.notebook.cells, self.notebook.metadata.source_map, strict=True)
        line = [line for cell, line in cells if cell.cell_type == "code"][number - 1]
        return f"{self.name}.md, code cell {number} (line {line})"


@functools.cache
def _trained() -> frozenset[str]:
    """The functions of the zoo that keep what they do; read from its code, for importing it would import Keras."""
    spec = find_spec("innerbook.zoo")
    assert spec is not None and spec.origin is not None
    functions = [f for f in ast.parse(Path(spec.origin).read_text("utf-8")).body if isinstance(f, ast.FunctionDef)]
    return frozenset(f.name for f in functions if "cached(" in ast.unparse(f))


def toc_names(root: Path) -> list[str]:
    """Return the names of all pages in the table of contents, such as ``"book/report"``, in reading order."""
    return list(sphinx_external_toc.parsing.parse_toc_yaml(root / "_toc.yml"))


def chapter_numbers(root: Path) -> dict[str, int]:
    """Return the chapters' numbers, which go through all numbered parts, by the pages' names."""
    parts = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")).get("parts", [])
    names = [chapter["file"] for part in parts if part.get("numbered") for chapter in part["chapters"]]
    return {name: i for i, name in enumerate(names, 1)}


def titles(root: Path) -> dict[str, str]:
    """Return the first heading of each page, by the pages' names."""
    texts = {name: (root / f"{name}.md").read_text(encoding="utf-8-sig") for name in toc_names(root)}
    found = {name: re.search(r"^# (.+)$", text, flags=re.M) for name, text in texts.items()}
    return {name: heading[1] if heading else name for name, heading in found.items()}


def read_pages(root: Path) -> list[Page]:
    """Return the pages of the table of contents that hold code, in reading order.

    Raises:
        FileNotFoundError: the table of contents names a page that is not there.
        ValueError: a page cannot be read, say because its code is no Python, or its alt text holds a colon and no
            quotes. The message names the page.
    """
    pages = []
    for name in toc_names(root):
        path = root / f"{name}.md"
        if not path.exists():
            raise FileNotFoundError(f"_toc.yml names {name}, but there is no {name}.md")
        text = path.read_text(encoding="utf-8-sig")
        if is_myst_markdown_notebook(text):
            pages.append(Page(path, name, _notebook(name, with_key(root, name, text))))
    return pages


@functools.cache
def with_key(root: Path, name: str, text: str) -> str:
    """Return a page's text, with the page's key in its kernel's metadata if the page holds code.

    Raises:
        ValueError: the page cannot be read. The message names the page and the line.
    """
    if not is_myst_markdown_notebook(text):
        return text
    code = _python(name, text)
    try:
        return keys.write_into(text, keys.of_code(root, code))
    except ValueError as error:
        raise ValueError(f"{name}.md: {error}") from error


def _notebook(name: str, text: str) -> nbformat.NotebookNode:
    try:
        return read_myst_markdown_notebook(text, add_source_map=True)
    except MystMetadataParsingError as error:
        raise ValueError(f"{name}.md: {error}") from error


def _python(name: str, text: str) -> str:
    """Return the Python code of a page's cells."""
    notebook, lines, parts = _notebook(name, text), text.splitlines(), []
    for cell, fence in zip(notebook.cells, notebook.metadata.source_map, strict=True):
        if cell.cell_type == "code":
            try:
                parts.append(keys.without_magics(cell.source))
                ast.parse(parts[-1])
            except SyntaxError as error:
                # A cell's options stand between the fence and the first line of code.
                first = cell.source.partition("\n")[0].strip()
                before = next((i for i in range(fence, len(lines)) if lines[i].strip() == first), fence)
                line = before + (error.lineno or 1)
                raise ValueError(f"{name}.md, line {line}: {error.msg}: {(error.text or '').strip()}") from error
    return "\n".join(parts)
