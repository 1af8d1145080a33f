"""What the pages on residual networks measure beside their document: controls, and how much of an image is detail."""

from collections.abc import Sequence

import keras
import numpy as np
from scipy.ndimage import gaussian_filter

from innerview import get_activations


def band_gains(found: np.ndarray, original: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much of each original's detail, and of its broad pattern, is in the image found (rows B16, B17).

    Detail is what a Gaussian blur of 2 pixels takes away; the broad pattern is what it leaves, without the mean
    colour. Of either, 1 is all of it at full strength, and 0 none, as in noise. Images have shape
    ``(n, height, width, channels)``, the results ``(n,)``; where an original has no detail, or no pattern, they are
    NaN. ValueError if the shapes differ.
    """
    found, original = np.asarray(found, "float64"), np.asarray(original, "float64")
    if found.shape != original.shape or found.ndim != 4:
        raise ValueError(f"expected two arrays (n, height, width, channels); received {found.shape}, {original.shape}")
    broad, its_broad = (gaussian_filter(images, (0, 2, 2, 0)) for images in (found, original))
    pairs = [(found - broad, original - its_broad)]
    pairs.append((broad, its_broad - its_broad.mean(axis=(1, 2), keepdims=True)))
    sizes = [(b**2).sum(axis=(1, 2, 3)) for _, b in pairs]
    gains = [(a * b).sum(axis=(1, 2, 3)) for a, b in pairs]
    detail, pattern = (gain / np.where(size > 1e-20, size, np.nan) for gain, size in zip(gains, sizes, strict=True))
    return detail, pattern


def transform_sensitivity(
    networks: Sequence[keras.Model], layers: Sequence[str], images: np.ndarray
) -> dict[str, np.ndarray]:
    """Return how far three pictures are from each photograph by the outputs of layers (controls to rows B2 and B17).

    The pictures are its ``"negative"``, itself ``"turned"`` by 180 degrees, and itself with ``"half contrast"``.
    Negative and contrast are taken about ImageNet's mean colour. At a distance of 1 lies a plain picture of it.

    Images are in [0, 1], ``(n, height, width, 3)``. The result has distances, ``(layers, networks * n)``, by the
    names of the pictures, in the order of `innerview.invert_layer`. Errors are those of `innerview.get_activations`.
    """
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
