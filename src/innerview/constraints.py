"""What is done to images after each step."""

from typing import Any

import keras
from keras import ops


class GaussianBlur(keras.constraints.Constraint):
    """Blurs images after each step by a Gaussian kernel of 3 x 3 pixels that narrows linearly (document B, row B1).

    Beyond its edges an image goes on in the mirror. Images have shape ``(n, height, width, channels)``.

    Args:
        optimizer: whose steps are counted.
        steps: how many it takes from the first standard deviation to the last.
        begin, end: standard deviations, in pixels.

    Example::

        optimizer = linear_decay_sgd(0.1, steps=500)
        invert(encoder, images, start, steps=500, optimizer=optimizer, constraint=GaussianBlur(optimizer, 500))
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
