"""Callbacks: watching a network while it trains, and writing down how a descent or an ensemble goes."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from innerview.activations import feature_extractor


class Monitor(keras.callbacks.Callback):
    """Records what happens inside a network every so many steps of training (document D, rows D1 to D4).

    All is measured on one fixed batch, at the start and then every `every` steps, with the network in training mode.
    The network itself is not changed. Give `fit` a `steps_per_execution` that divides `every`, or records come late.
    If the loss is no longer finite, training stops after a last record.

    Args:
        x, y: the batch: inputs ``(n, ...)``, and targets as the loss wants them.
        every: steps between two records.
        gradients: names of layers whose gradients are recorded, by each of their weights.
        norms: names of layers of which only the gradient's Euclidean norm, over all weights, is recorded.
        weights, activations: names of layers whose weights or outputs are recorded.
        limit: the most records to keep. When they are as many, every second one is dropped and `every` doubles.

    It is a ValueError if `every` is below 1 or `limit` below 3, or, when training starts, if a named layer is missing.

    Example::

        monitor = Monitor(x[:100], y[:100], every=200, norms=["hidden1", "output"])
        network.fit(x, y, callbacks=[monitor])
        np.savez("records.npz", **monitor.history)
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        every: int,
        *,
        gradients: Sequence[str] = (),
        norms: Sequence[str] = (),
        weights: Sequence[str] = (),
        activations: Sequence[str] = (),
        limit: int = 500,
    ):
        super().__init__()
        if every < 1 or limit < 3:
            raise ValueError(f"every must be at least 1 and limit at least 3; received {every} and {limit}")
        self.x, self.y, self.every, self.limit = x, y, every, limit
        self.layers = {"gradient": gradients, "norm": norms, "weights": weights, "activations": activations}
        self._network: keras.Model | None = None
        self._records: list[dict[str, np.ndarray]] = []
        self._next = self._epoch_start = self._steps = 0

    @property
    def history(self) -> dict[str, np.ndarray]:
        """The records so far, as arrays whose first axis is the record; a simple form to save and to `restore`.

        ``"step"`` and ``"loss"``, of shape ``(records,)``; for each layer and each of its weights such as ``kernel``,
        ``"LAYER kernel gradient"`` and ``"LAYER kernel"``; ``"LAYER gradient norm"``; ``"LAYER activations"``.
        Gradients are those of the loss as the network is trained on it, usually a mean over the batch.
        """
        if not self._records:
            return {}
        return {name: np.array([record[name] for record in self._records]) for name in self._records[0]}

    def restore(self, history: Mapping[str, np.ndarray]) -> None:
        """Take over the records of an earlier run, as `history` gave them."""
        records = len(next(iter(history.values()), ()))
        self._records = [{name: values[i] for name, values in history.items()} for i in range(records)]

    def attach(self, network: keras.Model, loss: Any) -> None:
        """Watch `network` by `loss`, as when training starts; call it before, to watch a part of the trained model."""
        watched = [name for names in self.layers.values() for name in names]
        seen = feature_extractor(network, watched).output if watched else {}
        self._network, self._keep = network, _KeepGradients()
        # All is found in one compiled call, which leaves it in variables: a call for each would cost as much again.
        self._note = _KeepInputs([seen[name] for name in self.layers["activations"]], len(self.x))
        outputs = [self._note([output, *self._note.watched]) for output in network.outputs]
        self._probe = keras.Model(network.inputs, outputs)
        self._probe.compile(self._keep, loss, jit_compile=True)
        self._batch = ops.convert_to_tensor(self.x), ops.convert_to_tensor(self.y)

    def record(self, step: int) -> None:
        """Measure once, and keep it as the record of `step`."""
        assert self._network is not None
        # In training mode a network may change its state: moving means, seeds of dropout. That is put back.
        state = [(variable, np.array(variable)) for variable in self._network.non_trainable_variables]
        loss = self._probe.train_on_batch(*self._batch)
        for variable, value in state:
            variable.assign(value)
        self._records.append({"step": np.array(step), "loss": np.array(loss), **self._found()})
        if len(self._records) >= self.limit:
            self._records, self.every = self._records[::2], 2 * self.every
        self._next = int(self._records[-1]["step"]) + self.every
        if not np.isfinite(loss) and self.model is not None:
            self.model.stop_training = True

    def _found(self) -> dict[str, np.ndarray]:
        assert self._network is not None
        gradients = dict(zip(self._keep.paths, self._keep.kept, strict=True))  # read below, if they are watched
        found: dict[str, np.ndarray] = {}
        for what, names in self.layers.items():
            for name in names:
                own = self._network.get_layer(name).trainable_variables
                if what == "norm":
                    squares = sum(float((np.array(gradients[v.path], "float64") ** 2).sum()) for v in own)
                    found[f"{name} gradient norm"] = np.sqrt(squares)
                elif what == "gradient":
                    found |= {f"{name} {v.name} gradient": np.array(gradients[v.path]) for v in own}
                elif what == "weights":
                    found |= {f"{name} {v.name}": np.array(v) for v in own}
        for name, seen in zip(self.layers["activations"], self._note.seen, strict=True):
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
        if self._network is None:
            self.attach(self.model, self.model.loss)
        if self._steps >= self._next:
            self.record(self._steps)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record, if it is time to."""
        self._steps = self._epoch_start + batch + 1
        if self._steps >= self._next and self.model is not None:  # asking for it brings JAX' weights up to date
            self.record(self._steps)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Go on counting steps from here."""
        self._epoch_start = self._steps


class _KeepInputs(keras.layers.Layer):
    """Passes its first input on, and keeps the others in variables."""

    def __init__(self, watched: list[Any], size: int):
        super().__init__()
        self.watched = watched
        self.seen = [self.add_weight((size, *w.shape[1:]), dtype=w.dtype, trainable=False) for w in watched]

    def call(self, inputs: list[Any]) -> Any:
        for variable, value in zip(self.seen, inputs[1:], strict=True):
            variable.assign(value)
        return inputs[0]

    def compute_output_spec(self, inputs: list[Any]) -> Any:
        # Said, because JAX cannot find it by calling a layer that writes into variables.
        return keras.KerasTensor(inputs[0].shape, inputs[0].dtype)


class _KeepGradients(keras.optimizers.Optimizer):
    """An optimizer that moves nothing and keeps each gradient: how Keras, on any backend, hands out gradients."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.0, name="keep")

    def build(self, variables: Any) -> None:
        if not self.built:
            super().build(variables)
            self.paths = [variable.path for variable in variables]
            self.kept = [self.add_variable_from_reference(variable, name="gradient") for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign(self.kept[self._get_variable_index(variable)], gradient)


def steps_between_logs(steps: int, log_every: int | None) -> int:
    """Return how many steps lie between two records: all, if `log_every` is None. ValueError if it does not fit."""
    every = steps if log_every is None else log_every
    if steps < 1 or every < 1 or steps % every:
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
        self._records["step"].append(batch + 1)
        for name, (x, y) in self.eval_sets.items():
            # Called directly, which for a few large batches takes half the time of predict.
            parts = [self.ensemble(x[i : i + 2_000], training=False) for i in range(0, len(x), 2_000)]
            output = np.concatenate([ops.convert_to_numpy(part) for part in parts])
            one_hot = np.broadcast_to(np.eye(output.shape[-1], dtype="float32")[y][:, None, :], output.shape)
            losses = ops.convert_to_numpy(self.loss(ops.convert_to_tensor(one_hot), ops.convert_to_tensor(output)))
            self._records.setdefault(f"{name} loss", []).append(losses.mean(axis=0))
            self._records.setdefault(f"{name} accuracy", []).append((output.argmax(-1) == y[:, None]).mean(axis=0))


class InversionLog(keras.callbacks.Callback):
    """Puts into the logs of each epoch how far the images are (used by `fit_inputs`).

    ``"distances"`` from the target; with `original`, also ``"m_g"`` and ``"m_i"``, as in `InversionResult`.
    """

    def __init__(self, images: Any, matching: Any, original: np.ndarray | None):
        super().__init__()
        self.images, self.matching, self.original = images, matching, original

    def measure(self) -> dict[str, np.ndarray]:
        """Return what the logs get, as arrays."""
        outputs = self.images(None)
        found = {"distances": self.matching(outputs)}
        if self.original is not None:
            target, images = (ops.convert_to_tensor(v) for v in (self.matching.target, self.images.images))
            for name, error in {"m_g": target - outputs, "m_i": self.original - images}.items():
                error = ops.reshape(error, (*found["distances"].shape, -1))
                found[name] = ops.sqrt(ops.sum(ops.square(error), axis=-1))
        return {name: ops.convert_to_numpy(values) for name, values in found.items()}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measure, and put it into the logs, from where Keras' own history takes it."""
        logs.clear()
        logs |= self.measure()
