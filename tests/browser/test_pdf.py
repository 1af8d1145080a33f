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
    links = {"book/index": "", "book/one/alpha": "../index.html#top", "book/one/gamma": "../genindex.html"}
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nparts:\n- caption: Part one\n  chapters:\n"
        "  - file: book/one/alpha\n  - file: book/one/gamma\n"
    )
    for name, link in links.items():
        source, made = tmp_path / f"{name}.md", tmp_path / "_build" / "html" / f"{name}.html"
        for path in (source, made):
            path.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(f"# Title of {name[-5:]}\n")
        body = f"<p>Text of {name}.</p>" + (f'<p><a href="{link}">a link</a></p>' if link else "")
        made.write_text(f'<!DOCTYPE html><p style="break-after: page">First.</p>{body}')
    (tmp_path / "_build" / "html" / "index.html").write_text("")
    path = pdf.make(tmp_path)
    assert path.parent == tmp_path / "_build"
    return PdfReader(path)


def starts(book: PdfReader) -> dict[str, int]:
    """The sheets on which the pages begin, by their text on the sheet after."""
    texts = [sheet.extract_text() for sheet in book.pages]
    return {name: i - 1 for name in ("index", "alpha", "gamma") for i, text in enumerate(texts) if f"{name}." in text}


def test_contents_bookmarks_and_links_lead_to_the_pages(book: PdfReader) -> None:
    at = starts(book)
    assert len(at) == 3 and len(book.pages) == 2 + 6
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
    # A link of the contents for each page; on the first page one to the index; the other leads nowhere in the book.
    links = [link.get_object() for sheet in book.pages for link in sheet.get("/Annots", [])]
    assert [_sheet(book, link["/Dest"]) for link in links if "/Dest" in link] == [*at.values(), at["index"]]
    assert "file:" not in str(links)


def _sheet(book: PdfReader, target: list[IndirectObject]) -> int:
    return [sheet.indirect_reference for sheet in book.pages].index(target[0])


def test_pages_after_the_contents_are_numbered(book: PdfReader) -> None:
    numbers = [sheet.extract_text().split()[-1] for sheet in book.pages]
    assert numbers[2:] == [str(i) for i in range(3, len(book.pages) + 1)]
