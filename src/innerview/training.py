"""Training networks by the handful, as one Keras model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from innerview.callbacks import EnsembleLog, Monitor, steps_between_logs
from innerview.layers import EnsembleDense, ResidualDense

History = dict[str, np.ndarray]
Loss = Callable[[Any, Any], Any]


def fit_ensemble(
    networks: Sequence[keras.Model],
    x: np.ndarray,
    y: np.ndarray,
    *,
    loss: Loss,
    optimizer: keras.optimizers.Optimizer,
    steps: int,
    batch_size: int,
    log_every: int | None = None,
    shuffle_seed: int | None = None,
    eval_sets: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
    auxiliary: tuple[str, np.ndarray, float] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> History:
    """Train networks of one architecture side by side, as a single Keras model; their weights are changed.

    Their weights are stacked along a new axis and their losses are summed, so that no network feels another and each
    ends where it would have ended alone; but one large matrix product is faster than several small ones. All see the
    same batches in the same order, so they differ by their initial weights only.

    Args:
        networks: `keras.Sequential` models of Dense and Dropout layers, all of one shape. The same activations are
            dropped in all of them, by the seeds of the first one's layers.
        x, y: inputs, float32 of shape ``(n, inputs)``, and labels, integers of shape ``(n,)``.
        loss: maps one-hot labels and outputs, both ``(..., classes)``, to losses ``(...)``; the mean over the batch
            is minimised. For a document that sums over the batch, multiply the learning rate by `batch_size`.
        optimizer: for all the networks; stepwise rules such as SGD, Adagrad or Adam keep the networks apart.
        steps: how many batches to train on.
        batch_size: images a step. What is left at the end of a pass over the data is skipped.
        log_every: steps between two records; `steps` must be a multiple of it. The default records the end only.
        shuffle_seed: of the order of the images, which is drawn anew for each pass. None, the default, takes them in
            the order given.
        eval_sets: named pairs ``(x, y)`` on which loss and accuracy are measured at each record.
        auxiliary: a layer's name, targets of shape ``(n, networks, k)`` and a weight: the networks then also learn to
            predict the targets from this layer, by a linear map, with the sum of absolute errors times the weight
            added to the loss (row A4). The map itself is thrown away.
        callbacks: Keras callbacks. A `Monitor` watches the networks side by side, by the first network's names of
            layers. What it records has an axis for them, if there are several, before the inputs' or units'.

    Returns:
        ``"step"``, of shape ``(records,)``; for each of `eval_sets` its loss and accuracy, ``(records, networks)``, as
        ``"NAME loss"`` and ``"NAME accuracy"``.

    Raises:
        ValueError: networks of unlike shapes, with other layers than Dense and Dropout, or without that of `auxiliary`;
            `steps` is no multiple of `log_every`; a batch is larger than the data.

    Example::

        networks = [one_hidden_layer(seed) for seed in range(5)]
        sgd = keras.optimizers.SGD(0.1)
        fit_ensemble(networks, x, y, loss=binary_crossentropy_by_class, optimizer=sgd, steps=550, batch_size=100)
    """
    every = steps_between_logs(steps, log_every)
    if not 1 <= batch_size <= len(x):
        raise ValueError(f"batch_size must be from 1 to {len(x)}, the number of inputs; received {batch_size}")
    ensemble = _stack(networks)
    names = [layer.name for layer in networks[0].layers]
    if auxiliary is not None and auxiliary[0] not in names:
        raise ValueError(f"expected a layer among {names} for the auxiliary task; received {auxiliary[0]!r}")

    rows = _order(len(x), steps, batch_size, shuffle_seed).reshape(-1)
    summed = _summed_over_networks(loss)
    model, losses, targets = _training_model(ensemble, x, y, rows, summed, auxiliary)
    # XLA, which Keras leaves out on processors unless asked, makes dense layers about 1.5 times faster; but it draws
    # random numbers so slowly there that networks with dropout are better off without it. JAX compiles by it or not.
    drops = any(isinstance(layer, keras.layers.Dropout) and layer.rate for layer in ensemble.layers)
    xla = keras.backend.backend() == "jax" or not drops
    model.compile(optimizer, losses, jit_compile=xla, steps_per_execution=every)
    for callback in callbacks:
        if isinstance(callback, Monitor):
            callback.attach(ensemble, summed)
    log = EnsembleLog(ensemble, eval_sets or {}, loss)
    model.fit(rows, targets, batch_size=batch_size, shuffle=False, verbose=0, callbacks=[log, *callbacks])
    weights = ensemble.get_weights()
    for i, network in enumerate(networks):
        network.set_weights(weights if len(networks) == 1 else [weight[i] for weight in weights])
    return log.history


def _order(n: int, steps: int, batch_size: int, seed: int | None) -> np.ndarray:
    """Return which image each step takes, of shape ``(steps, batch_size)``."""
    batches = n // batch_size
    passes = -(-steps // batches)
    rng = None if seed is None else np.random.default_rng(seed)
    order = [np.arange(n) if rng is None else rng.permutation(n) for _ in range(passes)]
    return np.concatenate([one[: batches * batch_size] for one in order]).reshape(-1, batch_size)[:steps]


def _summed_over_networks(loss: Loss) -> Loss:
    def summed_over_networks(y_true: Any, y_pred: Any) -> Any:
        return ops.sum(loss(ops.broadcast_to(y_true[:, None, :], ops.shape(y_pred)), y_pred), axis=1)

    return summed_over_networks


def _training_model(
    ensemble: keras.Model, x: np.ndarray, y: np.ndarray, rows: np.ndarray, loss: Loss, auxiliary: Any
) -> tuple[keras.Model, list[Loss], list[np.ndarray]]:
    """Put a table of the data in front of the ensemble, and the head of the auxiliary task beside it."""
    # What is fed in is which rows to look up, in which order; the data itself is a frozen weight.
    row = keras.Input((), dtype="int32")
    value = keras.layers.Embedding(*x.shape, weights=[x], trainable=False)(row)
    heads = []
    for layer in ensemble.layers:
        value = layer(value)
        if auxiliary is not None and layer.name == auxiliary[0]:
            heads.append(_auxiliary_head(value, auxiliary[1].shape[1:]))
    outputs, losses, targets = [value], [loss], [np.eye(value.shape[-1], dtype="float32")[y[rows]]]
    if auxiliary is not None:
        _, goal, weight = auxiliary
        outputs += heads
        losses.append(lambda y_true, y_pred: weight * ops.sum(ops.abs(y_true - y_pred), axis=(1, 2)))
        targets.append(goal[rows].astype("float32"))
    return keras.Model(row, outputs), losses, targets


def _auxiliary_head(value: Any, shape: tuple[int, ...]) -> Any:
    normal, constant = keras.initializers.TruncatedNormal(stddev=0.1, seed=0), keras.initializers.Constant(0.1)
    drawn = {"kernel_initializer": normal, "bias_initializer": constant}
    head = keras.layers.EinsumDense("bni,nio->bno", shape, bias_axes="no", **drawn)
    return head(keras.layers.Reshape((shape[0], -1))(value))


def _stack(networks: Sequence[keras.Model]) -> keras.Model:
    """Build one model with outputs ``(n, networks, classes)``, whose weights are the networks', stacked."""
    _check(networks)
    first = networks[0]
    stacked = keras.Sequential([keras.Input(first.input_shape[1:])])
    alone = len(networks) == 1  # its layers stay as they are: XLA trains large matrices twice as fast as stacks of one
    for layer in first.layers:
        if isinstance(layer, keras.layers.Dropout):
            # One draw for all the networks costs a network's share of it only, and leaves each as it would be alone.
            shape = None if alone else (None, 1, None)
            stacked.add(keras.layers.Dropout(layer.rate, shape, seed=layer.seed, name=layer.name))
        elif alone:
            stacked.add(type(layer)(layer.units, layer.activation, name=layer.name))
        else:
            inputs, units = layer.kernel.shape
            residual = isinstance(layer, ResidualDense)
            stacked.add(EnsembleDense(len(networks), inputs, units, layer.activation, residual, name=layer.name))
    if alone:
        stacked.add(keras.layers.Reshape((1, first.output_shape[-1])))
        stacked.set_weights(first.get_weights())
    else:
        same = zip(*(network.get_weights() for network in networks), strict=True)
        stacked.set_weights([np.stack(weights) for weights in same])
    return stacked


def _check(networks: Sequence[keras.Model]) -> None:
    if not networks:
        raise ValueError("expected at least one network; received none")
    for network in networks:
        for i, layer in enumerate(network.layers):
            if not isinstance(layer, keras.layers.Dense | keras.layers.Dropout if i else keras.layers.Dense):
                wanted = "Dense and Dropout layers" if i else "a Dense layer first"
                raise ValueError(f"expected {wanted}; received {type(layer).__name__} {layer.name!r}")
        shapes, expected = ([weight.shape for weight in model.weights] for model in (network, networks[0]))
        if shapes != expected:
            raise ValueError(f"expected networks of one shape, {expected}; received {shapes}")
