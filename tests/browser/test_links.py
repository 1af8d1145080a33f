"""Each link of the built book leads somewhere: a page of the book, a place on it, a file."""

from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from .conftest import PAGES, SITE

LEADS = {"a": "href", "area": "href", "link": "href", "img": "src", "script": "src", "iframe": "src", "source": "src"}


@dataclass
class Links(HTMLParser):
    """What a page links to, the places on it, and what its head says."""

    to: list[str] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    head: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.places |= {place for place in (found.get("id"), found.get("name") if tag == "a" else None) if place}
        if (link := found.get(LEADS.get(tag, ""))) is not None:
            self.to.append(link)
        if tag == "meta" and (name := found.get("name") or found.get("property")):
            self.head[name] = found.get("content") or ""


@cache
def read(path: Path) -> Links:
    links = Links()
    links.feed(path.read_text("utf-8"))
    return links


def broken(path: Path) -> list[str]:
    """Return the links of a page to what is not there; those to other hosts are not looked at."""
    missing = []
    for link in read(path).to:
        address = urlsplit(urljoin(path.as_uri(), link))
        if address.scheme != "file":
            continue
        target = Path(unquote(address.path))
        target = target / "index.html" if target.is_dir() else target
        place = unquote(address.fragment)
        if not target.is_file() or (place and target.suffix == ".html" and place not in read(target).places):
            missing.append(f"{path.relative_to(SITE)}: {link}")
    return missing


def test_links_lead_somewhere(site: Path) -> None:
    paths = sorted(path for path in site.rglob("*.html") if site / "_static" not in path.parents)
    assert len(paths) >= len(PAGES)
    assert [link for path in paths for link in broken(path)] == []
    assert sum(len(read(path).to) for path in paths) > 50 * len(PAGES), "hardly a link was found"


def test_a_broken_link_is_seen(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.SITE", tmp_path)
    (tmp_path / "there.html").write_text('<p id="place">There.</p>')
    links = ["there.html#place", "#top", "there.html#no-place", "nowhere.html", "https://example.org/nowhere"]
    page = tmp_path / "page.html"
    page.write_text('<p id="top">' + "".join(f'<a href="{link}">x</a>' for link in links))
    assert broken(page) == [f"page.html: {link}" for link in links[2:4]]


def test_each_page_tells_searches_what_it_asks(site: Path) -> None:
    heads = [read(site / f"{name}.html").head for name in PAGES if name not in ("genindex", "search")]
    told = [head.get("description", "") for head in heads]
    assert all(20 < len(text) <= 200 for text in told) and len(set(told)) == len(told)
    assert all(head["og:title"] and head["og:description"] == head["description"] for head in heads)
