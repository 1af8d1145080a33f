"""What stands for a view where nothing moves: on paper, and where JavaScript is off."""

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from textwrap import fill

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse
from PIL import Image

from innerbook.style import COLOURS, DIGIT_COLOURS, label_medians

_GREYS = colormaps["gray_r"].with_extremes(over="#cfe3f2")  # where there is no unit
_SMALL = 8  # points
_MOST_ROWS = 4  # more would not fit on a sheet of paper
_DASHES = ("-", "--", ":", "-.") * 2  # beside colours, for eyes that do not tell these apart


def address(picture: Image.Image) -> str:
    """Return a picture as the address of a PNG that holds itself."""
    png = BytesIO()
    picture.save(png, "PNG", optimize=True)
    return "data:image/png;base64," + b64encode(png.getvalue()).decode()


def _drawn(figure: Figure) -> str:
    figure.set_dpi(96)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    # Where few pixels have a colour, such as a line's, the usual method would leave none.
    return address(picture.quantize(128, Image.Quantize.FASTOCTREE))


def film(
    films: Mapping[str, Mapping[str, np.ndarray]],
    captions: Sequence[str],
    curves: Mapping[str, Mapping[str, np.ndarray]],
) -> str:
    """Return four frames of the first films, two of wide ones: a row for each panel, one for the curves.

    Films are shown as far as they have room on a sheet. Cells are bytes as the view holds them: 0 is white, 254 black,
    and 255 no unit.
    """
    per_film = len(next(iter(films.values()))) + bool(curves)
    shown = list(films)[: max(1, _MOST_ROWS // per_film)]
    rows = [(name, panel, cells) for name in shown for panel, cells in films[name].items()]
    heights = [cells.shape[1] / cells.shape[2] for *_, cells in rows] + [0.7 for name in shown if name in curves]
    across = 4 if max(heights) > 0.5 else 2
    frames = np.unique(np.linspace(0, len(captions) - 1, across).round().astype(int))
    figure = Figure(figsize=(7, 6.8 / across * sum(heights) + 0.6), layout="constrained")
    axes = figure.subplots(len(heights), len(frames), squeeze=False, height_ratios=heights)
    for ax, frame in zip(axes[0], frames, strict=True):
        ax.set_title(fill(captions[frame], 96 // across), fontsize=_SMALL)
    for line, height, (name, panel, cells) in zip(axes, heights, rows, strict=False):
        label = panel if len(films) == 1 else f"{name}: {panel}"
        line[0].set_ylabel(fill(label, max(8, int(96 / across * height))), fontsize=_SMALL)
        for ax, frame in zip(line, frames, strict=True):
            _grey(ax, cells[frame])
    for line, name in zip(axes[len(rows) :], shown, strict=False):
        line[0].set_ylabel(name, fontsize=_SMALL)
        for ax, frame in zip(line, frames, strict=True):
            _lines(ax, curves[name], frame)
    return _drawn(figure)


def _grey(ax: Axes, cells: np.ndarray) -> None:
    ax.imshow(cells, cmap=_GREYS, vmin=0, vmax=254, interpolation="nearest")
    ax.set(xticks=[], yticks=[])


def _lines(ax: Axes, lines: Mapping[str, np.ndarray], frame: int) -> None:
    """Draw lines over the frames, with a mark at one of them."""
    for values, colour, dash in zip(lines.values(), COLOURS, _DASHES, strict=False):
        ax.plot(values, color=colour, linestyle=dash)
        ax.plot(frame, values[frame], "o", color=colour)
    ax.set(xticks=[], ylim=(0, None))
    ax.tick_params(labelsize=_SMALL)


def clouds(places: Mapping[str, np.ndarray], labels: np.ndarray) -> str:
    """Return dots at their places on canvases of 320 x 320 pixels, four in a row, and digits at the dots' medians."""
    columns = min(len(places), 4)
    rows = math.ceil(len(places) / columns)
    figure = Figure(figsize=(7, (7 / columns + 0.15) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(places) :]:
        ax.set_axis_off()
    for ax, (name, points) in zip(axes, places.items(), strict=False):
        _dots(ax, points, labels)
        ax.set_title(fill(name, 24), fontsize=_SMALL)
    return _drawn(figure)


def _dots(ax: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    x, y = points.T
    ax.scatter(x, y, s=2, c=np.array(DIGIT_COLOURS)[labels], linewidths=0)
    for digit, across, down in label_medians(points, labels):
        ax.text(across, down, f"{digit}", fontsize=_SMALL, fontweight="bold", ha="center", va="center")
    ax.set(xticks=[], yticks=[], xlim=(0, 320), ylim=(320, 0), aspect="equal")  # a canvas counts from the top


def profile(curves: Mapping[str, np.ndarray], colours: Sequence[str]) -> str:
    """Return named sizes by layer, from the first hidden layer on, on a logarithmic axis."""
    figure = Figure(figsize=(6.5, 3.6), layout="constrained")
    ax = figure.gca()
    for (name, sizes), colour, dash in zip(curves.items(), colours, _DASHES, strict=False):
        layers = np.arange(1, len(sizes) + 1)
        ax.plot(layers, np.clip(sizes, 1e-16, 1e4), color=colour, linestyle=dash, label=name)
    ax.set(yscale="log", ylim=(1e-16, 1e4), xlabel="hidden layer")
    ax.legend(frameon=False, fontsize=_SMALL)
    return _drawn(figure)


def ellipses(names: Sequence[str], kappa: int, colour: str) -> str:
    """Return a circle's image under ``diag(1/kappa, 1)``, its inverse image, and a sketch of that for twelve inputs."""
    turns = 180 / 12 * ((6 + 5 * np.arange(12)) % 12)
    shapes = [
        [(1 / kappa, 1.0, 0.0)],
        [(float(kappa), 1.0, 0.0)],
        [(kappa ** (i / 11), 0.5, turn) for i, turn in enumerate(turns)],
    ]
    figure = Figure(figsize=(7, 3), layout="constrained")
    for ax, name, half_axes, most in zip(figure.subplots(1, 3), names, shapes, (1, kappa, kappa), strict=True):
        for across, down, turn in half_axes:
            ax.add_patch(Ellipse((0, 0), 2 * across, 2 * down, angle=turn, color=colour))
        ax.add_patch(Circle((0, 0), 1, fill=False, linestyle="--"))
        ax.plot(0, 0, "ks", markersize=3)
        ax.set(xlim=(-1.1 * most, 1.1 * most), ylim=(-1.1 * most, 1.1 * most), aspect="equal", xticks=[], yticks=[])
        ax.set_title(fill(f"{name}, condition number {kappa}", 28), fontsize=_SMALL)
    return _drawn(figure)


def reading(
    image: np.ndarray,
    layers: Mapping[str, np.ndarray],
    outputs: np.ndarray,
    near: np.ndarray,
    places: Mapping[str, np.ndarray],
    labels: np.ndarray,
) -> str:
    """Return an image of 784 pixels, its hidden layers as cells, twenty in a row, its ten outputs as bars, and maps.

    On the maps the points of `near` are ringed, and a cross marks the median of their places.
    """
    titles = ["what the network reads", *layers, "outputs", *places]
    rows = math.ceil(len(titles) / 3)
    figure = Figure(figsize=(7, 2.4 * rows), layout="constrained")
    every = figure.subplots(rows, 3).ravel()
    axes = dict(zip(titles, every, strict=False))
    for ax in every[len(titles) :]:
        ax.set_axis_off()
    for title, ax in axes.items():
        ax.set_title(title, fontsize=_SMALL)
    _grey(axes["what the network reads"], 254 * image.reshape(28, 28))
    for name, units in layers.items():
        cells = np.full(-(-len(units) // 20) * 20, 255.0)
        cells[: len(units)] = 254 * units / (units.max() or 1)
        _grey(axes[name], cells.reshape(-1, 20))
    axes["outputs"].barh(np.arange(10), outputs, color=COLOURS[0])
    axes["outputs"].set(xlim=(0, 1), ylim=(9.5, -0.5), yticks=np.arange(10))
    axes["outputs"].tick_params(labelsize=_SMALL)
    for name, points in places.items():
        _dots(axes[name], points, labels)
        axes[name].plot(*points[near].T, "o", color="black", fillstyle="none", markersize=5)
        axes[name].plot(*np.median(points[near], axis=0), "x", color="black", markersize=8, markeredgewidth=2)
    return _drawn(figure)
