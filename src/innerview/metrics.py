"""Comparing images with images, and what layers make of them."""

from collections.abc import Sequence

import keras
import numpy as np

from innerview.activations import get_activations


def pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the correlation of each image in `x` with the one in `y`, their mean colours taken away (rows B1, B2).

    Both have shape ``(n, height, width, channels)``; the result ``(n,)``, from -1 to 1.
    """
    x, y = (images - images.mean(axis=(1, 2), keepdims=True) for images in (x, y))
    return (x * y).sum(axis=(1, 2, 3)) / np.sqrt((x**2).sum(axis=(1, 2, 3)) * (y**2).sum(axis=(1, 2, 3)))


def band_gains(found: np.ndarray, original: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much of each original's detail, and of its broad pattern, is in the image found (rows B16, B17).

    Detail is what a Gaussian blur of 2 pixels takes away; the broad pattern is what it leaves, without the mean
    colour. Of either, 1 is all of it at full strength, and 0 none, as in noise. Shapes are as in `pearson`.
    """
    broad, its_broad = blurred(found), blurred(original)
    pairs = [(found - broad, original - its_broad)]
    pairs.append((broad, its_broad - its_broad.mean(axis=(1, 2), keepdims=True)))
    detail, pattern = ((a * b).sum(axis=(1, 2, 3)) / (b**2).sum(axis=(1, 2, 3)) for a, b in pairs)
    return detail, pattern


def blurred(images: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """Return images ``(n, height, width, channels)`` after a Gaussian blur of `sigma` pixels, mirrored at the edges.

    The kernel is cut off at four standard deviations. It is computed in float64; the dtype stays.
    """
    reach = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (1, 2):
        edges = [(reach, reach) if i == axis else (0, 0) for i in range(images.ndim)]
        padded = np.pad(images, edges, mode="symmetric").astype("float64")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=axis)
        images = (windows @ kernel).astype(images.dtype)
    return images


def add_noise(images: np.ndarray, stddev: float = 1 / 25, seed: int = 0) -> np.ndarray:
    """Return document B's a': the images with a little normal noise, of standard deviation 1/25 (row B3)."""
    return images + np.random.default_rng(seed).normal(0, stddev, images.shape).astype(images.dtype)


def feature_distance(networks: Sequence[keras.Model], layer: str, images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how far apart a layer's outputs for `images` and `others` are, in the order of `invert_layer` (row B3).

    Both have shape ``(n, height, width, channels)``; the result ``(networks * n,)``.
    """

    def outputs(network: keras.Model, x: np.ndarray) -> np.ndarray:
        return get_activations(network, x, [layer])[layer].reshape(len(x), -1)

    return np.concatenate([np.linalg.norm(outputs(n, others) - outputs(n, images), axis=1) for n in networks])


def transform_sensitivity(
    networks: Sequence[keras.Model], layers: Sequence[str], images: np.ndarray
) -> dict[str, np.ndarray]:
    """Return how far three pictures are from each photograph by the outputs of layers (controls to rows B2 and B17).

    The pictures are its ``"negative"``, itself ``"turned"`` by 180 degrees, and itself with ``"half contrast"``.
    Negative and contrast are taken about ImageNet's mean colour. At a distance of 1 lies a plain picture of it.

    Images are in [0, 1], ``(n, height, width, 3)``. The result has distances, ``(layers, networks * n)``, by the
    names of the pictures, in the order of `invert_layer`.
    """
    black = np.zeros((1, 1, 3), "float32")
    mean_colour = -keras.applications.resnet.preprocess_input(black)[..., ::-1] / 255  # blue comes first there
    x = images - mean_colour
    pictures = {"negative": -x, "turned": x[:, ::-1, ::-1], "half contrast": x / 2}
    shown = mean_colour + np.concatenate([x, 0 * x, *pictures.values()])
    far = []
    for network in networks:
        outputs = get_activations(network, shown, layers)
        apart = [outputs[layer].reshape(5, len(x), -1) for layer in layers]
        far.append([np.linalg.norm(of[1:] - of[0], axis=2) for of in apart])
    plain, *others = np.array(far).transpose(2, 1, 0, 3).reshape(4, len(layers), -1)
    return {name: of / plain for name, of in zip(pictures, others, strict=True)}
