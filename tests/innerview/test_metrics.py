import keras
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from innerview import add_noise, band_gains, feature_distance, pearson, transform_sensitivity
from innerview.metrics import blurred


def test_correlation_is_numpys_and_blind_to_brightness_and_contrast(rng: np.random.Generator) -> None:
    x, y = rng.random((2, 4, 9, 9, 1))
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(pearson(x, y), expected)
    np.testing.assert_allclose(pearson(0.1 * y + 0.7, y), 1)


def test_gains_are_those_of_detail_and_of_the_broad_pattern_and_noise_has_none(rng: np.random.Generator) -> None:
    image, noise = rng.random((2, 3, 64, 64, 3))
    both = band_gains(image / 2 + 0.3, image)
    np.testing.assert_allclose(both, 0.5)
    np.testing.assert_allclose(band_gains(noise, image)[0], 0, atol=0.05)
    # Cosines that mirror at the edges are only scaled by the blur: by 1 - d, with d of each in the detail.
    k = np.array([2, 40])
    low, high = np.cos(np.pi * k[:, None, None, None, None] * (np.arange(64)[:, None, None] + 0.5) / 64)
    weights = np.exp(-(np.arange(-8, 9) ** 2) / 8)
    d = 1 - weights @ np.cos(np.arange(-8, 9)[:, None] * np.pi * k / 64) / weights.sum()
    some, all_of_it = (np.broadcast_to(f * low + g * high, image.shape) for f, g in ((0.8, 0.3), (1, 1)))
    detail, pattern = band_gains(some, all_of_it)
    np.testing.assert_allclose(detail, np.dot(d**2, [0.8, 0.3]) / (d**2).sum())
    np.testing.assert_allclose(pattern, np.dot((1 - d) ** 2, [0.8, 0.3]) / ((1 - d) ** 2).sum())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("side", "sigma"), [(40, 2.0), (40, 0.7), (5, 2.0)])  # 5 is less than the kernel's reach
def test_the_blur_is_scipys(rng: np.random.Generator, side: int, sigma: float, dtype: str) -> None:
    images = rng.random((2, side, side + 4, 3)).astype(dtype)
    found = blurred(images, sigma)
    assert found.dtype == images.dtype
    np.testing.assert_allclose(found, gaussian_filter(images, (0, sigma, sigma, 0)), atol=1e-6)


def test_the_distance_of_images_with_noise_is_that_of_their_noise(rng: np.random.Generator) -> None:
    images = rng.random((2, 12, 12, 3), "float32")
    flat = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Rescaling(3.0, name="times3")])
    noise = np.random.default_rng(0).normal(0, 1 / 25, images.shape)
    expected = 3 * np.linalg.norm(noise.reshape(2, -1), axis=1)
    shaken = add_noise(images)
    assert shaken.dtype == np.float32
    np.testing.assert_allclose(feature_distance([flat], "times3", images, shaken), expected, rtol=1e-4)
    np.testing.assert_allclose(add_noise(images, 0.5, seed=3) - images, 0.5 * _normal(3, images.shape), atol=1e-6)


def _normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_linear_layers_tell_pictures_apart_as_they_differ(rng: np.random.Generator) -> None:
    images = rng.random((2, 12, 12, 3), "float32")
    layers = [keras.layers.Rescaling(3.0, name="first"), keras.layers.AveragePooling2D(2, name="second")]
    flat = keras.Sequential([keras.Input((12, 12, 3)), *layers])
    mean_colour = np.array([123.68, 116.779, 103.939]) / 255  # red, green, blue, as published with the weights
    x = images - mean_colour
    pooled = x.reshape(2, 6, 2, 6, 2, 3).mean(axis=(2, 4))
    far = transform_sensitivity([flat, flat], ["first", "second"], images)
    assert list(far) == ["negative", "turned", "half contrast"]
    np.testing.assert_allclose(far["negative"], np.full((2, 4), 2), rtol=1e-3)
    np.testing.assert_allclose(far["half contrast"], np.full((2, 4), 1 / 2), rtol=1e-3)
    for seen, turned in zip((x, pooled), far["turned"], strict=True):
        change = np.rot90(seen, 2, axes=(1, 2)) - seen
        expected = [np.linalg.norm(c) / np.linalg.norm(s) for c, s in zip(change, seen, strict=True)]
        np.testing.assert_allclose(turned, [*expected, *expected], rtol=1e-3)
    with pytest.raises(ValueError, match="received 'third'"):
        transform_sensitivity([flat], ["third"], images)
