"""One map by UMAP or t-SNE. A module of its own, so that a kept map hangs on nothing but what makes it."""

import warnings
from typing import Literal

import numpy as np
from sklearn.metrics import pairwise_distances

Method = Literal["UMAP", "t-SNE"]
Map = tuple[np.ndarray, np.ndarray]


def one_map(method: Method, x: np.ndarray, x_new: np.ndarray | None, seed: int) -> Map:
    """Make one map, and place new points on it; see `innerbook.embedding.embed`."""
    new = np.empty((0, x.shape[1]), x.dtype) if x_new is None else x_new
    # Filters are set here because they do not reach a worker process from its parent. What UMAP says is expected.
    with warnings.catch_warnings():
        for said in ("using precomputed metric", "Transforming new data with precomputed metric"):
            warnings.filterwarnings("ignore", said)
        placed, placed_new = (_umap if method == "UMAP" else _tsne)(x, new, seed)
    return np.asarray(placed, "float32"), np.asarray(placed_new, "float32")


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
