"""Builds a very small book with the real tools: real kernels, jupyter-cache, Sphinx."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import course
import pytest

ROOT = Path(__file__).parents[1]
TOP = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n\n"
CLAIM = """# A claim

It took {measured-time}`.`, and the number is {glue:text}`number:.2f`.

```{code-cell} ipython3
from innerview import claims
from myst_nb import glue
glue("number", 0.25, display=False)
claims.Claim("X1", "all is well", "1", {"n": [1.0] * 5}, {"it is": [True] * 5}, "class")
```
"""
DATA = """# Some data

```{code-cell} ipython3
from innerview.datasets import load_mnist
load_mnist().small
```
"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("_config.yml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("book/_ext", "book/_static", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    chapters = "".join(f"  - file: book/{name}\n" for name in ("claim", "data", "report"))
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: book/index\nchapters:\n{chapters}")
    write(tmp_path, "index", "(document-x)=\n# A small book\n")
    write(tmp_path, "claim", TOP + CLAIM)
    write(tmp_path, "data", TOP + DATA)
    write(tmp_path, "report", "# Report\n\n```{claims-table}\n```\n")
    # The small set needs no network, so the test says the same on every machine.
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    return tmp_path


def write(book: Path, name: str, text: str) -> None:
    (book / "book" / f"{name}.md").write_text(text)


def build(book: Path) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / "book/_ext/build.py")]
    done = subprocess.run(command, cwd=book, env=os.environ, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def executed(output: str) -> list[str]:
    return re.findall(r"s  book/(\S+) done in", output)


def page(book: Path, name: str) -> str:
    return (book / "_build" / "html" / "book" / f"{name}.html").read_text()


def test_a_page_says_what_stands_in_and_is_executed_again_with_the_real_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        TOP + "# A page\n\n```{code-cell} ipython3\nfrom innerview import datasets\n\ndatasets.load_resnet50()\n```\n"
    )
    monkeypatch.setenv("INNERVIEW_RESNET", "imagenet")
    real = course.with_dependencies(ROOT, text)
    monkeypatch.setenv("INNERVIEW_RESNET", "none")
    other = course.with_dependencies(ROOT, text)
    assert "without ImageNet weights" in other and "without ImageNet weights" not in real
    assert "small set" not in other
    keys = [re.search("innerview: (.*)", page) for page in (real, other)]
    assert keys[0] is not None and keys[1] is not None and keys[0][1] != keys[1][1]


def test_imports_in_parentheses_are_seen() -> None:
    cell = "```{code-cell} ipython3\n%pip --version\nfrom innerview import (\n    claims,\n    plotting,\n)\n```\n"
    assert {path.stem for path in course._modules_used(ROOT, TOP + cell)} == {"__init__", "claims", "plotting"}


def test_a_book_from_nothing_and_again_after_changes(book: Path) -> None:
    status, output = build(book)
    assert status == 0, output
    assert sorted(executed(output)) == ["claim", "data"]
    assert len(list(book.glob("_build/.jupyter_cache/executed/*"))) == 2  # Sphinx executed nothing beside
    assert (book / "_build/html/index.html").as_uri() in output.splitlines()[-1]

    claims = json.loads((book / "_build" / "claims.json").read_text())
    assert [(c["id"], c["page"], c["verdict"], c["runs"]) for c in claims] == [("X1", "book/claim", "reproduced", 5)]
    assert "reproduced" in page(book, "report") and 'href="claim.html"' in page(book, "report")
    counts, table = page(book, "report").split("<table")[1:]
    assert re.findall(r"\d", re.sub("<.*?>", "", counts.split("<tbody>")[1])) == ["1", "0", "0"]
    assert "1 of 1 hold" in table
    assert table.count("<th ") == table.split("<tbody>")[1].split("</tr>")[0].count("<td>") == 5
    assert "the number is 0.25" in re.sub("<.*?>", "", page(book, "claim"))
    assert re.search(r"It took \d+ seconds", page(book, "claim"))
    assert "small set" in page(book, "data") and "small set" not in page(book, "claim")

    # Nothing changed: nothing is executed, and Sphinx finds every page in the cache.
    status, output = build(book)
    assert (status, executed(output)) == (0, []), output
    assert "the number is 0.25" in re.sub("<.*?>", "", page(book, "claim"))

    # A module changes: only the page that imports it, directly or through another, is executed.
    with (book / "src/innerview/claims.py").open("a") as module:
        module.write("# changed\n")
    status, output = build(book)
    assert (status, executed(output)) == (0, ["claim"]), output

    # The scale or a library's version changes: every page is.
    with (book / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    status, output = build(book)
    assert (status, sorted(executed(output))) == (0, ["claim", "data"]), output


def test_a_build_at_paper_scale_keeps_its_results_for_later_reports(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sized = TOP + CLAIM.replace("[1.0]", "[7.0 if claims.SCALE == 'paper' else 1.0]").replace('"class"', "claims.SCALE")
    write(book, "claim", sized)
    other: dict[str, object] = {"id": "X0", "claim": "another page's", "page": "book/other", "date": "2001-02-03"}
    other |= {"machine": "an abacus", "versions": {"beads": "10"}, "seeds": "0"}
    kept = book / "book" / "paper-results.json"
    kept.write_text(json.dumps([other]))
    monkeypatch.setenv("INNERVIEW_SCALE", "paper")
    status, output = build(book)
    assert status == 0, output
    first, second = json.loads(kept.read_text())
    assert first == other
    assert second["measured"]["n"]["median"] == 7 and second["scale"] == "paper"
    assert second["date"] and second["machine"].endswith("cores") and "keras" in second["versions"]

    # From the cache nothing is measured: the entry keeps its date.
    kept.write_text(kept.read_text().replace(second["date"], "2002-02-02"))
    status, output = build(book)
    assert (status, executed(output)) == (0, []), output
    first, second = json.loads(kept.read_text())
    assert second["date"] == "2002-02-02"

    monkeypatch.setenv("INNERVIEW_SCALE", "class")
    status, output = build(book)
    assert status == 0, output
    rows = re.sub("<.*?>", " ", page(book, "report"))
    assert re.search(
        r"n: 1\.000.*X1\s+at the document.s size.*n: 7\.000.*were measured:.*X1: 2002-02-02, ", rows, flags=re.S
    )
    assert json.loads(kept.read_text()) == [first, second]  # a build at class scale leaves them alone

    # A claim that is worded anew no longer stands beside its kept result: that is said, not shown as nothing.
    write(book, "claim", sized.replace("all is well", "all is fine"))
    status, output = build(book)
    assert status != 0 and "holds X1 'all is well', which book/claim does not make" in output


def test_a_page_depends_on_what_its_modules_read(book: Path) -> None:
    drawing, other = (
        TOP + "```{code-cell} ipython3\n" + code + "\n```\n"
        for code in ("from innerview import plotting", "from innerview import claims")
    )
    before = [course.with_dependencies(book, text) for text in (drawing, other)]
    with (book / "src/innerview/views/film.js").open("a") as view:
        view.write("// changed\n")
    after = [course.with_dependencies(book, text) for text in (drawing, other)]
    assert before[0] != after[0] and before[1] == after[1]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\n1 / 0", "ZeroDivisionError: division by zero"),
        ("import warnings\nwarnings.warn('careful')", "UserWarning: careful"),
        ("from myst_nb import glue\nglue('n', float('nan'))", "the glued number 'n' is nan"),
        ("import os\nos._exit(1)", "DeadKernelError"),
    ],
)
def test_a_bad_cell_fails_the_build_and_is_named(book: Path, code: str, message: str) -> None:
    write(
        book, "data", TOP + f"# Page\n\n```{{code-cell}} ipython3\n1\n```\n\n```{{code-cell}} ipython3\n{code}\n```\n"
    )
    status, output = build(book)
    assert status != 0
    named = output[output.index("book/data.md, code cell 2 (line 14)") :]
    assert message in named and "1 problem(s)" in named
    assert not (book / "_build" / "html").exists()


def test_a_missing_page_fails_the_build(book: Path) -> None:
    (book / "book" / "claim.md").unlink()
    status, output = build(book)
    assert status != 0 and "_toc.yml names book/claim, but there is no book/claim.md" in output


def test_a_cell_that_cannot_be_read_fails_the_build_and_its_page_is_named(book: Path) -> None:
    head = "---\nmystnb:\n  image:\n    alt: Two groups: one\n---"
    write(book, "data", TOP + f"# Page\n\n```{{code-cell}} ipython3\n{head}\n1\n```\n")
    status, output = build(book)
    assert status != 0 and "The book was not built: book/data.md: Code cell 1" in output and "Traceback" not in output


def test_an_undefined_number_fails_the_build(book: Path) -> None:
    write(book, "claim", TOP + CLAIM.replace("{glue:text}`number:.2f`", "{glue:text}`nmber:.2f`"))
    status, output = build(book)
    assert status != 0 and "nmber" in output and "claim.md" in output


def test_an_unknown_scale_is_refused(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNERVIEW_SCALE", "huge")
    status, output = build(book)
    assert status != 0 and "SCALE must be class or paper; received huge" in output
