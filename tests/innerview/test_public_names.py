"""What the package's face promises, and what the package keeps its hands off."""

import ast
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

import innerview

FOLDER = Path(innerview.__file__).parent
TREES = {path.name: ast.parse(path.read_text("utf-8")) for path in sorted(FOLDER.rglob("*.py"))}


def imported(tree: ast.Module) -> set[str]:
    """The modules that a module imports; those of relative imports begin with a dot."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


def test_the_public_names_are_those_that_the_face_imports() -> None:
    nodes = [node for node in TREES["__init__.py"].body if isinstance(node, ast.ImportFrom)]
    names = sorted(alias.asname or alias.name for node in nodes for alias in node.names)
    assert len(names) == len(set(names)) > 20
    public = {name for name, own in vars(innerview).items() if not name.startswith("_") and not _is_module(own)}
    assert public == set(names)
    assert sorted(getattr(innerview, "__all__", names)) == names


def _is_module(own: Any) -> bool:
    return isinstance(own, ModuleType)


def test_each_public_name_has_a_docstring_of_its_own() -> None:
    for name, own in vars(innerview).items():
        if name.startswith("_") or _is_module(own):
            continue
        assert own.__module__.startswith("innerview."), name
        said = own.__dict__.get("__doc__") if inspect.isclass(own) else own.__doc__
        assert said and not said.startswith(f"{name}("), name  # Python writes such a one for dataclasses
        if inspect.isclass(own):
            methods = [method for key, method in vars(own).items() if not key.startswith("_") and callable(method)]
            assert all(method.__doc__ for method in methods), name


@pytest.mark.parametrize("module", TREES)
def test_a_module_needs_keras_numpy_and_the_standard_library_alone(module: str) -> None:
    packages = {name.partition(".")[0] for name in imported(TREES[module])}
    assert packages <= {"innerview", "keras", "numpy", *sys.stdlib_module_names}


@pytest.mark.parametrize("module", TREES)
def test_a_module_reads_no_environment_opens_no_file_and_prints_nothing(module: str) -> None:
    # Of the standard library, only what leads to no file, no terminal and no environment.
    packages = {name.partition(".")[0] for name in imported(TREES[module])} - {"innerview", "keras", "numpy"}
    assert packages <= {"collections", "contextlib", "dataclasses", "inspect", "random", "re", "typing"}
    called = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}
    attributes = {"environ", "getenv", "open", "print", "print_msg", "save", "savez", "savetxt", "load", "loadtxt"}
    attributes |= {"tofile", "fromfile", "memmap", "load_model", "save_weights", "load_weights", "get_file", "summary"}
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Name):
            assert node.id not in called | {"environ", "getenv"}, f"line {node.lineno}"
        elif isinstance(node, ast.Attribute):
            assert node.attr not in attributes, f"line {node.lineno}"


def test_fitting_and_reading_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    networks = [innerview.feed_forward(seed, [4]) for seed in range(2)]
    x, y = np.random.default_rng(0).random((20, 784), "float32"), np.arange(20) % 10
    monitor = innerview.Monitor(x, np.eye(10, dtype="float32")[y], 2, norms=["hidden1"])
    innerview.fit_ensemble(
        networks,
        x,
        y,
        loss=innerview.softmax_crossentropy,
        optimizer=keras.optimizers.SGD(0.1),
        steps=4,
        batch_size=10,
        log_every=2,
        eval_sets={"all": (x, y)},
        callbacks=[monitor],
    )
    innerview.get_activations(networks[0], x)
    innerview.feature_distance(networks, "hidden1", x, 1 - x)
    innerview.invert(networks[0], x, 1 - x, steps=2, log_every=1)
    images = np.zeros((1, 4, 4, 3), "float32")
    flat = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Rescaling(3.0, name="times3")])
    innerview.invert_layer([flat], "times3", images, steps=20, start=1 + images, blurred=True)
    assert capfd.readouterr().out == ""
