"""Prints the built book as one PDF: each page by Chromium, then joined, with contents and page numbers."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape, unescape
from itertools import groupby
from pathlib import Path
from urllib.parse import quote, unquote, urldefrag

import yaml
from pypdf import PageObject, PdfReader, PdfWriter
from pypdf.generic import ArrayObject, Destination, FloatObject, NameObject, NullObject, TextStringObject

from innerbook import settings
from innerbook.build import pages
from innerbook.memory import atomic_write

BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
SECONDS = 180  # for a page to be printed
# The title and the contents, and the numbers that are laid over the pages. A4, in millimetres.
_STYLE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>
@page {{ size: A4; margin: {margin}; }}
body {{ font: 11pt/1.5 sans-serif; margin: 0; }}
h1 {{ font-size: 30pt; margin: 60mm 0 5mm; }} h2 {{ font-size: 18pt; break-before: page; }}
h3 {{ font-size: 11pt; margin: 5mm 0 1mm; break-after: avoid; }}
p {{ display: flex; align-items: baseline; gap: 2mm; margin: 0; break-inside: avoid; }}
a {{ color: inherit; text-decoration: none; }} p i {{ flex: 1; border-bottom: 1px dotted #888; }}
.number {{ height: 296mm; break-after: page; position: relative; font-size: 9pt; color: #444; }}
.number span {{ position: absolute; bottom: 8mm; width: 100%; text-align: center; }}
</style>{body}</html>"""


@dataclass(frozen=True)
class Chapter:
    """A page as it is printed: its part's caption, empty before the first, and its title with its number."""

    name: str
    part: str
    title: str


def find_browser() -> str:
    """Return the path of a browser of Chromium's family.

    Raises:
        FileNotFoundError: there is none.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise FileNotFoundError(f"expected a browser that prints, one of {', '.join(BROWSERS[:6])}; there is none")
    return found


def make(root: Path) -> Path:
    """Print the built book in `root` into ``_build/inner-view.pdf``, and return its path.

    Raises:
        FileNotFoundError: there is no built book, or no browser.
        subprocess.CalledProcessError: the browser failed.
    """
    site, browser = root / "_build" / "html", find_browser()
    if not (site / "index.html").exists():
        raise FileNotFoundError("expected the built book in _build/html; there is none: run `make book` first")
    chapters = list(_chapters(root))
    with tempfile.TemporaryDirectory() as folder:
        printed = [Path(folder) / f"{i}.pdf" for i in range(len(chapters))]
        sources = [site / f"{chapter.name}.html" for chapter in chapters]
        anchors = _anchors(sources)
        with ThreadPoolExecutor(settings.usable_cores()) as workers:
            jobs = zip(sources, printed, (anchors[source] for source in sources), strict=True)
            list(workers.map(lambda job: print_page(browser, *job), jobs))
        path = root / "_build" / "inner-view.pdf"
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            _join(browser, site, chapters, [PdfReader(p) for p in printed], Path(folder)).write(file)
    return path


def _chapters(root: Path) -> Iterator[Chapter]:
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    titles, numbers = pages.titles(root), pages.chapter_numbers(root)
    parts = {chapter["file"]: part["caption"] for part in toc.get("parts", []) for chapter in part["chapters"]}
    for name in pages.toc_names(root):
        number = f"{numbers[name]}. " if name in numbers else ""
        yield Chapter(name, parts.get(name, ""), number + titles[name])


def _anchors(sources: list[Path]) -> dict[Path, set[str]]:
    """Return for each page at which of its places links of the book end, its own ones included."""
    found: dict[Path, set[str]] = {source: set() for source in sources}
    for source in sources:
        for file, place in re.findall(r'href="([^"#:]*)#([^"]+)"', source.read_text(encoding="utf-8")):
            target = Path(os.path.normpath(source.parent / unquote(file))) if file else source
            if target in found:
                found[target].add(unquote(unescape(place)))
    return found


def print_page(browser: str, source: Path, target: Path, anchors: Collection[str] = ()) -> None:
    """Print a page on disk, with all that is folded on it.

    Args:
        browser: as `find_browser` returns it.
        source: the page.
        target: the PDF.
        anchors: places of the page, by their ids, that the PDF shall have as named destinations.

    Raises:
        subprocess.CalledProcessError, subprocess.TimeoutExpired: the browser failed, or was not done in three minutes.
        FileNotFoundError: it said nothing, and printed nothing.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, _with_links(source, anchors) as page:
        command = [browser, "--headless", "--disable-gpu", f"--user-data-dir={profile}", "--no-pdf-header-footer"]
        command += ["--generate-pdf-document-outline", "--host-resolver-rules=MAP * ~NOTFOUND"]
        command += ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []  # for root, in a container
        command += [f"--print-to-pdf={target}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    if not target.exists():
        raise FileNotFoundError(f"expected {browser} to print {source.name}; it wrote nothing")


@contextmanager
def _with_links(source: Path, anchors: Collection[str]) -> Iterator[Path]:
    """Give a copy beside the page that links to its own places, for the browser names no other in a PDF."""
    if not anchors:
        yield source
        return
    links = "".join(f'<a href="#{escape(quote(anchor))}"></a>' for anchor in sorted(anchors))
    with tempfile.NamedTemporaryFile("w", suffix=".html", dir=source.parent, encoding="utf-8", delete=False) as copy:
        copy.write(source.read_text(encoding="utf-8") + f"<div hidden>{links}</div>")
    try:
        yield Path(copy.name)
    finally:
        Path(copy.name).unlink()


def _join(browser: str, site: Path, chapters: list[Chapter], printed: list[PdfReader], folder: Path) -> PdfWriter:
    """Return the book: title, contents, chapters, with page numbers, bookmarks and links between its pages."""
    lengths = [len(reader.pages) for reader in printed]
    # The contents name page numbers, which wait for the contents' own length.
    front = _contents(browser, site, chapters, [0] * len(chapters), folder)
    starts = [len(front.pages) + sum(lengths[:i]) for i in range(len(chapters))]
    front = _contents(browser, site, chapters, starts, folder)
    book = PdfWriter()
    book.append(front, import_outline=False)
    for part, members in groupby(zip(chapters, printed, starts, strict=True), lambda member: member[0].part):
        parent = None
        for chapter, reader, start in members:
            book.append(reader, import_outline=False)
            if part and parent is None:
                parent = book.add_outline_item(title=part, page_number=start)
            book.add_outline_item(title=chapter.title, page_number=start, parent=parent)
    names = [{name[1:]: place for name, place in reader.named_destinations.items()} for reader in printed]
    pages_at = [(site / f"{chapter.name}.html").as_posix() for chapter in chapters]
    _link(book, dict(zip(pages_at, zip(starts, names, printed, strict=True), strict=True)))
    _number(browser, book.pages, len(front.pages), folder)
    book.root_object[NameObject("/Lang")] = TextStringObject("en")
    book.page_mode = "/UseOutlines"
    book.add_metadata({"/Title": "Inner View", "/Author": "the Inner View authors"})
    return book


def _contents(browser: str, site: Path, chapters: list[Chapter], starts: list[int], folder: Path) -> PdfReader:
    lines = ["<h1>Inner View</h1><div>What hidden layers know: executable tutorials</div><h2>Contents</h2>"]
    for part, members in groupby(zip(chapters, starts, strict=True), lambda member: member[0].part):
        lines += [f"<h3>{escape(part)}</h3>"] if part else []
        for chapter, start in members:
            address = (site / f"{chapter.name}.html").as_uri()
            lines.append(f'<p><a href="{escape(address)}">{escape(chapter.title)}</a> <i></i> {start + 1}</p>')
    return _printed(browser, "\n".join(lines), "25mm 22mm", folder)


def _number(browser: str, book: Iterable[PageObject], unnumbered: int, folder: Path) -> None:
    """Lay the numbers over all pages but the first ones."""
    sheets = list(book)
    body = "".join(f'<div class="number"><span>{i}</span></div>' for i in range(unnumbered + 1, len(sheets) + 1))
    for sheet, number in zip(sheets[unnumbered:], _printed(browser, body, "0", folder).pages, strict=False):
        sheet.merge_page(number)
        sheet.compress_content_streams()  # which merging has unpacked


def _printed(browser: str, body: str, margin: str, folder: Path) -> PdfReader:
    source, target = folder / "own.html", folder / "own.pdf"
    source.write_text(_STYLE.format(title="Inner View", margin=margin, body=body), encoding="utf-8")
    print_page(browser, source, target)
    return PdfReader(target)


def _link(book: PdfWriter, printed: dict[str, tuple[int, dict[str, Destination], PdfReader]]) -> None:
    """Let links to pages of the book lead to where these are printed, and other files of the site nowhere.

    `printed` has for each page's path the sheet on which it begins, and its named places on its own sheets.
    """
    beginnings = {start: path for path, (start, _, _) in printed.items()}
    path = ""
    for number, sheet in enumerate(book.pages):
        path = beginnings.get(number, path)
        for reference in sheet.get("/Annots", []):
            link = reference.get_object()
            address, place = urldefrag(str(link.get("/A", {}).get("/URI", "")))
            if address.startswith("file:"):
                del link["/A"]
                target = unquote(re.sub(r"^file://(?=/)", "", address))
            elif isinstance(link.get("/Dest"), str):  # a place on the same page, of which other pages may have one, too
                target, place = path, str(link["/Dest"]).removeprefix("/")
            else:
                continue
            if target in printed:
                link[NameObject("/Dest")] = _place(book, unquote(place), *printed[target])


def _place(book: PdfWriter, name: str, start: int, names: dict[str, Destination], reader: PdfReader) -> ArrayObject:
    """Return a named place of a page as a destination in the book, or the page's beginning if it has none so named."""
    found = names.get(name)
    within = None if found is None else reader.get_destination_page_number(found)
    if found is None or within is None:
        return ArrayObject([book.pages[start].indirect_reference, NameObject("/Fit")])
    left, top = (FloatObject(found[key]) for key in ("/Left", "/Top"))
    return ArrayObject([book.pages[start + within].indirect_reference, NameObject("/XYZ"), left, top, NullObject()])
