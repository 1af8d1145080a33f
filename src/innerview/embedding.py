"""Maps of activations in two dimensions, by UMAP and t-SNE, and where new points fall on them."""

import os
import signal
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from importlib.metadata import version
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
from IPython.display import DisplayHandle, Pretty
from sklearn.metrics import pairwise_distances

from innerview.datasets import data_folder, kept_on_disk

Method = Literal["UMAP", "t-SNE"]
Map = tuple[np.ndarray, np.ndarray]
_PACKAGE = {"UMAP": "umap-learn", "t-SNE": "openTSNE"}


def make_maps(
    method: Method, points: Sequence[tuple[np.ndarray, np.ndarray | None]], seeds: Sequence[int]
) -> list[Map]:
    """Make one map for each set of points, and place new points on it (document C, rows C5 to C7).

    Both methods run with their packages' defaults: UMAP looks at 15 neighbours, openTSNE has a perplexity of 30.
    A seeded map is made on one processor core, so that it comes out the same each time; several maps are made at
    once, one a core. Maps are kept on disk and read from there the next time.

    Args:
        method: ``"UMAP"`` or ``"t-SNE"``.
        points: pairs of the points that make the map, float32 of shape ``(n, dimensions)``, and the new points that
            are placed on the finished map, ``(m, dimensions)``, or None for no new ones.
        seeds: one for each map.

    Returns:
        For each map the places of its points, float32 of shape ``(n, 2)``, and of the new points, ``(m, 2)``.

    Raises:
        ValueError: `method` is neither of the two, there is no map to make, there are more or fewer seeds than maps,
            or new points have another number of dimensions than the old.
    """
    if method not in _PACKAGE:
        raise ValueError(f"method must be one of {list(_PACKAGE)}; received {method!r}")
    if not points or len(seeds) != len(points):
        raise ValueError(f"expected a seed for each map, at least one; received {len(points)} maps, {len(seeds)} seeds")
    for x, x_new in points:
        if x.ndim != 2 or (x_new is not None and x_new.shape[1:] != x.shape[1:]):
            shapes = x.shape, None if x_new is None else x_new.shape
            raise ValueError(f"expected arrays of shape (n, dimensions) and (m, dimensions); received {shapes}")
    began = time.monotonic()
    told = DisplayHandle()
    told.display(Pretty(f"{method}: {len(points)} maps to make."))
    maps: list[Map] = []
    try:
        folder = data_folder() / "maps"
        for one in _workers().map(_kept_map, repeat(folder), repeat(method), *zip(*points, strict=True), seeds):
            maps.append(one)
            passed = time.monotonic() - began
            left = passed / len(maps) * (len(points) - len(maps))
            told.update(
                Pretty(f"{method}: {len(maps)} of {len(points)} maps, {passed:.0f} s; about {left:.0f} s left.")
            )
    except BrokenProcessPool:
        _workers.cache_clear()  # the next call gets new ones
        raise
    told.update(Pretty(f"{method}: {len(maps)} maps in {time.monotonic() - began:.0f} s."))
    return maps


@cache
def _workers() -> ProcessPoolExecutor:
    # Each is a fresh Python, as TensorFlow's threads do not survive a copy. They stay, for UMAP is compiled in each.
    # An interrupt is for the notebook, which then cancels what waits; in a worker it would only print a traceback.
    quiet = (signal.SIGINT, signal.SIG_IGN)
    return ProcessPoolExecutor(os.cpu_count() or 1, get_context("spawn"), initializer=signal.signal, initargs=quiet)


def _kept_map(folder: Path, method: Method, x: np.ndarray, x_new: np.ndarray | None, seed: int) -> Map:
    """Make one map, or read it from disk. It runs in a process of its own."""
    new = np.empty((0, x.shape[1]), x.dtype) if x_new is None else x_new
    facts = [method, version(_PACKAGE[method]), seed, x_new is None]

    def made() -> dict[str, np.ndarray]:
        # Filters are set here because they do not reach a worker process from its parent. What UMAP says is expected.
        with warnings.catch_warnings():
            for said in ("using precomputed metric", "Transforming new data with precomputed metric"):
                warnings.filterwarnings("ignore", said)
            placed, placed_new = (_umap if method == "UMAP" else _tsne)(x, new, seed)
        return {"points": np.asarray(placed, "float32"), "new": np.asarray(placed_new, "float32")}

    found, _ = kept_on_disk(folder, facts, [x, new], made)
    return found["points"], found["new"]


def _umap(x: np.ndarray, x_new: np.ndarray, seed: int) -> Map:
    from umap import UMAP

    # Below 4,096 points UMAP takes all distances, by a Python call for each pair; scikit-learn takes them at once.
    few = len(x) < 4_096
    reducer = UMAP(metric="precomputed" if few else "euclidean", random_state=seed, n_jobs=1)
    placed = reducer.fit_transform(pairwise_distances(x) if few else x)
    if not len(x_new):
        return placed, np.empty((0, 2))
    return placed, reducer.transform(pairwise_distances(x_new, x) if few else x_new)


def _tsne(x: np.ndarray, x_new: np.ndarray, seed: int) -> Map:
    from openTSNE import TSNE

    placed = TSNE(random_state=seed, n_jobs=1).fit(x)
    return placed, placed.transform(x_new) if len(x_new) else np.empty((0, 2))
