"""Maps of activations in two dimensions, by UMAP and t-SNE, and where new points fall on them."""

import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from itertools import repeat
from multiprocessing import current_process, get_context
from operator import index
from pathlib import Path
from typing import get_args

import numpy as np

from innerbook import memory, settings
from innerbook.reduction import Map, Method, one_map

# Python's own rule for processes that are started fresh.
_GUARD = 'save the script as a file and put what it does under `if __name__ == "__main__":`'


def embed(method: Method, points: Sequence[tuple[np.ndarray, np.ndarray | None]], seeds: Sequence[int]) -> list[Map]:
    """Make one map for each set of points, and place new points on it (document C, rows C5 to C7).

    Both methods run with their packages' defaults: UMAP looks at 15 neighbours, openTSNE has a perplexity of 30.
    A seeded map is made on one processor core, so that it comes out the same each time; several maps are made at
    once, one a core. Maps are kept on disk and read from there the next time.

    Args:
        method: ``"UMAP"`` or ``"t-SNE"``.
        points: pairs of the points that make the map, ``(n, dimensions)``, four or more, and the new points that are
            placed on the finished map, ``(m, dimensions)``, or None for no new ones. Numbers are taken as float32.
        seeds: one for each map.

    Returns:
        For each map the places of its points, float32 of shape ``(n, 2)``, and of the new points, ``(m, 2)``.

    Raises:
        ValueError: `method` is neither of the two, there is no map to make, there are more or fewer seeds than maps,
            new points have another number of dimensions than the old, there are fewer than four points or two
            dimensions, all points are the same, one is no number or not finite, or squares of them are not.
        RuntimeError: the processes that make the maps cannot run: they start from a script that does not let itself
            be imported, or one has ended early.
    """
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {list(get_args(Method))}; received {method!r}")
    if not points or len(seeds) != len(points):
        raise ValueError(f"expected a seed for each map, at least one; received {len(points)} maps, {len(seeds)} seeds")
    pairs = [_checked(i, *pair) for i, pair in enumerate(points)]
    _check_script()
    began = time.monotonic()
    note = memory.Note()
    note.say(f"{method}: {len(points)} maps to make.")
    maps: list[memory.Kept] = []
    try:
        pool = _workers(settings.current())
        for one in pool.map(_kept, repeat(method), *zip(*pairs, strict=True), map(index, seeds)):
            maps.append(one)
            passed = time.monotonic() - began
            left = passed / len(maps) * (len(points) - len(maps))
            note.say(f"{method}: {len(maps)} of {len(points)} maps, {passed:.0f} s; about {left:.0f} s left.")
    except BrokenProcessPool:
        _workers.cache_clear()  # the next call gets new ones
        raise RuntimeError(
            f"a process that makes maps has ended early. In a script, each process imports it: {_GUARD}. "
            "Elsewhere, memory may have run out."
        ) from None
    at_once = min(len(maps), settings.usable_cores())
    saved = {name: seconds / at_once for one in maps for name, seconds in one.saved.items()}
    note.say(f"{method}: {len(maps)} maps in {time.monotonic() - began:.0f} s.", saved)
    return [one.result for one in maps]


def _checked(i: int, x: np.ndarray, x_new: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a map's points and new points as float32, if they make one."""
    given = [np.asarray(each) for each in (x, x_new) if each is not None]
    if any(each.dtype.kind not in "biuf" for each in given):
        raise ValueError(f"expected numbers; map {i} has {', '.join(str(each.dtype) for each in given)}")
    if any(each.ndim != 2 or each.shape[1:] != given[0].shape[1:] for each in given):
        raise ValueError(
            "expected arrays of shape (n, dimensions) and (m, dimensions); "
            f"received {tuple(None if each is None else np.shape(each) for each in (x, x_new))}"
        )
    if len(given[0]) < 4 or given[0].shape[1] < 2:
        raise ValueError(f"expected at least 4 points for a map, of 2 dimensions; map {i} has {given[0].shape}")
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        old, *new = (each.astype("float32") for each in given)
    if not all(np.isfinite(each).all() for each in (old, *new)):
        raise ValueError(f"expected finite points; map {i} has others")
    if (old == old[0]).all():
        raise ValueError(f"expected points that differ; all {len(old)} of map {i} are the same")
    spread, largest = np.ptp(old, axis=0).max(), max(np.abs(each).max(initial=0) for each in (old, *new))
    if spread < 1e-15 or largest > 1e15:  # their squares would be 0 or infinite
        raise ValueError(
            f"expected points up to 1e15 that differ by 1e-15 or more; map {i} goes to {largest:g}, by {spread:g}"
        )
    return old, new[0] if new else None


def _check_script() -> None:
    """Say what is wrong with a script that the processes cannot import, before they say it one by one."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if getattr(main, "__spec__", None) is None and file is not None and not Path(file).exists():
        raise RuntimeError(f"maps are made in processes that import the script, which has no file: {_GUARD}")
    if getattr(current_process(), "_inheriting", False):
        sys.exit(1)  # one of these processes, importing a script that makes maps at once; its parent says so


@lru_cache(maxsize=1)
def _workers(of: settings.Settings) -> ProcessPoolExecutor:
    # Each is a fresh Python, as TensorFlow's threads do not survive a copy. They stay, for UMAP is compiled in each.
    # They take their settings from the environment as they start, so other settings get other workers.
    return ProcessPoolExecutor(settings.usable_cores(), get_context("spawn"), initializer=_begin)


def _begin() -> None:
    # An interrupt is for the notebook, which then cancels what waits; in a worker it would only print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # UMAP loads both, if it can, for a kind of map that is not made here; it takes long, and a map's key must not
    # depend on which map its worker made before.
    sys.modules.update(dict.fromkeys(("keras", "tensorflow")))  # type: ignore[arg-type]


def _kept(method: Method, x: np.ndarray, x_new: np.ndarray | None, seed: int) -> memory.Kept:
    """Make one map, or read it from disk; it runs in a process of its own."""
    return memory.kept(one_map, method, x, x_new, seed)
