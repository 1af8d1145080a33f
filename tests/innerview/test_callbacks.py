from typing import Any

import keras
import numpy as np
import pytest

from innerview import Monitor


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(48, 5)).astype("float32"), np.eye(3, dtype="float32")[rng.integers(0, 3, 48)]


def network(*extra: keras.layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(4, "tanh", name="hidden"), *extra, keras.layers.Dense(3, name="output")]
    model = keras.Sequential([keras.Input((5,)), *layers])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss)
    return model


def train(model: keras.Model, data: tuple[np.ndarray, np.ndarray], *callbacks: Any, epochs: int = 2) -> None:
    model.fit(*data, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks))


def watch(data: tuple[np.ndarray, np.ndarray], every: int = 3, **changes: Any) -> Monitor:
    both = ["hidden", "output"]
    settings: dict[str, Any] = {"gradients": both, "norms": both, "weights": both, "activations": both}
    return Monitor(data[0][:10], data[1][:10], every, **{**settings, **changes})


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_gradients_against_those_by_hand(data: tuple[np.ndarray, np.ndarray]) -> None:
    monitor = watch(data)
    train(network(), data, monitor)
    seen = monitor.history
    assert seen["step"].tolist() == [0, 3, 6, 9, 12]
    x, y = data[0][:10], data[1][:10]
    for i in range(5):
        w1, b1, w2, b2 = (seen[f"{layer} {part}"][i] for layer in ("hidden", "output") for part in ("kernel", "bias"))
        h = np.tanh(x @ w1 + b1)
        p = softmax(h @ w2 + b2)
        np.testing.assert_allclose(seen["hidden activations"][i], h, atol=1e-5)
        np.testing.assert_allclose(seen["loss"][i], -np.log((p * y).sum(axis=1)).mean(), rtol=1e-5)
        delta2 = (p - y) / len(x)
        delta1 = (delta2 @ w2.T) * (1 - h**2)
        by_hand = {"output kernel": h.T @ delta2, "output bias": delta2.sum(axis=0)}
        by_hand |= {"hidden kernel": x.T @ delta1, "hidden bias": delta1.sum(axis=0)}
        for name, gradient in by_hand.items():
            np.testing.assert_allclose(seen[f"{name} gradient"][i], gradient, atol=1e-6)
        norm = np.sqrt(sum((by_hand[f"hidden {part}"] ** 2).sum() for part in ("kernel", "bias")))
        assert seen["hidden gradient norm"][i] == pytest.approx(norm, rel=1e-4)


def test_gradients_against_finite_differences(data: tuple[np.ndarray, np.ndarray]) -> None:
    model = network()
    monitor = watch(data)
    train(model, data, monitor)
    x, y = data[0][:10], data[1][:10]
    kernel = model.get_layer("hidden").kernel
    start = np.array(kernel)
    monitor.record(99)
    gradient = monitor.history["hidden kernel gradient"][-1]
    for place in [(0, 0), (4, 3), (2, 1)]:
        step = np.zeros_like(start)
        step[place] = 0.01
        losses = []
        for sign in (1, -1):
            kernel.assign(start + sign * step)
            losses.append(model.evaluate(x, y, verbose=0))
        assert gradient[place] == pytest.approx((losses[0] - losses[1]) / 0.02, abs=2e-4)


def test_watching_changes_nothing(data: tuple[np.ndarray, np.ndarray]) -> None:
    def extra() -> list[keras.layers.Layer]:
        return [keras.layers.Dropout(0.5, seed=3), keras.layers.BatchNormalization()]

    watched, alone = network(*extra()), network(*extra())
    train(watched, data, watch(data, every=1))
    train(alone, data)
    for ours, theirs in zip(watched.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_records_are_those_of_the_network_as_it_is_at_their_step(data: tuple[np.ndarray, np.ndarray]) -> None:
    model, alone, monitor = network(), network(), watch(data, every=6)
    train(model, data, monitor)
    for i in range(3):  # six steps an epoch
        if i:
            train(alone, data, epochs=1)
        for layer in ("hidden", "output"):
            for weight in alone.get_layer(layer).weights:
                seen = monitor.history[f"{layer} {weight.name}"][i]
                np.testing.assert_allclose(seen, np.array(weight), rtol=1e-6, atol=1e-7)


def test_records_are_thinned_when_they_are_many(data: tuple[np.ndarray, np.ndarray]) -> None:
    monitor = watch(data, every=1, limit=6)
    train(network(), data, monitor, epochs=10)  # 60 steps
    steps = monitor.history["step"]
    assert 3 <= len(steps) < 6 and steps[0] == 0
    assert len(set(np.diff(steps))) == 1  # evenly spaced still


def test_several_steps_at_once_are_recorded_when_they_are_done(data: tuple[np.ndarray, np.ndarray]) -> None:
    model = network()
    model.compile(keras.optimizers.SGD(0.5), model.loss, steps_per_execution=3)
    monitor = watch(data, every=6)
    train(model, data, monitor, epochs=3)
    assert monitor.history["step"].tolist() == [0, 6, 12, 18]


def test_a_second_fit_goes_on_counting(data: tuple[np.ndarray, np.ndarray]) -> None:
    model, monitor = network(), watch(data, every=4)
    train(model, data, monitor, epochs=1)  # six steps each time
    train(model, data, monitor, epochs=1)
    assert monitor.history["step"].tolist() == [0, 4, 8, 12]


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 4:
            raise KeyboardInterrupt


def test_what_was_seen_is_in_the_history_when_training_is_cut_off(data: tuple[np.ndarray, np.ndarray]) -> None:
    whole, cut_off = watch(data, every=2), watch(data, every=2)
    train(network(), data, whole)
    with pytest.raises(KeyboardInterrupt):
        train(network(), data, cut_off, Interrupt())
    assert cut_off.history["step"].tolist() == [0, 2, 4]
    assert set(cut_off.history) == set(whole.history)
    for name, values in cut_off.history.items():
        np.testing.assert_array_equal(values, whole.history[name][:3])


def test_training_that_breaks_down_stops_with_its_records_in_the_history(data: tuple[np.ndarray, np.ndarray]) -> None:
    x = data[0].copy()
    x[20, 0] = np.nan  # poisons the third batch
    monitor = watch(data, every=1)
    train(network(), (x, data[1]), monitor)
    kept = monitor.history
    assert kept["step"].tolist() == [0, 1, 2, 3]
    assert np.isfinite(kept["loss"][:3]).all() and np.isnan(kept["loss"][3])


def test_a_restored_history_is_the_history(data: tuple[np.ndarray, np.ndarray]) -> None:
    monitor, again = watch(data), watch(data)
    train(network(), data, monitor)
    again.restore(monitor.history)
    assert list(again.history) == list(monitor.history) and len(again.history) == 14
    for name, values in monitor.history.items():
        np.testing.assert_array_equal(again.history[name], values)
        assert again.history[name].dtype == values.dtype
    again.restore({})
    assert again.history == watch(data).history == {}


def test_networks_measured_together_are_as_each_alone(data: tuple[np.ndarray, np.ndarray]) -> None:
    networks = [network(), network(), network()]
    for i, one in enumerate(networks):
        one.set_weights([weight + 0.1 * i for weight in one.get_weights()])
    before = [one.get_weights() for one in networks]
    together = watch(data).measure(networks, networks[0].loss)
    for i, one in enumerate(networks):
        alone = watch(data)
        alone.attach(one, one.loss)
        alone.record(i)
        for name, values in alone.history.items():
            np.testing.assert_allclose(together[name][i], values[0], rtol=1e-5, atol=1e-7)
        for weight, kept in zip(one.get_weights(), before[i], strict=True):
            np.testing.assert_array_equal(weight, kept)


def test_a_layer_that_is_not_there_is_named(data: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"expected layers among \['hidden', 'output'\]; received 'hiden'"):
        train(network(), data, watch(data, norms=["hiden"]))
    with pytest.raises(ValueError, match="received 0 and 500"):
        watch(data, every=0)
    with pytest.raises(ValueError, match="received 3 and 2"):
        watch(data, limit=2)
