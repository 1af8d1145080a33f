"""Nothing of the user's is changed, also when something breaks."""

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from innerview import (
    Monitor,
    feature_distance,
    feature_extractor,
    fit_ensemble,
    fit_inputs,
    get_activations,
    invert,
    invert_layer,
    l1_distance,
    linear_decay_sgd,
    resnet,
)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        raise KeyboardInterrupt


def own_network() -> keras.Model:
    """Frozen in part, with a state that training moves, compiled, and with a submodel."""
    keras.utils.set_random_seed(3)
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="conv")], name="inner")
    layers = [inner, keras.layers.BatchNormalization(name="norm"), keras.layers.Dropout(0.5, name="drop")]
    layers += [keras.layers.Flatten(name="flat"), keras.layers.Dense(3, "softmax", name="output")]
    network = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    network.get_layer("norm").trainable = False
    network.get_layer("output").bias.trainable = False
    network.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


def dense_network() -> keras.Model:
    keras.utils.set_random_seed(4)
    layers = [keras.layers.Dense(5, "tanh", name="one"), keras.layers.Dropout(0.5), keras.layers.Dense(3, "softmax")]
    network = keras.Sequential([keras.Input((4,)), *layers])
    network.layers[0].trainable = False
    network.compile("sgd", "mse")
    return network


def everything(network: keras.Model) -> dict[str, Any]:
    layers = network._flatten_layers()
    config = keras.config
    return {
        "variables": [np.array(variable) for variable in network.variables],
        "flags": [part.trainable for part in [*layers, *network.variables]],
        "nodes": [len(layer._inbound_nodes) for layer in layers],
        "penalties": [layer.activity_regularizer for layer in layers],
        "compiled": (id(network.optimizer), id(network.loss), network.jit_compile, len(network.metrics)),
        "optimizer": [np.array(variable) for variable in network.optimizer.variables],
        "functions": [network.train_function, network.predict_function],
        "random": (random.getstate(), str(np.random.get_state())),  # noqa: NPY002
        "config": (config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy().name),
    }


IMAGES, X, Y = np.full((2, 8, 8, 3), 0.4, "float32"), np.full((6, 4), 0.1, "float32"), np.arange(6) % 3


def fit_from(network: keras.Model, callbacks: Any) -> None:
    encoder = feature_extractor(network, "flat")
    sgd = linear_decay_sgd(0.1, 2)
    settings: dict[str, Any] = {"distance": l1_distance, "optimizer": sgd, "steps": 2, "log_every": 1}
    fit_inputs(encoder, np.zeros((2, 144)), IMAGES, **settings, callbacks=callbacks)


def watch(network: keras.Model, callbacks: Any) -> None:
    monitor = Monitor(IMAGES, Y[:2], 1, norms=["inner"], weights=["norm"], activations=["flat", "inner/conv"])
    monitor.attach(network, network.loss)
    monitor.record(0)
    if callbacks:
        monitor.y = "nonsense"
        monitor.record(1)


CALLS: dict[str, Callable[[keras.Model, Any], Any]] = {
    "get_activations": lambda network, _: get_activations(network, IMAGES),
    "feature_distance": lambda network, _: feature_distance([network], "norm", IMAGES, IMAGES / 2),
    "fit_inputs": fit_from,
    "invert": lambda network, callbacks: invert(network, IMAGES, IMAGES, steps=2, log_every=1, callbacks=callbacks),
    "invert_layer": lambda network, callbacks: invert_layer(
        [network, own_network()], "inner/conv", IMAGES, steps=20, start=IMAGES, blurred=True, callbacks=callbacks
    ),
    "Monitor": watch,
}


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_a_network_is_left_as_it_was(name: str, broken: bool) -> None:
    network = own_network()
    own_network()  # what one of the calls makes itself, and its seeds
    before = everything(network)
    if broken and name in ("fit_inputs", "invert", "invert_layer", "Monitor"):
        with pytest.raises((KeyboardInterrupt, ValueError, TypeError)):
            CALLS[name](network, [Interrupt()])
    else:
        CALLS[name](network, ())
    np.testing.assert_equal(everything(network), before)


@pytest.mark.parametrize("broken", [False, True])
def test_an_ensemble_changes_weights_and_nothing_else(broken: bool) -> None:
    networks = [dense_network() for _ in range(2)]
    before = [everything(network) for network in networks]
    settings: dict[str, Any] = {"loss": keras.losses.categorical_crossentropy, "optimizer": keras.optimizers.SGD(0.5)}
    callbacks = [Interrupt()] if broken else []
    try:
        fit_ensemble(networks, X, Y, **settings, steps=4, batch_size=3, log_every=2, callbacks=callbacks)
    except KeyboardInterrupt:
        assert broken
    for network, old in zip(networks, before, strict=True):
        now = everything(network)
        assert broken or not np.array_equal(now["variables"][-1], old["variables"][-1])
        if not broken:
            for state in (now, old):
                state["variables"] = state["variables"][:2]  # the frozen layer's
        np.testing.assert_equal(now, old)


def test_building_a_network_draws_no_random_number_of_the_users() -> None:
    random.seed(5)
    before = random.getstate()
    resnet(10, 32, seed=0, width=8)
    assert random.getstate() == before
