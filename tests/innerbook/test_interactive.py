import json
import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.integrate import quad
from scipy.spatial.distance import pdist
from scipy.stats import norm

from innerbook import interactive, style


def view_data(html: str) -> dict[str, Any]:
    return json.loads(re.search(r"data = (\{.*\});", html)[1])  # type: ignore[index]


def test_each_view_has_a_script_of_its_name() -> None:
    scripts = {path.stem for path in Path(interactive.__file__).parent.glob("*.js")}
    assert scripts == {"frame_player", "linked_scatter", "rotating_scatter", "signal_profile"}
    assert all(callable(getattr(interactive, name)) for name in scripts)


def test_frame_player_holds_each_frame_on_its_own_scale() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 5, (4, 3, 4))
    values[:, 2, 2:] = np.nan
    panels = {"output": values, "square": values[:, :2, :2]}
    other = {name: values[::-1] for name, values in panels.items()}
    html = interactive.frame_player({"a <b>": panels, "other": other}, ["a", "b", "</script>", "d"], "cells").data
    data = view_data(html)
    for played, given in zip(data["films"], (panels, other), strict=True):
        film = played[0]
        assert (film["rows"], film["columns"], film["labels"]) == (3, 4, [str(i) for i in range(10)])
        cells = np.frombuffer(b64decode(film["cells"]), "uint8").reshape(values.shape)
        shown = np.isfinite(given["output"])
        assert (cells[~shown] == 255).all()
        peaks = np.nanmax(given["output"], axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(cells[shown] / 254, (given["output"] / peaks)[shown], atol=0.5 / 254)
        assert played[1]["labels"] == []
    assert data["captions"][2] == "</script>"
    assert html.count("</script>") == 1 and 'max="3"' in html and "://" not in html
    assert html.count("<canvas") == 2 and 'aria-label="output. cells"' in html
    assert '<option value="0">a &lt;b&gt;</option><option value="1">other</option>' in html
    assert "<select" not in interactive.frame_player({"one": panels}, list("abcd"), "cells").data


def test_frame_player_draws_photographs_on_one_scale() -> None:
    grey = np.random.default_rng(0).uniform(-0.2, 1, (3, 2, 5))
    html = interactive.frame_player({"film": {"photograph": np.clip(1 - grey, 0, None)}}, list("abc"), "cells", peak=1)
    cells = np.frombuffer(b64decode(view_data(html.data)["films"][0][0]["cells"]), "uint8").reshape(grey.shape)
    np.testing.assert_allclose(1 - cells / 254, np.clip(grey, 0, 1), atol=0.5 / 254)
    with pytest.raises(ValueError, match="expected a peak above 0; received -1"):
        interactive.frame_player({"film": {"photograph": grey**2}}, list("abc"), "cells", peak=-1)


@pytest.mark.parametrize(
    "films, said",
    [
        ({"film": {"panel": np.ones((4, 2, 2))}}, r"expected \(3, rows, columns\).*'panel' has shape \(4, 2, 2\)"),
        ({"film": {"panel": np.ones((3, 4))}}, r"'panel' has shape \(3, 4\)"),
        ({"film": {"panel": np.full((3, 2, 2), -0.5)}}, "from 0 on; 'panel' has -0.5"),
        ({"a": {"p": np.ones((3, 2, 2))}, "b": {"q": np.ones((3, 2, 2))}}, "the same panels, {'p'.*received {'q'"),
        ({"a": {"p": np.ones((3, 2, 2))}, "b": {"p": np.ones((3, 2, 1))}}, "the same panels"),
        ({}, "at least one film"),
    ],
)
def test_frame_player_refuses_what_it_cannot_draw(films: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        interactive.frame_player(films, ["a", "b", "c"], "cells")


def test_linked_scatter_holds_places_and_digits() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 2)) * [1, 4]
    labels = np.arange(60) % 10
    images = np.zeros((60, 784))
    images.reshape(60, 28, 28)[:, 4:24, 4:24] = rng.uniform(size=(60, 20, 20))
    data = view_data(interactive.linked_scatter({"a": points}, labels, images, "dots").data)
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


def test_linked_scatter_puts_equal_points_in_the_middle() -> None:
    html = interactive.linked_scatter({"a": np.ones((3, 2))}, np.arange(3), np.zeros((3, 784)), "dots").data
    assert view_data(html)["places"] == [[[160, 160]] * 3]


@pytest.mark.parametrize(
    "labels, images, said",
    [
        (np.array([0, 1, 10]), np.zeros((3, 784)), r"labels from 0 to 9; received \[10\]"),
        (np.eye(3), np.zeros((3, 784)), "integer labels"),
        (np.arange(4), np.zeros((4, 784)), r"shape \(4, 2\); 'a' has \(3, 2\)"),
        (np.arange(3), np.zeros((4, 784)), r"images of shape \(3, 784\).*received \(4, 784\)"),
        (np.arange(3), np.zeros((3, 28, 28)), r"received \(3, 28, 28\)"),
        (np.arange(3), np.full((3, 784), 255), r"values in \[0, 1\]; received 255 to 255"),
    ],
)
def test_linked_scatter_refuses_what_does_not_fit(labels: np.ndarray, images: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        interactive.linked_scatter({"a": np.arange(6.0).reshape(3, 2)}, labels, images, "dots")


def test_rotating_scatter_holds_the_points_and_loads_nothing() -> None:
    points = np.array([[1.0, 0.0, -2.0], [0.5, 2.0, 0.0]])
    html = interactive.rotating_scatter({"a <b>": points}, np.array([3, 7]), "two points").data
    assert "[[69, 0, -139], [35, 139, 0]]" in html and '"groups": [0, 1]' in html
    assert 'aria-label="a &lt;b&gt;. two points"' in html and '<label>Turn: <input class="main" type="range"' in html
    assert "http" not in html and "src=" not in html


def test_rotating_scatter_has_a_colour_for_each_label_or_says_so() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    data = view_data(interactive.rotating_scatter({"a": points}, np.arange(20) % 10, "dots").data)
    assert data["colours"] == list(style.DIGIT_COLOURS) and max(data["groups"]) == 9
    cloud = np.array(data["clouds"][0])
    assert 154 <= max(np.hypot(cloud[:, 0], cloud[:, 2]).max(), np.abs(cloud[:, 1]).max()) <= 156
    with pytest.raises(ValueError, match=r"labels from 0 to 9; received \[10, 11"):
        interactive.rotating_scatter({"a": points}, np.arange(20), "dots")
    with pytest.raises(ValueError, match=r"expected points of shape \(20, 3\); 'b' has \(20, 2\)"):
        interactive.rotating_scatter({"b": points[:, :2]}, np.arange(20) % 7, "dots")


def test_signal_profile_holds_what_its_theory_needs() -> None:
    html = interactive.signal_profile(0.3, 40, "three lines").data
    data = view_data(html)
    nodes, weights = np.array(data["nodes"]), np.array(data["weights"])
    # The mean of tanh squared over a normal distribution, by the nodes and by SciPy.
    for spread in (0.1, 1.0, 2.0):
        by_scipy = quad(lambda z, s=spread: np.tanh(s * z) ** 2 * norm.pdf(z), -10, 10)[0]
        assert weights @ np.tanh(spread * nodes) ** 2 == pytest.approx(by_scipy, rel=1e-3)
    assert data["input"] == 0.3 and np.all(np.diff(data["variances"]) > 0)
    assert [data["variances"][i] for i in (7, 18, 25, 29)] == pytest.approx([1 / 3, 1, 2, 3])
    assert 'max="38"' in html and 'max="36" value="7"' in html and 'width="640"' in html and "://" not in html


def test_signal_profile_refuses_what_it_cannot_draw() -> None:
    for inputs, deepest in ((0.0, 20), (np.inf, 20), (np.nan, 20), (1.0, 12)):
        with pytest.raises(ValueError, match=f"above 0 and a depth of 16 or more; received {inputs}, {deepest}"):
            interactive.signal_profile(inputs, deepest, "lines")
