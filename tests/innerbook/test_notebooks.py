"""Pages as notebooks: nothing raw is left, numbers are the build's, and students get no solution."""

import re
from pathlib import Path

import nbformat
import pytest
from myst_nb.core.read import read_myst_markdown_notebook
from nbformat import NotebookNode

from innerbook.build import extension
from innerbook.build.notebooks import KINDS, Course, Kind, convert, read_papers, write, write_all
from innerbook.build.pages import Page, chapter_numbers, read_pages, titles

ROOT = Path(__file__).parents[2]
PAGES = {page.name: page for page in read_pages(ROOT) if page.name != "book/index"}
NAMES = titles(ROOT)
NUMBERS = chapter_numbers(ROOT)
PAPERS = read_papers(ROOT / "book" / "references.bib")
RAW = re.compile(r":::|```\{|\{[\w:-]+\}`|\(document-\w\)|^:\w+:|^\+\+\+", flags=re.M)

PAGE = """---
file_format: mystnb
kernelspec:
  name: python3
---

# A page

:::{admonition} Make a prediction
:class: hint
Which, see {doc}`other`?
:::

```{code-cell} ipython3
:tags: [hide-input]
shown = 1
```

They are {glue:text}`accuracy:.2f` and {glue:text}`count`,
[document E](document-e) says {kept}`E2 | loss | .1f`, in {measured-time}`.`.

Of **{term}`logits <logit>`** and {term}`null space` {cite:t}`one` writes, as do A and B {cite:yearpar}`two`, and
others {cite:p}`one,two`.

```{list-table}
:header-rows: 1
* - with
  - without
* - {glue:text}`count`
  - `a`
```

| in a table |
|---|
| {kept}`E2 \\| loss \\| .2f` |

:::{exercise} Look, 3 minutes
:label: look
What?
:::

:::{solution} look
:class: dropdown
The **secret** text.
:::

:::{exercise} Build, 5 minutes
:label: build
Make it.

```python
def made(x):
    ...
```
:::

```{solution-start} build
:class: dropdown
```

Like this:

```{code-cell} ipython3
def made(x):
    return 2 * x
```

```{code-cell} ipython3
:tags: [check]
assert made(2) == 4, "expected twice the number"
```

```{code-cell} ipython3
:tags: [remove-cell]
refused = "a wrong answer"
```

The outcome.

```{solution-end}
```

**Next:** {doc}`/book/other`.
"""


def glued(name: str, value: str) -> NotebookNode:
    data = {"application/papermill.record/text/plain": value}
    return nbformat.v4.new_output("display_data", data, metadata={"scrapbook": {"name": name}})


@pytest.fixture
def page() -> Page:
    page = Page(Path("book/part/page.md"), "book/part/page", read_myst_markdown_notebook(PAGE))
    picture = nbformat.v4.new_output("display_data", {"image/png": "AAAA"})
    page.code_cells[0].outputs = [glued("accuracy", "0.98765"), glued("count", "7"), picture]
    return page


def course(site: str = "") -> Course:
    other = {"book/part/other": "Another page", "book/other": "The end", "book/part/page": "A page"}
    kept = {"E2": {"measured": {"loss": {"median": 0.26, "min": 0.1, "max": 0.3}}}}
    papers = {"one": ("de Hoop", "2022"), "two": ("A and B", "2010")}
    return Course(other, {"book/part/page": 3}, {"book/part/page": 61.2}, kept, site, "1.2.3", papers)


def told(notebook: NotebookNode, kind: str = "markdown") -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == kind)


def test_roles_and_directives_become_markdown(page: Page) -> None:
    text = told(convert(page, "as-read", course()))
    assert "They are 0.99 and 7,\n*document E* says 0.3, in 61 seconds." in text
    assert "> **Make a prediction**\n>\n> Which, see *Another page*?" in text
    assert "| with | without |\n|---|---|\n| 7 | `a` |" in text
    assert "| 0.26 |" in text
    assert "Of **logits** and null space de Hoop [2022] writes, as do A and B [2010], and" in text
    assert "others [de Hoop, 2022, A and B, 2010]." in text
    assert "### Exercise 3.1 (Look, 3 minutes)" in text and "### Exercise 3.2 (Build, 5 minutes)" in text
    assert not RAW.search(text)


def test_papers_are_named_by_their_authors(tmp_path: Path) -> None:
    entries = (
        "@article{a, author = {Maarten de Hoop}, title = {T}, year = 2022}\n"
        "@misc{b, author = {Ba, Jimmy Lei and Hinton, Geoffrey}, title = {T}, year = {2016}}\n"
        "@misc{c, author = {van der Maaten, L. and B, C and D, E}, title = {T}, year = {2008}}\n@misc{d, title = {T}}\n"
    )
    (tmp_path / "some.bib").write_text(entries)
    wanted = {"a": ("de Hoop", "2022"), "b": ("Ba and Hinton", "2016"), "c": ("van der Maaten et al.", "2008")}
    assert read_papers(tmp_path / "some.bib") == wanted | {"d": ("", "")}


def test_links_lead_to_the_published_book(page: Page) -> None:
    text = told(convert(page, "as-read", course("https://example.org/view")))
    assert "[Another page](https://example.org/view/book/part/other.html)" in text
    assert "[document E](https://example.org/view/book/index.html#document-e)" in text


def test_as_read_folds_solutions_and_keeps_outputs(page: Page) -> None:
    notebook = convert(page, "as-read", course())
    folded = re.findall(r"<details>(.*?)</details>", told(notebook), flags=re.S)
    assert ["secret" in each for each in folded] == [True, False]
    assert "return 2 * x" in folded[1] and "The outcome." in folded[1] and "a wrong answer" not in folded[1]
    shown = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [output.data for output in shown[1].outputs] == [{"image/png": "AAAA"}]
    assert shown[1].metadata["jupyter"]["source_hidden"] and len(shown) == 2  # with the first one, which sets up


def test_students_get_cells_for_answers_and_checks(page: Page) -> None:
    notebook = convert(page, "students", course())
    whole = told(notebook) + told(notebook, "code")
    assert all(secret not in whole for secret in ("secret", "2 * x", "The outcome", "a wrong answer"))
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert code[2:] == ["def made(x):\n    ...", 'assert made(2) == 4, "expected twice the number"']
    assert [cell.cell_type for cell in notebook.cells if "answer" in cell.metadata.get("tags", [])] == [
        "markdown",
        "code",
    ]
    assert not any(cell.get("outputs") for cell in notebook.cells)


def test_solutions_stand_as_cells_that_run(page: Page) -> None:
    notebook = convert(page, "solutions", course())
    scope: dict[str, object] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source, scope)
    assert scope["made"](21) == 42  # type: ignore[operator]
    assert "**Solution of exercise 3.1.** The **secret** text." in told(notebook)


def test_the_same_page_makes_the_same_file(page: Page, tmp_path: Path) -> None:
    files = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        write(folder, [page], course())
        files.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.ipynb")})
    assert files[0] == files[1] and len(files[0]) == len(KINDS)
    for text in files[0].values():
        nbformat.validate(nbformat.reads(text.decode("utf-8"), as_version=4))


def test_what_cannot_be_told_is_refused(page: Page) -> None:
    page.code_cells[0].outputs = []
    with pytest.raises(ValueError, match="'accuracy', which it does not report"):
        convert(page, "students", course())
    page.notebook = read_myst_markdown_notebook("```{mermaid}\n```\n")
    with pytest.raises(ValueError, match=r"cannot show the directive \{mermaid\}"):
        convert(page, "students", course())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PAGES)
def test_no_page_leaves_anything_raw(name: str, kind: Kind) -> None:
    page = PAGES[name]
    names = set(re.findall(r"\{glue:text\}`(.*?)(?::[^:`]*)?`", (ROOT / f"{name}.md").read_text("utf-8")))
    page.code_cells[0].outputs = [glued(each, "1") for each in names]
    made = convert(page, kind, Course(NAMES, NUMBERS, {name: 60.0}, {}, papers=PAPERS))
    text = re.sub(r"```python\n.*?\n```", "", told(made), flags=re.S)
    assert RAW.findall(text) == []
    nbformat.validate(made)
    if kind == "students":
        assert not {*solutions(page)} & {cell.source for cell in made.cells}


def solutions(page: Page) -> list[str]:
    """The code of a page's solutions, without that which checks an answer."""
    found, inside = [], False
    for cell in page.notebook.cells:
        if cell.cell_type == "markdown":
            gates = re.findall(r"^```\{solution-(start|end)\}", cell.source, flags=re.M)
            inside = gates[-1] == "start" if gates else inside
        elif inside and "check" not in cell.metadata.get("tags", []):
            found.append(cell.source)
    assert found or page.name == "book/own-network"
    return found


def test_without_the_course_the_first_cell_says_one_line(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    code = convert(page, "students", course()).cells[1].source
    exec(code, {})  # silent, for the course is here
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"^this notebook needs Inner View 1\.2\.3: [^\n]*$"):
        exec(code, {})


def test_buttons_lead_where_the_settings_say() -> None:
    path = "notebooks/students/4-depth/why.ipynb"
    assert extension._launches({"url": "", "branch": "gh-pages"}, "https://hub.example.edu", path) == {}
    found = extension._launches({"url": "https://github.com/a/b", "branch": "pages"}, "https://hub.example.edu/", path)
    assert found == {
        "Colab": f"https://colab.research.google.com/github/a/b/blob/pages/{path}",
        "Binder": f"https://mybinder.org/v2/gh/a/b/pages?urlpath=lab/tree/{path}",
        "JupyterHub": "https://hub.example.edu/hub/user-redirect/git-pull?repo=https%3A%2F%2Fgithub.com%2Fa%2Fb"
        "&branch=pages&urlpath=lab%2Ftree%2Fb%2Fnotebooks%2Fstudents%2F4-depth%2Fwhy.ipynb",
    }
    assert "JupyterHub" in extension._launches({"url": "https://git.example.edu/a/b"}, "https://hub", path)


def test_beside_the_book_lies_what_the_first_cells_install(page: Page, tmp_path: Path) -> None:
    write_all(ROOT, [], tmp_path)
    asked = (tmp_path / "html" / "binder" / "requirements.txt").read_text("utf-8")
    (wheel,) = (tmp_path / "html" / "notebooks").glob("*.whl")
    assert asked == f"./notebooks/{wheel.name}[notebooks,tensorflow]\n"
