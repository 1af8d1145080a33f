from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import KNeighborsClassifier

from innerview import embedding


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path))
    return tmp_path


def clouds(seed: int, each: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), each)
    return (rng.normal(size=(3 * each, 8)) + 20 * np.eye(8)[labels]).astype("float32"), labels


@pytest.mark.parametrize("method", ["UMAP", "t-SNE"])
def test_clouds_stay_apart_and_new_points_find_their_own(own_folder: Path, method: embedding.Method) -> None:
    (x, labels), (new, new_labels) = clouds(0), clouds(1, each=10)
    maps = embedding.make_maps(method, [(x, new), (x, None), (x, new)], [5, 6, 7])
    for points, placed in (maps[0], maps[2]):
        assert points.shape == (120, 2) and placed.shape == (30, 2) and points.dtype == placed.dtype == np.float32
        assert KNeighborsClassifier(5).fit(points, labels).score(placed, new_labels) == 1
    assert maps[1][1].shape == (0, 2)
    assert len(list(own_folder.glob("maps/*.npz"))) == 3  # three seeds, three maps

    # Made anew it is the same map; the seed alone decides.
    for path in own_folder.glob("maps/*.npz"):
        path.unlink()
    (made,) = embedding.make_maps(method, [(x, new)], [5])
    np.testing.assert_array_equal(maps[0][0], made[0])
    np.testing.assert_array_equal(maps[0][1], made[1])
    assert not np.allclose(maps[0][0], maps[2][0])


def test_a_kept_map_is_read_rather_than_made(own_folder: Path) -> None:
    x, _ = clouds(0)
    first = embedding._kept_map(own_folder / "maps", "t-SNE", x, None, 0)
    path = next(own_folder.glob("maps/*.npz"))
    with np.load(path) as found:
        changed = {**found, "points": found["points"] + 1}
    np.savez(path, **changed)
    np.testing.assert_array_equal(embedding._kept_map(own_folder / "maps", "t-SNE", x, None, 0)[0], first[0] + 1)
    embedding._kept_map(own_folder / "maps", "t-SNE", x, x[:3], 0)
    embedding._kept_map(own_folder / "maps", "t-SNE", x, None, 1)
    assert len(list(own_folder.glob("maps/*.npz"))) == 3


@pytest.mark.filterwarnings("ignore:using precomputed metric", "ignore:n_jobs value")
def test_distances_beforehand_give_umap_the_same_neighbourhoods() -> None:
    from umap import UMAP

    x, _ = clouds(2)
    settings = {"n_epochs": 1, "random_state": 0, "n_jobs": 1}
    ours = UMAP(metric="precomputed", **settings).fit(pairwise_distances(x)).graph_
    theirs = UMAP(**settings).fit(x).graph_
    np.testing.assert_allclose(ours.toarray(), theirs.toarray(), atol=1e-4)


def test_what_makes_no_map_is_refused() -> None:
    x, _ = clouds(0)
    with pytest.raises(ValueError, match=r"one of \['UMAP', 't-SNE'\]; received 'PCA'"):
        embedding.make_maps("PCA", [(x, None)], [0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="received 1 maps, 2 seeds"):
        embedding.make_maps("UMAP", [(x, None)], [0, 1])
    with pytest.raises(ValueError, match="received 0 maps, 0 seeds"):
        embedding.make_maps("UMAP", [], [])
    with pytest.raises(ValueError, match=r"received \(\(120, 8\), \(120, 7\)\)"):
        embedding.make_maps("UMAP", [(x, x[:, :7])], [0])
