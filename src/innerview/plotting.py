"""The pictures. Each function draws on the Axes it is given, or makes them, and returns them."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from string import Template

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML
from matplotlib import patheffects
from matplotlib.axes import Axes
from PIL import Image

# Okabe and Ito's colours, which people with any kind of colour vision tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Ten for ten digits, chosen by Petroff for the same purpose.
DIGIT_COLOURS = [part["color"] for part in plt.style.library["petroff10"]["axes.prop_cycle"]]


def curves(
    ax: Axes,
    x: np.ndarray | Mapping[str, np.ndarray],
    runs: Mapping[str, np.ndarray],
    xlabel: str,
    ylabel: str,
    each: bool = False,
) -> Axes:
    """Draw the median over runs as a line and their range as a band, for each named array ``(points, runs)``.

    `x`, of shape ``(points,)`` or ``(points, runs)``, is one array for all or has the names of `runs`. With `each`,
    there is a line for each run instead.
    """
    for colour, (name, values) in zip(COLOURS, runs.items(), strict=False):
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


def shaded_lines(ax: Axes, x: np.ndarray, lines: np.ndarray, shade: np.ndarray, shade_label: str) -> Axes:
    """Draw each column of `lines`, of shape ``(len(x), n)``, in a colour that tells the logarithm of its `shade`."""
    norm = plt.matplotlib.colors.LogNorm(shade.min(), shade.max())
    colours = plt.matplotlib.cm.ScalarMappable(norm, "viridis")
    for line, value in zip(lines.T, shade, strict=True):
        ax.plot(x, line, color=colours.to_rgba(value), linewidth=1)
    ax.figure.colorbar(colours, ax=ax, label=shade_label)
    return ax


def image_grid(rows: Mapping[str, np.ndarray], columns: Sequence[str], size: float = 0.95) -> np.ndarray:
    """Draw square images in a grid, one named row for each array of images; return the Axes, ``(rows, n)``.

    Images in colour, ``(n, side, side, 3)``, are cut off at 0 and 1. Of the others, ``(n, pixels)``, a row with
    negative values is drawn in blue (negative), white (0) and red (positive), else in white to black; each image has
    its own scale, from 0 to its own largest value.
    """
    height, width = len(rows), len(columns)
    figure, axes = plt.subplots(
        height, width, figsize=(size * width + 0.6, size * height + 0.3), squeeze=False, layout="constrained"
    )
    for row, (name, images) in enumerate(rows.items()):
        signed = np.min(images) < 0
        for column, image in enumerate(images):
            ax = axes[row, column]
            if image.ndim == 3:
                ax.imshow(np.clip(image, 0, 1))
            else:
                peak, side = np.abs(image).max() or 1.0, round(np.sqrt(image.size))
                low, colours = (-peak, "RdBu_r") if signed else (0, "gray_r")
                ax.imshow(image.reshape(side, side), cmap=colours, vmin=low, vmax=peak)
            ax.set(xticks=[], yticks=[])
            if row == 0:
                ax.set_title(columns[column], fontsize=9)
        axes[row, 0].set_ylabel(name, fontsize=9)
    return axes


def fingerprints(groups: Mapping[str, np.ndarray], ceiling: float, units: str) -> np.ndarray:
    """Draw activations ``(n, units)`` of each group as a panel: a column for each image, a row for each unit.

    Values from 0 (white) to `ceiling` (black). Returns the Axes, one for each group, in two rows.
    """
    columns = -(-len(groups) // 2)
    figure, axes = plt.subplots(2, columns, figsize=(9, 6), sharey=True, layout="constrained", squeeze=False)
    for ax, (name, values) in zip(axes.flat, groups.items(), strict=False):
        picture = ax.imshow(
            values.T, cmap="gray_r", vmin=0, vmax=ceiling, aspect="auto", interpolation="antialiased", rasterized=True
        )
        ax.set_title(name, fontsize=9)
        ax.set_xticks([0, len(values)])
    for ax in axes[1]:
        ax.set_xlabel("image")
    for ax in axes[:, 0]:
        ax.set_ylabel(units)
    figure.colorbar(picture, ax=axes, label="activation", shrink=0.5)
    return axes


def dots_by_group(ax: Axes, groups: Mapping[str, np.ndarray], ylabel: str) -> Axes:
    """Draw each group's values as dots over its name, with a bar at the median."""
    for i, (name, values) in enumerate(groups.items()):
        ax.plot(np.full(len(values), i), values, "o", color=COLOURS[0], alpha=0.6, markeredgewidth=0)
        ax.plot([i - 0.25, i + 0.25], [np.median(values)] * 2, color=COLOURS[1], linewidth=2)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set_xlim(-0.6, len(groups) - 0.4)
    ax.set_ylabel(ylabel)
    return ax


def component_pairs(panels: Mapping[str, np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Draw each pair of three components, a row for each pair, a column for each named array ``(n, 3)``.

    Points are coloured by their label, an integer array of shape ``(n,)`` (document A, row A3). Returns the Axes, of
    shape ``(3, panels)``.
    """
    pairs = ((0, 1), (0, 2), (1, 2))
    figure, axes = plt.subplots(3, len(panels), figsize=(2.5 * len(panels), 7), layout="constrained", squeeze=False)
    for column, (name, points) in enumerate(panels.items()):
        for ax, (i, j) in zip(axes[:, column], pairs, strict=True):
            for colour, label in zip(COLOURS, np.unique(labels), strict=False):
                chosen = points[labels == label]
                ax.plot(chosen[:, i], chosen[:, j], ".", color=colour, markersize=3, label=f"{label}", alpha=0.7)
            ax.set(xticks=[], yticks=[], xlabel=f"component {i + 1}", ylabel=f"component {j + 1}")
        axes[0, column].set_title(name, fontsize=10)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(handles[0]), frameon=False, markerscale=4)
    return axes


def map_grid(rows: Mapping[str, Mapping[str, np.ndarray]], labels: np.ndarray) -> np.ndarray:
    """Draw maps, one named row of named maps ``(n, 2)`` for each entry, with each digit's number at its median.

    Points are coloured by their label, an integer array of shape ``(n,)`` (document C, row C5). Axes have no ticks,
    because neither direction has a meaning. Returns the Axes, of shape ``(rows, maps)``.
    """
    columns = max(len(maps) for maps in rows.values())
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(3 * columns, 3 * len(rows) + 0.2), squeeze=False, layout="constrained"
    )
    for row, (row_name, maps) in enumerate(rows.items()):
        for ax, (name, points) in zip(axes[row], maps.items(), strict=True):
            for label in np.unique(labels):
                ax.plot(*points[labels == label].T, ".", color=DIGIT_COLOURS[label], markersize=2, alpha=0.6)
            for label, x, y in _medians(points, labels):
                halo = patheffects.withStroke(linewidth=3, foreground="white")
                ax.text(x, y, f"{label}", ha="center", va="center", weight="bold", path_effects=[halo])
            ax.set(xticks=[], yticks=[], title=name)
        axes[row, 0].set_ylabel(row_name)
    return axes


def _medians(points: np.ndarray, labels: np.ndarray) -> list[tuple[int, float, float]]:
    return [(int(label), *np.median(points[labels == label], axis=0).tolist()) for label in np.unique(labels)]


def hover_map(maps: Mapping[str, np.ndarray], labels: np.ndarray, images: np.ndarray, description: str) -> HTML:
    """Return maps that show the digit under the pointer, for pages and notebooks; the view loads nothing.

    The digit is marked on all maps at once, with the number of like digits among its ten nearest points on each. A
    slider picks digits too, for those who use the keyboard (document C, row C5).

    Args:
        maps: named places of the same points, ``(n, 2)``.
        labels: integers from 0 to 9, of shape ``(n,)``.
        images: the digits, ``(n, 784)``, with values in [0, 1].
        description: what there is to see, for readers who do not see it.
    """
    places = {}
    for name, points in maps.items():
        low, size = points.min(axis=0), np.ptp(points, axis=0).max()
        middle = (320 - 300 * np.ptp(points, axis=0) / size) / 2
        places[name] = np.round((points - low) / size * 300 + middle).astype(int)
        places[name][:, 1] = 320 - places[name][:, 1]  # a canvas counts from the top
    # The digits of MNIST fill the middle 20 x 20 pixels; 50 go in a row of the sheet.
    tiles = np.zeros((-len(images) % 50 + len(images), 20, 20))
    tiles[: len(images)] = 1 - images.reshape(-1, 28, 28)[:, 4:24, 4:24]
    tiles[len(images) :] = 1
    sheet = tiles.reshape(-1, 50, 20, 20).swapaxes(1, 2).reshape(-1, 1_000)
    png = BytesIO()
    Image.fromarray(np.round(sheet * 15).astype("uint8") * 17).quantize(16).save(png, "PNG", optimize=True)
    data = {
        "panels": list(maps),
        "places": [points.tolist() for points in places.values()],
        "names": [_medians(points, labels) for points in places.values()],
        "labels": labels.tolist(),
        "colours": DIGIT_COLOURS,
        "sheet": "data:image/png;base64," + b64encode(png.getvalue()).decode(),
    }
    digit = '<canvas width="100" height="100" style="width: 100px" role="img" aria-label="the chosen digit"></canvas>'
    return _view("map", {name: f"{name}. {description}" for name in maps}, "Image", len(labels) - 1, data, key=digit)


def film(panels: Mapping[str, np.ndarray], captions: Sequence[str], description: str) -> HTML:
    """Return an animation of grids of cells with a slider and a play button; it loads nothing and starts at rest.

    Args:
        panels: named arrays of shape ``(frames, rows, columns)``, not negative, drawn from 0 (white) to the largest
            value of the frame (black). NaN marks cells that are no unit. A panel with ten units shows their numbers.
        captions: a line for each frame.
        description: what there is to see, for readers who do not see it (document C, rows C2 and C3).
    """
    films = []
    for values in panels.values():
        peaks = np.nanmax(values, axis=(1, 2), keepdims=True)
        cells = np.where(np.isnan(values), 255, np.round(np.nan_to_num(values) / np.where(peaks, peaks, 1) * 254))
        shown = int(np.isfinite(values[0]).sum())
        films.append(
            {
                "rows": values.shape[1],
                "columns": values.shape[2],
                "labels": [str(i) for i in range(10)] if shown == 10 else [],
                "cells": b64encode(cells.astype("uint8").tobytes()).decode(),
            }
        )
    heights = [round(320 * values.shape[1] / values.shape[2]) for values in panels.values()]
    about = {name: f"{name}. {description}" for name in panels}
    data = {"films": films, "captions": list(captions)}
    return _view("film", about, "Frame", len(captions) - 1, data, heights, button='<button type="button">Play</button>')


def turntable(panels: Mapping[str, np.ndarray], labels: np.ndarray, description: str) -> HTML:
    """Return a view of three components that a slider turns, for pages and notebooks; it loads nothing.

    Args:
        panels: named arrays of points, ``(n, 3)``; the second component stands upright, the view turns around it.
        labels: integers of shape ``(n,)``, one colour each.
        description: what there is to see, for readers who do not see it.
    """
    numbers = np.unique(labels)
    clouds = [np.round(100 * points / np.abs(points).max()).astype(int).tolist() for points in panels.values()]
    data = {"clouds": clouds, "groups": np.searchsorted(numbers, labels).tolist(), "colours": COLOURS}
    key = " ".join(
        f'<span style="color:{colour}" aria-hidden="true">\u25cf</span>&nbsp;{number}'
        for colour, number in zip(COLOURS, numbers, strict=False)
    )
    return _view("turntable", {name: f"{name}. {description}" for name in panels}, "Turn", 360, data, key=key, first=30)


def heat_map(ax: Axes, x: np.ndarray, values: np.ndarray, ylabel: str, label: str) -> Axes:
    """Draw positive `values`, of shape ``(len(x), rows)``, as colours on a logarithmic scale (document D, row D3).

    `x` is the step of each record. Colours span five powers of ten below the largest value; smaller ones and zeros
    have the colour of the least.
    """
    peak = values.max()
    norm = plt.matplotlib.colors.LogNorm(peak * 1e-5, peak)
    rows = np.arange(values.shape[1])
    mesh = ax.pcolormesh(x, rows, np.maximum(values, peak * 1e-5).T, norm=norm, cmap="viridis", rasterized=True)
    ax.set(xlabel="step", ylabel=ylabel)
    ax.figure.colorbar(mesh, ax=ax, label=label)
    return ax


def histograms(ax: Axes, x: np.ndarray, values: np.ndarray, ylabel: str) -> Axes:
    """Draw how the histogram of `values`, of shape ``(len(x), ...)``, changes with the step `x` (document D, row D4).

    Each column is a histogram in 60 bins; the darker, the larger the share of the values, on a logarithmic scale.
    """
    flat = values.reshape(len(x), -1)
    edges = np.linspace(flat.min(), flat.max(), 61)
    shares = np.array([np.histogram(row, edges)[0] for row in flat]) / flat.shape[1]
    norm = plt.matplotlib.colors.LogNorm(1e-4, 1)
    middles = (edges[1:] + edges[:-1]) / 2
    mesh = ax.pcolormesh(x, middles, np.maximum(shares, 1e-4).T, norm=norm, cmap="Blues", rasterized=True)
    ax.set(xlabel="step", ylabel=ylabel)
    ax.figure.colorbar(mesh, ax=ax, label="share of values")
    return ax


def depth_profile(ratios: Mapping[str, float], most: int, description: str) -> HTML:
    """Return a plot of a gradient's size by layer, with a slider for the depth, 16 at first; it loads nothing.

    Args:
        ratios: for each named line, the gradient's size in a layer as a share of that in the next (document D, D5).
        most: the largest depth on the slider; the least is 2.
        description: what there is to see, for readers who do not see it.
    """
    dashes = [[], [10, 5], [3, 5], [14, 4, 3, 4]]
    data = {"names": list(ratios), "ratios": list(ratios.values()), "colours": COLOURS, "dashes": dashes}
    key = " ".join(
        f'<span style="color:{colour}" aria-hidden="true">\u25ac</span>&nbsp;{escape(name)}'
        for colour, name in zip(COLOURS, ratios, strict=False)
    )
    panel = {"predicted gradient by layer": description}
    return _view("profile", panel, "Depth", most - 2, data, [320], key, width=640, first=14)


def _view(
    script: str,
    panels: Mapping[str, str],
    label: str,
    last: int,
    data: Mapping[str, object],
    heights: Sequence[int] | None = None,
    key: str = "",
    button: str = "",
    width: int = 320,
    first: int = 0,
) -> HTML:
    """Fill in the frame that the interactive views share: a canvas for each panel, a slider, a line of text."""
    canvases = "".join(
        f'<div><canvas width="{width}" height="{height}" role="img" aria-label="{escape(about)}"></canvas><br>'
        f"{escape(name)}</div>"
        for (name, about), height in zip(panels.items(), heights or [320] * len(panels), strict=True)
    )
    views = files("innerview").joinpath("views")
    return HTML(
        Template(views.joinpath("view.html").read_text(encoding="utf-8")).substitute(
            panels=canvases,
            width=width,
            least=130 if len(panels) <= 4 else 190,
            key=key,
            button=button,
            label=label,
            first=first,
            last=last,
            data=json.dumps(data).replace("</", "<\\/"),
            script=views.joinpath(f"{script}.js").read_text(encoding="utf-8"),
        )
    )
