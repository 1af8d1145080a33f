"""What a network computes on the way: the outputs of its named layers."""

from collections.abc import Sequence

import keras
import numpy as np


def activations(
    model: keras.Model, x: np.ndarray, layers: Sequence[str] | None = None, batch_size: int = 1_000
) -> dict[str, np.ndarray]:
    """Return the outputs of named layers for the inputs `x`, as arrays by layer name.

    Args:
        model: a built Keras model.
        x: inputs, of shape ``(n, ...)``.
        layers: names of layers. The default is all but the input.
        batch_size: inputs a step; it bears on memory, not on the result.

    Raises:
        ValueError: the model has no layer of one of these names.
    """
    known = [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    names = known if layers is None else list(layers)
    for name in names:
        if name not in known:
            raise ValueError(f"expected layers among {known}; received {name!r}")
    outputs = {name: model.get_layer(name).output for name in names}
    return keras.Model(model.inputs, outputs).predict(x, batch_size=batch_size, verbose=0)
