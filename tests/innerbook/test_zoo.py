"""Trained networks by name are what the documents' settings make of them."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from innerbook import data, zoo
from innerview import deep_tanh, fit_ensemble


@pytest.fixture(scope="module")
def mnist() -> data.Mnist:
    return data.load_mnist()


def test_what_falls_back_for_imagenet_knows_digits(mnist: data.Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    # A quarter of its digits is enough to tell it from one that is not trained.
    fewer = replace(mnist, x_train=mnist.x_train[:4_800], y_train=mnist.y_train[:4_800])
    monkeypatch.setattr(zoo, "load_mnist", lambda: fewer)
    network, untrained = zoo.resnets(32, None, seeds=[3])
    images = np.pad(mnist.x_test[:500].reshape(-1, 28, 28, 1), [(0, 0), (2, 2), (2, 2), (0, 0)]).repeat(3, axis=-1)

    def score(model: keras.Model) -> float:
        return float((model.predict(images, verbose=0).argmax(axis=1) == mnist.y_test[:500]).mean())

    assert score(network) > 0.75 > 0.5 > score(untrained[0])


def test_document_as_networks_are_trained_by_its_own_loop(
    mnist: data.Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path))
    x, y = zoo.document_a_images(mnist)
    if not mnist.small:
        assert len(x) == 54_950
    few = replace(mnist, x_train=x[:5_500], y_train=y[:5_500], x_test=mnist.x_test[:100], y_test=mnist.y_test[:100])
    (found,), history = zoo.deep_tanh(few, [7], steps=40, log_every=20)
    assert history["test accuracy"].shape == (2, 1) and len(list(tmp_path.glob("results/*.npz"))) == 1
    network = deep_tanh(7)
    sgd, loss = keras.optimizers.SGD(0.5), keras.losses.categorical_crossentropy
    fit_ensemble([network], x, y, loss=loss, optimizer=sgd, steps=40, batch_size=50)
    for ours, theirs in zip(found.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_document_cs_split_takes_every_image_once() -> None:
    mnist = data.load_mnist(validation=0)
    x, y, x_validation, y_validation = zoo.document_c_split(mnist)
    assert len(x) == 5 * len(x_validation)
    rows = {row.tobytes() for row in np.concatenate([x, x_validation])}
    assert rows == {row.tobytes() for row in mnist.x_train}
    assert (np.bincount(np.concatenate([y, y_validation])) == np.bincount(mnist.y_train)).all()
