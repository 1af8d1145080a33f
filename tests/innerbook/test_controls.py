import keras
import numpy as np
import pytest

from innerbook.controls import band_gains, transform_sensitivity


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
    assert np.isnan(band_gains(image, 0 * image)).all()
    with pytest.raises(ValueError, match=r"received \(3, 64, 64, 3\), \(64, 64, 3\)"):
        band_gains(image, image[0])


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
