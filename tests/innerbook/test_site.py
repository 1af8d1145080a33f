"""What the site adds to the theme: what a page asks, what its terms mean, a list of all pages, the index."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from PIL import Image
from sphinx import addnodes

from innerbook.build import site

PAGE = """
A title
=======

.. note:: Not this.

What the page says first.

{heading}
---------------

.. note:: Nor this.

{text}
"""
GLOSSARY = """
loss
  The number that training makes "smaller".

  More on it.
"""


def page(heading: str = "The question", text: str = "**Is it so?** Or not?") -> nodes.document:
    return publish_doctree(PAGE.format(heading=heading, text=text), settings_overrides={"doctitle_xform": False})


def app(baseurl: str = "", **more: Any) -> Any:
    config = SimpleNamespace(html_title="A book", html_baseurl=baseurl, root_doc="index")
    builder = SimpleNamespace(get_target_uri=lambda name: f"{name}.html", format="html")
    return SimpleNamespace(config=config, builder=builder, **more)


class Env:
    """As much of Sphinx' environment as terms need."""

    def get_domain(self, name: str) -> Any:
        objects = [("loss", "loss", "term", "glossary", "term-loss", -1), ("x", "x", "label", "other", "x", -1)]
        return SimpleNamespace(get_objects=lambda: objects)

    def get_doctree(self, name: str) -> nodes.document:
        assert name == "glossary", "no other page is read"
        tree = publish_doctree(GLOSSARY)
        next(tree.findall(nodes.term))["ids"] = ["term-loss"]
        return tree


def words(letters: int) -> str:
    return ("so " * letters)[: letters - 1].strip() + "o."


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("**Is it so?** Or not?", "Is it so? Or not?"),
        ("Is it so [A *et al.*, 2017, B, 2018]? Or [not], in 2016?", "Is it so? Or [not], in 2016?"),
        (f"{words(100)} {words(90)} {words(90)}", f"{words(100)} {words(90)}"),
        (f"It is 0.5. {words(80)} {words(120)}", f"It is 0.5. {words(80)}"),
    ],
)
def test_a_page_asks_in_whole_sentences(text: str, wanted: str) -> None:
    assert site.question(page(text=text)) == wanted


def test_a_long_question_is_cut_between_words() -> None:
    found = site.question(page(text=f"Is it? {words(300)}"))
    assert 180 < len(found) <= 200 and re.fullmatch(r"Is it\?( so?)+ …", found)


def test_a_page_that_asks_nothing_is_told_by_its_beginning() -> None:
    assert site.question(page(heading="How it is made")) == "What the page says first."
    assert site.question(publish_doctree("")) == ""


def head(baseurl: str, body: str) -> dict[str, str]:
    context = {"body": body, "metatags": "\n    <meta charset />"}
    site.describe(app(baseurl), "book/a", "", context, page(text='Is "it" so?'))
    assert context["metatags"].startswith("\n    <meta charset />")
    return dict(re.findall(r'<meta (?:name|property)="([^"]*)" content="([^"]*)" />', context["metatags"]))


def test_a_page_without_an_address_tells_what_it_asks() -> None:
    said = {"og:site_name": "A book", "og:title": "A title", "og:description": "Is &quot;it&quot; so?"}
    assert head("", '<img src="../_images/a.png" />') == {"description": "Is &quot;it&quot; so?", **said}


def test_a_page_with_an_address_shows_its_first_picture() -> None:
    said = head("https://example.org/view/", '<img alt="x" src="../_images/a.png" /><img src="../_images/b.png" />')
    assert said["og:url"] == "https://example.org/view/book/a.html"
    assert said["og:image"] == "https://example.org/view/_images/a.png"
    assert "og:image" not in head("https://example.org", "<p>No picture.</p>")


def test_what_sphinx_writes_by_itself_tells_nothing() -> None:
    context: dict[str, Any] = {}
    site.describe(app(), "genindex", "", context, None)
    assert context == {}


def test_links_carry_what_a_term_means_and_which_paper_is_cited() -> None:
    term = '<a class="reference internal" href="../glossary.html#term-loss">'
    paper = '<a class="reference internal" href="../bibliography.html#cite2-a" title="A. &quot;B&quot;. 2010.">'
    others = [
        '<a class="reference internal" href="../reference.html#innerview.invert" title="innerview.invert">',
        '<a class="reference internal" href="#the-question">',
        '<a class="reference external" href="https://example.org/#term-loss">',
    ]
    context = {"body": "".join([term, paper, *others])}
    site.explain(app(env=Env()), "book/a", "", context, None)
    means = f'{term[:-1]} data-means="The number that training makes &quot;smaller&quot;.">'
    cited = paper.replace("title=", "data-means=")
    assert context["body"] == "".join([means, cited, *others])


def lightened(body: str, **env: Any) -> str:
    context: dict[str, Any] = {"script_files": [], "css_files": [], "body": body}
    site.lighten(app(env=SimpleNamespace(**env)), "book/a", "", context, None)
    return str(context["body"])


def test_distances_have_their_symbols_in_tables_and_boxes_and_their_names_in_code() -> None:
    body = '<td class="a">m_g / m_r, Conv1</td><dt>the m_i there</dt>'
    body += '<span class="n">m_g</span><p>m_i</p><td>am_i m_ix</td>'
    r, i, g = (f"<i>m</i><sub>{letter}</sub>" for letter in "rig")
    assert lightened(body) == body.replace("m_g / m_r", f"{g} / {r}").replace("the m_i", f"the {i}")


def test_a_figure_for_the_dark_is_fetched_when_it_is_shown(tmp_path: Path) -> None:
    Image.new("L", (30, 20)).save(tmp_path / "made.png")
    light, other = (
        '<img alt="x" class="light-figure" src="../_images/a.png" />',
        '<img alt="a &gt; b" class="dark-figure" ',
    )
    images = {"made.png": ({"book/a"}, "b.png")}
    found = lightened(light + other + 'src="../_images/b.png" />', srcdir=tmp_path, images=images)
    assert found == light + '<img loading="lazy" width="30" height="20" ' + other[5:] + 'src="../_images/b.png" />'


def test_the_list_of_pages_is_written_where_the_address_is_known(tmp_path: Path) -> None:
    env = SimpleNamespace(found_docs={"book/b", "book/a"})
    site.write_sitemap(app(env=env, outdir=tmp_path), None)
    assert list(tmp_path.iterdir()) == []
    site.write_sitemap(app("https://example.org/a&b/", env=env, outdir=tmp_path), None)
    found = ElementTree.parse(tmp_path / "sitemap.xml").iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")
    assert [each.text for each in found] == [f"https://example.org/a&b/book/{name}.html" for name in "ab"]


def test_the_contents_end_with_the_index() -> None:
    parts = [addnodes.toctree(entries=[(None, name)]) for name in ("one", "two")]
    tree = page()
    tree += parts
    site.list_index(app(env=SimpleNamespace(docname="book/a")), tree)
    assert [len(part["entries"]) for part in parts] == [1, 1]
    site.list_index(app(env=SimpleNamespace(docname="index")), tree)
    assert [part["entries"] for part in parts] == [[(None, "one")], [(None, "two"), ("Index", "genindex")]]
