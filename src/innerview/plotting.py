"""The pictures. Each function draws on the Axes it is given, or makes them, and returns them."""

import json
from collections.abc import Mapping, Sequence
from html import escape

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML
from matplotlib.axes import Axes

# Okabe and Ito's colours, which people with any kind of colour vision tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def curves(ax: Axes, x: np.ndarray, runs: Mapping[str, np.ndarray], xlabel: str, ylabel: str) -> Axes:
    """Draw the median over runs as a line and their range as a band, for each named array ``(len(x), runs)``."""
    for colour, (name, values) in zip(COLOURS, runs.items(), strict=False):
        ax.plot(x, np.median(values, axis=1), color=colour, label=name)
        ax.fill_between(x, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.25, linewidth=0)
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
    """Draw square images in a grid, one named row for each array ``(n, pixels)``; return the Axes, ``(rows, n)``.

    A row with negative values is drawn in blue (negative), white (0) and red (positive), else in white to black.
    Each image has its own scale, from 0 to its own largest value.
    """
    height, width = len(rows), len(columns)
    figure, axes = plt.subplots(
        height, width, figsize=(size * width + 0.6, size * height + 0.3), squeeze=False, layout="constrained"
    )
    for row, (name, images) in enumerate(rows.items()):
        signed = np.min(images) < 0
        side = round(np.sqrt(images.shape[1]))
        for column, image in enumerate(images):
            peak = np.abs(image).max() or 1.0
            low, colours = (-peak, "RdBu_r") if signed else (0, "gray_r")
            ax = axes[row, column]
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
    canvases = "".join(
        f'<div><canvas width="300" height="300" role="img" aria-label="{escape(f"{name}. {description}")}">'
        f"</canvas><br>{escape(name)}</div>"
        for name in panels
    )
    return HTML(_TURNTABLE.replace("CANVASES", canvases).replace("KEY", key).replace("DATA", json.dumps(data)))


_TURNTABLE = """<figure class="turntable">
<style>
.turntable div.views { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); text-align: center; }
.turntable canvas { width: 100%; max-width: 300px; }
.turntable label { display: block; }
</style>
<div class="views">CANVASES</div>
<p>KEY</p>
<label>Turn: <input type="range" min="0" max="360" value="30" style="width: 60%"> <output>30</output>&deg;</label>
<noscript>This view needs JavaScript; the picture above shows the same points from three sides.</noscript>
<script>
(() => {
  const data = DATA;
  const figure = document.currentScript.closest("figure");
  const slider = figure.querySelector("input"), told = figure.querySelector("output");
  const draw = () => {
    const angle = slider.value * Math.PI / 180, c = Math.cos(angle), s = Math.sin(angle);
    told.textContent = slider.value;
    figure.querySelectorAll("canvas").forEach((canvas, k) => {
      const pen = canvas.getContext("2d");
      pen.clearRect(0, 0, 300, 300);
      pen.globalAlpha = 0.7;
      data.clouds[k].forEach(([x, y, z], i) => {
        pen.fillStyle = data.colours[data.groups[i]];
        pen.fillRect(150 + (x * c + z * s) * 1.05 - 2, 150 - y * 1.4 - 2, 4, 4);
      });
    });
  };
  slider.addEventListener("input", draw);
  draw();
})();
</script>
</figure>"""
