"""Colours, and what the still and the moving pictures share."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

# Okabe and Ito's colours, which people with any kind of colour vision tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Ten for ten digits: the least difference of two is as large as a search could make it, also to eyes that lack one of
# the three kinds of cones (by simulation), and none is too pale for a dot on white. Digits that look alike differ most.
DIGIT_COLOURS = "#6080e0 #606000 #400080 #c02080 #0000e0 #80c000 #602020 #60c0e0 #000020 #e0a080".split()  # noqa: SIM905


def colours_for(groups: Collection[object]) -> Sequence[str]:
    """Return the first colours of `COLOURS`, one for each group.

    Raises:
        ValueError: there are more groups than colours.
    """
    if len(groups) > len(COLOURS):
        raise ValueError(
            f"expected {len(COLOURS)} groups at most, as many as there are colours; "
            f"received {len(groups)}: {', '.join(map(str, groups))}"
        )
    return COLOURS[: len(groups)]


def check_numbers(name: str, values: np.ndarray) -> None:
    """Check that a named array holds finite numbers, at least one.

    Raises:
        ValueError: it is empty, or a value is infinite or no number.
    """
    array = np.asarray(values)
    if not array.size or array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers, at least one; {name!r}, {array.dtype} of {array.shape}, has others")


def check_points(panels: Mapping[str, np.ndarray], labels: np.ndarray, dimensions: int) -> None:
    """Check that each named array holds a point, ``(n, dimensions)``, for each of the integer labels ``(n,)``.

    Raises:
        ValueError: shapes do not fit, there are no points, a coordinate is infinite or no number, or a label is no
            integer.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"expected integer labels of shape (n,); received {labels.dtype} of shape {labels.shape}")
    for name, points in panels.items():
        if points.shape != (len(labels), dimensions):
            raise ValueError(f"expected points of shape {(len(labels), dimensions)}; {name!r} has {points.shape}")
        check_numbers(name, points)


def check_digits(labels: np.ndarray) -> None:
    """Check that all labels are digits.

    Raises:
        ValueError: a label is not from 0 to 9.
    """
    others = np.setdiff1d(labels, np.arange(10))
    if len(others):
        raise ValueError(f"expected labels from 0 to 9; received {others.tolist()}")


def label_medians(points: np.ndarray, labels: np.ndarray) -> list[tuple[int, float, float]]:
    """Return each label with the median place, x and y, of its points ``(n, 2)``."""
    return [(int(label), *np.median(points[labels == label], axis=0).tolist()) for label in np.unique(labels)]
