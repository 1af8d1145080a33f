"""One archive for a room without internet: packages, data, notebooks, the book, and a script that sets all of it up."""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from innerbook import data, settings
from innerbook.memory import atomic_write

# How uv names a system, and which of pip's platforms it can use.
PLATFORMS = {
    "linux": ("x86_64-manylinux_2_28", ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")),
    "macos": ("aarch64-apple-darwin", ("macosx_14_0_arm64", "macosx_12_0_arm64", "macosx_11_0_arm64")),
    "windows": ("x86_64-pc-windows-msvc", ("win_amd64",)),
}
ARCHIVE = "inner-view-class"


def make(root: Path, platforms: Sequence[str], pythons: Sequence[str]) -> Path:
    """Write ``_build/inner-view-class.tar`` out of a built book, and return its path.

    Args:
        root: the repository's folder, after ``make book``.
        platforms: the systems to bring packages for, of ``linux``, ``macos`` and ``windows``.
        pythons: the versions of Python to bring packages for, such as ``"3.12"``.

    Raises:
        ValueError: a platform has another name.
        FileNotFoundError: the book is not built.
        subprocess.CalledProcessError: the packages cannot be had.
    """
    if unknown := [name for name in platforms if name not in PLATFORMS]:
        raise ValueError(f"expected platforms of {', '.join(PLATFORMS)}; received {', '.join(unknown)}")
    html, folder = root / "_build" / "html", root / "_build" / ARCHIVE
    wheel = next((html / "notebooks").glob("*.whl"), None)
    if wheel is None:
        raise FileNotFoundError(f"there are no notebooks in {html}: run `make book` first")
    shutil.rmtree(folder, ignore_errors=True)
    for python in pythons:
        for platform in platforms:
            print(f"Packages for {platform} and Python {python} ...", flush=True)
            _download(root, wheel, folder / "packages", platform, python)
    shutil.copy(wheel, folder / "packages")
    shutil.copytree(html, folder / "book", ignore=shutil.ignore_patterns("*.whl", "binder"))
    shutil.copytree(html / "notebooks" / "students", folder / "notebooks")
    print("Data, weights and the archive ...", flush=True)
    data.load_mnist()
    data.load_resnet50()
    for name in ("mnist", "imagenet"):
        if (kept := settings.current().data_folder / name).exists():
            shutil.copytree(kept, folder / "data" / name, ignore=shutil.ignore_patterns("*.lock"))
    shutil.copytree(Path(__file__).parent / "class_bundle", folder, dirs_exist_ok=True)
    path = root / "_build" / f"{ARCHIVE}.tar"
    with atomic_write(path) as temporary, tarfile.open(temporary, "w") as archive:
        archive.add(folder, ARCHIVE)
    shutil.rmtree(folder)
    return path


def _download(root: Path, wheel: Path, folder: Path, platform: str, python: str) -> None:
    """Fetch what a notebook needs on a system, in the locked versions.

    uv finds out what that is; pip would ask the conditions of the system on which it runs. pip fetches it, as uv does
    not yet.
    """
    system, tags = PLATFORMS[platform]
    folder.mkdir(parents=True, exist_ok=True)
    listed = folder / "list.txt"
    asked = f"innerview[notebooks,tensorflow] @ {wheel.resolve().as_uri()}\njupyterlab\n"
    uv = [sys.executable, "-m", "uv", "pip", "compile", "-", "--constraint", "requirements.lock", "--quiet"]
    uv += ["--python-platform", system, "--python-version", python, "--no-emit-package", "innerview"]
    subprocess.run([*uv, "--output-file", str(listed)], cwd=root, check=True, input=asked, text=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    pip += ["--python-version", python, "--requirement", str(listed), "--dest", str(folder)]
    subprocess.run([*pip, *(f"--platform={tag}" for tag in (*tags, "any"))], check=True)
    listed.unlink()
