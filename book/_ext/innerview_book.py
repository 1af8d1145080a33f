"""A Sphinx extension for what the course needs: dependencies in the cache key, the table of claims, measured times."""

import json
from pathlib import Path
from typing import Any

import course
from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

_BADGES = {"reproduced": "bdg-success", "partly": "bdg-warning", "not reproduced": "bdg-danger"}


def add_dependencies(app: Sphinx, docname: str, source: list[str]) -> None:
    """Key a page's cached outputs by all it depends on."""
    if course.is_myst_markdown_notebook(source[0]):
        source[0] = course.with_dependencies(Path(app.srcdir), source[0])


def _results(app: Sphinx, name: str) -> Any:
    path = Path(app.srcdir) / "_build" / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


class ClaimsTable(SphinxDirective):
    """Tables all claims of the build, or tells how many there are of each verdict."""

    def run(self) -> list[nodes.Node]:
        """Return the table as parsed MyST text."""
        claims = _results(self.env.app, "claims.json")
        if not claims:
            raise self.error("there are no claims in _build/claims.json: run `make book`")
        lines = ["| Claim | Published | Measured: median (range) | Runs, scale | Verdict |", "|---|---|---|---|---|"]
        for claim in claims:
            digits = claim["digits"]
            measured = "<br>".join(
                f"{name}: {value['median']:.{digits}f}"
                + (f" ({value['min']:.{digits}f} to {value['max']:.{digits}f})" if claim["runs"] > 1 else "")
                for name, value in claim["measured"].items()
            )
            title = f"[{claim['id']}](/{claim['page']}.md) {claim['claim']}"
            verdict = f"{{{_BADGES[claim['verdict']]}}}`{claim['verdict']}`"
            cells = [title, claim["published"], measured, f"{claim['runs']}, {claim['scale']}", verdict]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return self.parse_text_to_nodes("\n".join(lines) + "\n")


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
    app.add_role("measured-time", MeasuredTime())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
