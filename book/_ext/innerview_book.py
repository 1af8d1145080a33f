"""A Sphinx extension for what the course needs: dependencies in the cache key, the table of claims, measured times."""

import json
from pathlib import Path
from typing import Any

import course
from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from innerview.claims import ENOUGH, UNFOLDED

_BADGES = {"reproduced": "bdg-success", "partly": "bdg-warning", "not reproduced": "bdg-danger"}


def add_dependencies(app: Sphinx, docname: str, source: list[str]) -> None:
    """Key a page's cached outputs by all it depends on."""
    if course.is_myst_markdown_notebook(source[0]):
        source[0] = course.with_dependencies(Path(app.srcdir), source[0])


def _results(app: Sphinx, name: str) -> Any:
    path = Path(app.srcdir) / "_build" / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


class ClaimsTable(SphinxDirective):
    """Counts the verdicts on each document, then tables all claims of the build."""

    def run(self) -> list[nodes.Node]:
        """Return the table as parsed MyST text."""
        claims = _results(self.env.app, "claims.json")
        if not claims:
            raise self.error("there are no claims in _build/claims.json: run `make book`")
        path = Path(self.env.app.srcdir) / course.PAPER_RESULTS
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        self.env.note_dependency(str(path))
        built = {(claim["id"], claim["claim"]) for claim in claims}
        pages = {claim["page"] for claim in claims}
        for claim in kept:
            if claim["page"] in pages and (claim["id"], claim["claim"]) not in built:
                raise self.error(
                    f"{course.PAPER_RESULTS} holds {claim['id']} {claim['claim']!r}, which {claim['page']} does not "
                    "make: run `make book SCALE=paper`"
                )
        lines = ["| Claims of | " + " | ".join(_badge(verdict) for verdict in _BADGES) + " |", "|---|---|---|---|"]
        for letter in sorted({claim["id"][0] for claim in claims}):
            verdicts = [claim["verdict"] for claim in claims if claim["id"][0] == letter]
            counts = " | ".join(str(verdicts.count(verdict)) for verdict in _BADGES)
            lines.append(f"| [document {letter}](document-{letter.lower()}) | {counts} |")
        lines += [
            "",
            "| Claim | Published | Measured: median (range) | Runs, scale | Verdict |",
            "|---|---|---|---|---|",
        ]
        for claim in claims:
            lines.append(self.row(claim, f"[{claim['id']}](/{claim['page']}.md) {claim['claim']}"))
            if claim["scale"] == "class":
                same = [other for other in kept if (other["id"], other["claim"]) == (claim["id"], claim["claim"])]
                lines += [self.row(other, f"{claim['id']} *at the document's size*") for other in same]
        origins: dict[str, list[str]] = {}
        for claim in kept:
            origins.setdefault(f"{_origin(claim)}; seeds: {claim['seeds']}", []).append(claim["id"])
        lines += ["", "Where and when the rows *at the document's size* were measured:", ""] if kept else []
        lines += [f"- {', '.join(dict.fromkeys(ids))}: {origin}." for origin, ids in origins.items()]
        return self.parse_text_to_nodes("\n".join(lines) + "\n")

    def row(self, claim: dict[str, Any], title: str) -> str:
        """Return a claim's row of the table."""
        digits = claim["digits"]
        figures = [
            f"{name}: {value['median']:.{digits}f}"
            + (f" ({value['min']:.{digits}f} to {value['max']:.{digits}f})" if value["min"] < value["max"] else "")
            for name, value in claim["measured"].items()
        ]
        measured = "<br>".join(figures)
        if len(figures) > UNFOLDED:
            measured = f"<details><summary>{len(figures)} measurements</summary>{measured}</details>"
        held = sum(count / claim["runs"] >= ENOUGH for count in claim["holds"].values())
        verdict = f"{_badge(claim['verdict'])}<br>{held} of {len(claim['holds'])} hold"
        cells = [title, claim["published"], measured, f"{claim['runs']}, {claim['scale']}", verdict]
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _badge(verdict: str) -> str:
    return f"{{{_BADGES[verdict]}}}`{verdict}`"


class BenchmarksTable(SphinxDirective):
    """Tables the speeds that `make benchmark` measured last, each as a ratio to the first of its group."""

    def run(self) -> list[nodes.Node]:
        """Return the table as parsed MyST text."""
        path = Path(self.env.app.srcdir) / "book" / "benchmarks.json"
        self.env.note_dependency(str(path))
        if not path.exists():
            raise self.error("there is no book/benchmarks.json: run `make benchmark`")
        found = json.loads(path.read_text(encoding="utf-8"))
        lines = ["| Compared | Seconds | Times the first |", "|---|---|---|"]
        for name, rows in found["results"].items():
            lines.append(f"| **{name}** | | |")
            for row in rows:
                lines.append(f"| {row['what']} | {row['seconds']:.2f} | {row['seconds'] / rows[0]['seconds']:.2f} |")
        return self.parse_text_to_nodes("\n".join([*lines, "", f"Measured on {_origin(found)}."]) + "\n")


def _origin(found: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"{found['date']}, {found['machine']}, {versions}"


class MeasuredTime(SphinxRole):
    """Says how long a page took to execute when the book was built; ``.`` is the page itself."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the time as text, in seconds or minutes."""
        page = self.env.docname if self.text == "." else self.text
        seconds = (_results(self.env.app, "seconds.json") or {}).get(page)
        if seconds is None:
            assert isinstance(self.inliner, Inliner) or self.inliner is not None
            return [], [self.inliner.reporter.warning(f"no measured time for {page}: run `make book`")]
        text = f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.1f} minutes"
        return [nodes.Text(text)], []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension's parts with Sphinx."""
    app.connect("source-read", add_dependencies)
    app.add_directive("claims-table", ClaimsTable)
    app.add_directive("benchmarks-table", BenchmarksTable)
    app.add_role("measured-time", MeasuredTime())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
