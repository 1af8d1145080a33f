"""What is kept on disk comes back as it was, also after a kill, and a broken file is never believed."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from innerbook import data, memory
from innerbook.settings import seeds
from innerview import Monitor, deep_tanh, fit_ensemble, fit_inputs, invert, invert_layer, l1_distance, random_start

CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path))
    CALLS.clear()
    return tmp_path


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("results/*.npz"))


@dataclass(frozen=True)
class Pair:
    first: np.ndarray
    rest: dict[str, Any]


def work(x: np.ndarray, power: int = 2) -> Pair:
    CALLS[:] = [*CALLS, power]
    return Pair(x**power, {"list": [x, 1.5], "none": None, "tuple": (x + 1,)})


def test_a_result_is_computed_once_and_comes_back_as_it_was(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "_key", lambda function, arguments: f"{arguments['power']}")  # CALLS is no setting
    pytest.importorskip("ipykernel")  # imported, it is no notebook yet
    x = np.arange(3.0)
    for _ in range(2):
        found = memory.cached(work)(x)
        np.testing.assert_array_equal(found.first, x**2)
        np.testing.assert_array_equal(found.rest["list"][0], x)
        assert found.rest["list"][1] == 1.5 and found.rest["none"] is None and isinstance(found.rest["tuple"], tuple)
    memory.cached(work)(x, power=3)
    assert CALLS == [2, 3] and len(kept(own_folder)) == 2
    assert capsys.readouterr().out == ""


def slow(x: np.ndarray) -> np.ndarray:
    time.sleep(1)
    return x


def test_what_one_waited_for_another_is_not_counted_again() -> None:
    with ThreadPoolExecutor() as two:
        found = [each.result() for each in [two.submit(memory.kept, slow, np.zeros(3)) for _ in range(2)]]
    (computed,) = [one for one in found if not one.read]
    (waited,) = [one for one in found if one.read]
    assert computed.saved == {computed.name: 0} and waited.seconds >= 1
    assert waited.saved[waited.name] < 0.5
    later = memory.kept(slow, np.zeros(3))
    assert later.saved[later.name] >= 0.9


def drawn() -> np.ndarray:
    return np.random.default_rng(seeds(1)[0]).random(3)


def test_a_pages_function_that_asks_for_its_seeds_is_kept_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    first = memory.cached(drawn)()
    monkeypatch.setenv("INNERVIEW_FIRST_SEED", "5")
    assert not np.array_equal(memory.cached(drawn)(), first)
    monkeypatch.setenv("INNERVIEW_FIRST_SEED", "0")
    np.testing.assert_array_equal(memory.cached(drawn)(), first)


def test_a_pages_function_that_loads_data_is_kept_for_the_full_and_for_the_small_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = set()
    for there in (True, False):
        monkeypatch.setattr(data, "available", lambda there=there: {"mnist": there})
        keys.add((memory._key(drawn, {}), memory._key(fit_ensemble, {})))
    assert len({of_page for of_page, _ in keys}) == 2 and len({of_ours for _, of_ours in keys}) == 1


def test_what_keras_and_tensorflow_are_told_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    config, keys = keras.config, [memory._key(fit_ensemble, {})]
    for get, put, value in (
        (config.floatx, config.set_floatx, "float64"),
        (config.dtype_policy, config.set_dtype_policy, "mixed_bfloat16"),
        (config.image_data_format, config.set_image_data_format, "channels_first"),
        (config.epsilon, config.set_epsilon, 1e-5),
    ):
        before = get()
        put(value)
        keys.append(memory._key(fit_ensemble, {}))
        put(before)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "in another way")
    keys.append(memory._key(fit_ensemble, {}))
    monkeypatch.undo()
    assert len(set(keys)) == 6 or (keras.backend.backend() != "tensorflow" and len(set(keys)) == 5)
    assert memory._key(fit_ensemble, {}) == keys[0]


def penalty(x: Any) -> Any:
    return keras.ops.sum(keras.ops.abs(x))


def test_a_penalty_may_be_a_function(own_folder: Path) -> None:
    def run(regularizer: Any) -> np.ndarray:
        descent = {"optimizer": keras.optimizers.SGD(0.01), "steps": 10, "regularizer": regularizer}
        target, start = np.zeros((1, 3)), np.ones((1, 3))
        return memory.cached(fit_inputs)(linear(np.eye(3)), target, start, distance=l1_distance, **descent).images

    np.testing.assert_array_equal(run(penalty), run(penalty))
    assert len(kept(own_folder)) == 1 and not np.array_equal(run(penalty), run(None))


@pytest.mark.parametrize("damage", ["cut", "empty", "turned"])
def test_a_broken_file_is_named_and_computed_anew(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    monkeypatch.setattr(memory, "_key", lambda function, arguments: "key")
    x = np.arange(1_000.0)
    memory.cached(work)(x)
    (path,) = kept(own_folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"cut": bytes(content[: len(content) // 2]), "empty": b"", "turned": bytes(content)}[damage])
    np.testing.assert_array_equal(memory.cached(work)(x).first, x**2)
    assert CALLS == [2, 2]
    assert f"{path} is broken, and computed anew." in capsys.readouterr().out
    memory.cached(work)(x)
    assert CALLS == [2, 2]


def test_an_error_or_an_interrupt_keeps_nothing(own_folder: Path) -> None:
    def interrupted() -> np.ndarray:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        memory.cached(interrupted)()
    assert not kept(own_folder)


def test_a_result_that_cannot_be_stored_is_refused(own_folder: Path) -> None:
    def thing() -> Any:
        return object()

    with pytest.raises(TypeError, match="expected a result of arrays and numbers; received object"):
        memory.cached(thing)()
    assert not kept(own_folder)


def test_writing_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), memory.atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def digits() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((100, 784), "float32"), rng.integers(0, 10, 100)


def trained() -> tuple[list[keras.Model], Any, Monitor]:
    x, y = digits()
    networks = [deep_tanh(seed) for seed in range(2)]
    monitor = Monitor(x[:10], np.eye(10, dtype="float32")[y[:10]], 4, gradients=["hidden1"], activations=["hidden2"])
    history = memory.cached(fit_ensemble)(
        networks,
        x,
        y,
        loss=keras.losses.categorical_crossentropy,
        optimizer=keras.optimizers.SGD(0.5),
        steps=8,
        batch_size=20,
        log_every=4,
        shuffle_seed=0,
        eval_sets={"all": (x, y)},
        callbacks=[monitor],
    )
    return networks, history, monitor


def test_weights_and_the_monitors_history_come_back_too(own_folder: Path) -> None:
    first, history, monitor = trained()
    (path,) = kept(own_folder)
    written = path.stat().st_mtime_ns
    again, same_history, same_monitor = trained()
    assert path.stat().st_mtime_ns == written
    for ours, theirs in zip(first, again, strict=True):
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert not np.array_equal(theirs.get_weights()[0], deep_tanh(0).get_weights()[0])
    assert list(history) == list(same_history) and list(monitor.history) == list(same_monitor.history)
    for mine, other in ((history, same_history), (monitor.history, same_monitor.history)):
        for name, values in mine.items():
            np.testing.assert_array_equal(values, other[name])
    assert len(kept(own_folder)) == 1


class CutOff(keras.callbacks.Callback):
    """Ends a fit after so many records in all; its count is no setting, so it is kept outside."""

    left = 10**9

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        CutOff.left -= 1
        if not CutOff.left:
            raise KeyboardInterrupt


def linear(matrix: np.ndarray) -> keras.Model:
    layer = keras.layers.Dense(matrix.shape[1], use_bias=False, dtype="float64")
    model = keras.Sequential([keras.Input((len(matrix),), dtype="float64"), layer])
    model.set_weights([matrix])
    return model


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_descent_goes_on_where_it_was_cut_off(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch, momentum: float
) -> None:
    rng = np.random.default_rng(0)
    matrix, (original, start) = rng.normal(size=(5, 5)), rng.normal(size=(2, 3, 5))
    monkeypatch.setattr(memory, "PIECE_SECONDS", 0.0)
    monkeypatch.setattr(memory, "_key", lambda function, arguments: "key")

    def run(function: Any) -> Any:
        rate = keras.optimizers.schedules.PolynomialDecay(0.01, 60, 1e-4)
        optimizer = keras.optimizers.SGD(rate, momentum=momentum)
        settings = {"optimizer": optimizer, "steps": 60, "log_every": 10, "callbacks": [CutOff()]}
        return function(linear(matrix), original, start, **settings)

    whole = run(invert)
    CutOff.left = 3
    with pytest.raises(KeyboardInterrupt):
        run(memory.cached(invert))
    assert [path.name for path in kept(own_folder)] == ["invert-key.piece-1.npz"]
    CutOff.left = 5  # four records are left to take, since the third was not written
    rest = run(memory.cached(invert))
    assert CutOff.left == 1
    CutOff.left = 10**9
    assert [path.name for path in kept(own_folder)] == ["invert-key.npz"]
    for name in ("images", "steps", "distances", "m_g", "m_i"):
        np.testing.assert_allclose(getattr(rest, name), getattr(whole, name), rtol=1e-12)


def convolution(seed: int) -> keras.Model:
    kernel = keras.initializers.RandomNormal(stddev=0.3, seed=seed)
    layer = keras.layers.Conv2D(4, 3, strides=2, activation="relu", kernel_initializer=kernel, name="features")
    return keras.Sequential([keras.Input((12, 12, 3)), layer])


def test_descents_through_several_networks_go_on_in_the_one_that_was_cut_off(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, start = np.random.default_rng(0).random((2, 12, 12, 3), "float32"), random_start(range(4), (12, 12, 3))
    monkeypatch.setattr(memory, "PIECE_SECONDS", 0.0)
    monkeypatch.setattr(memory, "_key", lambda function, arguments: "key")  # CutOff.left is no setting

    def run(function: Any) -> Any:
        networks = [convolution(0), convolution(1)]
        settings = {"steps": 100, "start": start, "blurred": True, "callbacks": [CutOff()]}
        return function(networks, "features", images, **settings)

    whole = run(invert_layer)
    CutOff.left = 25  # at the second network's fifth record
    with pytest.raises(KeyboardInterrupt):
        run(memory.cached(invert_layer))
    CutOff.left = 10**9
    rest = run(memory.cached(invert_layer))
    assert len(kept(own_folder)) == 1
    for name in ("images", "distances", "m_g", "m_i"):
        np.testing.assert_array_equal(getattr(rest, name), getattr(whole, name))


SCRIPT = """
import numpy as np, time
from innerbook.memory import cached

def slow(x):
    print("computing", flush=True)
    time.sleep({seconds})
    return x + 1

print(cached(slow)(np.arange(3.0))[0], flush=True)
"""


def process(tmp_path: Path, seconds: float) -> subprocess.Popen[str]:
    script = tmp_path / "page.py"
    script.write_text(SCRIPT.replace("{seconds}", f"{seconds}"))
    environment = {**os.environ, "INNERVIEW_DATA": str(tmp_path)}
    return subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)


def test_two_processes_that_want_the_same_compute_it_once(tmp_path: Path) -> None:
    both = [process(tmp_path, 2) for _ in range(2)]
    said = "".join(one.communicate(timeout=120)[0] for one in both)
    assert said.count("computing") == 1 and said.count("1.0") == 2


def test_a_killed_process_leaves_nothing_half_and_no_lock(tmp_path: Path) -> None:
    killed = process(tmp_path, 60)
    assert killed.stdout is not None and killed.stdout.readline() == "computing\n"
    killed.kill()
    killed.wait(timeout=30)
    assert not kept(tmp_path)
    killed.stdout.close()
    assert process(tmp_path, 0).communicate(timeout=120)[0] == "computing\n1.0\n"
