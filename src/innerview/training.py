"""Training networks by the handful, as one Keras model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from innerview import checks
from innerview.callbacks import EnsembleLog, Monitor, steps_between_logs
from innerview.layers import EnsembleDense, ResidualDense
from innerview.stepping import Blocks, SteppingModel

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
        networks: built `keras.Sequential` models of Dense, `ResidualDense` and Dropout layers, all of one shape and
            with the same settings: activations, penalties, constraints, what is frozen. All of them are kept to. The
            same activations are dropped in all networks, by the seeds of the first one's layers.
        x: inputs, float32 of shape ``(n, inputs)``.
        y: labels, integers of shape ``(n,)``.
        loss: maps one-hot labels and outputs, both ``(..., classes)``, to losses ``(...)``; the mean over the batch
            is minimised. For a document that sums over the batch, multiply the learning rate by `batch_size`.
        optimizer: for all the networks. Rules that go value by value, such as SGD, Adagrad or Adam, keep the networks
            apart; those that look at a weight as a whole, or clip by a norm, are refused if there are several.
        steps: how many batches to train on.
        batch_size: images a step. What is left at the end of a pass over the data is skipped.
        log_every: steps between two records; `steps` must be a multiple of it. The default records the end only.
        shuffle_seed: of the order of the images, which is drawn anew for each pass. None, the default, takes them in
            the order given.
        eval_sets: named pairs ``(x, y)`` on which loss and accuracy are measured at each record.
        auxiliary: a layer's name, targets of shape ``(n, networks, k)`` and a weight: the networks then also learn to
            predict the targets from this layer, by a linear map, with the sum of absolute errors times the weight
            added to the loss (row A4). The map itself is thrown away.
        callbacks: Keras callbacks; ``on_train_batch_end`` comes at each record. A `Monitor` watches the networks side
            by side, by the first network's names of layers. What it records has an axis for them, if there are
            several, before the inputs' or units'.

    Returns:
        ``"step"``, of shape ``(records,)``; for each of `eval_sets` its loss and accuracy, ``(records, networks)``, as
        ``"NAME loss"`` and ``"NAME accuracy"``.

    Raises:
        ValueError: networks that differ in more than their weights, with other layers, or without that of `auxiliary`;
            a setting or an optimizer that networks side by side cannot keep to; `steps` is no multiple of `log_every`;
            a batch is larger than the data; inputs or labels do not fit the networks, or are not finite numbers.

    Example:
        >>> networks, sgd = [one_hidden_layer(seed) for seed in range(2)], keras.optimizers.SGD(0.1)
        >>> x, y = np.zeros((100, 784)), np.arange(100) % 10
        >>> settings = {"loss": binary_crossentropy_by_class, "optimizer": sgd, "steps": 4, "batch_size": 50}
        >>> history = fit_ensemble(networks, x, y, **settings, log_every=2, eval_sets={"training": (x, y)})
        >>> history["training accuracy"].shape
        (2, 2)
    """
    every = steps_between_logs(steps, log_every)
    optimizer = keras.optimizers.get(optimizer)
    networks = checks.networks(networks)
    _check(networks, optimizer)
    if not callable(loss) or isinstance(loss, keras.losses.Loss):
        told = "expected a loss function of one-hot labels and outputs, such as keras.losses.categorical_crossentropy"
        raise TypeError(f"{told}; received {loss!r}")
    width, classes = networks[0].input_shape[1], networks[0].output_shape[1]
    x = checks.array("x", x, (None, width))
    y = checks.labels("y", y, len(x), classes)
    if checks.whole("batch_size", batch_size) > len(x):
        raise ValueError(f"batch_size must be from 1 to {len(x)}, the number of inputs; received {batch_size}")
    sets = {}
    for name, (x_eval, y_eval) in (eval_sets or {}).items():
        x_eval = checks.array(f"x of {name}", x_eval, (None, width))
        sets[name] = x_eval, checks.labels(f"y of {name}", y_eval, len(x_eval), classes)
    if auxiliary is not None:
        auxiliary = _checked(auxiliary, networks, len(x), callbacks)

    rows = _order(len(x), steps, batch_size, shuffle_seed)
    one_hot, goals = np.eye(classes, dtype="float32"), [] if auxiliary is None else [auxiliary[1]]
    blocks = Blocks([rows], every, lambda block: (block, (one_hot[y[block]], *(goal[block] for goal in goals))))
    summed = _summed_over_networks(loss)
    with checks.same_random_state():
        ensemble = _stack(networks)
        model = _training_model(ensemble, x, summed, auxiliary)
    # XLA, which Keras leaves out on processors unless asked, makes dense layers about 1.5 times faster; but it draws
    # random numbers so slowly there that networks with dropout are better off without it. JAX compiles by it or not.
    drops = any(isinstance(layer, keras.layers.Dropout) and layer.rate for layer in ensemble.layers)
    xla = keras.backend.backend() == "jax" or not drops
    model.compile(optimizer, jit_compile=xla, auto_scale_loss=False)
    model.steps_in_a_batch = every
    for callback in callbacks:
        if isinstance(callback, Monitor):
            callback.attach(ensemble, summed)
    log = EnsembleLog(ensemble, sets, loss)
    model.fit(blocks, shuffle=False, verbose=0, callbacks=[log, *callbacks])
    weights = ensemble.get_weights()
    for i, network in enumerate(networks):
        network.set_weights(weights if len(networks) == 1 else [weight[i] for weight in weights])
    return log.history


def _checked(auxiliary: Any, networks: Sequence[keras.Model], n: int, callbacks: Sequence[Any]) -> Any:
    name, goal, weight = auxiliary
    names = [layer.name for layer in networks[0].layers]
    if name not in names:
        raise ValueError(f"expected a layer among {names} for the auxiliary task; received {name!r}")
    if any(isinstance(callback, Monitor) for callback in callbacks):
        raise ValueError("a Monitor records the loss of the networks alone; it cannot watch an auxiliary task")
    goal = checks.array("the targets of auxiliary", goal, (n, len(networks), None))
    return name, goal, float(checks.array("the weight of auxiliary", weight))


def _order(n: int, steps: int, batch_size: int, seed: int | None) -> np.ndarray:
    """Return which image each step takes, of shape ``(steps, batch_size)``."""
    batches = n // batch_size
    passes = -(-steps // batches)
    rng = None if seed is None else np.random.default_rng(seed)
    order = [np.arange(n) if rng is None else rng.permutation(n) for _ in range(passes)]
    return np.concatenate([one[: batches * batch_size] for one in order]).reshape(-1, batch_size)[:steps]


def _summed_over_networks(loss: Loss) -> Loss:
    def summed_over_networks(y_true: Any, y_pred: Any) -> Any:
        losses = loss(ops.broadcast_to(y_true[:, None, :], ops.shape(y_pred)), y_pred)
        if len(losses.shape) != 2:
            raise ValueError(f"expected a loss for each input and network; received shape {losses.shape}")
        return ops.sum(losses, axis=1)

    return summed_over_networks


class _Ensemble(SteppingModel):
    """The ensemble behind a table of the data, and the head of the auxiliary task beside it."""

    losses_of_outputs: list[Loss]

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        pairs = zip(keras.tree.flatten(y), keras.tree.flatten(y_pred), strict=True)
        parts = [ops.mean(loss(*pair)) for loss, pair in zip(self.losses_of_outputs, pairs, strict=True)]
        return sum([*parts, *self.losses])


def _training_model(ensemble: keras.Model, x: np.ndarray, loss: Loss, auxiliary: Any) -> keras.Model:
    # What is fed in is which rows to look up, in which order; the data itself is a frozen weight.
    row = keras.Input((), dtype="int32")
    value = keras.layers.Embedding(*x.shape, weights=[x], trainable=False)(row)
    heads = []
    for layer in ensemble.layers:
        value = layer(value)
        if auxiliary is not None and layer.name == auxiliary[0]:
            heads.append(_auxiliary_head(value, auxiliary[1].shape[1:]))
    model = _Ensemble(row, [value, *heads], name="ensemble")
    model.losses_of_outputs = [loss]
    if auxiliary is not None:
        weight = auxiliary[2]
        model.losses_of_outputs += [lambda y_true, y_pred: weight * ops.sum(ops.abs(y_true - y_pred), axis=(1, 2))]
    return model


def _auxiliary_head(value: Any, shape: tuple[int, ...]) -> Any:
    normal, constant = keras.initializers.TruncatedNormal(stddev=0.1, seed=0), keras.initializers.Constant(0.1)
    drawn = {"kernel_initializer": normal, "bias_initializer": constant}
    head = keras.layers.EinsumDense("bni,nio->bno", shape, bias_axes="no", **drawn)
    return head(keras.layers.Reshape((shape[0], -1))(value))


def _stack(networks: Sequence[keras.Model]) -> keras.Model:
    """Build one model with outputs ``(n, networks, classes)``, whose weights are the networks', stacked."""
    first = networks[0]
    stacked = keras.Sequential([keras.Input(first.input_shape[1:])])
    alone = len(networks) == 1  # its layers stay as they are: XLA trains large matrices twice as fast as stacks of one
    for layer in first.layers:
        if alone:
            stacked.add(type(layer).from_config(layer.get_config()))
        elif isinstance(layer, keras.layers.Dropout):
            # One draw for all the networks costs a network's share of it only, and leaves each as it would be alone.
            stacked.add(keras.layers.Dropout(layer.rate, (None, 1, None), seed=layer.seed, name=layer.name))
        else:
            stacked.add(_side_by_side(layer, len(networks)))
    if alone:
        stacked.add(keras.layers.Reshape((1, first.output_shape[-1])))
        stacked.set_weights(first.get_weights())
    else:
        same = zip(*(network.get_weights() for network in networks), strict=True)
        stacked.set_weights([np.stack(weights) for weights in same])
    for own, copy in zip(first.layers, stacked.layers, strict=False):
        copy.trainable = own.trainable
        for variable, its_copy in zip(own.weights, copy.weights, strict=True):
            its_copy.trainable = variable.trainable
    return stacked


def _side_by_side(layer: Any, networks: int) -> keras.layers.Layer:
    """Return the layer of several networks: what holds for a weight or an output holds for each network's."""
    inputs, units = layer.kernel.shape
    residual, policy = isinstance(layer, ResidualDense), layer.dtype_policy
    settings = {"use_bias": layer.use_bias, "name": layer.name, "dtype": policy}
    made = EnsembleDense(networks, inputs, units, layer.activation, residual, **settings)
    made.activity_regularizer = _each(layer.activity_regularizer, ops.sum, axis=1)
    for weight, name in ((made.kernel, "kernel"), (made.bias, "bias")):
        if weight is not None:
            weight.regularizer = _each(getattr(layer, f"{name}_regularizer"), ops.sum)
            weight.constraint = _each(getattr(layer, f"{name}_constraint"), lambda parts: parts)
    return made


def _each(function: Any, together: Callable[[Any], Any], axis: int = 0) -> Any:
    def of_each(values: Any) -> Any:
        parts = [function(part) for part in ops.unstack(ops.convert_to_tensor(values), axis=axis)]
        return together(ops.stack(parts))

    return None if function is None else of_each


_LAYERS = (keras.layers.Dense, ResidualDense, keras.layers.Dropout)
# How weights were drawn no longer matters, and dropout is drawn once for all.
_MAY_DIFFER = ("name", "seed", "kernel_initializer", "bias_initializer")
_KEPT_TO = ("units", "rate", "activation", "use_bias", "trainable", "dtype", "kernel_regularizer", "bias_regularizer",
            "activity_regularizer", "kernel_constraint", "bias_constraint", *_MAY_DIFFER)  # fmt: skip
_BY_WHOLE_WEIGHTS = ("Adafactor", "Lamb", "Muon")


def _check(networks: Sequence[keras.Model], optimizer: Any) -> None:
    if len({id(network) for network in networks}) < len(networks):
        raise ValueError("expected each network once; received one several times")
    for network in networks:
        if not isinstance(network, keras.Sequential) or not network.built or not network.layers:
            raise ValueError(f"expected built Sequential models; received {type(network).__name__} {network.name!r}")
        for i, layer in enumerate(network.layers):
            if type(layer) not in (_LAYERS if i else _LAYERS[:2]):
                wanted = "Dense and Dropout layers" if i else "a Dense layer first"
                raise ValueError(f"expected {wanted}; received {type(layer).__name__} {layer.name!r}")
        shapes, expected = ([weight.shape for weight in model.weights] for model in (network, networks[0]))
        if shapes != expected or len(network.layers) != len(networks[0].layers):
            raise ValueError(f"expected networks of one shape, {expected}; received {shapes}")
        for layer, first in zip(network.layers, networks[0].layers, strict=True):
            _check_settings(layer, first, len(networks) > 1)
    if len(networks) > 1:
        clips = [name for name in ("clipnorm", "global_clipnorm") if getattr(optimizer, name, None)]
        if clips or type(optimizer).__name__ in _BY_WHOLE_WEIGHTS:
            told = f"{type(optimizer).__name__} {' '.join(clips)}".strip()
            raise ValueError(f"expected an optimizer that goes value by value, for several networks; received {told}")


def _check_settings(layer: Any, first: Any, several: bool) -> None:
    if type(layer) is not type(first):
        raise ValueError(f"expected a {type(first).__name__} like the first network's; received {type(layer).__name__}")
    own, its = layer.get_config(), first.get_config()
    for name in {*own, *its}:
        if name not in _MAY_DIFFER and own.get(name) != its.get(name):
            told = f"{its.get(name)!r}; received {own.get(name)!r}"
            raise ValueError(f"expected the first network's {name} in layer {layer.name!r}, {told}")
        if several and name not in _KEPT_TO and own[name] is not None:
            raise ValueError(f"networks side by side cannot keep to {name} of layer {layer.name!r}, {own[name]!r}")
    if [v.trainable for v in layer.weights] != [v.trainable for v in first.weights]:
        raise ValueError(f"expected the same weights frozen as in the first network; layer {layer.name!r} differs")
