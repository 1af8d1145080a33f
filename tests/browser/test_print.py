"""What a page looks like on paper: all of it, black on white."""

from collections.abc import Callable
from io import BytesIO

import pytest
from pypdf import PdfReader

from .conftest import Visit

CHAPTER = "book/2-probes/linear-probes"


def printed(visited: Visit) -> str:
    """Return the text of a page, printed as its style sheet says."""
    data = visited.page.pdf(prefer_css_page_size=True, print_background=True)
    return " ".join(" ".join(sheet.extract_text() for sheet in PdfReader(BytesIO(data)).pages).split())


def test_the_report_prints_all_columns_and_all_runs(visit: Callable[..., Visit]) -> None:
    visited = visit("book/report")
    text = printed(visited)
    rows = visited.page.locator(".full-width tbody tr").all()
    assert len(rows) > 60
    for row in rows:
        verdict = row.locator("td").first.inner_text()
        assert verdict and verdict in text
    assert text.count("Published:") == sum("Published:" in row.inner_text() for row in rows)
    assert "not reproduced" in text


@pytest.mark.parametrize(
    "name", ["book/report", "book/reference", CHAPTER, "book/3-maps/maps", "book/5-inversion/undone"]
)
def test_nothing_is_wider_than_the_paper(name: str, visit: Callable[..., Visit]) -> None:
    page = visit(name, width=680).page  # 180 mm, what the margins leave of A4
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    wide = page.evaluate(
        """() => [...document.querySelectorAll("article *")].filter(element => {
          const box = element.getBoundingClientRect();
          return box.width && box.right > innerWidth + 1 && !element.closest("pre, math, svg, .sd-d-none");
        }).map(element => `${Math.round(element.getBoundingClientRect().right)}: ${element.outerHTML.slice(0, 100)}`)"""
    )
    assert wide == []


def test_what_is_folded_prints_open_and_folds_again(visit: Callable[..., Visit]) -> None:
    visited = visit(CHAPTER)
    folded = "document.querySelectorAll('details:not([open])').length"
    hidden = "document.querySelectorAll('.toggle-hidden').length"
    before = [visited.page.evaluate(folded), visited.page.evaluate(hidden)]
    assert before[1] > 0
    solution = visited.page.locator(".solution section p:not(:has(math))").first.text_content() or ""
    assert " ".join(solution.split())[:40] in printed(visited)
    assert [visited.page.evaluate(folded), visited.page.evaluate(hidden)] == before


def test_the_dark_prints_light(visit: Callable[..., Visit]) -> None:
    page = visit(CHAPTER, color_scheme="dark").page
    colour = "getComputedStyle(document.querySelector('article p')).color"
    assert "255" not in page.evaluate(colour) and page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
