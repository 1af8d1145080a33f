"""Speed, compared in one run on one machine: `make benchmark` measures and writes book/benchmarks.json."""

import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import course
import keras
import numpy as np
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier
from umap import UMAP

from innerview import datasets, embedding, models
from innerview.activations import activations
from innerview.monitors import Monitor

ROOT = Path(__file__).parents[1]
Row = dict[str, str | float]


def timed(what: str, work: Callable[[], object]) -> Row:
    began = time.perf_counter()
    work()
    return {"what": what, "seconds": time.perf_counter() - began}


def maps() -> dict[str, list[Row]]:
    """Part C: the document's nine UMAP maps and three of scikit-learn's t-SNE, against three and three of ours."""
    mnist = datasets.load_mnist()
    network = models.two_hidden_layers(0)
    models.train_together(
        [network],
        mnist.x_train,
        mnist.y_train,
        loss=keras.losses.categorical_crossentropy,
        optimizer=keras.optimizers.Adam(),
        steps=400,
        batch_size=128,
        record_every=400,
        seed=0,
        watch={},
    )
    x, y, x_new, y_new = mnist.x_train[:2_000], mnist.y_train[:2_000], mnist.x_test[:1_000], mnist.y_test[:1_000]
    hidden = ["hidden1", "hidden2"]
    spaces = [(x, x_new), *zip(*(activations(network, images, hidden).values() for images in (x, x_new)), strict=True)]

    def documents_umap() -> None:
        for k in (3, 5, 10):
            for old, new in spaces:
                umap = UMAP(n_components=2)
                placed = umap.fit_transform(old)
                KNeighborsClassifier(k).fit(placed, y).score(umap.transform(new), y_new)

    def ours(method: embedding.Method) -> None:
        maps = embedding.make_maps(method, spaces, [0, 1, 2])
        for k in (3, 5, 10):
            for placed, placed_new in maps:
                KNeighborsClassifier(k).fit(placed, y).score(placed_new, y_new)

    for method in ("UMAP", "t-SNE"):  # compile first: both sides pay it once a session
        embedding.make_maps(method, [(x[:300], x_new[:50])] * 2, [0, 1])
    UMAP().fit(x[:300]).transform(x_new[:50])
    size = f"{len(x):,} points in three spaces, {len(x_new):,} new ones"
    return {
        f"UMAP, {size}": [
            timed("the document's nine maps", documents_umap),
            timed("our three", lambda: ours("UMAP")),
        ],
        f"t-SNE, {size}": [
            timed("the document's three maps, by scikit-learn", lambda: [TSNE().fit(old) for old, _ in spaces]),
            timed("our three, which place the new points too", lambda: ours("t-SNE")),
        ],
    }


def monitors() -> dict[str, list[Row]]:
    """Part D: training the document's ReLU network with and without its monitors, in turns."""
    mnist = datasets.load_mnist()
    x, y = mnist.x_train[:30_000] - mnist.x_train.mean(), np.eye(10, dtype="float32")[mnist.y_train[:30_000]]
    first, middle, last = "hidden1", "hidden5", "hidden9"
    network = models.feed_forward(0, [64] * 10, "relu")
    network.compile(keras.optimizers.SGD(0.03), models.softmax_crossentropy, jit_compile=True, steps_per_execution=200)

    def train(*callbacks: keras.callbacks.Callback) -> float:
        began = time.perf_counter()
        network.fit(x, y, batch_size=30, epochs=4, shuffle=False, verbose=0, callbacks=list(callbacks))
        return time.perf_counter() - began

    monitor = Monitor(
        *(x[:100], y[:100], 200),
        gradients=[first, "output"],
        weights=[first, middle, last],
        activations=[first, last],
    )
    train(monitor)  # compiles
    before = len(monitor.history["step"])

    def one_record() -> None:
        monitor.record(int(monitor.history["step"][-1]))

    seconds = np.array([[train(), train(monitor), timed("", one_record)["seconds"]] for _ in range(5)])
    made = (len(monitor.history["step"]) - before) / 5 - 1
    without, with_monitor, alone = np.median(seconds, axis=0)
    return {
        "Training 10 ReLU layers, 4,000 steps of 30 images (medians of five, in turns)": [
            {"what": "without a monitor", "seconds": without},
            {"what": f"with the document's monitors every 200 steps, {made:.0f} records", "seconds": with_monitor},
            {"what": f"{made:.0f} records alone", "seconds": made * alone},
        ]
    }


def main() -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        kept = datasets.data_folder() / "mnist"
        os.environ["INNERVIEW_DATA"] = folder  # nothing is read from disk but the data
        if kept.exists():
            (Path(folder) / "mnist").symlink_to(kept)
        results = {name: rows for measure in (maps, monitors) for name, rows in measure().items()}
    found = {**course.origin(), "results": results}
    course.write_json(ROOT / "book" / "benchmarks.json", found)
    for name, rows in results.items():
        print(name)
        for row in rows:
            print(f"  {row['seconds']:8.2f} s  {row['what']}")


if __name__ == "__main__":
    main()
