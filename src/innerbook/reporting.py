"""Numbers for the prose: what a cell reports, a sentence can name."""

import math
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from IPython import get_ipython
from IPython.display import display

_PREFIX = "application/papermill.record/"


def report(values: Mapping[Any, Any] | None = None, /, **more: Any) -> None:
    """Glue each named value, so that the text can say it: an array's median over its runs, a number as it is.

    A Mapping inside is one name for each of its entries, joined by ``_``; so is a key that is a tuple. Of a pandas
    Series the index counts, of a DataFrame column and index. One integer stays an integer, all else is a float. In the
    text, the role ``glue:text`` of ``accuracy_hidden1:.3f`` shows a number. Outside the book nothing is glued.

    Args:
        values: numbers, truth values, arrays, Mappings, Series or DataFrames by name.
        more: the same, for names that are words.

    Raises:
        ValueError: a number, or an array's median, is not finite, an array is empty, or two values have one name.
        TypeError: a value is no number, or `values` has no names.

    Example::

        report({"accuracy": {"hidden1": accuracy[:, 0], "hidden2": accuracy[:, 1]}}, epochs=20)
    """
    found: dict[str, float] = {}
    for part in (values if values is not None else {}, more):
        if not _has_names(part):
            raise TypeError(f"expected values by name, such as a dict; received {type(part).__name__}")
        for name, value in _flat(part, ()):
            if name in found:
                raise ValueError(f"expected a name for each value; two are named {name!r}")
            found[name] = _number(name, value)
    if get_ipython() is None or find_spec("myst_nb") is None:  # a notebook away from the book has no text to fill
        return
    for name, number in found.items():
        # What myst_nb's `glue` sends; importing that would cost each page two seconds.
        told = {"scrapbook": {"name": name, "mime_prefix": _PREFIX}}
        display({f"{_PREFIX}text/plain": repr(number)}, raw=True, metadata=told)


def _has_names(value: Any) -> bool:
    return callable(getattr(value, "items", None))  # as Mappings have it, and what pandas has


def _flat(value: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if not _has_names(value):
        yield "_".join(names), value
        return
    for key, each in value.items():
        parts = key if isinstance(key, tuple) else (key,)
        yield from _flat(each, (*names, *map(str, parts)))


def _number(name: str, value: Any) -> float:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"expected numbers; {name!r} is {type(value).__name__}: {value!r}")
    if not array.size:
        raise ValueError(f"expected at least one value; {name!r} has shape {array.shape}")
    if array.ndim == 0 and array.dtype.kind in "iu":
        return int(array)
    number = float(np.median(array))
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number; {name!r} is {number}")
    return number
