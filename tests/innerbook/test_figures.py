import subprocess
import sys
from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

from innerbook import figures, style


@pytest.fixture
def ax() -> Iterator[Axes]:
    yield plt.subplots()[1]


@pytest.fixture(autouse=True)
def no_figure_is_left() -> Iterator[None]:
    yield
    plt.close("all")


def heights(ax: Axes, line: int) -> list[float]:
    return np.asarray(ax.lines[line].get_ydata()).tolist()


def test_median_band_draws_the_median_and_the_range(ax: Axes) -> None:
    runs = np.array([[1.0, 2.0, 9.0], [2.0, 3.0, 4.0]])
    figures.median_band(ax, np.array([1, 2]), {"loss": runs}, "epoch", "loss")
    assert heights(ax, 0) == [2, 3]
    band = np.asarray(ax.collections[0].get_paths()[0].vertices)
    assert band[:, 1].min() == 1 and band[:, 1].max() == 9
    assert ax.get_xlabel() == "epoch" and ax.get_ylabel() == "loss"


def test_median_band_draws_each_run_against_its_own_x(ax: Axes) -> None:
    runs = {"a": np.array([[1, 2, 3], [4, 5, 6]]), "b": np.array([[7, 8], [9, 10], [11, 12]])}
    x = {"a": np.array([1, 2]), "b": np.array([[1, 2], [3, 4], [5, 6]])}
    figures.median_band(ax, x, runs, "step", "loss", each=True)
    drawn = [np.asarray(line.get_xydata()).tolist() for line in ax.lines]
    assert len(drawn) == 5 and not ax.collections
    assert drawn[1] == [[1, 2], [2, 5]] and drawn[4] == [[2, 8], [4, 10], [6, 12]]
    legend = ax.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["a", "b"]


def test_median_band_draws_as_many_groups_as_there_are_colours_and_refuses_more(ax: Axes) -> None:
    runs = {f"run {i}": np.full((2, 3), i) for i in range(8)}
    x = np.arange(2)
    with pytest.raises(ValueError, match=r"expected 7 groups at most.*received 8: run 0, run 1"):
        figures.median_band(ax, x, runs, "", "")
    assert not ax.lines
    figures.median_band(ax, x, dict(list(runs.items())[:7]), "", "")
    assert [line.get_color() for line in ax.lines] == list(style.COLOURS)


def test_median_band_refuses_arrays_without_runs(ax: Axes) -> None:
    with pytest.raises(ValueError, match=r"\(points, runs\); 'loss' has \(5,\)"):
        figures.median_band(ax, np.arange(5), {"loss": np.arange(5.0)}, "", "")


def test_strip_marks_the_median(ax: Axes) -> None:
    figures.strip(ax, {"a": np.array([1.0, 2.0, 6.0]), "b": np.array([5.0])}, "accuracy")
    assert heights(ax, 1) == [2, 2]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]


def test_images_in_colour_are_cut_off_at_0_and_1() -> None:
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 3))
    axes = figures.image_grid({"row": images}, ["a", "b"])
    np.testing.assert_array_equal(axes[0, 1].images[0].get_array(), np.clip(images[1], 0, 1))


def test_image_grid_shows_each_image_upright_on_its_own_scale() -> None:
    images = np.array([[0.0, 1.0, 2.0, 4.0], [0.0, 0.0, 0.0, 0.5]])
    axes = figures.image_grid({"plain": images, "signed": -images}, columns=["a", "b"])
    assert axes.shape == (2, 2)
    picture = axes[0, 0].images[0]
    assert picture.get_array().tolist() == [[0, 1], [2, 4]] and picture.get_clim() == (0, 4)
    assert axes[1, 1].images[0].get_clim() == (-0.5, 0.5)
    assert axes[0, 1].get_title() == "b" and axes[1, 0].get_ylabel() == "signed"


def test_grey_images_of_any_shape_are_drawn_alike() -> None:
    images = np.random.default_rng(0).uniform(size=(2, 9))
    shapes = {str(shape): images.reshape(2, *shape) for shape in ((9,), (3, 3), (3, 3, 1))}
    axes = figures.image_grid(shapes, ["a", "b"])
    for picture in (ax.images[0] for ax in axes[:, 1]):
        assert picture.get_array().tolist() == images[1].reshape(3, 3).tolist()
        assert picture.get_cmap().name == "gray_r"


@pytest.mark.parametrize(
    "shape, said",
    [
        ((2, 10), r"square images.*row 'row' has \(2, 10\)"),
        ((2, 3, 4), "square images"),
        ((4, 4, 3), "square images"),
        ((2, 4, 4, 2), "square images"),
        ((2, 4, 5, 3), "square images"),
        ((3, 16), "expected 2 images, one for each column; row 'row' has 3"),
        ((1, 16), "expected 2 images, one for each column; row 'row' has 1"),
    ],
)
def test_image_grid_refuses_other_shapes_and_draws_nothing(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        figures.image_grid({"row": np.zeros(shape)}, ["a", "b"])
    assert not plt.get_fignums()


def test_image_grid_refuses_photographs_from_0_to_255() -> None:
    with pytest.raises(ValueError, match="floats from 0 to 1; row 'row' has uint8"):
        figures.image_grid({"row": np.zeros((1, 4, 4, 3), "uint8")}, ["a"])


def test_scatter_grid_names_each_digit_at_its_median() -> None:
    points = np.random.default_rng(0).normal(size=(50, 2))
    labels = np.arange(50) % 10
    axes = figures.scatter_grid({"row": {"one": points, "two": -points}}, labels)
    assert axes.shape == (1, 2) and axes[0, 0].get_ylabel() == "row" and axes[0, 1].get_title() == "two"
    texts = {text.get_text(): text.get_position() for text in axes[0, 1].texts}
    assert texts["4"] == pytest.approx(np.median(-points[labels == 4], axis=0))
    assert [line.get_color() for line in axes[0, 0].lines] == style.DIGIT_COLOURS


@pytest.mark.parametrize(
    "points, labels, said",
    [
        (np.zeros((3, 2)), np.array([0, 1, 10]), r"labels from 0 to 9; received \[10\]"),
        (np.zeros((3, 2)), np.array([0, -1, 2]), r"labels from 0 to 9; received \[-1\]"),
        (np.zeros((3, 2)), np.eye(3), r"integer labels of shape \(n,\); received float64 of shape \(3, 3\)"),
        (np.zeros((4, 2)), np.arange(3), r"shape \(3, 2\); 'map' has \(4, 2\)"),
        (np.full((3, 2), np.nan), np.arange(3), "finite numbers, at least one; 'map'"),
    ],
)
def test_scatter_grid_refuses_what_does_not_fit(points: np.ndarray, labels: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        figures.scatter_grid({"row": {"map": points}}, labels)
    assert not plt.get_fignums()


def test_scatter_grid_refuses_rows_of_unequal_length() -> None:
    points, labels = np.zeros((3, 2)), np.arange(3)
    with pytest.raises(ValueError, match=r"as many maps in each row; received \[1, 2\]"):
        figures.scatter_grid({"a": {"one": points}, "b": {"one": points, "two": points}}, labels)


def test_heat_map_has_a_column_for_each_record(ax: Axes) -> None:
    values = np.array([[1.0, 0.1, 0.0], [0.5, 0.01, 1e-9]])
    mesh = figures.heat_map(ax, np.array([0, 200]), values, "unit", "gradient").collections[0]
    np.testing.assert_allclose(np.asarray(mesh.get_array()), np.maximum(values, 1e-5).T)
    assert ax.get_xlabel() == "step" and ax.get_ylabel() == "unit"


@pytest.mark.parametrize("value", [-1.0, 0.0])
def test_heat_map_refuses_what_has_no_logarithm(ax: Axes, value: float) -> None:
    with pytest.raises(ValueError, match=f"values from 0 on, some above; received {value:g} to"):
        figures.heat_map(ax, np.arange(2), np.full((2, 3), value), "unit", "gradient")


def test_pictures_import_neither_the_helper_nor_keras() -> None:
    code = "import sys, innerbook.figures, innerbook.interactive; assert not {'innerview', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
