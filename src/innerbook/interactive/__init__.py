"""The pictures that move, for pages and notebooks. A view loads nothing; each has a script of its name beside this."""

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from string import Template

import numpy as np
from IPython.display import HTML
from PIL import Image

from innerbook.style import (
    COLOURS,
    DIGIT_COLOURS,
    check_digits,
    check_numbers,
    check_points,
    label_medians,
)


def frame_player(
    films: Mapping[str, Mapping[str, np.ndarray]], captions: Sequence[str], description: str, peak: float | None = None
) -> HTML:
    """Return an animation of grids of cells with a slider and a play button; it starts at rest.

    Args:
        films: by name, what the reader can switch between, at the same frame; one alone has no switch. Each holds
            panels of the same names: arrays of shape ``(frames, rows, columns)``, not negative, drawn from 0 (white) to
            `peak` (black). NaN marks cells that are no unit. A panel with ten units shows their numbers.
        captions: a line for each frame.
        description: what there is to see, for readers who do not see it (document C, rows C2 and C3).
        peak: the value that is black, and so is all above it. The default is the largest of each frame. Photographs in
            [0, 1] are given as ``1 - grey``, with a peak of 1.

    Raises:
        ValueError: there is no film, films have other panels or panels other shapes, a panel is not of this shape, has
            not a frame for each caption, a frame without any unit, or values that are negative, infinite or no numbers.
    """
    if not films:
        raise ValueError("expected at least one film; received none")
    first, *others = films.values()
    shapes = {name: np.shape(values) for name, values in first.items()}
    for panels in others:
        received = {name: np.shape(values) for name, values in panels.items()}
        if list(received.items()) != list(shapes.items()):
            raise ValueError(f"expected films of the same panels, {shapes}; received {received}")
    for name, values in ((name, values) for panels in films.values() for name, values in panels.items()):
        if values.ndim != 3 or len(values) != len(captions):
            raise ValueError(
                f"expected ({len(captions)}, rows, columns), a frame a caption; {name!r} has shape {values.shape}"
            )
        check_numbers(name, np.where(np.isnan(values), 0, values) if values.dtype.kind == "f" else values)
        if np.isnan(values).all(axis=(1, 2)).any():
            raise ValueError(f"expected a unit in each frame; {name!r} has frames without one")
        if np.nanmin(values) < 0:
            raise ValueError(f"expected values from 0 on; {name!r} has {np.nanmin(values):g}")
    heights = [round(320 * values.shape[1] / values.shape[2]) for values in first.values()]
    about = {name: f"{name}. {description}" for name in first}
    if peak is not None and not 0 < peak < np.inf:
        raise ValueError(f"expected a peak above 0; received {peak:g}")
    cells = [[_film(v, peak) for v in panels.values()] for panels in films.values()]
    data = {"films": cells, "captions": list(captions)}
    controls = (_choice("Shown", films) if others else "") + '<button type="button">Play</button>'
    return _view("frame_player", about, "Frame", len(captions) - 1, data, heights, controls=controls)


def _choice(label: str, names: Iterable[str]) -> str:
    """Return a menu of names, which stand for the numbers from 0 on."""
    options = "".join(f'<option value="{i}">{escape(name)}</option>' for i, name in enumerate(names))
    return f"<label>{label}: <select>{options}</select></label>"


def _film(values: np.ndarray, peak: float | None) -> dict[str, object]:
    """Return a panel's frames as bytes: 0 for 0, 254 for the peak or each frame's largest value, 255 for no unit."""
    peaks = np.nanmax(values, axis=(1, 2), keepdims=True) if peak is None else np.full((len(values), 1, 1), peak)
    shares = np.clip(np.nan_to_num(values) / np.where(peaks, peaks, 1), 0, 1)
    cells = np.where(np.isnan(values), 255, np.round(shares * 254))
    units = int(np.isfinite(values[0]).sum())
    return {
        "rows": values.shape[1],
        "columns": values.shape[2],
        "labels": [str(i) for i in range(10)] if units == 10 else [],
        "cells": b64encode(cells.astype("uint8").tobytes()).decode(),
    }


def linked_scatter(maps: Mapping[str, np.ndarray], labels: np.ndarray, images: np.ndarray, description: str) -> HTML:
    """Return maps that show the digit under the pointer, or the one that is tapped, beside it.

    The digit is marked on all maps at once, with the number of like digits among its ten nearest points under each. A
    slider picks digits, too, for those who use the keyboard, and a button goes to the next *stray*: a digit most of
    whose ten nearest points, on the map that was touched last, are other digits (document C, row C5).

    Args:
        maps: named places of the same points, ``(n, 2)``.
        labels: integers from 0 to 9, of shape ``(n,)``.
        images: the digits, ``(n, 784)``, with values in [0, 1].
        description: what there is to see, for readers who do not see it.

    Raises:
        ValueError: maps, labels and images do not fit, or values are not in their range.
    """
    check_points(maps, labels, 2)
    check_digits(labels)
    if images.shape != (len(labels), 784):
        raise ValueError(f"expected images of shape {(len(labels), 784)}, one for each point; received {images.shape}")
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(f"expected images with values in [0, 1]; received {images.min():g} to {images.max():g}")
    places = [_places(points) for points in maps.values()]
    data = {
        "panels": list(maps),
        "places": [points.tolist() for points in places],
        "names": [label_medians(points, labels) for points in places],
        "labels": labels.tolist(),
        "colours": DIGIT_COLOURS,
        "sheet": _sheet(images),
    }
    about = {name: f"{name}. {description}" for name in maps}
    controls = '<button type="button">Next stray</button>'
    return _view("linked_scatter", about, "Image", len(labels) - 1, data, controls=controls)


def _places(points: np.ndarray) -> np.ndarray:
    """Return where points go on a canvas of 320 x 320 pixels, in the middle, both axes with one scale."""
    extent = np.ptp(points, axis=0)
    size = extent.max() or 1.0
    places = np.round((points - points.min(axis=0)) / size * 300 + (320 - 300 * extent / size) / 2).astype(int)
    places[:, 1] = 320 - places[:, 1]  # a canvas counts from the top
    return places


def _sheet(images: np.ndarray) -> str:
    """Return all digits as one picture, black on white, as the address of a PNG that holds itself."""
    # The digits of MNIST fill the middle 20 x 20 pixels; 50 go in a row of the sheet.
    tiles = np.ones((-len(images) % 50 + len(images), 20, 20))
    tiles[: len(images)] = 1 - images.reshape(-1, 28, 28)[:, 4:24, 4:24]
    sheet = tiles.reshape(-1, 50, 20, 20).swapaxes(1, 2).reshape(-1, 1_000)
    png = BytesIO()
    Image.fromarray(np.round(sheet * 15).astype("uint8") * 17).quantize(16).save(png, "PNG", optimize=True)
    return "data:image/png;base64," + b64encode(png.getvalue()).decode()


def rotating_scatter(panels: Mapping[str, np.ndarray], labels: np.ndarray, description: str) -> HTML:
    """Return a view of three components that a slider turns, five degrees a notch (document A, row A3).

    Args:
        panels: named arrays of points, ``(n, 3)``; the second component stands upright, the view turns around it. Each
            fills its picture.
        labels: integers from 0 to 9 of shape ``(n,)``, one colour each.
        description: what there is to see, for readers who do not see it.

    Raises:
        ValueError: points and labels do not fit, or a label is not from 0 to 9.
    """
    check_points(panels, labels, 3)
    check_digits(labels)
    digits = np.unique(labels)
    colours = {f"{digit}": DIGIT_COLOURS[digit] for digit in digits}
    clouds = [_cloud(points) for points in panels.values()]
    data = {"clouds": clouds, "groups": np.searchsorted(digits, labels).tolist(), "colours": list(colours.values())}
    about = {name: f"{name}. {description}" for name in panels}
    return _view("rotating_scatter", about, "Turn", 72, data, key=_key("\u25cf", colours), first=6)


def _cloud(points: np.ndarray) -> list[list[int]]:
    """Return points at such a size that none leaves its picture, however it is turned."""
    size = np.abs(points).max() or 1.0
    unit = points / size
    reach = max(np.hypot(unit[:, 0], unit[:, 2]).max(), np.abs(unit[:, 1]).max()) or 1.0
    cloud: list[list[int]] = np.round(155 * unit / reach).astype(int).tolist()
    return cloud


def signal_profile(input_rms: float, deepest: int, description: str) -> HTML:
    """Return a plot of a network's signals by layer before training, with sliders for depth and weights.

    It draws the root mean square of the activations h, of the error signal delta as a share of that in the last hidden
    layer, and of their product, the size of the weights' gradient. The reader sets the depth, the variance of the
    weights in units of one over the layer's inputs, and tanh or ReLU. Layers are equally wide, and so wide that a
    unit's input is normally distributed: what a mean-field theory predicts (document D, rows D3 to D5 and D7).

    Args:
        input_rms: the root mean square of the network's inputs.
        deepest: the largest depth on the slider, 16 or more; it begins at 16, and the least is 2.
        description: what there is to see, for readers who do not see it.

    Raises:
        ValueError: `input_rms` is infinite or not above 0, or `deepest` is below 16.
    """
    if not (0 < input_rms < np.inf and deepest >= 16):
        raise ValueError(f"expected inputs above 0 and a depth of 16 or more; received {input_rms}, {deepest}")
    names = ("activations h", "error signal \u03b4, as a share of the last layer's", "product: gradient of the weights")
    colours = dict(zip(names, COLOURS, strict=False))
    # 1/6 to 6 in 36 notches of equal ratio; the numbers 7, 18, 25 and 29 are 1/3, 1, 2 and 3.
    variances = [6 ** ((notch - 18) / 18) for notch in range(37)]
    variances[7], variances[25], variances[29] = 1 / 3, 2.0, 3.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    data = {
        "names": ["h", "delta", "product"],
        "colours": list(colours.values()),
        "dashes": [[], [10, 5], [3, 5]],
        "input": float(input_rms),
        "variances": variances,
        "nodes": nodes.tolist(),
        "weights": (weights / weights.sum()).tolist(),
    }
    variance = '<label>Variance of a weight: <input class="variance" type="range" min="0" max="36" value="7"></label>'
    panel = {"predicted sizes by layer, before training": description}
    controls = _choice("Activation", ["tanh", "ReLU"]) + variance
    return _view("signal_profile", panel, "Depth", deepest - 2, data, [360], _key("\u25ac", colours), controls, 640, 14)


def _key(mark: str, colours: Mapping[str, str]) -> str:
    """Return what each colour stands for."""
    return " ".join(
        f'<span style="color:{colour}" aria-hidden="true">{mark}</span>&nbsp;{escape(name)}'
        for name, colour in colours.items()
    )


def _view(
    script: str,
    panels: Mapping[str, str],
    label: str,
    last: int,
    data: Mapping[str, object],
    heights: Sequence[int] | None = None,
    key: str = "",
    controls: str = "",
    width: int = 320,
    first: int = 0,
) -> HTML:
    """Fill in the frame that the views share: a canvas for each panel, controls, the main slider, a line of text."""
    canvases = "".join(
        f'<div><canvas width="{width}" height="{height}" role="img" aria-label="{escape(about)}"></canvas><br>'
        f"{escape(name)}<small></small></div>"
        for (name, about), height in zip(panels.items(), heights or [320] * len(panels), strict=True)
    )
    beside = files(__name__)
    return HTML(
        Template(beside.joinpath("view.html").read_text(encoding="utf-8")).substitute(
            panels=canvases,
            width=width,
            least=130 if len(panels) <= 4 else 190,
            key=key,
            controls=controls,
            label=label,
            first=first,
            last=last,
            data=json.dumps(data).replace("</", "<\\/"),
            script=beside.joinpath(f"{script}.js").read_text(encoding="utf-8"),
        )
    )
