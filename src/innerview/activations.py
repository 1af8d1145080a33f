"""What a network computes on the way: the outputs of its named layers."""

from collections.abc import Sequence

import keras
import numpy as np


def feature_extractor(model: keras.Model, layers: str | Sequence[str]) -> keras.Model:
    """Return a model of the same inputs that returns the outputs of named layers. It shares the weights.

    Args:
        model: a built Keras model.
        layers: one name, for a model that returns this layer's output; or several, for one that returns outputs by
            name.

    Raises:
        ValueError: the model has no layer of one of these names.

    Example::

        encoder = feature_extractor(network, "hidden1")
    """
    known = [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    for name in [layers] if isinstance(layers, str) else layers:
        if name not in known:
            raise ValueError(f"expected layers among {known}; received {name!r}")
    if isinstance(layers, str):
        return keras.Model(model.inputs, model.get_layer(layers).output)
    return keras.Model(model.inputs, {name: model.get_layer(name).output for name in layers})


def get_activations(
    model: keras.Model, x: np.ndarray, layers: Sequence[str] | None = None, batch_size: int = 5_000
) -> dict[str, np.ndarray]:
    """Return the outputs of named layers for the inputs `x`, of shape ``(n, ...)``, as arrays by layer name.

    The default is all layers but the input. `batch_size` bears on memory, not on the result. Errors are those of
    `feature_extractor`.

    Example::

        hidden = get_activations(network, x_test, ["hidden1"])["hidden1"]
    """
    if layers is None:
        layers = [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    return feature_extractor(model, list(layers)).predict(x, batch_size=batch_size, verbose=0)
