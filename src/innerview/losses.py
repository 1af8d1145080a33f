"""The documents' losses, and the loss of an inversion."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("innerview")
def binary_crossentropy_by_class(y_true: Any, y_pred: Any) -> Any:
    """Return the loss of document E (row E2): a binary cross-entropy for each class, summed over the classes.

    It is ``-sum(y log p + (1 - y) log(1 - p))`` over the last axis, with the probabilities ``p`` clipped to
    [1e-10, 0.9999999] as published. Where ``p`` is clipped, the gradient is zero. One-hot labels and probabilities
    have shape ``(..., classes)``, the result ``(...)``. ValueError if the two shapes differ.

    Example:
        >>> y, p = np.float32([[1, 0]]), np.float32([[0.5, 0.5]])
        >>> round(float(binary_crossentropy_by_class(y, p)[0]), 3)
        1.386
    """
    _alike(y_true, y_pred)
    p = ops.clip(y_pred, 1e-10, 0.9999999)
    return -ops.sum(y_true * ops.log(p) + (1 - y_true) * ops.log(1 - p), axis=-1)


@keras.saving.register_keras_serializable("innerview")
def softmax_crossentropy(y_true: Any, logits: Any) -> Any:
    """Return the cross-entropy of the softmax of logits, ``-sum(y log softmax(logits))`` over the last axis.

    Document D sums it over the batch; see the note on `loss` in `fit_ensemble`. Shapes are as in
    `binary_crossentropy_by_class`.
    """
    _alike(y_true, logits)
    return ops.categorical_crossentropy(y_true, logits, from_logits=True)


def l1_distance(target: Any, outputs: Any) -> Any:
    """Return document B's distance of outputs from a target: the sum of absolute differences, times 0.35.

    Outputs ``(n, networks, units)`` of networks side by side give distances ``(n, networks)``; all others ``(n,)``.
    ValueError if the two shapes differ.
    """
    _alike(target, outputs)
    axes = -1 if len(target.shape) == 3 else tuple(range(1, len(target.shape)))
    return 0.35 * ops.sum(ops.abs(target - outputs), axis=axes)


def _alike(expected: Any, received: Any) -> None:
    pairs = zip(expected.shape, received.shape, strict=False)
    if len(expected.shape) != len(received.shape) or any(m != n and None not in (m, n) for m, n in pairs):
        raise ValueError(f"expected two arrays of one shape; received {expected.shape} and {received.shape}")
