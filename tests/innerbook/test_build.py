"""Builds a very small book with the real tools: real kernels, jupyter-cache, Sphinx."""

import asyncio
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import yaml

from innerbook import memory
from innerbook.build import cli, executing, nursery, results
from innerbook.build.pages import Page, read_pages, toc_names
from innerbook.claims import MIME, Claim

ROOT = Path(__file__).parents[2]
TOP = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n\n"
KEPT = ", and was {kept}`X1 | n | .1f` ({kept}`X1 | n | .0f | max`), and {kept}`X9 | n | .0f`"
REPORTED = "Reported: {claim}`X1 | n | .1f`, at most {claim}`X1 | n | .0f | max`, {claim}`X9 | n | .0f`.\n"
CLAIM = """# A claim

It took {measured-time}`.`, and the number is {glue:text}`number:.2f`KEPT.

```{code-cell} ipython3
from innerbook import claims
from innerbook.memory import cached
from innerbook.reporting import report
@cached
def quarter():
    return 0.25
quarter()
report(number=quarter())
claims.Claim("X1", "all is well", "1", {"n": [1.0] * 5}, {"it is": [True] * 5})
```
""".replace("KEPT", KEPT)
DATA = """# Some data

```{code-cell} ipython3
import keras, warnings
import matplotlib.pyplot as plt
from innerbook import data
assert "leaked" not in globals() and plt.rcParams["lines.linewidth"] == 1.5
assert (keras.config.floatx(), keras.backend.backend()) == ("float32", "tensorflow")
assert ("ignore", None, Warning, None, 0) not in warnings.filters
digits = data.load_mnist()
```

```{code-cell} ipython3
---
mystnb:
  image:
    alt: "A line"
  figure:
    caption: "A line"
---
plt.plot(digits.x_test[0]);
```
"""


def cell(code: str) -> str:
    return f"```{{code-cell}} ipython3\n{code}\n```\n\n"


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("_config.yml", "requirements.lock", "pyproject.toml", "README.md", "book/references.bib"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("book/_static", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    chapters = "".join(f"  - file: book/{name}\n" for name in ("claim", "data", "report"))
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: book/index\nchapters:\n{chapters}")
    write(tmp_path, "index", "(document-x)=\n# A small book\n")
    write(tmp_path, "claim", TOP + CLAIM)
    write(tmp_path, "data", "\ufeff" + TOP + DATA)  # some editors put a byte-order mark before a page
    write(
        tmp_path,
        "report",
        "# Report\n\n```{claims-glance}\n```\n\n```{claims-published}\n```\n\n```{claims-table}\n```\n\n" + REPORTED,
    )
    # The packages are the copies, so that a test can change them.
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "src"))
    # The small set needs no network, so the test says the same on every machine.
    monkeypatch.setenv("INNERVIEW_DATA", "kept")
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    return tmp_path


@pytest.fixture
def users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user may have set for other work."""
    own = tmp_path / "own"
    startup = own / "profile_default" / "startup" / "mine.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("leaked = True")
    (own / "matplotlibrc").write_text("lines.linewidth: 9")
    keras = {"floatx": "float16", "image_data_format": "channels_first", "backend": "torch", "epsilon": 0.1}
    (own / "keras.json").write_text(json.dumps(keras))
    folders = ("IPYTHONDIR", "MPLCONFIGDIR", "MATPLOTLIBRC", "KERAS_HOME")
    others = {"PYTHONSTARTUP": str(startup), "MPLBACKEND": "agg", "KERAS_BACKEND": "torch", "PYTHONWARNINGS": "ignore"}
    for name, value in {**dict.fromkeys(folders, str(own)), **others}.items():
        monkeypatch.setenv(name, value)


def write(book: Path, name: str, text: str) -> None:
    (book / "book" / f"{name}.md").write_text(text, encoding="utf-8")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "innerbook.build.cli", *arguments]


def keep(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text(json.dumps([{**row, "digest": results.digest(row)} for row in rows]))


def build(book: Path, *pages: str) -> tuple[int, str]:
    done = subprocess.run(command("build", *pages), cwd=book, env=os.environ, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def executed(output: str) -> list[str]:
    return re.findall(r"s  book/(\S+) done in", output)


def page(book: Path, name: str) -> str:
    return (book / "_build" / "html" / "book" / f"{name}.html").read_text("utf-8")


def test_a_book_from_nothing_and_again_after_changes(book: Path, users_own: None) -> None:
    row = {"id": "X1", "claim": "all is well", "page": "book/claim", "published": "1", "runs": 5, "scale": "paper"}
    row |= {"measured": {"n": {"median": 7.0, "min": 7.0, "max": 9.0}}, "holds": {"it is": 5}, "digits": 3}
    row |= {"seeds": "0 to runs - 1", "verdict": "reproduced"} | {**results.origin(), "date": "2002-02-02"}
    kept = book / results.PAPER_RESULTS
    keep(kept, row)
    status, output = build(book)
    assert status == 0, output
    assert sorted(executed(output)) == ["claim", "data"]
    assert len(list(book.glob("_build/.jupyter_cache/executed/*"))) == 2  # Sphinx executed nothing beside
    assert (book / "_build/html/index.html").as_uri() in output.splitlines()[-1]
    made = {path.relative_to(book / "_build").as_posix() for path in book.glob("_build/**/notebooks/**/*.ipynb")}
    places = ("html/notebooks/as-read", "html/notebooks/students", "notebooks/solutions")
    assert made == {f"{place}/{name}.ipynb" for place in places for name in ("claim", "data")}
    assert not (book / "book" / "kept").exists()  # the folder is named from where the build runs, for all

    claims = json.loads((book / "_build" / "claims.json").read_text())
    assert [(c["id"], c["page"], c["verdict"], c["runs"]) for c in claims] == [("X1", "book/claim", "reproduced", 5)]
    assert "reproduced" in page(book, "report") and 'href="claim.html"' in page(book, "report")
    glance, _, table = page(book, "report").split("<table")
    counts = glance.split("glance-counts")[1].split("</p>")[0]
    assert re.findall(r"\d", re.sub("<.*?>", "", counts)) == ["1", "0", "0"]
    assert 'href="claim.html" title="reproduced, 1 of 1 statements hold. all is well"' in glance
    assert "Reported: 7.0, at most 9, (not measured yet)." in re.sub("<.*?>", "", table)
    html = book / "_build/html"
    written = json.loads((html / "claims.json").read_text("utf-8"))
    assert written == [json.loads(kept.read_text())[0], *claims]  # at the document's size, and here
    with (html / "claims.csv").open(encoding="utf-8", newline="") as file:
        assert [row["scale"] for row in csv.DictReader(file)] == ["paper", "class"]
    assert (html / "_static/report.js").exists() and 'href="../claims.csv"' in table
    assert table.count("<th ") == table.split("<tbody>")[1].split("</tr>")[0].count("<td>") == 4
    both = r"X1\s+all is well.*Holds: “it is”.*n: 7 .*Holds: “it is”.*n: 1 .*were measured:.*X1: 2002-02-02, "
    assert re.search(both, re.sub("<.*?>", " ", page(book, "report")), flags=re.S)
    assert [each["date"] for each in json.loads(kept.read_text())] == ["2002-02-02"]  # class scale leaves them alone
    told = re.sub("<.*?>", "", page(book, "claim"))
    assert "the number is 0.25, and was 7.0 (9), and (not measured yet)." in told and "of computing" not in told
    assert re.search(
        r"At the document's size: reproduced, 5 runs, 2002-02-02\. Holds: “it is”\.\s*Measured, median .range.:\s*n7",
        told,
    )
    assert re.search(r"It took \d+ seconds", page(book, "claim"))
    assert "<strong>small set</strong>" in page(book, "data") and 'alt="A line"' in page(book, "data")
    assert "../1-first-network/inverse.html" in page(book, "e-first-network/inverse")  # an old address

    # A module changes: only the page that imports it, directly or through another, is executed. What it reads from
    # disk counts as computed, once. What the text gets wrong is said, all of it.
    with (book / "src/innerbook/verdict_box.py").open("a") as module:
        module.write("CHANGED = True\n")
    (result,) = book.glob("kept/results/*.npz")
    with np.load(result) as file:
        found = {**file, "seconds": np.array(6_000.0)}
    np.savez(result, **found)
    write(book, "claim", TOP + CLAIM.replace("`number:.2f`", "`nmber:.2f`").replace("| n |", "| m |"))
    status, output = build(book)
    assert status == 1 and executed(output) == ["claim"], output
    assert re.search(r"claim\.md.*nmber", output)
    assert re.search(r"claim\.md.*no figure 'X1 . m . \.1f' at the document's size; .* has of X1: \['n'\]", output)
    assert re.search(r"It took 100\.\d minutes", page(book, "claim"))
    assert 'alt="A line"' in page(book, "data")  # from the cache


def test_a_reader_computes_what_the_build_has_read() -> None:
    def output(text: str, **saved: float) -> nbformat.NotebookNode:
        return nbformat.v4.new_output("display_data", data={"text/plain": text, memory.MIME: saved} if saved else {})

    cells = [[output("", a=60, b=0), output("")], [output("", b=30), output("", a=60)]]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=each) for each in cells])
    assert executing.saved_seconds(Page(Path(), "", notebook)) == 60  # b was computed by the page itself


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
    keep(kept, *({**row, "date": "2002-02-02"} for row in json.loads(kept.read_text())))
    before = kept.read_text()
    pages = [executed_page("book/claim", "X1", 3, 1), executed_page("book/data", "X2", 4, 0)]
    results.write_results(book, pages)
    new, old = json.loads(kept.read_text())
    assert new["measured"]["n"]["median"] == 3 and new["date"] != "2002-02-02"
    assert old == json.loads(before)[1]

    # What no run has written is refused, and so is what its page does not say any more.
    kept.write_text(kept.read_text().replace("2002-02-02", "2002-02-03"))
    with pytest.raises(ValueError, match="changed by hand, not by a run: X2"):
        results.read_paper_results(book)
    kept.write_text(before)
    page = executed_page("book/claim", "X1", 3, 0)
    page.code_cells[0].outputs[0].data[MIME] = page.code_cells[0].outputs[0].data[MIME].replace("it is", "it was")
    told = r"X1 of book/claim with statements .*: \['it is'\]. Measure it anew: make book SCALE=paper PAGES=claim$"
    with pytest.raises(ValueError, match=told):
        results.write_results(book, [page])
    wider = json.loads(before)[0] | {"holds": {"it was": 5, "the published figure, too": 5}}
    keep(kept, wider, json.loads(before)[1])
    facts = json.loads(page.code_cells[0].outputs[0].data[MIME]) | {"scale": "class"}
    page.code_cells[0].outputs[0].data[MIME] = json.dumps(facts)
    with pytest.raises(ValueError, match="statements that the page does not make"):  # nor any other of its own
        results.write_results(book, [page])
    page.code_cells[0].outputs[0].data[MIME] = json.dumps(facts | {"at_size": ["the published figure, too"]})
    results.write_results(book, [page])  # what only the document's size can show
    keep(kept, {**wider, "claim": "all was well"})
    with pytest.raises(ValueError, match="X1 of book/claim with statements that the page does not make"):
        results.write_results(book, [page])
    with pytest.raises(ValueError, match="such as B10a and B10b; several have X1"):
        results.write_results(book, [page, page])


def test_pages_are_built_alone_with_a_report_of_their_own(book: Path) -> None:
    # A reference to a page that is not built is no fault of this one.
    write(book, "claim", TOP + CLAIM.replace(KEPT, "") + "\nSee {doc}`data` and {doc}`report`.\n")
    status, output = build(book, "claim")
    assert status == 0 and executed(output) == ["claim"], output
    html = book / "_build/part/_build/html"
    assert (html / "index.html").as_uri() in output.splitlines()[-1] and not (book / "_build/html").exists()
    assert "This report is a part: only book/claim was built." in (html / "book/report.html").read_text("utf-8")
    assert not (html / "book/data.html").exists()
    status, output = build(book, "clam")
    assert status == 1 and "such as book/claim, book/data; got clam" in output


def test_a_part_is_all_its_pages_and_claims_are_in_the_documents_order(book: Path) -> None:
    pages = [Page(Path(), f"book/{name}", nbformat.v4.new_notebook()) for name in ("index", "1-a/b", "1-a/c", "2-a/b")]

    def chosen(*names: str) -> list[str]:
        return [page.name[5:] for page in cli.select(pages, names, "book/index")]

    assert chosen("1-a") == ["index", "1-a/b", "1-a/c"] and chosen("b", "1-a/c") == ["index", "1-a/b", "1-a/c", "2-a/b"]
    with pytest.raises(ValueError, match="got a"):
        chosen("1-a", "a")
    ids = ["B10b", "E2", "B2", "A1", "B10a"]
    assert [row["id"] for row in results.in_order([{"id": id} for id in ids])] == ["A1", "B2", "B10a", "B10b", "E2"]


def test_a_kept_row_whose_page_has_moved_is_an_error_that_names_it(book: Path) -> None:
    row = {"id": "X1", "claim": "all is well", "page": "book/old-folder/claim"}
    keep(book / results.PAPER_RESULTS, row)
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


# Cells that raise nothing, and what is wrong with each.
BAD_CELLS = {
    "import warnings\nwarnings.warn('careful')": "UserWarning: careful",
    "import logging\nlogging.basicConfig()\nlogging.warning('mind')": "WARNING:root:mind",
    "from threading import Thread\nt = Thread(target=lambda: 1 / 0)\nt.start()\nt.join()": "Exception in thread "
    r".*ZeroDivisionError: division by zero",
    "class A:\n    def __del__(self):\n        1 / 0\nA();": "Exception ignored in.* ZeroDivisionError: division",
    "def after(result):\n    get_ipython().events.unregister('post_run_cell', after)\n    1 / 0\n"
    "get_ipython().events.register('post_run_cell', after)": "ZeroDivisionError: division by zero",
    "from myst_nb import glue\nglue('n', float('nan'))": "the glued number 'n' is nan",
    "---\nmystnb:\n  figure:\n    caption: Nothing\n---\n1": "the cell has a caption or a description, and no picture",
}
# Cells that end a page.
LAST_CELLS = {
    "x = 1\n1 / 0": "ZeroDivisionError: division by zero",
    "!exit 3": r"CalledProcessError: Command 'exit 3' returned non-zero exit status 3",
    "import os\nos._exit(1)": "DeadKernelError",
}


def test_bad_cells_fail_the_build_and_are_named(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNERVIEW_SCALE", "paper")
    told = "from innerbook import settings\nassert settings.by_scale(1, 2) == 2"
    pages = {"data": [told, *BAD_CELLS], **{f"bad{i}": [last] for i, last in enumerate(LAST_CELLS)}}
    for name, codes in pages.items():
        write(book, name, TOP + "# Page\n\n" + "".join(map(cell, codes)))
    chapters = "".join(f"  - file: book/{name}\n" for name in pages)
    (book / "_toc.yml").write_text(f"format: jb-book\nroot: book/index\nchapters:\n{chapters}")
    status, output = build(book)
    wanted = [f"book/data.md, code cell {i} " for i in range(2, 2 + len(BAD_CELLS))]
    wanted += [f"book/bad{i}.md, code cell 1 (line 10): " for i in range(len(LAST_CELLS))]
    said = output[output.rindex(wanted[0]) :]  # at the end once more
    for place, message in zip(wanted, [*BAD_CELLS.values(), *LAST_CELLS.values()], strict=True):
        assert re.search(re.escape(place) + ".*" + message, said, flags=re.S), (message, output)
    assert status == 1 and said.count("code cell") == len(wanted) and f"{len(wanted)} problem(s)" in output
    assert not (book / "_build" / "html").exists()


def test_a_page_waits_for_the_one_that_trains_what_it_reads(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("claim", "data"):
        write(book, name, TOP + "# Page\n\n" + cell("zoo.deep_tanh"))
    write(book, "report", TOP + "# Page\n\n" + cell("1"))
    happened: list[str] = []

    async def execute(page: Page, profile: Path, kernels: nursery.Kernels) -> None:
        happened.append(f"{page.path.stem} starts")
        await asyncio.sleep(0)
        page.problems = [f"{page.path.stem} ends"]  # so that nothing is kept
        happened.append(f"{page.path.stem} ends")

    monkeypatch.setattr(executing, "_execute", execute)
    limits = executing.LIMITS
    for name in limits:
        monkeypatch.setenv(name, "9")
    executing.execute(book, read_pages(book)[:1], workers=6)
    assert [os.environ[name] for name in limits] == ["6"] * 4  # a page alone has all cores, of several each its share
    happened.clear()
    executing.execute(book, read_pages(book), workers=3)
    assert [os.environ[name] for name in limits] == ["1"] * 4
    assert happened[0] == "claim starts"  # others wait for it
    assert happened.index("claim ends") < happened.index("data starts")
    assert happened.index("report starts") < happened.index("claim ends")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C is no signal there")
def test_an_interrupted_build_says_so_and_goes_on_later(book: Path) -> None:
    write(book, "claim", TOP + "# Page\n\n" + cell("1"))
    write(book, "data", TOP + "# Page\n\n" + cell("import time\ntime.sleep(600)"))
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    # What a shell runs in the background, such as these tests, may have been told to ignore Ctrl+C.
    pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command("build"), cwd=book, **pipes) as process:
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
    assert len(list(book.glob("_build/.jupyter_cache/executed/*"))) == 1  # from which the next build goes on


def test_a_missing_page_is_named(book: Path) -> None:
    (book / "book" / "claim.md").unlink()
    with pytest.raises(FileNotFoundError, match=r"_toc\.yml names book/claim, but there is no book/claim\.md"):
        read_pages(book)


def test_what_the_command_cannot_do_is_said(
    book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(book)
    for name, value, arguments, message in (
        ("SCALE", "huge", ["build"], r"SCALE=.*must be class or paper; received 'huge'"),
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
