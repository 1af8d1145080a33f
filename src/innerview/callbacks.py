"""Callbacks: watching a network while it trains, and writing down how a descent or an ensemble goes."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from innerview import checks
from innerview.activations import feature_extractor, get_activations, graph_of, inputs_of
from innerview.layers import EnsembleDense


class Monitor(keras.callbacks.Callback):
    """Records what happens inside a network every so many steps of training (document D, rows D1 to D4).

    All is measured on one fixed batch, at the start and then every `every` steps, with the network in training mode
    and by the loss that it is compiled with, its penalties included. The network itself is not changed. Give `fit` a
    `steps_per_execution` that divides `every`, or records come late. If the loss is no longer finite, training stops
    after a last record. A second `fit` of the same network goes on from where the first ended.

    Args:
        x: the batch's inputs, of shape ``(n, ...)``, or a list or dict of such.
        y: its targets, as the loss wants them.
        every: steps between two records.
        gradients: names of layers whose gradients are recorded, by each of their weights that are trained.
        norms: names of layers of which only the gradient's Euclidean norm, over all their weights, is recorded.
        weights: names of layers whose weights are recorded, also those that are not trained.
        activations: names of layers whose outputs are recorded; they must be connected, see `feature_extractor`.
        limit: the most records to keep. When they are as many, every second one is dropped and `every` doubles.
        sample_weight: of the batch, of shape ``(n,)``, if `fit` gets one.
        class_weight: as `fit` gets it; not both.

    Raises:
        ValueError: `every` is below 1 or `limit` below 3, the batch is empty or not finite, or its parts differ in
            length. When training starts: a named layer is missing, or has nothing to train; `fit` weighs classes or
            samples and the monitor was not told; the network trains by a `train_step` of its own; or it is another
            network than before.

    Example:
        >>> network = one_hidden_layer(seed=0)
        >>> network.compile("sgd", "sparse_categorical_crossentropy")
        >>> x, y = np.zeros((20, 784), "float32"), np.zeros(20, "int64")
        >>> monitor = Monitor(x, y, every=2, norms=["hidden"], weights=["output"])
        >>> history = network.fit(x, y, batch_size=5, callbacks=[monitor], verbose=0)
        >>> monitor.history["step"], monitor.history["output kernel"].shape
        (array([0, 2, 4]), (3, 300, 10))
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        every: int,
        *,
        gradients: Sequence[str] = (),
        norms: Sequence[str] = (),
        weights: Sequence[str] = (),
        activations: Sequence[str] = (),
        limit: int = 500,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
    ):
        super().__init__()
        self.every, self.limit = checks.whole("every", every), checks.whole("limit", limit, 3)
        parts = keras.tree.flatten([x, y, [] if sample_weight is None else sample_weight])
        if len({len(part) for part in parts}) != 1 or not len(parts[0]):
            raise ValueError(f"expected a batch of inputs and targets, as many; received {[len(p) for p in parts]}")
        if any(np.asarray(part).dtype.kind == "f" and not np.isfinite(part).all() for part in parts):
            raise ValueError("expected a batch of finite values; received NaN or infinite ones")
        self.x, self.y, self.sample_weight, self.class_weight = x, y, sample_weight, class_weight
        self.layers = {"gradient": gradients, "norm": norms, "weights": weights, "activations": activations}
        self._network: keras.Model | None = None
        self._trained: keras.Model | None = None
        self._records: list[dict[str, np.ndarray]] = []
        self._next = self._epoch_start = self._steps = 0

    @property
    def history(self) -> dict[str, np.ndarray]:
        """The records so far, as arrays whose first axis is the record; a simple form to save and to `restore`.

        ``"step"`` and ``"loss"``, of shape ``(records,)``; for each layer and each of its weights such as ``kernel``,
        ``"LAYER kernel gradient"`` and ``"LAYER kernel"``; ``"LAYER gradient norm"``; ``"LAYER activations"``. Where
        weights inside a layer share a name, it is their path, as in ``"lstm forward_lstm/lstm_cell/kernel"``.
        Gradients are those of the loss as the network is trained on it, usually a mean over the batch.

        ``np.savez("records.npz", **monitor.history)`` writes them, and ``restore(np.load("records.npz"))`` reads them.
        """
        if not self._records:
            return {}
        return {name: np.array([record[name] for record in self._records]) for name in self._records[0]}

    def restore(self, history: Mapping[str, np.ndarray]) -> None:
        """Take over the records of an earlier run, as `history` gave them."""
        arrays = {name: np.asarray(history[name]) for name in history}
        if len({len(values) for values in arrays.values()}) > 1:
            raise ValueError(f"expected as many records of each; received { {n: len(v) for n, v in arrays.items()} }")
        records = len(next(iter(arrays.values()), ()))
        self._records = [{name: values[i] for name, values in arrays.items()} for i in range(records)]
        self._steps = int(arrays["step"][-1]) if records else 0  # from where the next `fit` goes on
        self._next = self._steps + self.every

    def attach(self, network: keras.Model, loss: Any, loss_weights: Any = None) -> None:
        """Watch `network` by `loss`, as when training starts; call it before, to watch a part of the trained model."""
        if self._network is not None and network is not self._network:
            raise ValueError("this monitor has watched another network; take a new Monitor for each")
        for name in {*self.layers["gradient"], *self.layers["norm"]}:
            if not _layer(network, name).trainable_variables:
                raise ValueError(f"expected a layer that is trained; received {name!r}, frozen or without weights")
        for name in self.layers["weights"]:
            _layer(network, name)
        if getattr(network, "inputs", None):
            checks.inputs(network, self.x)
        with checks.same_random_state():
            self._network, self._keep = network, _KeepGradients()
            # All is found in one compiled call, which leaves it in variables: a call for each would cost as much again.
            self._probe = _Probe(network, self.layers["activations"], self.x)
            plain = {"jit_compile": dense_only(network), "auto_scale_loss": False}
            self._probe.compile(self._keep, loss, loss_weights, **plain)

    def record(self, step: int) -> None:
        """Measure once, and keep it as the record of `step`."""
        assert self._network is not None
        # In training mode a network may change its state: moving means, seeds of dropout. That is put back.
        state = [(variable, np.array(variable)) for variable in self._network.non_trainable_variables]
        weighed = {"sample_weight": self.sample_weight, "class_weight": self.class_weight}
        try:
            loss = self._probe.train_on_batch(self.x, self.y, **weighed, return_dict=True)["loss"]
        finally:
            for variable, value in state:
                variable.assign(value)
        found = {"step": np.array(step), "loss": np.array(loss), **self._found()}
        if self._records and set(found) != set(self._records[0]):
            raise ValueError("what is trained has changed since the first record; take a new Monitor")
        self._records.append(found)
        if len(self._records) >= self.limit:
            self._records, self.every = self._records[::2], 2 * self.every
        self._next = int(self._records[-1]["step"]) + self.every
        if not np.isfinite(loss) and self.model is not None:
            self.model.stop_training = True

    def _found(self) -> dict[str, np.ndarray]:
        gradients = self._keep.kept  # read below, if they are watched
        found: dict[str, np.ndarray] = {}
        for what, names in self.layers.items():
            for name in names if what != "activations" else ():
                layer = _layer(self._network, name)
                called, own = _names_of_weights(layer), layer.trainable_variables
                if what == "norm":
                    squares = sum(float((np.array(gradients[id(v)], "float64") ** 2).sum()) for v in own)
                    found[f"{name} gradient norm"] = np.sqrt(squares)
                elif what == "gradient":
                    found |= {f"{name} {called[id(v)]} gradient": np.array(gradients[id(v)]) for v in own}
                else:
                    found |= {f"{name} {called[id(v)]}": np.array(v) for v in layer.weights}
        for name, seen in self._probe.seen.items():
            found[f"{name} activations"] = np.array(seen)
        return found

    def measure(self, networks: Sequence[keras.Model], loss: Any) -> dict[str, np.ndarray]:
        """Record each of some networks of one shape once, untrained or trained, and return the history (rows D1, D5).

        The n-th record is the n-th network's. What is compiled for the first one serves them all.
        """
        own = networks[0].get_weights()
        self.attach(networks[0], loss)
        try:
            for i, weights in enumerate([own, *(network.get_weights() for network in networks[1:])]):
                networks[0].set_weights(weights)
                self.record(i)
        finally:
            networks[0].set_weights(own)
        return self.history

    def on_train_begin(self, logs: Any = None) -> None:
        """Record the network as it is before the first step; a second `fit` goes on from where the first ended."""
        if self._network is None or self._trained is not None:
            self._check_loss()
            self._trained = self.model
            weights = getattr(self.model._compile_loss, "_user_loss_weights", None)
            self.attach(self.model, self.model.loss, weights)  # anew, for it may have been compiled anew
        self._epoch_start = self._steps
        if self._steps >= self._next:
            self.record(self._steps)

    def _check_loss(self) -> None:
        for method in ("train_step", "compute_loss"):
            if getattr(type(self.model), method) is not getattr(keras.Model, method):
                raise ValueError(f"expected a network trained by its compiled loss; received one with its own {method}")
        # Keras tells callbacks nothing of weights of classes or samples, and a loss without them would be another.
        frame, given = inspect.currentframe(), {"class_weight": self.class_weight, "sample_weight": self.sample_weight}
        while frame is not None and not (frame.f_code.co_name == "fit" and given.keys() <= frame.f_locals.keys()):
            frame = frame.f_back
        for name in given if frame is not None else ():
            if frame is not None and frame.f_locals[name] is not None and given[name] is None:
                raise ValueError(f"fit has a {name}; give the Monitor the {name} that belongs to its batch, too")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Count steps from here."""
        self._epoch_start = self._steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record, if it is time to."""
        self._steps = self._epoch_start + (batch + 1) * getattr(self.model, "steps_in_a_batch", 1)
        if self._steps >= self._next and self.model is not None:  # asking for it brings JAX' weights up to date
            self.record(self._steps)


def dense_only(model: keras.Model) -> bool:
    """Return whether a model has dense layers and none that XLA makes slower on processors."""
    plain = (keras.layers.Dense, EnsembleDense, keras.layers.InputLayer, keras.layers.Dropout, keras.layers.Reshape)
    return all(isinstance(layer, (keras.Model, *plain)) for layer in model._flatten_layers())


def _layer(network: Any, name: str) -> keras.layers.Layer:
    for part in name.split("/"):  # a path leads into models that are layers
        known = {layer.name: layer for layer in getattr(network, "layers", ())}
        if part not in known:
            raise ValueError(f"expected layers among {list(known)}; received {name!r}")
        network = known[part]
    return network


def _names_of_weights(layer: keras.layers.Layer) -> dict[int, str]:
    """Return a name for each weight, by identity: its own if no other has it, else its path inside the layer."""
    own = [weight.name for weight in layer.weights]
    found: dict[int, str] = {}
    for weight in layer.weights:
        parts, name = weight.path.split("/"), weight.name
        if own.count(name) > 1:
            inside = parts.index(layer.name) + 1 if layer.name in parts else 0
            name = "/".join(parts[inside:])
        while name in found.values():  # layers may give two weights one path
            name += " again"
        found[id(weight)] = name
    return found


class _Probe(keras.Model):
    """The network, as its training sees it; outputs of watched layers are left in variables."""

    def __init__(self, network: keras.Model, watched: Sequence[str], x: Any):
        super().__init__(name="probe")
        self.output_names = getattr(network, "output_names", None)  # by which losses may be told apart
        self.network, self.seen = network, {}
        if watched:
            extractor = feature_extractor(network, list(watched))
            outputs = [graph_of(network).output, [extractor.output[name] for name in watched]]
            self.network = keras.Model(inputs_of(network), outputs)
            for name, values in get_activations(network, x, watched).items():
                values = checks.array(f"the output of {name}", values, dtype=values.dtype.name)
                self.seen[name] = self.add_weight(values.shape, dtype=values.dtype.name, trainable=False)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        found = self.network(inputs, training=training)
        if not self.seen:
            return found
        outputs, seen = found
        for variable, value in zip(self.seen.values(), seen, strict=True):
            variable.assign(value)
        return outputs


class _KeepGradients(keras.optimizers.Optimizer):
    """An optimizer that moves nothing and keeps each gradient: how Keras, on any backend, hands out gradients."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.0, name="keep")
        self.kept: dict[int, Any] = {}

    def build(self, variables: Any) -> None:
        if not self.built:
            super().build(variables)
            self._kept = [self.add_variable_from_reference(variable, name="gradient") for variable in variables]
            self.kept = {id(variable): kept for variable, kept in zip(variables, self._kept, strict=True)}

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        kept = self._kept[self._get_variable_index(variable)]
        self.assign(kept, ops.zeros(kept.shape, kept.dtype))
        self.assign_add(kept, gradient)  # an embedding's comes as slices, and one row may come several times


def steps_between_logs(steps: int, log_every: int | None) -> int:
    """Return how many steps lie between two records: all, if `log_every` is None. ValueError if it does not fit."""
    every = checks.whole("steps", steps) if log_every is None else checks.whole("log_every", log_every)
    if checks.whole("steps", steps) % every:
        raise ValueError(f"steps must be a positive multiple of log_every; received {steps} and {every}")
    return every


class EnsembleLog(keras.callbacks.Callback):
    """Measures loss and accuracy of networks side by side, after each execution of steps; see `fit_ensemble`."""

    def __init__(self, ensemble: keras.Model, eval_sets: Mapping[str, tuple[np.ndarray, np.ndarray]], loss: Any):
        super().__init__()
        self.ensemble, self.eval_sets, self.loss = ensemble, eval_sets, loss
        self._records: dict[str, list[Any]] = {"step": []}

    @property
    def history(self) -> dict[str, np.ndarray]:
        """What `fit_ensemble` returns."""
        return {name: np.array(values) for name, values in self._records.items()}

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Measure."""
        assert self.model is not None  # asking for it brings JAX' weights up to date
        self._records["step"].append((batch + 1) * self.model.steps_in_a_batch)
        for name, (x, y) in self.eval_sets.items():
            # Called directly, which for a few large batches takes half the time of predict.
            parts = [self.ensemble(x[i : i + 2_000], training=False) for i in range(0, len(x), 2_000)]
            output = np.concatenate([ops.convert_to_numpy(part) for part in parts])
            one_hot = np.broadcast_to(np.eye(output.shape[-1], dtype="float32")[y][:, None, :], output.shape)
            losses = ops.convert_to_numpy(self.loss(ops.convert_to_tensor(one_hot), ops.convert_to_tensor(output)))
            self._records.setdefault(f"{name} loss", []).append(losses.mean(axis=0))
            self._records.setdefault(f"{name} accuracy", []).append((output.argmax(-1) == y[:, None]).mean(axis=0))


class InversionLog(keras.callbacks.Callback):
    """Records how far the images are, at the start and after each execution of steps (used by `fit_inputs`).

    ``"distances"`` from the target; with `original`, also ``"m_g"`` and ``"m_i"``, as in `InversionResult`.
    """

    def __init__(self, images: Any, target: np.ndarray, original: np.ndarray | None):
        super().__init__()
        self.images, self.target, self.original = images, target, original
        self.records: list[dict[str, np.ndarray]] = []

    def record(self, model: keras.Model) -> None:
        """Measure once."""
        told = model.predict_on_batch(np.zeros((1, 1), "float32"))  # compiled once, as the steps are
        found = {"distances": told["distances"]}
        if self.original is not None:
            pairs = {"m_g": (self.target, told["outputs"]), "m_i": (self.original, np.array(self.images.images))}
            for name, (one, other) in pairs.items():
                error = (one - other).reshape(*found["distances"].shape, -1)
                found[name] = np.sqrt(np.square(error).sum(axis=-1))
        self.records.append(found)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Measure."""
        self.record(self.model)
