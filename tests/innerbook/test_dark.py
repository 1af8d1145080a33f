"""Figures in the colours of a dark page: what changes, what stays, and that a kernel prints both."""

from base64 import b64decode
from io import BytesIO

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from matplotlib import patheffects
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from nbclient import NotebookClient
from PIL import Image

from innerbook import dark, figures
from innerbook.style import COLOURS, DIGIT_COLOURS


def pixels(figure: Figure) -> np.ndarray:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@pytest.fixture
def drawn() -> Figure:
    """A plot and a picture, with words on both and beside them."""
    with plt.style.context("innerbook.course"):
        figure = Figure(figsize=(6.5, 3))
        FigureCanvasAgg(figure)
        plot, picture = figure.subplots(1, 2)
    plot.plot([0, 1], [0, 1], color="black", marker="o", markerfacecolor="none")
    plot.plot([0, 1], [1, 0], color=COLOURS[0], label="a line")
    plot.fill_between([0, 1], [0, 0], [0.2, 0.3], color="0.5", alpha=0.3)
    plot.scatter([0.2, 0.4], [0.5, 0.5], c=["white", "#000080"], edgecolors="black")
    plot.annotate("words", (0.5, 0.5), (0.2, 0.8), arrowprops={"color": "black"}, bbox={"facecolor": "white"})
    halo = [patheffects.withStroke(linewidth=3, foreground="white")]
    plot.text(0.7, 0.7, "more", path_effects=halo)
    plot.legend()
    picture.imshow(np.linspace(0, 1, 100).reshape(10, 10), cmap="gray")
    picture.text(4, 2, "white on black", color="white", ha="center")
    picture.set(title="a title", xticks=[0, 5])
    return figure


@pytest.mark.parametrize(
    "one, other, wanted", [("white", "black", 21), ("#777777", "white", 4.48), ("red", "white", 4)]
)
def test_contrast_is_what_wcag_says(one: str, other: str, wanted: float) -> None:
    for pair in ((one, other), (other, one)):
        assert dark.contrast(*(np.array(to_rgb(each)) for each in pair)) == pytest.approx(wanted, rel=2e-3)


def test_white_and_black_become_page_and_text() -> None:
    greys = dark.dark(["white", "0.75", "0.5", "black"])
    np.testing.assert_allclose(greys[[0, -1], :3], [dark.PAPER, dark.INK])
    assert (np.diff(greys[:, 0]) > 0).all() and (greys[:, 3] == 1).all()
    np.testing.assert_allclose(dark.dark((1, 1, 1, 0.25)), [*dark.PAPER, 0.25])


def test_the_courses_colours_can_be_told_from_a_dark_page() -> None:
    for colour in (*COLOURS, *DIGIT_COLOURS, "navy", "#330000"):
        given, changed = np.array(to_rgb(colour)), dark.dark(colour)[:3]
        assert dark.contrast(changed, dark.PAPER) >= dark.CONTRAST
        if np.ptp(given) > 0.05 and dark.contrast(given, dark.PAPER) >= dark.CONTRAST:
            np.testing.assert_allclose(changed, given)


def test_text_can_be_read_on_pale_boxes() -> None:
    for colour in ("#b8dcf2", "#fff4d6", "lavender", "0.95"):
        assert dark.contrast(dark.dark(colour)[:3], dark.INK) > 4.5


def test_a_figure_is_dark_for_a_while_and_its_pictures_stay(drawn: Figure) -> None:
    pixels(drawn)  # which arranges it
    before = pixels(drawn)
    with dark.darkened(drawn):
        within = pixels(drawn)
    np.testing.assert_array_equal(pixels(drawn), before)
    box = drawn.axes[1].bbox
    rows = slice(before.shape[0] - int(box.y1) + 2, before.shape[0] - int(box.y0) - 2)
    columns = slice(int(box.x0) + 2, int(box.x1) - 2)
    np.testing.assert_array_equal(within[rows, columns], before[rows, columns])
    outside = np.ones(before.shape[:2], bool)
    outside[rows, columns] = False
    # Nothing else is white any more, but for the edge of the picture.
    assert (before[outside].min(axis=1) > 250).mean() > 0.7 and (within[outside].min(axis=1) > 240).mean() < 5e-3
    paper = np.abs(within[outside] / 255 - dark.PAPER).max(axis=1) < 0.01
    assert paper.mean() > 0.7


def test_a_grid_of_photographs_keeps_them() -> None:
    shown = np.random.default_rng(0).uniform(size=(2, 8, 8, 3))
    figures.image_grid({"a": shown}, ["b", "c"])
    figure = plt.gcf()
    pixels(figure)  # which arranges it
    before = pixels(figure)
    with dark.darkened(figure):
        within = pixels(figure)
    plt.close(figure)
    same = (before == within).all(axis=2)
    inside = np.zeros_like(same)
    for ax in figure.axes:
        box = ax.images[0].get_window_extent()
        inside[len(same) - int(box.y1) + 2 : len(same) - int(box.y0) - 2, int(box.x0) + 2 : int(box.x1) - 2] = True
    assert same[inside].mean() > 0.95 and inside.mean() > 0.2  # a second drawing may move edges by less than a pixel


def test_a_kernel_prints_each_figure_for_both_themes() -> None:
    code = "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.figure(figsize=(2, 1))\nplt.plot([0, 1])\n"
    code += "print(1)\nplt.show()\n3"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    extension = "--IPKernelApp.extra_extensions=['innerbook.dark']"
    NotebookClient(notebook, kernel_name="python3", extra_arguments=[extension, "--IPKernelApp.log_level=50"]).execute()
    text, figure, number = notebook.cells[0].outputs
    light = np.array(Image.open(BytesIO(b64decode(figure.data["image/png"]))).convert("L"))
    other = np.array(Image.open(BytesIO(b64decode(figure.metadata[dark.MIME]["png"]))).convert("L"))
    assert light.shape == other.shape and np.median(light) == 255 and np.median(other) == round(255 * dark.PAPER[0])
    assert text.text == "1\n" and dark.MIME not in number.data and not number.metadata
