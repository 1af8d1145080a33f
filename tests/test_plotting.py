import json
import re
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image
from scipy.spatial.distance import pdist

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


def test_curves_draw_each_run_against_its_own_x(ax: Axes) -> None:
    runs = {"a": np.array([[1, 2, 3], [4, 5, 6]]), "b": np.array([[7, 8], [9, 10], [11, 12]])}
    x = {"a": np.array([1, 2]), "b": np.array([[1, 2], [3, 4], [5, 6]])}
    plotting.curves(ax, x, runs, "step", "loss", each=True)
    drawn = [np.asarray(line.get_xydata()).tolist() for line in ax.lines]
    assert len(drawn) == 5 and not ax.collections
    assert drawn[1] == [[1, 2], [2, 5]] and drawn[4] == [[2, 8], [4, 10], [6, 12]]
    legend = ax.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["a", "b"]


def test_images_in_colour_are_cut_off_at_0_and_1() -> None:
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 3))
    axes = plotting.image_grid({"row": images}, ["a", "b"])
    np.testing.assert_array_equal(axes[0, 1].images[0].get_array(), np.clip(images[1], 0, 1))


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


def view_data(html: str) -> dict[str, Any]:
    return json.loads(re.search(r"data = (\{.*\});", html)[1])  # type: ignore[index]


def test_film_holds_each_frame_on_its_own_scale() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 5, (4, 3, 4))
    values[:, 2, 2:] = np.nan
    html = plotting.film({"output": values, "square": values[:, :2, :2]}, ["a", "b", "</script>", "d"], "cells").data
    data = view_data(html)
    film = data["films"][0]
    assert (film["rows"], film["columns"], film["labels"]) == (3, 4, [str(i) for i in range(10)])
    cells = np.frombuffer(b64decode(film["cells"]), "uint8").reshape(values.shape)
    shown = np.isfinite(values)
    assert (cells[~shown] == 255).all()
    peaks = np.nanmax(values, axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(cells[shown] / 254, (values / peaks)[shown], atol=0.5 / 254)
    assert data["films"][1]["labels"] == [] and data["captions"][2] == "</script>"
    assert html.count("</script>") == 1 and 'max="3"' in html and "://" not in html
    assert html.count("<canvas") == 2 and 'aria-label="output. cells"' in html


def test_hover_map_holds_places_and_digits() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 2)) * [1, 4]
    labels = np.arange(60) % 10
    images = np.zeros((60, 784))
    images.reshape(60, 28, 28)[:, 4:24, 4:24] = rng.uniform(size=(60, 20, 20))
    data = view_data(plotting.hover_map({"a": points}, labels, images, "dots").data)
    places = np.array(data["places"][0])
    assert places.min() >= 0 and places.max() <= 320
    # Both axes have one scale: distances keep their ratios. Up is up, as in the still picture.
    assert places[points[:, 1].argmax(), 1] < places[points[:, 1].argmin(), 1]
    scale = pdist(places) / pdist(points)
    assert np.median(np.abs(scale / np.median(scale) - 1)) < 0.02
    assert data["labels"] == labels.tolist()
    label, x, y = data["names"][0][3]
    assert label == 3 and (x, y) == pytest.approx(np.median(places[labels == 3], axis=0))
    sheet = np.array(Image.open(BytesIO(b64decode(data["sheet"].split(",")[1]))).convert("L"), "float") / 255
    assert sheet.shape == (40, 1_000)
    last = sheet[20:40, 9 * 20 : 10 * 20]  # the 60th digit, tenth of the second row
    np.testing.assert_allclose(last, 1 - images[59].reshape(28, 28)[4:24, 4:24], atol=1 / 29)


def test_map_grid_names_each_digit_at_its_median() -> None:
    points = np.random.default_rng(0).normal(size=(50, 2))
    labels = np.arange(50) % 10
    axes = plotting.map_grid({"row": {"one": points, "two": -points}}, labels)
    assert axes.shape == (1, 2) and axes[0, 0].get_ylabel() == "row" and axes[0, 1].get_title() == "two"
    texts = {text.get_text(): text.get_position() for text in axes[0, 1].texts}
    assert texts["4"] == pytest.approx(np.median(-points[labels == 4], axis=0))


def test_heat_map_has_a_column_for_each_record(ax: Axes) -> None:
    values = np.array([[1.0, 0.1, 0.0], [0.5, 0.01, 1e-9]])
    mesh = plotting.heat_map(ax, np.array([0, 200]), values, "unit", "gradient").collections[0]
    np.testing.assert_allclose(np.asarray(mesh.get_array()), np.maximum(values, 1e-5).T)
    assert ax.get_xlabel() == "step" and ax.get_ylabel() == "unit"


def test_histograms_hold_the_share_of_values_in_each_bin(ax: Axes) -> None:
    values = np.random.default_rng(0).normal(size=(3, 40, 50))
    mesh = plotting.histograms(ax, np.array([0, 200, 400]), values, "weight").collections[0]
    shares = np.asarray(mesh.get_array())
    counts = np.histogram(values[1], 60, range=(values.min(), values.max()))[0]
    np.testing.assert_allclose(shares[:, 1], np.maximum(counts / 2_000, 1e-4))


def test_depth_profile_holds_the_ratios() -> None:
    html = plotting.depth_profile({"a & b": 0.5, "c": 1.0}, 20, "two lines").data
    data = view_data(html)
    assert data["ratios"] == [0.5, 1.0] and data["names"] == ["a & b", "c"]
    assert 'max="18"' in html and "a &amp; b" in html and 'width="640"' in html and "://" not in html
