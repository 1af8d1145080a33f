"""Searches what students can open for what they must not see: lines of solutions and of hidden tests."""

import html
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from innerbook.grading.release import read_master, release

# A shorter line, such as "return x", would be found everywhere.
SHORTEST = 12
_TEXT = {".ipynb", ".html", ".htm", ".md", ".txt", ".py", ".js", ".json", ".csv", ".yaml", ".yml", ".rst", ""}


def secrets(master: Path, known: str = "") -> list[str]:
    """Return a master's lines that its release does not have: its solutions and hidden tests, without spaces.

    Lines of fewer than 12 signs are left out, and those that students see anyway: in the release, or in `known`.

    Args:
        master: ``homework/NAME/master.md``.
        known: a text, such as the book's pages.
    """
    open_ = _squeezed(known)
    seen = {_squeezed(line) for cell in release(master).cells for line in cell.source.splitlines()}
    lines = {_squeezed(line) for cell in read_master(master).cells for line in cell.source.splitlines()}
    hidden = {line for line in lines - seen if len(line) >= SHORTEST and not line.startswith("###")}
    return sorted(line for line in hidden if line not in open_)


def leaks(place: Path, secret: Sequence[str]) -> list[tuple[str, str]]:
    """Return where a file, an archive, or a folder with all in it, shows a secret line: (file, line) each.

    Notebooks are read cell by cell, HTML without its tags, so that colours and escapes hide nothing. Archives (tar,
    zip and wheels) are opened.
    """
    return [(name, line) for name, text in _texts(place) for line in secret if line in text]


def _texts(place: Path) -> Iterator[tuple[str, str]]:
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    for path in files:
        if not path.is_file():
            continue
        if path.suffix in (".tar", ".tgz", ".gz") and tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                for member in archive:
                    file = archive.extractfile(member)
                    if file and Path(member.name).suffix in _TEXT:
                        yield f"{path}:{member.name}", _plain(member.name, file.read())
        elif path.suffix in (".zip", ".whl"):
            with zipfile.ZipFile(path) as packed:
                for name in packed.namelist():
                    if Path(name).suffix in _TEXT:
                        yield f"{path}:{name}", _plain(name, packed.read(name))
        elif path.suffix in _TEXT:
            yield str(path), _plain(path.name, path.read_bytes())


def _plain(name: str, content: bytes) -> str:
    text = content.decode("utf-8", errors="replace")
    if name.endswith(".ipynb"):
        text = "\n".join(_strings(json.loads(text)))
    elif name.endswith((".html", ".htm")):
        text = html.unescape(re.sub(r"<[^>]*>", "", text))
    elif name.endswith((".js", ".json")):
        text = text.replace('\\"', '"').replace("\\n", "\n")
    return _squeezed(text)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        joined = all(isinstance(each, str) for each in value)
        yield from ["".join(value)] if joined else (text for each in value for text in _strings(each))


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)
