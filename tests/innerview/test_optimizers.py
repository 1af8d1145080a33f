import keras
import numpy as np
import pytest
from keras import ops

from innerview import NormalizedSGD, fit_inputs, invert, linear_decay_sgd, random_start


@pytest.mark.parametrize("normalized", [False, True])
def test_a_falling_rate_ends_where_it_should_and_stays_there(normalized: bool) -> None:
    # The gradient of |x| is 1 while x is positive, normalized or not: x moves by the sum of the rates.
    encoder = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    encoder.set_weights([np.eye(1, dtype="float32")])
    for steps, rates in (
        (10, [0.5 - 0.04 * i for i in range(10)]),
        (13, [0.5 - 0.04 * i for i in range(10)] + 3 * [0.1]),
    ):
        optimizer = linear_decay_sgd(0.5, 10, end=0.1, normalized=normalized)
        assert isinstance(optimizer, NormalizedSGD) == normalized
        found = fit_inputs(
            encoder,
            np.zeros((1, 1), "float32"),
            np.full((1, 1), 100, "float32"),
            distance=lambda target, output: ops.sum(ops.abs(target - output), axis=-1),
            optimizer=optimizer,
            steps=steps,
        )
        assert found.images[0, 0] == pytest.approx(100 - sum(rates), rel=1e-6)


def test_a_normalized_step_moves_values_by_the_rate_on_average() -> None:
    rng = np.random.default_rng(0)
    kernels = [keras.initializers.RandomNormal(stddev=0.3, seed=i) for i in range(2)]
    layers = [keras.layers.Conv2D(4, 3, 2, activation="relu", kernel_initializer=kernel) for kernel in kernels]
    encoder = keras.Sequential([keras.Input((12, 12, 3)), *layers])
    original, start = rng.random((3, 12, 12, 3), "float32"), random_start(range(3), (12, 12, 3))
    optimizer = linear_decay_sgd(0.03, 10, 0.001, normalized=True)
    found = invert(encoder, original, start, steps=1, optimizer=optimizer)
    plain = invert(encoder, original, start, steps=1, optimizer=keras.optimizers.SGD(1.0))
    moved, gradient = found.images - start, start - plain.images
    np.testing.assert_allclose(np.abs(moved).mean(axis=(1, 2, 3)), 0.03, rtol=1e-4)
    size = np.abs(gradient).mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(moved, -0.03 * gradient / size, atol=1e-5)


def test_an_input_without_a_gradient_stays_where_it_is() -> None:
    optimizer = NormalizedSGD(0.5)
    images = keras.Variable(np.ones((2, 3), "float32"))
    optimizer.apply([ops.convert_to_tensor(np.array([[0, 0, 0], [1, -1, 4]], "float32"))], [images])
    np.testing.assert_allclose(np.array(images), np.array([[1, 1, 1], [0.75, 1.25, 0]]), rtol=1e-6)
