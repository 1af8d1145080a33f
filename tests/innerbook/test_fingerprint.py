"""What bears on a result is in its fingerprint, and nothing else is."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import innerview
from innerbook import fingerprint, memory
from innerview import GaussianBlur, Monitor, fit_ensemble, fit_inputs, linear_decay_sgd

Edit = Callable[[str, str, str], None]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Fingerprints read a copy of the packages, which a test may change."""
    for package in fingerprint.OWN:
        folder = fingerprint._package_folder(package)
        assert folder is not None
        shutil.copytree(folder, tmp_path / package)
    monkeypatch.setattr(fingerprint, "_package_folder", lambda package: tmp_path / package)

    def change(module: str, old: str, new: str) -> None:
        path = tmp_path / f"{module.replace('.', '/')}.py"
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {module}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    return change


def training_key() -> str:
    return memory._key(fit_ensemble, {"x": np.zeros(3), "loss": innerview.softmax_crossentropy})


def descent_key() -> str:
    optimizer = linear_decay_sgd(0.1, 10)
    arguments = {"optimizer": optimizer, "constraint": GaussianBlur(optimizer, 10), "start": np.zeros(3)}
    return memory._key(fit_inputs, arguments)


def page_key(code: str = "from innerview import fit_ensemble, fit_inputs") -> str:
    return fingerprint.of_modules(fingerprint.imported_by(code))


# The places that the keys of the old caches, which were picked by hand, left out; in what is called so today.
CHANGES = {
    "what is recorded of a training": (training_key, "callbacks", "losses.mean(axis=0)", "losses.sum(axis=0)"),
    "a monitor's record": (training_key, "callbacks", "self._records[::2], 2 * self", "self._records[::2], 3 * self"),
    "a monitor's gradients": (training_key, "callbacks", "(variable)], gradient)", "(variable)], -gradient)"),
    "a monitor's activations": (training_key, "callbacks", "variable.assign(value)\n        return", "return"),
    "a residual layer": (training_key, "layers", "return inputs + super().call", "return inputs - super().call"),
    "a loss": (training_key, "losses", "from_logits=True", "from_logits=False"),
    "a constraint": (descent_key, "constraints", "ops.exp(-0.5 / sigma**2)", "ops.exp(-0.6 / sigma**2)"),
    "an optimizer": (descent_key, "optimizers", "ops.maximum(size, 1e-30)", "ops.maximum(size, 1e-20)"),
    "what is recorded of a descent": (descent_key, "callbacks", "logs |= self.measure()", "logs |= {}"),
}


@pytest.mark.parametrize(("key", "module", "old", "new"), CHANGES.values(), ids=CHANGES)
def test_a_change_in_what_bears_on_a_result_changes_both_keys(
    edit: Edit, key: Callable[[], str], module: str, old: str, new: str
) -> None:
    on_disk, of_page = key(), page_key()
    edit(f"innerview.{module}", old, new)
    assert key() != on_disk
    assert page_key() != of_page


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("innerview.training", "Train networks of one architecture side by side", "Train them side by side"),
        ("innerview.callbacks", '"""Measure."""', '"""Measure all."""'),
        ("innerview.layers", "# Inference is said here:", "# It is said here:"),
    ],
)
def test_a_change_of_a_docstring_or_comment_changes_no_key(edit: Edit, module: str, old: str, new: str) -> None:
    keys = training_key(), descent_key(), page_key()
    edit(module, old, new)
    assert (training_key(), descent_key(), page_key()) == keys


def test_a_page_hangs_on_the_modules_of_the_names_that_it_imports(edit: Edit) -> None:
    of_figures, of_training = page_key("from innerbook import figures"), page_key()
    edit("innerview.layers", "Return the distances.", "Return them.")
    assert page_key() == of_training
    edit("innerview.layers", "return inputs + outputs if", "return inputs - outputs if")
    assert page_key() != of_training and page_key("from innerbook import figures") == of_figures


def test_a_views_script_is_part_of_what_it_does(edit: Edit, tmp_path: Path) -> None:
    before = page_key("from innerbook.interactive import frame_player")
    script = next((tmp_path / "innerbook" / "interactive").glob("*.js"))
    script.write_text(script.read_text() + "// more")
    assert page_key("from innerbook.interactive import frame_player") != before


def test_what_cannot_be_digested_is_refused_and_never_left_out() -> None:
    class Opaque:
        __slots__ = ("value",)

    for value in (Opaque(), [1, Opaque()], {"a": Opaque()}, np.array([object()]), (i for i in range(3))):
        with pytest.raises(TypeError, match="expected"):
            fingerprint.of_values(value)


def scaled(rate: float) -> Callable[[float], float]:
    return lambda value: rate * value


FACTOR = 3.0


def reads_a_global(value: float) -> float:
    """Docstrings do not count."""
    return FACTOR * value


class Penalty(keras.regularizers.Regularizer):
    def __init__(self, rate: float):
        self.rate = rate

    def __call__(self, x: Any) -> Any:
        return self.rate * keras.ops.sum(x)

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate}


def test_functions_count_with_code_closure_defaults_and_globals(monkeypatch: pytest.MonkeyPatch) -> None:
    of = fingerprint.of_values
    assert of(scaled(2.0)) == of(scaled(2.0)) != of(scaled(2.5))
    before = of(reads_a_global)
    monkeypatch.setitem(globals(), "FACTOR", 4.0)
    assert of(reads_a_global) != before
    assert of(functools.partial(scaled, 1.0)) != of(functools.partial(scaled, 2.0))
    assert of(lambda x: x + 1) != of(lambda x: x + 2)

    def with_default(x: int = 1) -> int:
        return x

    before = of(with_default)
    with_default.__defaults__ = (2,)
    assert of(with_default) != before


def test_a_pages_own_class_counts_with_what_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    of = fingerprint.of_values
    assert of(Penalty(0.1)) == of(Penalty(0.1)) != of(Penalty(0.2))
    before = of(Penalty(0.1))
    monkeypatch.setattr(Penalty, "__call__", lambda self, x: self.rate * keras.ops.max(x))
    assert of(Penalty(0.1)) != before


def small(seed: int = 0, rate: float = 0.5, name: str | None = None) -> keras.Model:
    kernel = keras.initializers.RandomNormal(seed=seed)
    layers = [keras.layers.Dense(3, "relu", kernel_initializer=kernel, name=name), keras.layers.Dropout(rate, seed=1)]
    return keras.Sequential([keras.Input((4,)), *layers])


def test_a_model_counts_with_weights_settings_and_given_names_but_not_with_keras_own_numbers() -> None:
    of = fingerprint.of_values
    assert of(small()) == of(small())  # whose layers have other automatic names
    assert len({of(model) for model in (small(), small(seed=1), small(rate=0.4), small(name="first"))}) == 4
    other_draw = small(seed=1)
    other_draw.set_weights(small().get_weights())
    assert of(other_draw) == of(small())  # how weights were drawn does not matter once they are there


def test_optimizers_arrays_and_monitors_count_with_their_values() -> None:
    of = fingerprint.of_values
    assert of(keras.optimizers.SGD(0.1)) == of(keras.optimizers.SGD(0.1)) != of(keras.optimizers.SGD(0.2))
    assert of(linear_decay_sgd(0.1, 10)) != of(linear_decay_sgd(0.1, 20))
    assert of(linear_decay_sgd(0.1, 10)) != of(linear_decay_sgd(0.1, 10, normalized=True))
    x = np.arange(6, dtype="float32")
    assert len({of(a) for a in (x, x.reshape(2, 3), x.astype("float64"), x + 1)}) == 4
    watch = [Monitor(x[:, None], x, 2, norms=["a"]), Monitor(x[:, None], x, 2, weights=["a"])]
    assert of(watch[0]) != of(watch[1])
    assert of({"a": 1, "b": 2}) != of({"b": 2, "a": 1}) != of([1, 2])
    assert of(1) != of(1.0) != of("1") and of(True) != of(1)
