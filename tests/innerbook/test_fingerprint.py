"""What bears on a result is in its fingerprint, and nothing else is."""

import functools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

import innerview
from innerbook import fingerprint, memory
from innerview import GaussianBlur, Monitor, fit_ensemble, fit_inputs, linear_decay_sgd

Edit = Callable[..., None]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Fingerprints read a copy of the packages, which a test may change: what a module does, or what it only says."""
    for package in fingerprint.OWN:
        folder = fingerprint._package_folder(package)
        assert folder is not None
        shutil.copytree(folder, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "_package_folder", lambda package: tmp_path / package)

    def change(module: str, words_only: bool = False) -> None:
        path = tmp_path / f"{module.replace('.', '/')}.py"
        text = path.read_text(encoding="utf-8")
        worded = text.replace('"""', '"""In other words. ', 1) + "\n# A comment.\n"
        path.write_text(worded if words_only else text + "\nCHANGED = True\n", encoding="utf-8")

    return change


def training_key() -> str:
    return memory._key(fit_ensemble, {"x": np.zeros(3), "loss": innerview.softmax_crossentropy})


def descent_key() -> str:
    optimizer = linear_decay_sgd(0.1, 10)
    arguments = {"optimizer": optimizer, "constraint": GaussianBlur(optimizer, 10), "start": np.zeros(3)}
    return memory._key(fit_inputs, arguments)


def page_key(code: str = "from innerview import fit_ensemble, fit_inputs") -> str:
    return fingerprint.of_modules(fingerprint.imported_by(code))


# What the keys of the old caches, which were picked by hand, left out.
LEFT_OUT = [(training_key, module) for module in ("callbacks", "layers", "losses")]
LEFT_OUT += [(descent_key, module) for module in ("callbacks", "constraints", "layers", "optimizers", "inversion")]


@pytest.mark.parametrize(("key", "module"), LEFT_OUT)
def test_a_change_in_what_bears_on_a_result_changes_both_keys(edit: Edit, key: Callable[[], str], module: str) -> None:
    before = key(), page_key()
    edit(f"innerview.{module}", words_only=True)
    assert (key(), page_key()) == before
    edit(f"innerview.{module}")
    assert key() != before[0] and page_key() != before[1]


def test_a_page_hangs_on_the_modules_of_the_names_that_it_imports(edit: Edit) -> None:
    of_figures, of_training = page_key("from innerbook import figures"), page_key()
    edit("innerview.layers")
    assert page_key() != of_training and page_key("from innerbook import figures") == of_figures


def test_a_views_script_is_part_of_what_it_does(edit: Edit, tmp_path: Path) -> None:
    before = page_key("from innerbook.interactive import frame_player")
    script = next((tmp_path / "innerbook" / "interactive").glob("*.js"))
    script.write_text(script.read_text() + "// more")
    assert page_key("from innerbook.interactive import frame_player") != before


def test_what_cannot_be_digested_is_refused_and_never_left_out() -> None:
    class Opaque:
        __slots__ = ("value",)

    random = np.random.default_rng(0)  # which moves on when it is used
    without_settings = Unsaid(1)
    for value in (Opaque(), [1, Opaque()], {"a": Opaque()}, np.array([object()]), (i for i in range(3)), random,
                  random.normal, np.random.normal, np.frompyfunc(abs, 1, 1), without_settings):  # fmt: skip
        with pytest.raises(TypeError, match="expected"):
            fingerprint.of_values(value)


class Unsaid(keras.regularizers.Regularizer):
    def __init__(self, rate: float):
        self.rate = rate


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

    def with_named_default(*, x: int = 1) -> int:
        return x

    before = of(with_named_default)
    with_named_default.__kwdefaults__ = {"x": 2}
    assert of(with_named_default) != before
    before = of(with_default)
    with_default.rate = 2  # type: ignore[attr-defined]
    assert of(with_default) != before


def test_globals_and_modules_that_inner_functions_read_count(monkeypatch: pytest.MonkeyPatch, edit: Edit) -> None:
    def outer(values: list[float]) -> list[float]:
        from innerview import metrics

        return [(lambda x: reads_a_global(x) + FACTOR)(value) for value in values if metrics]

    before = fingerprint.of_values(outer)
    monkeypatch.setitem(globals(), "FACTOR", 4.0)
    after = fingerprint.of_values(outer)
    assert after != before
    edit("innerview.metrics")
    assert fingerprint.of_values(outer) != after


def doubled(function: Callable[[float], float]) -> Callable[[float], float]:
    @functools.wraps(function)
    def wrapper(value: float) -> float:
        return 2 * function(value)

    return wrapper


def tripled(function: Callable[[float], float]) -> Callable[[float], float]:
    @functools.wraps(function)
    def wrapper(value: float) -> float:
        return 3 * function(value)

    return wrapper


@contextmanager
def around(value: float = 1.0) -> Iterator[float]:
    yield value


def test_decorated_functions_count_with_decorator_and_function() -> None:
    of = fingerprint.of_values
    assert len({of(f) for f in (reads_a_global, doubled(reads_a_global), tripled(reads_a_global))}) == 3
    assert of(doubled(scaled(1.0))) == of(doubled(scaled(1.0))) != of(doubled(scaled(2.0)))
    assert of(doubled(np.mean)) != of(tripled(np.mean)) != of(np.mean)  # though each says that it is NumPy's
    assert of(memory.cached(scaled(1.0))) != of(memory.cached(scaled(2.0)))
    before = of(around)
    around.__wrapped__.__defaults__ = (2.0,)  # type: ignore[attr-defined]
    assert of(around) != before


class Scale:
    unit = 1.0

    def __init__(self, rate: float):
        self.rate = rate

    def times(self, value: float) -> float:
        return self.unit * self.rate * value


def test_methods_count_with_what_they_belong_to(monkeypatch: pytest.MonkeyPatch) -> None:
    of = fingerprint.of_values
    assert of(Scale(1.0).times) == of(Scale(1.0).times) != of(Scale(2.0).times)
    assert of({1: 2}.get) == of({1: 2}.get) != of({1: 3}.get)
    before = of(Scale(1.0).times)
    monkeypatch.setattr(Scale, "unit", 2.0)
    assert of(Scale(1.0).times) != before


@dataclass(frozen=True)
class Plain:
    values: np.ndarray
    count: int = 1


@dataclass(slots=True)
class Slotted:
    count: int


class Named(NamedTuple):
    number: int


def test_plain_objects_count_with_what_they_hold() -> None:
    of, x = fingerprint.of_values, np.arange(3.0)
    assert of(Plain(x)) == of(Plain(x.copy())) != of(Plain(x + 1)) != of(Plain(x + 1, 2))
    assert of(Slotted(1)) == of(Slotted(1)) != of(Slotted(2))
    assert of(Named(1)) == of(Named(1)) != of(Named(2)) and of(Named(1)) != of((1,)) != of([1])
    assert of(np.ma.masked_less(x, 1)) != of(np.ma.masked_less(x, 2))
    assert of(np.dtype("float32")) != of(np.dtype("float64"))


def test_a_pages_own_class_counts_with_what_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    of = fingerprint.of_values
    assert of(Penalty(0.1)) == of(Penalty(0.1)) != of(Penalty(0.2))
    before = of(Penalty(0.1))
    monkeypatch.setattr(Penalty, "__call__", lambda self, x: self.rate * keras.ops.max(x))
    assert of(Penalty(0.1)) != before


class Times(keras.layers.Layer):
    def __init__(self, rate: float = 1.0):
        super().__init__()
        self.rate = rate

    def call(self, x: Any) -> Any:
        return self.rate * x


class Weighted(keras.losses.Loss):
    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.rate * keras.ops.mean(y_pred - y_true)


def test_what_a_keras_object_does_not_say_of_itself_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    of = fingerprint.of_values
    assert of(Weighted(1.0)) == of(Weighted(1.0)) != of(Weighted(2.0))

    def model(layer: keras.layers.Layer) -> keras.Model:
        return keras.Sequential([keras.Input((2,)), layer])

    changed = Times()
    changed.rate = 2.0
    assert of(model(Times())) == of(model(Times())) != of(model(changed))
    first, second = keras.random.SeedGenerator(0), keras.random.SeedGenerator(0)
    second.next()
    assert of(first) != of(second)

    def of_code() -> tuple[str, str]:  # which settings only name
        kernel = {"kernel_initializer": "zeros", "kernel_regularizer": Penalty(0.1)}
        return of(model(keras.layers.Dense(1, reads_a_global))), of(model(keras.layers.Dense(1, **kernel)))

    before = of_code()
    monkeypatch.setitem(globals(), "FACTOR", 4.0)
    monkeypatch.setattr(Penalty, "__call__", lambda self, x: self.rate * keras.ops.max(x))
    after = of_code()
    assert before[0] != after[0] and before[1] != after[1]


def small(seed: int = 0, rate: float = 0.5, name: str | None = None) -> keras.Model:
    kernel = keras.initializers.RandomNormal(seed=seed)
    layers = [keras.layers.Dense(3, "relu", kernel_initializer=kernel, name=name), keras.layers.Dropout(rate, seed=1)]
    return keras.Sequential([keras.Input((4,)), *layers])


def convolution(dtype: str = "float32") -> keras.Model:
    image = keras.Input((4, 4, 3))
    layer = keras.layers.Conv2D(2, 3, kernel_initializer="zeros", dtype=dtype)
    return keras.Model(image, keras.ops.relu(layer(image)) * 2)


def test_a_model_counts_with_weights_settings_and_given_names_but_not_with_keras_own_numbers() -> None:
    of = fingerprint.of_values
    assert of(small()) == of(small())  # whose layers have other automatic names
    assert len({of(model) for model in (small(), small(seed=1), small(rate=0.4), small(name="first"))}) == 4
    assert of(small(name="first")) != of(small(name="second"))  # by which a layer may be asked for
    assert of(convolution()) == of(convolution()) != of(convolution("mixed_bfloat16"))
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
