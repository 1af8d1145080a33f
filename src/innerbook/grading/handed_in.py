"""What was handed in: whose it is, where it lies, and its bytes. Nothing here writes, and no link is followed."""

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from innerbook.grading.repair import read

_LARGEST = 20 * 2**20  # bytes of a notebook that is read


@dataclass(frozen=True)
class Submission:
    """A file that was handed in, whose it is, and why it cannot be graded, or ``""``."""

    student: str
    path: Path
    refused: str = ""


def find(folder: Path) -> list[Submission]:
    """Return what was handed in: each notebook in a student's folder, or beside the others; in order of names.

    A student is known by the name of the folder, or of the file. Links are not followed. A student's folder without
    a notebook, and a file of another kind, are listed too.

    Raises:
        NotADirectoryError: there is no such folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"expected a folder of submissions; received {folder}")
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__MACOSX")) or path.suffix.lower() == ".csv":
            continue
        student = unicodedata.normalize("NFC", path.name if path.is_dir() else _canvas_name(path.stem))
        if path.is_symlink():
            found.append(Submission(student, path, "link"))
        elif path.is_dir():
            inner = [Submission(student, each, "link" if each.is_symlink() else "") for each in _notebooks(path)]
            found += inner or [Submission(student, path, "no notebook")]
        else:
            found.append(Submission(student, path, "" if path.suffix.lower() == ".ipynb" else "no notebook"))
    return found


def which_homework(submissions: Sequence[Submission]) -> str:
    """Return the homework that most of these say they are of, or ``""``."""
    told = Counter[str]()
    for each in submissions:
        try:
            if not each.refused and (name := read(content_of(each.path)).homework):
                told[name] += 1
        except (ValueError, OSError):
            continue
    return told.most_common(1)[0][0] if told else ""


def content_of(path: Path) -> bytes:
    """Read a regular file, not a link.

    Raises:
        ValueError: it is something else, or too large.
        OSError: it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode) or about.st_size > _LARGEST:
            raise ValueError(f"expected a file of at most {_LARGEST // 2**20} MB; received {about.st_size} bytes")
        return file.read()


def file_name(folder: Path, each: Submission) -> str:
    """Return where a submission lies in the folder, as the tables name it."""
    return unicodedata.normalize("NFC", each.path.relative_to(folder).as_posix())


def _notebooks(folder: Path) -> Iterator[Path]:
    """Return notebooks in a student's folder, links among them, without following any."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__MACOSX")):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _notebooks(path)
        elif path.suffix.lower() == ".ipynb" or path.is_symlink():
            yield path


def _canvas_name(stem: str) -> str:
    """Return whose a file is: of Canvas' ``name_12_345_paper`` the first two, so that two papers are one student's."""
    found = re.match(r"^([^_]+_(?:LATE_)?\d+)_\d+_", stem)
    return found[1].replace("_LATE_", "_") if found else stem
