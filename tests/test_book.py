"""Rules that the book's own pages and the project's files keep."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from course import toc_names
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in ROOT.glob("book/**/*.md") if "_ext" not in path.parts)
CELL = re.compile(r"^```\{code-cell\}.*\n((?:.*\n)*?)^```$", flags=re.M)
DRAWS = re.compile(r"plt\.subplots|plotting\.(image_grid|fingerprints)\(")


def cells() -> list[tuple[str, str]]:
    return [(path.name, cell) for path in PAGES for cell in CELL.findall(path.read_text())]


def code(cell: str) -> str:
    """A cell without the options at its top."""
    return cell.split("---\n", 2)[2] if cell.startswith("---\n") else cell


def lock() -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if not line.startswith("#"):
            requirement = Requirement(line)
            versions.setdefault(requirement.name, set()).add(str(requirement.specifier))
    return versions


def test_every_page_is_in_the_table_of_contents() -> None:
    assert sorted(toc_names(ROOT)) == [str(path.relative_to(ROOT).with_suffix("")) for path in PAGES]


def test_code_fits_the_page_without_scrolling() -> None:
    assert [(name, line) for name, cell in cells() for line in code(cell).splitlines() if len(line) > 79] == []


def test_every_picture_has_a_description_and_a_caption() -> None:
    pictures = [(name, cell) for name, cell in cells() if DRAWS.search(cell)]
    assert pictures
    for name, cell in pictures:
        options = yaml.safe_load(cell.split("---\n")[1])["mystnb"] if cell.startswith("---\n") else {}
        assert len(options.get("image", {}).get("alt", "")) > 40, f"{name}: {cell}"
        assert len(options.get("figure", {}).get("caption", "")) > 20, f"{name}: {cell}"


@pytest.mark.parametrize("path", [p for p in PAGES if "code-cell" in p.read_text()], ids=lambda path: path.stem)
def test_every_chapter_has_its_parts(path: Path) -> None:
    text = path.read_text()
    parts = ["**You will learn**", "**You need**", "**It takes**", "{measured-time}`.`", "## The question"]
    parts += ["Make a prediction", "claims.Claim(", "**Verdict.**", "## Exercises", "**Next:**"]
    assert [part for part in parts if part not in text] == []
    exercises = re.findall(r"\{exercise\}\n:label: (\S+)", text)
    assert exercises and exercises == re.findall(r"\{solution\} (\S+)\n:class: dropdown", text)


def test_every_public_name_is_used() -> None:
    used = "\n".join(cell for _, cell in cells())
    for path in ROOT.glob("src/innerview/*.py"):
        others = [p for p in (*ROOT.glob("src/innerview/*.py"), *ROOT.glob("book/_ext/*.py")) if p != path]
        elsewhere = used + "".join(p.read_text() for p in others)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                # A result's type is used wherever its function is.
                returned = re.search(rf"-> .*\b{node.name}\b", path.read_text())
                assert returned or re.search(rf"\b{node.name}\b", elsewhere), f"{path.stem}.{node.name}"


def test_modules_import_only_from_those_before_them() -> None:
    order = ["datasets", "activations", "monitors", "models", "inversion", "embedding", "plotting", "claims"]
    assert sorted(order) == sorted(p.stem for p in ROOT.glob("src/innerview/*.py") if p.stem != "__init__")
    for position, name in enumerate(order):
        text = (ROOT / "src" / "innerview" / f"{name}.py").read_text()
        imported = re.findall(r"^(?:from|import) innerview\.(\w+)", text, flags=re.M)
        assert set(imported) <= set(order[:position]), name


def test_environment_yml_says_what_the_lock_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {Requirement(line).name for line in project["project"]["dependencies"]}
    wanted |= {Requirement(line).name for line in project["dependency-groups"]["book"]} - {"flit-core"}

    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    lines = next(part["pip"] for part in environment["dependencies"] if isinstance(part, dict))
    assert lines[0] == "--constraint requirements.lock" and lines[-1] == "--editable ."
    pinned = [Requirement(line) for line in lines[1:-1]]
    locked = lock()
    assert {requirement.name for requirement in pinned} == wanted
    for requirement in pinned:
        assert str(requirement.specifier) in locked[requirement.name.lower()], requirement.name

    python = next(part for part in environment["dependencies"] if str(part).startswith("python="))
    assert python.removeprefix("python=") in ("3.11", "3.12", "3.13")


def test_the_lock_holds_every_dependency_exactly() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    locked = lock()
    for line in (*project["project"]["dependencies"], *groups["book"], *groups["test"]):
        requirement = Requirement(line)
        versions = locked[requirement.name.lower()]
        assert all(version.startswith("==") for version in versions), line
        assert all(requirement.specifier.contains(version[2:]) for version in versions), line
