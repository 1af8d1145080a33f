"""Inputs found by training: the image is the one trainable weight, in front of a frozen network."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from innerview.activations import feature_extractor
from innerview.callbacks import InversionLog, steps_between_logs
from innerview.constraints import GaussianBlur
from innerview.layers import DistanceToTarget, TrainableImages
from innerview.losses import SummedOutput, l1_distance
from innerview.optimizers import linear_decay_sgd

Distance = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class InversionResult:
    """What a descent found and how it went.

    ``images`` has the shape and dtype of the start. ``steps`` holds the step numbers at which the other three were
    recorded, from 0, the start, on; ``distances`` has shape ``(records, n)``, or ``(records, n, ...)`` if there are
    several for each image. ``m_g`` and ``m_i``, of the same shape, are document B's: the Euclidean distances of the
    images' outputs from the target, and of the images from those that gave it. They are empty without `original`.
    """

    images: np.ndarray
    steps: np.ndarray
    distances: np.ndarray
    m_g: np.ndarray
    m_i: np.ndarray


def random_start(seeds: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Return document B's start a_0, drawn from N(0.7, 1/20) by each seed: float32 of shape ``(seeds, *shape)``."""
    draws = [np.random.default_rng([seed, 1]).normal(0.7, 0.05, shape) for seed in seeds]
    return np.array(draws, "float32")


def fit_inputs(
    encoder: keras.Model,
    target: np.ndarray,
    start: np.ndarray,
    *,
    distance: Distance,
    optimizer: keras.optimizers.Optimizer,
    steps: int,
    regularizer: keras.regularizers.Regularizer | None = None,
    constraint: keras.constraints.Constraint | None = None,
    log_every: int | None = None,
    original: np.ndarray | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> InversionResult:
    """Find inputs whose outputs match a target (document E, rows E1, E4 and E5; document B, rows B1 to B17).

    This is ordinary Keras training. The inputs are the one trainable weight of a layer in front of the encoder, which
    is frozen and runs in inference mode. The loss is the distance to the target, summed over the batch, so that many
    targets go side by side and do not mix.

    Args:
        encoder: maps inputs ``(n, ...)`` to outputs ``(n, ...)``; it is not changed.
        target: the outputs to reach, of the encoder's output shape.
        start: where the inputs start, of shape ``(n, ...)``. Not changed.
        distance: maps target and output to distances, of shape ``(n,)``, or ``(n, ...)`` for several an input.
        optimizer: any Keras optimizer that is not in use yet; a falling learning rate is its schedule.
        steps: how many steps to take.
        regularizer: a penalty on the inputs, added to the loss.
        constraint: applied to the inputs after each step.
        log_every: steps between two records of the distance; `steps` must be a multiple of it. The default records
            the start and the end.
        original: the inputs that gave the target, of the shape of `start`, to record how near the images come to
            them. They play no part in the descent.
        callbacks: Keras callbacks; between two records lies an epoch.

    Raises:
        ValueError: target, start or original do not fit the encoder, or `steps` does not fit `log_every`.

    Example::

        encoder = feature_extractor(network, "hidden1")
        sgd = linear_decay_sgd(0.1, steps=500)
        found = fit_inputs(encoder, target, start, distance=l1_distance, optimizer=sgd, steps=500)
    """
    every = steps_between_logs(steps, log_every)
    for name, array, expected in (
        ("start", start, encoder.input_shape[1:]),
        ("target", target, encoder.output_shape[1:]),
        ("original", start if original is None else original, encoder.input_shape[1:]),
    ):
        if array.shape[1:] != expected or len(array) != len(start):
            raise ValueError(f"{name} must have shape {(len(start), *expected)}; received {array.shape}")
    with _frozen(encoder):
        images = TrainableImages(start.shape, encoder, constraint, regularizer, dtype=start.dtype.name)
        matching = DistanceToTarget(target.shape, distance, dtype=target.dtype.name)
        descent = _Descent(images, matching, optimizer, every)
        return descent.run(target, start, original, steps, callbacks)


@contextmanager
def _frozen(model: keras.Model) -> Iterator[None]:
    layers = sorted(model._flatten_layers(), key=lambda layer: len(layer._flatten_layers()), reverse=True)
    flags = [(part, part.trainable) for part in [*layers, *model.variables]]  # what holds others comes before them
    model.trainable = False
    try:
        yield
    finally:
        for part, trainable in flags:
            part.trainable = trainable


class _Descent:
    """A model that is compiled once, and fits inputs to one target after the other."""

    def __init__(self, images: TrainableImages, matching: DistanceToTarget, optimizer: Any, every: int):
        self.images, self.matching, self.optimizer, self.every = images, matching, optimizer, every
        tick = keras.Input((1,))  # Keras wants an input; it carries nothing but the count of the steps
        self.model = keras.Model(tick, self.matching(self.images(tick)))
        # On processors XLA makes dense layers faster and convolutions slower. JAX compiles by XLA or not at all.
        layers = images.encoder._flatten_layers()
        xla = keras.backend.backend() == "jax" or not any(isinstance(layer, keras.layers.Conv2D) for layer in layers)
        self.model.compile(optimizer, SummedOutput(matching.dtype), jit_compile=xla, steps_per_execution=every)
        optimizer.build(self.model.trainable_variables)
        self.fresh = [np.array(variable) for variable in optimizer.variables]

    def run(self, target: Any, start: Any, original: Any, steps: int, callbacks: Sequence[Any]) -> InversionResult:
        self.images.images.assign(start)
        self.matching.target.assign(target)
        for variable, value in zip(self.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)
        log = InversionLog(self.images, self.matching, original)
        first, ticks, epochs = log.measure(), np.zeros((self.every, 1), "float32"), steps // self.every
        settings = {"batch_size": 1, "shuffle": False, "verbose": 0}
        later = self.model.fit(ticks, ticks, epochs=epochs, callbacks=[log, *callbacks], **settings).history
        history = {name: np.array([value, *later[name]]) for name, value in first.items()}
        errors = {name: history.get(name, np.empty(0)) for name in ("m_g", "m_i")}
        at = self.every * np.arange(epochs + 1)
        return InversionResult(np.array(self.images.images), at, history["distances"], **errors)


def invert(
    encoder: keras.Model,
    original: np.ndarray,
    start: np.ndarray,
    *,
    steps: int,
    distance: Distance = l1_distance,
    optimizer: keras.optimizers.Optimizer | None = None,
    constraint: keras.constraints.Constraint | None = None,
    log_every: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> InversionResult:
    """Look for inputs by their outputs alone, as document B does (rows B1 to B17).

    It is `fit_inputs` with the outputs of `original` as the target, and the document's settings for dense layers.

    Args:
        encoder: maps inputs ``(n, networks, values)`` to outputs ``(n, networks, units)``, see `stacked_encoders`; or
            images ``(n, height, width, channels)`` to outputs of as many axes.
        original, start: the inputs to be found, and where they start, of one shape.
        distance: the default is `l1_distance`.
        optimizer: the default is `linear_decay_sgd`, from a rate of 0.1.
        steps, constraint, log_every, callbacks: as in `fit_inputs`, and so are the errors.

    Example::

        encoder = stacked_encoders([0], inputs=432, widths=[514] * 4)
        found = invert(encoder, images[:, None], random_start(range(5), [1, 432]), steps=2_000)
    """
    return fit_inputs(
        encoder,
        encoder.predict(original, verbose=0),
        start,
        distance=distance,
        optimizer=optimizer or linear_decay_sgd(0.1, steps),
        steps=steps,
        constraint=constraint,
        log_every=log_every,
        original=original,
        callbacks=callbacks,
    )


def invert_layer(
    networks: Sequence[keras.Model],
    layer: str,
    images: np.ndarray,
    *,
    steps: int,
    start: np.ndarray,
    rate: float = 0.03,
    end: float = 0.001,
    blurred: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> InversionResult:
    """Look for images by what a layer of each network makes of them (rows B1 to B4 and B13 to B17).

    It is `invert` with `NormalizedSGD`, and one descent for each network and each image: the first network's for all
    images, then the second's, and so on. What happened is recorded twenty times.

    Args:
        networks: of one architecture; their inputs are images in [0, 1]. One may stand there several times, for
            several starts.
        layer: its name.
        images: of shape ``(n, height, width, channels)``.
        steps: how many to take, a multiple of 20.
        start: of shape ``(networks * n, height, width, channels)``, one for each descent; or of the shape of
            `images`, the same for each network.
        rate, end: of the first and of the last step: how far it moves a value, on average.
        blurred: whether `GaussianBlur` follows each step.
        callbacks: as in `fit_inputs`; each network is a `fit` of its own.

    Raises:
        ValueError: no networks, or of unlike shapes; `steps` is no multiple of 20; images or start do not fit.

    Example::

        start = random_start(range(len(images)), images.shape[1:])
        found = invert_layer([resnet(50, 96, seed=0)], "conv2_block3_out", images, steps=100, start=start)
    """
    if not len(networks) or steps < 20 or steps % 20:
        raise ValueError(f"expected networks, and a multiple of 20 steps; received {len(networks)} and {steps}")
    if start.shape[1:] != images.shape[1:] or len(start) not in (len(images), len(networks) * len(images)):
        raise ValueError(f"expected {len(networks)} x {len(images)} starts, like the images; received {start.shape}")
    encoders = [feature_extractor(network, layer) for network in networks]
    shapes = [[weight.shape for weight in encoder.weights] for encoder in encoders]
    if any(own != shapes[0] for own in shapes):
        raise ValueError("expected networks of one architecture; received some whose weights have other shapes")
    starts = np.resize(start, (len(networks), *images.shape))
    encoder, own = encoders[0], encoders[0].get_weights()
    optimizer = linear_decay_sgd(rate, steps, end, normalized=True)
    blur = GaussianBlur(optimizer, steps) if blurred else None
    parts: list[InversionResult] = []
    descent = None
    try:
        with _frozen(encoder):
            # What is compiled for the first network serves them all: its weights are exchanged.
            for weights, begin in zip([own, *(each.get_weights() for each in encoders[1:])], starts, strict=True):
                encoder.set_weights(weights)
                target = encoder.predict(images, verbose=0)
                if descent is None:
                    image = TrainableImages(images.shape, encoder, blur, dtype=start.dtype.name)
                    matching = DistanceToTarget(target.shape, l1_distance, dtype=target.dtype.name)
                    descent = _Descent(image, matching, optimizer, steps // 20)
                parts.append(descent.run(target, begin, images, steps, callbacks))
    finally:
        encoder.set_weights(own)
    history = (np.concatenate([getattr(p, name) for p in parts], axis=1) for name in ("distances", "m_g", "m_i"))
    return InversionResult(np.concatenate([p.images for p in parts]), parts[0].steps, *history)
