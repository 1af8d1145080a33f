"""A Sphinx extension for what the course needs: the pages' keys, the report, measured figures and times, buttons."""

import functools
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml
from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from innerbook import verdict_box
from innerbook.build import pages, predict, report, results, site


def add_key(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put a page's key into its text, so that myst-nb finds the outputs that the build has cached."""
    source[0] = pages.with_key(Path(app.srcdir), docname, source[0])


def show_kept(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put into each verdict box what was measured at the document's size, where the box is of another."""
    for node in doctree.findall(nodes.raw):
        id, told = re.search(r'data-claim="([^"]*)"', node.astext()), ""
        if id and verdict_box.KEPT in node.astext():
            row = report.kept(app).get(id[1])
            built = {claim["id"]: claim["scale"] for claim in report.measured(app, "claims.json") or ()}
            if row is not None and built.get(id[1]) == "class":
                told = verdict_box.at_the_documents_size(row, results.counted(row))
            node[:] = [nodes.Text(node.astext().replace(verdict_box.KEPT, told))]


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
        return self.parse_text_to_nodes("\n".join([*lines, "", f"Measured on {report.origin(found)}."]) + "\n")


class MeasuredTime(SphinxRole):
    """Says how long a page took to execute when the book was built; ``.`` is the page itself."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the time as text, in seconds or minutes."""
        page = self.env.docname if self.text == "." else self.text
        seconds = (report.measured(self.env.app, "seconds.json") or {}).get(page)
        if seconds is None:
            assert isinstance(self.inliner, Inliner) or self.inliner is not None
            return [], [self.inliner.reporter.warning(f"no measured time for {page}: run `make book`")]
        return [nodes.Text(results.duration(seconds))], []


class KeptNumber(SphinxRole):
    """Says a figure that was measured at a document's size: ``E2 | test accuracy | .4f``, its median.

    A fourth part, ``min`` or ``max``, asks for an end of the range instead. Of a row that nobody has measured at that
    size yet, it says so.
    """

    _where = f"at the document's size; {results.PAPER_RESULTS}"

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the rows whose figures can be said, by id."""
        return report.kept(self.env.app)

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the figure as text."""
        parts = [part.strip() for part in self.text.split("|")]
        row = self.rows().get(parts[0])
        if row is None:
            return [nodes.Text("(not measured yet)")], []
        try:
            id, name, form, which = [*parts, "median"][:4]
            return [nodes.Text(format(row["measured"][name][which], form))], []
        except (KeyError, ValueError):
            assert self.inliner is not None
            known = f"{self._where} has of {parts[0]}: {list(row['measured'])}"
            return [], [self.inliner.reporter.warning(f"no figure {self.text!r} {known}")]


class ClaimNumber(KeptNumber):
    """Says a figure of a claim as the report judges it: at the document's size where that was run, else the build's.

    It is for pages that tell of others, such as the first. A chapter glues its own numbers.
    """

    _where = "in the report; it"

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the claims of the build and the rows at the documents' sizes, by id."""
        kept = report.kept(self.env.app)
        claims = report.measured(self.env.app, "claims.json") or []
        return kept | {claim["id"]: claim for claim in report.judged(claims, kept)}


def add_uses(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Name, below a documented function or class, the pages whose code uses it."""
    word = re.compile(rf"\b{name.rpartition('.')[2]}\b")
    uses = [page for page, code in _codes(Path(app.srcdir)).items() if word.search(code)]
    if what in ("function", "class") and uses:
        lines += ["", f"Used in {', '.join(f':doc:`/{page}`' for page in uses)}.", ""]


def add_buttons(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Offer a chapter's notebooks where the theme offers its source, and to open them elsewhere where that is set."""
    page, root = pagename.removeprefix("book/"), Path(app.srcdir)
    buttons = context.get("header_buttons", [])
    if page == "index" or not _codes(root).get(pagename):  # the first page holds code, and is no chapter
        return
    for group in buttons:
        if group["label"] == "download-buttons":
            kept = [button for button in group["buttons"] if button["type"] != "link"]  # to print
            own = [_notebook_button(context, page, *kind) for kind in _NOTEBOOKS.items()]
            group["buttons"] = [*own, *kept]
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    launches = _launches(config.get("repository") or {}, app.config.innerbook_hub, f"notebooks/students/{page}.ipynb")
    if launches:
        icon = {"icon": "fas fa-rocket", "label": "launch-buttons", "tooltip": "Open the notebook for students"}
        own = [{"type": "link", "url": url, "text": name, "icon": "fas fa-play", "label": f"launch-{name.lower()}",
                "tooltip": f"Open in {name}"} for name, url in launches.items()]  # fmt: skip
        buttons.insert(0, {"type": "group", "buttons": own, **icon})


_NOTEBOOKS = {"as-read": "Notebook", "students": "Notebook for students"}


def _notebook_button(context: dict[str, Any], page: str, kind: str, text: str) -> dict[str, str]:
    url = context["pathto"](f"notebooks/{kind}/{page}.ipynb", 1)
    says = {
        "icon": "fas fa-code",
        "label": f"download-{kind}",
        "tooltip": f"{text}, to open in Jupyter, Colab or VS Code",
    }
    return {"type": "link", "url": url, "text": f"{text} (.ipynb)", **says}


def _launches(repository: dict[str, str], hub: str, path: str) -> dict[str, str]:
    """Return where a notebook can be opened, by name: the repository's branch holds the published book."""
    if not repository.get("url"):
        return {}
    url, branch = repository["url"].rstrip("/"), repository.get("branch", "gh-pages")
    owner_and_name = "/".join(url.split("/")[-2:])
    found = {}
    if "github.com" in url:
        found["Colab"] = f"https://colab.research.google.com/github/{owner_and_name}/blob/{branch}/{path}"
        found["Binder"] = f"https://mybinder.org/v2/gh/{owner_and_name}/{branch}?urlpath=lab/tree/{path}"
    if hub:
        name = owner_and_name.split("/")[-1]
        pulled = urlencode({"repo": url, "branch": branch, "urlpath": f"lab/tree/{name}/{path}"})
        found["JupyterHub"] = f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{pulled}"
    return found


@functools.cache
def _codes(root: Path) -> dict[str, str]:
    """The code of all pages, by name."""
    texts = {name: (root / f"{name}.md").read_text(encoding="utf-8-sig") for name in pages.toc_names(root)}
    return {name: "".join(re.findall(r"^```\{code-cell\}(.*?)^```", text, re.M | re.S)) for name, text in texts.items()}


def read_in_parallel(app: Sphinx) -> None:
    """Say of two of Jupyter Book's extensions what they do not say: they do nothing while pages are read."""
    for name in ("sphinx_multitoc_numbering", "sphinx_jupyterbook_latex"):
        app.extensions[name].parallel_read_safe = True


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension's parts with Sphinx."""
    app.connect("source-read", add_key)
    app.connect("builder-inited", read_in_parallel)
    app.setup_extension("sphinx.ext.autodoc")  # whose event the next line waits for
    app.connect("autodoc-process-docstring", add_uses)
    app.add_directive("benchmarks-table", BenchmarksTable)
    app.add_role("measured-time", MeasuredTime())
    app.add_role("kept", KeptNumber())
    app.add_role("claim", ClaimNumber())
    app.add_config_value("innerbook_results", "_build", "env", (str,))  # where the build has left what it measured
    app.add_config_value("innerbook_pages", [], "env", (list,))  # the pages that were built, if not all
    app.add_config_value("innerbook_hub", "", "html", (str,))  # a JupyterHub with nbgitpuller, if a teacher has one
    app.connect("doctree-resolved", show_kept)
    app.connect("html-page-context", add_buttons, priority=502)  # after the theme's own
    predict.setup(app)
    report.setup(app)
    site.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
