"""Inputs found by training: the image is the one trainable weight, in front of a frozen network."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from innerview import checks
from innerview.activations import feature_extractor, graph_of, outputs
from innerview.callbacks import InversionLog, dense_only, steps_between_logs
from innerview.constraints import GaussianBlur
from innerview.layers import DistanceToTarget, TrainableImages
from innerview.losses import l1_distance
from innerview.optimizers import linear_decay_sgd
from innerview.stepping import Blocks, SteppingModel

Distance = Callable[[Any, Any], Any]
# The target of so many images is computed at once.
_ONCE = 50


@dataclass(frozen=True)
class InversionResult:
    """What a descent found and how it went.

    ``images`` has the shape of the start and the dtype of the encoder's inputs. ``steps`` holds the numbers of the
    steps at which the other three were recorded, from 0, the start, on. ``distances`` has shape ``(records, n)``, or
    ``(records, n, ...)`` if there are several for each image. ``m_g`` and ``m_i``, of the same shape, are document B's:
    the Euclidean distances of the images' outputs from the target, and of the images from those that gave it. They are
    empty without `original`.

    ``np.savez("found.npz", **vars(found))`` writes a result, ``InversionResult(**np.load("found.npz"))`` reads it.
    """

    images: np.ndarray
    steps: np.ndarray
    distances: np.ndarray
    m_g: np.ndarray
    m_i: np.ndarray


def random_start(seeds: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Return document B's start a_0, drawn from N(0.7, 1/20) by each seed: float32 of shape ``(seeds, *shape)``.

    ValueError or TypeError if there are no seeds, or they or the shape are no whole numbers.
    """
    if not len(seeds):
        raise ValueError("expected at least one seed; received none")
    shape = [checks.whole("a length in shape", length) for length in shape]
    seeds = [checks.whole("a seed", seed, 0) for seed in seeds]
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
        encoder: a built model that maps inputs ``(n, ...)`` to outputs ``(n, ...)``; it is not changed.
        target: the outputs to reach, of the encoder's output shape; cast to its output dtype.
        start: where the inputs start, of shape ``(n, ...)``; cast to the encoder's input dtype. Not changed.
        distance: maps target and output to distances, of shape ``(n,)``, or ``(n, ...)`` for several an input.
        optimizer: any Keras optimizer that is not in use yet; a falling learning rate is its schedule.
        steps: how many steps to take.
        regularizer: a penalty on the inputs, added to the loss.
        constraint: applied to the inputs after each step.
        log_every: steps between two records of the distance; `steps` must be a multiple of it. The default records
            the start and the end.
        original: the inputs that gave the target, of the shape of `start`, to record how near the images come to
            them. They play no part in the descent.
        callbacks: Keras callbacks; ``on_train_batch_end`` comes after each record.

    Raises:
        ValueError, TypeError: target, start or original do not fit the encoder, are no numbers or not finite, `steps`
            does not fit `log_every`, or the encoder is not built or has several inputs or outputs.

    Example:
        >>> encoder = feature_extractor(deep_tanh(seed=0), "hidden1")
        >>> target, start = np.zeros((2, 100)), random_start(range(2), [784])
        >>> sgd = linear_decay_sgd(0.1, steps=20)
        >>> found = fit_inputs(encoder, target, start, distance=l1_distance, optimizer=sgd, steps=20)
        >>> found.images.shape, bool((found.distances[-1] < found.distances[0]).all())
        ((2, 784), True)
    """
    every = steps_between_logs(steps, log_every)
    optimizer = keras.optimizers.get(optimizer)
    if not callable(distance):
        raise TypeError(f"distance must be a function of target and outputs; received {distance!r}")
    if optimizer.built:
        raise ValueError("expected an optimizer that is not in use yet; received one that has trained something")
    wanted, given = _tensors(encoder)
    begin = checks.array("start", start, (None, *wanted.shape[1:]), wanted.dtype)
    precise = given.dtype if given.dtype in ("float32", "float64") else "float32"
    goal = checks.array("target", target, (len(begin), *given.shape[1:]), precise)
    if original is not None:
        original = checks.array("original", original, begin.shape, wanted.dtype)
    with _frozen(encoder), checks.same_random_state():
        descent = _Descent(encoder, begin, goal, distance, constraint, regularizer, optimizer, every)
        return descent.run(goal, begin, original, steps, callbacks)


def _tensors(encoder: keras.Model) -> tuple[Any, Any]:
    """Return the one input and the one output of an encoder, which know shape and dtype."""
    graph = graph_of(encoder)
    if (len(graph.inputs), len(graph.outputs)) != (1, 1):
        told = f"{len(graph.inputs)} and {len(graph.outputs)}"
        raise ValueError(f"expected a model of one input and one output as the encoder; received one of {told}")
    return graph.inputs[0], graph.outputs[0]


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


class _Descending(SteppingModel):
    """A model of the distances; what it minimises is their sum and the penalty on the images, nothing else.

    An encoder may have penalties of its own, on its activities. They are none of the descent's.
    """

    images: Any
    log: InversionLog

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        images = self.images.images
        penalty = 0.0 if images.regularizer is None else images.regularizer(ops.convert_to_tensor(images))
        return ops.sum(y_pred["distances"]) + penalty


class _Descent:
    """A model that is compiled once, and fits inputs to one target after the other."""

    def __init__(
        self,
        encoder: keras.Model,
        start: np.ndarray,
        target: np.ndarray,
        distance: Distance,
        constraint: Any,
        regularizer: Any,
        optimizer: Any,
        every: int,
    ):
        self.optimizer, self.every = optimizer, every
        self.images = TrainableImages(start.shape, encoder, constraint, regularizer, dtype=start.dtype.name)
        self.matching = DistanceToTarget(target.shape, distance, dtype=target.dtype.name)
        tick = keras.Input((1,))  # Keras wants an input; it carries nothing but the count of the steps
        found = self.images(tick)
        distances = self.matching(found)
        if distances.shape[:1] != (len(start),):
            told = f"{len(start)} inputs, (n,) or (n, ...); received {distances.shape}"
            raise ValueError(f"distance must give a distance for each of {told}")
        self.model = _Descending(tick, {"distances": distances, "outputs": found}, name="descent")
        self.model.images = self.images
        # On processors XLA makes one image's way through several dense networks faster, and all else slower. JAX
        # compiles by it or not at all.
        several = dense_only(encoder) and len(target.shape) == 3 and target.shape[1] > 1
        xla = keras.backend.backend() == "jax" or (several and len(start) == 1)
        self.model.compile(optimizer, jit_compile=xla, auto_scale_loss=False)
        optimizer.build(self.model.trainable_variables)
        self.fresh = [np.array(variable) for variable in optimizer.variables]

    def run(self, target: Any, start: Any, original: Any, steps: int, callbacks: Sequence[Any]) -> InversionResult:
        self.images.images.assign(start)
        self.matching.target.assign(target)
        for variable, value in zip(self.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)
        log = self.model.log = InversionLog(self.images, target, original)
        log.record(self.model)
        ticks = Blocks([np.zeros((steps, 1, 1), "float32")], self.every)
        self.model.fit(ticks, callbacks=[log, *callbacks], verbose=0)
        history = {name: np.array([record[name] for record in log.records]) for name in log.records[0]}
        errors = {name: history.get(name, np.empty(0)) for name in ("m_g", "m_i")}
        at = self.every * np.arange(len(log.records))
        return InversionResult(np.array(self.images.images), at, history["distances"], **errors)


def invert(
    encoder: keras.Model,
    original: np.ndarray,
    start: np.ndarray,
    *,
    steps: int,
    distance: Distance = l1_distance,
    optimizer: keras.optimizers.Optimizer | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: Any,
) -> InversionResult:
    """Look for inputs by their outputs alone, as document B does (rows B1 to B17).

    It is `fit_inputs` with the outputs of `original` as the target, and the document's settings for dense layers.

    Args:
        encoder: maps inputs ``(n, networks, values)`` to outputs ``(n, networks, units)``, see `stacked_encoders`; or
            images ``(n, height, width, channels)`` to outputs of as many axes.
        original: the inputs to be found.
        start: where they start, of the same shape.
        distance: the default is `l1_distance`.
        optimizer: the default is `linear_decay_sgd`, from a rate of 0.1.
        steps: as in `fit_inputs`, and so are the errors.
        callbacks, settings: as in `fit_inputs`; others are `regularizer`, `constraint` and `log_every`.

    Example:
        >>> encoder = stacked_encoders([0], inputs=48, widths=[64, 64])
        >>> images, start = random_start([1, 2], [1, 48]), random_start([3, 4], [1, 48])
        >>> found = invert(encoder, images, start, steps=50)
        >>> found.m_i.shape, bool((found.m_g[-1] < found.m_g[0]).all())
        ((2, 2, 1), True)
    """
    wanted, _ = _tensors(encoder)
    original = checks.array("original", original, (None, *wanted.shape[1:]), wanted.dtype)
    target, optimizer = outputs(encoder, original, _ONCE), optimizer or linear_decay_sgd(0.1, steps)
    settings |= {"distance": distance, "optimizer": optimizer, "steps": steps, "callbacks": callbacks}
    return fit_inputs(encoder, target, start, original=original, **settings)


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
        networks: of one architecture, for images in [0, 1]; one may stand there several times, for several starts.
        layer: its name.
        images: of shape ``(n, height, width, channels)``; or ``(networks, n, height, width, channels)``, each network's
            own.
        steps: how many to take, a multiple of 20.
        start: of shape ``(networks * n, height, width, channels)``, one for each descent; or
            ``(n, height, width, channels)``, the same for each network.
        rate: of the first step: how far it moves a value, on average.
        end: the same of the last step.
        blurred: whether `GaussianBlur` follows each step.
        callbacks: as in `fit_inputs`; each network is a `fit` of its own.

    Raises:
        ValueError, TypeError: no networks, or of unlike shapes; `steps` no multiple of 20; images or start do not fit.

    Example:
        >>> network, images = resnet(10, 32, seed=0, width=8), np.full((1, 32, 32, 3), 0.5)
        >>> start = random_start([0], images.shape[1:])
        >>> found = invert_layer([network], "conv2_block1_out", images, steps=40, start=start)
        >>> found.images.shape, bool(found.m_g[-1, 0] < found.m_g[0, 0])
        ((1, 32, 32, 3), True)
    """
    networks = checks.networks(networks)
    if checks.whole("steps", steps) % 20:
        raise ValueError(f"expected a multiple of 20 steps; received {steps}")
    encoders = [feature_extractor(network, layer) for network in networks]
    wanted, _ = _tensors(encoders[0])
    images = checks.of_each(len(networks), "images", images, wanted.shape[1:], wanted.dtype)
    if images.min() < 0 or images.max() > 1:
        told = f"from {images.min():.3g} to {images.max():.3g}; what else a network wants is a layer in front of it"
        raise ValueError(f"expected images in [0, 1]; received values {told}")
    start = checks.array("start", start, (None, *wanted.shape[1:]), wanted.dtype)
    n = images.shape[1]
    if len(start) not in (n, len(networks) * n):
        raise ValueError(f"expected {len(networks)} x {n} starts, or {n}; received {len(start)}")
    shapes = [[weight.shape for weight in encoder.weights] for encoder in encoders]
    if any(own != shapes[0] for own in shapes):
        raise ValueError("expected networks of one architecture; received some whose weights have other shapes")
    starts = np.resize(start, images.shape)
    encoder, own = encoders[0], encoders[0].get_weights()
    optimizer = linear_decay_sgd(rate, steps, end, normalized=True)
    blur = GaussianBlur(optimizer, steps) if blurred else None
    parts: list[InversionResult] = []
    descent = None
    try:
        with _frozen(encoder), checks.same_random_state():
            # What is compiled for the first network serves them all: its weights are exchanged.
            weights = [own, *(each.get_weights() for each in encoders[1:])]
            for of_one, wanted_images, begin in zip(weights, images, starts, strict=True):
                encoder.set_weights(of_one)
                target = outputs(encoder, wanted_images, _ONCE)
                if descent is None:
                    descent = _Descent(encoder, begin, target, l1_distance, blur, None, optimizer, steps // 20)
                parts.append(descent.run(target, begin, wanted_images, steps, callbacks))
    finally:
        encoder.set_weights(own)
    history = (np.concatenate([getattr(p, name) for p in parts], axis=1) for name in ("distances", "m_g", "m_i"))
    return InversionResult(np.concatenate([p.images for p in parts]), parts[0].steps, *history)
