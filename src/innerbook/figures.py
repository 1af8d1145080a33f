"""The still pictures that several chapters draw: on the Axes they are given, or on Axes they make and return."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from innerbook.style import (
    COLOURS,
    DIGIT_COLOURS,
    check_digits,
    check_numbers,
    check_points,
    colours_for,
    label_medians,
)


def median_band(
    ax: Axes,
    x: np.ndarray | Mapping[str, np.ndarray],
    runs: Mapping[str, np.ndarray],
    xlabel: str,
    ylabel: str,
    each: bool = False,
) -> Axes:
    """Draw the median over runs as a line and their range as a band, for each named array ``(points, runs)``.

    `x`, of shape ``(points,)``, is one array for all or has the names of `runs`. With `each`, there is a line for each
    run instead, and `x` may be of shape ``(points, runs)``.

    Raises:
        ValueError: there are more than seven named arrays, or one is not of shape ``(points, runs)``, does not fit its
            `x`, is empty, or holds what is no finite number.
    """
    for name, values in runs.items():
        if np.ndim(values) != 2:
            raise ValueError(f"expected arrays of shape (points, runs); {name!r} has {np.shape(values)}")
        check_numbers(name, values)
        along = x[name] if isinstance(x, Mapping) else x
        check_numbers(f"x of {name}", along)
        if np.shape(along) != np.shape(values)[:1] and not (each and np.shape(along) == np.shape(values)):
            raise ValueError(
                f"expected an x for each point of {name!r}, {np.shape(values)}; received {np.shape(along)}"
            )
    for colour, (name, values) in zip(colours_for(runs), runs.items(), strict=True):
        along = x[name] if isinstance(x, Mapping) else x
        if each:
            lines = ax.plot(along, values, color=colour, linewidth=1)
            lines[0].set_label(name)
            continue
        ax.plot(along, np.median(values, axis=1), color=colour, label=name)
        ax.fill_between(along, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.25, linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(frameon=False)
    return ax


def strip(ax: Axes, groups: Mapping[str, np.ndarray], ylabel: str) -> Axes:
    """Draw each group's values, of shape ``(values,)``, as dots over its name, with a bar at the median.

    Raises:
        ValueError: a group has another shape, no value, or one that is no finite number.
    """
    for name, values in groups.items():
        if np.ndim(values) != 1:
            raise ValueError(f"expected groups of shape (values,); {name!r} has {np.shape(values)}")
        check_numbers(name, values)
    for i, (name, values) in enumerate(groups.items()):
        ax.plot(np.full(len(values), i), values, "o", color=COLOURS[0], alpha=0.6, markeredgewidth=0)
        ax.plot([i - 0.25, i + 0.25], [np.median(values)] * 2, color=COLOURS[1], linewidth=2)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set_xlim(-0.6, len(groups) - 0.4)
    ax.set_ylabel(ylabel)
    return ax


def image_grid(rows: Mapping[str, np.ndarray], columns: Sequence[str], size: float = 0.95) -> np.ndarray:
    """Draw square images in a grid, a named row for each array of images; return the Axes, ``(rows, columns)``.

    An image is `size` inches wide, or less: the grid is 8 inches wide at most, as the page is.

    Images in colour, floats of shape ``(n, side, side, 3)``, are cut off at 0 and 1. Grey ones are ``(n, pixels)``,
    ``(n, side, side)`` or ``(n, side, side, 1)``. A grey row with negative values is drawn in blue (negative), white
    (0) and red (positive), else in white to black; each image has its own scale, from 0 to its own largest value.

    Raises:
        ValueError: images are not square, those in colour are no floats, one holds what is no finite number, or a row
            has more or fewer images than there are `columns`.
    """
    squares = {name: _square(name, images) for name, images in rows.items()}
    for name, images in squares.items():
        if len(images) != len(columns):
            raise ValueError(f"expected {len(columns)} images, one for each column; row {name!r} has {len(images)}")
    height, width = len(rows), len(columns)
    size = min(size, (8 - 0.6) / width)
    figure, axes = plt.subplots(
        height, width, figsize=(size * width + 0.6, size * height + 0.3), squeeze=False, layout="constrained"
    )
    for row, (name, images) in zip(axes, squares.items(), strict=True):
        signed = np.min(images) < 0
        for ax, image in zip(row, images, strict=True):
            if image.ndim == 3:
                ax.imshow(np.clip(image, 0, 1))
            else:
                peak = np.abs(image).max() or 1.0
                low, colours = (-peak, "RdBu_r") if signed else (0, "gray_r")
                ax.imshow(image, cmap=colours, vmin=low, vmax=peak)
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=9)
    for ax, title in zip(axes[0], columns, strict=True):
        ax.set_title(title, fontsize=9)
    return axes


def _square(name: str, images: np.ndarray) -> np.ndarray:
    """Return images as ``(n, side, side)``, or ``(n, side, side, 3)`` if they are in colour."""
    images = np.asarray(images)
    check_numbers(name, images)
    images = images.astype("float64") if images.ndim < 4 and images.dtype.kind in "biu" else images
    shape = images.shape
    if images.ndim == 2 and math.isqrt(shape[1]) ** 2 == shape[1]:
        return images.reshape(len(images), math.isqrt(shape[1]), -1)
    if images.ndim not in (3, 4) or shape[1] != shape[2] or shape[3:] not in ((), (1,), (3,)):
        raise ValueError(
            f"expected square images, (n, pixels), (n, side, side), or 1 or 3 channels last; row {name!r} has {shape}"
        )
    if shape[3:] == (3,) and images.dtype.kind != "f":
        raise ValueError(f"expected images in colour as floats from 0 to 1; row {name!r} has {images.dtype}")
    return images[..., 0] if shape[3:] == (1,) else images


def scatter_grid(rows: Mapping[str, Mapping[str, np.ndarray]], labels: np.ndarray) -> np.ndarray:
    """Draw maps, one named row of named maps ``(n, 2)`` for each entry, with each digit's number at its median.

    Points are coloured by their label, an integer array of shape ``(n,)`` (document C, row C5). Axes have no ticks,
    because neither direction has a meaning. Returns the Axes, of shape ``(rows, maps)``.

    Raises:
        ValueError: rows differ in their number of maps, points and labels do not fit, or a label is not from 0 to 9.
    """
    columns = {len(maps) for maps in rows.values()}
    if len(columns) != 1:
        raise ValueError(f"expected as many maps in each row; received {[len(maps) for maps in rows.values()]}")
    for maps in rows.values():
        check_points(maps, labels, 2)
    check_digits(labels)
    (width,) = columns
    side = min(3.0, 8 / width)
    figure, axes = plt.subplots(
        len(rows), width, figsize=(side * width, side * len(rows) + 0.2), squeeze=False, layout="constrained"
    )
    for row, (row_name, maps) in zip(axes, rows.items(), strict=True):
        for ax, (name, points) in zip(row, maps.items(), strict=True):
            for label in np.unique(labels):
                ax.plot(*points[labels == label].T, ".", color=DIGIT_COLOURS[label], markersize=2, alpha=0.6)
            for label, x, y in label_medians(points, labels):
                halo = patheffects.withStroke(linewidth=3, foreground="white")
                ax.text(x, y, f"{label}", ha="center", va="center", weight="bold", path_effects=[halo])
            ax.set(xticks=[], yticks=[], title=name)
        row[0].set_ylabel(row_name)
    return axes


def heat_map(ax: Axes, x: np.ndarray, values: np.ndarray, ylabel: str, label: str) -> Axes:
    """Draw `values`, of shape ``(len(x), rows)``, as colours on a logarithmic scale (document D, row D3).

    `x` is the step of each record. Colours span five powers of ten below the largest value; smaller ones and zeros
    have the colour of the least.

    Raises:
        ValueError: a value is negative or no number, none is above 0, there is not a row of values for each step, or
            steps do not go up.
    """
    if values.ndim != 2 or np.shape(x) != values.shape[:1]:
        raise ValueError(f"expected a step for each row of values, {values.shape}; received {np.shape(x)}")
    check_numbers("x", x)
    if not (np.diff(np.asarray(x, "float64")) > 0).all():
        raise ValueError(f"expected steps that go up; received {np.asarray(x)}")
    check_numbers(ylabel, values)
    peak = values.max()
    if not (values.min() >= 0 and peak > 0):
        raise ValueError(f"expected values from 0 on, some above; received {values.min():g} to {peak:g}")
    rows = np.arange(values.shape[1])
    mesh = ax.pcolormesh(
        x, rows, np.maximum(values, peak * 1e-5).T, norm=LogNorm(peak * 1e-5, peak), cmap="viridis", rasterized=True
    )
    ax.set(xlabel="step", ylabel=ylabel)
    ax.figure.colorbar(mesh, ax=ax, label=label)
    return ax
