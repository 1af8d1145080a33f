"""What a reader does with the questions of a page: answer, see, come back, start over."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from .conftest import ROOT, Visit

CHAPTER = "book/3-maps/watching"
NUMBER, CHOICE = "Other digits, after training", "Half of the weights zero"
REFUSED = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("not here", "SecurityError"); }
})"""


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What the page must say of the two answers below, by the build's own claims."""
    claims = {c["id"]: c for c in json.loads((ROOT / "_build" / "claims.json").read_text("utf-8"))}
    share = claims["C2"]["measured"]["activity of other digits on them, layer 1"]["median"]
    fewer = claims["C4"]["holds"]["zeroing half of the weights leaves at least a fifth fewer carriers"]
    half = claims["C4"]["measured"]["carriers in layer 1 with half of the weights zero"]["median"]
    full = claims["C4"]["measured"]["carriers in layer 1, no dropout"]["median"]
    right = ", and that is right" if fewer >= 4 else ". Right is “it falls by less than a fifth, or not at all”"
    return [
        f"{NUMBER}. You said 40%. Measured: {share:.0%}.",
        f"{CHOICE}. You said “it falls by a fifth or more”{right}. "
        f"Measured: {half:.0%} of the units are carriers, {full:.0%} with all weights.",
    ]


def answer(page: Page) -> None:
    page.get_by_role("group", name="What share of their activity").get_by_label("Your prediction").fill("40")
    page.get_by_role("radio", name="it falls by a fifth or more").check()


def test_answers_are_kept_and_set_against_what_was_measured(visit: Callable[..., Visit], said: list[str]) -> None:
    visited = visit(CHAPTER)
    page = visited.page
    back = page.locator(".predicted .said p")
    assert back.count() == 0
    answer(page)
    page.reload()
    expect(page.locator("fieldset.predict input").first).to_have_value("40")
    expect(page.get_by_role("radio", name="it falls by a fifth or more")).to_be_checked()
    expect(page.get_by_role("radio", name="it falls by a fifth or more")).to_be_enabled()
    assert [" ".join(line.split()) for line in back.all_inner_texts()] == said
    back.first.scroll_into_view_if_needed()  # who has come back to it has made up their mind
    first, second, third = page.locator("fieldset.predict").all()
    expect(first.locator("input")).to_be_disabled()
    expect(second.locator("input")).to_be_enabled()
    expect(first.locator("output")).to_have_text(said[0])
    assert not visited.errors


@pytest.mark.parametrize("refused", [False, True])
def test_by_keyboard_and_where_nothing_may_be_kept(refused: bool, visit: Callable[..., Visit], said: list[str]) -> None:
    visited = visit(CHAPTER)
    page = visited.page
    if refused:
        page.add_init_script(REFUSED)
        page.reload()
    see = page.get_by_role("button", name="See what was measured")
    see.press("Enter")
    expect(page.locator(".see output")).to_contain_text("First say what you expect")
    page.locator("fieldset.predict input").first.fill("140")
    see.press("Enter")
    expect(see).to_be_visible()  # no share is more than all
    answer(page)
    see.press("Enter")
    told = page.locator("fieldset.predict output:not(:empty)")
    assert [" ".join(line.split()) for line in told.all_inner_texts()] == said
    again = page.get_by_role("button", name="Start over")
    expect(again).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("fieldset.predict input").first).to_be_focused()
    expect(page.locator("fieldset.predict input").first).to_have_value("")
    assert page.locator(".predicted .said p").count() == told.count() == 0
    assert refused or not visited.errors  # the theme's own script stumbles where nothing may be kept


def test_a_line_is_drawn_and_kept_and_set_against_the_measured_one(visit: Callable[..., Visit]) -> None:
    visited = visit("book/2-probes/linear-probes")
    page = visited.page
    question = page.locator("fieldset.predict")
    plot, see = question.locator("> svg"), page.get_by_role("button", name="See what was measured")
    assert plot.locator(".given circle").count() == 4 and plot.locator(".yours circle").count() == 0
    slider = question.get_by_role("slider", name="layer 1")
    for _ in range(5):
        slider.press("ArrowRight")
    expect(plot.locator(".yours circle")).to_have_count(1)
    see.press("Enter")
    expect(page.locator(".see output")).to_contain_text("First say what you expect")  # three places have no value
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.95 * box["width"], box["y"] + 0.8 * box["height"], steps=40)
    page.mouse.up()
    drawn = [float(input.input_value()) for input in question.get_by_role("slider").all()]
    assert drawn == sorted(drawn, reverse=True) and drawn[0] - drawn[-1] > 30
    page.reload()
    assert [float(input.input_value()) for input in question.get_by_role("slider").all()] == drawn
    see.press("Enter")
    expect(slider).to_be_disabled()
    hidden = question.locator("[hidden].measured").text_content() or ""
    measured = [f"{float(value):.2f}" for value in hidden.split()]
    places = ["pixels", "layer 1", "layer 2", "layer 3"]
    yours = ", ".join(f"{place} {0.5 + value / 200:.2f}" for place, value in zip(places, drawn, strict=True))
    found = ", ".join(map(" ".join, zip(places, measured, strict=True)))
    told = f"Before training. You drew: {yours}. Measured: {found}."
    expect(question.locator("output")).to_have_text(told)
    # Each measured point stands as high as its number says, on an axis from a half to one.
    heights = [float(dot.get_attribute("cy") or 0) for dot in plot.locator(".found circle").all()]
    low, high = (float(plot.locator("line").nth(i).get_attribute("y1") or 0) for i in (0, 4))
    for height, value in zip(heights, hidden.split(), strict=True):
        assert (height - low) / (high - low) == pytest.approx((float(value) - 0.5) / 0.5, abs=1e-6)
    assert page.locator(".predicted svg.line .found circle").count() == 4
    assert not visited.errors


def test_without_a_script_and_on_paper_the_question_is_text(visit: Callable[..., Visit]) -> None:
    plain = visit(CHAPTER, java_script_enabled=False).page
    printed = visit(CHAPTER).page
    printed.emulate_media(media="print")
    for page in (plain, printed):
        box = page.locator(".admonition", has_text="Make a prediction").first
        text = box.inner_text()
        assert "What share of their activity" in text and "it falls by a fifth or more" in text
        assert "Measured" not in text and box.locator("input, button, .measured").filter(visible=True).count() == 0
