"""Kernels that are copies of one process: real processes, on Linux."""

import asyncio
import os
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from innerbook.build import nursery

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each kernel imports for itself")


def run(kernels: nursery.Kernels, code: str, folder: Path) -> str:
    """Run one cell in a kernel of its own, and return what it printed."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    told = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=60, resources=told, kernel_manager_class=kernels.manager)
    asyncio.run(client.async_execute())
    return "".join(output.text for output in notebook.cells[0].outputs if output.output_type == "stream").strip()


def alive(pid: str) -> bool:
    return Path("/proc", pid).exists()


def test_modules_that_several_pages_import() -> None:
    pages = [
        "import numpy as np\nfrom innerbook import zoo",
        "import numpy.linalg, os",
        "from innerbook import zoo, data",
    ]
    assert nursery.shared_imports(pages) == ["innerbook", "innerbook.zoo"]
    assert nursery.shared_imports(["def f():\n    import numpy", "import numpy", "from . import numpy"]) == ["numpy"]


def test_kernels_have_what_was_imported_and_nothing_else_in_common(tmp_path: Path) -> None:
    with nursery.opened(["import colorsys", "import colorsys"]) as kernels:
        # Imported before the kernel's first cell; each kernel has its own variables, folder and modules.
        code = "import os, sys\nprint('colorsys' in sys.modules, 'x' in globals(), os.getcwd(), os.getpid())\nx = 1\n"
        said = [run(kernels, f"{code}sys.modules['colorsys'].changed = 1", tmp_path).split() for _ in range(2)]
        changed = run(kernels, "import colorsys\nprint(hasattr(colorsys, 'changed'))", tmp_path)
    assert [words[:3] for words in said] == [["True", "False", str(tmp_path)]] * 2 and changed == "False"
    assert said[0][3] != said[1][3] and not alive(said[0][3]) and not alive(said[1][3])
    assert kernels.seconds > 0 and not kernels.warned


def test_a_kernel_that_dies_takes_none_along(tmp_path: Path) -> None:
    with nursery.opened([]) as kernels:
        with pytest.raises(DeadKernelError):
            run(kernels, "import os; os._exit(3)", tmp_path)
        assert run(kernels, "print(1)", tmp_path) == "1"


def test_warnings_of_imports_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old.py").write_text("import warnings\nwarnings.warn('is old', FutureWarning)\nprint('noise')\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])))
    pages = ["import old, broken, no_such_module"] * 2
    with nursery.opened(pages) as kernels:
        assert kernels.warned == ["FutureWarning: is old"]
        assert run(kernels, "try:\n    import broken\nexcept ZeroDivisionError:\n    print('on the page')", tmp_path)


def test_no_kernel_outlives_the_build(tmp_path: Path) -> None:
    with nursery.opened([]) as kernels:
        # The kernel itself, left running by its manager.
        async def start() -> str:
            manager = kernels.manager()
            await manager.start_kernel(cwd=str(tmp_path))
            pid = str(manager.provisioner.pid)  # type: ignore[union-attr]
            manager.context.destroy()
            return pid

        pid = asyncio.run(start())
        assert alive(pid)
    end = time.monotonic() + 10
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive(pid)
