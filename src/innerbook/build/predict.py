"""Questions that a reader answers in the page, to set the answer against what was measured.

A question asks for a number, for one of the options in the list that ends its text, or for a line, a value at each of
a few places. Without a script it is this text and no more. What was measured stands beside it, out of sight, in the
words of the build: nobody types an answer.
"""

import re
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

from innerbook.build import report, results

_logger = logging.getLogger(__name__)
# What the script is told, where there is something to tell.
_FACTS = ("page", "name", "unit", "low", "high", "right", "places", "scale")


class question(nodes.General, nodes.Element):
    """A question with its options, and with what was measured."""


class asked(nodes.Part, nodes.TextElement):
    """What a question asks."""


class measured(nodes.Part, nodes.TextElement):
    """What was measured, which only the script shows; or, for a line, what is given with it."""


class Predict(SphinxDirective):
    """Asks one question; its name, the argument, stands before the reader's answer later.

    ``measured`` is text with roles that says what was measured. ``unit`` and ``range`` (such as ``0 to 1000``) go with
    a number; the units ``%`` and ``of 5`` bring a range of their own. ``right``, a statement of a claim as
    ``ID | statement``, decides between two options: the first is right if the build has found the statement to hold,
    the second if not. Without it no option is called right or wrong.
    """

    required_arguments, final_argument_whitespace, has_content = 1, True, True
    option_spec = dict.fromkeys(("measured", "unit", "range", "right", "line", "given"), directives.unchanged_required)

    def run(self) -> list[nodes.Node]:
        """Return the question as nodes."""
        parts = self.parse_content_to_nodes()
        options = parts[1:]
        if not (parts and isinstance(parts[0], nodes.paragraph)) or len(options) > 1:
            raise self.error(f"expected a paragraph, and perhaps a list of options; received {len(parts)} parts")
        if options and not isinstance(options[0], nodes.bullet_list):
            raise self.error(f"expected the options as a list; received a {options[0].__class__.__name__}")
        try:
            facts = self._facts(options)
        except ValueError as error:
            raise self.error(str(error)) from error
        text = asked("", "", *parts[0].children)
        made = question("", text, *options, page=self.env.docname, name=self.arguments[0], **facts)
        for kind in ("measured", "given"):
            if kind in self.options:
                found, messages = self.parse_inline(self.options[kind])
                made += [measured("", "", *found, classes=[kind]), *messages]
        return [made]

    def _facts(self, options: list[nodes.Node]) -> dict[str, str]:
        if "line" in self.options and not options:
            return self._line()
        if {"line", "given"} & set(self.options):
            raise ValueError("expected a line without options, or no line and nothing given with it")
        return self._choice(len(options[0].children)) if options else self._number()

    def _line(self) -> dict[str, str]:
        places = [place.strip() for place in self.options["line"].split(",")]
        if "measured" not in self.options or {"right", "unit"} & set(self.options) or len(places) < 2 or "" in places:
            raise ValueError("expected of a line what was measured at two places or more, no unit and no right option")
        told, log = re.subn(r" log$", "", self.options.get("range", ""))
        low, high = self._limits(told)
        if log and float(low) <= 0:
            raise ValueError(f"expected a range above 0 for a logarithmic axis; received {told!r}")
        return {"places": ", ".join(places), "low": low, "high": high, "scale": "log" if log else ""}

    def _number(self) -> dict[str, str]:
        if "measured" not in self.options or "right" in self.options:
            raise ValueError("expected of a number what was measured, and no right option")
        unit = self.options.get("unit", "")
        most = re.fullmatch(r"of (\d+)", "of 100" if unit == "%" else unit)
        told = self.options.get("range", f"0 to {most[1]}" if most else None)
        if told is None:
            return {"unit": unit}
        low, high = self._limits(told)
        return {"unit": unit, "low": low, "high": high}

    def _limits(self, told: str) -> tuple[str, str]:
        limits = re.fullmatch(r"(-?[\d.]+(?:e-?\d+)?) to (-?[\d.]+(?:e-?\d+)?)", told)
        if limits is None or float(limits[1]) >= float(limits[2]):
            raise ValueError(f"expected a range such as 0 to 100; received {told!r}")
        return limits[1], limits[2]

    def _choice(self, count: int) -> dict[str, str]:
        if count < 2 or {"unit", "range"} & set(self.options):
            raise ValueError(f"expected two options or more, and no unit or range of a number; received {count}")
        if "right" not in self.options:
            return {}
        if count != 2:
            raise ValueError(f"expected two options, between which a statement can decide; received {count}")
        return {"right": "1" if self._holds(*map(str.strip, self.options["right"].split("|", 1))) else "2"}

    def _holds(self, id: str, statement: str = "") -> bool:
        """Tell whether the build has found a claim's statement to hold."""
        found = report.measured(self.env.app, "claims.json")
        if found is None:
            raise ValueError("there is no _build/claims.json: run `make book`")
        claims = {claim["id"]: claim for claim in found}
        held = results.counted(claims[id]) if id in claims else {}
        if statement not in held:
            raise ValueError(f"expected a statement of {id}, one of {list(held)}; received {statement!r}")
        return held[statement]


def add_script(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Load the script on pages that ask something."""
    if doctree is not None and next(doctree.findall(question), None) is not None:
        app.add_js_file("predict.js", loading_method="defer")


def _open_question(self: HTML5Translator, node: question) -> None:
    facts = {f"data-{fact}": node[fact] for fact in _FACTS if node.get(fact)}
    self.body.append(self.starttag(node, "fieldset", CLASS="predict", **facts))


def _open_asked(self: HTML5Translator, node: asked) -> None:
    self.body.append(self.starttag(node, "legend", ""))


def _open_measured(self: HTML5Translator, node: measured) -> None:
    places = node.parent.get("places")
    numbers = node.astext().split(":")[-1].split()  # as they are glued, which is known only now
    if places and len(numbers) != places.count(",") + 1:
        _logger.warning("expected a number for each of %s; received %s", places, numbers, location=node.parent)
    self.body.append(self.starttag(node, "span", "", hidden="hidden"))


def setup(app: Sphinx) -> None:
    """Register with Sphinx what this module does."""
    app.add_node(question, html=(_open_question, lambda self, node: self.body.append("</fieldset>\n")))
    app.add_node(asked, html=(_open_asked, lambda self, node: self.body.append("</legend>\n")))
    app.add_node(measured, html=(_open_measured, lambda self, node: self.body.append("</span>\n")))
    app.add_directive("predict", Predict)
    app.connect("html-page-context", add_script)
