"""The report: every claim at a glance, in a table, and as files to compute with."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from innerbook import verdict_box
from innerbook.build import glance, published, results
from innerbook.memory import atomic_write

_BADGES = {"reproduced": "bdg-success", "partly": "bdg-warning", "not reproduced": "bdg-danger"}
FIELDS = (
    *("id", "document", "page", "scale", "verdict", "claim", "published", "runs", "seeds", "date"),
    *("holds", "measured"),  # as JSON: names, and what belongs to each
)


def measured(app: Sphinx, name: str) -> Any:
    """Return what the build has measured and left in a file of JSON, or None if there is no such file."""
    path = Path(app.srcdir) / app.config.innerbook_results / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def kept(app: Sphinx) -> dict[str, dict[str, Any]]:
    """Return the rows that were measured at the documents' own sizes, by id."""
    return {row["id"]: row for row in results.read_paper_results(Path(app.srcdir))}


def judged(claims: results.Rows, kept: dict[str, dict[str, Any]]) -> results.Rows:
    """Return each claim of a build as it was measured at the document's size, or else as the build has measured it."""
    return [claim if claim["scale"] == "paper" else kept.get(claim["id"], claim) for claim in results.in_order(claims)]


class _OfClaims(SphinxDirective):
    """What shows the claims of the build."""

    def claims(self) -> results.Rows:
        """Return the claims of the build."""
        found: results.Rows | None = measured(self.env.app, "claims.json")
        if found is None:
            raise self.error("there is no _build/claims.json: run `make book`")
        return found


class ClaimsGlance(_OfClaims):
    """Draws a mark for each claim of the build, by document and verdict; each leads to its page."""

    def run(self) -> list[nodes.Node]:
        """Return the marks as HTML."""
        builder, here = self.env.app.builder, self.env.docname
        drawn = glance.draw(
            judged(self.claims(), kept(self.env.app)), lambda page: builder.get_relative_uri(here, page)
        )
        return [nodes.raw("", drawn, format="html")]


class ClaimsPublished(_OfClaims):
    """Sets each figure that a document prints beside what was measured."""

    def run(self) -> list[nodes.Node]:
        """Return the table as HTML."""
        builder, here = self.env.app.builder, self.env.docname
        found = published.table(self.claims(), kept(self.env.app), lambda page: builder.get_relative_uri(here, page))
        return [nodes.raw("", found, format="html")]


class ClaimsTable(_OfClaims):
    """Tables all claims of the build, and leads to the same as files; a script makes the table sortable."""

    def run(self) -> list[nodes.Node]:
        """Return the table as parsed MyST text, and the links."""
        claims, at_size = results.in_order(self.claims()), kept(self.env.app)
        lines = [*_partial(self.env.app)]
        lines += ["| Verdict | Claim | At the document's size | At class scale |", "|---|---|---|---|"]
        lines += [_row(claim, at_size.get(claim["id"])) for claim in claims]
        shown = [at_size[claim["id"]] for claim in claims if claim["id"] in at_size]
        parsed = self.parse_text_to_nodes("\n".join([*lines, "", *_origins(shown)]) + "\n")
        table = next(node for node in parsed if isinstance(node, nodes.table))
        table["classes"].append("claims")
        parsed.insert(parsed.index(table) + 1, nodes.raw("", _files(self.env.docname), format="html"))
        return parsed


def _partial(app: Sphinx) -> list[str]:
    pages = app.config.innerbook_pages
    note = f"This report is a part: only {', '.join(pages)} {'was' if len(pages) == 1 else 'were'} built."
    return [":::{note}", note, ":::", ""] if pages else []


def _row(claim: dict[str, Any], kept: dict[str, Any] | None) -> str:
    """Return a claim's row of the table: both scales, and the verdict at the document's size where that is known."""
    at_paper = claim if claim["scale"] == "paper" else kept
    cells = [_badge((at_paper or claim)["verdict"])]
    cells.append(f"[{claim['id']}](/{claim['page']}.md) {claim['claim']} *Published:* {claim['published']}")
    cells += ["not run" if at_paper is None else _told(at_paper), "" if at_paper is claim else _told(claim)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _told(claim: dict[str, Any]) -> str:
    spreads = "<br>".join(
        f"{name}: {verdict_box.spread(figures, claim['digits'])}" for name, figures in claim["measured"].items()
    )
    folded = f"<details><summary>{claim['runs']} runs, median (range)</summary>{spreads}</details>"
    size = short[0].upper() + short[1:] + "." if (short := verdict_box.short_of(claim)) else ""
    said = [f"*{claim['verdict']}.*", verdict_box.summary(results.counted(claim)), verdict_box.fallback_note(claim)]
    return " ".join(filter(None, [*said, size, folded]))


def _origins(kept: results.Rows) -> list[str]:
    """Return a list of where and when the rows at the document's size were measured."""
    origins: dict[str, list[str]] = {}
    for claim in kept:
        origins.setdefault(f"{origin(claim)}; seeds: {claim['seeds']}", []).append(claim["id"])
    head = ["Where and when the rows *at the document's size* were measured:", ""] if kept else []
    return head + [f"- {', '.join(ids)}: {origin}." for origin, ids in origins.items()]


def origin(found: dict[str, Any]) -> str:
    """Return in words when, where and with what something was measured."""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"{found['date']}, {found['machine']}, {versions}"


def _badge(verdict: str) -> str:
    """Return a verdict as a coloured badge, in MyST."""
    return f"{{{_BADGES[verdict]}}}`{verdict}`"


def _files(docname: str) -> str:
    """Return the links to the claims as files, and the script that makes their table sortable."""
    top = "../" * docname.count("/")
    links = [f'<a href="{top}claims.{kind}" download>{kind.upper()}</a>' for kind in ("csv", "json")]
    script = f'<script defer src="{top}_static/report.js"></script>'
    return f'<p class="claims-files">All of this table as a file: {", ".join(links)}.</p>{script}'


def file_rows(claims: results.Rows, kept: dict[str, dict[str, Any]]) -> results.Rows:
    """Return a row for each claim and each scale at which it was run: what the table shows."""
    rows = []
    for claim in results.in_order(claims):
        rows += [kept[claim["id"]]] if claim["scale"] != "paper" and claim["id"] in kept else []
        rows.append(claim)
    return rows


def as_csv(rows: results.Rows) -> str:
    """Return rows as CSV under the names in `FIELDS`; the statements and the measurements of a row are JSON."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, FIELDS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        inner = {name: json.dumps(row[name], ensure_ascii=False) for name in ("holds", "measured")}
        writer.writerow({**row, "document": row["id"][0], **inner})
    return file.getvalue()


def write_files(app: Sphinx, exception: Exception | None) -> None:
    """Write the claims beside the rendered pages, as CSV and as JSON."""
    claims = measured(app, "claims.json")
    if exception is not None or app.builder.format != "html" or claims is None:
        return
    rows = file_rows(claims, kept(app))
    results.write_json(Path(app.outdir) / "claims.json", rows)
    with atomic_write(Path(app.outdir) / "claims.csv") as temporary:
        temporary.write_text(as_csv(rows), encoding="utf-8", newline="")


def setup(app: Sphinx) -> None:
    """Register with Sphinx what this module does."""
    app.add_directive("claims-glance", ClaimsGlance)
    app.add_directive("claims-published", ClaimsPublished)
    app.add_directive("claims-table", ClaimsTable)
    app.connect("build-finished", write_files)
