from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from scipy.ndimage import gaussian_filter1d

from innerview import inversion, models


def squared(target: Any, output: Any) -> Any:
    return ops.sum(ops.square(output - target), axis=1)


def linear(matrix: np.ndarray) -> keras.Model:
    layer = keras.layers.Dense(matrix.shape[1], use_bias=False, dtype=matrix.dtype.name)
    model = keras.Sequential([keras.Input((len(matrix),), dtype=matrix.dtype.name), layer])
    model.set_weights([matrix])
    return model


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_descent_follows_its_closed_form(rng: np.random.Generator) -> None:
    # On |xA - b|^2, gradient descent shrinks the error by (1 - 2 rate s^2) along each singular axis.
    matrix = rng.normal(size=(5, 5))
    goal = rng.normal(size=(3, 5))
    start = np.zeros((3, 5))
    axes, stretch, _ = np.linalg.svd(matrix)
    shrink = (1 - 2 * 0.01 * stretch**2) ** 40
    expected = goal + ((start - goal) @ axes * shrink) @ axes.T

    descent = inversion.match(
        linear(matrix), goal @ matrix, start, distance=squared, optimizer=keras.optimizers.SGD(0.01), steps=40
    )
    assert descent.images.dtype == np.float64
    np.testing.assert_allclose(descent.images, expected, rtol=1e-6)


def test_one_step_against_finite_differences(rng: np.random.Generator) -> None:
    encoder = keras.Sequential([keras.Input((6,), dtype="float64"), keras.layers.Dense(4, "tanh", dtype="float64")])
    start, target = rng.normal(size=(2, 6)), rng.normal(size=(2, 4))

    def loss(images: np.ndarray) -> float:
        return float(ops.sum(squared(target, encoder(images))))

    slope, h = np.zeros_like(start), 1e-5
    for index in np.ndindex(start.shape):
        step = np.zeros_like(start)
        step[index] = h
        slope[index] = (loss(start + step) - loss(start - step)) / (2 * h)

    descent = inversion.match(encoder, target, start, distance=squared, optimizer=keras.optimizers.SGD(1.0), steps=1)
    np.testing.assert_allclose(start - descent.images, slope, atol=1e-6)


def test_many_targets_do_not_mix(rng: np.random.Generator) -> None:
    encoder = linear(rng.normal(size=(5, 4)).astype("float32"))
    start, target = rng.normal(size=(3, 5)).astype("float32"), rng.normal(size=(3, 4)).astype("float32")

    def run(rows: slice) -> inversion.Descent:
        return inversion.match(
            encoder,
            target[rows],
            start[rows],
            distance=squared,
            optimizer=keras.optimizers.Adam(0.05),
            steps=30,
            record_every=10,
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
    descent = inversion.match(
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
    descent = inversion.match(
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
    descent = inversion.match(
        linear(matrix),
        target,
        start,
        distance=squared,
        optimizer=keras.optimizers.SGD(0.01),
        steps=30,
        record_every=10,
    )
    assert descent.steps.tolist() == [0, 10, 20, 30]
    np.testing.assert_allclose(descent.distances[0], (target**2).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(descent.distances[-1], ((descent.images @ matrix - target) ** 2).sum(axis=1), rtol=1e-4)


def test_the_encoder_and_the_start_are_left_as_they_were(rng: np.random.Generator) -> None:
    encoder = linear(rng.normal(size=(3, 3)).astype("float32"))
    before, start = encoder.get_weights()[0].copy(), np.zeros((1, 3), "float32")
    inversion.match(
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
    descent = inversion.match(
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
        ({"steps": 0}, "steps must be a positive multiple"),
        ({"steps": 10, "record_every": 3}, "received 10 and 3"),
        ({"start": np.zeros((2, 4), "float32")}, r"start must have shape \(2, 3\); received \(2, 4\)"),
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
        inversion.match(linear(np.eye(3, dtype="float32")), **{**arguments, **change})


def test_distances_of_inputs_and_outputs_are_recorded(rng: np.random.Generator) -> None:
    matrix = rng.normal(size=(4, 6)).astype("float32")
    original, start = rng.normal(size=(2, 3, 4)).astype("float32")
    descent = inversion.recover(linear(matrix), original, start, steps=20, record_every=10)
    assert descent.m_i.shape == descent.m_g.shape == descent.distances.shape == (3, 3)
    for row, images in ((0, start), (-1, descent.images)):
        error = images - original
        np.testing.assert_allclose(descent.m_i[row], np.linalg.norm(error, axis=1), rtol=1e-5)
        np.testing.assert_allclose(descent.m_g[row], np.linalg.norm(error @ matrix, axis=1), rtol=1e-4)
        np.testing.assert_allclose(descent.distances[row], 0.35 * np.abs(error @ matrix).sum(axis=1), rtol=1e-4)


def test_square_layers_are_inverted_to_their_closed_form(rng: np.random.Generator) -> None:
    # The document's own case in small, with biases, against the inverse layer by layer.
    encoder = models.dense_encoders([4, 11], 4, [4, 4], dtype="float64")  # condition numbers of about 7
    original = rng.uniform(size=(3, 2, 4))
    target = encoder.predict(original, verbose=0)
    exact = target
    weights = encoder.get_weights()
    for kernel, bias in ((weights[2], weights[3]), (weights[0], weights[1])):
        exact = np.einsum("bno,noi->bni", exact - bias, np.linalg.inv(kernel))
    np.testing.assert_allclose(exact, original, atol=1e-9)

    steps = 3_000
    found = inversion.recover(
        encoder,
        original,
        np.zeros_like(original),
        distance=lambda target, output: ops.sum(ops.square(target - output), axis=-1),
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.PolynomialDecay(0.05, steps, 1e-5)),
        steps=steps,
    )
    np.testing.assert_allclose(found.images, exact, atol=1e-3)


def test_a_falling_rate_ends_where_it_should() -> None:
    # The gradient of |x| is 1 while x is positive: x moves by the sum of the rates.
    encoder = linear(np.eye(1, dtype="float32"))
    found = inversion.match(
        encoder,
        np.zeros((1, 1), "float32"),
        np.full((1, 1), 100, "float32"),
        distance=lambda target, output: ops.sum(ops.abs(target - output), axis=-1),
        optimizer=inversion.falling(0.5, 10, end=0.1),
        steps=10,
    )
    assert found.images[0, 0] == pytest.approx(100 - sum(0.5 - 0.04 * i for i in range(10)), rel=1e-6)


def test_the_start_is_noise_of_the_documents_kind() -> None:
    noise = inversion.noise([0, 7], (100, 200))
    assert noise.shape == (2, 100, 200) and noise.dtype == np.float32
    assert noise.mean() == pytest.approx(0.7, abs=0.001) and noise.std() == pytest.approx(0.05, rel=0.02)
    np.testing.assert_array_equal(inversion.noise([7], (100, 200))[0], noise[1])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_descent_in_pieces_is_the_descent_and_goes_on_where_it_was_cut_off(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, momentum: float
) -> None:
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path))
    matrix, (original, start) = rng.normal(size=(5, 5)), rng.normal(size=(2, 3, 5))

    def run() -> inversion.Descent:
        rate = keras.optimizers.schedules.PolynomialDecay(0.01, 60, 1e-4)
        optimizer = keras.optimizers.SGD(rate, momentum=momentum)
        return inversion.recover(linear(matrix), original, start, optimizer=optimizer, steps=60, record_every=10)

    whole = run()
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(inversion, "_PIECE", 20)
    kept = inversion.kept_on_disk

    def cut_off(*arguments: Any) -> Any:
        if len(list(tmp_path.glob("descents/*.npz"))) == 2:
            raise KeyboardInterrupt
        return kept(*arguments)

    monkeypatch.setattr(inversion, "kept_on_disk", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.setattr(inversion, "kept_on_disk", kept)
    first = sorted(tmp_path.glob("descents/*.npz"))
    times = [path.stat().st_mtime_ns for path in first]
    pieces = run()
    assert [path.stat().st_mtime_ns for path in first] == times and len(list(tmp_path.glob("descents/*.npz"))) == 3
    for name in ("images", "steps", "distances", "m_g", "m_i"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-12)


@pytest.mark.parametrize(("step", "sigma"), [(0, 2.4), (15, 1.4), (30, 0.4), (99, 0.4)])
def test_the_blur_is_scipys(rng: np.random.Generator, step: int, sigma: float) -> None:
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.iterations.assign(step)
    images = rng.random((2, 7, 9, 3), "float32")
    expected = images
    for axis in (1, 2):
        expected = gaussian_filter1d(expected, sigma, axis=axis, mode="mirror", radius=1)
    np.testing.assert_allclose(np.array(inversion.Blur(optimizer, 30)(images)), expected, atol=1e-6)


def convolution(seed: int) -> keras.Model:
    def drawn(draw: int) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(stddev=0.3, seed=10 * seed + draw)

    layers = [keras.layers.Conv2D(4, 3, strides=2, activation="relu", kernel_initializer=drawn(i)) for i in range(2)]
    return keras.Sequential([keras.Input((12, 12, 3)), *layers])


def copied(original: np.ndarray, start: np.ndarray, steps: int) -> inversion.Descent:
    optimizer = inversion.falling(0.03, steps, 0.001, normalised=True)
    return inversion.recover(
        convolution(0),
        original,
        start,
        steps=steps,
        optimizer=optimizer,
        constraint=inversion.Blur(optimizer, steps),
        record_every=5,
    )


def test_a_normalised_step_moves_values_by_the_rate_on_average(rng: np.random.Generator) -> None:
    original, start = rng.random((3, 12, 12, 3), "float32"), inversion.noise(range(3), (12, 12, 3))
    optimizer = inversion.falling(0.03, 10, 0.001, normalised=True)
    found = inversion.recover(convolution(0), original, start, steps=1, optimizer=optimizer)
    plain = inversion.recover(convolution(0), original, start, steps=1, optimizer=keras.optimizers.SGD(1.0))
    moved, gradient = found.images - start, start - plain.images
    np.testing.assert_allclose(np.abs(moved).mean(axis=(1, 2, 3)), 0.03, rtol=1e-4)
    size = np.abs(gradient).mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(moved, -0.03 * gradient / size, atol=1e-5)


def test_images_through_convolutions_go_alone_as_in_a_batch_and_again_as_before(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path / "first"))
    original, start = rng.random((3, 12, 12, 3), "float32"), inversion.noise(range(3), (12, 12, 3))
    batch = copied(original, start, 100)
    assert batch.m_g.shape == batch.m_i.shape == (21, 3)
    assert len(list((tmp_path / "first" / "descents").glob("*.npz"))) == 1
    for i in range(3):
        alone = copied(original[i : i + 1], start[i : i + 1], 20)
        together = copied(original, start, 20)
        np.testing.assert_allclose(together.images[i], alone.images[0], atol=1e-4)
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path / "second"))
    again = copied(original, start, 100)
    np.testing.assert_array_equal(again.images, batch.images)
    far = np.linalg.norm((original - batch.images).reshape(3, -1), axis=1)
    np.testing.assert_allclose(batch.m_i[-1], far, rtol=1e-5)


def test_correlation_is_numpys_and_blind_to_brightness_and_contrast(rng: np.random.Generator) -> None:
    x, y = rng.random((2, 4, 9, 9, 1))
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(inversion.correlation(x, y), expected)
    np.testing.assert_allclose(inversion.correlation(0.1 * y + 0.7, y), 1)


def test_shares_are_those_of_detail_and_of_the_broad_pattern_and_noise_has_none(rng: np.random.Generator) -> None:
    image, noise = rng.random((2, 3, 64, 64, 3))
    both = inversion.shares(image / 2 + 0.3, image)
    np.testing.assert_allclose(both, 0.5)
    np.testing.assert_allclose(inversion.shares(noise, image)[0], 0, atol=0.05)
    # Cosines that mirror at the edges are only scaled by the blur: by 1 - d, with d of each in the detail.
    k = np.array([2, 40])
    low, high = np.cos(np.pi * k[:, None, None, None, None] * (np.arange(64)[:, None, None] + 0.5) / 64)
    weights = np.exp(-(np.arange(-8, 9) ** 2) / 8)
    d = 1 - weights @ np.cos(np.arange(-8, 9)[:, None] * np.pi * k / 64) / weights.sum()
    some, all_of_it = (np.broadcast_to(f * low + g * high, image.shape) for f, g in ((0.8, 0.3), (1, 1)))
    detail, pattern = inversion.shares(some, all_of_it)
    np.testing.assert_allclose(detail, np.dot(d**2, [0.8, 0.3]) / (d**2).sum())
    np.testing.assert_allclose(pattern, np.dot((1 - d) ** 2, [0.8, 0.3]) / ((1 - d) ** 2).sum())


def test_copies_through_networks_are_those_through_each_alone(rng: np.random.Generator) -> None:
    images = rng.random((2, 12, 12, 3), "float32")
    networks = [convolution(0), convolution(1)]
    layer = [network.layers[-1].name for network in networks]
    networks[1].layers[-1].name = layer[0]
    both = inversion.copy_through(networks, layer[0], images, steps=20, blurred=True)
    assert both.m_i.shape == (21, 4) and both.images.shape == (4, 12, 12, 3)
    start = inversion.noise(range(4), (12, 12, 3))
    np.testing.assert_allclose(
        both.m_i[0], np.linalg.norm((np.tile(images, (2, 1, 1, 1)) - start).reshape(4, -1), axis=1)
    )
    alone = copied(images, start[:2], 20)
    np.testing.assert_allclose(both.images[:2], alone.images, atol=1e-4)
    with pytest.raises(ValueError, match="a multiple of 20 steps; received 2 and 30"):
        inversion.copy_through(networks, layer[0], images, steps=30)
    far = inversion.output_distance(networks, layer[0], images, both.images[2:])
    np.testing.assert_allclose(far[2:], both.m_g[-1, 2:], rtol=1e-4)


def test_the_output_distance_of_disturbed_images_is_that_of_their_noise(rng: np.random.Generator) -> None:
    images = rng.random((2, 12, 12, 3), "float32")
    flat = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Rescaling(3.0, name="times3")])
    noise = np.random.default_rng(0).normal(0, 1 / 25, images.shape)
    expected = 3 * np.linalg.norm(noise.reshape(2, -1), axis=1)
    shaken = inversion.disturbed(images)
    np.testing.assert_allclose(inversion.output_distance([flat], "times3", images, shaken), expected, rtol=1e-4)


def test_linear_layers_tell_pictures_apart_as_they_differ(rng: np.random.Generator) -> None:
    images = rng.random((2, 12, 12, 3), "float32")
    layers = [keras.layers.Rescaling(3.0, name="first"), keras.layers.AveragePooling2D(2, name="second")]
    flat = keras.Sequential([keras.Input((12, 12, 3)), *layers])
    mean_colour = np.array([123.68, 116.779, 103.939]) / 255  # red, green, blue, as published with the weights
    x = images - mean_colour
    pooled = x.reshape(2, 6, 2, 6, 2, 3).mean(axis=(2, 4))
    far = inversion.told_apart([flat, flat], ["first", "second"], images)
    assert list(far) == ["negative", "turned", "half contrast"]
    np.testing.assert_allclose(far["negative"], np.full((2, 4), 2), rtol=1e-3)
    np.testing.assert_allclose(far["half contrast"], np.full((2, 4), 1 / 2), rtol=1e-3)
    for seen, turned in zip((x, pooled), far["turned"], strict=True):
        change = np.rot90(seen, 2, axes=(1, 2)) - seen
        expected = [np.linalg.norm(c) / np.linalg.norm(s) for c, s in zip(change, seen, strict=True)]
        np.testing.assert_allclose(turned, [*expected, *expected], rtol=1e-3)
    with pytest.raises(ValueError, match="received 'third'"):
        inversion.told_apart([flat], ["third"], images)
