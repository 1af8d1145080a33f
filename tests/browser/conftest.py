"""What the tests of the built book share: its pages, opened in Chromium with every host out of reach."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from innerbook.build.pages import toc_names

ROOT = Path(__file__).parents[2]
SITE = ROOT / "_build" / "html"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
PAGES = [*toc_names(ROOT), "genindex", "search"]


@dataclass
class Visit:
    """A page in a browser of its own, and what the browser remarked."""

    page: Page
    context: BrowserContext
    elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)  # what was read from disk, in bytes

    def note_request(self, request: Request) -> None:
        path = Path(unquote(urlsplit(request.url).path))
        if request.url.startswith("file:") and path.is_file():
            self.files[request.url] = path.stat().st_size
        if not request.url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")):
            self.elsewhere.append(request.url)

    def note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "index.html").exists():
        pytest.fail(f"these tests read the built book, and there is none: run `make book` first ({SITE} is not there)")
    return SITE


@pytest.fixture(scope="session")
def chromium(site: Path) -> Iterator[Browser]:
    if CHROMIUM is None:
        missing = "these tests need Chromium, on Debian the package chromium"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as player:
        arguments = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        browser = player.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, site: Path) -> Iterator[Callable[..., Visit]]:
    """Open a page of the book, by its name, from disk; further arguments are the browser's, such as its size."""
    opened: list[BrowserContext] = []

    def opens(name: str, address: str = SITE.as_uri(), width: int = 1280, **options: Any) -> Visit:
        options.setdefault("reduced_motion", "reduce")  # nothing to wait for
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        context.set_default_timeout(20_000)
        opened.append(context)
        visited = Visit(context.new_page(), context)
        context.on("request", visited.note_request)
        context.on("console", visited.note_message)
        visited.page.on("pageerror", lambda error: visited.errors.append(str(error)))
        visited.page.goto(f"{address}/{name}.html", wait_until="load")
        return visited

    yield opens
    for context in opened:
        context.close()
