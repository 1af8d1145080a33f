from pathlib import Path
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
    with pytest.raises(ValueError, match="every must be at least 1; received 0"):
        watch(data, every=0)
    with pytest.raises(ValueError, match="limit must be at least 3; received 2"):
        watch(data, limit=2)


def frozen_in_place() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.0)  # the loss that fit tells is then the monitor's


@pytest.mark.parametrize("weighed", ["class_weight", "sample_weight", "loss_weights"])
def test_the_loss_recorded_is_the_loss_trained(data: tuple[np.ndarray, np.ndarray], weighed: str) -> None:
    x, y = data[0], data[1].argmax(axis=1)
    given = {"class_weight": {0: 5.0, 1: 1.0, 2: 0.5}, "sample_weight": np.linspace(0, 3, 48, dtype="float32")}
    to_fit: dict[str, Any] = {weighed: given[weighed]} if weighed in given else {}
    model = network(keras.layers.Dense(4, kernel_regularizer="l2", activity_regularizer="l1"))
    weights = [3.0] if weighed == "loss_weights" else None
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(frozen_in_place(), loss, loss_weights=weights)
    settings: dict[str, Any] = {"batch_size": 48, "verbose": 0, "shuffle": False}
    monitor = Monitor(x, y, 1, norms=["output"], **to_fit)
    told = model.fit(x, y, **settings, callbacks=[monitor], **to_fit).history["loss"]
    np.testing.assert_allclose(monitor.history["loss"], told * 2, rtol=1e-5)
    if to_fit:
        with pytest.raises(ValueError, match=f"fit has a {weighed}; give the Monitor"):
            model.fit(x, y, **settings, callbacks=[Monitor(x, y, 1)], **to_fit)


def test_losses_of_several_outputs_and_inputs(data: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = keras.Input((5,), name="a"), keras.Input((5,), name="b")
    hidden = keras.layers.Dense(4, "tanh", name="hidden")(keras.layers.Concatenate()([a, b]))
    one, two = keras.layers.Dense(3, name="one")(hidden), keras.layers.Dense(1, name="two")(hidden)
    model = keras.Model({"a": a, "b": b}, {"one": one, "two": two})
    losses = {"one": keras.losses.CategoricalCrossentropy(from_logits=True), "two": "mse"}
    model.compile(frozen_in_place(), losses, loss_weights={"one": 1.0, "two": 20.0})
    x, y = {"a": data[0], "b": data[0][::-1]}, {"one": data[1], "two": data[0][:, :1]}
    monitor = Monitor(x, y, 1, norms=["hidden"], activations=["hidden", "two"])
    told = model.fit(x, y, batch_size=48, verbose=0, shuffle=False, callbacks=[monitor]).history["loss"]
    np.testing.assert_allclose(monitor.history["loss"], told * 2, rtol=1e-5)
    assert monitor.history["hidden activations"].shape == (2, 48, 4)


def test_accumulated_gradients_are_those_of_each_step(data: tuple[np.ndarray, np.ndarray]) -> None:
    plain, accumulating = network(), network()
    accumulating.compile(keras.optimizers.SGD(0.5, gradient_accumulation_steps=4), plain.loss)
    seen = []
    for model in (plain, accumulating):
        seen.append(watch(data, 100))
        train(model, data, seen[-1], epochs=1)
    np.testing.assert_array_equal(seen[0].history["hidden kernel gradient"], seen[1].history["hidden kernel gradient"])


def test_each_weight_has_a_name_of_its_own_and_what_is_frozen_is_seen(data: tuple[np.ndarray, np.ndarray]) -> None:
    layers = [keras.layers.Reshape((4, 1)), keras.layers.Bidirectional(keras.layers.LSTM(2, name="lstm"), name="both")]
    layers += [keras.layers.BatchNormalization(name="norm"), keras.layers.Dense(3, name="fixed", trainable=False)]
    model, names = network(*layers), ["both", "norm", "fixed"]
    monitor = Monitor(*data, 100, weights=names, gradients=["both", "norm"])
    train(model, data, monitor, epochs=1)
    for name in names:
        kept = [key for key in monitor.history if key.startswith(f"{name} ") and not key.endswith("gradient")]
        assert len(kept) == len(model.get_layer(name).weights)
    assert "both forward_lstm/lstm_cell/kernel gradient" in monitor.history
    assert {"norm moving_mean", "norm moving_variance", "fixed kernel"} <= set(monitor.history)
    with pytest.raises(ValueError, match="expected a layer that is trained; received 'fixed'"):
        train(model, data, Monitor(*data, 1, norms=["fixed"]))


def test_a_layer_inside_a_model_inside_has_a_path(data: tuple[np.ndarray, np.ndarray]) -> None:
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "relu", name="deep")], name="inner")
    monitor = Monitor(*data, 100, norms=["inner/deep"], weights=["inner/deep"], activations=["inner/deep"])
    model = network(inner)
    train(model, data, monitor, epochs=1)
    np.testing.assert_array_equal(monitor.history["inner/deep kernel"].shape, (1, 4, 2))
    assert monitor.history["inner/deep activations"].shape == (1, 48, 2)


def test_a_monitor_belongs_to_one_network(data: tuple[np.ndarray, np.ndarray]) -> None:
    monitor, one, other = watch(data), network(), network()
    train(one, data, monitor, epochs=1)
    with pytest.raises(ValueError, match="has watched another network"):
        train(other, data, monitor)
    # Compiled anew, it is still the same network, and its loss another.
    one.compile(frozen_in_place(), lambda y_true, y_pred: 100 * keras.ops.mean((y_true - y_pred) ** 2, axis=-1))
    train(one, data, monitor, epochs=1)
    assert monitor.history["step"].tolist() == [0, 3, 6, 9, 12]
    last = 100 * ((np.array(one(data[0][:10])) - data[1][:10]) ** 2).mean()
    assert monitor.history["loss"][-1] == pytest.approx(last, rel=1e-4)


class StopAt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 4:
            raise KeyboardInterrupt


def test_steps_are_counted_on_after_an_interrupt(data: tuple[np.ndarray, np.ndarray]) -> None:
    monitor, model = watch(data, every=1), network()
    with pytest.raises(KeyboardInterrupt):
        train(model, data, monitor, StopAt())
    train(model, data, monitor, epochs=1)
    assert monitor.history["step"].tolist() == list(range(12))  # five, and six


def test_networks_that_train_in_their_own_way_are_refused_and_subclasses_are_not(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    class Mine(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3, name="dense")

        def call(self, x: Any) -> Any:
            return self.dense(x)

    class MyOwnWay(Mine):
        def train_step(self, *given: Any) -> Any:
            return super().train_step(*given)

    for kind in (Mine, MyOwnWay):
        model = kind()
        model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
        model(data[0])
        monitor = Monitor(*data, 3, gradients=["dense"], weights=["dense"])
        if kind is MyOwnWay:
            with pytest.raises(ValueError, match="received one with its own train_step"):
                train(model, data, monitor)
            continue
        train(model, data, monitor)
        assert monitor.history["dense kernel gradient"].shape == (5, 5, 3)
        with pytest.raises(ValueError, match="received Mine"):
            train(model, data, Monitor(*data, 3, activations=["dense"]))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 5)), np.zeros((2, 3)), "as many"),
        (np.zeros((0, 5)), np.zeros((0, 3)), "as many"),
        (np.full((3, 5), np.nan), np.zeros((3, 3)), "finite values"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Monitor(x, y, 1)


def test_records_are_written_and_read_by_numpy(data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    monitor, again = watch(data), watch(data)
    train(network(), data, monitor)
    np.savez(tmp_path / "records.npz", allow_pickle=False, **monitor.history)
    with np.load(tmp_path / "records.npz") as file:
        again.restore(file)
    assert list(again.history) == list(monitor.history)
    for name, values in monitor.history.items():
        np.testing.assert_array_equal(again.history[name], values)
