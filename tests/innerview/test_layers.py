import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from innerview import (
    EnsembleDense,
    ResidualDense,
    deep_tanh,
    feed_forward,
    one_hidden_layer,
    resnet,
    stacked_encoders,
    two_hidden_layers,
)
from innerview.layers import DistanceToTarget, ImageNetInputs, TrainableImages


def test_a_residual_layer_adds_its_input(rng: np.random.Generator) -> None:
    layer = ResidualDense(4, "tanh", bias_initializer=keras.initializers.RandomNormal(seed=1))
    x = rng.normal(size=(3, 4)).astype("float32")
    found = np.array(layer(x))
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(found, x + np.tanh(x @ kernel + bias), atol=1e-6)


@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_dense_layers_side_by_side_are_each_layer_alone(
    rng: np.random.Generator, networks: int, shared: bool, residual: bool
) -> None:
    layer = EnsembleDense(networks, 4, 4, "tanh", residual=residual and not shared)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    kernel, bias = layer.get_weights()
    x = rng.normal(size=(5, 4) if shared else (5, networks, 4)).astype("float32")
    found = np.array(layer(x))
    assert found.shape == (5, networks, 4)
    for i in range(networks):
        own = x if shared else x[:, i]
        expected = np.tanh(own @ kernel[i] + bias[i]) + (own if layer.residual else 0)
        np.testing.assert_allclose(found[:, i], expected, atol=1e-5)


def test_images_as_a_weight_go_through_the_encoder_without_dropout(rng: np.random.Generator) -> None:
    encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.9), keras.layers.Dense(2)])
    encoder.trainable = False
    layer = TrainableImages((3, 4), encoder)
    images = rng.normal(size=(3, 4)).astype("float32")
    layer.images.assign(images)
    expected = images @ encoder.get_weights()[0]
    for tick in (np.zeros((1, 1), "float32"), np.ones((7, 1), "float32")):
        np.testing.assert_allclose(np.array(layer(tick, training=True)), expected, atol=1e-6)
    assert [variable.path for variable in layer.trainable_variables] == [layer.images.path]


def test_a_distance_is_to_the_target_and_no_training_moves_the_target(rng: np.random.Generator) -> None:
    layer = DistanceToTarget((3, 4), lambda target, outputs: ops.sum(ops.square(target - outputs), axis=1))
    target, outputs = rng.normal(size=(2, 3, 4)).astype("float32")
    layer.target.assign(target)
    np.testing.assert_allclose(np.array(layer(outputs)), ((target - outputs) ** 2).sum(axis=1), rtol=1e-5)
    assert not layer.trainable_variables


def all_kinds() -> dict[str, keras.Model]:
    """One model of each kind that the package builds, and one of its layers side by side with all their settings."""
    names = ["first", "second"]
    side_by_side = [EnsembleDense(2, 8, 8, "relu", residual=i == 1, name=name) for i, name in enumerate(names)]
    return {
        "one_hidden_layer": one_hidden_layer(0),
        "deep_tanh": deep_tanh(0),
        "two_hidden_layers": two_hidden_layers(0),
        "feed_forward": feed_forward(0, [8, 8], initializer="he"),
        "residual": feed_forward(0, [8, 8, 8], residual=True),
        "stacked_encoders": stacked_encoders([3, 5], 12, [9, 4], "relu"),
        "side_by_side": keras.Sequential([keras.Input((8,)), *side_by_side]),
        "resnet10": resnet(10, 32, 0, width=8, classes=10),
    }


LOAD = """
import sys
import innerview
import keras, numpy as np

folder = sys.argv[1]
given = np.load(f"{folder}/inputs.npz")
np.savez(f"{folder}/outputs.npz", **{
    name: np.array(keras.saving.load_model(f"{folder}/{name}.keras")(x, training=False)) for name, x in given.items()
})
"""


def test_all_models_and_layers_survive_saving(rng: np.random.Generator, tmp_path: Path) -> None:
    models = all_kinds()
    inputs = {name: rng.random((2, *model.input_shape[1:]), "float32") for name, model in models.items()}
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
    np.savez(tmp_path / "inputs.npz", allow_pickle=False, **inputs)
    subprocess.run([sys.executable, "-c", LOAD, str(tmp_path)], check=True)
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert set(outputs) == set(models)
        for name, model in models.items():
            expected = np.array(model(inputs[name], training=False))
            np.testing.assert_allclose(
                outputs[name], expected, rtol=1e-6, atol=3e-7, err_msg=name
            )  # sums round by memory layout
    held = {type(layer) for model in models.values() for layer in model._flatten_layers()}
    named = {own for name, own in keras.saving.get_custom_objects().items() if name.startswith("innerview>")}
    assert {own for own in named if _is_layer(own)} <= held == held | {EnsembleDense, ResidualDense, ImageNetInputs}


def _is_layer(own: Any) -> bool:
    return isinstance(own, type) and issubclass(own, keras.layers.Layer)
