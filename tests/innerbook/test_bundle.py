"""The archive for a room without internet holds what its script needs, and is refused where it cannot be made."""

import subprocess
import tarfile
from pathlib import Path

import pytest

from innerbook.build import bundle


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("INNERVIEW_OFFLINE", "1")
    notebooks = tmp_path / "_build" / "html" / "notebooks"
    (notebooks / "students").mkdir(parents=True)
    (notebooks / "students" / "page.ipynb").write_text("{}")
    (notebooks / "innerview-1.2.3-py3-none-any.whl").write_text("a wheel")
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    (tmp_path / "data" / "mnist" / "images").write_text("kept")
    monkeypatch.setattr("innerbook.data.load_mnist", lambda: None)
    monkeypatch.setattr("innerbook.data.load_resnet50", lambda: None)
    return tmp_path


def test_it_holds_packages_notebooks_book_and_data(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(command: list[str], **more: object) -> None:
        asked.append(" ".join(command))
        if "--output-file" in command:
            Path(command[-1]).write_text("keras==1\n")

    monkeypatch.setattr(subprocess, "run", run)
    with tarfile.open(bundle.make(built, ["linux", "windows"], ["3.12"])) as archive:
        held = {name.removeprefix("inner-view-class/") for name in archive.getnames()}
    wanted = {"set_up.py", "README.md", "notebooks/page.ipynb", "data/mnist/images"}
    assert held >= wanted | {"packages/innerview-1.2.3-py3-none-any.whl", "book/notebooks/students/page.ipynb"}
    assert not any(name.startswith("book/") and name.endswith(".whl") for name in held)
    assert "--python-platform x86_64-pc-windows-msvc" in asked[2] and "--platform=win_amd64" in asked[3]


def test_what_cannot_be_made_is_said(built: Path) -> None:
    with pytest.raises(ValueError, match="expected platforms of linux, macos, windows; received amiga"):
        bundle.make(built, ["amiga"], ["3.12"])
    with pytest.raises(FileNotFoundError, match="run `make book` first"):
        bundle.make(built / "elsewhere", ["linux"], ["3.12"])
