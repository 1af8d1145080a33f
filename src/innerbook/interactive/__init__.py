"""The pictures that move, for pages and notebooks. A view loads nothing; each has a script of its name beside this."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
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


def frame_player(panels: Mapping[str, np.ndarray], captions: Sequence[str], description: str) -> HTML:
    """Return an animation of grids of cells with a slider and a play button; it starts at rest.

    Args:
        panels: named arrays of shape ``(frames, rows, columns)``, not negative, drawn from 0 (white) to the largest
            value of the frame (black). NaN marks cells that are no unit. A panel with ten units shows their numbers.
        captions: a line for each frame.
        description: what there is to see, for readers who do not see it (document C, rows C2 and C3).

    Raises:
        ValueError: a panel is not of this shape, has not a frame for each caption, a frame without any unit, or values
            that are negative, infinite or no numbers.
    """
    for name, values in panels.items():
        if values.ndim != 3 or len(values) != len(captions):
            raise ValueError(
                f"expected ({len(captions)}, rows, columns), a frame a caption; {name!r} has shape {values.shape}"
            )
        check_numbers(name, np.where(np.isnan(values), 0, values) if values.dtype.kind == "f" else values)
        if np.isnan(values).all(axis=(1, 2)).any():
            raise ValueError(f"expected a unit in each frame; {name!r} has frames without one")
        if np.nanmin(values) < 0:
            raise ValueError(f"expected values from 0 on; {name!r} has {np.nanmin(values):g}")
    heights = [round(320 * values.shape[1] / values.shape[2]) for values in panels.values()]
    about = {name: f"{name}. {description}" for name in panels}
    data = {"films": [_film(values) for values in panels.values()], "captions": list(captions)}
    button = '<button type="button">Play</button>'
    return _view("frame_player", about, "Frame", len(captions) - 1, data, heights, button=button)


def _film(values: np.ndarray) -> dict[str, object]:
    """Return a panel's frames as bytes: 0 for 0, 254 for the frame's largest value, 255 for what is no unit."""
    peaks = np.nanmax(values, axis=(1, 2), keepdims=True)
    cells = np.where(np.isnan(values), 255, np.round(np.nan_to_num(values) / np.where(peaks, peaks, 1) * 254))
    units = int(np.isfinite(values[0]).sum())
    return {
        "rows": values.shape[1],
        "columns": values.shape[2],
        "labels": [str(i) for i in range(10)] if units == 10 else [],
        "cells": b64encode(cells.astype("uint8").tobytes()).decode(),
    }


def linked_scatter(maps: Mapping[str, np.ndarray], labels: np.ndarray, images: np.ndarray, description: str) -> HTML:
    """Return maps that show the digit under the pointer.

    The digit is marked on all maps at once, with the number of like digits among its ten nearest points on each. A
    slider picks digits too, for those who use the keyboard (document C, row C5).

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
    digit = '<canvas width="100" height="100" style="width: 100px" role="img" aria-label="the chosen digit"></canvas>'
    about = {name: f"{name}. {description}" for name in maps}
    return _view("linked_scatter", about, "Image", len(labels) - 1, data, key=digit)


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


_DASHES: list[list[int]] = [[], [10, 5], [3, 5], [14, 4, 3, 4]]


def depth_profile(ratios: Mapping[str, float], most: int, description: str) -> HTML:
    """Return a plot of a gradient's size by layer, with a slider for the depth, 16 at first.

    Args:
        ratios: for each named line, the gradient's size in a layer as a share of that in the next, above 0
            (document D, row D5).
        most: the largest depth on the slider, 16 or more; the least is 2.
        description: what there is to see, for readers who do not see it.

    Raises:
        ValueError: there are no lines or more than four, a ratio is infinite or not above 0, or `most` is below 16.
    """
    if len(ratios) > len(_DASHES):
        raise ValueError(f"expected {len(_DASHES)} lines at most, as many as there are dashes; received {len(ratios)}")
    if not (ratios and all(0 < ratio < np.inf for ratio in ratios.values()) and most >= 16):
        raise ValueError(f"expected ratios above 0 and a depth of 16 or more; received {dict(ratios)}, {most}")
    colours = dict(zip(ratios, COLOURS, strict=False))
    data = {
        "names": list(ratios),
        "ratios": list(ratios.values()),
        "colours": list(colours.values()),
        "dashes": _DASHES[: len(ratios)],
    }
    panel = {"predicted gradient by layer": description}
    key = _key("\u25ac", colours)
    return _view("depth_profile", panel, "Depth", most - 2, data, [320], key, width=640, first=14)


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
    button: str = "",
    width: int = 320,
    first: int = 0,
) -> HTML:
    """Fill in the frame that the views share: a canvas for each panel, a slider, a line of text."""
    canvases = "".join(
        f'<div><canvas width="{width}" height="{height}" role="img" aria-label="{escape(about)}"></canvas><br>'
        f"{escape(name)}</div>"
        for (name, about), height in zip(panels.items(), heights or [320] * len(panels), strict=True)
    )
    beside = files(__name__)
    return HTML(
        Template(beside.joinpath("view.html").read_text(encoding="utf-8")).substitute(
            panels=canvases,
            width=width,
            least=130 if len(panels) <= 4 else 190,
            key=key,
            button=button,
            label=label,
            first=first,
            last=last,
            data=json.dumps(data).replace("</", "<\\/"),
            script=beside.joinpath(f"{script}.js").read_text(encoding="utf-8"),
        )
    )
