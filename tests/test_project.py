"""Rules that the project's own files keep: what it asks for, what it pins, what a wheel of it holds."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def asked_for(*extras: str) -> list[Requirement]:
    """What an installation with these extras asks for, the package itself aside."""
    lines = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        lines += PROJECT["project"]["optional-dependencies"][extra]
    return [requirement for requirement in map(Requirement, lines) if requirement.name != "innerview"]


def lock() -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            requirement = Requirement(line)
            versions.setdefault(requirement.name, set()).add(str(requirement.specifier))
    return versions


def test_alone_it_asks_for_keras_and_numpy() -> None:
    assert {requirement.name for requirement in asked_for()} == {"keras", "numpy"}


def test_the_lock_holds_every_dependency_exactly() -> None:
    tools = [Requirement(line) for line in PROJECT["dependency-groups"]["test"]]
    builds = [Requirement(line) for line in PROJECT["build-system"]["requires"]]
    locked = lock()
    for requirement in asked_for("tensorflow", "jax", "notebooks", "book") + tools + builds:
        versions = locked[requirement.name.lower()]
        assert all(version.startswith("==") for version in versions), requirement
        assert all(requirement.specifier.contains(version[2:]) for version in versions), requirement


def test_environment_yml_says_what_the_lock_says() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    lines = next(part["pip"] for part in environment["dependencies"] if isinstance(part, dict))
    assert lines[0] == "--constraint requirements.lock" and lines[-1] == "--editable ."
    pinned = [Requirement(line) for line in lines[1:-1]]
    locked = lock()
    wanted = {requirement.name for requirement in asked_for("tensorflow", "notebooks", "book")} | {"nbgitpuller"}
    assert {requirement.name for requirement in pinned} == wanted
    for requirement in pinned:
        assert str(requirement.specifier) in locked[requirement.name.lower()], requirement.name

    python = next(part for part in environment["dependencies"] if str(part).startswith("python="))
    assert python.removeprefix("python=") in ("3.11", "3.12", "3.13")


def test_a_wheel_holds_both_packages_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    source = {path.relative_to(ROOT / "src") for path in (ROOT / "src").rglob("*") if path.is_file()}
    assert held == {path.as_posix() for path in source if not {"__pycache__", ".ipynb_checkpoints"} & {*path.parts}}
    assert {"innerview/py.typed", "innerbook/py.typed"} <= held
    assert {Path(name).suffix for name in held} >= {".js", ".html"}


def test_every_action_is_pinned_by_digest() -> None:
    uses = [
        line.strip(" -")
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for line in path.read_text("utf-8").splitlines()
        if re.match(r"[\s-]*uses:", line)
    ]
    assert len(uses) > 5
    assert [line for line in uses if not re.fullmatch(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []
