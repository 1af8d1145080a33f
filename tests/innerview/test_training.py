from typing import Any

import keras
import numpy as np
import pytest

from innerview import Monitor, binary_crossentropy_by_class, feed_forward, fit_ensemble
from innerview.training import _order, _stack


def small_network(seed: int, units: int = 6) -> keras.Model:
    def uniform(draw: int) -> keras.initializers.Initializer:
        return keras.initializers.RandomUniform(-0.5, 0.5, seed=10 * seed + draw)

    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(units, "tanh", kernel_initializer=uniform(0), bias_initializer=uniform(1)),
            keras.layers.Dense(3, "softmax", kernel_initializer=uniform(2), bias_initializer=uniform(3)),
        ]
    )


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4)).astype("float32")
    return x, x[:, :3].argmax(axis=1)


def train(networks: list[keras.Model], data: tuple[np.ndarray, np.ndarray], **changes: Any) -> dict[str, np.ndarray]:
    settings: dict[str, Any] = {
        "loss": binary_crossentropy_by_class,
        "optimizer": keras.optimizers.SGD(0.1),
        "steps": 24,
        "batch_size": 20,
        "log_every": 6,
        "shuffle_seed": 0,
        "eval_sets": {"all": data},
    }
    return fit_ensemble(networks, *data, **{**settings, **changes})


def test_together_is_as_alone_with_plain_keras(data: tuple[np.ndarray, np.ndarray]) -> None:
    together = [small_network(seed) for seed in range(3)]
    train(together, data, shuffle_seed=None)
    for seed, network in enumerate(together):
        alone = small_network(seed)
        alone.compile(keras.optimizers.SGD(0.1), binary_crossentropy_by_class)
        one_hot = np.eye(3, dtype="float32")[data[1]]
        alone.fit(data[0], one_hot, batch_size=20, epochs=4, shuffle=False, verbose=0)
        for ours, theirs in zip(network.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def dropping_network(seed: int) -> keras.Model:
    first, last = small_network(seed, units=40).layers
    return keras.Sequential([keras.Input((4,)), first, keras.layers.Dropout(0.5, seed=7), last])


def test_networks_with_dropout_end_where_each_would_end_alone(data: tuple[np.ndarray, np.ndarray]) -> None:
    together = [dropping_network(seed) for seed in range(3)]
    history = train(together, data)
    for seed, network in enumerate(together):
        alone, without = dropping_network(seed), small_network(seed, units=40)
        alone_history = train([alone], data)
        train([without], data)
        for ours, theirs, other in zip(network.get_weights(), alone.get_weights(), without.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
            assert np.abs(ours - other).max() > 1e-3  # the activations were dropped indeed
        np.testing.assert_allclose(history["all loss"][:, seed], alone_history["all loss"][:, 0], rtol=1e-5)
        # What is recorded is the network as it is used: nothing is dropped.
        p = np.array(network(data[0], training=False))
        one_hot = np.eye(3, dtype="float32")[data[1]]
        used = np.array(binary_crossentropy_by_class(one_hot, p)).mean()
        assert history["all loss"][-1, seed] == pytest.approx(used, rel=1e-5)


def test_each_pass_sees_every_image_once_in_an_order_of_its_own() -> None:
    order = _order(n=45, steps=12, batch_size=10, seed=0)
    assert order.shape == (12, 10)
    for one_pass in order.reshape(3, 40):
        assert len(set(one_pass)) == 40
    assert not np.array_equal(order[:4], order[4:8])
    np.testing.assert_array_equal(order, _order(n=45, steps=12, batch_size=10, seed=0))


def test_without_a_seed_batches_come_in_document_as_order() -> None:
    order = _order(n=54_950, steps=10_000, batch_size=50, seed=None)
    for i in (0, 1, 1_098, 1_099, 9_999):
        start = 50 * i % 54_950
        np.testing.assert_array_equal(order[i], np.arange(start, start + 50))


def test_an_auxiliary_task_moves_the_layers_up_to_its_own(data: tuple[np.ndarray, np.ndarray]) -> None:
    def three_layers() -> keras.Model:
        normal = [keras.initializers.RandomNormal(seed=i) for i in range(3)]
        hidden = [keras.layers.Dense(5, "tanh", kernel_initializer=initializer) for initializer in normal[:2]]
        output = keras.layers.Dense(3, "softmax", kernel_initializer=normal[2])
        return keras.Sequential([keras.Input((4,)), *hidden, output])

    targets = np.random.default_rng(0).normal(size=(120, 1, 2))

    def trained(weight: float, layer: int) -> list[np.ndarray]:
        network = three_layers()
        train([network], data, steps=1, log_every=1, auxiliary=(network.layers[layer].name, targets, weight))
        return network.get_weights()

    without, from_first, from_second = trained(0.0, 0), trained(1.0, 0), trained(1.0, 1)
    changed = [not np.allclose(a, b) for a, b in zip(without, from_first, strict=True)]
    assert changed == [True, True, False, False, False, False]
    changed = [not np.allclose(a, b) for a, b in zip(without, from_second, strict=True)]
    assert changed == [True, True, True, True, False, False]


def test_adam_keeps_networks_apart_too(data: tuple[np.ndarray, np.ndarray]) -> None:
    both, alone = [small_network(0), small_network(1)], [small_network(1)]
    train(both, data, optimizer=keras.optimizers.Adam(0.01))
    train(alone, data, optimizer=keras.optimizers.Adam(0.01))
    for ours, theirs in zip(both[1].get_weights(), alone[0].get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_history_is_what_the_networks_score(data: tuple[np.ndarray, np.ndarray]) -> None:
    networks = [small_network(seed) for seed in range(2)]
    history = train(networks, data)
    assert history["all accuracy"].shape == history["all loss"].shape == (4, 2)
    assert history["step"].tolist() == [6, 12, 18, 24]
    for i, network in enumerate(networks):
        p = np.array(network(data[0]))
        loss = np.array(binary_crossentropy_by_class(np.eye(3, dtype="float32")[data[1]], p)).mean()
        assert history["all loss"][-1, i] == pytest.approx(loss, rel=1e-4)
        assert history["all accuracy"][-1, i] == pytest.approx((p.argmax(axis=1) == data[1]).mean())
    assert (history["all loss"][-1] < history["all loss"][0]).all()


def test_the_same_settings_give_the_same_networks_and_another_order_gives_others(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    first, again, reordered = small_network(0), small_network(0), small_network(0)
    one, two = train([first], data), train([again], data)
    train([reordered], data, shuffle_seed=1)
    np.testing.assert_array_equal(one["all loss"], two["all loss"])
    np.testing.assert_array_equal(first.get_weights()[0], again.get_weights()[0])
    assert not np.array_equal(first.get_weights()[0], reordered.get_weights()[0])
    # What was recorded on the way is what a training that ends there ends with.
    np.testing.assert_allclose(train([small_network(0)], data, steps=12)["all loss"], one["all loss"][:2], rtol=1e-5)


def test_residual_networks_are_stacked_with_both_paths() -> None:
    networks = [feed_forward(seed, [8] * 3, residual=True) for seed in range(2)]
    x = np.random.default_rng(0).normal(size=(5, 784)).astype("float32")
    stacked = np.array(_stack(networks)(x))
    for i, network in enumerate(networks):
        w = network.get_weights()
        h = np.tanh(x @ w[0])
        h = h + np.tanh(h @ w[2])
        h = h + np.tanh(h @ w[4])
        np.testing.assert_allclose(stacked[:, i], h @ w[6], atol=1e-4)
        np.testing.assert_allclose(np.array(_stack([network])(x))[:, 0], h @ w[6], atol=1e-4)


def test_what_cannot_be_stacked_is_refused(data: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="a list of networks, at least one"):
        train([], data)
    with pytest.raises(ValueError, match="networks of one shape"):
        train([small_network(0), small_network(0, units=5)], data)
    dropout = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="a Dense layer first; received Dropout"):
        train([dropout], data)
    norm = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.LayerNormalization()])
    with pytest.raises(ValueError, match="Dense and Dropout layers; received LayerNormalization"):
        train([norm], data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "at least 1; received 0"),
        ({"steps": 10, "log_every": 3}, "received 10 and 3"),
        ({"batch_size": 121}, "from 1 to 120"),
        ({"auxiliary": ("third", np.zeros((120, 1, 2)), 0.1)}, "received 'third'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    data: tuple[np.ndarray, np.ndarray], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train([small_network(0)], data, **change)


def test_a_monitor_watches_each_network_side_by_side(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    one_hot = np.eye(3, dtype="float32")[y[:30]]

    def names(networks: list[keras.Model]) -> list[str]:
        return [layer.name for layer in networks[0].layers]

    together = [small_network(seed) for seed in range(3)]
    first, last = names(together)
    monitor = Monitor(x[:30], one_hot, 12, gradients=[first], norms=[last], weights=[last], activations=[first])
    train(together, data, callbacks=[monitor])
    history = monitor.history
    assert history["step"].tolist() == [0, 12, 24]
    assert history[f"{first} kernel gradient"].shape == (3, 3, 4, 6)  # records, networks, inputs, units
    assert history[f"{first} activations"].shape == (3, 30, 3, 6)
    for seed in range(3):
        alone = [small_network(seed)]
        first_alone, last_alone = names(alone)
        lone = Monitor(x[:30], one_hot, 12, gradients=[first_alone], weights=[last_alone])
        train(alone, data, callbacks=[lone])
        ours, theirs = history[f"{first} kernel gradient"], lone.history[f"{first_alone} kernel gradient"]
        np.testing.assert_allclose(ours[:, seed], theirs, atol=1e-6)


SETTINGS: dict[str, dict[str, Any]] = {
    "frozen": {"trainable": False},
    "no bias": {"use_bias": False},
    "L2": {"kernel_regularizer": keras.regularizers.L2(0.05), "bias_regularizer": keras.regularizers.L1(0.01)},
    "orthogonal": {"kernel_regularizer": keras.regularizers.OrthogonalRegularizer(0.1)},
    "activity": {"activity_regularizer": keras.regularizers.L2(0.01)},
    "MaxNorm": {"kernel_constraint": keras.constraints.MaxNorm(0.6), "bias_constraint": "non_neg"},
}


@pytest.mark.parametrize("count", [1, 2])
def test_every_setting_of_a_layer_is_kept_to(data: tuple[np.ndarray, np.ndarray], count: int) -> None:
    def settled(seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        hidden = [keras.layers.Dense(5, "tanh", name=name.replace(" ", "_"), **s) for name, s in SETTINGS.items()]
        return keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(3, "softmax")])

    together, before = [settled(seed) for seed in range(count)], settled(0).get_weights()
    train(together, data, shuffle_seed=None)
    for seed, network in enumerate(together):
        alone = settled(seed)
        alone.compile(keras.optimizers.SGD(0.1), binary_crossentropy_by_class)
        alone.fit(data[0], np.eye(3, dtype="float32")[data[1]], batch_size=20, epochs=4, shuffle=False, verbose=0)
        for ours, theirs in zip(network.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_array_equal(together[0].get_weights()[0], before[0])  # the frozen kernel
    assert not together[0].get_layer("frozen").trainable


class MyDense(keras.layers.Dense):
    pass


def changed(network: keras.Model, index: int = 0, **settings: Any) -> keras.Model:
    layers = [keras.layers.Dense(n, a) for n, a in ((6, "tanh"), (3, "softmax"))]
    config = {**layers[index].get_config(), **settings}
    layers[index] = settings.pop("kind", keras.layers.Dense).from_config(
        {k: v for k, v in config.items() if k != "kind"}
    )
    return keras.Sequential([keras.Input((4,)), *layers])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "relu"}, "the first network's activation in layer .*'tanh'; received 'relu'"),
        ({"kernel_regularizer": "l2"}, "the first network's kernel_regularizer"),
        ({"trainable": False}, "the first network's trainable"),
        ({"use_bias": False}, "expected networks of one shape"),
        ({"kind": MyDense}, "received MyDense"),
    ],
)
def test_networks_that_differ_in_a_setting_are_refused(
    data: tuple[np.ndarray, np.ndarray], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train([changed(small_network(0)), changed(small_network(1), **settings)], data)


def test_what_networks_side_by_side_cannot_keep_to_is_named(data: tuple[np.ndarray, np.ndarray]) -> None:
    pair = [small_network(seed) for seed in range(2)]
    for optimizer, told in (
        (keras.optimizers.SGD(0.1, clipnorm=1.0), "SGD clipnorm"),
        (keras.optimizers.Adam(global_clipnorm=1.0), "Adam global_clipnorm"),
        (keras.optimizers.Lamb(), "Lamb"),
    ):
        with pytest.raises(ValueError, match=f"goes value by value.* received {told}"):
            train(pair, data, optimizer=optimizer)
    train(pair[:1], data, optimizer=keras.optimizers.SGD(0.1, clipnorm=1.0))  # alone there is nobody to feel it
    adapted = [small_network(seed) for seed in range(2)]
    for network in adapted:
        network.layers[0].enable_lora(2)
    with pytest.raises(ValueError, match=r"cannot keep to lora_\w+ of layer"):
        train(adapted, data)
    with pytest.raises(ValueError, match="expected each network once"):
        train([pair[0], pair[0]], data)
    monitor = Monitor(data[0][:2], np.eye(3)[:2], 6)
    with pytest.raises(ValueError, match="cannot watch an auxiliary task"):
        auxiliary = (pair[0].layers[0].name, np.zeros((120, 2, 2)), 0.1)
        train(pair, data, auxiliary=auxiliary, callbacks=[monitor])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.zeros((120, 2, 2))}, ValueError, r"x must have shape \(any, 4\); received \(120, 2, 2\)"),
        ({"x": np.full((120, 4), np.nan)}, ValueError, "x must be finite"),
        ({"y": np.zeros((120, 1), int)}, ValueError, r"y must have shape \(120\,\); received \(120, 1\)"),
        ({"y": np.zeros(119, int)}, ValueError, r"y must have shape \(120\,\); received \(119\,\)"),
        ({"y": np.eye(3)[np.zeros(120, int)]}, ValueError, r"received \(120, 3\)"),
        ({"y": np.full(120, -1)}, ValueError, "labels from 0 to 2; received -1"),
        ({"y": np.full(120, 3)}, ValueError, "labels from 0 to 2; received 3"),
        ({"y": np.full(120, 0.5)}, TypeError, "y must hold whole numbers"),
        ({"eval_sets": {"test": (np.zeros((2, 4)), np.array([0, 7]))}}, ValueError, "y of test .* received 7"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be a whole number; received 2.0"),
    ],
)
def test_data_that_do_not_fit_are_refused(
    data: tuple[np.ndarray, np.ndarray], change: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments = {"x": data[0], "y": data[1], **change}
    with pytest.raises(error, match=message):
        train([small_network(0)], (arguments.pop("x"), arguments.pop("y")), **{"eval_sets": None, **arguments})
