from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

from innerview import plotting


@pytest.fixture
def ax() -> Iterator[Axes]:
    yield plt.subplots()[1]
    plt.close("all")


def heights(ax: Axes, line: int) -> list[float]:
    return np.asarray(ax.lines[line].get_ydata()).tolist()


def test_curves_draw_the_median_and_the_range(ax: Axes) -> None:
    runs = np.array([[1.0, 2.0, 9.0], [2.0, 3.0, 4.0]])
    plotting.curves(ax, np.array([1, 2]), {"loss": runs}, "epoch", "loss")
    assert heights(ax, 0) == [2, 3]
    band = np.asarray(ax.collections[0].get_paths()[0].vertices)
    assert band[:, 1].min() == 1 and band[:, 1].max() == 9
    assert ax.get_xlabel() == "epoch" and ax.get_ylabel() == "loss"


def test_shaded_lines_draw_each_column(ax: Axes) -> None:
    lines = np.array([[1.0, 2.0], [3.0, 4.0]])
    plotting.shaded_lines(ax, np.array([1, 2]), lines, np.array([0.1, 10.0]), "shade")
    assert [heights(ax, 0), heights(ax, 1)] == [[1, 3], [2, 4]]
    assert ax.lines[0].get_color() != ax.lines[1].get_color()


def test_image_grid_shows_each_image_upright_on_its_own_scale(ax: Axes) -> None:
    images = np.array([[0.0, 1.0, 2.0, 4.0], [0.0, 0.0, 0.0, 0.5]])
    axes = plotting.image_grid({"plain": images, "signed": -images}, columns=["a", "b"])
    assert axes.shape == (2, 2)
    picture = axes[0, 0].images[0]
    assert picture.get_array().tolist() == [[0, 1], [2, 4]] and picture.get_clim() == (0, 4)
    assert axes[1, 1].images[0].get_clim() == (-0.5, 0.5)
    assert axes[0, 1].get_title() == "b" and axes[1, 0].get_ylabel() == "signed"


def test_fingerprints_give_each_image_a_column(ax: Axes) -> None:
    groups = {"zero": np.arange(6.0).reshape(2, 3), "one": np.ones((4, 3))}
    axes = plotting.fingerprints(groups, ceiling=3, units="unit")
    assert axes.flat[0].images[0].get_array().shape == (3, 2)
    assert axes.flat[0].get_title() == "zero"


def test_dots_by_group_mark_the_median(ax: Axes) -> None:
    plotting.dots_by_group(ax, {"a": np.array([1.0, 2.0, 6.0]), "b": np.array([5.0])}, "accuracy")
    assert heights(ax, 1) == [2, 2]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]


def test_component_pairs_draw_each_pair_of_each_panel(ax: Axes) -> None:
    points = np.arange(12.0).reshape(4, 3)
    axes = plotting.component_pairs({"pixels": points, "layer": -points}, np.array([0, 0, 1, 1]))
    assert axes.shape == (3, 2)
    assert axes[1, 0].get_xlabel() == "component 1" and axes[1, 0].get_ylabel() == "component 3"
    assert heights(axes[1, 1], 1) == [-8, -11]


def test_turntable_holds_the_points_and_loads_nothing() -> None:
    points = np.array([[1.0, 0.0, -2.0], [0.5, 2.0, 0.0]])
    html = plotting.turntable({"a <b>": points}, np.array([3, 7]), "two points").data
    assert "[[50, 0, -100], [25, 100, 0]]" in html and '"groups": [0, 1]' in html
    assert 'aria-label="a &lt;b&gt;. two points"' in html and '<label>Turn: <input type="range"' in html
    assert "http" not in html and "src=" not in html
