"""Gradient descent with a falling rate, and with steps whose length does not hang on the layer."""

from typing import Any

import keras
from keras import ops

from innerview import checks


@keras.saving.register_keras_serializable("innerview")
class NormalizedSGD(keras.optimizers.SGD):
    """Plain gradient descent, in which each input's gradient is divided by the mean of its absolute values.

    The learning rate then says how far a value moves in a step, on average, whatever the layer and the network. (The
    document's own rate fits the size of its own gradients, which no two layers share; rows B1 to B4, B13 to B17.)
    Variables have shape ``(n, ...)``. Arguments are those of `keras.optimizers.SGD`.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move `variable` by one step."""
        size = ops.mean(ops.abs(gradient), axis=tuple(range(1, len(gradient.shape))), keepdims=True)
        super().update_step(gradient / ops.maximum(size, 1e-30), variable, learning_rate)


def linear_decay_sgd(rate: float, steps: int, end: float = 1e-4, normalized: bool = False) -> keras.optimizers.SGD:
    """Return gradient descent whose learning rate falls linearly from `rate` to `end` in so many steps (document B).

    It stays at `end`, whose default is the document's. With `normalized` it is `NormalizedSGD`, else Keras' SGD. It is
    a ValueError if a rate is not above 0, or `steps` is below 1.

    Example:
        >>> sgd = linear_decay_sgd(0.1, steps=100, end=0.02)
        >>> round(float(sgd.learning_rate), 4)  # before the first step
        0.1
    """
    if not (rate > 0 and end > 0):
        raise ValueError(f"expected rates above 0; received {rate} and {end}")
    checks.whole("steps", steps)
    schedule = keras.optimizers.schedules.PolynomialDecay(rate, steps, end)
    return (NormalizedSGD if normalized else keras.optimizers.SGD)(schedule)
