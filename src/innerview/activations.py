"""What a network computes on the way: the outputs of its named layers, and what can be read from them."""

from collections.abc import Sequence

import keras
import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier


def with_outputs(model: keras.Model, layers: Sequence[str]) -> keras.Model:
    """Return a model of the same inputs that returns the outputs of named layers, by name. It shares the weights.

    Raises:
        ValueError: the model has no layer of one of these names.
    """
    known = [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    for name in layers:
        if name not in known:
            raise ValueError(f"expected layers among {known}; received {name!r}")
    return keras.Model(model.inputs, {name: model.get_layer(name).output for name in layers})


def encoder(model: keras.Model, layer: str) -> keras.Model:
    """Return a model of the same inputs that ends with a named layer. It shares the weights.

    Raises:
        ValueError: the model has no layer of this name.
    """
    return keras.Model(model.inputs, with_outputs(model, [layer]).output[layer])


def activations(
    model: keras.Model, x: np.ndarray, layers: Sequence[str] | None = None, batch_size: int = 5_000
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
    if layers is None:
        layers = [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    return with_outputs(model, layers).predict(x, batch_size=batch_size, verbose=0)


def probe_accuracy(x: np.ndarray, y: np.ndarray, x_new: np.ndarray, y_new: np.ndarray) -> float:
    """Train a linear probe on `x` and `y` and return its accuracy on `x_new` and `y_new` (document A, row A2).

    The probe is logistic regression, one class against the rest, with an L2 penalty of strength 1: what scikit-learn
    did by default when the document was written.

    Args:
        x: activations to learn from, of shape ``(n, units)``.
        y: their labels, integers of shape ``(n,)``.
        x_new: activations to be tested on, of shape ``(m, units)``.
        y_new: their labels, of shape ``(m,)``.
    """
    probe = OneVsRestClassifier(LogisticRegression(solver="liblinear", random_state=0))
    return float(probe.fit(x, y).score(x_new, y_new))


def principal_components(x: np.ndarray, count: int) -> np.ndarray:
    """Return the first `count` principal components of the rows of `x`, of shape ``(n, count)`` (document A, row A3).

    The components are ordered by falling variance, and have mean zero. Their signs carry no meaning.
    """
    return PCA(count, svd_solver="full").fit_transform(x)
