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
    x, y = _pair(x, y)
    x, y = (images - images.mean(axis=(1, 2), keepdims=True) for images in (x, y))
    lengths = np.sqrt((x**2).sum(axis=(1, 2, 3)) * (y**2).sum(axis=(1, 2, 3)))
    rounding = 1e-12 * x[0].size  # what is left of one colour without its mean
    return (x * y).sum(axis=(1, 2, 3)) / np.where(lengths > rounding, lengths, np.nan)


def _pair(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = checks.array("images", x, (None,) * 4, "float64")
    return x, checks.array("the other images", y, x.shape, "float64")


def band_gains(found: np.ndarray, original: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much of each original's detail, and of its broad pattern, is in the image found (rows B16, B17).

    Detail is what a Gaussian blur of 2 pixels takes away; the broad pattern is what it leaves, without the mean
    colour. Of either, 1 is all of it at full strength, and 0 none, as in noise. Shapes and errors are as in `pearson`;
    where an original has no detail, or no pattern, the result is NaN.

    Example:
        >>> original = random_start([0], [16, 16, 3])
        >>> detail, pattern = band_gains(original / 2, original)
        >>> detail.round(3), pattern.round(3)
        (array([0.5]), array([0.5]))
    """
    found, original = _pair(found, original)
    broad, its_broad = blurred(found), blurred(original)
    pairs = [(found - broad, original - its_broad)]
    pairs.append((broad, its_broad - its_broad.mean(axis=(1, 2), keepdims=True)))
    sizes = [(b**2).sum(axis=(1, 2, 3)) for _, b in pairs]
    gains = [(a * b).sum(axis=(1, 2, 3)) for a, b in pairs]
    detail, pattern = (gain / np.where(size > 1e-20, size, np.nan) for gain, size in zip(gains, sizes, strict=True))
    return detail, pattern


def blurred(images: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """Return images ``(n, height, width, channels)`` after a Gaussian blur of `sigma` pixels, mirrored at the edges.

    The kernel is cut off at four standard deviations. It is computed in float64; a floating dtype stays. ValueError or
    TypeError if they are no images, or `sigma` is not above 0.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0; received {sigma}")
    floats = (
        np.result_type(np.asarray(images).dtype, np.float16) if np.asarray(images).dtype.kind in "biuf" else "float64"
    )
    images = checks.array("images", images, (None,) * 4, str(floats))
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
    """Return document B's a': the images with a little normal noise, of standard deviation 1/25 (row B3).

    Images are of a floating dtype, which stays. TypeError if they are of whole numbers, which such noise would leave as
    they are.
    """
    if not np.issubdtype(np.asarray(images).dtype, np.floating):
        raise TypeError(f"expected images of floats, such as in [0, 1]; received {np.asarray(images).dtype}")
    images = checks.array("images", images, dtype=images.dtype.name)
    return images + np.random.default_rng(seed).normal(0, stddev, images.shape).astype(images.dtype)


def feature_distance(networks: Sequence[keras.Model], layer: str, images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how far apart a layer's outputs for `images` and `others` are, in the order of `invert_layer` (row B3).

    Both have shape ``(n, height, width, channels)``; the result ``(networks * n,)``. Errors are those of
    `get_activations`; ValueError, too, if there are no networks or the images differ in number.
    """
    networks = checks.networks(networks)
    if np.shape(images)[:1] != np.shape(others)[:1]:
        told = f"shapes {np.shape(images)} and {np.shape(others)}"
        raise ValueError(f"expected as many images as others; received {told}")

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
    names of the pictures, in the order of `invert_layer`. Errors are those of `get_activations`; ValueError, too, if
    there are no networks or layers, or if the images have other than three channels.
    """
    networks = checks.networks(networks)
    if not len(layers):
        raise ValueError("expected names of layers; received none")
    images = checks.array("images", images, (None, None, None, 3))
    black = np.zeros((1, 1, 3), "float32")
    prepared = keras.applications.resnet.preprocess_input(black, data_format="channels_last")
    mean_colour = -prepared[..., ::-1] / 255  # blue comes first there
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
