"""Speed, compared in one run on one machine: `make benchmark` measures and writes book/benchmarks.json."""

import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier
from umap import UMAP

from innerbook import data, embedding
from innerbook.build.results import origin, write_json
from innerbook.settings import current
from innerview import (
    Monitor,
    feed_forward,
    fit_ensemble,
    get_activations,
    invert,
    linear_decay_sgd,
    random_start,
    softmax_crossentropy,
    stacked_encoders,
    two_hidden_layers,
)

ROOT = Path(__file__).parents[1]
Row = dict[str, str | float]


def timed(what: str, work: Callable[[], object]) -> Row:
    began = time.perf_counter()
    work()
    return {"what": what, "seconds": time.perf_counter() - began}


def maps() -> dict[str, list[Row]]:
    """Part C: the document's nine UMAP maps and three of scikit-learn's t-SNE, against three and three of ours."""
    mnist = data.load_mnist()
    network = two_hidden_layers(0)
    fit_ensemble(
        [network],
        mnist.x_train,
        mnist.y_train,
        loss=keras.losses.categorical_crossentropy,
        optimizer=keras.optimizers.Adam(),
        steps=400,
        batch_size=128,
        shuffle_seed=0,
    )
    x, y, x_new, y_new = mnist.x_train[:2_000], mnist.y_train[:2_000], mnist.x_test[:1_000], mnist.y_test[:1_000]
    hidden = ["hidden1", "hidden2"]
    spaces = [
        (x, x_new),
        *zip(*(get_activations(network, images, hidden).values() for images in (x, x_new)), strict=True),
    ]

    def documents_umap() -> None:
        for k in (3, 5, 10):
            for old, new in spaces:
                umap = UMAP(n_components=2)
                placed = umap.fit_transform(old)
                KNeighborsClassifier(k).fit(placed, y).score(umap.transform(new), y_new)

    def ours(method: embedding.Method) -> None:
        maps = embedding.embed(method, spaces, [0, 1, 2])
        for k in (3, 5, 10):
            for placed, placed_new in maps:
                KNeighborsClassifier(k).fit(placed, y).score(placed_new, y_new)

    for method in ("UMAP", "t-SNE"):  # compile first: both sides pay it once a session
        embedding.embed(method, [(x[:300], x_new[:50])] * 2, [0, 1])
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
    mnist = data.load_mnist()
    x, y = mnist.x_train[:30_000] - mnist.x_train.mean(), np.eye(10, dtype="float32")[mnist.y_train[:30_000]]
    first, middle, last = "hidden1", "hidden5", "hidden9"
    network = feed_forward(0, [64] * 10, "relu")
    network.compile(keras.optimizers.SGD(0.03), softmax_crossentropy, jit_compile=True, steps_per_execution=200)

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
    seconds = {(): 0.0, (monitor,): 0.0}
    order = list(seconds)
    for _ in range(10):
        for callbacks in order:
            seconds[callbacks] += train(*callbacks)
        order.reverse()  # so that neither always comes second
    made = (len(monitor.history["step"]) - before) / 10
    return {
        "Training 10 ReLU layers, 40,000 steps of 30 images, in ten turns": [
            {"what": "without a monitor", "seconds": seconds[()]},
            {
                "what": f"with the document's monitors every 200 steps, {10 * made:.0f} records",
                "seconds": seconds[monitor,],
            },
        ]
    }


def inversions() -> dict[str, list[Row]]:
    """Part B: five photographs through four dense layers and back, in Keras, in PyTorch, and as it was published."""
    import torch

    steps, images, side, width = 500, 5, 29, 3_000
    n = 3 * side**2
    encoder = stacked_encoders([0], n, [width] * 4)
    original = np.array([image.ravel() for image in data.load_photographs(side).values()][:images])[:, None]
    start, target = random_start(range(images), [1, n]), encoder.predict(original, verbose=0)

    def ours(count: int) -> np.ndarray:
        optimizer = linear_decay_sgd(0.1, steps)
        return invert(encoder, original, start, optimizer=optimizer, steps=count, log_every=10).images

    layers = [torch.nn.Linear(n if i == 0 else width, width) for i in range(4)]
    weights = iter(encoder.get_weights())
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(torch.from_numpy(next(weights)[0].T.copy()))
            layer.bias.copy_(torch.from_numpy(next(weights)[0]))
    network = torch.nn.Sequential(*layers)

    def descend(x: Any, goal: Any, count: int) -> Any:
        for step in range(count):
            loss = 0.35 * (network(x) - goal).abs().sum()
            loss.backward()
            with torch.no_grad():
                x -= (0.1 + (1e-4 - 0.1) * step / steps) * x.grad
                x.grad = None
        return x.detach().numpy()

    def pytorch(count: int) -> np.ndarray:
        """All images at once, and no gradient but the images'."""
        network.requires_grad_(False)
        return descend(torch.tensor(start[:, 0], requires_grad=True), torch.tensor(target[:, 0]), count)

    def published(count: int) -> np.ndarray:
        """One image at a time, while the gradients of all weights are computed and added up."""
        network.requires_grad_(True)
        found = [
            descend(torch.tensor(start[i], requires_grad=True), torch.tensor(target[i]), count) for i in range(images)
        ]
        return np.concatenate(found)

    same = [way(10).reshape(images, n) for way in (published, pytorch, ours)]  # and a warm start for each
    for other in same[1:]:
        assert np.abs(other - same[0]).max() < 1e-3, "the three ways do not agree"
    return {
        f"Inverting four layers of {width:,} units, {images} photographs of {side} x {side}, 100 steps": [
            timed("PyTorch, as published: one by one, with the weights' gradients", lambda: published(100)),
            timed("PyTorch, written well: one batch, the images' gradients only", lambda: pytorch(100)),
            timed("ours, in Keras, with compiling", lambda: ours(100)),
        ]
    }


def main() -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        kept = current().data_folder / "mnist"
        os.environ["INNERVIEW_DATA"] = folder  # nothing is read from disk but the data
        if kept.exists():
            (Path(folder) / "mnist").symlink_to(kept)
        results = {name: rows for measure in (maps, monitors, inversions) for name, rows in measure().items()}
    found = {**origin(), "results": results}
    write_json(ROOT / "book" / "benchmarks.json", found)
    for name, rows in results.items():
        print(name)
        for row in rows:
            print(f"  {row['seconds']:8.2f} s  {row['what']}")


if __name__ == "__main__":
    main()
