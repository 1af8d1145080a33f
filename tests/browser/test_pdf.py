"""The book as one PDF, of a small site."""

from typing import Any

import pytest
from playwright.sync_api import Browser
from pypdf import PdfReader
from pypdf.generic import Destination, IndirectObject

from innerbook.build import pdf


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> PdfReader:
    # The browser is there, or the test is skipped.
    tmp_path = tmp_path_factory.mktemp("site")
    links = {
        "book/index": [],
        "book/one/alpha": ["../index.html", "#far-place", "gamma.html#far-place"],
        "book/one/gamma": ["../genindex.html", "#far-place", "alpha.html#nowhere"],
    }
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nparts:\n- caption: Part one\n  chapters:\n"
        "  - file: book/one/alpha\n  - file: book/one/gamma\n"
    )
    for name, ends in links.items():
        source, made = tmp_path / f"{name}.md", tmp_path / "_build" / "html" / f"{name}.html"
        for path in (source, made):
            path.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(f"# Title of {name[-5:]}\n")
        body = f"<p>Text of {name}.</p>" + "".join(f'<p><a href="{link}">a link</a></p>' for link in ends)
        far = '<p style="break-before: page">Last.</p><p id="far-place">Far.</p>'
        made.write_text(f'<!DOCTYPE html><p style="break-after: page">First.</p>{body}{far}')
    (tmp_path / "_build" / "html" / "index.html").write_text("")
    path = pdf.make(tmp_path)
    assert path.parent == tmp_path / "_build"
    assert len(list(tmp_path.rglob("*.html"))) == 4  # no copy is left
    return PdfReader(path)


def starts(book: PdfReader) -> dict[str, int]:
    """The sheets on which the pages begin, by their text on the sheet after."""
    texts = [sheet.extract_text() for sheet in book.pages]
    return {name: i - 1 for name in ("index", "alpha", "gamma") for i, text in enumerate(texts) if f"{name}." in text}


def test_contents_bookmarks_and_links_lead_to_the_pages(book: PdfReader) -> None:
    at = starts(book)
    assert len(at) == 3 and len(book.pages) == 2 + 9
    contents = " ".join(book.pages[1].extract_text().split())
    for title, start in zip(("index", "alpha", "gamma"), at.values(), strict=True):
        assert f"{title} {start + 1}" in contents
    marks: list[tuple[str, int]] = []
    waiting: list[Any] = list(book.outline)
    while waiting:
        mark = waiting.pop(0)
        if isinstance(mark, list):
            waiting = mark + waiting
        elif isinstance(mark, Destination):
            marks.append((str(mark.title), book.get_destination_page_number(mark) or 0))
    assert [page for _, page in marks] == [at["index"], at["alpha"], at["alpha"], at["gamma"]]
    assert marks[1][0] == "Part one"
    # A link of the contents for each page; then those of the pages, each to its place, and one to where there is none.
    links = [link.get_object() for sheet in book.pages for link in sheet.get("/Annots", [])]
    ends = [link["/Dest"] for link in links if "/Dest" in link]
    own = [at["index"], at["alpha"] + 2, at["gamma"] + 2, at["gamma"] + 2, at["alpha"]]
    assert [_sheet(book, end) for end in ends] == [*at.values(), *own]
    heights = [float(end[3]) for end in ends if end[1] == "/XYZ"]
    assert len(heights) == 3 and len(set(heights)) == 1 and heights[0] < 800  # below the one line of the sheet
    assert "file:" not in str(links)


def _sheet(book: PdfReader, target: list[IndirectObject]) -> int:
    return [sheet.indirect_reference for sheet in book.pages].index(target[0])


def test_pages_after_the_contents_are_numbered(book: PdfReader) -> None:
    numbers = [sheet.extract_text().split()[-1] for sheet in book.pages]
    assert numbers[2:] == [str(i) for i in range(3, len(book.pages) + 1)]
