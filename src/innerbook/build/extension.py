"""A Sphinx extension for what the course needs: the pages' keys, the tables of claims and speeds, measured times."""

import functools
import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from innerbook import verdict_box
from innerbook.build import pages, results
from innerbook.claims import held

_BADGES = {"reproduced": "bdg-success", "partly": "bdg-warning", "not reproduced": "bdg-danger"}


def add_key(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put a page's key into its text, so that myst-nb finds the outputs that the build has cached."""
    source[0] = pages.with_key(Path(app.srcdir), docname, source[0])


def _measured(app: Sphinx, name: str) -> Any:
    path = Path(app.srcdir) / "_build" / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


class ClaimsTable(SphinxDirective):
    """Counts the verdicts on each document, then tables all claims of the build."""

    def run(self) -> list[nodes.Node]:
        """Return the tables as parsed MyST text."""
        root = Path(self.env.app.srcdir)
        claims = _measured(self.env.app, "claims.json")
        if not claims:
            raise self.error("there are no claims in _build/claims.json: run `make book`")
        self.env.note_dependency(str(root / results.PAPER_RESULTS))
        try:
            kept = results.read_paper_results(root)
        except ValueError as error:
            raise self.error(str(error)) from error
        built = {_identity(claim) for claim in claims}
        for claim in kept:
            if _identity(claim) not in built:
                raise self.error(
                    f"{results.PAPER_RESULTS} holds {claim['id']} {claim['claim']!r}, which {claim['page']} does not "
                    "make: run `make book SCALE=paper`"
                )
        lines = [*_counts(claims), "", *self.table(claims, kept), "", *_origins(kept)]
        return self.parse_text_to_nodes("\n".join(lines) + "\n")

    def table(self, claims: results.Rows, kept: results.Rows) -> list[str]:
        """Return the table of all claims; below those at class scale stand the rows at the document's size."""
        lines = [
            "| Claim | Published | Measured: median (range) | Runs, scale | Verdict |",
            "|---|---|---|---|---|",
        ]
        for claim in claims:
            lines.append(self.row(claim, f"[{claim['id']}](/{claim['page']}.md) {claim['claim']}"))
            if claim["scale"] == "class":
                same = [other for other in kept if _identity(other) == _identity(claim)]
                lines += [self.row(other, f"{claim['id']} *at the document's size*") for other in same]
        return lines

    def row(self, claim: dict[str, Any], title: str) -> str:
        """Return a claim's row of the table."""
        figures = [
            f"{name}: {verdict_box.spread(value, claim['digits'], words=False)}"
            for name, value in claim["measured"].items()
        ]
        measured = verdict_box.folded(len(figures), "<br>".join(figures))
        hold = held(claim["holds"], claim["runs"])
        verdict = f"{_badge(claim['verdict'])}<br>{sum(hold.values())} of {len(hold)} hold"
        note = verdict_box.fallback_note(claim)
        verdict += f"<br>{note}" if note else ""
        cells = [title, claim["published"], measured, f"{claim['runs']}, {claim['scale']}", verdict]
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _identity(claim: dict[str, Any]) -> tuple[str, str, str]:
    return claim["page"], claim["id"], claim["claim"]


def _counts(claims: results.Rows) -> list[str]:
    """Return a table of how many claims of each document have which verdict."""
    lines = ["| Claims of | " + " | ".join(_badge(verdict) for verdict in _BADGES) + " |", "|---|---|---|---|"]
    for letter in sorted({claim["id"][0] for claim in claims}):
        verdicts = [claim["verdict"] for claim in claims if claim["id"][0] == letter]
        counts = " | ".join(str(verdicts.count(verdict)) for verdict in _BADGES)
        lines.append(f"| [document {letter}](document-{letter.lower()}) | {counts} |")
    return lines


def _origins(kept: results.Rows) -> list[str]:
    """Return a list of where and when the rows at the document's size were measured."""
    origins: dict[str, list[str]] = {}
    for claim in kept:
        origins.setdefault(f"{_origin(claim)}; seeds: {claim['seeds']}", []).append(claim["id"])
    head = ["Where and when the rows *at the document's size* were measured:", ""] if kept else []
    return head + [f"- {', '.join(dict.fromkeys(ids))}: {origin}." for origin, ids in origins.items()]


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
        seconds = (_measured(self.env.app, "seconds.json") or {}).get(page)
        if seconds is None:
            assert isinstance(self.inliner, Inliner) or self.inliner is not None
            return [], [self.inliner.reporter.warning(f"no measured time for {page}: run `make book`")]
        text = f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.1f} minutes"
        return [nodes.Text(text)], []


def add_uses(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Name, below a documented function or class, the pages whose code uses it."""
    word = re.compile(rf"\b{name.rpartition('.')[2]}\b")
    uses = [page for page, code in _codes(Path(app.srcdir)).items() if word.search(code)]
    if what in ("function", "class") and uses:
        lines += ["", f"Used in {', '.join(f':doc:`/{page}`' for page in uses)}.", ""]


@functools.cache
def _codes(root: Path) -> dict[str, str]:
    """The code of all pages, by name."""
    texts = {name: (root / f"{name}.md").read_text(encoding="utf-8-sig") for name in pages.toc_names(root)}
    return {name: "".join(re.findall(r"^```\{code-cell\}(.*?)^```", text, re.M | re.S)) for name, text in texts.items()}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension's parts with Sphinx."""
    app.connect("source-read", add_key)
    app.setup_extension("sphinx.ext.autodoc")  # whose event the next line waits for
    app.connect("autodoc-process-docstring", add_uses)
    app.add_directive("claims-table", ClaimsTable)
    app.add_directive("benchmarks-table", BenchmarksTable)
    app.add_role("measured-time", MeasuredTime())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
