import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import KNeighborsClassifier

from innerbook import embedding, memory, settings


@pytest.fixture(scope="module")
def folder_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")  # one for all tests, so that they share workers, in which UMAP is compiled


@pytest.fixture(autouse=True)
def own_folder(folder_of_all: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INNERVIEW_DATA", str(folder_of_all))
    shutil.rmtree(folder_of_all / "results", ignore_errors=True)
    return folder_of_all


def clouds(seed: int, each: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), each)
    return (rng.normal(size=(3 * each, 8)) + 20 * np.eye(8)[labels]).astype("float32"), labels


@pytest.mark.parametrize("method", ["UMAP", "t-SNE"])
def test_clouds_stay_apart_and_new_points_find_their_own(own_folder: Path, method: embedding.Method) -> None:
    (x, labels), (new, new_labels) = clouds(0), clouds(1, each=10)
    maps = embedding.embed(method, [(x, new), (x, None), (x, new)], [5, 6, 7])
    for points, placed in (maps[0], maps[2]):
        assert points.shape == (120, 2) and placed.shape == (30, 2) and points.dtype == placed.dtype == np.float32
        assert KNeighborsClassifier(5).fit(points, labels).score(placed, new_labels) == 1
    assert maps[1][1].shape == (0, 2)
    kept = sorted(own_folder.glob("results/one_map-*.npz"))
    assert len(kept) == 3  # three seeds, three maps

    # Made anew it is the same map, under the same name; the seed alone decides.
    for path in kept:
        path.unlink()
    (made,) = embedding.embed(method, [(x, new)], [5])
    np.testing.assert_array_equal(maps[0][0], made[0])
    np.testing.assert_array_equal(maps[0][1], made[1])
    assert not np.allclose(maps[0][0], maps[2][0])
    (again,) = own_folder.glob("results/one_map-*.npz")
    assert again in kept


def test_workers_do_without_keras() -> None:
    x, _ = clouds(0)
    pool = embedding._workers(settings.current())
    embedding.embed("UMAP", [(x, None)], [0])
    held = pool.submit(eval, "[n for n, module in __import__('sys').modules.items() if module is not None]").result()
    assert "umap" in held and not {"keras", "tensorflow"} & set(held)


def test_a_kept_map_is_read_rather_than_made(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = clouds(0)
    first = embedding._kept("t-SNE", x, None, 0)
    assert not first.read and first.saved == {first.name: 0}
    path = next(own_folder.glob("results/*.npz"))
    with np.load(path) as found:
        changed = {**found, "result 0": found["result 0"] + 1, "seconds": np.array(50.0)}
    np.savez(path, **changed)
    again = embedding._kept("t-SNE", x, None, 0)
    np.testing.assert_array_equal(again.result[0], first.result[0] + 1)
    assert again.read and again.saved == {path.stem: pytest.approx(50, abs=1)}
    embedding._kept("t-SNE", x, x[:3], 0)
    embedding._kept("t-SNE", x, None, 1)
    assert len(list(own_folder.glob("results/*.npz"))) == 3

    # Made at once they would take the seconds of one of them, on two cores.
    told: list[Any] = []
    monkeypatch.setattr(memory.Note, "say", lambda self, text, saved=None: told.append(saved))
    monkeypatch.setattr(settings, "usable_cores", lambda: 2)
    embedding.embed("t-SNE", [(x, None), (x, x[:3]), (x, None)], [0, 0, 1])
    assert len(told[-1]) == 3 and told[-1][path.stem] == pytest.approx(25, abs=1)


def neighbourhoods() -> tuple[np.ndarray, np.ndarray]:
    from umap import UMAP

    x, _ = clouds(2)
    options = {"n_epochs": 1, "random_state": 0, "n_jobs": 1}
    ours = UMAP(metric="precomputed", **options).fit(pairwise_distances(x)).graph_
    return ours.toarray(), UMAP(**options).fit(x).graph_.toarray()


def test_distances_beforehand_give_umap_the_same_neighbourhoods() -> None:
    pool = embedding._workers(settings.current())  # in which UMAP is compiled
    np.testing.assert_allclose(*pool.submit(neighbourhoods).result(), atol=1e-4)


X = clouds(0)[0]


@pytest.mark.parametrize(
    ("method", "points", "seeds", "message"),
    [
        ("PCA", [(X, None)], [0], r"one of \['UMAP', 't-SNE'\]; received 'PCA'"),
        ("UMAP", [(X, None)], [0, 1], "received 1 maps, 2 seeds"),
        ("UMAP", [], [], "received 0 maps, 0 seeds"),
        ("UMAP", [(X, X[:, :7])], [0], r"received \(\(120, 8\), \(120, 7\)\)"),
        (
            "UMAP",
            [(X, None), (X[:3], None)],
            [0, 1],
            r"at least 4 points for a map.*map 1 has \(3, 8\)",
        ),
        ("t-SNE", [(X[:0], None)], [0], r"map 0 has \(0, 8\)"),
        ("t-SNE", [(X[:, :1], None)], [0], r"of 2 dimensions; map 0 has \(120, 1\)"),
        ("t-SNE", [(X.astype("U3"), None)], [0], "expected numbers; map 0 has <U3"),
        ("t-SNE", [(X / 1e20, None)], [0], "that differ by 1e-15 or more; map 0 goes to"),
        ("t-SNE", [(np.ones((60, 8)), None)], [0], "all 60 of map 0 are the same"),
        ("t-SNE", [(X, np.full((1, 8), np.inf))], [0], "expected finite points; map 0"),
    ],
)
def test_what_makes_no_map_is_refused(method: Any, points: Any, seeds: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embedding.embed(method, points, seeds)


def test_four_points_make_a_map() -> None:
    for method in ("UMAP", "t-SNE"):
        ((points, _),) = embedding.embed(method, [(X[::30], None)], [0])
        assert points.shape == (4, 2) and np.isfinite(points).all()


def test_other_settings_get_other_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = embedding._workers(settings.current())
    assert embedding._workers(settings.current()) is before
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path))
    assert embedding._workers(settings.current()).submit(settings.current).result().data_folder == tmp_path


SCRIPT = """
import numpy as np
from innerbook.embedding import embed
x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
def make():
    print(embed("t-SNE", [(x, None)], [0])[0][0].shape)
"""


# How a script is run, its last lines, and what it is told.
SCRIPTS = [
    ("file", "make()\n", "a process that makes maps has ended early. In a script, each process imports it: save"),
    ("pipe", "make()\n", "maps are made in processes that import the script, which has no file: save"),
    ("file", 'if __name__ == "__main__":\n    make()\n', ""),
    ("command", "make()\n", ""),
]


def test_a_script_makes_maps_or_says_what_it_lacks(tmp_path: Path) -> None:
    def start(run: str, ending: str, message: str) -> subprocess.CompletedProcess[str]:
        script = SCRIPT + ending
        file = tmp_path / f"{run}{len(ending)}.py"  # each has one of its own, for they run side by side
        file.write_text(script)
        arguments = {"file": [f"{file}"], "pipe": ["-"], "command": ["-c", script]}[run]
        return subprocess.run([sys.executable, *arguments], input=script, capture_output=True, text=True)

    with ThreadPoolExecutor() as pool:
        all_done = list(pool.map(start, *zip(*SCRIPTS, strict=True)))
    for done, (_, _, message) in zip(all_done, SCRIPTS, strict=True):
        if not message:
            assert done.returncode == 0 and done.stdout == "(20, 2)\n", done.stderr
            continue
        assert done.returncode == 1 and done.stderr.count("Traceback") == 1
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"RuntimeError: {message}") and 'if __name__ == "__main__":' in last
