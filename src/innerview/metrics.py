"""Comparing images with images, and what layers make of them."""

from collections.abc import Sequence

import keras
import numpy as np

from innerview import checks
from innerview.activations import get_activations


def pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the correlation of each image in `x` with the one in `y`, their mean colours taken away (rows B1, B2).

    Both have shape ``(n, height, width, channels)``; the result, float64 ``(n,)``, is from -1 to 1, and NaN where one
    image is of a single colour. ValueError or TypeError if they are no images, or differ in shape.

    Example:
        >>> x = np.arange(12.0).reshape(1, 2, 2, 3)
        >>> pearson(x, 5 - 2 * x)
        array([-1.])
    """
    x = checks.array("images", x, (None,) * 4, "float64")
    y = checks.array("the other images", y, x.shape, "float64")
    x, y = (images - images.mean(axis=(1, 2), keepdims=True) for images in (x, y))
    lengths = np.sqrt((x**2).sum(axis=(1, 2, 3)) * (y**2).sum(axis=(1, 2, 3)))
    rounding = 1e-12 * x[0].size  # what is left of one colour without its mean
    return (x * y).sum(axis=(1, 2, 3)) / np.where(lengths > rounding, lengths, np.nan)


def add_noise(images: np.ndarray, stddev: float = 1 / 25, seed: int = 0) -> np.ndarray:
    """Return document B's a': the images with a little normal noise, of standard deviation 1/25 (row B3).

    Images are of a floating dtype, which stays. TypeError if they are of whole numbers, which it would not move.
    """
    if not np.issubdtype(np.asarray(images).dtype, np.floating):
        raise TypeError(f"expected images of floats, such as in [0, 1]; received {np.asarray(images).dtype}")
    images = checks.array("images", images, dtype=images.dtype.name)
    return images + np.random.default_rng(seed).normal(0, stddev, images.shape).astype(images.dtype)


def feature_distance(networks: Sequence[keras.Model], layer: str, images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how far apart a layer's outputs for `images` and `others` are, in the order of `invert_layer` (row B3).

    Both have shape ``(n, height, width, channels)``, or ``(networks, n, height, width, channels)``, each network's own;
    the result ``(networks * n,)``. Errors are those of `get_activations`, also if the images differ in number.
    """
    networks = checks.networks(networks)
    given = networks[0].inputs[0]
    pairs = [checks.of_each(len(networks), "images", x, given.shape[1:], given.dtype) for x in (images, others)]
    if pairs[0].shape != pairs[1].shape:
        raise ValueError(f"expected as many images as others; received {np.shape(images)} and {np.shape(others)}")

    def outputs(network: keras.Model, x: np.ndarray) -> np.ndarray:
        return get_activations(network, x, [layer])[layer].reshape(len(x), -1)

    apart = [np.linalg.norm(outputs(n, y) - outputs(n, x), axis=1) for n, x, y in zip(networks, *pairs, strict=True)]
    return np.concatenate(apart)
