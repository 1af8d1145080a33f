"""Questions that a reader answers in the page: what the build makes of them, and that each chapter asks one."""

import json
import re
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import nbformat
import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from innerbook.build.notebooks import Course, convert
from innerbook.build.pages import Page, toc_names

ROOT = Path(__file__).parents[2]
CONF = """
extensions = ["myst_parser", "innerbook.build.predict"]
myst_enable_extensions = ["colon_fence"]
html_theme = "basic"
def setup(app):
    app.add_config_value("innerbook_results", "", "env")
"""
BOX = """# A page

::::{admonition} Make a prediction
:class: hint
Think.

QUESTIONS
::::
"""
NUMBER = """:::{predict} With *all* of it
:measured: **12**%
:unit: %
:range: -5 to 100
How *much*?
:::"""
CHOICE = """:::{predict} A "choice"
:right: X1 | it is | so
Which?

- this
- `that`
:::"""
LINE = """:::{predict} A line
:line: pixels, layer 1
:measured: **0.5** 0.25
:given: after *it*: 0.1 0.9
:range: 1e-2 to 1 log
How does it go?
:::"""
CLAIM = {"id": "X1", "runs": 5, "holds": {"it is | so": 4, "it is not": 3}}


def build(folder: Path, **pages: str) -> tuple[Path, str]:
    """Render pages with what they ask; return where they are, and the warnings."""
    (folder / "conf.py").write_text(CONF)
    (folder / "claims.json").write_text(json.dumps([CLAIM]))
    (folder / "index.md").write_text("# Nothing asked\n\n```{toctree}\n" + "\n".join(pages) + "\n```\n")
    for name, questions in pages.items():
        (folder / f"{name}.md").write_text(BOX.replace("QUESTIONS", questions))
    warnings, out = StringIO(), folder / "html"
    with docutils_namespace():
        Sphinx(folder, folder, out, folder / "trees", "html", status=None, warning=warnings, freshenv=True).build()
    return out, warnings.getvalue()


def questions(path: Path) -> list[Element]:
    found = re.findall(r"<fieldset.*?</fieldset>", path.read_text("utf-8"), flags=re.S)
    return [ElementTree.fromstring(each) for each in found]


def words(element: Element | None) -> str:
    assert element is not None
    return "".join(element.itertext()).strip()


def test_a_question_reads_as_text_and_tells_the_script_what_it_needs(tmp_path: Path) -> None:
    out, warnings = build(tmp_path, page=f"{NUMBER}\n\n{CHOICE}")
    assert warnings == ""
    number, choice = questions(out / "page.html")
    facts = {"class": "predict", "data-page": "page", "data-name": "With *all* of it"}
    assert number.attrib == {**facts, "data-unit": "%", "data-low": "-5", "data-high": "100"}
    assert words(number.find("legend")) == "How much?"
    measured = number.find("span[@class='measured']")
    assert measured is not None and measured.get("hidden") and words(measured) == "12%"
    assert choice.get("data-name") == 'A "choice"' and words(choice.find("legend")) == "Which?"
    assert [words(option) for option in choice.findall("ul/li")] == ["this", "that"]
    assert "predict.js" in (out / "page.html").read_text() and "predict.js" not in (out / "index.html").read_text()


@pytest.mark.parametrize(("unit", "low", "high"), [("%", "0", "100"), ("of 9", "0", "9"), ("times", None, None)])
def test_a_unit_may_bring_its_range(unit: str, low: str | None, high: str | None, tmp_path: Path) -> None:
    asked = NUMBER.replace(":range: -5 to 100\n", "").replace(":unit: %", f":unit: {unit}")
    out, warnings = build(tmp_path, page=asked)
    assert warnings == ""
    assert [(q.get("data-low"), q.get("data-high")) for q in questions(out / "page.html")] == [(low, high)]


@pytest.mark.parametrize(("statement", "right"), [("it is | so", "1"), ("it is not", "2")])
def test_a_statement_of_a_claim_says_which_option_is_right(statement: str, right: str, tmp_path: Path) -> None:
    out, warnings = build(tmp_path, page=CHOICE.replace("it is | so", statement))
    assert warnings == "" and [question.get("data-right") for question in questions(out / "page.html")] == [right]


def test_a_line_has_a_number_for_each_place(tmp_path: Path) -> None:
    plain_line = LINE.replace(":given: after *it*: 0.1 0.9\n", "").replace(" log", "")
    out, warnings = build(tmp_path, page=LINE, plain=plain_line)
    assert warnings == ""
    (line,), (plain,) = questions(out / "page.html"), questions(out / "plain.html")
    told = {"data-places": "pixels, layer 1", "data-low": "1e-2", "data-high": "1", "data-scale": "log"}
    assert told.items() <= line.attrib.items() and "data-scale" not in plain.attrib
    hidden = {span.get("class"): words(span) for span in line.findall("span[@hidden]")}
    assert hidden == {"measured": "0.5 0.25", "given": "after it: 0.1 0.9"} and len(plain.findall("span")) == 1
    for kind, numbers in (("measured", "**0.5** 0.25"), ("given", "0.1 0.9")):
        _, warnings = build(tmp_path, page=LINE.replace(numbers, "0.5"))
        assert "expected a number for each of pixels, layer 1; received ['0.5']" in warnings, kind


def test_what_cannot_be_asked_is_an_error(tmp_path: Path) -> None:
    faults = {
        "unmeasured": (NUMBER.replace(":measured: **12**%\n", ""), "expected of a number what was measured"),
        "backwards": (NUMBER.replace("-5 to 100", "5 to 1"), "received '5 to 1'"),
        "endless": (NUMBER.replace("-5 to 100", "up to 1"), "received 'up to 1'"),
        "one": (CHOICE.replace("\n- `that`", ""), "expected two options or more"),
        "unit": (CHOICE.replace(":right: X1 | it is | so", ":unit: %"), "no unit or range of a number"),
        "three": (CHOICE.replace("- this", "- this\n- these"), "expected two options, between which"),
        "unclaimed": (CHOICE.replace("X1", "X2"), "expected a statement of X2, one of []; received 'it is | so'"),
        "unsaid": (CHOICE.replace("it is | so", "it is"), "one of ['it is | so', 'it is not']; received 'it is'"),
        "long": (NUMBER.replace("How", "First.\n\nHow"), "expected the options as a list; received a paragraph"),
        "point": (LINE.replace("pixels, ", ""), "expected of a line what was measured at two places or more"),
        "guess": (LINE.replace(":measured: **0.5** 0.25\n", ""), "expected of a line what was measured"),
        "bare": (LINE.replace(":range: 1e-2 to 1 log\n", ""), "received ''"),
        "below": (LINE.replace("1e-2 to", "-1 to"), "expected a range above 0 for a logarithmic axis"),
        "lines": (CHOICE.replace(":right: X1 | it is | so", ":line: a, b"), "expected a line without options"),
        "given": (NUMBER.replace(":unit: %", ":given: 1 2"), "no line and nothing given with it"),
        "empty": (":::{predict} Nothing\n:::", "received 0 parts"),
    }
    _, warnings = build(tmp_path, **{name: text for name, (text, _) in faults.items()})
    for name, (_, fault) in faults.items():
        said = [line for line in warnings.splitlines() if f"{name}.md:" in line]
        assert said and fault in said[0], (name, said)


def test_a_notebook_shows_the_question_and_its_options() -> None:
    cell = nbformat.v4.new_markdown_cell(BOX.replace("QUESTIONS", f"{NUMBER}\n\n{CHOICE}\n\n{LINE}\n\nAnd why?"))
    page = Page(Path("page.md"), "book/part/page", nbformat.v4.new_notebook(cells=[cell]))
    course = Course({"book/part/page": "A page"}, {}, {}, {}, "", "1.2.3")
    text = "\n".join(cell.source for cell in convert(page, "students", course).cells)
    box = "**Make a prediction**\n\nThink.\n\nHow *much*?\n\nWhich?\n\n- this\n- `that`\n\nHow does it go?\n\nAnd why?"
    assert "\n".join(f"> {line}".rstrip() for line in box.splitlines()) in text
    assert "measured" not in text.split("Make a prediction")[1]


CHAPTERS = [name for name in toc_names(ROOT) if re.match(r"book/\d", name)]


@pytest.mark.parametrize("name", CHAPTERS)
def test_each_chapter_asks_and_comes_back(name: str) -> None:
    text = (ROOT / f"{name}.md").read_text("utf-8")
    box = re.search(r"^::::\{admonition\} Make a prediction\n:class: hint\n(.*?)^::::$", text, flags=re.M | re.S)
    assert box and text.count("\n:::{admonition} Back to your prediction\n:class: hint predicted\n") == 1
    names = re.findall(r"^:::\{predict\} (.+)$", box[1], flags=re.M)
    assert names and len(names) == len(set(names)) == text.count("{predict}")
    for said in re.findall(r"^:measured: (.*)$", box[1], flags=re.M):
        typed = re.sub(r"\{glue:text\}`[^`]*`|of (5|9|20|100)$|\w*[A-Za-z]\d", "", said)
        assert "{glue:text}" in said and not re.search(r"\d", typed), f"a figure that was measured is glued: {said}"
