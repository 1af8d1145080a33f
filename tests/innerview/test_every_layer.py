"""What a Monitor records is what is trained, for every layer of Keras that has weights."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from innerview import Monitor

Build = Callable[[Any], Any]
LSTM, GRU = (layers.LSTMCell, layers.GRUCell)

# How each is built on an input of some shape; those that take several get the input several times.
WITH_WEIGHTS: dict[type, tuple[Build, tuple[int, ...]]] = {
    layers.Dense: (layers.Dense(3, name="Dense"), (4,)),
    layers.EinsumDense: (layers.EinsumDense("ab,bc->ac", 3, bias_axes="c", name="EinsumDense"), (4,)),
    layers.Embedding: (layers.Embedding(7, 3, name="Embedding"), (5,)),
    layers.ReversibleEmbedding: (layers.ReversibleEmbedding(7, 3, name="ReversibleEmbedding"), (5,)),
    layers.PReLU: (layers.PReLU(name="PReLU"), (4,)),
    layers.Conv1D: (layers.Conv1D(3, 2, name="Conv1D"), (6, 2)),
    layers.Conv2D: (layers.Conv2D(3, 2, name="Conv2D"), (4, 4, 2)),
    layers.Conv3D: (layers.Conv3D(3, 2, name="Conv3D"), (3, 3, 3, 2)),
    layers.Conv1DTranspose: (layers.Conv1DTranspose(3, 2, name="Conv1DTranspose"), (6, 2)),
    layers.Conv2DTranspose: (layers.Conv2DTranspose(3, 2, name="Conv2DTranspose"), (4, 4, 2)),
    layers.Conv3DTranspose: (layers.Conv3DTranspose(3, 2, name="Conv3DTranspose"), (3, 3, 3, 2)),
    layers.DepthwiseConv1D: (layers.DepthwiseConv1D(2, name="DepthwiseConv1D"), (6, 2)),
    layers.DepthwiseConv2D: (layers.DepthwiseConv2D(2, name="DepthwiseConv2D"), (4, 4, 2)),
    layers.SeparableConv1D: (layers.SeparableConv1D(3, 2, name="SeparableConv1D"), (6, 2)),
    layers.SeparableConv2D: (layers.SeparableConv2D(3, 2, name="SeparableConv2D"), (4, 4, 2)),
    layers.BatchNormalization: (layers.BatchNormalization(name="BatchNormalization"), (6, 2)),
    layers.LayerNormalization: (layers.LayerNormalization(name="LayerNormalization"), (6, 2)),
    layers.GroupNormalization: (layers.GroupNormalization(2, name="GroupNormalization"), (6, 4)),
    layers.RMSNormalization: (layers.RMSNormalization(name="RMSNormalization"), (6, 2)),
    layers.SpectralNormalization: (layers.SpectralNormalization(layers.Dense(3), name="SpectralNormalization"), (4,)),
    layers.SimpleRNN: (layers.SimpleRNN(3, name="SimpleRNN"), (4, 2)),
    layers.LSTM: (layers.LSTM(3, name="LSTM"), (4, 2)),
    layers.GRU: (layers.GRU(3, name="GRU"), (4, 2)),
    layers.SimpleRNNCell: (layers.RNN(layers.SimpleRNNCell(3), name="SimpleRNNCell"), (4, 2)),
    layers.LSTMCell: (layers.RNN(LSTM(3), name="LSTMCell"), (4, 2)),
    layers.GRUCell: (layers.RNN(GRU(3), name="GRUCell"), (4, 2)),
    layers.StackedRNNCells: (layers.RNN(layers.StackedRNNCells([LSTM(3), GRU(2)]), name="StackedRNNCells"), (4, 2)),
    layers.RNN: (layers.RNN([LSTM(3), LSTM(2)], name="RNN"), (4, 2)),
    layers.Bidirectional: (layers.Bidirectional(layers.LSTM(3), name="Bidirectional"), (4, 2)),
    layers.TimeDistributed: (layers.TimeDistributed(layers.Dense(3), name="TimeDistributed"), (4, 2)),
    layers.ConvLSTM1D: (layers.ConvLSTM1D(2, 2, name="ConvLSTM1D"), (3, 4, 2)),
    layers.ConvLSTM2D: (layers.ConvLSTM2D(2, 2, name="ConvLSTM2D"), (2, 3, 3, 2)),
    layers.ConvLSTM3D: (layers.ConvLSTM3D(2, 2, name="ConvLSTM3D"), (2, 3, 3, 3, 1)),
    layers.MultiHeadAttention: (lambda x: layers.MultiHeadAttention(2, 3, name="MultiHeadAttention")(x, x), (4, 2)),
    layers.GroupQueryAttention: (
        lambda x: layers.GroupQueryAttention(3, 2, 1, name="GroupedQueryAttention")(x, x),
        (4, 2),
    ),
    layers.Attention: (lambda x: layers.Attention(use_scale=True, name="Attention")([x, 2 * x]), (4, 2)),
    layers.AdditiveAttention: (lambda x: layers.AdditiveAttention(name="AdditiveAttention")([x, 2 * x]), (4, 2)),
    layers.Normalization: (layers.Normalization(name="Normalization"), (4,)),
    layers.STFTSpectrogram: (
        layers.STFTSpectrogram("psd", frame_length=8, frame_step=4, fft_length=8, name="STFTSpectrogram"),
        (16, 1),
    ),
}
# They are none of Keras' own making, or a frame for others.
FOREIGN = {"FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper", "Layer", "Wrapper", "Pipeline"}


def all_layers() -> set[type]:
    found = {value for value in vars(layers).values() if isinstance(value, type) and issubclass(value, layers.Layer)}
    return {one for one in found if one.__name__ not in FOREIGN}


def test_the_walk_leaves_none_out() -> None:
    # What makes weights says so in its code.
    def makes_weights(kind: type) -> bool:
        own = [vars(base) for base in kind.__mro__ if base.__module__.startswith("keras.src.layers.")]
        makers = ("build", "__init__", "call")
        codes = [vars_[m].__code__ for vars_ in own for m in makers if hasattr(vars_.get(m), "__code__")]
        return any("add_weight" in code.co_names for code in codes)

    kinds = {kind for kind in all_layers() if makes_weights(kind)}
    assert len(kinds) > 25 and kinds <= set(WITH_WEIGHTS), {kind.__name__ for kind in kinds - set(WITH_WEIGHTS)}


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """All of them side by side in one network of many inputs, so that one compilation serves all."""
    keras.utils.set_random_seed(0)
    inputs, heads = {}, []
    for kind, (build, shape) in WITH_WEIGHTS.items():
        name, whole = kind.__name__, kind in (layers.Embedding, layers.ReversibleEmbedding)
        inputs[f"to_{name}"] = keras.Input(shape, dtype="int32" if whole else "float32", name=f"to_{name}")
        heads.append(layers.Flatten()(build(inputs[f"to_{name}"])))
    output = layers.Dense(2, name="output")(layers.Concatenate()(heads))
    model = keras.Model(inputs, output)
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


@pytest.fixture(scope="module")
def batch(network: keras.Model) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    x = {tensor.name: rng.random((4, *tensor.shape[1:])).astype("float32") for tensor in network.inputs}
    x |= {t.name: rng.integers(0, 7, (4, *t.shape[1:])) for t in network.inputs if t.dtype == "int32"}
    return x, rng.random((4, 2)).astype("float32")


def by_tape(network: keras.Model, x: Any, y: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """Loss and gradients as the backend itself finds them."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # type: ignore[import-untyped]

        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(network(x, training=True) - y))
        # An embedding's gradient comes as slices.
        found = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, network.trainable_variables)]
    else:
        import jax

        def loss_of(trainable: Any) -> Any:
            rest = [v.value for v in network.non_trainable_variables]
            output, _ = network.stateless_call(trainable, rest, x, training=True)
            return ((output - y) ** 2).mean()

        loss, found = jax.value_and_grad(loss_of)([v.value for v in network.trainable_variables])
    return float(loss), [np.array(gradient) for gradient in found]


@pytest.fixture(scope="module")
def seen(network: keras.Model, batch: Any) -> tuple[dict[str, np.ndarray], float, dict[str, np.ndarray]]:
    x, y = batch
    rest = [np.array(variable) for variable in network.non_trainable_variables]
    loss, gradients = by_tape(network, x, y)
    for variable, value in zip(network.non_trainable_variables, rest, strict=True):
        variable.assign(value)
    names = [kind.__name__ for kind in WITH_WEIGHTS]
    trained = [name for name in names if network.get_layer(name).trainable_variables]
    monitor = Monitor(x, y, 1, gradients=trained, norms=trained, weights=names)
    monitor.attach(network, "mse")
    monitor.record(0)
    paths = [variable.path for variable in network.trainable_variables]
    return monitor.history, loss, dict(zip(paths, gradients, strict=True))


def test_the_loss_is_that_of_a_plain_tape(seen: Any) -> None:
    history, loss, _ = seen
    assert history["loss"][0] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("name", [kind.__name__ for kind in WITH_WEIGHTS])
def test_records_of_a_layer_are_those_of_a_plain_tape(name: str, network: keras.Model, seen: Any) -> None:
    history, _, gradients = seen
    layer = network.get_layer(name)
    assert layer.weights
    # Each weight stands under a name of its own, with its value.
    of_weights = [key for key in history if key.startswith(f"{name} ") and not key.endswith(("gradient", "norm"))]
    assert len(of_weights) == len(layer.weights)
    for key, weight in zip(of_weights, layer.weights, strict=True):
        np.testing.assert_array_equal(history[key][0], np.array(weight), err_msg=key)
    trained = [gradients[variable.path] for variable in layer.trainable_variables]
    recorded = [key for key in history if key.startswith(f"{name} ") and key.endswith(" gradient")]
    assert len(recorded) == len(trained)
    for key, gradient in zip(recorded, trained, strict=True):
        np.testing.assert_allclose(history[key][0], gradient, rtol=1e-3, atol=1e-6, err_msg=key)
    if trained:
        norm = np.sqrt(sum((gradient.astype("float64") ** 2).sum() for gradient in trained))
        assert history[f"{name} gradient norm"][0] == pytest.approx(norm, rel=1e-4)
