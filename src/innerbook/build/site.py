"""Makes the site stand alone: nothing comes from elsewhere, and no page carries what it does not show.

Jupyter Book's theme brings an icon library of 1.5 MB, of which pages show a dozen icons, and what runs code on a server
that this book has not. Some of its labels and marks also stand in the way of readers who listen or use the keyboard.
What the theme lacks is added: a page's head says what the page asks, and a term's link what the term means.
"""

import functools
import re
import textwrap
from base64 import b64decode, b64encode
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
from docutils import nodes
from PIL import Image
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from innerbook.build import mathml
from innerbook.memory import atomic_write

_THEME, _LIBRARY = "theme/pydata_sphinx_theme/static", "scripts/fontawesome.js"
# Thebe runs code on a server; design-tabs switches tabs, of which the book has none.
_UNUSED = re.compile(r"thebe|mathjax|design-tabs|^window\.MathJax", re.I)
_THEBE = re.compile(r'\s*<script type="text/x-thebe-config">.*?</script>\s*<script>kernelName = [^<]*</script>', re.S)
_ICON = re.compile(r'<(i|span) class="([^"]*\bfa-([a-z-]+)[^"]*)"([^>]*)></\1>')
_STYLES = {"solid", "regular", "brands", "lg"}
_LARGE = 50_000  # bytes; smaller pictures are left as they are
_STILL = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]{20000,})")  # in the page itself
# Distances have the names of their symbols in tables and boxes; code, which is in spans, keeps them as they are.
_SYMBOL = re.compile(r"\bm_([rig])\b")
_MEASURE = re.compile(r"(<(?:th|td|dt|dd|br|li)\b[^>]*>)([^<]*\bm_[rig]\b[^<]*)")
_DARK = re.compile(r'<img (?=[^>]*\bdark-figure\b)([^>]*src="[^"]*/([^"/]+)")')
_ARTICLE = '<article class="bd-article">'
_LINK = re.compile(r'(<a class="reference internal" href="[^"#]*#([^"]+)")(?: title="([^"]*)")?>')
# The theme's text, and what takes its place.
_BETTER = {
    # A button is called what is written on it.
    ' title="Search" aria-label="Search"': ' title="Search"',
    '<summary aria-label="Toggle hidden content">': "<summary>",
    ' role="doc-biblioentry"': ' role="listitem"',  # of a list
    '<meta name="viewport" content="width=device-width, initial-scale=1" />': "",
    '<meta name="viewport" content="width=device-width, initial-scale=1"/>': "",
}


def lighten(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Leave out of a page the scripts and styles that it does not need, and marks that it would hold twice."""
    for kind in ("script_files", "css_files"):
        wanted = {(str(f.filename), f.attributes.get("body")): f for f in context[kind]}  # each once
        context[kind] = [f for (name, body), f in wanted.items() if not _UNUSED.search(f"{name} {body}")]
    if context.get("body"):
        body = re.sub(r'<section id="(?:exercise|solution)-content">', "<section>", context["body"])
        body = _MEASURE.sub(lambda text: text[1] + _SYMBOL.sub(r"<i>m</i><sub>\1</sub>", text[2]), body)
        body = _DARK.sub(functools.partial(_when_shown, app.env), body)
        context["body"] = _THEBE.sub("", body)


def _when_shown(env: BuildEnvironment, image: re.Match[str]) -> str:
    """Let the browser fetch a figure of the dark theme when it is shown; its place is kept free until then."""
    files = {name: path for path, (_, name) in env.images.items()}
    with Image.open(Path(env.srcdir) / files[image[2]]) as picture:
        width, height = picture.size
    return f'<img loading="lazy" width="{width}" height="{height}" {image[1]}'


def explain(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Let the link of a term carry what the term means, and that of a citation which paper it is."""

    def told(link: re.Match[str]) -> str:
        means = link[3] if link[2].startswith("cite") else escape(_meanings(app.env).get(link[2], ""))
        return f'{link[1]} data-means="{means}">' if means else link[0]

    if context.get("body"):
        context["body"] = _LINK.sub(told, context["body"])


@functools.cache
def _meanings(env: BuildEnvironment) -> dict[str, str]:
    """Return the first paragraph on each term of the glossary, by the place of the term on its page."""
    pages = {page for _, _, kind, page, _, _ in env.get_domain("std").get_objects() if kind == "term"}
    found: dict[str, str] = {}
    for page in pages:
        for item in env.get_doctree(page).findall(nodes.definition_list_item):
            text = next((paragraph.astext() for paragraph in item.findall(nodes.paragraph)), "")
            found |= {place: text for term in item.findall(nodes.term) for place in term["ids"]}
    return found


def describe(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Tell searches and previews, in a page's head, what it asks; and its address and picture, where it has one."""
    if doctree is None or not (text := question(doctree)):
        return
    title = next(doctree.findall(nodes.title)).astext()
    said = {"og:site_name": app.config.html_title, "og:title": title, "og:description": text}
    if site := app.config.html_baseurl.rstrip("/"):  # such addresses have to be whole
        said["og:url"] = f"{site}/{app.builder.get_target_uri(pagename)}"
        if picture := re.search(r'<img[^>]*? src="[^"]*(_images/[^"]+)"', context["body"]):
            said |= {"og:image": f"{site}/{picture[1]}", "twitter:card": "summary_large_image"}
    marks = [f'<meta name="description" content="{escape(text)}" />']
    marks += [f'<meta property="{name}" content="{escape(value)}" />' for name, value in said.items()]
    context["metatags"] = "\n    ".join([context.get("metatags", ""), *marks, ""])


def question(page: nodes.document) -> str:
    """Return what a page asks, 200 letters at most: how its first section of this name begins, or else the page."""
    sections = list(page.findall(nodes.section))
    chosen = [section for section in sections if section[0].astext() == "The question"] or sections[:1]
    begins = [each for section in chosen for each in section.children if isinstance(each, nodes.paragraph)]
    text = " ".join(begins[0].astext().split()) if begins else ""
    text = re.sub(r" \[[^][]+ \d{4}\]", "", text)  # papers lead nowhere there
    whole = re.match(r".{60,199}[.?!](?= |$)", text)  # as many sentences as there is room for
    return whole[0] if whole else textwrap.shorten(text, 200, placeholder=" …")


def list_index(app: Sphinx, doctree: nodes.document) -> None:
    """Let the contents end with the index, a page that Sphinx writes by itself."""
    parts = list(doctree.findall(addnodes.toctree)) if app.env.docname == app.config.root_doc else []
    if parts:
        parts[-1]["entries"].append(("Index", "genindex"))


def write_sitemap(app: Sphinx, exception: Exception | None) -> None:
    """Write, for searches, the list of all pages, if the address of the book is known."""
    site = app.config.html_baseurl.rstrip("/")
    if exception is not None or app.builder.format != "html" or not site:
        return
    pages = [f"{site}/{app.builder.get_target_uri(name)}" for name in sorted(app.env.found_docs)]
    lines = [f"  <url><loc>{escape(page)}</loc></url>" for page in pages]
    head = '<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    with atomic_write(Path(app.outdir) / "sitemap.xml") as temporary:
        temporary.write_text("\n".join([head, *lines, "</urlset>\n"]), encoding="utf-8")


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Go over the written pages: see `finish_page`. Then leave out what none of them shows, and pack photographs."""
    if exception is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    static = site / "_static"
    library = (Path(pydata_sphinx_theme.__file__).parent / _THEME / _LIBRARY).read_text(encoding="utf-8")
    paths = [path for path in site.rglob("*.html") if static not in path.parents]
    texts = {path: finish_page(path.read_text(encoding="utf-8"), library) for path in paths}
    shown = {name for text in texts.values() for name in re.findall(r"_images/([\w.-]+)", text)}
    packed = {name: pack(site / "_images" / name) for name in sorted(shown)}
    for path, text in texts.items():
        with atomic_write(path) as temporary:
            now = re.sub(r"(?<=_images/)[\w.-]+", lambda name: packed[name[0]], text)
            temporary.write_text(now, encoding="utf-8")
    old = {path for path in (site / "_images").glob("*") if path.name not in packed.values()}
    for path in old | {*static.glob(f"{_LIBRARY}*"), *static.rglob("*.map")}:
        path.unlink()


def pack(path: Path) -> str:
    """Write a large photograph anew, as WebP, if that takes less than half, and return the name of the file to show.

    Pictures that one can see through, and drawings, which PNG packs well, are left as they are.
    """
    target = path.with_suffix(".webp")
    if path.suffix != ".png" or not path.exists() or path.stat().st_size < _LARGE:
        return path.name
    with Image.open(path) as picture:
        if picture.mode not in ("RGB", "RGBA") or picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            return path.name
        packed = _webp(picture)
    if 2 * len(packed) >= path.stat().st_size:
        return path.name
    with atomic_write(target) as temporary:
        temporary.write_bytes(packed)
    return target.name


def _webp(picture: Image.Image) -> bytes:
    packed = BytesIO()
    picture.convert("RGB").save(packed, "WEBP", quality=90)
    return packed.getvalue()


def _smaller(still: re.Match[str]) -> str:
    """Return a picture that stands in the page itself as WebP, if that takes less than half."""
    packed = b64encode(_webp(Image.open(BytesIO(b64decode(still[1]))))).decode()
    return f"data:image/webp;base64,{packed}" if 2 * len(packed) < len(still[1]) else still[0]


def finish_page(text: str, library: str) -> str:
    """Return a page with its icons as pictures of their own, without the icon library, and with better labels.

    Args:
        text: the page, as the theme writes it.
        library: the theme's icon library, a script that holds the icons' outlines.

    Raises:
        ValueError: the page shows an icon that the library does not hold.
    """
    text = re.sub(rf'\s*(<!--[^>]*custom icons -->)?\s*<script defer src="[^"]*{_LIBRARY}[^"]*"></script>', "", text)
    for old, new in _BETTER.items():
        text = text.replace(old, new)
    if _ARTICLE in text:  # the link for the keyboard leads past the header's buttons
        text = text.replace('href="#main-content"', 'href="#article"')
        text = text.replace(_ARTICLE, f'{_ARTICLE[:-1]} id="article" tabindex="-1">')
    text = _STILL.sub(_smaller, text)
    return _ICON.sub(lambda found: _svg(found[2], found[4], library), text)


def _svg(classes: str, attributes: str, library: str) -> str:
    name = next(word for word in re.findall(r"\bfa-([a-z-]+)", classes) if word not in _STYLES)
    width, height, path = _outline(name, library)
    attributes = re.sub(r'\s+title="[^"]*"', "", attributes)  # the button has a name of its own
    view = f'class="svg-inline--fa {" ".join(classes.split())}"{attributes} viewBox="0 0 {width} {height}"'
    return f'<svg {view} aria-hidden="true"><path fill="currentColor" d="{path}"></path></svg>'


@functools.cache
def _outline(name: str, library: str) -> tuple[str, str, str]:
    """Return an icon's width, height and outline: in the library, ``rocket:[512,512,[],"f135","M156..."]``."""
    entry = rf'[{{,]"?{name}"?:\[(\d+),(\d+),\[[^\]]*\],"[0-9a-f]+","([^"]+)"\]'
    found = re.findall(entry, library)
    if not found:
        raise ValueError(f"expected an icon of the theme's library; received {name}")
    return found[-1]  # the library names regular icons before solid ones


def setup(app: Sphinx) -> None:
    """Register with Sphinx what this module does."""
    app.add_html_math_renderer("mathml", (mathml.visit_inline, None), (mathml.visit_block, None))
    app.connect("doctree-read", list_index, priority=400)  # before Sphinx takes down the contents
    app.connect("html-page-context", explain)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", lighten, priority=900)  # after all others have added theirs
    app.connect("build-finished", write_sitemap)
    app.connect("build-finished", finish, priority=900)
