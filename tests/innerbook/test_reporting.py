import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from myst_nb.ext.glue import extract_glue_data_cell
from traitlets.config import Config

from innerbook.reporting import report


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # a shell puts its own there
    yield InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    InteractiveShell.clear_instance()


def reported(*values: Any, **more: Any) -> dict[str, str]:
    """What a page can name after `report`, as MyST-NB reads it from the cell's outputs."""
    with capture_output() as got:
        report(*values, **more)
    assert got.stdout == got.stderr == ""
    outputs = [nbformat.v4.new_output("display_data", out.data, metadata=out.metadata) for out in got.outputs]
    cell = nbformat.v4.new_code_cell(outputs=outputs)
    data = [(name, output["data"]["text/plain"]) for name, output in extract_glue_data_cell(cell)]
    assert cell.outputs == [] and len(dict(data)) == len(data)  # nothing is shown
    return dict(data)


def test_an_array_is_its_median_and_one_integer_stays_one(shell: InteractiveShell) -> None:
    runs = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    found = reported(
        {"accuracy of all": runs, "one run": runs[0, :1], "listed": [3, 1, 2]},
        share=0.25,
        single=np.float32(0.1),
        close=(runs > 0).sum(),
        epochs=20,
        held=True,
        half=[True, False],
    )
    assert found == {
        "accuracy of all": repr(float(np.median(runs))),
        "one run": repr(float(runs[0, 0])),
        "listed": "2.0",
        "share": "0.25",
        "single": repr(float(np.float32(0.1))),
        "close": f"{(runs > 0).sum()}",
        "epochs": "20",
        "held": "1.0",
        "half": "0.5",
    }


def test_what_is_nested_has_joined_names(shell: InteractiveShell) -> None:
    ratio = {(18, "Conv2"): np.array([0.5, 1.5]), (18, "Conv5"): np.float32(2)}
    assert reported({"ratio": ratio, "need": {0.25: 3, "on fives": {1: 0.5}}}) == {
        "ratio_18_Conv2": "1.0",
        "ratio_18_Conv5": "2.0",
        "need_0.25": "3",
        "need_on fives_1": "0.5",
    }


def test_tables_are_named_by_column_and_index(shell: InteractiveShell) -> None:
    table = pd.DataFrame({"UMAP": [0.5, 0.75], "runs": [5, 6]}, index=["pixels", "first"])
    names = {"UMAP_pixels": "0.5", "UMAP_first": "0.75", "runs_pixels": "5", "runs_first": "6"}
    assert reported(table) == names
    assert reported(on=table["UMAP"]) == {"on_pixels": "0.5", "on_first": "0.75"}
    both = pd.concat({"test": table, "train": table}, axis=1)
    assert reported(both)["train_UMAP_first"] == "0.75" and len(reported(both)) == 8
    of_runs = pd.DataFrame({"UMAP": [np.array([1.0, 2.0, 9.0])]}, index=["pixels"])
    assert reported(of_runs) == {"UMAP_pixels": "2.0"}


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"a": {"b": np.nan}}, ValueError, "finite number; 'a_b' is nan"),
        ({"a": [1.0, np.inf, np.inf]}, ValueError, "finite number; 'a' is inf"),
        ({"a": np.ones((0, 5))}, ValueError, r"at least one value; 'a' has shape (0, 5)"),
        ({"a": {"b": 1}, "a_b": 2}, ValueError, "two are named 'a_b'"),
        ({"twice": 1}, ValueError, "two are named 'twice'"),
        (pd.Series([1, 2], index=["x", "x"]), ValueError, "two are named 'x'"),
        ({"a": "0.5"}, TypeError, "expected numbers; 'a' is str: '0.5'"),
        ({"a": None}, TypeError, "'a' is NoneType"),
        ({"a": 1j}, TypeError, "'a' is complex"),
        ([0.5], TypeError, "expected values by name, such as a dict; received list"),
    ],
)
def test_what_cannot_be_said_is_refused(
    shell: InteractiveShell, values: Any, error: type[Exception], message: str
) -> None:
    with capture_output() as got, pytest.raises(error, match=re.escape(message)):
        report(values, twice=2)
    assert got.outputs == []  # all or nothing


def test_a_plain_script_shows_nothing() -> None:
    code = "from innerbook.reporting import report; report(a=1); import sys; assert 'myst_nb' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""
