"""Inputs found by training: the image is the one trainable weight, in front of a frozen network."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from IPython.display import DisplayHandle, Pretty
from keras import ops
from scipy.ndimage import gaussian_filter

from innerview.activations import activations
from innerview.activations import encoder as encoder_of
from innerview.datasets import data_folder, kept_on_disk

Distance = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Descent:
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


def noise(seeds: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Return document B's start a_0, drawn from N(0.7, 1/20) by each seed: float32 of shape ``(seeds, *shape)``."""
    draws = [np.random.default_rng([seed, 1]).normal(0.7, 0.05, shape) for seed in seeds]
    return np.array(draws, "float32")


def falling(rate: float, steps: int, end: float = 1e-4, normalised: bool = False) -> keras.optimizers.Optimizer:
    """Return plain gradient descent whose learning rate falls linearly from `rate` to `end` in so many steps.

    If `normalised`, each input's gradient is divided by the mean of its absolute values. A rate then says how far a
    value moves in a step, on average, whatever the layer and the network. (The document's own rate fits the size of
    its own gradients, which no two layers share; rows B1 to B4, B13 to B17.)
    """
    schedule = keras.optimizers.schedules.PolynomialDecay(rate, steps, end)
    return _NormalisedDescent(schedule, name="normalised") if normalised else keras.optimizers.SGD(schedule)


class _NormalisedDescent(keras.optimizers.SGD):
    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        size = ops.mean(ops.abs(gradient), axis=range(1, len(gradient.shape)), keepdims=True)
        super().update_step(gradient / ops.maximum(size, 1e-30), variable, learning_rate)


class Blur(keras.constraints.Constraint):
    """Blurs images after each step by a Gaussian kernel of 3 x 3 pixels that narrows linearly (document B, row B1).

    Beyond its edges an image goes on in the mirror. Images have shape ``(n, height, width, channels)``.

    Args:
        optimizer: whose steps are counted.
        steps: how many steps it takes to get from the first standard deviation to the last.
        begin: standard deviation at the first step, in pixels.
        end: standard deviation at the end.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, steps: int, begin: float = 2.4, end: float = 0.4):
        self.optimizer, self.steps, self.begin, self.end = optimizer, steps, begin, end

    def __call__(self, images: Any) -> Any:
        """Return the images blurred as is due at the optimizer's present step."""
        done = ops.minimum(ops.cast(self.optimizer.iterations, images.dtype) / self.steps, 1.0)
        sigma = self.begin + (self.end - self.begin) * done
        side = ops.exp(-0.5 / sigma**2)
        images = ops.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
        images = (images[:, 1:-1] + side * (images[:, :-2] + images[:, 2:])) / (1 + 2 * side)
        return (images[:, :, 1:-1] + side * (images[:, :, :-2] + images[:, :, 2:])) / (1 + 2 * side)

    def get_config(self) -> dict[str, Any]:
        """Return the settings, without the optimizer."""
        return {"steps": self.steps, "begin": self.begin, "end": self.end}


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the correlation of each image in `x` with the one in `y`, their mean colours taken away (rows B1, B2).

    Both have shape ``(n, height, width, channels)``; the result ``(n,)``, from -1 to 1.
    """
    x, y = (images - images.mean(axis=(1, 2), keepdims=True) for images in (x, y))
    return (x * y).sum(axis=(1, 2, 3)) / np.sqrt((x**2).sum(axis=(1, 2, 3)) * (y**2).sum(axis=(1, 2, 3)))


def shares(found: np.ndarray, original: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much of each original's detail, and of its broad pattern, is in the image found (rows B16, B17).

    Detail is what a Gaussian blur of 2 pixels takes away; the broad pattern is what it leaves, without the mean
    colour. Of either, 1 is all of it at full strength, and 0 none, as in noise. Shapes are as in `correlation`.
    """
    broad, its_broad = (gaussian_filter(images, (0, 2, 2, 0)) for images in (found, original))
    pairs = [(found - broad, original - its_broad)]
    pairs.append((broad, its_broad - its_broad.mean(axis=(1, 2), keepdims=True)))
    detail, pattern = ((a * b).sum(axis=(1, 2, 3)) / (b**2).sum(axis=(1, 2, 3)) for a, b in pairs)
    return detail, pattern


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
    original: np.ndarray | None = None,
) -> Descent:
    """Find inputs whose outputs match a target (document E, rows E1, E4 and E5; document B, rows B1 to B17).

    This is ordinary Keras training. The inputs are the one trainable weight of a layer in front of the encoder, which
    is frozen and runs in inference mode. The loss is the distance to the target, summed over the batch, so that many
    targets go side by side and do not mix.

    A descent of many steps goes in pieces of about 5,000, or 100 through convolutions, which are kept on disk: one
    that was cut off goes on from its last piece.

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
        original: the inputs that gave the target, of the shape of `start`, to record how near the images come to
            them. They play no part in the descent.

    Raises:
        ValueError: target, start or original do not fit the encoder or each other, or `steps` does not fit
            `record_every`.
    """
    record_every = steps if record_every is None else record_every
    if steps < 1 or record_every < 1 or steps % record_every:
        raise ValueError(f"steps must be a positive multiple of record_every; received {steps} and {record_every}")
    for name, array, expected in (
        ("start", start, encoder.input_shape[1:]),
        ("target", target, encoder.output_shape[1:]),
        ("original", start if original is None else original, encoder.input_shape[1:]),
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
        # On processors XLA makes dense layers faster and convolutions slower.
        convolves = any(isinstance(layer, keras.layers.Conv2D) for layer in encoder.layers)
        model.compile(optimizer, loss, jit_compile=not convolves, steps_per_execution=record_every)
        recorder = _Recorder(image, loss, original, record_every)
        recorder.record(0)
        piece = record_every * -(-(_PIECE // 50 if convolves else _PIECE) // record_every)
        if steps >= piece:
            added = [part and [type(part).__name__, part.get_config()] for part in (constraint, regularizer)]
            facts = [
                added,
                type(optimizer).__name__,
                {**optimizer.get_config(), "name": None},
                steps,
                record_every,
                piece,
            ]
            facts += [
                inspect.getsource(code) for code in (_Image, _Matching, _Recorder, _descend, type(optimizer), distance)
            ]
            facts += [keras.__version__, keras.backend.backend()]
            # The encoder is known by its weights and, with the distance, by what it makes of the start.
            output = ops.convert_to_numpy(image(None))
            arrays = [start, target, *encoder.get_weights(), output, recorder.history["distances"]]
            arrays += [] if original is None else [original]
            _descend_in_pieces(model, image, recorder, steps, piece, facts, arrays)
        else:
            _descend(model, recorder, steps)
    finally:
        encoder.trainable = was_trainable
    return Descent(ops.convert_to_numpy(image.images), **recorder.history)


def recover(
    encoder: keras.Model,
    original: np.ndarray,
    start: np.ndarray,
    *,
    steps: int,
    distance: Distance | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
    constraint: keras.constraints.Constraint | None = None,
    record_every: int | None = None,
) -> Descent:
    """Look for inputs by their outputs alone, as document B does (rows B1 to B17).

    It is `match` with the outputs of `original` as the target, and the document's settings for dense layers.

    Args:
        encoder: maps inputs ``(n, networks, values)`` to outputs ``(n, networks, units)``, see `dense_encoders`; or
            images ``(n, height, width, channels)`` to outputs of as many axes.
        original: the inputs to be found.
        start: where the inputs start, of the same shape.
        steps: how many steps to take.
        distance: the default is the sum of absolute differences, times 0.35.
        optimizer: the default is `falling`, from a rate of 0.1.
        constraint: applied to the inputs after each step, such as `Blur`.
        record_every: steps between two records; the default records the start and the end.

    Raises:
        ValueError: the shapes do not fit, or `steps` does not fit `record_every`.
    """
    return match(
        encoder,
        encoder.predict(original, verbose=0),
        start,
        distance=distance or _l1,
        optimizer=optimizer or falling(0.1, steps),
        steps=steps,
        constraint=constraint,
        record_every=record_every,
        original=original,
    )


def copy_through(
    networks: Sequence[keras.Model],
    layer: str,
    images: np.ndarray,
    *,
    steps: int,
    rate: float = 0.03,
    end: float = 0.001,
    blurred: bool = False,
    start: np.ndarray | None = None,
) -> Descent:
    """Look for images by what a layer of each network makes of them (rows B1 to B4 and B13 to B17).

    It is `recover` with `falling` normalised steps, and one descent for each network and each image: the first
    network's for all images, then the second's, and so on. What happened is recorded twenty times.

    Args:
        networks: their inputs are images in [0, 1]. One may stand there several times, for several starts.
        layer: the name of the layer.
        images: of shape ``(n, height, width, channels)``.
        steps: how many steps to take, a multiple of 20.
        rate: of the first step: how far it moves a value, on average.
        end: the same of the last.
        blurred: whether `Blur` follows each step.
        start: of the shape of `images`; the default is `noise`, drawn for each descent by a seed of its own.

    Raises:
        ValueError: there are no networks, `steps` is no multiple of 20, or the images do not fit the networks.
    """
    if not len(networks) or steps < 20 or steps % 20:
        raise ValueError(f"expected networks, and a multiple of 20 steps; received {len(networks)} and {steps}")
    shape = len(networks), *images.shape
    starts = noise(range(shape[0] * shape[1]), images.shape[1:]).reshape(shape) if start is None else [start] * shape[0]
    parts = []
    for network, begin in zip(networks, starts, strict=True):
        optimizer = falling(rate, steps, end, normalised=True)
        found = recover(
            encoder_of(network, layer),
            images,
            begin,
            steps=steps,
            optimizer=optimizer,
            constraint=Blur(optimizer, steps) if blurred else None,
            record_every=steps // 20,
        )
        parts.append(found)
    history = (np.concatenate([getattr(p, name) for p in parts], axis=1) for name in ("distances", "m_g", "m_i"))
    return Descent(np.concatenate([p.images for p in parts]), parts[0].steps, *history)


def output_distance(networks: Sequence[keras.Model], layer: str, images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how far apart the layer's outputs for `images` and `others` are, in the order of `copy_through` (row B3).

    Both have shape ``(n, height, width, channels)``; the result ``(networks * n,)``.
    """
    far = []
    for network in networks:
        encoder = encoder_of(network, layer)
        change = encoder.predict(others, verbose=0) - encoder.predict(images, verbose=0)
        far.append(np.linalg.norm(change.reshape(len(images), -1), axis=1))
    return np.concatenate(far)


def disturbed(images: np.ndarray) -> np.ndarray:
    """Return document B's a': the images with a little noise, of standard deviation 1/25, drawn by seed 0 (row B3)."""
    return images + np.random.default_rng(0).normal(0, 1 / 25, images.shape).astype(images.dtype)


def told_apart(networks: Sequence[keras.Model], layers: Sequence[str], images: np.ndarray) -> dict[str, np.ndarray]:
    """Return how far three pictures are from each photograph by the outputs of layers (controls to rows B2 and B17).

    The pictures are its ``"negative"``, itself ``"turned"`` by 180 degrees, and itself with ``"half contrast"``.
    Negative and contrast are taken about ImageNet's mean colour. At a distance of 1 lies a plain picture of it.

    Args:
        networks: their inputs are images in [0, 1].
        layers: names of layers.
        images: photographs of shape ``(n, height, width, 3)``.

    Returns:
        Distances of shape ``(layers, networks * n)`` by the names of the pictures, in the order of `copy_through`.

    Raises:
        ValueError: a network has no layer of one of these names.
    """
    black = np.zeros((1, 1, 3), "float32")
    mean_colour = -keras.applications.resnet.preprocess_input(black)[..., ::-1] / 255  # blue comes first there
    x = images - mean_colour
    pictures = {"negative": -x, "turned": x[:, ::-1, ::-1], "half contrast": x / 2}
    shown = mean_colour + np.concatenate([x, 0 * x, *pictures.values()])
    far = []
    for network in networks:
        outputs = activations(network, shown, layers)
        apart = [outputs[layer].reshape(5, len(x), -1) for layer in layers]
        far.append([np.linalg.norm(of[1:] - of[0], axis=2) for of in apart])
    plain, *others = np.array(far).transpose(2, 1, 0, 3).reshape(4, len(layers), -1)
    return {name: of / plain for name, of in zip(pictures, others, strict=True)}


# One distance for an image, or for each of the networks side by side.
def _l1(target: Any, output: Any) -> Any:
    axes = -1 if len(target.shape) == 3 else tuple(range(1, len(target.shape)))
    return 0.35 * ops.sum(ops.abs(target - output), axis=axes)


# So many steps take minutes where a descent takes hours; convolutions get a fiftieth.
_PIECE = 5_000


def _descend(model: keras.Model, recorder: "_Recorder", steps: int) -> None:
    ticks = np.zeros((steps, 1), "float32")
    model.fit(ticks, ticks, batch_size=1, shuffle=False, verbose=0, callbacks=[recorder])


def _descend_in_pieces(
    model: keras.Model, image: "_Image", recorder: "_Recorder", steps: int, piece: int, facts: Any, arrays: Any
) -> None:
    model.optimizer.build([image.images])
    state = [image.images, *model.optimizer.variables]
    told = DisplayHandle()
    if steps > piece:
        told.display(Pretty(f"Descent of {steps:,} steps."))
    for begin in range(0, steps, piece):
        count = min(piece, steps - begin)

        def taken(count: int = count) -> dict[str, np.ndarray]:
            recorder.clear()
            _descend(model, recorder, count)
            return recorder.history | {f"state {i}": np.array(variable) for i, variable in enumerate(state)}

        before = recorder.history
        found, how = kept_on_disk(data_folder() / "descents", [facts, begin], arrays, taken)
        for i, variable in enumerate(state):
            variable.assign(found[f"state {i}"])
        recorder.begin, recorder.records = begin + count, {k: [*before[k], *found[k]] for k in before}
        if steps > piece:
            told.update(Pretty(f"Descent: {begin + count:,} of {steps:,} steps; the last piece was {how}."))


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
    """Writes down how far each image is, after each execution of `every` steps."""

    def __init__(self, image: _Image, loss: _Matching, original: np.ndarray | None, every: int):
        super().__init__()
        self.image, self.loss, self.original, self.every = image, loss, original, every
        self.begin = 0
        self.clear()

    def clear(self) -> None:
        self.records: dict[str, list[Any]] = {"steps": [], "distances": [], "m_g": [], "m_i": []}

    @property
    def history(self) -> dict[str, np.ndarray]:
        return {name: np.array(values) for name, values in self.records.items()}

    def record(self, step: int) -> None:
        output = self.image(None)
        distances = ops.convert_to_numpy(self.loss.distance(self.loss.target, output))
        self.records["steps"].append(self.begin + step)
        self.records["distances"].append(distances)
        if self.original is not None:
            far = {"m_g": self.loss.target - output, "m_i": self.original - self.image.images}
            for name, error in far.items():
                error = ops.reshape(error, (*distances.shape, -1))
                self.records[name].append(ops.convert_to_numpy(ops.sqrt(ops.sum(ops.square(error), axis=-1))))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.record(batch + 1)
