"""Public functions on whatever arrays people bring: a right value, or a ValueError or TypeError, and nothing else."""

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as some
import keras
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings

from innerview import (
    GaussianBlur,
    Monitor,
    NormalizedSGD,
    add_noise,
    binary_crossentropy_by_class,
    checks,
    deep_tanh,
    feature_distance,
    feature_extractor,
    feed_forward,
    fit_ensemble,
    fit_inputs,
    get_activations,
    invert,
    invert_layer,
    l1_distance,
    linear_decay_sgd,
    one_hidden_layer,
    pearson,
    random_start,
    resnet,
    softmax_crossentropy,
    stacked_encoders,
    stage_outputs,
    two_hidden_layers,
)

few = settings(max_examples=25, deadline=None, derandomize=True)
values = some.floats(-1e3, 1e3, width=32)
finite = arrays.arrays(
    "float32", some.tuples(some.integers(1, 3), *[some.integers(2, 6)] * 2, some.just(3)), elements=values
)
dtypes = some.one_of(arrays.scalar_dtypes(), arrays.unicode_string_dtypes(max_len=3), some.just(np.dtype(object)))
shapes = some.one_of(
    arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
    some.sampled_from([(2, 4, 4, 3), (2, 4, 4, 1), (4, 4, 3), (2, 5), (2, 1, 5), (2,), (0, 5), (0, 4, 4, 3)]),
)
odd = arrays.arrays(some.one_of(arrays.floating_dtypes(endianness="="), dtypes), shapes)


@given(odd, some.sampled_from(["float32", "float64", "int64", "uint8"]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_an_array_is_made_fit_or_refused(value: np.ndarray, dtype: str) -> None:
    try:
        made = checks.array("x", value, dtype=dtype)
    except (TypeError, ValueError) as error:
        assert str(error).startswith("x must ")
        return
    assert made.dtype == dtype and made.shape == value.shape and np.isfinite(made).all()
    np.testing.assert_allclose(made.astype("float64"), value.astype("float64"), rtol=1e-6, atol=1e-30)


@given(finite, some.floats(0.1, 10), some.floats(-5, 5))
@few
def test_correlation_is_numpys_and_knows_no_scale(x: np.ndarray, scale: float, shift: float) -> None:
    y = np.random.default_rng(0).normal(size=x.shape)
    found = pearson(x, y)
    np.testing.assert_allclose(found, pearson(y, x), atol=1e-12)
    np.testing.assert_allclose(found, pearson(scale * x.astype("float64") + shift, y), atol=1e-6)
    for one, a, b in zip(found, x.astype("float64"), y, strict=True):
        a, b = (image - image.mean(axis=(0, 1)) for image in (a, b))
        if np.isnan(one):
            assert np.abs(a).max() < 1e-3
        else:
            assert one == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-9) and abs(one) < 1 + 1e-12


@given(finite, some.integers(0, 2**32), some.floats(0, 1))
@few
def test_noise_does_not_hang_on_the_images(x: np.ndarray, seed: int, stddev: float) -> None:
    noise = add_noise(np.zeros_like(x), stddev, seed)
    np.testing.assert_array_equal(add_noise(x, stddev, seed), x + noise)


@given(finite, some.floats(0.3, 3))
@few
def test_the_blur_in_a_descent_is_scipys(x: np.ndarray, sigma: float) -> None:
    blur = GaussianBlur(keras.optimizers.SGD(), 1, sigma, sigma)
    expected = scipy.ndimage.gaussian_filter(x.astype("float64"), (0, sigma, sigma, 0), radius=1, mode="mirror")
    np.testing.assert_allclose(np.array(blur(x)), expected, rtol=1e-3, atol=1e-2)


@given(some.lists(some.integers(0, 2**31), min_size=1, max_size=3), some.lists(some.integers(1, 5), max_size=3))
@few
def test_a_start_hangs_on_its_seed_alone(seeds: list[int], shape: list[int]) -> None:
    together = random_start(seeds, shape)
    assert together.shape == (len(seeds), *shape) and together.dtype == "float32"
    np.testing.assert_array_equal(together, np.concatenate([random_start([seed], shape) for seed in seeds]))


@given(arrays.arrays("float32", (3, 4), elements=some.floats(0, 1, width=32)), some.integers(0, 3))
@few
def test_losses_are_numpys(p: np.ndarray, label: int) -> None:
    y, clipped = np.eye(4, dtype="float32")[[label] * 3], np.clip(p.astype("float64"), 1e-10, 0.9999999)
    expected = -(y * np.log(clipped) + (1 - y) * np.log(1 - clipped)).sum(axis=1)
    np.testing.assert_allclose(np.array(binary_crossentropy_by_class(y, p)), expected, rtol=2e-2, atol=1e-4)
    logits = p.astype("float64") - np.log(np.exp(p.astype("float64")).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(np.array(softmax_crossentropy(y, p)), -(y * logits).sum(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.array(l1_distance(y, p)), 0.35 * abs(y - p).sum(axis=1), rtol=1e-5)


@given(some.floats(1e-6, 1e3), some.floats(1e-6, 1e3), some.integers(1, 1_000), some.booleans())
@few
def test_a_rate_falls_from_the_first_to_the_last(rate: float, end: float, steps: int, normalized: bool) -> None:
    optimizer = linear_decay_sgd(rate, steps, end, normalized)
    assert isinstance(optimizer, NormalizedSGD) == normalized
    optimizer.build([keras.Variable(np.zeros(2))])
    for step, expected in ((0, rate), (steps, end), (2 * steps, end)):
        optimizer.iterations.assign(step)
        # The rate is a float32 sum of both ends: a small one is exact only to the larger one's rounding.
        assert float(np.array(optimizer.learning_rate)) == pytest.approx(expected, rel=1e-4, abs=1e-6 * max(rate, end))


@given(some.integers(0, 2**20), some.integers(1, 3), some.lists(some.integers(1, 4), min_size=1, max_size=3))
@settings(max_examples=5, deadline=None, derandomize=True)
def test_a_seed_decides_a_network_whatever_is_drawn_around_it(seed: int, depth: int, widths: list[int]) -> None:
    build: list[Callable[[], keras.Model]] = [
        lambda: one_hidden_layer(seed),
        lambda: two_hidden_layers(seed),
        lambda: deep_tanh(seed, depth),
        lambda: feed_forward(seed, widths),
        lambda: stacked_encoders([seed, 1], 3, widths),
    ]
    for one in build:
        first = one().get_weights()
        keras.utils.set_random_seed(7)
        for ours, again in zip(first, one().get_weights(), strict=True):
            np.testing.assert_array_equal(ours, again)


@pytest.mark.parametrize("bad", [-1, 1.5, "3", None, True, np.nan])
def test_numbers_that_are_none_are_refused_by_every_model(bad: Any) -> None:
    for build in (
        lambda: one_hidden_layer(bad),
        lambda: deep_tanh(0, depth=bad),
        lambda: two_hidden_layers(bad),
        lambda: feed_forward(0, [bad]),
        lambda: stacked_encoders([0], bad, [2]),
        lambda: stacked_encoders([0], 2, [bad]),
        lambda: resnet(10, bad, 0),
        lambda: resnet(10, 32, bad),
        lambda: random_start([bad], [2]),
        lambda: random_start([0], [bad]),
        lambda: linear_decay_sgd(0.1, bad),
    ):
        with pytest.raises((TypeError, ValueError), match="received"):
            build()


@pytest.fixture(scope="module")
def image_network() -> keras.Model:
    layers = [
        keras.layers.Conv2D(2, 2, name="conv"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(2, name="out"),
    ]
    return keras.Sequential([keras.Input((4, 4, 3)), *layers])


@pytest.fixture(scope="module")
def flat_network() -> keras.Model:
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, "softmax", name="out")])


IMAGES, FLAT, LABELS = np.full((2, 4, 4, 3), 0.5, "float32"), np.full((2, 5), 0.5, "float32"), np.array([0, 1])


def of_inputs(encoder: Any, target: Any, start: Any) -> Any:
    sgd = keras.optimizers.SGD(0.1)
    return fit_inputs(encoder, target, start, distance=l1_distance, optimizer=sgd, steps=1).images


def of_ensemble(network: Any, x: Any, y: Any) -> Any:
    settings: dict[str, Any] = {"loss": keras.losses.categorical_crossentropy, "optimizer": keras.optimizers.SGD(0.1)}
    fit_ensemble([network], x, y, **settings, steps=1, batch_size=1)
    return np.concatenate([weight.ravel() for weight in network.get_weights()])


def of_monitor(network: Any, x: Any, y: Any) -> Any:
    monitor = Monitor(x, y, 1, norms=["out"])
    monitor.attach(network, "sparse_categorical_crossentropy")
    monitor.record(0)
    return monitor.history["out gradient norm"]


# Each takes two networks, one of images and one of rows, and what people bring.
FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "get_activations": lambda images, rows, x: get_activations(images, x, "flat")["flat"],
    "get_activations of rows": lambda images, rows, x: get_activations(rows, x)["out"],
    "fit_inputs target": lambda images, rows, x: of_inputs(rows, x, FLAT),
    "fit_inputs start": lambda images, rows, x: of_inputs(rows, np.zeros((2, 3)), x),
    "invert": lambda images, rows, x: invert(rows, x, FLAT, steps=1).images,
    "invert_layer": lambda images, rows, x: invert_layer([images], "conv", x, steps=20, start=IMAGES).images,
    "fit_ensemble x": lambda images, rows, x: of_ensemble(rows, x, LABELS),
    "fit_ensemble y": lambda images, rows, x: of_ensemble(rows, FLAT, x),
    "pearson": lambda images, rows, x: pearson(x, np.arange(96.0).reshape(2, 4, 4, 3)),
    "add_noise": lambda images, rows, x: add_noise(x),
    "feature_distance": lambda images, rows, x: feature_distance([images], "conv", x, IMAGES),
}
MAY_BE_NAN = ("pearson",)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_odd_arrays_are_cast_or_refused(name: str, image_network: keras.Model, flat_network: keras.Model) -> None:
    fits = {"fit_inputs target": np.zeros((2, 3)), "fit_ensemble y": LABELS}
    rows = name in ("get_activations of rows", "fit_inputs start", "invert", "fit_ensemble x")
    good = fits.get(name, FLAT if rows else IMAGES)

    @given(some.one_of(odd, arrays.arrays(dtypes, some.just(good.shape))))
    @settings(max_examples=20, deadline=None, derandomize=True)
    def check(value: np.ndarray) -> None:
        try:
            found = FUNCTIONS[name](image_network, flat_network, value)
        except (TypeError, ValueError) as error:
            assert "received" in str(error), error
            return
        huge = value.size and np.abs(value.astype("float64")).max() > 1e15  # squares leave float32
        assert huge or name in MAY_BE_NAN or np.isfinite(found).all()

    check()
    if name in MAY_BE_NAN:
        good = np.arange(96.0).reshape(2, 4, 4, 3) ** 2
    assert np.isfinite(FUNCTIONS[name](image_network, flat_network, good)).all()


def test_odd_layers_are_named(image_network: keras.Model) -> None:
    @given(some.text(max_size=5))
    @few
    def check(name: str) -> None:
        for call in (feature_extractor, lambda model, layer: get_activations(model, IMAGES, layer)):
            if name not in ("conv", "flat", "out"):
                with pytest.raises(ValueError, match="received"):
                    call(image_network, name)

    check()
    with pytest.raises(ValueError, match="names of layers"):
        stage_outputs(image_network)


def test_a_batch_for_a_monitor_is_checked(flat_network: keras.Model) -> None:
    assert np.isfinite(of_monitor(flat_network, FLAT, LABELS)).all()
    for x, y in ((FLAT[:0], LABELS[:0]), (FLAT, LABELS[:1]), (FLAT * np.nan, LABELS)):
        with pytest.raises(ValueError, match="received"):
            of_monitor(flat_network, x, y)
