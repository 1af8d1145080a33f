"""Trained networks by name, so that pages which share a network share one line and train it once."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from innerbook.data import Mnist, load_mnist
from innerbook.memory import cached
from innerbook.settings import by_scale
from innerview.losses import binary_crossentropy_by_class
from innerview.models import deep_tanh as build_deep_tanh
from innerview.models import one_hidden_layer as build_one_hidden_layer
from innerview.models import two_hidden_layers as build_two_hidden_layers
from innerview.resnet import resnet
from innerview.training import History, fit_ensemble

Trained = tuple[list[keras.Model], History]


def one_hidden_layer(mnist: Mnist, seeds: Sequence[int], epochs: int | None = None, **changes: Any) -> Trained:
    """Return document E's networks, one for each seed, trained as published, and their history (row E2).

    Loss and accuracy, on the first 10,000 training images and on the test images, are recorded after each epoch.

    Args:
        mnist: the digits, split with the default of `load_mnist`.
        seeds: of the initial weights.
        epochs: passes over the training images. The default is the document's 50, or 12 at class scale.
        changes: arguments of `innerview.fit_ensemble` to replace, such as ``loss``.
    """
    epochs = by_scale(lesson=12, paper=50) if epochs is None else epochs
    networks, per_epoch = [build_one_hidden_layer(seed) for seed in seeds], len(mnist.x_train) // 100
    settings: dict[str, Any] = {
        "loss": binary_crossentropy_by_class,
        "optimizer": keras.optimizers.SGD(0.1),
        "steps": epochs * per_epoch,
        "batch_size": 100,
        "log_every": per_epoch,
        "shuffle_seed": 0,
        "eval_sets": {
            "training": (mnist.x_train[:10_000], mnist.y_train[:10_000]),
            "test": (mnist.x_test, mnist.y_test),
        },
    }
    return networks, cached(fit_ensemble)(networks, mnist.x_train, mnist.y_train, **{**settings, **changes})


def document_a_images(mnist: Mnist) -> tuple[np.ndarray, np.ndarray]:
    """Return the training images and labels that document A's loop uses: all but the last 50 (row A1)."""
    used = 54_950 * len(mnist.x_train) // 55_000 // 50 * 50
    return mnist.x_train[:used], mnist.y_train[:used]


def deep_tanh(mnist: Mnist, seeds: Sequence[int], depth: int = 3, steps: int = 10_000, **changes: Any) -> Trained:
    """Return document A's networks, one for each seed, trained as published, and their history (rows A1 and A5).

    The batches come in order. The test accuracy is recorded every 500 steps.

    Args:
        mnist: the digits, split with the default of `load_mnist`.
        seeds: of the initial weights.
        depth: hidden layers; the document has 3.
        steps: batches of 50; the document has 10,000.
        changes: arguments of `innerview.fit_ensemble` to replace or add, such as ``auxiliary`` (row A4).
    """
    networks = [build_deep_tanh(seed, depth) for seed in seeds]
    settings: dict[str, Any] = {
        "loss": keras.losses.categorical_crossentropy,
        # The document sums the loss over the batch, where Keras takes the mean.
        "optimizer": keras.optimizers.SGD(50 * 0.01),
        "steps": steps,
        "batch_size": 50,
        "log_every": 500,
        "eval_sets": {"test": (mnist.x_test, mnist.y_test)},
    }
    return networks, cached(fit_ensemble)(networks, *document_a_images(mnist), **{**settings, **changes})


def document_c_split(mnist: Mnist) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return 50,000 training images with labels and 10,000 validation images with labels, split by seed 0 (row C1).

    Args:
        mnist: the digits, loaded with ``validation=0``.
    """
    order = np.random.default_rng(0).permutation(len(mnist.x_train))
    x, y, n = mnist.x_train[order], mnist.y_train[order], len(order) * 5 // 6
    return x[:n], y[:n], x[n:], y[n:]


def two_hidden_layers(mnist: Mnist, seeds: Sequence[int], dropout: float = 0.5) -> Trained:
    """Return document C's networks, one for each seed, trained as published, and their history (rows C1 and C4).

    At class scale they train for 10 of the document's 20 epochs. Loss and accuracy, on the first 10,000 training
    images and on the validation images, are recorded after each epoch.

    Args:
        mnist: the digits, loaded with ``validation=0``.
        seeds: of the initial weights.
        dropout: the share of activations that is dropped; the document has one half.
    """
    x, y, x_validation, y_validation = document_c_split(mnist)
    networks, per_epoch = [build_two_hidden_layers(seed, dropout) for seed in seeds], len(x) // 128
    history = cached(fit_ensemble)(
        networks,
        x,
        y,
        loss=keras.losses.categorical_crossentropy,
        optimizer=keras.optimizers.Adam(),
        steps=by_scale(lesson=10, paper=20) * per_epoch,
        batch_size=128,
        log_every=per_epoch,
        shuffle_seed=0,
        eval_sets={"training": (x[:10_000], y[:10_000]), "validation": (x_validation, y_validation)},
    )
    return networks, history


def resnets(
    side: int, weights: Mapping[str, np.ndarray] | None, seeds: Sequence[int] = ()
) -> tuple[keras.Model, list[keras.Model]]:
    """Return a trained residual network for images in [0, 1] of `side` pixels, and such networks untrained (row B2).

    Args:
        side: of the images, in pixels.
        weights: from `data.load_resnet50`, for ResNet50. If they are None, a small network of 10 layers is the
            fallback, trained for some 600 steps on digits of 32 x 32 pixels.
        seeds: one for each untrained network.
    """
    if weights is None:
        return _digits_resnet(side), [resnet(10, side, seed, 16, 10) for seed in seeds]
    trained = resnet(50, side, 0)
    for layer in trained.layers:
        if layer.weights:
            layer.set_weights([weights[f"{layer.name}/{weight.name}"] for weight in layer.weights])
    return trained, [resnet(50, side, seed) for seed in seeds]


def _digits_resnet(side: int) -> keras.Model:
    small, large, mnist = resnet(10, 32, 0, 16, 10), resnet(10, side, 0, 16, 10), load_mnist()
    keras.utils.set_random_seed(0)
    images = np.pad(mnist.x_train.reshape(-1, 28, 28, 1), [(0, 0), (2, 2), (2, 2), (0, 0)]).repeat(3, axis=-1)[:19_200]
    small.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy")
    small.fit(images, mnist.y_train[:19_200], batch_size=32, verbose=0)
    large.set_weights(small.get_weights())
    return large
