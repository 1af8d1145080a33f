"""What comes in at the door: arrays, labels and counts are made fit where nothing is lost, and refused where not."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number of `least` or more. TypeError if it is no whole number, ValueError if it is too small."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number; received {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}; received {value}")
    return int(value)


def array(name: str, value: Any, shape: Sequence[int | None] = (), dtype: str = "float32") -> np.ndarray:
    """Return numbers as a finite array of `dtype`; in `shape`, None is any length but 0, and ``()`` any shape.

    TypeError if the values are no real numbers, or not whole where `dtype` is; ValueError if the shape is another, or
    if a value is not finite or leaves the dtype's range.
    """
    given = np.asarray(value)
    if given.dtype.kind not in "biuf" and "float" not in str(given.dtype):  # bfloat16 calls itself void
        raise TypeError(f"{name} must be an array of numbers; received {type(value).__name__} of {given.dtype}")
    fits = len(shape) == given.ndim and all(
        own == n or (n is None and own) for own, n in zip(given.shape, shape, strict=False)
    )
    if shape and not fits:
        wanted = tuple("any" if n is None else n for n in shape)
        raise ValueError(f"{name} must have shape {wanted}; received {given.shape}".replace("'", ""))
    with np.errstate(over="ignore", invalid="ignore"):
        made = given.astype(dtype, copy=False)
        # A sum is several times as fast as a look at each value; only if it is not finite, each is looked at.
        if made.dtype.kind == "f" and not np.isfinite(made.sum()) and not np.isfinite(made).all():
            raise ValueError(f"{name} must be finite, also as {dtype}; received NaN or infinite values")
    if made.dtype.kind in "iu" and (made != given).any():
        raise TypeError(f"{name} must hold whole numbers in the range of {dtype}; received {given.dtype}")
    return made


def of_each(networks: int, name: str, value: Any, shape: Sequence[int], dtype: str = "float32") -> np.ndarray:
    """Return an array ``(networks, n, *shape)``: each network's own, or ``(n, *shape)`` for every one alike."""
    if np.ndim(value) == len(shape) + 2:
        return array(name, value, (networks, None, *shape), dtype)
    made = array(name, value, (None, *shape), dtype)
    return np.broadcast_to(made, (networks, *made.shape))


def labels(name: str, value: Any, n: int, classes: int) -> np.ndarray:
    """Return `n` labels, int64 from 0 to below `classes`. ValueError or TypeError if they are not such."""
    made = array(name, value, (n,), "int64")
    if n and not 0 <= made.min() <= made.max() < classes:
        wrong = made[(made < 0) | (made >= classes)][0]
        raise ValueError(f"{name} must hold labels from 0 to {classes - 1}; received {wrong}")
    return made


def networks(value: Any) -> list[keras.Model]:
    """Return a list of one or more models. TypeError if it is something else, ValueError if it is empty."""
    if not isinstance(value, Sequence) or not all(isinstance(each, keras.Model) for each in value):
        raise TypeError(f"expected a list of networks; received {type(value).__name__}")
    if not value:
        raise ValueError("expected a list of networks, at least one; received none")
    return list(value)


def inputs(model: keras.Model, x: Any, name: str = "x") -> Any:
    """Return `x` as the model takes it: an array, or a list or dict of arrays of one length.

    The errors are those of `array`; a model's inputs that are no numbers, such as text, are taken as they come.
    """
    tensors = model.inputs
    given = keras.tree.flatten(x) if isinstance(x, dict | tuple) or len(tensors) > 1 else [x]
    shapes = [np.shape(each) for each in given]
    if len(given) != len(tensors) or len({shape[:1] for shape in shapes}) > 1:
        raise ValueError(f"{name} must be {len(tensors)} array(s) of one length; received shapes {shapes}")
    if len(tensors) > 1:  # by name or in order, as Keras takes them
        return x
    first = shapes[0][:1] if len(shapes[0]) == len(tensors[0].shape) else (None,)
    shape = (*first, *tensors[0].shape[1:])
    made = given[0] if tensors[0].dtype == "string" else array(name, given[0], shape, tensors[0].dtype)
    return keras.tree.pack_sequence_as(x, [made]) if isinstance(x, dict | tuple) else made


@contextmanager
def same_random_state() -> Iterator[None]:
    """Put Python's random numbers back to where they were: Keras draws from them for each layer without a seed."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
