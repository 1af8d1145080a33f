"""The report: its marks lead to chapters, its table is sorted and filtered, and its files hold the same claims."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Page, expect

from .conftest import ROOT, Visit

SHOWN = "rows => rows.filter(row => !row.hidden).map(row => row.cells[1].innerText.split(' ')[0])"
IDS = "rows => rows.map(row => row.cells[1].innerText.split(' ')[0])"


def rows(page: Page, what: str = SHOWN) -> list[str]:
    found: list[str] = page.locator("table.claims tbody tr").evaluate_all(what)
    return found


def test_the_report_at_a_glance_and_its_table(visit: Callable[..., Visit], site: Path) -> None:
    visited = visit("book/report")
    page, claims = visited.page, json.loads((ROOT / "_build" / "claims.json").read_text("utf-8"))
    ids = {claim["id"] for claim in claims}
    marks = page.locator(".glance-marks a")
    assert sorted(marks.locator("span").all_inner_texts()) == sorted(ids)
    for link in marks.evaluate_all("links => links.map(link => link.href)"):
        assert Path(unquote(urlsplit(link).path)).exists(), link
    anchors = page.locator(".glance p a").evaluate_all("links => links.map(link => link.hash.slice(1))")
    front = (site / "book" / "index.html").read_text("utf-8")
    assert len(anchors) == 5 and all(f'id="{anchor}"' in front for anchor in anchors)

    first = rows(page)
    assert set(first) == ids and len(first) == len(ids)
    status = page.locator(".claims-filter output")
    expect(status).to_have_text(f"{len(ids)} of {len(ids)} claims")
    page.get_by_label("Document").select_option("B")
    page.get_by_label("Verdict").select_option("not reproduced")
    final = {row["id"]: row["verdict"] for row in claims}
    final |= {row["id"]: row["verdict"] for row in json.loads((ROOT / "book/paper-results.json").read_text("utf-8"))}
    final |= {row["id"]: row["verdict"] for row in claims if row["scale"] == "paper"}
    wanted = [id for id in first if id[0] == "B" and final[id] == "not reproduced"]
    assert rows(page) == wanted and 0 < len(wanted) < len(ids)
    page.get_by_role("button", name="Show all").click()
    expect(status).to_have_text(f"{len(ids)} of {len(ids)} claims")
    page.get_by_label("Words").fill("dropout SPARSE")
    assert rows(page) == ["C4"]
    page.get_by_role("button", name="Show all").click()

    # Sorted by keyboard, by the verdict; a second time the other way round.
    button = page.locator("table.claims th button").first
    order = ["reproduced", "partly", "not reproduced"]
    for wish, turned in (("ascending", 1), ("descending", -1)):
        button.focus()
        page.keyboard.press("Enter")
        expect(page.locator("table.claims th").first).to_have_attribute("aria-sort", wish)
        now = [order.index(final[id]) for id in rows(page)]
        assert now == sorted(now)[::turned]
    page.locator("table.claims th button").nth(1).click()
    assert rows(page) == first
    assert not visited.elsewhere and not visited.errors, visited


def test_without_script_the_table_stands_and_the_files_hold_it(visit: Callable[..., Visit], site: Path) -> None:
    page = visit("book/report", java_script_enabled=False).page
    claims = json.loads((ROOT / "_build" / "claims.json").read_text("utf-8"))
    expect(page.locator("table.claims tbody tr")).to_have_count(len(claims))
    expect(page.locator(".claims-filter")).to_have_count(0)
    files = [site / "book" / (link.get_attribute("href") or "") for link in page.locator(".claims-files a").all()]
    table, rows = files
    with table.open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    kept = json.loads(rows.read_text("utf-8"))
    assert [claim for claim in kept if claim in claims] == sorted(claims, key=kept.index)
    assert {claim["scale"] for claim in kept if claim not in claims} <= {"paper"}
    for found, claim in zip(read, kept, strict=True):
        assert found["id"] == claim["id"] and json.loads(found["measured"]) == claim["measured"]


def test_the_map_runs_across_on_a_desk_and_down_on_a_phone(visit: Callable[..., Visit]) -> None:
    page = visit("book/index").page
    stops = page.locator(".course-map li li a")
    where = """links => links.map(link => {
      const box = link.getBoundingClientRect();
      return [link.getAttribute("href")[0], Math.round(box.left), Math.round(box.top)];
    })"""
    wide = stops.evaluate_all(where)
    columns = {part: {left for other, left, _ in wide if other == part} for part, _, _ in wide}
    assert sorted(columns) == list("123456") and all(len(lefts) == 1 for lefts in columns.values()), columns
    assert [left for part in "123456" for left in columns[part]] == sorted({left for _, left, _ in wide})
    page.set_viewport_size({"width": 320, "height": 800})
    narrow = stops.evaluate_all(where)
    assert [top for _, _, top in narrow] == sorted({top for _, _, top in narrow})
