import json
import re
import zlib
from base64 import b64decode
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.integrate import quad
from scipy.spatial.distance import pdist
from scipy.stats import norm
from sklearn.neighbors import NearestNeighbors

from innerbook import interactive, style
from innerview import get_activations, two_hidden_layers


def view_data(html: str) -> dict[str, Any]:
    return json.loads(re.search(r"data = (\{.*\});", html)[1])  # type: ignore[index]


VIEWS = {
    "digit_reader": lambda: interactive.digit_reader(network(3), np.eye(2, 784), np.arange(2), "a pad"),
    "error_ellipse": lambda: interactive.error_ellipse(10, "ellipses"),
    "frame_player": lambda: interactive.frame_player({"a": {"b": np.ones((2, 3, 4))}}, ["c", "d"], "cells"),
    "linked_scatter": lambda: interactive.linked_scatter({"a": np.eye(3, 2)}, np.arange(3), np.zeros((3, 784)), "dots"),
    "rotating_scatter": lambda: interactive.rotating_scatter({"a": np.eye(3)}, np.arange(3), "dots"),
    "signal_profile": lambda: interactive.signal_profile(0.3, 40, "lines"),
}


def network(*units: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = [784, *units, 10]
    shapes = [shape for before, after in pairwise(sizes) for shape in ((before, after), after)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def inflated(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(b64decode(text)), dtype)


def still(html: str) -> np.ndarray:
    picture = re.search(r'<img src="data:image/png;base64,([^"]+)" alt="A still. ', html)[1]  # type: ignore[index]
    return np.array(Image.open(BytesIO(b64decode(picture))).convert("RGB"))


def test_each_view_has_a_script_of_its_name() -> None:
    scripts = {path.stem for path in Path(interactive.__file__).parent.glob("*.js")}
    assert scripts == set(VIEWS)


@pytest.mark.parametrize("name", VIEWS)
def test_each_view_has_a_still_that_shows_something_and_is_light(name: str) -> None:
    html = VIEWS[name]().data
    picture = still(html)
    # On a sheet of paper it is wide enough, and neither blank nor one colour.
    assert picture.shape[1] > 150 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 2
    assert len(html) < 100_000 and html.count("src=") == 1


def test_the_still_of_a_film_has_frames_of_the_first_and_of_the_end() -> None:
    film = np.zeros((9, 1, 1))
    film[-1] = 1
    black = {
        peak: (still(interactive.frame_player({"f": {"p": film}}, list("abcdefghi"), "", peak).data).max(axis=2) < 9)
        for peak in (1, 4)
    }
    # The last of four frames is black where the peak is reached, and nothing but letters and lines elsewhere.
    quarter = black[1].shape[1] // 4
    assert black[1][:, -quarter:].mean() > 0.3 and black[1][:, : 3 * quarter].mean() < 0.1
    assert black[4].mean() < 0.1


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


def test_frame_player_holds_curves_beside_the_frames() -> None:
    films = {name: {"p": np.ones((3, 2, 2))} for name in ("a", "b")}
    curves = {"b": {"m_g": np.array([1, 0.5, 0.25])}, "a": {"m_g": np.array([3.0, 2, 1])}}
    html = interactive.frame_player(films, list("xyz"), "cells", curves=curves).data
    data = view_data(html)
    assert data["curves"] == [[[3, 2, 1]], [[1, 0.5, 0.25]]]  # in the order of the films
    assert data["names"] == ["m_g"] and data["colours"] == [style.COLOURS[0]] and html.count("<canvas") == 2
    assert still(html).shape[0] > still(interactive.frame_player(films, list("xyz"), "cells").data).shape[0]


@pytest.mark.parametrize(
    "curves, said",
    [
        ({"b": {"m": np.ones(3)}}, r"for each of \['a'\]; received {'b': \['m'\]}"),
        ({"a": {}}, "lines of the same names"),
        ({"a": {"m": np.ones(2)}}, r"expected 3 values from 0 on.*'m' has \(2,\)"),
        ({"a": {"m": np.array([1, 2, -1])}}, "from -1"),
        ({"a": {"m": np.array([1, 2, np.nan])}}, "finite numbers"),
    ],
)
def test_frame_player_refuses_curves_that_do_not_fit(curves: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        interactive.frame_player({"a": {"p": np.ones((3, 2, 2))}}, list("xyz"), "cells", curves=curves)


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
    assert "http" not in html and html.count("src=") == html.count('src="data:') == 1


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


def test_signal_profile_begins_with_what_its_theory_says() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    h, delta, product = interactive._sizes(0.3, nodes, weights)
    # Two layers by SciPy, the last layer's signal is the measure, and the product is as level as the text says.
    first = np.sqrt(quad(lambda z: np.tanh(0.3 / np.sqrt(3) * z) ** 2 * norm.pdf(z), -10, 10)[0])
    second = np.sqrt(quad(lambda z: np.tanh(first / np.sqrt(3) * z) ** 2 * norm.pdf(z), -10, 10)[0])
    assert h[:2] == pytest.approx([first, second], rel=1e-6) and len(h) == len(delta) == len(product) == 16
    slope = quad(lambda z: (1 - np.tanh(h[13] / np.sqrt(3) * z) ** 2) ** 2 * norm.pdf(z), -10, 10)[0]
    assert delta[-2:] == pytest.approx([np.sqrt(slope / 3), 1], rel=1e-6)
    assert product == pytest.approx(delta * [0.3, *h[:-1]])


@pytest.mark.parametrize("units", [(5,), (5, 3), (4, 3, 6)])
def test_digit_reader_holds_the_network_in_eight_bits(units: tuple[int, ...]) -> None:
    weights = network(*units)
    weights[0][:, 2] = 0  # a unit that sees nothing
    images = np.random.default_rng(1).integers(0, 256, (3, 784)) / 255
    html = interactive.digit_reader(weights, images, np.array([7, 0, 7]), "a pad").data
    data = view_data(html)
    rounded = interactive.in_eight_bits(weights)
    for layer, shape in enumerate(pairwise([784, *units, 10])):
        whole = inflated(data["kernels"][layer], "int8").reshape(shape)
        held = whole * np.array(data["scales"][layer])
        np.testing.assert_array_equal(held, rounded[2 * layer])
        step = np.abs(weights[2 * layer]).max(axis=0) / 127
        assert (np.abs(held - weights[2 * layer]) <= 0.5001 * step).all() and np.abs(whole).max() == 127
        np.testing.assert_array_equal(data["biases"][layer], weights[2 * layer + 1])
    np.testing.assert_array_equal(inflated(data["images"], "uint8"), np.round(255 * images).ravel())
    assert data["labels"] == [7, 0, 7] and html.count("<canvas") == 4 + len(units)


def test_digit_reader_puts_stored_digits_on_maps() -> None:
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(30, 2)), np.arange(30) % 10
    images = rng.integers(0, 256, (30, 784)) / 255
    data = view_data(interactive.digit_reader(network(8, 6), images, labels, "a pad", {"a map": points}).data)
    scale = pdist(np.array(data["places"][0])) / pdist(points)
    assert np.median(np.abs(scale / np.median(scale) - 1)) < 0.02 and len(data["names"][0]) == 10
    with pytest.raises(ValueError, match=r"expected points of shape \(30, 2\); 'm' has \(29, 2\)"):
        interactive.digit_reader(network(8, 6), images, labels, "a pad", {"m": points[1:]})


def test_the_first_reading_is_that_of_the_network() -> None:
    two = two_hidden_layers(0)
    images = np.random.default_rng(0).uniform(size=(20, 784)).astype("float32")
    _, layers, outputs, near = interactive._first_reading(two.get_weights(), images, ["hidden1", "hidden2"])
    found = get_activations(two, images, ["hidden1", "hidden2", "output"])
    for name, values in (layers | {"output": outputs}).items():
        np.testing.assert_allclose(values, found[name][0], atol=1e-5)
    others = NearestNeighbors(n_neighbors=6).fit(found["hidden2"][1:]).kneighbors(found["hidden2"][:1])[1]
    np.testing.assert_array_equal(near, others[0] + 1)


def test_a_page_with_the_digit_reader_stays_light() -> None:
    images = np.random.default_rng(0).integers(0, 256, (400, 784)) / 255 * np.eye(400, 784)
    for units in ((300,), (256, 64)):
        html = interactive.digit_reader(network(*units), images, np.arange(400) % 10, "a pad").data
        assert len(html) < 450_000


@pytest.mark.parametrize(
    "change, said",
    [
        ({0: np.ones((783, 3))}, r"received \[\(783, 3\), \(3,\), \(3, 10\), \(10,\)\]"),
        ({2: np.ones((4, 10))}, r"\(4, 10\)"),
        ({1: np.float32(1)}, r"expected kernels and biases"),
        ({0: np.full((784, 3), np.inf)}, "finite numbers, at least one; 'kernel'"),
    ],
)
def test_digit_reader_refuses_other_networks(change: dict[int, np.ndarray], said: str) -> None:
    weights = [change.get(i, values) for i, values in enumerate(network(3))]
    with pytest.raises(ValueError, match=said):
        interactive.digit_reader(weights, np.eye(2, 784), np.arange(2), "a pad")
    for others in (weights[:3], weights[:2], network(3)[:2] + network(4)[2:]):
        with pytest.raises(ValueError, match="expected kernels and biases"):
            interactive.digit_reader(others, np.eye(2, 784), np.arange(2), "a pad")


@pytest.mark.parametrize(
    "images, labels, said",
    [
        (np.eye(2, 28), np.arange(2), r"expected points of shape \(2, 784\); 'images' has \(2, 28\)"),
        (255 * np.eye(2, 784), np.arange(2), r"in \[0, 1\]; received 0 to 255"),
        (np.eye(2, 784), np.array([1, 10]), r"from 0 to 9; received \[10\]"),
    ],
)
def test_digit_reader_refuses_what_are_no_digits(images: np.ndarray, labels: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        interactive.digit_reader(network(3), images, labels, "a pad")


@pytest.mark.parametrize("largest", [1, 21])
def test_error_ellipse_refuses_what_it_cannot_draw(largest: int) -> None:
    with pytest.raises(ValueError, match=f"from 2 to 20; received {largest}"):
        interactive.error_ellipse(largest, "ellipses")
