"""Maps of activations in two dimensions, by UMAP and t-SNE, and where new points fall on them."""

import os
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
from IPython.display import DisplayHandle

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
        points: pairs of the points that make the map, float32 of shape ``(n, dimensions)``, four or more, and the new
            points that are placed on the finished map, ``(m, dimensions)``, or None for no new ones.
        seeds: one for each map.

    Returns:
        For each map the places of its points, float32 of shape ``(n, 2)``, and of the new points, ``(m, 2)``.

    Raises:
        ValueError: `method` is neither of the two, there is no map to make, there are more or fewer seeds than maps,
            new points have another number of dimensions than the old, there are fewer than four points, all of them
            are the same, or one is not finite.
        RuntimeError: the processes that make the maps cannot run: they start from a script that does not let itself
            be imported, or one has ended early.
    """
    _check(method, points, seeds)
    _check_script()
    began = time.monotonic()
    told = DisplayHandle()
    memory._show(told, f"{method}: {len(points)} maps to make.")
    maps: list[Map] = []
    try:
        pool = _workers(settings.current())
        for one in pool.map(_kept, repeat(method), *zip(*points, strict=True), map(index, seeds)):
            maps.append(one)
            passed = time.monotonic() - began
            left = passed / len(maps) * (len(points) - len(maps))
            text = f"{method}: {len(maps)} of {len(points)} maps, {passed:.0f} s; about {left:.0f} s left."
            memory._show(told, text)
    except BrokenProcessPool:
        _workers.cache_clear()  # the next call gets new ones
        raise RuntimeError(
            f"a process that makes maps has ended early. In a script, each process imports it: {_GUARD}. "
            "Elsewhere, memory may have run out."
        ) from None
    memory._show(told, f"{method}: {len(maps)} maps in {time.monotonic() - began:.0f} s.")
    return maps


def _check(method: Method, points: Sequence[tuple[np.ndarray, np.ndarray | None]], seeds: Sequence[int]) -> None:
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {list(get_args(Method))}; received {method!r}")
    if not points or len(seeds) != len(points):
        raise ValueError(f"expected a seed for each map, at least one; received {len(points)} maps, {len(seeds)} seeds")
    for i, (x, x_new) in enumerate(points):
        if x.ndim != 2 or (x_new is not None and x_new.shape[1:] != x.shape[1:]):
            shapes = x.shape, None if x_new is None else x_new.shape
            raise ValueError(f"expected arrays of shape (n, dimensions) and (m, dimensions); received {shapes}")
        if len(x) < 4:
            raise ValueError(f"expected at least 4 points for a map; map {i} has {len(x)}")
        if not np.isfinite(x).all() or (x_new is not None and not np.isfinite(x_new).all()):
            raise ValueError(f"expected finite points; map {i} has others")
        if (x == x[0]).all():
            raise ValueError(f"expected points that differ; all {len(x)} of map {i} are the same")


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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ProcessPoolExecutor(cores, get_context("spawn"), initializer=_begin)


def _begin() -> None:
    # An interrupt is for the notebook, which then cancels what waits; in a worker it would only print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # UMAP loads both, if it can, for a kind of map that is not made here; it takes long, and a map's key must not
    # depend on which map its worker made before.
    sys.modules.update(dict.fromkeys(("keras", "tensorflow")))  # type: ignore[arg-type]


def _kept(method: Method, x: np.ndarray, x_new: np.ndarray | None, seed: int) -> Map:
    """Make one map, or read it from disk; it runs in a process of its own."""
    return memory.cached(one_map)(method, x, x_new, seed)
