import keras
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from innerview import GaussianBlur


@pytest.mark.parametrize(("step", "sigma"), [(0, 2.4), (15, 1.4), (30, 0.4), (99, 0.4)])
def test_the_blur_is_scipys(step: int, sigma: float) -> None:
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.iterations.assign(step)
    images = np.random.default_rng(0).random((2, 7, 9, 3), "float32")
    expected = images
    for axis in (1, 2):
        expected = gaussian_filter1d(expected, sigma, axis=axis, mode="mirror", radius=1)
    np.testing.assert_allclose(np.array(GaussianBlur(optimizer, 30)(images)), expected, atol=1e-6)


def test_its_settings_are_those_it_was_made_with() -> None:
    optimizer = keras.optimizers.SGD(0.1)
    config = GaussianBlur(optimizer, 30, begin=2.0, end=0.5).get_config()
    again = GaussianBlur(optimizer, **config)
    assert (again.steps, again.begin, again.end) == (30, 2.0, 0.5)
