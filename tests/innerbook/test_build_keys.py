"""What makes a page run again, and what does not."""

import shutil
from pathlib import Path

import pytest

from innerbook import data, fingerprint
from innerbook.build import keys
from innerbook.build.pages import read_pages, with_key

ROOT = Path(__file__).parents[2]
TOP = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n\n# Page\n\n"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of our packages, which the fingerprints read in their place."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "_package_folder", lambda package: tmp_path / "src" / package)
    return tmp_path / "src"


def cell(code: str) -> str:
    return f"```{{code-cell}} ipython3\n{code}\n```\n"


def book(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    (folder / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    (folder / "requirements.lock").write_text("keras==3\n")
    (folder / "page.md").write_text(text, encoding=encoding)
    return folder


def test_a_module_that_the_page_does_not_import_is_not_in_its_key(source: Path) -> None:
    def both() -> tuple[str, str]:
        drawing = keys.of_code(ROOT, "from innerbook.interactive import frame_player")
        return drawing, keys.of_code(ROOT, "from innerbook import claims")

    before = both()
    with (source / "innerbook/interactive/frame_player.js").open("a") as view:
        view.write("// changed\n")
    after = both()
    assert before[0] != after[0] and before[1] == after[1]


def test_how_figures_look_is_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys.of_code(ROOT, "x = 1")
    style = (ROOT / "src/innerbook/course.mplstyle").read_text(encoding="utf-8")
    (tmp_path / "course.mplstyle").write_text(style + "font.size: 20\n", encoding="utf-8")
    monkeypatch.setattr(keys.resources, "files", lambda package: tmp_path)
    assert keys.of_code(ROOT, "x = 1") != before


def test_scale_seeds_and_versions_are_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = book(tmp_path, "")
    found = [keys.of_code(root, "x = 1")]
    for name, value in (("INNERVIEW_SCALE", "paper"), ("INNERVIEW_FIRST_SEED", "5")):
        monkeypatch.setenv(name, value)
        found.append(keys.of_code(root, "x = 1"))
    (root / "requirements.lock").write_text("keras==4\n")
    found.append(keys.of_code(root, "x = 1"))
    assert len(set(found)) == 4


@pytest.mark.parametrize("code", ["from innerbook import data", "from innerbook.data import load_mnist"])
def test_what_the_data_folder_holds_is_in_the_key_of_pages_that_read_it(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def both() -> tuple[str, str]:
        return keys.of_code(ROOT, code), keys.of_code(ROOT, "from innerbook import claims")

    found = []
    for there in (True, False):
        monkeypatch.setattr(data, "available", lambda there=there: {"mnist": there})
        found.append(both())
    assert found[0][0] != found[1][0] and found[0][1] == found[1][1]


def test_imports_behind_magics_and_in_parentheses_are_seen() -> None:
    code = keys.without_magics("%%time\n%pip --version\n!ls\nfrom innerbook import (\n    claims,\n    settings,\n)")
    assert fingerprint.imported_by(code) == {"innerbook.claims", "innerbook.settings"}


def test_a_byte_order_mark_changes_nothing(tmp_path: Path) -> None:
    read = [read_pages(book(tmp_path, TOP + cell("1"), encoding))[0] for encoding in ("utf-8", "utf-8-sig")]
    assert read[0].notebook.metadata == read[1].notebook.metadata
    assert len(read[0].notebook.metadata.kernelspec["innerbook"]) == 64


def test_the_key_moves_no_line(tmp_path: Path) -> None:
    text = TOP + cell("1") + cell("2")
    keyed = with_key(book(tmp_path, text), "page", text)
    lines, before = keyed.splitlines(), text.splitlines()
    assert lines[6:] == before[6:] and lines[2].startswith("kernelspec: {") and lines[3:5] == ["", ""]
    (page,) = read_pages(tmp_path)
    assert page.where(2) == "page.md, code cell 2 (line 13)" and before[12] == "```{code-cell} ipython3"
    assert with_key(tmp_path, "page", "# No code\n") == "# No code\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOP + cell("---\ntags: [a]\n---\nx = 1\nx = = 2"), r"page\.md, line 15: invalid syntax: x = = 2"),
        (TOP + cell("def f(:"), r"page\.md, line 11: "),
        (TOP + cell("---\nmystnb:\n  image:\n    alt: Two groups: one\n---\n1"), r"page\.md: Code cell 1"),
        ("---\nfile_format: mystnb\n---\n" + cell("1"), r"page\.md: expected a kernel"),
    ],
)
def test_a_page_that_cannot_be_read_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_pages(book(tmp_path, text))
