"""Builds a very small book with the real tools: real kernels, jupyter-cache, Sphinx."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import yaml

from innerbook.build import cli, results
from innerbook.build.pages import Page, toc_names
from innerbook.claims import MIME, Claim

ROOT = Path(__file__).parents[2]
TOP = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n\n"
CLAIM = """# A claim

It took {measured-time}`.`, and the number is {glue:text}`number:.2f`.

```{code-cell} ipython3
from innerbook import claims, settings
from innerbook.reporting import report
report(number=0.25)
claims.Claim("X1", "all is well", "1", {"n": [1.0] * 5}, {"it is": [True] * 5})
```
"""
DATA = """# Some data

```{code-cell} ipython3
---
mystnb:
  image:
    alt: "A line"
  figure:
    caption: "A line"
---
import matplotlib.pyplot as plt
from innerbook import data
assert "leaked" not in globals()
digits = data.load_mnist()
plt.plot(digits.x_test[0]);
```
"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("_config.yml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("book/_static", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    chapters = "".join(f"  - file: book/{name}\n" for name in ("claim", "data", "report"))
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: book/index\nchapters:\n{chapters}")
    write(tmp_path, "index", "(document-x)=\n# A small book\n")
    write(tmp_path, "claim", TOP + CLAIM)
    write(tmp_path, "data", "\ufeff" + TOP + DATA)  # some editors put a byte-order mark before a page
    write(tmp_path, "report", "# Report\n\n```{claims-table}\n```\n")
    # The packages are the copies, so that a test can change them.
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "src"))
    # The small set needs no network, so the test says the same on every machine.
    monkeypatch.setenv("INNERVIEW_DATA", "kept")
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    # None of the user's own settings may reach the pages.
    startup = tmp_path / "ipython" / "profile_default" / "startup" / "mine.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("leaked = True")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONSTARTUP", str(startup))
    monkeypatch.setenv("MPLBACKEND", "agg")
    return tmp_path


def write(book: Path, name: str, text: str) -> None:
    (book / "book" / f"{name}.md").write_text(text, encoding="utf-8")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "innerbook.build.cli", *arguments]


def build(book: Path) -> tuple[int, str]:
    done = subprocess.run(command("build"), cwd=book, env=os.environ, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def executed(output: str) -> list[str]:
    return re.findall(r"s  book/(\S+) done in", output)


def page(book: Path, name: str) -> str:
    return (book / "_build" / "html" / "book" / f"{name}.html").read_text("utf-8")


def test_a_book_from_nothing_and_again_after_changes(book: Path) -> None:
    status, output = build(book)
    assert status == 0, output
    assert sorted(executed(output)) == ["claim", "data"]
    assert len(list(book.glob("_build/.jupyter_cache/executed/*"))) == 2  # Sphinx executed nothing beside
    assert (book / "_build/html/index.html").as_uri() in output.splitlines()[-1]
    assert not (book / "book" / "kept").exists()  # the folder is named from where the build runs, for all

    claims = json.loads((book / "_build" / "claims.json").read_text())
    assert [(c["id"], c["page"], c["verdict"], c["runs"]) for c in claims] == [("X1", "book/claim", "reproduced", 5)]
    assert "reproduced" in page(book, "report") and 'href="claim.html"' in page(book, "report")
    counts, table = page(book, "report").split("<table")[1:]
    assert re.findall(r"\d", re.sub("<.*?>", "", counts.split("<tbody>")[1])) == ["1", "0", "0"]
    assert "1 of 1 hold" in table
    assert table.count("<th ") == table.split("<tbody>")[1].split("</tr>")[0].count("<td>") == 5
    assert "the number is 0.25" in re.sub("<.*?>", "", page(book, "claim"))
    assert re.search(r"It took \d+ seconds", page(book, "claim"))
    assert "<strong>small set</strong>" in page(book, "data") and 'alt="A line"' in page(book, "data")
    assert "../1-first-network/inverse.html" in page(book, "e-first-network/inverse")  # an old address

    # Nothing changed but a comment: nothing is executed, and Sphinx finds every page in the cache.
    with (book / "src/innerbook/claims.py").open("a") as module:
        module.write("# changed\n")
    status, output = build(book)
    assert (status, executed(output)) == (0, []), output
    assert "the number is 0.25" in re.sub("<.*?>", "", page(book, "claim"))

    # A module changes: only the page that imports it, directly or through another, is executed.
    with (book / "src/innerbook/verdict_box.py").open("a") as module:
        module.write("CHANGED = True\n")
    status, output = build(book)
    assert (status, executed(output)) == (0, ["claim"]), output


def test_a_build_at_paper_scale_keeps_its_results_for_later_reports(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sized = TOP + CLAIM.replace("[1.0]", "[settings.by_scale(1.0, 7.0)]")
    write(book, "claim", sized)
    kept = book / results.PAPER_RESULTS
    monkeypatch.setenv("INNERVIEW_SCALE", "paper")
    status, output = build(book)
    assert status == 0, output
    (row,) = json.loads(kept.read_text())
    assert row["measured"]["n"]["median"] == 7 and row["scale"] == "paper" and row["page"] == "book/claim"
    assert row["date"] and row["machine"].endswith("cores") and "keras" in row["versions"]

    # From the cache nothing is measured: the entry keeps its date.
    kept.write_text(json.dumps([{**row, "date": "2002-02-02"}]))
    status, output = build(book)
    assert (status, executed(output)) == (0, []), output
    (row,) = json.loads(kept.read_text())
    assert row["date"] == "2002-02-02"

    monkeypatch.setenv("INNERVIEW_SCALE", "class")
    status, output = build(book)
    assert status == 0, output
    rows = re.sub("<.*?>", " ", page(book, "report"))
    assert re.search(
        r"n: 1\.000.*X1\s+at the document.s size.*n: 7\.000.*were measured:.*X1: 2002-02-02, ", rows, flags=re.S
    )
    assert json.loads(kept.read_text()) == [row]  # a build at class scale leaves them alone

    # A claim that is worded anew no longer stands beside its kept result: that is said, not shown as nothing.
    write(book, "claim", sized.replace("all is well", "all is fine"))
    status, output = build(book)
    assert status != 0 and "holds X1 'all is well', which book/claim does not make" in output


def test_pages_that_were_not_executed_keep_their_results(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNERVIEW_SCALE", "paper")

    def executed_page(name: str, id: str, value: float, running_cell: int) -> Page:
        claim = Claim(id, "all is well", "1", {"n": [value] * 5}, {"it is": [True] * 5})
        output = nbformat.v4.new_output("display_data", data={MIME: json.dumps(claim.as_dict())})
        cell = nbformat.v4.new_code_cell(outputs=[output])
        notebook = nbformat.v4.new_notebook(cells=[cell])
        return Page(book / f"{name}.md", name, notebook, seconds=1, running_cell=running_cell)

    pages = [executed_page("book/claim", "X1", 1, 1), executed_page("book/data", "X2", 2, 1)]
    results.write_results(book, pages)
    kept = book / results.PAPER_RESULTS
    rows = [{**row, "date": "2002-02-02"} for row in json.loads(kept.read_text())]
    kept.write_text(json.dumps(rows))
    pages = [executed_page("book/claim", "X1", 3, 1), executed_page("book/data", "X2", 4, 0)]
    results.write_results(book, pages)
    new, old = json.loads(kept.read_text())
    assert new["measured"]["n"]["median"] == 3 and new["date"] != "2002-02-02"
    assert old == rows[1]


def test_a_kept_row_whose_page_has_moved_is_an_error_that_names_it(book: Path) -> None:
    row = {"id": "X1", "claim": "all is well", "page": "book/old-folder/claim"}
    (book / results.PAPER_RESULTS).write_text(json.dumps([row]))
    with pytest.raises(ValueError, match=r"not in _toc\.yml: X1 'all is well' of book/old-folder/claim"):
        results.read_paper_results(book)
    status, output = build(book)
    assert status != 0 and "The book was not built" in output and "of book/old-folder/claim" in output
    assert executed(output) == []  # before hours go by


def test_every_kept_row_and_every_old_address_leads_to_a_page() -> None:
    assert results.read_paper_results(ROOT)
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["sphinx"]["config"]
    names = set(toc_names(ROOT))
    for old, new in config["redirects"].items():
        assert new.startswith("../") and f"book/{new.removeprefix('../').removesuffix('.html')}" in names
        assert old not in names


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\n1 / 0", "ZeroDivisionError: division by zero"),
        ("import warnings\nwarnings.warn('careful')", "UserWarning: careful"),
        ("import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()", "Exception in thread"),
        ("from myst_nb import glue\nglue('n', float('nan'))", "the glued number 'n' is nan"),
        ("---\nmystnb:\n  figure:\n    caption: Nothing\n---\n1", "the cell has a caption and no picture"),
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


def test_a_page_waits_for_the_one_that_trains_what_it_reads(book: Path) -> None:
    writes = "import pathlib, time  # zoo.deep_tanh\ntime.sleep(3)\npathlib.Path('trained').touch()"
    reads = "import pathlib  # zoo.deep_tanh\nassert pathlib.Path('trained').exists()"
    for name, code in (("claim", writes), ("data", reads)):
        write(book, name, TOP + f"# Page\n\n```{{code-cell}} ipython3\n{code}\n```\n")
    write(book, "report", "# Report\n")
    status, output = build(book)
    assert (status, executed(output)) == (0, ["claim", "data"]), output


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C is no signal there")
def test_an_interrupted_build_says_so_and_goes_on_later(book: Path) -> None:
    slow = "import pathlib, time\ntime.sleep(0 if pathlib.Path('again').exists() else 600)"
    write(book, "data", TOP + f"# Page\n\n```{{code-cell}} ipython3\n{slow}\n```\n")
    with subprocess.Popen(command("build"), cwd=book, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        lines: list[bytes] = []
        while not lines or b"claim done in" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], b"".join(lines).decode()
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        output = process.stdout.read().decode()
    assert process.returncode == 130 and "The build was interrupted." in output
    assert "FAILED" not in output and "Traceback" not in output
    (book / "book" / "again").touch()
    status, output = build(book)
    assert (status, executed(output)) == (0, ["data"]), output


def test_a_missing_page_fails_the_build(book: Path) -> None:
    (book / "book" / "claim.md").unlink()
    status, output = build(book)
    assert status != 0 and "_toc.yml names book/claim, but there is no book/claim.md" in output


def test_an_undefined_number_fails_the_build(book: Path) -> None:
    write(book, "claim", TOP + CLAIM.replace("{glue:text}`number:.2f`", "{glue:text}`nmber:.2f`"))
    status, output = build(book)
    assert status != 0 and "nmber" in output and "claim.md" in output


def test_what_the_command_cannot_do_is_said(
    book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(book)
    for name, value, arguments, message in (
        ("SCALE", "huge", ["build"], r"SCALE=.*must be class or paper; received 'huge'"),
        ("FIRST_SEED", "-1", ["build"], r"SEED=.*received '-1'"),
        ("SCALE", "class", ["bild"], r"invalid choice: 'bild'"),
        ("SCALE", "class", [], r"required: command"),
    ):
        monkeypatch.setenv(f"INNERVIEW_{name}", value)
        with pytest.raises(SystemExit, match="2"):
            cli.main(arguments)
        assert re.search(message, capsys.readouterr().err)
        monkeypatch.delenv(f"INNERVIEW_{name}")
    monkeypatch.chdir(book / "book")
    with pytest.raises(SystemExit, match="2"):
        cli.main(["build"])
    assert "repository's root" in capsys.readouterr().err
