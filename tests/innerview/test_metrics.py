import keras
import numpy as np

from innerview import add_noise, feature_distance, pearson


def test_correlation_is_numpys_and_blind_to_brightness_and_contrast(rng: np.random.Generator) -> None:
    x, y = rng.random((2, 4, 9, 9, 1))
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(pearson(x, y), expected)
    np.testing.assert_allclose(pearson(0.1 * y + 0.7, y), 1)


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
