"""A word of the glossary tells what it means, and a citation which paper it is, to whoever points at it."""

from collections.abc import Callable

from playwright.sync_api import Locator, expect

from .conftest import Visit

CHAPTER = "book/2-probes/linear-probes"
MEANS = "What a unit gives out for an input."


def shown(link: Locator) -> str:
    """Return what shows below a link, nothing if nothing does."""
    said = link.evaluate("link => getComputedStyle(link, '::after').content")
    return "" if said == "none" else said.strip('"')


def word(visited: Visit, text: str) -> Locator:
    return visited.page.locator("article a[data-means]", has_text=text).first


def test_a_word_is_explained_to_the_pointer_and_the_keyboard_until_escape(visit: Callable[..., Visit]) -> None:
    visited = visit(CHAPTER)
    link, keyboard = word(visited, "activations"), visited.page.keyboard
    assert shown(link) == ""
    link.hover()
    assert shown(link).startswith(MEANS)
    keyboard.press("Escape")
    assert shown(link) == ""
    visited.page.mouse.move(0, 0)
    link.hover()
    assert shown(link).startswith(MEANS), "it tells it again"
    visited.page.mouse.move(0, 0)
    word(visited, "Alain").focus()
    keyboard.press("Tab")
    expect(link).to_be_focused()
    assert shown(link).startswith(MEANS)
    keyboard.press("Escape")
    assert shown(link) == ""
    keyboard.press("Enter")
    visited.page.wait_for_url("**/glossary.html#term-activation")
    expect(visited.page.locator("#term-activation")).to_be_in_viewport()


def test_what_shows_stays_within_a_phone_and_a_tap_leads_on(visit: Callable[..., Visit]) -> None:
    visited = visit(CHAPTER, width=320, has_touch=True, is_mobile=True)
    for link in visited.page.locator("article a[data-means]").filter(visible=True).all():
        link.focus()
        visited.page.keyboard.press("Shift+Tab")
        visited.page.keyboard.press("Tab")
        assert shown(link) and visited.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    word(visited, "Alain").tap()
    visited.page.wait_for_url("**/bibliography.html#cite*alain2017")


def test_without_scripts_a_word_is_explained_too(visit: Callable[..., Visit]) -> None:
    link = word(visit(CHAPTER, java_script_enabled=False), "activations")
    link.hover()
    assert link.get_attribute("data-means", timeout=1_000) and shown(link).startswith(MEANS)


def test_the_contents_lead_to_the_index_which_holds_the_words(visit: Callable[..., Visit]) -> None:
    page = visit(CHAPTER).page
    page.locator("nav.bd-docs-nav a").get_by_text("Index", exact=True).click()
    page.wait_for_url("**/genindex.html")
    page.locator("article a").get_by_text("condition number", exact=True).click()
    page.wait_for_url("**/glossary.html#term-condition-number")
