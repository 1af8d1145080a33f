"""The report's marks and files, and what the first page and the report say of claims, against the claims themselves."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from innerbook.build import glance, published, report, results
from innerbook.build.pages import chapter_numbers, toc_names
from innerbook.claims import held

ROOT = Path(__file__).parents[2]
KEPT = results.read_paper_results(ROOT)


def claim(id: str, verdict: str = "partly", scale: str = "class", **holds: int) -> dict[str, Any]:
    figures = {"median": 0.1, "min": 0.0, "max": 0.25}
    row: dict[str, Any] = {
        "id": id,
        "claim": 'He said: "a, b"\nand <c>',
        "published": "1, 2",
        "measured": {"é, | n": figures},
    }
    row |= {"holds": holds or {"one": 5, "two": 1}, "runs": 5, "scale": scale, "verdict": verdict}
    return row | {"seeds": "0 to runs - 1", "digits": 3, "page": f"book/{id}"}


def test_each_claim_has_one_mark_by_its_document_and_verdict() -> None:
    drawn = glance.draw(KEPT, lambda page: f"{page}.html")
    tree = ET.fromstring(drawn)  # it is well formed
    wanted = {row["id"]: row for row in KEPT}
    seen: list[str] = []
    for head, marks in zip(tree.findall("p"), tree.findall("ul")[1:], strict=True):
        ids = [link.findtext("span") or "" for link in marks.iter("a")]
        letters = {id[0] for id in ids}
        assert letters == {(head.findtext("a") or "")[-1]}
        verdicts = [wanted[id]["verdict"] for id in ids]
        assert verdicts == sorted(verdicts, key=glance.VERDICTS.index)
        counts = {verdict: verdicts.count(verdict) for verdict in glance.VERDICTS}
        assert [span.text for span in head.iter("span") if not len(span)] == [f"{n} {v}" for v, n in counts.items()]
        for link, id in zip(marks.iter("a"), ids, strict=True):
            row, shape = wanted[id], link.find("svg")
            assert shape is not None and shape.get("aria-label") == row["verdict"]
            assert link.get("href") == f"{row['page']}.html" and row["claim"] in (link.get("title") or "")
        seen += ids
    assert sorted(seen) == sorted(wanted)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.75, 1.0])
def test_a_diamond_is_filled_as_high_as_its_share(share: float) -> None:
    (points,) = re.findall(r'points="([^"]+)"', glance.mark("partly", share))
    corners = [tuple(map(float, pair.split(","))) for pair in points.split()]
    assert max(y for _, y in corners) == 19 and min(y for _, y in corners) == pytest.approx(19 - 18 * share)
    assert all(abs(x - 10) + abs(y - 10) <= 9 + 1e-9 for x, y in corners)  # inside of the diamond
    pairs = list(zip(corners, corners[1:] + corners[:1], strict=True))
    area = abs(sum(a * d - b * c for (a, b), (c, d) in pairs)) / 2  # the shoelace formula
    below = 2 * share**2 if share <= 0.5 else 1 - 2 * (1 - share) ** 2
    assert area == pytest.approx(162 * below, abs=0.1)


def test_each_verdict_has_a_shape_of_its_own() -> None:
    shapes = {re.sub(r"<svg[^>]*>", "", glance.mark(verdict, 0.5)) for verdict in glance.VERDICTS}
    assert len(shapes) == 3
    with pytest.raises(ValueError, match=r"expected a verdict of reproduced, .*; received 'perhaps'"):
        glance.mark("perhaps", 0.5)


@pytest.mark.parametrize(
    ("figure", "low", "middle", "high", "places"),
    [
        (0.9, 0.8, 0.85, 1.0, (10, 45, 150, 80)),  # linear: a pixel is 0.2 / 140
        (1.0, 10.0, 100.0, 10_000.0, (45, 80, 150, 10)),  # far apart: a power of ten is 35 pixels
        (0.5, 0.5, 0.5, 0.5, (80, 80, 80, 80)),
        (0.0, 0.0, 25.0, 100.0, (10, 45, 150, 10)),  # no logarithm of zero
    ],
)
def test_a_ruler_is_to_scale(figure: float, low: float, middle: float, high: float, places: tuple[float, ...]) -> None:
    tree = ET.fromstring(published.ruler(figure, {"median": middle, "min": low, "max": high}))
    _, bar, dot, stroke = tree
    first, last = re.findall(r"[MH]([\d.]+)", bar.get("d", ""))
    (told,) = re.findall(r"M([\d.]+) 1V", stroke.get("d", ""))
    assert (*map(float, (first, dot.get("cx"), last, told)),) == places


def test_a_printed_figure_stands_beside_what_was_measured_at_the_documents_size() -> None:
    claims = [claim("A1"), claim("B2") | {"figures": {"é, | n": 0.1235}}, claim("B3") | {"figures": {"é, | n": 2.0}}]
    kept = {"B2": claim("B2", scale="paper") | {"measured": {"é, | n": {"median": 0.2, "min": 0.1, "max": 0.3}}}}
    kept["B3"] = claim("B3", scale="paper") | {"measured": {"other": {"median": 0.2, "min": 0.1, "max": 0.3}}}
    tree = ET.fromstring(published.table(claims, kept, lambda page: f"{page}.html"))
    rows = [["".join(cell.itertext()) for cell in row] for row in tree.iter("tr")][1:]
    assert rows == [
        ["B2", "é, | n", "0.1235", "0.200 (0.100 to 0.300)"],
        ["B3", "é, | n", "2", "0.100 (0.000 to 0.250), at class scale"],
    ]
    assert [link.get("href") for link in tree.iter("a")] == ["book/B2.html", "book/B3.html"]
    # The row at another size may have another figure of the same log.
    kept["B2"]["figures"] = {"é, | n": 0.5}
    assert [figure for _, _, figure, _ in published.figures(claims[1], kept)] == [0.5]


def test_the_documents_size_comes_first_where_it_was_run() -> None:
    built = [claim("B2"), claim("A10", scale="paper"), claim("A9")]
    kept = {"B2": claim("B2", "reproduced", "paper"), "A10": claim("A10", "not reproduced", "paper")}
    shown = [(row["id"], row["verdict"]) for row in report.judged(built, kept)]
    assert shown == [("A9", "partly"), ("A10", "partly"), ("B2", "reproduced")]
    rows = report.file_rows(built, kept)
    assert [(row["id"], row["scale"]) for row in rows] == [
        ("A9", "class"), ("A10", "paper"), ("B2", "paper"), ("B2", "class")
    ]  # fmt: skip


def test_the_csv_is_read_back_as_the_claims() -> None:
    rows = [*KEPT, claim("Z1")]
    read = list(csv.DictReader(io.StringIO(report.as_csv(rows), newline="")))
    assert [list(row) for row in read] == [list(report.FIELDS)] * len(rows)
    for found, row in zip(read, rows, strict=True):
        for name in ("holds", "measured"):
            assert json.loads(found[name]) == row[name]
        for name in ("id", "page", "scale", "verdict", "claim", "published", "seeds"):
            assert found[name] == row[name]
        assert int(found["runs"]) == row["runs"] and found["date"] == row.get("date", "")
        assert found["document"] == row["id"][0]
        count = sum(held(json.loads(found["holds"]), int(found["runs"])).values())
        verdict = "reproduced" if count == len(row["holds"]) else "partly" if count else "not reproduced"
        assert verdict == found["verdict"] or row["id"] == "Z1"


def section(name: str, head: str) -> str:
    text = (ROOT / "book" / f"{name}.md").read_text("utf-8")
    found = re.search(rf"^## {re.escape(head)}$(.*?)(?=^## |\Z)", text, flags=re.M | re.S)
    assert found, head
    return found[1]


def test_figures_of_claims_are_asked_for_by_names_that_pages_use() -> None:
    pages = {path: path.read_text("utf-8") for path in ROOT.glob("book/[1-6]*/*.md")}
    claimed = {id for text in pages.values() for id in re.findall(r"Claim\(\s*\"(\w+)\"", text)}
    asked = [
        role
        for name in ("index", "report")
        for role in re.findall(r"\{claim\}`([^`]*)`", (ROOT / "book" / f"{name}.md").read_text("utf-8"))
    ]
    assert len(asked) > 8 and {role.split("|")[0].strip() for role in asked} <= claimed


def test_the_findings_are_short_and_each_names_its_chapter() -> None:
    text = section("report", "What the documents got wrong or left open, and what we found")
    assert re.findall(r"^Document (\w)$", text, flags=re.M) == list("ABCDE")
    lines = re.findall(r"^(?:: |  )- (.*)$", text, flags=re.M)
    assert 12 <= len(lines) <= 18
    for line in lines:
        said, _, page = line.rpartition(" {doc}`")
        assert f"book/{page.rstrip('`')}" in toc_names(ROOT) and len(said.split()) < 40
        assert not re.search(r"\d", re.sub(r"\{claim\}`[^`]*`", "", said)), "a measured number is not typed"


def test_each_line_of_the_map_joins_chapters_of_several_parts() -> None:
    text = section("index", "How the ideas meet")
    parts, *lines = re.split(r"^- \*\*", text, flags=re.M)[1:]
    chapters = chapter_numbers(ROOT)
    starts = re.findall(r"<([^>]+)>", parts)
    firsts = {name.split("/")[1]: name for name in reversed(chapters)}  # the first chapter of each part
    assert [f"book/{name}" for name in starts] == sorted(firsts.values())
    met = set()
    for line in lines:
        stops = re.findall(r"^  - \{doc\}`([^`]+)`$", line, flags=re.M)
        assert len(stops) >= 3 and all(f"book/{stop}" in chapters for stop in stops)
        columns = [stop[0] for stop in stops]
        assert columns == sorted(set(columns)), "one stop a part, from left to right"
        met |= set(columns)
    assert met == set("123456")


@pytest.mark.parametrize("part", range(1, 7))
def test_the_first_chapter_of_a_part_says_what_the_part_finds(part: int) -> None:
    first = next(name for name in chapter_numbers(ROOT) if name.startswith(f"book/{part}-"))
    text = (ROOT / f"{first}.md").read_text("utf-8")
    (finds,) = re.findall(r"^# .*\n\n\*\*What this part finds\.\*\* (.*)\n\n:::\{admonition\}", text, flags=re.M)
    assert 20 <= len(finds.split()) <= 70
