"""The documents' networks, by the documents' own settings, and training them by the handful."""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from filelock import FileLock
from keras import ops

from innerview.datasets import data_folder, written_whole

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


def train_together(
    networks: Sequence[keras.Model],
    x: np.ndarray,
    y: np.ndarray,
    *,
    loss: Callable[[Any, Any], Any],
    optimizer: keras.optimizers.Optimizer,
    epochs: int,
    batch_size: int,
    seed: int,
    watch: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
) -> History:
    """Train networks of one architecture side by side, as a single Keras model.

    Their weights are stacked along a new axis and their losses are summed, so that no network feels another and each
    ends where it would have ended alone; but one large matrix product is faster than several small ones. All see the
    same batches in the same order, so they differ by their initial weights only.

    The trained weights are written back into `networks`. They are also kept on disk, under a digest of everything
    that determines them, so that the next chapter which needs the same networks does not train them again.

    Args:
        networks: `keras.Sequential` models of `keras.layers.Dense` layers, all of one shape.
        x: inputs, float32 of shape ``(n, inputs)``.
        y: labels, integers of shape ``(n,)``.
        loss: maps one-hot labels and outputs, both ``(..., classes)``, to losses ``(...)``.
        optimizer: for all the networks; stepwise rules such as SGD, Adagrad or Adam keep the networks apart.
        epochs: passes over the data.
        batch_size: images a step.
        seed: of the order of the images, which is drawn anew for each epoch.
        watch: named pairs ``(x, y)`` on which loss and accuracy are measured after each epoch.

    Returns:
        ``"NAME loss"`` and ``"NAME accuracy"`` for each name in `watch`, arrays of shape ``(epochs, networks)``.

    Raises:
        ValueError: the networks differ in shape, or hold something other than Dense layers.
    """
    stacked = _stack(networks)
    classes = int(stacked.output_shape[-1])

    def summed_over_networks(y_true: Any, y_pred: Any) -> Any:
        return ops.sum(loss(ops.broadcast_to(y_true[:, None, :], ops.shape(y_pred)), y_pred), axis=1)

    watch = dict(watch or {})
    settings = {
        "layers": [[layer.units, layer.activation.__name__] for layer in networks[0].layers],
        "code": [inspect.getsource(code) for code in (train_together, _stack, loss)],
        # Keras numbers the names of layers and optimizers as they come, so names are left out.
        "optimizer": [type(optimizer).__name__, {**optimizer.get_config(), "name": None}],
        "versions": [keras.__version__, keras.backend.backend()],
        "run": [epochs, batch_size, seed, list(watch)],
    }
    digest = hashlib.sha256(json.dumps(settings, default=str).encode())
    for array in (x, y, *(part for pair in watch.values() for part in pair), *stacked.get_weights()):
        digest.update(f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes())

    path = data_folder() / "trained" / f"{digest.hexdigest()[:24]}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # a second chapter waits for the first rather than training too
        if not path.exists():
            keras.utils.set_random_seed(seed)
            # XLA, which Keras leaves out on processors unless asked, makes dense layers about 1.5 times faster.
            together = max(1, len(x) // batch_size // 4)
            stacked.compile(optimizer, summed_over_networks, jit_compile=True, steps_per_execution=together)
            recorder = _Watch(watch, loss)
            one_hot = np.eye(classes, dtype="float32")[y]
            stacked.fit(x, one_hot, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[recorder])
            with written_whole(path) as temporary:
                weights = {f"weight {i}": weight for i, weight in enumerate(stacked.get_weights())}
                np.savez(temporary, allow_pickle=False, **weights, **recorder.history)
        with np.load(path) as kept:
            history = {name: kept[name] for name in kept.files if not name.startswith("weight ")}
            trained = [kept[name] for name in kept.files if name.startswith("weight ")]
    for i, network in enumerate(networks):
        network.set_weights([weight[i] for weight in trained])
    return history


def _stack(networks: Sequence[keras.Model]) -> keras.Model:
    """Build one model with outputs ``(n, networks, classes)``, whose weights are the networks', stacked."""
    if not networks:
        raise ValueError("expected at least one network; received none")
    first = networks[0]
    for network in networks:
        for layer in network.layers:
            if not isinstance(layer, keras.layers.Dense):
                raise ValueError(f"expected Dense layers only; received {type(layer).__name__} {layer.name!r}")
        shapes, expected = ([weight.shape for weight in model.weights] for model in (network, first))
        if shapes != expected:
            raise ValueError(f"expected networks of one shape, {expected}; received {shapes}")
    stacked = keras.Sequential([keras.Input(first.input_shape[1:])])
    for i, layer in enumerate(first.layers):
        # All networks read the same input, so the first layer is one wide matrix product.
        equation = "bi,nio->bno" if i == 0 else "bni,nio->bno"
        shape = (len(networks), layer.units)
        stacked.add(keras.layers.EinsumDense(equation, shape, layer.activation, "no" if layer.use_bias else None))
    stacked.set_weights([np.stack(same) for same in zip(*(network.get_weights() for network in networks), strict=True)])
    return stacked


class _Watch(keras.callbacks.Callback):
    """Measures loss and accuracy of each stacked network after each epoch."""

    def __init__(self, watch: Mapping[str, tuple[np.ndarray, np.ndarray]], loss: Callable[[Any, Any], Any]):
        super().__init__()
        self.watch, self.loss = watch, loss
        self.records: dict[str, list[np.ndarray]] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, (x, y) in self.watch.items():
            output = self.model.predict(x, batch_size=2_000, verbose=0)
            one_hot = np.broadcast_to(np.eye(output.shape[-1], dtype="float32")[y][:, None, :], output.shape)
            losses = ops.convert_to_numpy(self.loss(ops.convert_to_tensor(one_hot), ops.convert_to_tensor(output)))
            self.records.setdefault(f"{name} loss", []).append(losses.mean(axis=0))
            self.records.setdefault(f"{name} accuracy", []).append((output.argmax(-1) == y[:, None]).mean(axis=0))

    @property
    def history(self) -> History:
        return {name: np.array(values) for name, values in self.records.items()}
