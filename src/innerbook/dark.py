"""Figures for readers who have chosen the dark theme: each is printed once more, in colours that suit a dark page.

The build's kernels load this as an extension of IPython. A figure's output then holds a second picture, which
`innerbook.build.figures` puts beside the first. Elsewhere nothing is changed.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from IPython.core.formatters import BaseFormatter
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import print_figure
from traitlets import Unicode

if TYPE_CHECKING:  # kernels that draw nothing need not import it
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIME = "application/vnd.innerview.dark+png"
# What white and black become, red, green and blue in [0, 1]: the page's own background, and its text.
PAPER, INK = np.full(3, 0x12 / 255), np.full(3, 0xE6 / 255)
CONTRAST = 3.0  # at least, of a colour on the page: what WCAG 2.1 asks of graphics

_Change = tuple[Callable[[Any], object], Any, Any]  # a setter, what is there, and what comes in its place


class _DarkFigure(BaseFormatter):
    """Says in an output's metadata, for its own type of data, how a figure looks on a dark page."""

    format_type = Unicode(MIME)

    def __call__(self, obj: Any) -> tuple[str, dict[str, str]] | None:
        # Not registered for figures: Matplotlib's backend takes what is registered for them out of all formatters.
        drawn = sys.modules.get("matplotlib.figure")
        if drawn is None or not isinstance(obj, drawn.Figure):
            return None
        with darkened(obj):
            png = print_figure(obj, "png", base64=True)
        return png and ("", {"png": png})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Let each figure's output hold its dark picture, too."""
    if shell.display_formatter is not None:
        shell.display_formatter.formatters[MIME] = _DarkFigure(parent=shell.display_formatter)


def dark(colours: Any) -> np.ndarray:
    """Return the colours for a dark page that stand for the given ones, on a white page.

    Greys are turned, from black for white to white for black, between the colours of page and text. Pale colours, on
    which text may stand, become dim ones. Others stay as they are, or are mixed with white until they can be told from
    the page. Transparency stays.

    Args:
        colours: one or more, in any of Matplotlib's ways.

    Returns:
        Red, green, blue and opacity in [0, 1], of shape ``(4,)`` or ``(n, 4)``.
    """
    from matplotlib.colors import is_color_like, to_rgba_array

    given = to_rgba_array(colours)
    rgb = given[:, :3]
    turned = INK + (PAPER - INK) * rgb.mean(axis=1, keepdims=True)
    lit = rgb.copy()
    for _ in range(20):
        weak = contrast(lit, PAPER) < CONTRAST
        lit[weak] += 0.1 * (1 - lit[weak])
    grey, pale = np.ptp(rgb, axis=1, keepdims=True) < 0.05, rgb.min(axis=1, keepdims=True) > 0.6
    made = np.column_stack([np.select([grey, pale], [turned, PAPER + 0.35 * (rgb - PAPER)], lit), given[:, 3]])
    return made[0] if is_color_like(colours) else made


def contrast(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the contrast of colours in [0, 1], the last axis red, green and blue, from 1 to 21, as WCAG defines it."""

    def luminance(rgb: np.ndarray) -> np.ndarray:
        return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    high, low = luminance(one) + 0.05, luminance(other) + 0.05
    return np.maximum(high / low, low / high)


@contextmanager
def darkened(figure: "Figure") -> Iterator[None]:
    """Give a figure that has been drawn the colours of a dark page for a while; pictures within it keep theirs."""
    changes = list(_changes(figure))
    for change, _, new in changes:
        change(new)
    try:
        yield
    finally:
        for change, old, _ in reversed(changes):
            change(old)


def _changes(figure: "Figure") -> Iterator[_Change]:
    kept = set(chain.from_iterable(map(_on_pictures, figure.axes)))
    for artist in figure.findobj():
        if id(artist) not in kept:
            yield from _of_one(artist)


def _on_pictures(ax: "Axes") -> Iterator[int]:
    """Yield what stands on a picture, which stays as it is, and so must what is written on it."""
    from matplotlib.collections import QuadMesh

    if not (ax.images or any(isinstance(each, QuadMesh) for each in ax.collections)):
        return
    yield from map(id, (*ax.get_xgridlines(), *ax.get_ygridlines()))
    for artist in (*ax.lines, *ax.patches, *ax.collections, *ax.texts):
        (x0, y0), (x1, y1) = artist.get_window_extent().get_points()  # infinite, where it has no size of its own
        if not np.isfinite([x0, y0, x1, y1]).all() or ax.bbox.contains((x0 + x1) / 2, (y0 + y1) / 2):
            yield from map(id, artist.findobj())


def _of_one(artist: "Artist") -> Iterator[_Change]:
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.text import Annotation, Text

    parts: list[str] = []
    if isinstance(artist, Line2D):
        parts = ["color", "markerfacecolor", "markeredgecolor"]
    elif isinstance(artist, Text):
        parts = ["color"]
        inner = [artist.get_bbox_patch(), artist.arrow_patch if isinstance(artist, Annotation) else None]
        yield from chain.from_iterable(_of_one(each) for each in inner if each is not None)
    elif isinstance(artist, Patch):
        parts = ["edgecolor", "facecolor"]
    elif isinstance(artist, Collection):
        parts = ["edgecolor"] if artist.get_array() is not None else ["edgecolor", "facecolor"]
    for part in parts:
        old = getattr(artist, f"get_{part}")()
        if not isinstance(old, str) or old not in ("none", "face", "auto"):
            new = dark(old)
            # Lines compare a marker's colour with the one before, which arrays of other lengths do not bear.
            alike = new if new.ndim == 2 else tuple(new[: np.size(old)] if isinstance(old, np.ndarray) else new)
            yield getattr(artist, f"set_{part}"), old, alike
    for effect in artist.get_path_effects() or ():
        given = getattr(effect, "_gc", {})
        if "foreground" in given:
            yield partial(given.__setitem__, "foreground"), given["foreground"], tuple(dark(given["foreground"]))
