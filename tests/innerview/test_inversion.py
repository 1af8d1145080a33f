from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from innerview import (
    GaussianBlur,
    InversionResult,
    feature_distance,
    feature_extractor,
    fit_inputs,
    invert,
    invert_layer,
    linear_decay_sgd,
    random_start,
    stacked_encoders,
)


def squared(target: Any, output: Any) -> Any:
    return ops.sum(ops.square(output - target), axis=1)


def linear(matrix: np.ndarray) -> keras.Model:
    layer = keras.layers.Dense(matrix.shape[1], use_bias=False, dtype=matrix.dtype.name)
    model = keras.Sequential([keras.Input((len(matrix),), dtype=matrix.dtype.name), layer])
    model.set_weights([matrix])
    return model


@pytest.mark.usefixtures("float64")
def test_descent_follows_its_closed_form(rng: np.random.Generator) -> None:
    # On |xA - b|^2, gradient descent shrinks the error by (1 - 2 rate s^2) along each singular axis.
    matrix = rng.normal(size=(5, 5))
    goal = rng.normal(size=(3, 5))
    start = np.zeros((3, 5))
    axes, stretch, _ = np.linalg.svd(matrix)
    shrink = (1 - 2 * 0.01 * stretch**2) ** 40
    expected = goal + ((start - goal) @ axes * shrink) @ axes.T

    descent = fit_inputs(
        linear(matrix), goal @ matrix, start, distance=squared, optimizer=keras.optimizers.SGD(0.01), steps=40
    )
    assert descent.images.dtype == np.float64
    np.testing.assert_allclose(descent.images, expected, rtol=1e-6)


@pytest.mark.usefixtures("float64")
def test_one_step_against_finite_differences(rng: np.random.Generator) -> None:
    encoder = keras.Sequential([keras.Input((6,), dtype="float64"), keras.layers.Dense(4, "tanh", dtype="float64")])
    start, target = rng.normal(size=(2, 6)), rng.normal(size=(2, 4))
    kernel, bias = encoder.get_weights()

    def loss(images: np.ndarray) -> float:
        return float(((np.tanh(images @ kernel + bias) - target) ** 2).sum())

    slope, h = np.zeros_like(start), 1e-5
    for index in np.ndindex(start.shape):
        step = np.zeros_like(start)
        step[index] = h
        slope[index] = (loss(start + step) - loss(start - step)) / (2 * h)

    descent = fit_inputs(encoder, target, start, distance=squared, optimizer=keras.optimizers.SGD(1.0), steps=1)
    # Keras' products on JAX are in float32, whatever it is asked for.
    tolerance = 1e-5 if keras.backend.backend() == "jax" else 1e-6
    np.testing.assert_allclose(start - descent.images, slope, atol=tolerance)


def test_many_targets_do_not_mix(rng: np.random.Generator) -> None:
    encoder = linear(rng.normal(size=(5, 4)).astype("float32"))
    start, target = rng.normal(size=(3, 5)).astype("float32"), rng.normal(size=(3, 4)).astype("float32")

    def run(rows: slice) -> InversionResult:
        return fit_inputs(
            encoder,
            target[rows],
            start[rows],
            distance=squared,
            optimizer=keras.optimizers.Adam(0.05),
            steps=30,
            log_every=10,
        )

    batch = run(slice(None))
    for i in range(3):
        solo = run(slice(i, i + 1))
        np.testing.assert_allclose(solo.images[0], batch.images[i], atol=1e-5)
        np.testing.assert_allclose(solo.distances[:, 0], batch.distances[:, i], rtol=1e-4)


def test_penalty_has_its_closed_form(rng: np.random.Generator) -> None:
    # With a target that is already met, only the penalty moves the image: x <- x (1 - 2 rate lambda).
    encoder = linear(np.zeros((3, 2), "float32"))
    start = rng.normal(size=(2, 3)).astype("float32")
    descent = fit_inputs(
        encoder,
        np.zeros((2, 2), "float32"),
        start,
        distance=squared,
        optimizer=keras.optimizers.SGD(0.1),
        steps=20,
        regularizer=keras.regularizers.L2(0.25),
    )
    np.testing.assert_allclose(descent.images, start * (1 - 2 * 0.1 * 0.25) ** 20, rtol=1e-4)


def test_constraint_holds_after_each_step() -> None:
    encoder = linear(np.eye(2, dtype="float32"))
    target = np.array([[-1.0, 1.0]], "float32")
    descent = fit_inputs(
        encoder,
        target,
        np.ones((1, 2), "float32"),
        distance=squared,
        optimizer=keras.optimizers.SGD(0.1),
        steps=50,
        constraint=keras.constraints.NonNeg(),
    )
    np.testing.assert_allclose(descent.images, [[0, 1]], atol=1e-4)


def test_the_record_begins_at_the_start_and_ends_at_the_end(rng: np.random.Generator) -> None:
    matrix = rng.normal(size=(4, 4)).astype("float32")
    start, target = np.zeros((2, 4), "float32"), rng.normal(size=(2, 4)).astype("float32")
    descent = fit_inputs(
        linear(matrix),
        target,
        start,
        distance=squared,
        optimizer=keras.optimizers.SGD(0.01),
        steps=30,
        log_every=10,
    )
    assert descent.steps.tolist() == [0, 10, 20, 30]
    np.testing.assert_allclose(descent.distances[0], (target**2).sum(axis=1), rtol=1e-5)
    shorter = fit_inputs(
        linear(matrix), target, start, distance=squared, optimizer=keras.optimizers.SGD(0.01), steps=20
    )
    between = ((shorter.images @ matrix - target) ** 2).sum(axis=1)
    np.testing.assert_allclose(descent.distances[2], between, rtol=1e-4)
    np.testing.assert_allclose(descent.distances[-1], ((descent.images @ matrix - target) ** 2).sum(axis=1), rtol=1e-4)


def test_the_encoder_and_the_start_are_left_as_they_were(rng: np.random.Generator) -> None:
    encoder = linear(rng.normal(size=(3, 3)).astype("float32"))
    before, start = encoder.get_weights()[0].copy(), np.zeros((1, 3), "float32")
    fit_inputs(
        encoder,
        np.ones((1, 3), "float32"),
        start,
        distance=squared,
        optimizer=keras.optimizers.SGD(0.1),
        steps=5,
    )
    np.testing.assert_array_equal(encoder.get_weights()[0], before)
    assert encoder.trainable and len(encoder.trainable_variables) == 1
    assert not start.any()


def test_dropout_is_off_during_the_descent() -> None:
    encoder = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.9)])
    goal = np.ones((1, 3), "float32")
    descent = fit_inputs(
        encoder,
        goal,
        np.zeros((1, 3), "float32"),
        distance=squared,
        optimizer=keras.optimizers.SGD(0.25),
        steps=30,
    )
    np.testing.assert_allclose(descent.images, goal, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1; received 0"),
        ({"steps": 10, "log_every": 3}, "received 10 and 3"),
        ({"start": np.zeros((2, 4), "float32")}, r"start must have shape \(any, 3\); received \(2, 4\)"),
        ({"original": np.zeros((2, 4), "float32")}, r"original must have shape \(2, 3\); received \(2, 4\)"),
        ({"target": np.zeros((1, 3), "float32")}, r"target must have shape \(2, 3\); received \(1, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "target": np.zeros((2, 3), "float32"),
        "start": np.zeros((2, 3), "float32"),
        "distance": squared,
        "optimizer": keras.optimizers.SGD(0.1),
        "steps": 10,
    }
    with pytest.raises(ValueError, match=message):
        fit_inputs(linear(np.eye(3, dtype="float32")), **{**arguments, **change})


def test_distances_of_inputs_and_outputs_are_recorded(rng: np.random.Generator) -> None:
    matrix = rng.normal(size=(4, 6)).astype("float32")
    original, start = rng.normal(size=(2, 3, 4)).astype("float32")
    descent = invert(linear(matrix), original, start, steps=20, log_every=10)
    assert descent.m_i.shape == descent.m_g.shape == descent.distances.shape == (3, 3)
    for row, images in ((0, start), (-1, descent.images)):
        error = images - original
        np.testing.assert_allclose(descent.m_i[row], np.linalg.norm(error, axis=1), rtol=1e-5)
        np.testing.assert_allclose(descent.m_g[row], np.linalg.norm(error @ matrix, axis=1), rtol=1e-4)
        np.testing.assert_allclose(descent.distances[row], 0.35 * np.abs(error @ matrix).sum(axis=1), rtol=1e-4)


@pytest.mark.usefixtures("float64")
def test_square_layers_are_inverted_to_their_closed_form(rng: np.random.Generator) -> None:
    # The document's own case in small, with biases, against the inverse layer by layer.
    encoder = stacked_encoders([4, 11], 4, [4, 4], dtype="float64")  # condition numbers of about 7
    original = rng.uniform(size=(3, 2, 4))
    target = encoder.predict(original, verbose=0)
    exact = target
    weights = encoder.get_weights()
    for kernel, bias in ((weights[2], weights[3]), (weights[0], weights[1])):
        exact = np.einsum("bno,noi->bni", exact - bias, np.linalg.inv(kernel))
    np.testing.assert_allclose(exact, original, atol=1e-9)

    steps = 3_000
    found = invert(
        encoder,
        original,
        np.zeros_like(original),
        distance=lambda target, output: ops.sum(ops.square(target - output), axis=-1),
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.PolynomialDecay(0.05, steps, 1e-5)),
        steps=steps,
    )
    np.testing.assert_allclose(found.images, exact, atol=1e-3)


def test_the_start_is_noise_of_the_documents_kind() -> None:
    noise = random_start([0, 7], (100, 200))
    assert noise.shape == (2, 100, 200) and noise.dtype == np.float32
    assert noise.mean() == pytest.approx(0.7, abs=0.001) and noise.std() == pytest.approx(0.05, rel=0.02)
    np.testing.assert_array_equal(random_start([7], (100, 200))[0], noise[1])


def convolution(seed: int) -> keras.Model:
    def drawn(draw: int) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(stddev=0.3, seed=10 * seed + draw)

    names = ["first", "second"]
    layers = [
        keras.layers.Conv2D(4, 3, strides=2, activation="relu", kernel_initializer=drawn(i), name=name)
        for i, name in enumerate(names)
    ]
    return keras.Sequential([keras.Input((12, 12, 3)), *layers])


def copied(original: np.ndarray, start: np.ndarray, steps: int, seed: int = 0, every: int = 5) -> InversionResult:
    optimizer = linear_decay_sgd(0.03, steps, 0.001, normalized=True)
    return invert(
        convolution(seed),
        original,
        start,
        steps=steps,
        optimizer=optimizer,
        constraint=GaussianBlur(optimizer, steps),
        log_every=every,
    )


def test_images_through_convolutions_go_alone_as_in_a_batch_and_again_as_before(rng: np.random.Generator) -> None:
    original, start = rng.random((3, 12, 12, 3), "float32"), random_start(range(3), (12, 12, 3))
    batch = copied(original, start, 100)
    assert batch.m_g.shape == batch.m_i.shape == (21, 3)
    together = copied(original, start, 20)
    for i in range(3):
        alone = copied(original[i : i + 1], start[i : i + 1], 20)
        np.testing.assert_allclose(together.images[i], alone.images[0], atol=1e-4)
    again = copied(original, start, 100)
    np.testing.assert_array_equal(again.images, batch.images)
    far = np.linalg.norm((original - batch.images).reshape(3, -1), axis=1)
    np.testing.assert_allclose(batch.m_i[-1], far, rtol=1e-5)


def test_copies_through_networks_are_those_through_each_alone(rng: np.random.Generator) -> None:
    images, start = rng.random((2, 12, 12, 3), "float32"), random_start(range(4), (12, 12, 3))
    networks = [convolution(0), convolution(1)]
    both = invert_layer(networks, "second", images, steps=20, start=start, blurred=True)
    assert both.m_i.shape == (21, 4) and both.images.shape == (4, 12, 12, 3)
    np.testing.assert_allclose(
        both.m_i[0], np.linalg.norm((np.tile(images, (2, 1, 1, 1)) - start).reshape(4, -1), axis=1)
    )
    for seed, part in enumerate((slice(0, 2), slice(2, 4))):
        alone = copied(images, start[part], 20, seed, every=1)
        np.testing.assert_array_equal(both.steps, alone.steps)
        np.testing.assert_allclose(both.images[part], alone.images, atol=1e-4)
        for name in ("distances", "m_g", "m_i"):
            np.testing.assert_allclose(getattr(both, name)[:, part], getattr(alone, name), rtol=1e-3)
    far = feature_distance(networks, "second", images, both.images[2:])
    np.testing.assert_allclose(far[2:], both.m_g[-1, 2:], rtol=1e-4)


def test_each_network_may_have_images_of_its_own(rng: np.random.Generator) -> None:
    images, start = rng.random((2, 3, 12, 12, 3), "float32"), random_start(range(6), (12, 12, 3))
    networks = [convolution(0), convolution(1)]
    both = invert_layer(networks, "second", images, steps=20, start=start)
    far = feature_distance(networks, "second", images, both.images.reshape(images.shape))
    np.testing.assert_allclose(far, both.m_g[-1], rtol=1e-4)
    for i, part in enumerate((slice(0, 3), slice(3, 6))):
        alone = invert_layer(networks[i : i + 1], "second", images[i], steps=20, start=start[part])
        np.testing.assert_allclose(both.images[part], alone.images, atol=1e-4)
        np.testing.assert_allclose(both.m_i[:, part], alone.m_i, rtol=1e-3)
    with pytest.raises(ValueError, match=r"images must have shape \(2, any, 12, 12, 3\); received \(1, 3, 12, 12, 3\)"):
        invert_layer(networks, "second", images[:1], steps=20, start=start)


def test_one_start_serves_all_networks(rng: np.random.Generator) -> None:
    images, start = rng.random((2, 12, 12, 3), "float32"), random_start(range(2), (12, 12, 3))
    networks = [convolution(0), convolution(1)]
    one = invert_layer(networks, "second", images, steps=20, start=start)
    each = invert_layer(networks, "second", images, steps=20, start=np.tile(start, (2, 1, 1, 1)))
    np.testing.assert_array_equal(one.images, each.images)


def test_what_does_not_fit_several_networks_is_refused() -> None:
    images = np.zeros((2, 12, 12, 3), "float32")
    networks = [convolution(0), convolution(1)]
    with pytest.raises(ValueError, match="a multiple of 20 steps; received 30"):
        invert_layer(networks, "second", images, steps=30, start=images)
    with pytest.raises(ValueError, match="a list of networks, at least one; received none"):
        invert_layer([], "second", images, steps=20, start=images)
    with pytest.raises(ValueError, match=r"expected 2 x 2 starts, or 2; received 3"):
        invert_layer(networks, "second", images, steps=20, start=np.zeros((3, 12, 12, 3), "float32"))
    with pytest.raises(ValueError, match="received 'third'"):
        invert_layer(networks, "third", images, steps=20, start=images)
    wider = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Conv2D(5, 3, name="second")])
    with pytest.raises(ValueError, match="networks of one architecture"):
        invert_layer([networks[0], wider], "second", images, steps=20, start=images)


class Break(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        raise RuntimeError("broken")


def partly_frozen() -> keras.Model:
    """A network with frozen and other layers, some in a network inside it, one of them in two."""
    images = keras.Input((12, 12, 3))
    shared = keras.layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((5, 5, 4)), shared, keras.layers.Dense(4, name="bound")], name="inner")
    other = keras.Sequential([keras.Input((5, 5, 4)), shared], name="other")
    x = keras.layers.Conv2D(4, 3, 2, name="conv")(images)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dense(4, name="single")(other(inner(x)))
    network = keras.Model(images, keras.layers.Dense(2, name="last")(x))
    for name in ("norm", "other"):
        network.get_layer(name).trainable = False
    inner.get_layer("bound").trainable = False
    shared.trainable = True
    network.get_layer("single").kernel.trainable = False
    return network


def flags(network: keras.Model) -> list[tuple[str, bool]]:
    parts = [*network._flatten_layers(), *network.variables]
    return [(part.name, part.trainable) for part in parts]


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_frozen_and_what_is_not_is_left_as_it_was(whole: bool) -> None:
    images = np.random.default_rng(0).random((1, 12, 12, 3), "float32")
    network = partly_frozen()
    encoder = network if whole else feature_extractor(network, "single")
    before, weights = flags(network), network.get_weights()
    assert {flag for _, flag in before} == {True, False}

    def broken(target: Any, outputs: Any) -> Any:
        raise RuntimeError("broken")

    def fit(**changes: Any) -> None:
        settings = {"steps": 1, "distance": lambda a, b: ops.sum(ops.abs(a - b), axis=(1, 2, 3))}
        sgd = keras.optimizers.SGD(0.1)
        fit_inputs(encoder, encoder.predict(images, verbose=0), 0 * images, **{"optimizer": sgd, **settings, **changes})

    def copy(**changes: Any) -> None:
        layer = "last" if whole else "single"
        invert_layer([network, partly_frozen()], layer, images, steps=20, start=0 * images, **changes)

    def fails(run: Callable[..., None], **changes: Any) -> None:
        with pytest.raises(RuntimeError, match="broken"):
            run(**changes)

    for run in (
        fit,
        copy,
        lambda: fails(fit, callbacks=[Break()]),
        lambda: fails(fit, distance=broken),
        lambda: fails(copy, callbacks=[Break()]),
    ):
        run()
        assert flags(network) == before
        for now, then in zip(network.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(now, then)


class SeenModel(keras.callbacks.Callback):
    jit_compile: bool | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        assert self.model is not None
        self.jit_compile = self.model.jit_compile


def test_xla_is_for_one_image_through_several_dense_networks() -> None:
    convolution = keras.Sequential([keras.Input((6, 6, 3)), keras.Sequential([keras.layers.Conv2D(2, 3)])])
    inside = keras.Sequential([keras.Input((6, 6, 3)), convolution])
    encoders = [
        stacked_encoders([0, 1], 4, [3]),
        stacked_encoders([0, 1], 4, [3]),
        stacked_encoders([0], 4, [3]),
        inside,
    ]
    seen = []
    for encoder, n in zip(encoders, (1, 2, 1, 1), strict=True):
        seen.append(SeenModel())
        images = np.zeros((n, *encoder.input_shape[1:]), "float32")
        invert(encoder, images, images, steps=1, callbacks=seen[-1:])
    on_jax = keras.backend.backend() == "jax"  # which compiles by XLA or not at all
    assert [one.jit_compile for one in seen] == [True, on_jax, on_jax, on_jax]
