"""The pictures that move, for pages and notebooks. A view loads nothing; each has a script of its name beside this."""

import json
import zlib
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import pairwise
from string import Template

import numpy as np
from IPython.display import HTML
from PIL import Image

from innerbook.interactive import stills
from innerbook.style import (
    COLOURS,
    DIGIT_COLOURS,
    check_digits,
    check_numbers,
    check_points,
    colours_for,
    label_medians,
)

_PALE = "#b8dcf2"


def frame_player(
    films: Mapping[str, Mapping[str, np.ndarray]],
    captions: Sequence[str],
    description: str,
    peak: float | None = None,
    curves: Mapping[str, Mapping[str, np.ndarray]] | None = None,
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
        curves: for each film lines of the same names, a value from 0 on for each frame. They get a panel of their own,
            one scale for all films, with a mark at the frame that is shown.

    Raises:
        ValueError: there is no film, films have other panels or panels other shapes, a panel is not of this shape, has
            not a frame for each caption, a frame without any unit, or values that are negative, infinite or no numbers;
            or the same is wrong with the curves.
    """
    _check_films(films, captions)
    if peak is not None and not 0 < peak < np.inf:
        raise ValueError(f"expected a peak above 0; received {peak:g}")
    lines = {name: dict(named) for name, named in (curves or {}).items()}
    _check_curves(lines, films, captions)
    first = next(iter(films.values()))
    cells = {name: {panel: _cells(v, peak) for panel, v in panels.items()} for name, panels in films.items()}
    data: dict[str, object] = {"captions": list(captions)}
    data["films"] = [[_film(v, cells[name][panel]) for panel, v in panels.items()] for name, panels in films.items()]
    about = {name: f"{name}. {description}" for name in first}
    heights = [round(320 * values.shape[1] / values.shape[2]) for values in first.values()]
    key = ""
    if lines:
        names = list(next(iter(lines.values())))
        colours = dict(zip(names, colours_for(names), strict=True))
        data |= {"names": names, "colours": list(colours.values())}
        data["curves"] = [[np.round(lines[film][name], 4).tolist() for name in names] for film in films]
        about[" and ".join(names)] = f"Lines over the frames. {description}"
        heights, key = [*heights, 240], _key("\u25ac", colours)
    controls = (_choice("Shown", films) if len(films) > 1 else "") + '<button type="button">Play</button>'
    still = stills.film(cells, captions, lines)
    return _view("frame_player", about, "Frame", len(captions) - 1, data, still, heights, key=key, controls=controls)


def _check_films(films: Mapping[str, Mapping[str, np.ndarray]], captions: Sequence[str]) -> None:
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


def _check_curves(
    curves: Mapping[str, Mapping[str, np.ndarray]], films: Mapping[str, object], captions: Sequence[str]
) -> None:
    names = [list(lines) for lines in curves.values()]
    received = dict(zip(curves, names, strict=True))
    if curves and (set(curves) != set(films) or names != names[:1] * len(films) or not names[0]):
        raise ValueError(f"expected lines of the same names for each of {list(films)}; received {received}")
    for name, values in ((name, values) for lines in curves.values() for name, values in lines.items()):
        check_numbers(name, values)
        if np.shape(values) != (len(captions),) or np.min(values) < 0:
            raise ValueError(
                f"expected {len(captions)} values from 0 on, one a caption; {name!r} has {np.shape(values)}, "
                f"from {np.min(values):g}"
            )


def _choice(label: str, names: Iterable[str]) -> str:
    """Return a menu of names, which stand for the numbers from 0 on."""
    options = "".join(f'<option value="{i}">{escape(name)}</option>' for i, name in enumerate(names))
    return f"<label>{label}: <select>{options}</select></label>"


def _cells(values: np.ndarray, peak: float | None) -> np.ndarray:
    """Return a panel's frames as bytes: 0 for 0, 254 for the peak or each frame's largest value, 255 for no unit."""
    peaks = np.nanmax(values, axis=(1, 2), keepdims=True) if peak is None else np.full((len(values), 1, 1), peak)
    shares = np.clip(np.nan_to_num(values) / np.where(peaks, peaks, 1), 0, 1)
    return np.where(np.isnan(values), 255, np.round(shares * 254)).astype("uint8")


def _film(values: np.ndarray, cells: np.ndarray) -> dict[str, object]:
    units = int(np.isfinite(values[0]).sum())
    return {
        "rows": values.shape[1],
        "columns": values.shape[2],
        "labels": [str(i) for i in range(10)] if units == 10 else [],
        "cells": _text(cells),
    }


def _text(values: np.ndarray) -> str:
    """Return an array's bytes in letters that JSON can hold."""
    return b64encode(values.tobytes()).decode()


def _deflated(values: np.ndarray) -> str:
    """Return an array's bytes, compressed as a browser can undo it, in letters that JSON can hold."""
    return b64encode(zlib.compress(values.tobytes(), 9)).decode()


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
    _check_images(images, labels)
    places = {name: _places(points) for name, points in maps.items()}
    data = {
        "panels": list(maps),
        "places": [points.tolist() for points in places.values()],
        "names": [label_medians(points, labels) for points in places.values()],
        "labels": labels.tolist(),
        "colours": DIGIT_COLOURS,
        "sheet": _sheet(images),
    }
    about = {name: f"{name}. {description}" for name in maps}
    controls = '<button type="button">Next stray</button>'
    still = stills.clouds(places, labels)
    return _view("linked_scatter", about, "Image", len(labels) - 1, data, still, controls=controls)


def _check_images(images: np.ndarray, labels: np.ndarray) -> None:
    if images.shape != (len(labels), 784):
        raise ValueError(f"expected images of shape {(len(labels), 784)}, one for each label; received {images.shape}")
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(f"expected images with values in [0, 1]; received {images.min():g} to {images.max():g}")


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
    return stills.address(Image.fromarray(np.round(sheet * 15).astype("uint8") * 17).quantize(16))


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
    clouds = {name: _cloud(points) for name, points in panels.items()}
    groups = np.searchsorted(digits, labels).tolist()
    data = {"clouds": list(clouds.values()), "groups": groups, "colours": list(colours.values())}
    about = {name: f"{name}. {description}" for name in panels}
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)  # the sixth notch is 30 degrees
    to_canvas = np.array([[c, 0], [0, -1], [s, 0]])
    still = stills.clouds({name: 160 + np.array(cloud) @ to_canvas for name, cloud in clouds.items()}, labels)
    return _view("rotating_scatter", about, "Turn", 72, data, still, key=_key("\u25cf", colours), first=6)


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
    still = stills.profile(dict(zip(names, _sizes(input_rms, nodes, weights), strict=True)), COLOURS)
    key = _key("\u25ac", colours)
    return _view("signal_profile", panel, "Depth", deepest - 2, data, still, [360], key, controls, 640, 14)


def _sizes(input_rms: float, nodes: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """Return what `signal_profile` draws at first, for 16 layers of tanh and a variance of 1/3."""
    depth, shares = 16, weights / weights.sum()
    h, spreads = [min(input_rms, 1e4)], []  # more inputs than so would not change the tanh
    for _ in range(depth):
        spreads.append(h[-1] / np.sqrt(3))
        h.append(np.sqrt(shares @ np.tanh(spreads[-1] * nodes) ** 2))
    slopes = [shares @ (1 - np.tanh(spread * nodes) ** 2) ** 2 / 3 for spread in spreads]
    delta = np.sqrt(np.cumprod([1.0, *slopes[-2::-1]]))[::-1]
    return [np.array(h[1:]), delta, delta * np.array(h[:-1])]


def error_ellipse(largest: int, description: str) -> HTML:
    """Return pictures of the errors that a linear map hides, with a slider for its condition number, from 1 on.

    The map is ``diag(1/kappa, 1)``. Drawn are what it makes of all errors of length 1; all errors of the input that
    change the output by 1 at most; and the same as a sketch for twelve inputs, whose half-axes grow from 1 to the
    condition number in equal ratios (document B, row B9). Dashed: length 1.

    Args:
        largest: the last condition number on the slider, from 2 to 20.
        description: what there is to see, for readers who do not see it.

    Raises:
        ValueError: `largest` is not from 2 to 20.
    """
    if not 2 <= largest <= 20:
        raise ValueError(f"expected a condition number from 2 to 20; received {largest}")
    names = ("outputs of errors of length 1", "errors that change the output by 1", "the same for twelve inputs")
    about = {name: f"{name}. {description}" for name in names}
    data = {"unit": 150 / largest, "fill": _PALE}
    still = stills.ellipses(names, largest, _PALE)
    return _view("error_ellipse", about, "Condition number", largest - 1, data, still)


def digit_reader(
    weights: Sequence[np.ndarray],
    images: np.ndarray,
    labels: np.ndarray,
    description: str,
    maps: Mapping[str, np.ndarray] | None = None,
) -> HTML:
    """Return a pad to draw a digit on, and what a network makes of it, layer by layer, computed in the page.

    A drawing is first treated as the images of MNIST were: scaled to a box of 20 x 20 pixels, with its centre of mass
    in the middle. A slider shows stored digits instead, and two more move what is read. Beside the hidden layers and
    the outputs stand the six stored digits whose last hidden layers are nearest (document E, rows E2 and E3). On maps
    the six are ringed, and a cross marks the median of their places, where openTSNE begins with a new point, too
    (document C, rows C5 and C7).

    Args:
        weights: as Keras lists those of `innerview.one_hidden_layer` or `innerview.two_hidden_layers`: kernel
            ``(784, units)`` and bias of a ReLU layer, perhaps more such layers, kernel ``(units, 10)`` and bias of a
            softmax layer. The page holds the kernels as `in_eight_bits` does.
        images: the stored digits, ``(n, 784)``, with values in [0, 1] that are whole 255ths.
        labels: which digits they are, integers of shape ``(n,)``.
        description: what there is to see, for readers who do not see it.
        maps: named places of the stored digits, ``(n, 2)``. The default is no map.

    Raises:
        ValueError: weights are not of these shapes or no finite numbers, images, labels and maps do not fit, or values
            are not in their range.
    """
    maps = maps or {}
    _check_network(weights)
    check_points({"images": images}, labels, 784)
    check_digits(labels)
    _check_images(images, labels)
    check_points(maps, labels, 2)
    packed = [_eight_bits(kernel) for kernel in weights[::2]]
    places = {name: _places(points) for name, points in maps.items()}
    data = {
        "kernels": [_deflated(whole) for whole, _ in packed],
        "scales": [scales.tolist() for _, scales in packed],
        "biases": [np.asarray(bias, float).tolist() for bias in weights[1::2]],
        "images": _deflated(np.round(images * 255).astype("uint8")),
        "labels": labels.tolist(),
        "places": [points.tolist() for points in places.values()],
        "names": [label_medians(points, labels) for points in places.values()],
        "colours": DIGIT_COLOURS,
        "colour": COLOURS[0],
    }
    units = [np.size(bias) for bias in weights[1:-2:2]]
    hidden = [f"hidden layer {i}" for i in range(1, len(units) + 1)] if len(units) > 1 else ["hidden layer"]
    panels = ["draw here", "what the network reads", *hidden, "outputs", f"nearest by {hidden[-1]}", *maps]
    about = {name: f"{name}. {description}" for name in panels}
    heights = [320, 320, *(16 * -(-count // 20) for count in units), 320, 250, *([320] * len(maps))]
    controls = '<button type="button">Clear</button>'
    for name, label in {"across": "Move to the right", "down": "Move down"}.items():
        controls += f'<label>{label}: <input class="{name}" type="range" min="-8" max="8" value="0"></label>'
    still = stills.reading(*_first_reading(in_eight_bits(weights), images, hidden), places, labels)
    pads = f"max(130px, {22 if maps else 30}%)"  # three side by side, or four; two on a phone
    last = len(labels) - 1
    return _view(
        "digit_reader", about, "Stored image", last, data, still, heights, controls=controls, least=pads, wide=maps
    )


def _check_network(weights: Sequence[np.ndarray]) -> None:
    shapes = [np.shape(values) for values in weights]
    sizes = [784, *(np.size(bias) for bias in weights[1::2])]
    layers = [shape for before, units in pairwise(sizes) for shape in ((before, units), (units,))]
    if len(weights) < 4 or shapes != layers or sizes[-1] != 10:
        raise ValueError(
            "expected kernels and biases of (784, units), (units,), of more such layers if there are any, and of "
            f"(units, 10), (10,); received {shapes}"
        )
    for i, values in enumerate(weights):
        check_numbers(("kernel", "bias")[i % 2], values)


def in_eight_bits(weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return weights as `digit_reader` holds them: each kernel's columns in 255 equal steps, biases as they are.

    What the rounding does to a network can be measured so::

        rounded = keras.models.clone_model(network)
        rounded.set_weights(in_eight_bits(network.get_weights()))
    """
    rounded = []
    for values in weights:
        if np.ndim(values) == 2:
            whole, scales = _eight_bits(values)
            values = whole * scales
        rounded.append(np.asarray(values))
    return rounded


def _eight_bits(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whole numbers from -127 to 127, and a scale for each column, whose product is about the kernel."""
    largest = np.abs(kernel).max(axis=0)
    scales = np.where(largest, largest, 1).astype(float) / 127
    return np.round(kernel / scales).astype("int8"), scales


def _first_reading(
    weights: Sequence[np.ndarray], images: np.ndarray, names: Sequence[str]
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return the first image, its hidden layers by name, its outputs, and which six others are nearest to it."""
    values, layers = images, {}
    for name, kernel, bias in zip(names, weights[:-2:2], weights[1:-2:2], strict=True):
        layers[name] = values = np.maximum(0, values @ kernel + bias)
    near = np.argsort(((values[1:] - values[0]) ** 2).sum(axis=1), kind="stable")[:6] + 1
    logits = values[0] @ weights[-2] + weights[-1]
    shares = np.exp(logits - logits.max())
    return images[0], {name: layer[0] for name, layer in layers.items()}, shares / shares.sum(), near


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
    still: str,
    heights: Sequence[int] | None = None,
    key: str = "",
    controls: str = "",
    width: int = 320,
    first: int = 0,
    least: str = "",
    wide: Collection[str] = (),
) -> HTML:
    """Fill in the frame that the views share: a canvas for each panel, controls, the main slider, a line of text."""
    canvases = "".join(
        f"<div{' class=wide' * (name in wide)}>"
        f'<canvas width="{width}" height="{height}" role="img" aria-label="{escape(about)}"></canvas><br>'
        f"{escape(name)}<small></small></div>"
        for (name, about), height in zip(panels.items(), heights or [320] * len(panels), strict=True)
    )
    beside = files(__name__)
    return HTML(
        Template(beside.joinpath("view.html").read_text(encoding="utf-8")).substitute(
            panels=canvases,
            still=still,
            alt=escape(f"A still. {next(iter(panels.values()))}"),
            width=width,
            least=least or ("130px" if len(panels) <= 4 else "190px"),
            key=key,
            controls=controls,
            label=label,
            first=first,
            last=last,
            data=json.dumps(data).replace("</", "<\\/"),
            script=beside.joinpath(f"{script}.js").read_text(encoding="utf-8"),
        )
    )
