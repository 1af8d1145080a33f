"""What a network computes on the way: the outputs of its named layers."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from innerview import checks


def feature_extractor(model: keras.Model, layers: str | Sequence[str]) -> keras.Model:
    """Return a model of the same inputs that returns the outputs of named layers. It shares the weights.

    The outputs are those inside this very model, also of layers that other models use as well. A model used as a layer
    is one by its name; what is inside has a path, such as ``"backbone/conv1"``.

    Args:
        model: a Sequential model that is built, or a functional one.
        layers: one name, for a model that returns this layer's output; or several, for one that returns a dict.

    Raises:
        ValueError, TypeError: the layers are not connected (the model is a subclass of `keras.Model`, or not built), it
            has no layer of one of these names, or calls it more than once, so that one cannot tell which is meant.

    Example:
        >>> encoder = feature_extractor(deep_tanh(seed=0), "hidden1")
        >>> encoder.output_shape
        (None, 100)
    """
    inputs = inputs_of(model)
    if isinstance(layers, str):
        return keras.Model(inputs, _outputs(model, [layers])[layers])
    return keras.Model(inputs, _outputs(model, list(layers)))


def get_activations(
    model: keras.Model, x: Any, layers: str | Sequence[str] | None = None, batch_size: int | None = None
) -> dict[str, np.ndarray]:
    """Return the outputs of named layers for the inputs `x`, as arrays by layer name, in inference mode.

    Args:
        model, layers: as in `feature_extractor`. The default is all layers but the input, without those inside another.
        x: inputs of shape ``(n, ...)``, or a list or dict of such.
        batch_size: how many inputs go through the network at once, which bears on memory, not on the result. By
            default as many as keep the largest output of a layer at 64 MB or less, and at most 5,000.

    Raises:
        ValueError, TypeError: as in `feature_extractor`; inputs do not fit the model.

    Example:
        >>> x = np.zeros((2, 784))
        >>> get_activations(deep_tanh(seed=0), x, "hidden3")["hidden3"].shape
        (2, 100)
    """
    calls = _calls(model)
    if layers is None:
        layers = [layer.name for layer in model.layers if layer.name in calls]
    names = [layers] if isinstance(layers, str) else list(layers)
    extractor, x = feature_extractor(model, names), checks.inputs(model, x)
    if batch_size is None:
        tensors = [tensor for nodes in calls.values() for node in nodes for tensor in node.output_tensors]
        largest = max(np.prod([size or 1 for size in tensor.shape[1:]], initial=1) for tensor in tensors)
        batch_size = int(np.clip(2**24 // largest, 1, 5_000))
    found = outputs(extractor, x, checks.whole("batch_size", batch_size))
    return {name: found[name] for name in names}


def outputs(model: keras.Model, x: Any, batch_size: int) -> Any:
    """Return a model's outputs in inference mode, as arrays; called directly, several times as fast as `predict`."""
    parts, n, every = [], len(keras.tree.flatten(x)[0]), keras.tree.map_structure
    if n == 0:  # not every layer takes none, so one goes through
        one = every(lambda each: np.zeros((1, *each.shape[1:]), each.dtype), x)
        return every(lambda each: each[:0], outputs(model, one, 1))
    for i in range(0, n, batch_size):
        some = every(lambda each: each[i : i + batch_size], x)  # noqa: B023
        parts.append(every(ops.convert_to_numpy, model(some, training=False)))
    return parts[0] if len(parts) == 1 else every(lambda *arrays: np.concatenate(arrays), *parts)


def graph_of(model: keras.Model) -> Any:
    """Return the model with its graph, which Keras keeps inside a Sequential one once that is built."""
    graph = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if not hasattr(graph, "_nodes_by_depth"):
        told = f"{type(model).__name__} {getattr(model, 'name', '')!r}"
        raise ValueError(
            "expected a functional model, or a Sequential one whose input is known (begin it with keras.Input, or call "
            f"it on data first): in others the layers' outputs cannot be found; received {told}"
        )
    return graph


def inputs_of(model: keras.Model) -> Any:
    """Return the inputs of a model's graph in the structure in which it takes them."""
    given = graph_of(model).input
    return given[0] if isinstance(given, list) and len(given) == 1 else given


def _calls(model: keras.Model) -> dict[str, list[Any]]:
    """Return the calls in the model's own graph by the name of what is called: a layer has calls in others, too."""
    by_depth = graph_of(model)._nodes_by_depth
    found: dict[str, list[Any]] = {}
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if not node.is_input:
                found.setdefault(node.operation.name, []).append(node)
    return found


def _outputs(model: keras.Model, names: list[Any]) -> dict[str, Any]:
    calls, found = _calls(model), {}
    inside: dict[str, list[str]] = {}
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"expected names of layers; received {type(name).__name__} {name!r}")
        outer, _, inner = name.partition("/")
        if outer not in calls:
            raise ValueError(f"expected layers of {model.name!r} among {list(calls)}; received {name!r}")
        if len(calls[outer]) > 1:
            told = f"layer {outer!r} is called {len(calls[outer])} times in this model: which output is meant?"
            raise ValueError(f"expected layers that are called once; received {name!r}; {told}")
        (node,) = calls[outer]
        if inner:
            inside.setdefault(outer, []).append(inner)
        found[name] = node.output_tensors[0] if len(node.output_tensors) == 1 else node.output_tensors
    for outer, inner_names in inside.items():  # each model inside runs once, for all that is asked of it
        node = calls[outer][0]
        parts = feature_extractor(node.operation, inner_names)(*node.arguments.args, **node.arguments.kwargs)
        found |= {f"{outer}/{inner}": parts[inner] for inner in inner_names}
    return found
