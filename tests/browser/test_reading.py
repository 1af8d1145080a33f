"""What a reader does in the book: find a page, search, choose light or dark, open a solution, move a picture."""

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from innerbook.build.pages import titles, toc_names

from .conftest import ROOT, Visit

CHAPTER = "book/2-probes/linear-probes"
THEME = "document.documentElement.dataset.theme"


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Requests are no news."""


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """The address of the book on a server of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_next_leads_through_the_whole_book_and_previous_back(visit: Callable[..., Visit]) -> None:
    names = toc_names(ROOT)
    page = visit(names[0]).page
    for name in names[1:]:
        page.locator("a.right-next").click()
        page.wait_for_url(f"**/{name}.html", wait_until="domcontentloaded")
        assert page.locator("a.left-prev").count() == 1
    assert page.locator("a.right-next").count() == 0
    page.locator("a.left-prev").click()
    page.wait_for_url(f"**/{names[-2]}.html")


def test_the_sidebar_names_every_page(visit: Callable[..., Visit]) -> None:
    page = visit(CHAPTER).page
    links = page.locator("nav.bd-docs-nav a")
    assert links.count() == len(toc_names(ROOT)) + 1, "the index is no page of ours"
    links.get_by_text("A failed experiment").click()
    expect(page.locator("article h1")).to_contain_text(titles(ROOT)["book/2-probes/failed-experiment"])


@pytest.mark.parametrize("from_disk", [True, False])
def test_search_finds_pages(from_disk: bool, visit: Callable[..., Visit], served: str) -> None:
    visited = visit("book/index") if from_disk else visit("book/index", served)
    page = visited.page
    page.keyboard.press("Control+k")
    expect(page.locator("#pst-search-dialog")).to_be_visible()
    page.keyboard.type("condition number")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=condition+number")
    results = page.locator("#search-results li a")
    expect(results.first).to_be_visible()
    expect(page.locator("#search-results")).to_contain_text("Search finished")
    if not from_disk:  # a server lets the page read what it has found, and show it
        expect(page.locator("#search-results p.context").first).to_be_visible()
    results.first.click()
    expect(page.locator("article")).to_contain_text("condition number")
    assert not visited.elsewhere and not visited.errors, visited


def test_a_figure_is_shown_in_the_colours_of_the_theme_and_on_paper_light(visit: Callable[..., Visit]) -> None:
    for scheme in ("light", "dark"):
        page = visit(CHAPTER, color_scheme=scheme).page
        for media in ("screen", "print"):
            page.emulate_media(media=media)
            shown = scheme if media == "screen" else "light"
            pictures = page.locator("img.light-figure, img.dark-figure")
            seen = pictures.filter(visible=True)
            assert 2 * seen.count() == pictures.count() > 4
            assert seen.count() == page.locator(f"img.{shown}-figure").filter(visible=True).count()
        page.emulate_media(media="screen")
        first = page.locator(f"img.{scheme}-figure").first
        first.scroll_into_view_if_needed()
        expect(first).to_have_js_property("complete", True)
        corner = np.asarray(Image.open(BytesIO(first.screenshot())).convert("L"))[3, 3]
        assert corner > 250 if scheme == "light" else corner < 40
        assert first.get_attribute("alt")


def test_dark_and_light_are_kept_from_page_to_page(visit: Callable[..., Visit]) -> None:
    page = visit(CHAPTER, color_scheme="dark").page
    assert page.evaluate(THEME) == "dark", "the system's wish comes first"
    button = page.locator(".theme-switch-button").first
    seen = []
    for _ in range(3):
        button.click()
        seen.append(page.evaluate("document.documentElement.dataset.mode"))
        page.reload()
        assert page.evaluate("document.documentElement.dataset.mode") == seen[-1]
    assert sorted(seen) == ["auto", "dark", "light"]


def test_a_solution_is_folded_and_opens_by_keyboard(visit: Callable[..., Visit]) -> None:
    page = visit(CHAPTER).page
    solutions = page.locator(".solution")
    assert solutions.count() > 0
    for solution in solutions.all():
        expect(solution.locator("section").first).to_be_hidden()
    button = solutions.first.locator("button.toggle-button")
    button.focus()
    page.keyboard.press("Enter")
    expect(solutions.first.locator("section").first).to_be_visible()
    assert button.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Enter")
    expect(solutions.first.locator("section").first).to_be_hidden()


def test_the_notebooks_are_offered_and_are_there(visit: Callable[..., Visit], site: Path) -> None:
    page = visit(CHAPTER).page
    page.locator(".dropdown-download-buttons > button").focus()
    page.keyboard.press("Enter")
    links = page.locator(".dropdown-download-buttons a")
    assert links.count() == 2
    for link in links.all():
        expect(link).to_be_visible()
        path = Path(link.evaluate("link => decodeURIComponent(new URL(link.href).pathname)"))
        assert json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_code_can_be_copied(visit: Callable[..., Visit], served: str) -> None:
    page = visit(CHAPTER, served, permissions=["clipboard-read", "clipboard-write"]).page
    cell = page.locator("div.cell_input").filter(visible=True).first
    cell.hover()
    cell.locator("button.copybtn").click()
    assert page.evaluate("navigator.clipboard.readText()").strip() == cell.locator("pre").inner_text().strip()


def moving_pages() -> list[str]:
    """The pages that hold pictures that move, by their code."""
    texts = {name: (ROOT / f"{name}.md").read_text(encoding="utf-8") for name in toc_names(ROOT)}
    return [name for name, text in texts.items() if "from innerbook.interactive import" in text]


@pytest.mark.parametrize("name", moving_pages())
def test_pictures_move_by_keyboard_and_tell_what_they_show(name: str, visit: Callable[..., Visit]) -> None:
    page = visit(name).page
    for view in page.locator("figure.view").all():
        slider, told = view.locator("input.main"), view.locator("output")
        pictures = "figure => [...figure.querySelectorAll('canvas')].map(canvas => canvas.toDataURL())"
        slider.focus()
        page.keyboard.press("Home")
        before, said = view.evaluate(pictures), told.inner_text()
        page.keyboard.press("PageUp")
        assert view.evaluate(pictures) != before, "the picture has not moved"
        assert told.inner_text() != said
        page.keyboard.press("Home")
        assert told.inner_text() == said


def test_a_film_plays_only_when_asked_and_stops(visit: Callable[..., Visit]) -> None:
    page = visit("book/3-maps/watching").page
    view = page.locator("figure.view", has=page.locator("button")).first
    frame = view.locator("input.main")
    page.wait_for_timeout(600)
    assert frame.input_value() == "0"
    view.get_by_role("button", name="Play").click()
    page.wait_for_function("slider => slider.value > 0", arg=frame.element_handle())
    view.get_by_role("button", name="Pause").click()
    stopped = frame.input_value()
    page.wait_for_timeout(600)
    assert frame.input_value() == stopped


def test_nothing_moves_for_readers_who_ask_for_that(visit: Callable[..., Visit]) -> None:
    moving = """() => [...document.querySelectorAll("body *")].filter(element => {
      const style = getComputedStyle(element);
      const moves = style.animationName !== "none" || parseFloat(style.transitionDuration) > 0;
      return moves || style.scrollBehavior === "smooth";
    }).map(element => element.outerHTML.slice(0, 80))"""
    assert visit(CHAPTER).page.evaluate(moving) == []
    assert visit(CHAPTER, reduced_motion="no-preference").page.evaluate(moving) != []


def test_the_skip_link_leads_to_the_text(visit: Callable[..., Visit]) -> None:
    page = visit(CHAPTER).page
    page.keyboard.press("Tab")
    expect(page.locator("#pst-skip-link a")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('article') !== null")


def steps_without_focus(page: Page) -> list[str]:
    """Press Tab through the whole page; return where nothing shows that the keyboard is there, in the light or dark."""
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    hidden, steps = [], 0
    while steps < 1_000:
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
              const now = document.activeElement;
              if (now === document.body) return null;
              const card = now.closest(".sd-card"), box = (card ?? now).getBoundingClientRect();
              const seen = theme => {
                document.documentElement.dataset.theme = theme;
                return [now, ...(card ? [card] : [])].some(element => {
                  const style = getComputedStyle(element);
                  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
                });
              };
              const missing = ["dark", "light"].filter(theme => !(box.width && box.height && seen(theme)));
              return missing.map(theme => `${theme}: ${now.outerHTML.slice(0, 100)}`);
            }"""
        )
        if found is None:
            break
        steps += 1
        hidden += found
    assert 20 < steps < 1_000, f"{steps} steps by Tab"
    return hidden


@pytest.mark.parametrize("name", ["book/index", CHAPTER, "book/3-maps/maps", "book/report"])
def test_the_keyboard_goes_from_start_to_end_and_is_seen(name: str, visit: Callable[..., Visit]) -> None:
    assert steps_without_focus(visit(name, color_scheme="light").page) == []


def test_a_focus_that_is_not_seen_is_told(visit: Callable[..., Visit]) -> None:
    page = visit(CHAPTER).page
    page.add_style_tag(content="html[data-theme='dark'] :focus-visible { outline: none !important; }")
    hidden = steps_without_focus(page)
    assert hidden and all(step.startswith("dark: ") for step in hidden)


def test_on_a_phone_the_contents_open_and_lead_on(visit: Callable[..., Visit]) -> None:
    page = visit(CHAPTER, width=390, has_touch=True, is_mobile=True).page
    expect(page.locator("nav.bd-docs-nav")).to_be_hidden()
    page.locator(".primary-toggle").tap()
    expect(page.locator("nav.bd-docs-nav")).to_be_visible()
    page.locator("nav.bd-docs-nav a").get_by_text("A failed experiment").tap()
    page.wait_for_url("**/failed-experiment.html")


def test_what_was_moved_is_found_at_its_old_address(visit: Callable[..., Visit]) -> None:
    page = visit("book/a-probes/linear-probes").page
    page.wait_for_url(f"**/{CHAPTER}.html")
