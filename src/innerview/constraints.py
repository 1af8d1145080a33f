"""What is done to images after each step."""

from typing import Any

import keras
from keras import ops

from innerview import checks


class GaussianBlur(keras.constraints.Constraint):
    """Blurs images after each step by a Gaussian kernel of 3 x 3 pixels that narrows linearly (document B, row B1).

    Beyond its edges an image ``(n, height, width, channels)`` goes on in the mirror. ValueError if `steps` is below 1,
    a deviation not above 0, or an image smaller than 2 x 2 pixels.

    Args:
        optimizer: whose steps are counted.
        steps: how many it takes from the first standard deviation to the last.
        begin: the first standard deviation, in pixels.
        end: the last one.

    Example:
        >>> optimizer = linear_decay_sgd(0.1, steps=500)
        >>> blur = GaussianBlur(optimizer, steps=500)
        >>> round(float(blur(np.eye(3, dtype="float32")[None, :, :, None])[0, 1, 1, 0]), 2)
        0.33
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, steps: int, begin: float = 2.4, end: float = 0.4):
        if not (begin > 0 and end > 0):
            raise ValueError(f"expected standard deviations above 0; received {begin} and {end}")
        self.optimizer, self.steps = optimizer, checks.whole("steps", steps)
        self.begin, self.end = begin, end

    def __call__(self, images: Any) -> Any:
        """Return the images blurred as is due at the optimizer's present step."""
        if len(images.shape) != 4 or min(images.shape[1:3]) < 2:
            raise ValueError(f"expected images (n, height, width, channels) of 2 x 2 or more; received {images.shape}")
        done = ops.minimum(ops.cast(self.optimizer.iterations, images.dtype) / self.steps, 1.0)
        sigma = self.begin + (self.end - self.begin) * done
        side = ops.exp(-0.5 / sigma**2)
        images = ops.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
        images = (images[:, 1:-1] + side * (images[:, :-2] + images[:, 2:])) / (1 + 2 * side)
        return (images[:, :, 1:-1] + side * (images[:, :, :-2] + images[:, :, 2:])) / (1 + 2 * side)

    def get_config(self) -> dict[str, Any]:
        """Return the settings, without the optimizer."""
        return {"steps": self.steps, "begin": self.begin, "end": self.end}
