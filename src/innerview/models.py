"""The documents' networks, by the documents' own settings."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from innerview import checks
from innerview.layers import EnsembleDense, ResidualDense


def one_hidden_layer(seed: int) -> keras.Model:
    """Build the classifier of document E (row E2): 784 pixels, 300 ReLU units named ``hidden``, 10 softmax outputs.

    Weights are drawn from N(0, 0.03) and biases from N(0, 1), both by `seed`. TypeError or ValueError, here and in the
    models below, if a number is not whole or too small.

    Example:
        >>> one_hidden_layer(seed=0).count_params()
        238510
    """
    checks.whole("seed", seed, 0)

    def normal(stddev: float, draw: int) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(stddev=stddev, seed=4 * seed + draw)

    hidden = {"kernel_initializer": normal(0.03, 0), "bias_initializer": normal(1, 1), "name": "hidden"}
    output = {"kernel_initializer": normal(0.03, 2), "bias_initializer": normal(1, 3), "name": "output"}
    layers = [keras.layers.Dense(300, "relu", **hidden), keras.layers.Dense(10, "softmax", **output)]
    return keras.Sequential([keras.Input((784,)), *layers])


def deep_tanh(seed: int, depth: int = 3) -> keras.Model:
    """Build the classifier of document A (row A1): 784 pixels, `depth` layers of 100 tanh units, 10 softmax outputs.

    Weights are drawn by `seed` from a normal distribution of standard deviation 0.1, cut off at two of them; biases
    are 0.1. The hidden layers are named ``hidden1`` to ``hiddenN``. The document's depth is 3; row A5 asks for more.
    """
    checks.whole("seed", seed, 0)
    checks.whole("depth", depth)

    def settings(draw: int) -> dict[str, Any]:
        normal = keras.initializers.TruncatedNormal(stddev=0.1, seed=100 * seed + draw)
        return {"kernel_initializer": normal, "bias_initializer": keras.initializers.Constant(0.1)}

    hidden = [keras.layers.Dense(100, "tanh", name=f"hidden{i}", **settings(i)) for i in range(1, depth + 1)]
    output = keras.layers.Dense(10, "softmax", name="output", **settings(0))
    return keras.Sequential([keras.Input((784,)), *hidden, output])


def two_hidden_layers(seed: int, dropout: float = 0.5) -> keras.Model:
    """Build the classifier of document C (row C1): 784 pixels, 256 and 64 ReLU units, 10 softmax outputs.

    The hidden layers are named ``hidden1`` and ``hidden2``. After each, in training only, a share `dropout` of the
    activations is set to zero; row C4 asks for none. Weights are drawn by `seed` as Keras does by default, from
    Glorot's uniform distribution; biases are 0. It is a ValueError if `dropout` is not from 0 to below 1.
    """
    checks.whole("seed", seed, 0)
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be from 0 to below 1; received {dropout}")

    def dense(units: int, activation: str, name: str, draw: int) -> keras.layers.Layer:
        glorot = keras.initializers.GlorotUniform(seed=3 * seed + draw)
        return keras.layers.Dense(units, activation, name=name, kernel_initializer=glorot)

    first, second = (keras.layers.Dropout(dropout, seed=2 * seed + i) for i in (0, 1))
    layers = [dense(256, "relu", "hidden1", 0), first, dense(64, "relu", "hidden2", 1), second]
    return keras.Sequential([keras.Input((784,)), *layers, dense(10, "softmax", "output", 2)])


# What each initializer makes of Keras' VarianceScaling: the variance times the fan, and which fan.
_INITIALIZERS = {"document": (1 / 3, "fan_in"), "glorot": (1.0, "fan_avg"), "he": (2.0, "fan_in")}


def feed_forward(
    seed: int, widths: Sequence[int], activation: str = "tanh", initializer: str = "document", residual: bool = False
) -> keras.Model:
    """Build a classifier of document D (rows D1 to D5): 784 pixels, hidden layers of `widths`, 10 logits.

    Biases are 0. The hidden layers are named ``hidden1`` to ``hiddenN``, the last layer ``output``; it has no
    softmax, so train it with `softmax_crossentropy`.

    Args:
        seed: of the weights.
        widths: units of each hidden layer. The document has 2 x 2048, 4 x 256, 16 or 10 x 64.
        activation: of the hidden layers, ``"tanh"`` or ``"relu"`` in the document.
        initializer: how weights are drawn, uniformly in any case: ``"document"``, within one over the root of a layer's
            inputs; ``"glorot"`` or ``"he"``, as proposed by these authors.
        residual: whether each hidden layer but the first adds its input to its output, so that both paths are open.

    Raises:
        ValueError: `initializer` is not one of the three, or a residual network's layers differ in width.
    """
    widths = [checks.whole("a width", width) for width in widths]
    checks.whole("seed", seed, 0)
    if initializer not in _INITIALIZERS:
        raise ValueError(f"initializer must be one of {list(_INITIALIZERS)}; received {initializer!r}")
    if residual and len(set(widths)) > 1:
        raise ValueError(f"expected equal widths for a residual network; received {list(widths)}")

    def drawn(draw: int) -> keras.initializers.Initializer:
        return keras.initializers.VarianceScaling(*_INITIALIZERS[initializer], "uniform", seed=100 * seed + draw)

    network = keras.Sequential([keras.Input((784,))])
    for i, width in enumerate(widths, start=1):
        layer = ResidualDense if residual and i > 1 else keras.layers.Dense
        network.add(layer(width, activation, name=f"hidden{i}", kernel_initializer=drawn(i)))
    network.add(keras.layers.Dense(10, name="output", kernel_initializer=drawn(0)))
    return network


def stacked_encoders(
    seeds: Sequence[int], inputs: int, widths: Sequence[int], activation: str = "linear", dtype: str = "float32"
) -> keras.Model:
    """Build encoders of document B (rows B6 to B12) side by side: dense layers of `widths`, one network for each seed.

    Inputs have shape ``(n, networks, inputs)``, outputs ``(n, networks, widths[-1])``. The layers are named ``layer1``
    to ``layerN``; their kernels have shape ``(networks, inputs of the layer, units)``. Kernels and biases are drawn
    uniformly within one over the root of a layer's inputs, as the document's library does; a network does not depend
    on those beside it. It is a ValueError if there are no seeds or no layers.

    Args:
        seeds: one for each network.
        widths: units of each layer.
        inputs: values of an input; an image of 29 x 29 pixels in colour has 2,523, the document's number.
        activation: of all layers, the last one included: ``"linear"`` or ``"relu"`` in the document.
        dtype: ``"float32"``, or ``"float64"`` for row B10.

    Example:
        >>> encoder = stacked_encoders(seeds=range(3), inputs=20, widths=[30, 40])
        >>> encoder.output_shape
        (None, 3, 40)
    """
    seeds = [checks.whole("a seed", seed, 0) for seed in seeds]
    widths = [checks.whole("a width", width) for width in widths]
    checks.whole("inputs", inputs)
    if not len(seeds) or not len(widths):
        raise ValueError(f"expected at least one seed and one layer; received {list(seeds)} and {list(widths)}")
    encoder = keras.Sequential([keras.Input((len(seeds), inputs), dtype=dtype)])
    weights: list[np.ndarray] = []
    for i, units in enumerate(widths, start=1):
        bound = 1 / np.sqrt(inputs)
        draws = [np.random.default_rng([seed, i]) for seed in seeds]
        for shape in ((inputs, units), units):
            weights.append(np.stack([rng.uniform(-bound, bound, shape) for rng in draws]))
        encoder.add(EnsembleDense(len(seeds), inputs, units, activation, dtype=dtype, name=f"layer{i}"))
        inputs = units
    encoder.set_weights(weights)
    return encoder
