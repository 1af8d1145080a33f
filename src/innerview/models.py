"""The documents' networks, by the documents' own settings, and training them by the handful."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from IPython.display import DisplayHandle, Pretty
from keras import ops

from innerview.datasets import data_folder, kept_on_disk, load_mnist
from innerview.monitors import Monitor

History = dict[str, np.ndarray]


def one_hidden_layer(seed: int) -> keras.Model:
    """Build the classifier of document E (row E2): 784 pixels, 300 ReLU units named ``hidden``, 10 softmax outputs.

    Weights are drawn from N(0, 0.03) and biases from N(0, 1), both by `seed`.
    """

    def normal(stddev: float, draw: int) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(stddev=stddev, seed=4 * seed + draw)

    return keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(
                300, "relu", name="hidden", kernel_initializer=normal(0.03, 0), bias_initializer=normal(1, 1)
            ),
            keras.layers.Dense(
                10, "softmax", name="output", kernel_initializer=normal(0.03, 2), bias_initializer=normal(1, 3)
            ),
        ]
    )


def binary_crossentropy_by_class(y_true: Any, y_pred: Any) -> Any:
    """Return the loss of document E (row E2): a binary cross-entropy for each class, summed over the classes.

    It is ``-sum(y log p + (1 - y) log(1 - p))`` over the last axis, with the probabilities ``p`` clipped to
    [1e-10, 0.9999999] as published. Where ``p`` is clipped, the gradient is zero.
    """
    p = ops.clip(y_pred, 1e-10, 0.9999999)
    return -ops.sum(y_true * ops.log(p) + (1 - y_true) * ops.log(1 - p), axis=-1)


def deep_tanh(seed: int, depth: int = 3) -> keras.Model:
    """Build the classifier of document A (row A1): 784 pixels, `depth` layers of 100 tanh units, 10 softmax outputs.

    Weights are drawn by `seed` from a normal distribution of standard deviation 0.1, cut off at two of them; biases
    are 0.1. The hidden layers are named ``hidden1`` to ``hiddenN``. The document's depth is 3; row A5 asks for more.

    Raises:
        ValueError: `depth` is below 1.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1; received {depth}")

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
    Glorot's uniform distribution; biases are 0.

    Raises:
        ValueError: `dropout` is not from 0 to below 1.
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be from 0 to below 1; received {dropout}")

    def dense(units: int, activation: str, name: str, draw: int) -> keras.layers.Layer:
        glorot = keras.initializers.GlorotUniform(seed=3 * seed + draw)
        return keras.layers.Dense(units, activation, name=name, kernel_initializer=glorot)

    return keras.Sequential(
        [
            keras.Input((784,)),
            dense(256, "relu", "hidden1", 0),
            keras.layers.Dropout(dropout, seed=2 * seed),
            dense(64, "relu", "hidden2", 1),
            keras.layers.Dropout(dropout, seed=2 * seed + 1),
            dense(10, "softmax", "output", 2),
        ]
    )


# What each start makes of Keras' VarianceScaling: the variance times the fan, and which fan.
_STARTS = {"document": (1 / 3, "fan_in"), "glorot": (1.0, "fan_avg"), "he": (2.0, "fan_in")}


def feed_forward(
    seed: int, widths: Sequence[int], activation: str = "tanh", start: str = "document", residual: bool = False
) -> keras.Model:
    """Build a classifier of document D (rows D1 to D5): 784 pixels, hidden layers of `widths`, 10 logits.

    Biases are 0. The hidden layers are named ``hidden1`` to ``hiddenN``, the last layer ``output``; it has no
    softmax, so train it with `softmax_crossentropy`.

    Args:
        seed: of the weights.
        widths: units of each hidden layer; the document has 2 of 2048, 4 of 256, 16 of 64 and 10 of 64.
        activation: of the hidden layers, ``"tanh"`` or ``"relu"`` in the document.
        start: how weights are drawn, uniformly in any case: ``"document"``, within one over the root of a layer's
            inputs; ``"glorot"`` or ``"he"``, as proposed by these authors.
        residual: whether each hidden layer but the first adds its input to its output, so that both paths are open.

    Raises:
        ValueError: `start` is not one of the three, or a residual network's layers differ in width.
    """
    if start not in _STARTS:
        raise ValueError(f"start must be one of {list(_STARTS)}; received {start!r}")
    if residual and len(set(widths)) > 1:
        raise ValueError(f"expected equal widths for a residual network; received {list(widths)}")

    def drawn(draw: int) -> keras.initializers.Initializer:
        return keras.initializers.VarianceScaling(*_STARTS[start], "uniform", seed=100 * seed + draw)

    network = keras.Sequential([keras.Input((784,))])
    for i, width in enumerate(widths, start=1):
        layer = _ResidualDense if residual and i > 1 else keras.layers.Dense
        network.add(layer(width, activation, name=f"hidden{i}", kernel_initializer=drawn(i)))
    network.add(keras.layers.Dense(10, name="output", kernel_initializer=drawn(0)))
    return network


class _ResidualDense(keras.layers.Dense):
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return inputs + super().call(inputs)


class _SideBySide(keras.layers.Layer):
    """A dense layer for each network, in one product; inputs without an axis for the networks are read by all."""

    def __init__(self, networks: int, inputs: int, units: int, activation: Any, residual: bool = False, **more: Any):
        super().__init__(**more)
        self.kernel = self.add_weight((networks, inputs, units), name="kernel")
        self.bias = self.add_weight((networks, units), name="bias")
        self.activation, self.residual = keras.activations.get(activation), residual

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        shared = len(inputs.shape) == 2
        if self.kernel.shape[0] == 1:  # XLA multiplies two matrices several times faster than two stacks of one
            outputs = ops.matmul(inputs[:, 0], self.kernel[0])[:, None]
        else:
            outputs = ops.einsum("bi,nio->bno" if shared else "bni,nio->bno", inputs, self.kernel)
        outputs = self.activation(outputs + self.bias)
        return inputs + outputs if self.residual else outputs


def dense_encoders(
    seeds: Sequence[int], inputs: int, widths: Sequence[int], activation: str = "linear", dtype: str = "float32"
) -> keras.Model:
    """Build encoders of document B (rows B6 to B12) side by side: dense layers of `widths`, one network for each seed.

    Inputs have shape ``(n, networks, inputs)``, outputs ``(n, networks, widths[-1])``. The layers are named ``layer1``
    to ``layerN``; their kernels have shape ``(networks, inputs of the layer, units)``. Kernels and biases are drawn
    uniformly within one over the root of a layer's inputs, as the document's library does; a network does not depend
    on those beside it.

    Args:
        seeds: one for each network.
        inputs: values of an input; an image of 29 x 29 pixels in colour has 2,523, the document's number.
        widths: units of each layer.
        activation: of all layers, the last one included: ``"linear"`` or ``"relu"`` in the document.
        dtype: ``"float32"``, or ``"float64"`` for row B10.

    Raises:
        ValueError: there are no seeds or no layers.
    """
    if not len(seeds) or not len(widths):
        raise ValueError(f"expected at least one seed and one layer; received {list(seeds)} and {list(widths)}")
    encoder = keras.Sequential([keras.Input((len(seeds), inputs), dtype=dtype)])
    weights: list[np.ndarray] = []
    for i, units in enumerate(widths, start=1):
        bound = 1 / np.sqrt(inputs)
        draws = [np.random.default_rng([seed, i]) for seed in seeds]
        weights += [
            np.stack([rng.uniform(-bound, bound, shape) for rng in draws]) for shape in ((inputs, units), units)
        ]
        encoder.add(_SideBySide(len(seeds), inputs, units, activation, dtype=dtype, name=f"layer{i}"))
        inputs = units
    encoder.set_weights(weights)
    return encoder


def resnet(depth: int, side: int, seed: int, width: int = 64, classes: int = 1_000) -> keras.Model:
    """Build an untrained residual network of document B (rows B2, B3 and B17), with Keras' names of layers.

    Inputs are images in [0, 1] of shape ``(n, side, side, 3)``. The network itself makes of them what Keras' ImageNet
    weights expect: values to 255, blue first, the mean colour taken away. Outputs are probabilities. Kernels are drawn
    from He's normal distribution by their outputs, as in the document's library; biases are 0, and batch normalisation
    passes on what it gets until it is trained.

    Args:
        depth: 50 or 152, as Keras has them; 18, or 10 for a small one, with basic blocks.
        side: of the images, in pixels.
        seed: of the kernels.
        width: channels of the first stage, for depth 18 and 10.
        classes: of the output.

    Raises:
        ValueError: `depth` is not one of these.
    """
    of_keras = {50: keras.applications.ResNet50, 152: keras.applications.ResNet152}
    basic = {10: 1, 18: 2}
    images = keras.Input((side, side, 3))
    prepared = keras.layers.Rescaling(255.0)(images)
    prepared = keras.layers.Lambda(keras.applications.resnet.preprocess_input, name="preprocess")(prepared)
    if depth in of_keras:
        network = of_keras[depth](weights=None, input_tensor=prepared, classes=classes)
    elif depth in basic:
        network = keras.Model(images, _basic_blocks(prepared, basic[depth], width, classes))
    else:
        raise ValueError(f"depth must be one of {[*basic, *of_keras]}; received {depth}")
    for i, layer in enumerate(network.layers):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
        elif layer.weights:
            *size, inputs, units = layer.kernel.shape
            deviation = np.sqrt(2 / (np.prod(size, initial=1) * units))
            layer.kernel.assign(np.random.default_rng([seed, depth, i]).normal(0, deviation, layer.kernel.shape))
    return network


def resnets(
    side: int, weights: Mapping[str, np.ndarray] | None, seeds: Sequence[int] = ()
) -> tuple[keras.Model, list[keras.Model]]:
    """Return a trained residual network for images in [0, 1] of `side` pixels, and such networks untrained (row B2).

    Args:
        side: of the images, in pixels.
        weights: from `datasets.load_resnet50`, for ResNet50. If they are None, a small network of 10 layers stands in,
            trained for some 600 steps on digits of 32 x 32 pixels.
        seeds: one for each untrained network.
    """
    if weights is None:
        return _digits_resnet(side), [resnet(10, side, seed, 16, 10) for seed in seeds]
    trained = resnet(50, side, 0)
    for layer in trained.layers:
        if layer.weights:
            layer.set_weights([weights[f"{layer.name}/{weight.name}"] for weight in layer.weights])
    return trained, [resnet(50, side, seed) for seed in seeds]


def _digits_resnet(side: int) -> keras.Model:
    small, large, mnist = resnet(10, 32, 0, 16, 10), resnet(10, side, 0, 16, 10), load_mnist()
    keras.utils.set_random_seed(0)
    images = np.pad(mnist.x_train.reshape(-1, 28, 28, 1), [(0, 0), (2, 2), (2, 2), (0, 0)]).repeat(3, axis=-1)[:19_200]
    small.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy")
    small.fit(images, mnist.y_train[:19_200], batch_size=32, verbose=0)
    large.set_weights(small.get_weights())
    return large


def stages(network: keras.Model) -> dict[str, str]:
    """Return the layers that document B calls Conv1 to Conv5, by these names: the first, and the last of each stage."""
    found = {"Conv1": "conv1_conv"}
    for layer in network.layers:
        if layer.name.endswith("_out"):
            found[f"Conv{layer.name[4]}"] = layer.name
    return found


def _basic_blocks(x: Any, blocks: int, width: int, classes: int) -> Any:
    def convolved(x: Any, units: int, size: int, stride: int, name: str) -> Any:
        x = keras.layers.Conv2D(units, size, stride, "same", use_bias=False, name=f"{name}_conv")(x)
        return keras.layers.BatchNormalization(name=f"{name}_bn")(x)

    x = keras.layers.ReLU(name="conv1_relu")(convolved(x, width, 7, 2, "conv1"))
    x = keras.layers.MaxPooling2D(3, 2, "same", name="pool1_pool")(x)
    for stage in range(4):
        for block in range(1, blocks + 1):
            name, units = f"conv{stage + 2}_block{block}", width * 2**stage
            stride = 2 if stage and block == 1 else 1
            inner = keras.layers.ReLU(name=f"{name}_1_relu")(convolved(x, units, 3, stride, f"{name}_1"))
            inner = convolved(inner, units, 3, 1, f"{name}_2")
            straight = convolved(x, units, 1, stride, f"{name}_0") if stride > 1 else x
            x = keras.layers.ReLU(name=f"{name}_out")(keras.layers.Add(name=f"{name}_add")([straight, inner]))
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.layers.Dense(classes, "softmax", name="predictions")(x)


def softmax_crossentropy(y_true: Any, logits: Any) -> Any:
    """Return the cross-entropy of the softmax of logits, ``-sum(y log softmax(logits))`` over the last axis.

    Document D sums it over the batch; see the note on `loss` in `train_together`.
    """
    return ops.categorical_crossentropy(y_true, logits, from_logits=True)


def train_together(
    networks: Sequence[keras.Model],
    x: np.ndarray,
    y: np.ndarray,
    *,
    loss: Callable[[Any, Any], Any],
    optimizer: keras.optimizers.Optimizer,
    steps: int,
    batch_size: int,
    record_every: int,
    seed: int | None,
    watch: Mapping[str, tuple[np.ndarray, np.ndarray]],
    regress: tuple[str, np.ndarray, float] | None = None,
    monitor: Monitor | None = None,
) -> History:
    """Train networks of one architecture side by side, as a single Keras model.

    Their weights are stacked along a new axis and their losses are summed, so that no network feels another and each
    ends where it would have ended alone; but one large matrix product is faster than several small ones. All see the
    same batches in the same order, so they differ by their initial weights only.

    The trained weights are written back into `networks`. They are also kept on disk, under a digest of everything
    that determines them, so that the next chapter which needs the same networks does not train them again.

    Args:
        networks: `keras.Sequential` models of Dense and Dropout layers, all of one shape. The same activations are
            dropped in all of them, by the seeds of the first one's layers.
        x: inputs, float32 of shape ``(n, inputs)``.
        y: labels, integers of shape ``(n,)``.
        loss: maps one-hot labels and outputs, both ``(..., classes)``, to losses ``(...)``; the mean over the batch
            is minimised. For a document that sums over the batch, multiply the learning rate by `batch_size`.
        optimizer: for all the networks; stepwise rules such as SGD, Adagrad or Adam keep the networks apart.
        steps: how many batches to train on.
        batch_size: images a step. What is left at the end of a pass over the data is skipped.
        record_every: steps between two records; `steps` must be a multiple of it.
        seed: of the order of the images, which is drawn anew for each pass. None takes them in the order given.
        watch: named pairs ``(x, y)`` on which loss and accuracy are measured at each record.
        regress: a layer's name, targets of shape ``(n, networks, k)`` and a weight: the networks then also learn to
            predict the targets from this layer, by a linear map, with the sum of absolute errors times the weight
            added to the loss (row A4). The map itself is thrown away.
        monitor: a `Monitor` of the networks side by side, whose layers have the names of the first network's. What it
            records has an axis for the networks, if there are several: after the record's in gradients and weights,
            after the input's in activations.

    Returns:
        ``"step"``, of shape ``(records,)``; ``"NAME loss"`` and ``"NAME accuracy"`` for each name in `watch`, of shape
        ``(records, networks)``. And the monitor's history, with ``"step"`` and ``"loss"``, a sum over the networks,
        renamed to ``"monitor step"`` and ``"monitor loss"``.

    Raises:
        ValueError: the networks differ in shape, hold layers other than Dense and Dropout, or lack the layer to
            regress from; `steps` is no multiple of `record_every`; a batch is larger than the data.
    """
    if steps < 1 or record_every < 1 or steps % record_every:
        raise ValueError(f"steps must be a positive multiple of record_every; received {steps} and {record_every}")
    if not 1 <= batch_size <= len(x):
        raise ValueError(f"batch_size must be from 1 to {len(x)}, the number of inputs; received {batch_size}")
    stacked = _stack(networks)
    names = [layer.name for layer in networks[0].layers]
    if regress is not None and regress[0] not in names:
        raise ValueError(f"expected a layer among {names} to regress from; received {regress[0]!r}")

    settings = {
        "layers": [
            [layer.rate, layer.seed]
            if isinstance(layer, keras.layers.Dropout)
            else [type(layer).__name__, layer.units, layer.activation.__name__]
            for layer in networks[0].layers
        ],
        "code": [inspect.getsource(code) for code in (train_together, _fit, _order, _stack, _SideBySide, loss)],
        "monitor": None if monitor is None else [monitor.layers, monitor.every, monitor.limit],
        # Keras numbers the names of layers and optimizers as they come, so names are left out.
        "optimizer": [type(optimizer).__name__, {**optimizer.get_config(), "name": None}],
        "versions": [keras.__version__, keras.backend.backend()],
        "run": [steps, batch_size, record_every, seed, list(watch)],
        "regress": None if regress is None else [names.index(regress[0]), regress[2]],
    }
    told = DisplayHandle()
    told.display(Pretty(f"Training {len(networks)} networks."))

    def trained() -> dict[str, np.ndarray]:
        recorder = _Watch(stacked, watch, loss, record_every, told)
        tap = None if regress is None else (names.index(regress[0]), *regress[1:])
        _fit(stacked, x, y, _order(len(x), steps, batch_size, seed), loss, optimizer, recorder, tap, monitor)
        seen = {} if monitor is None else monitor.history
        seen = {f"monitor {name}" if name in ("step", "loss") else name: values for name, values in seen.items()}
        return {f"weight {i}": w for i, w in enumerate(stacked.get_weights())} | recorder.history | seen

    arrays = [x, y, *(part for pair in watch.values() for part in pair), *stacked.get_weights()]
    arrays += [] if monitor is None else [monitor.x, monitor.y]
    found, how = kept_on_disk(
        data_folder() / "trained", settings, arrays if regress is None else [*arrays, regress[1]], trained
    )
    weights = [found.pop(f"weight {i}") for i in range(len(stacked.weights))]
    told.update(Pretty(f"{len(networks)} networks, {steps:,} steps: {how}."))
    for i, network in enumerate(networks):
        network.set_weights(weights if len(networks) == 1 else [weight[i] for weight in weights])
    return found


def _order(n: int, steps: int, batch_size: int, seed: int | None) -> np.ndarray:
    """Return which image each step takes, of shape ``(steps, batch_size)``."""
    batches = n // batch_size
    passes = -(-steps // batches)
    rng = None if seed is None else np.random.default_rng(seed)
    order = [np.arange(n) if rng is None else rng.permutation(n) for _ in range(passes)]
    return np.concatenate([one[: batches * batch_size] for one in order]).reshape(-1, batch_size)[:steps]


def _fit(
    stacked: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    order: np.ndarray,
    loss: Callable[[Any, Any], Any],
    optimizer: keras.optimizers.Optimizer,
    recorder: "_Watch",
    tap: tuple[int, np.ndarray, float] | None,
    monitor: Monitor | None,
) -> None:
    def summed_over_networks(y_true: Any, y_pred: Any) -> Any:
        return ops.sum(loss(ops.broadcast_to(y_true[:, None, :], ops.shape(y_pred)), y_pred), axis=1)

    callbacks: list[keras.callbacks.Callback] = [recorder]
    if monitor is not None:
        monitor.attach(stacked, summed_over_networks)
        callbacks.append(monitor)

    # The data's place is inside the model, as a frozen table; what is fed in is which rows to look up, in which order.
    row = keras.Input((), dtype="int32")
    value = keras.layers.Embedding(*x.shape, weights=[x], trainable=False)(row)
    outputs, features = [], None
    for i, layer in enumerate(stacked.layers):
        value = layer(value)
        if tap is not None and i == tap[0]:
            head, bias = keras.initializers.TruncatedNormal(stddev=0.1, seed=0), keras.initializers.Constant(0.1)
            features = keras.layers.EinsumDense(
                "bni,nio->bno", tap[1].shape[1:], bias_axes="no", kernel_initializer=head, bias_initializer=bias
            )(keras.layers.Reshape((tap[1].shape[1], -1))(value))
    rows = order.reshape(-1)
    outputs, losses, targets = [value], [summed_over_networks], [np.eye(value.shape[-1], dtype="float32")[y[rows]]]
    if tap is not None:
        weight = tap[2]
        outputs.append(features)
        losses.append(lambda y_true, y_pred: weight * ops.sum(ops.abs(y_true - y_pred), axis=(1, 2)))
        targets.append(tap[1][rows].astype("float32"))
    model = keras.Model(row, outputs)
    # XLA, which Keras leaves out on processors unless asked, makes dense layers about 1.5 times faster; but it draws
    # random numbers so slowly there that networks with dropout are better off without it.
    drops = any(isinstance(layer, keras.layers.Dropout) and layer.rate for layer in stacked.layers)
    model.compile(optimizer, losses, jit_compile=not drops, steps_per_execution=recorder.every)
    model.fit(rows, targets, batch_size=order.shape[1], shuffle=False, verbose=0, callbacks=callbacks)


def _stack(networks: Sequence[keras.Model]) -> keras.Model:
    """Build one model with outputs ``(n, networks, classes)``, whose weights are the networks', stacked."""
    if not networks:
        raise ValueError("expected at least one network; received none")
    first = networks[0]
    for network in networks:
        for i, layer in enumerate(network.layers):
            if not isinstance(layer, keras.layers.Dense | keras.layers.Dropout if i else keras.layers.Dense):
                wanted = "Dense and Dropout layers" if i else "a Dense layer first"
                raise ValueError(f"expected {wanted}; received {type(layer).__name__} {layer.name!r}")
        shapes, expected = ([weight.shape for weight in model.weights] for model in (network, first))
        if shapes != expected:
            raise ValueError(f"expected networks of one shape, {expected}; received {shapes}")
    stacked = keras.Sequential([keras.Input(first.input_shape[1:])])
    alone = len(networks) == 1  # its layers stay as they are: XLA trains large matrices twice as fast as stacks of one
    for i, layer in enumerate(first.layers):
        if isinstance(layer, keras.layers.Dropout):
            # One draw for all the networks costs a network's share of it only, and leaves each as it would be alone.
            shape = None if alone else (None, 1, None)
            stacked.add(keras.layers.Dropout(layer.rate, shape, seed=layer.seed))
        elif alone:
            stacked.add(type(layer)(layer.units, layer.activation, name=layer.name))
        else:
            inputs, units = layer.kernel.shape
            residual = isinstance(layer, _ResidualDense)
            stacked.add(_SideBySide(len(networks), inputs, units, layer.activation, residual, name=layer.name))
    if alone:
        stacked.add(keras.layers.Reshape((1, first.output_shape[-1])))
        stacked.set_weights(first.get_weights())
        return stacked
    stacked.set_weights([np.stack(same) for same in zip(*(network.get_weights() for network in networks), strict=True)])
    return stacked


class _Watch(keras.callbacks.Callback):
    """Measures loss and accuracy of each stacked network after every so many steps."""

    def __init__(
        self,
        stacked: keras.Model,
        watch: Mapping[str, tuple[np.ndarray, np.ndarray]],
        loss: Callable[[Any, Any], Any],
        every: int,
        told: DisplayHandle,
    ):
        super().__init__()
        self.stacked, self.watch, self.loss, self.every, self.told = stacked, watch, loss, every, told
        self.records: dict[str, list[Any]] = {"step": []}

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.records["step"].append(batch + 1)
        self.told.update(Pretty(f"Training: step {batch + 1:,} of {self.params['steps']:,}."))
        for name, (x, y) in self.watch.items():
            # Called directly, which for a few large batches takes half the time of predict.
            parts = [self.stacked(x[i : i + 2_000], training=False) for i in range(0, len(x), 2_000)]
            output = np.concatenate([ops.convert_to_numpy(part) for part in parts])
            one_hot = np.broadcast_to(np.eye(output.shape[-1], dtype="float32")[y][:, None, :], output.shape)
            losses = ops.convert_to_numpy(self.loss(ops.convert_to_tensor(one_hot), ops.convert_to_tensor(output)))
            self.records.setdefault(f"{name} loss", []).append(losses.mean(axis=0))
            self.records.setdefault(f"{name} accuracy", []).append((output.argmax(-1) == y[:, None]).mean(axis=0))

    @property
    def history(self) -> History:
        return {name: np.array(values) for name, values in self.records.items()}
