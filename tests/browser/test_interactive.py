"""What a moving picture computes in the page, how it is used, and what stands for it where nothing moves."""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from sklearn.neighbors import NearestNeighbors

from innerbook.data import load_mnist
from innerbook.interactive import digit_reader, in_eight_bits
from innerview import get_activations, one_hidden_layer, two_hidden_layers

from .conftest import Visit

READER = "book/1-first-network/one-hidden-layer"
MOVING = [READER, "book/2-probes/principal-components", "book/3-maps/maps", "book/4-depth/why"]
MOVING += ["book/5-inversion/undone"]
# A loop, a stroke, and a stroke with a corner, each in a corner of the pad and far from MNIST's size.
ANGLES = np.linspace(0, 2 * np.pi, 40)
DRAWN = {
    0: np.transpose([0.3 + 0.13 * np.cos(ANGLES), 0.3 + 0.2 * np.sin(ANGLES)]),
    1: np.array([[0.85, 0.05], [0.82, 0.5], [0.8, 0.9]]),
    7: np.array([[0.5, 0.6], [0.8, 0.6], [0.62, 0.95]]),
}


def outputs(view: Locator) -> np.ndarray:
    """The ten outputs as the page tells them."""
    told = view.locator("canvas[aria-label^='outputs. 0: ']").get_attribute("aria-label") or ""
    shares = [part.split(": ")[1] for part in told.removeprefix("outputs. ").split(", ")]
    return np.array([float(share.rstrip("%")) / 100 for share in shares])


@pytest.mark.parametrize("build", [one_hidden_layer, two_hidden_layers])
def test_a_network_in_the_page_answers_as_in_keras(
    build: Callable[[int], keras.Model], chromium: Browser, tmp_path: Any
) -> None:
    mnist = load_mnist()
    network = build(0)
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(mnist.x_train[:4_000], mnist.y_train[:4_000], epochs=3, verbose=0)
    some, labels = mnist.x_test[:60], mnist.y_test[:60]
    rounded = keras.models.clone_model(network)
    rounded.set_weights(in_eight_bits(network.get_weights()))
    exact, eight_bits = (np.asarray(model(some)) for model in (network, rounded))
    error = np.abs(exact - eight_bits).max()
    assert 0 < error < 0.1
    # A map on which each digit has a place of its own.
    points = np.random.default_rng(0).normal(size=(10, 2))[labels]
    html = digit_reader(network.get_weights(), some, labels, "a pad", {"a map": points}).data
    (tmp_path / "view.html").write_text(f"<!doctype html><meta charset='utf-8'>{html}", encoding="utf-8")
    page = chromium.new_page()
    page.goto((tmp_path / "view.html").as_uri())
    view, slider = page.locator("figure.view"), page.locator("input.main")
    slider.focus()
    page.keyboard.press("Home")
    found, islands = [], []
    for _ in some:
        found.append(outputs(view))
        islands.append(int((view.locator("output").inner_text().split("middle of the ")[1])[0]))
        page.keyboard.press("ArrowRight")
    page.close()
    # The page tells six decimals.
    np.testing.assert_allclose(found, eight_bits, atol=2e-6)
    np.testing.assert_allclose(found, exact, atol=error + 2e-6)
    assert len({shares.argmax() for shares in found}) > 5
    # The cross stands at the median of the six that scikit-learn finds nearest, and so near some digit's middle.
    last = get_activations(rounded, some, ["hidden" if build is one_hidden_layer else "hidden2"])
    near = NearestNeighbors(n_neighbors=6).fit(*last.values()).kneighbors(return_distance=False)
    digits = np.unique(labels)
    middles = np.array([np.median(points[labels == digit], axis=0) for digit in digits])
    away = np.linalg.norm(np.median(points[near], axis=1)[:, None] - middles, axis=2)
    of_told = away[np.arange(60), np.searchsorted(digits, islands)]
    np.testing.assert_allclose(of_told, away.min(axis=1), atol=0.02)  # three of one digit and three of another: a tie
    assert len(set(islands)) > 5


def draw(page: Page, pad: Locator, points: np.ndarray) -> None:
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


@pytest.mark.parametrize("name, stored", [(READER, 200), ("book/3-maps/maps", 400)])
def test_a_digit_is_drawn_with_the_mouse_and_moved_by_keyboard(
    name: str, stored: int, visit: Callable[..., Visit]
) -> None:
    visited = visit(name)
    page = visited.page
    view = page.locator("figure.view").filter(has=page.get_by_role("button", name="Clear"))
    told, clear = view.locator("output"), view.get_by_role("button", name="Clear")
    for digit, points in DRAWN.items():
        clear.focus()
        page.keyboard.press("Enter")
        expect(told).to_contain_text("An empty pad.")
        draw(page, view.locator("canvas").first, points)
        expect(told).to_contain_text(f"Your drawing. The network reads: {digit},")
    before = outputs(view)
    view.get_by_label("Move to the right").focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    expect(told).to_contain_text("Your drawing, moved by 6 to the right and 0 down.")
    assert np.abs(outputs(view) - before).max() > 0.1
    view.get_by_label("Stored image").focus()
    page.keyboard.press("End")
    expect(told).to_contain_text(re.compile(f"Stored image {stored} of {stored}, a \\d, moved by 6 to the right"))
    assert not visited.errors and not visited.elsewhere


@pytest.mark.parametrize("moves", [True, False])
def test_a_still_stands_where_nothing_moves(moves: bool, visit: Callable[..., Visit]) -> None:
    for name in MOVING:
        page = visit(name, width=680, java_script_enabled=moves).page
        if moves:
            page.emulate_media(media="print")
        for view in page.locator("figure.view").all():
            expect(view.locator(".still img")).to_be_visible()
            expect(view.locator("canvas").first).to_be_hidden()
            expect(view.locator("input.main")).to_be_hidden()
