"""Rules that the book's own pages keep."""

import ast
import asyncio
import json
import re
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupytext.sync_contentsmanager import build_sync_jupytext_contents_manager_class
from nbclient import NotebookClient

from innerbook.build.executing import INLINE
from innerbook.build.pages import Page, read_pages, toc_names
from innerbook.claims import MIME
from innerbook.fingerprint import _without_docstrings
from innerbook.settings import current, usable_cores

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("book/**/*.md"))
CHAPTERS = [path for path in PAGES if "{code-cell}" in path.read_text("utf-8")]
FACE = ROOT / "src" / "innerview" / "__init__.py"
CELL = re.compile(r"^```\{code-cell\}.*\n((?:.*\n)*?)^```$", flags=re.M)
DRAWS = re.compile(r"^[^#\n]*(plt\.subplots|figures\.(image_grid|scatter_grid))\(", flags=re.M)


def cells() -> list[tuple[str, str]]:
    return [(path.name, cell) for path in PAGES for cell in CELL.findall(path.read_text("utf-8"))]


def code(cell: str) -> str:
    """A cell without the options at its top."""
    cell = cell.split("---\n", 2)[2] if cell.startswith("---\n") else cell
    return re.sub(r"\A(:.*\n)+", "", cell)


def defines_only(cell: str) -> bool:
    body = ast.parse(code(cell)).body
    return all(isinstance(node, ast.FunctionDef | ast.Import | ast.ImportFrom) for node in body)


def visible(path: Path) -> list[str]:
    """The code that a reader sees without unfolding anything, such as a solution."""
    text = re.sub(r"^```\{solution-start\}.*?^```\{solution-end\}", "", path.read_text("utf-8"), flags=re.M | re.S)
    found = re.findall(r"^```\{code-cell\}[^\n]*\n((?:---\n.*?---\n|:[^\n]*\n)*)(.*?)^```", text, re.M | re.S)
    return [body for options, body in found if not re.search(r"(remove|hide)-(cell|input)", options)]


def test_every_page_is_in_the_table_of_contents() -> None:
    assert sorted(toc_names(ROOT)) == [str(path.relative_to(ROOT).with_suffix("")) for path in PAGES]


def test_code_fits_the_page_without_scrolling() -> None:
    assert [(name, line) for name, cell in cells() for line in code(cell).splitlines() if len(line) > 79] == []


def test_every_picture_has_a_description_and_a_caption() -> None:
    # A cell that only defines a function draws nothing yet.
    pictures = [(name, cell) for name, cell in cells() if DRAWS.search(cell) and not defines_only(cell)]
    assert pictures
    for name, cell in pictures:
        options = yaml.safe_load(cell.split("---\n")[1])["mystnb"] if cell.startswith("---\n") else {}
        assert len(options.get("image", {}).get("alt", "")) > 40, f"{name}: {cell}"
        assert len(options.get("figure", {}).get("caption", "")) > 20, f"{name}: {cell}"


def test_figures_look_alike() -> None:
    """Pages that draw use the course's style, and say themselves only what differs: the height, or the page's width."""
    masters = ROOT.glob("homework/*/master.md")
    drawing = [path for path in [*PAGES, *masters] if "import matplotlib.pyplot" in path.read_text("utf-8")]
    assert len(drawing) > 30
    for path in drawing:
        text = path.read_text("utf-8")
        assert text.count('plt.style.use("innerbook.course")') == 1, path
        assert set(re.findall(r"figsize=\(([\d.]+),", text)) <= {"6.5", "8"}, path
        assert re.findall(r"layout=|frameon=|labelsize=|rcParams|fontsize=(?:\d|1[01])\b", text) == [], path


# The guide is no chapter: it asks nothing and claims nothing.
@pytest.mark.parametrize("path", [p for p in CHAPTERS if p.parent.name != "book"], ids=lambda path: path.stem)
def test_every_chapter_has_its_parts(path: Path) -> None:
    text = path.read_text("utf-8")
    parts = ["**You will learn**", "**You need**", "**It takes**", "{measured-time}`.`", "## The question"]
    parts += ["Make a prediction", "## Exercises", "**Next:**"]
    parts += ["**Verdict.**"] if "Claim(" in text else ["**Answer.**"]  # to a question that no document asks
    assert [part for part in parts if part not in text] == []
    exercises = re.findall(r"\{exercise\}.*\n:label: (\S+)", text)
    assert exercises and exercises == re.findall(r"\{solution(?:-start)?\} (\S+)\n:class: dropdown", text)


# The parts that have been made to fit a class; the others follow.
FOR_A_CLASS = [path for path in CHAPTERS if path.parent.name != "book"]


def prose(text: str) -> str:
    """What a reader reads above the exercises, without code, formulas, tables and options; a glued number is a 7."""
    text = re.split(r"^## Exercises", text.split("---\n", 2)[2], flags=re.M)[0]
    for left_out in (r"^```.*?^```$", r"\$\$.*?\$\$", r"^(\||:{3}|:\w+:|- \*\*It takes).*?$"):
        text = re.sub(left_out, "", text, flags=re.M | re.S if "`" in left_out or "\\$" in left_out else re.M)
    text = re.sub(r"\$[^$]*\$", "F", text)
    text = re.sub(
        r"\{(glue:text|kept)\}`[^`]*`", "7", re.sub(r"\{(?!glue|kept)[\w:-]+\}`[^`]*`|\]\([^)]*\)", "R", text)
    )
    return re.sub(r"`[^`]*`", "C", text)


@pytest.mark.parametrize("path", FOR_A_CLASS, ids=lambda path: path.stem)
def test_a_chapter_fits_a_class(path: Path) -> None:
    text = path.read_text("utf-8")
    minutes = TAKES.search(text)
    assert minutes and int(minutes[1]) <= int(minutes[2]) <= 60
    assert text.index("## The question") < text.index("Make a prediction") < text.index("Back to your prediction")
    assert sum(lines(cell) for cell in visible(path)) <= 40
    words, numbers = (len(re.findall(what, prose(text))) for what in (r"[A-Za-z][\w'-]*", r"(?<!\w)[+-]?\d[\d,.]*"))
    assert numbers / words <= 0.02, f"{numbers} numbers in {words} words"
    kinds = re.findall(r"^:{3,}\{exercise\} (.*)$", text, flags=re.M)
    assert kinds and all(re.fullmatch(r"(Look|Think|Change|Build), \d+ minutes?", kind) for kind in kinds), kinds
    solved = re.findall(r"\{solution-start\}.*?\{solution-end\}", text, flags=re.S)
    assert solved and all("{code-cell}" in each and "\nassert " in each for each in solved)


TAKES = re.compile(r"\*\*It takes\*\* about (\d+) minutes to read, (\d+) with a class\.")


def test_the_first_page_lists_each_chapter_as_it_is() -> None:
    text = (ROOT / "book" / "index.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+|optional) \| \{doc\}`(\S+)` \| (\d+) \| (\d+) \|$", text, flags=re.M)
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))["parts"]
    pages = [page for part in contents if part.get("numbered") for page in part["chapters"]]
    assert [f"book/{name}" for _, name, _, _ in rows] == [page["file"] for page in pages]
    lessons = [lesson for lesson, *_ in rows if lesson != "optional"]
    assert lessons == [str(number) for number in range(1, len(lessons) + 1)]
    for (lesson, name, *minutes), page in zip(rows, pages, strict=True):
        chapter = (ROOT / "book" / f"{name}.md").read_text("utf-8")
        title = re.search(r"^# (.*)$", chapter, flags=re.M)
        assert title and page.get("title") == (f"{title[1]} (optional)" if lesson == "optional" else None)
        said = TAKES.search(chapter)
        assert said is None or list(said.groups()) == minutes, name


def test_the_teachers_pages_hold_each_chapter_as_it_is() -> None:
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))["parts"]
    for number, part in enumerate([part for part in contents if part.get("numbered")], 1):
        text = (ROOT / "book" / "teaching" / f"part-{number}.md").read_text("utf-8")
        rows = re.findall(r"^\| \{doc\}`/(\S+)` \| (\w+) \| (\d+) \| (\d+) \| \{measured-time\}`(\S+)` \|$", text, re.M)
        wanted = []
        for chapter in part["chapters"]:
            page = (ROOT / f"{chapter['file']}.md").read_text("utf-8")
            kind, takes = "optional" if chapter.get("title") else "core", TAKES.search(page)
            title = re.search(r"^# (.*)$", page, flags=re.M)
            assert takes and title
            wanted.append((chapter["file"], kind, *takes.groups(), chapter["file"]))
            assert f"\n## {title[1]}\n" in text
        assert rows == wanted


def lines(code: str) -> int:
    return sum(bool(line.strip()) for line in code.splitlines())


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_visible_cells_are_small_and_plumbing_is_folded(path: Path) -> None:
    sizes = [lines(cell) for cell in visible(path)]
    assert statistics.median(sizes) <= 8 and max(sizes) <= 20, sizes
    text = path.read_text("utf-8")
    assert not [cell for cell in visible(path) if "Claim(" in cell]
    assert "glue(" not in text and "INNERVIEW_" not in text
    hidden = re.findall(r":tags: \[remove-cell\]\n(.*?)^```", text, flags=re.M | re.S)
    assert [lines(cell) for cell in hidden if lines(cell) > 15] == []


def test_saving_a_page_in_jupyterlab_changes_nothing(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "book", tmp_path / "book", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    shutil.copy(ROOT / "jupytext.toml", tmp_path)
    lab = build_sync_jupytext_contents_manager_class(LargeFileManager)(root_dir=str(tmp_path))
    changed = []
    for path in CHAPTERS:
        name = path.relative_to(ROOT).as_posix()
        opened = lab.get(name, type="notebook", content=True)
        lab.save({"type": "notebook", "format": "json", "content": opened["content"]}, name)
        if (tmp_path / name).read_bytes() != path.read_bytes():
            changed.append(name)
    assert changed == [], "`make format` writes pages as JupyterLab saves them"


# A check that students run on their answer, and the wrong answers that it is proven with.
@pytest.mark.parametrize("path", FOR_A_CLASS, ids=lambda path: path.stem)
def test_a_check_is_proven_both_ways(path: Path) -> None:
    solutions = re.findall(r"^```\{solution-start\}.*?^```\{solution-end\}", path.read_text("utf-8"), re.M | re.S)
    checked = [cell for cell in solutions if re.search(r"^:tags: \[check, hide-input\]$", cell, flags=re.M)]
    assert checked
    for solution in checked:
        (name,) = re.findall(r"^def (check_\w+)\(", solution, flags=re.M)
        assert len(re.findall(rf"^refuses\({name}, ", solution, flags=re.M)) >= 2, name
        assert len(re.findall(rf"^{name}\(", solution, flags=re.M)) == 1, name


def test_kept_figures_are_those_of_claims() -> None:
    texts = [path.read_text("utf-8") for path in CHAPTERS]
    claimed = {id for text in texts for id in re.findall(r"Claim\(\s*\"(\w+)\"", text)}
    asked = {id for text in texts for id in re.findall(r"\{kept\}`(\w+) \\?\|", text)}
    assert asked and asked <= claimed


def test_every_public_name_is_used() -> None:
    used = "\n".join([*(cell for _, cell in cells()), (ROOT / "book" / "reference.md").read_text("utf-8")])
    for path in ROOT.glob("src/innerview/*.py"):
        elsewhere = used + "".join(p.read_text("utf-8") for p in ROOT.glob("src/*/*.py") if p not in (path, FACE))
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                # A result's type is used wherever its function is.
                returned = re.search(rf"-> .*\b{node.name}\b", path.read_text("utf-8"))
                assert returned or re.search(rf"\b{node.name}\b", elsewhere), f"{path.stem}.{node.name}"


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_the_helper_is_keras_and_numpy_and_small() -> None:
    files = sorted(ROOT.glob("src/innerview/**/*.py"))
    allowed = {"innerview", "keras", "numpy"} | set(sys.stdlib_module_names)
    assert {(path.stem, name) for path in files for name in imports(path) if name.split(".")[0] not in allowed} == set()
    assert sum(len(path.read_text("utf-8").splitlines()) for path in files) <= 1_805


@pytest.mark.parametrize(
    ("what", "allowed"),
    [
        (
            r"os\.environ\b(?!\[|\.update)|os\.getenv",
            # The last two hand it on to others.
            [
                "innerbook/settings.py",
                "innerbook/build/class_bundle/",
                "innerbook/build/trial.py",
                "innerbook/grading/",
            ],
        ),  # reads the environment
        (
            r"np\.savez|\.write_(text|bytes)\(|open\(",
            ["innerbook/memory.py", "innerbook/data/", "innerbook/build/", "innerbook/grading/"],
        ),
        (r"\bnpm\b.*pack|load_data\(\)|weights=\"imagenet\"", ["innerbook/data/"]),  # asks the network
        (r"plt\.", ["innerbook/figures.py", "innerbook/style.py"]),  # draws
        (r"^(import|from) (sphinx|docutils|jupyter_cache)", ["innerbook/build/"]),  # knows pages
        (r"^(import|from) nbclient", ["innerbook/build/", "innerbook/grading/"]),  # runs notebooks
    ],
)
def test_a_line_of_code_knows_its_room(what: str, allowed: list[str]) -> None:
    for path in ROOT.glob("src/**/*.py"):
        room = path.relative_to(ROOT / "src").as_posix()
        if not any(room.startswith(place) for place in allowed):
            code = ast.unparse(_without_docstrings(ast.parse(path.read_text("utf-8"))))
            assert re.findall(what, code, flags=re.M) == [], room


def test_no_function_is_longer_than_forty_lines_of_code() -> None:
    for path in ROOT.glob("src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                spans = {n for statement in body for n in range(statement.lineno, (statement.end_lineno or 0) + 1)}
                assert len(spans) <= 40, f"{path.stem}.{node.name} has {len(spans)}"


# One of each part. What they compute is cut short: a test need not wait for what the build computes.
ON_OTHER_SEEDS = ["1-first-network/fingerprints", "2-probes/principal-components", "3-maps/dropout", "4-depth/relu"]
ON_OTHER_SEEDS += ["5-inversion/undone", "6-residual/copies"]
SHORTENED = """
import dataclasses, innerview, innerbook.zoo

def shortened(function, least=1, whole=0):
    def short(*args, steps, log_every=None, **more):
        if steps <= whole:
            return function(*args, steps=steps, log_every=log_every, **more)
        every = (log_every or steps) // least
        more |= {} if least > 1 else {"log_every": 1}
        found = function(*args, steps=steps // every, **more)
        if isinstance(found, dict):
            return found | {"step": found["step"] * every}
        return dataclasses.replace(found, steps=found.steps * every)
    return short

for name in ("fit_inputs", "invert"):
    setattr(innerview, name, shortened(getattr(innerview, name)))
# What a solution trains in so few steps stays whole: its outcome is asserted.
innerview.fit_ensemble = shortened(innerview.fit_ensemble, whole=300)
innerview.invert_layer = shortened(innerview.invert_layer, least=20)
innerbook.zoo.fit_ensemble = innerview.fit_ensemble
innerbook.zoo._digits_resnet = lambda side: innerview.resnet(10, side, 0, 16, 10)
"""


@pytest.fixture(scope="module")
def on_other_seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Run the pages, one on each core, and return the claims of each."""
    folder = tmp_path_factory.mktemp("seeds")
    (folder / "mnist").symlink_to(current().data_folder / "mnist")
    settings = {"FIRST_SEED": "5", "OFFLINE": "1", "DATA": f"{folder}"}
    places = asyncio.Semaphore(usable_cores())

    async def run(page: Page) -> list[dict[str, Any]]:
        page.notebook.cells.insert(0, nbformat.v4.new_code_cell(SHORTENED))
        async with places:
            client = NotebookClient(page.notebook, timeout=600, resources={"metadata": {"path": page.path.parent}})
            await client.async_execute()
        outputs = [output for cell in page.code_cells for output in cell.outputs]
        return [json.loads(output.data[MIME]) for output in outputs if MIME in output.get("data", {})]

    async def run_all(pages: list[Page]) -> list[list[dict[str, Any]]]:
        return await asyncio.gather(*(run(page) for page in pages))

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**{f"INNERVIEW_{k}": v for k, v in settings.items()}, "MPLBACKEND": INLINE}.items():
            patch.setenv(name, value)
        pages = {page.name.removeprefix("book/"): page for page in read_pages(ROOT)}
        found = asyncio.run(run_all([pages[name] for name in ON_OTHER_SEEDS]))
    return dict(zip(ON_OTHER_SEEDS, found, strict=True))


@pytest.mark.parametrize("name", ON_OTHER_SEEDS)
def test_a_page_of_each_part_runs_on_other_seeds(name: str, on_other_seeds: dict[str, list[dict[str, Any]]]) -> None:
    claims = on_other_seeds[name]
    assert claims and [claim["id"] for claim in claims if "0 to" in claim["seeds"]] == []
