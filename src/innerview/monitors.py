"""Watching a network while it trains: loss, gradients, weights and activations, as one Keras callback."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from innerview.activations import with_outputs
from innerview.datasets import written_whole


class Monitor(keras.callbacks.Callback):
    """Records what happens inside a network every so many steps of training (document D, rows D1 to D4).

    All is measured on one fixed batch, at the start and then every `every` steps, with the network in training mode.
    The network itself is not changed. Give `fit` a `steps_per_execution` that divides `every`, or records come late.

    Use it as a callback, or, to be sure that records reach the disk whatever stops the training, as a context::

        with Monitor(x, y, every=200, gradients=["hidden1"], path="records.npz") as monitor:
            network.fit(..., callbacks=[monitor])

    If the loss is no longer finite, training stops after a last record.

    Args:
        x: inputs to measure on, of shape ``(n, ...)``.
        y: their targets, as the loss wants them.
        every: steps between two records.
        gradients: names of layers whose gradients are recorded, by each of their weights.
        norms: names of layers of which only the gradient's Euclidean norm, over all weights, is recorded.
        weights: names of layers whose weights are recorded.
        activations: names of layers whose outputs are recorded.
        path: an ``.npz`` file to write the records to when training ends or is cut off. The default writes none.
        limit: the most records to keep. When they are as many, every second one is dropped and `every` doubles.

    Raises:
        ValueError: `every` is below 1 or `limit` below 3; when training starts, if the network lacks a named layer.
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
        path: str | Path | None = None,
        limit: int = 500,
    ):
        super().__init__()
        if every < 1 or limit < 3:
            raise ValueError(f"every must be at least 1 and limit at least 3; received {every} and {limit}")
        self.x, self.y, self.every, self.limit = x, y, every, limit
        self.layers = {"gradient": gradients, "norm": norms, "weights": weights, "activations": activations}
        self.path = None if path is None else Path(path)
        self._network: keras.Model | None = None
        self._records: list[dict[str, np.ndarray]] = []
        self._next = self._epoch_start = self._steps = 0

    @property
    def history(self) -> dict[str, np.ndarray]:
        """The records so far, as arrays whose first axis is the record.

        ``"step"`` and ``"loss"``, of shape ``(records,)``; for each layer and each of its weights such as ``kernel``,
        ``"LAYER kernel gradient"`` and ``"LAYER kernel"``; ``"LAYER gradient norm"``; ``"LAYER activations"``.
        Gradients are those of the loss as the network is trained on it, usually a mean over the batch.
        """
        if not self._records:
            return {}
        return {name: np.array([record[name] for record in self._records]) for name in self._records[0]}

    def attach(self, network: keras.Model, loss: Any) -> None:
        """Watch `network` by `loss`. It is called when training starts, with the network that is trained and its loss.

        Call it before, to watch a part of the trained model that shares its weights.
        """
        watched = [name for names in self.layers.values() for name in names]
        seen = with_outputs(network, watched).output if watched else {}
        self._network, self._keep = network, _Keep()
        # All is found in one compiled call, which leaves it in variables: a call for each would cost as much again.
        self._note = _Note([seen[name] for name in self.layers["activations"]], len(self.x))
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
        gradients = {variable.path: kept for variable, kept in self._keep.kept}  # read below, if they are watched
        found: dict[str, np.ndarray] = {"step": np.array(step), "loss": np.array(loss)}
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
        self._records.append(found)
        if len(self._records) >= self.limit:
            self._records, self.every = self._records[::2], 2 * self.every
        self._next = int(self._records[-1]["step"]) + self.every
        if not np.isfinite(loss) and self.model is not None:
            self.model.stop_training = True

    def look(self, networks: Sequence[keras.Model], loss: Any) -> dict[str, np.ndarray]:
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

    def save(self) -> None:
        """Write the records so far to `path`, if there is one: all of them or, on an error, nothing."""
        if self.path is not None and self._records:
            with written_whole(self.path) as temporary:
                np.savez(temporary, allow_pickle=False, **self.history)

    def on_train_begin(self, logs: Any = None) -> None:
        """Record the network as it is before the first step; a second `fit` goes on from where the first ended."""
        if self._network is None:
            self.attach(self.model, self.model.loss)
        if self._steps >= self._next:
            self.record(self._steps)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record, if it is time to."""
        self._steps = self._epoch_start + batch + 1
        if self._steps >= self._next:
            self.record(self._steps)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Go on counting steps from here."""
        self._epoch_start = self._steps

    def on_train_end(self, logs: Any = None) -> None:
        """Write the records."""
        self.save()

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *error: object) -> None:
        self.save()


class _Note(keras.layers.Layer):
    """Passes its first input on, and keeps the others in variables."""

    def __init__(self, watched: list[Any], size: int):
        super().__init__()
        self.watched = watched
        self.seen = [self.add_weight((size, *w.shape[1:]), dtype=w.dtype, trainable=False) for w in watched]

    def call(self, inputs: list[Any]) -> Any:
        for variable, value in zip(self.seen, inputs[1:], strict=True):
            variable.assign(value)
        return inputs[0]


class _Keep(keras.optimizers.Optimizer):
    """An optimizer that moves nothing and keeps each gradient: how Keras, on any backend, hands out gradients."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.0, name="keep")

    def build(self, variables: Any) -> None:
        if not self.built:
            super().build(variables)
            self.kept = [(v, self.add_variable_from_reference(v, name="gradient")) for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign(self.kept[self._get_variable_index(variable)][1], gradient)
