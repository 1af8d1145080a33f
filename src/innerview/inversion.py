"""Inputs found by training: the image is the one trainable weight, in front of a frozen network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

Distance = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Descent:
    """What a descent found and how it went.

    ``images`` has the shape and dtype of the start. ``steps`` holds the step numbers at which the distance was
    recorded, from 0, the start, on; ``distances`` has shape ``(records, n)``, or ``(records, n, ...)`` if there are
    several for each image.
    """

    images: np.ndarray
    steps: np.ndarray
    distances: np.ndarray


def match(
    encoder: keras.Model,
    target: np.ndarray,
    start: np.ndarray,
    *,
    distance: Distance,
    optimizer: keras.optimizers.Optimizer,
    steps: int,
    regularizer: keras.regularizers.Regularizer | None = None,
    constraint: keras.constraints.Constraint | None = None,
    record_every: int | None = None,
) -> Descent:
    """Find inputs whose outputs match a target (document E, rows E1, E4 and E5).

    This is ordinary Keras training. The inputs are the one trainable weight of a layer in front of the encoder, which
    is frozen and runs in inference mode. The loss is the distance to the target, summed over the batch, so that many
    targets go side by side and do not mix.

    Args:
        encoder: maps inputs ``(n, ...)`` to outputs ``(n, ...)``; it is not changed.
        target: the outputs to reach, of the encoder's output shape.
        start: where the inputs start, of shape ``(n, ...)``. Not changed.
        distance: maps target and output to distances, of shape ``(n,)``, or ``(n, ...)`` for several an input.
        optimizer: any Keras optimizer; a falling learning rate is its schedule.
        steps: how many steps to take.
        regularizer: a penalty on the inputs, added to the loss.
        constraint: applied to the inputs after each step.
        record_every: steps between two records of the distance; `steps` must be a multiple of it. The default
            records the start and the end.

    Raises:
        ValueError: target or start do not fit the encoder or each other, or `steps` does not fit `record_every`.
    """
    record_every = steps if record_every is None else record_every
    if steps < 1 or record_every < 1 or steps % record_every:
        raise ValueError(f"steps must be a positive multiple of record_every; received {steps} and {record_every}")
    for name, array, expected in (
        ("start", start, encoder.input_shape[1:]),
        ("target", target, encoder.output_shape[1:]),
    ):
        if array.shape[1:] != expected or len(array) != len(start):
            raise ValueError(f"{name} must have shape {(len(start), *expected)}; received {array.shape}")

    was_trainable = encoder.trainable
    encoder.trainable = False
    try:
        image = _Image(start, encoder, constraint, regularizer)
        tick = keras.Input((1,))  # Keras wants an input; it carries nothing but the count of the steps
        model = keras.Model(tick, image(tick))
        loss = _Matching(target, distance)
        model.compile(optimizer, loss, jit_compile=True, steps_per_execution=record_every)
        recorder = _Recorder(image, loss, record_every)
        ticks = np.zeros((steps, 1), "float32")
        model.fit(ticks, ticks, batch_size=1, shuffle=False, verbose=0, callbacks=[recorder])
    finally:
        encoder.trainable = was_trainable
    return Descent(ops.convert_to_numpy(image.images), np.array(recorder.steps), np.array(recorder.distances))


class _Image(keras.layers.Layer):
    """Returns the encoder's outputs for its one trainable weight, the images, whatever it is called with."""

    def __init__(self, start: np.ndarray, encoder: keras.Model, constraint: Any, regularizer: Any):
        super().__init__(dtype=start.dtype.name)
        self.encoder = encoder

        def initializer(shape: Any, dtype: Any) -> Any:
            return ops.convert_to_tensor(start, dtype)

        self.images = self.add_weight(
            shape=start.shape, initializer=initializer, constraint=constraint, regularizer=regularizer
        )

    def call(self, tick: Any) -> Any:
        # Said here, not in the model around: there, fit would overrule it, and dropout would be on.
        return self.encoder(self.images, training=False)


class _Matching(keras.losses.Loss):
    """The distance to a fixed target, summed over the batch."""

    def __init__(self, target: np.ndarray, distance: Distance):
        super().__init__(reduction="sum", dtype=target.dtype.name)
        self.target, self.distance = ops.convert_to_tensor(target), distance

    def call(self, tick: Any, output: Any) -> Any:
        return self.distance(self.target, output)


class _Recorder(keras.callbacks.Callback):
    """Writes down each image's distance, at the start and after each execution of `every` steps."""

    def __init__(self, image: _Image, loss: _Matching, every: int):
        super().__init__()
        self.image, self.loss, self.every = image, loss, every
        self.steps: list[int] = []
        self.distances: list[np.ndarray] = []

    def record(self, step: int) -> None:
        output = self.image(None)
        self.steps.append(step)
        self.distances.append(ops.convert_to_numpy(self.loss.distance(self.loss.target, output)))

    def on_train_begin(self, logs: Any = None) -> None:
        self.record(0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.record(batch + 1)
