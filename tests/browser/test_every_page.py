"""What holds of every page of the book, whatever it says."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from .conftest import PAGES, Visit

PHONES = (390, 320)
MOST_BYTES = 2_000_000
# Of the marks in the page, what a reader would stumble over. Names begin with what is wrong.
FAULTS = """() => {
  const all = selector => [...document.querySelectorAll(selector)], found = [];
  const ids = all("[id]").map(element => element.id);
  new Set(ids.filter((id, i) => ids.indexOf(id) < i)).forEach(id => found.push(`doubled id: ${id}`));
  all("img").forEach(image => {
    const alt = image.getAttribute("alt");
    if (!alt || /\\.(png|svg|webp|jpe?g)$/.test(alt)) found.push(`no description: ${image.src}`);
    if (image.loading === "lazy") return;  // for the dark, where it is looked at below
    if (!image.closest("noscript") && !image.naturalWidth) found.push(`no picture: ${image.src}`);
  });
  all("canvas").forEach(canvas => { if (!canvas.getAttribute("aria-label")) found.push("a canvas without a name"); });
  if (/\\\\[([]/.test(document.querySelector("main").innerText)) found.push("a formula is TeX still");
  all("math").forEach(formula => {
    if (!formula.getBoundingClientRect().width && formula.checkVisibility())
      found.push(`no formula: ${formula.getAttribute("alttext")}`);
  });
  all("i[class*='fa-'], span[class*='fa-']").forEach(icon => found.push(`no icon: ${icon.className}`));
  if (document.documentElement.lang !== "en") found.push("no language");
  if (all("h1:not(.onlyprint h1)").length !== 1) found.push("not one title");
  return found;
}"""
DARK_FIGURES = """async () => {
  const images = [...document.querySelectorAll(".dark-figure")], broken = [];
  for (const image of images) {
    image.loading = "eager";
    await image.decode().catch(() => broken.push(`no dark picture: ${image.src}`));
    if (image.naturalWidth !== Number(image.getAttribute("width"))) broken.push(`not so wide: ${image.src}`);
  }
  const light = document.querySelectorAll(".light-figure").length;
  return light === images.length ? broken : [...broken, `${light} light figures, ${images.length} dark ones`];
}"""
STRETCHED = """() => [...document.images].filter(image => {
  const {width, height} = image.getBoundingClientRect();
  const shape = width / height * image.naturalHeight / image.naturalWidth;
  return width > 20 && image.naturalWidth && Math.abs(shape - 1) > 0.05;
}).map(image => `stretched: ${image.className} ${image.src}`)"""
TOO_WIDE = """() => {
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide <= 0) return "";
  const beyond = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1);
  const last = beyond.pop();
  return `${wide} pixels: ${last ? last.outerHTML.slice(0, 100) : ""}`;
}"""


OPEN = """() => {
  document.querySelectorAll("details").forEach(folded => { folded.open = true; });
  document.querySelectorAll(".toggle-hidden .toggle-button").forEach(button => button.click());
}"""
# What all pages have alike: one page is looked at as a whole.
ALIKE = [["nav.bd-docs-nav"], [".highlight pre"]]
WHOLE = "book/2-probes/linear-probes"


def violations(visited: Visit, name: str, **options: Any) -> list[str]:
    """Return what axe calls serious or critical, a line for each element."""
    context = {"include": [["body"]], "exclude": [] if name == WHOLE else ALIKE}
    options |= {"resultTypes": ["violations"], "preload": False}
    found = Axe().run(visited.page, context=context, options=options).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:120]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("name", PAGES)
def test_page(name: str, visit: Callable[..., Visit]) -> None:
    visited = visit(name, color_scheme="light")
    faults = [f"elsewhere: {url}" for url in visited.elsewhere] + [f"console: {error}" for error in visited.errors]
    weight = sum(visited.files.values())
    faults += [f"heavy: {weight} bytes"] if weight > MOST_BYTES else []
    faults += visited.page.evaluate(FAULTS)
    visited.page.evaluate(OPEN)
    visited.page.wait_for_timeout(400)  # the theme takes its time to look at what was folded
    faults += [f"light: {fault}" for fault in violations(visited, name)]
    visited.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    faults += visited.page.evaluate(DARK_FIGURES)
    # Only colours differ in the dark.
    colours = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
    faults += [f"dark: {fault}" for fault in violations(visited, name, runOnly=colours)]
    visited.page.evaluate("document.documentElement.dataset.theme = 'light'")
    for width in PHONES:
        visited.page.set_viewport_size({"width": width, "height": 800})
        wide = visited.page.evaluate(TOO_WIDE)
        faults += [f"wider than {width}: {wide}"] if wide else []
        for theme in ("dark", "light"):
            visited.page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
            faults += visited.page.evaluate(STRETCHED)
    assert not faults, "\n".join(faults)
