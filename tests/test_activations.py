import keras
import numpy as np
import pytest

from innerview import models
from innerview.activations import activations, encoder, principal_components, probe_accuracy


def test_against_the_matrix_products() -> None:
    network = models.one_hidden_layer(seed=0)
    x = np.random.default_rng(0).uniform(size=(7, 784)).astype("float32")
    kernel, bias, last_kernel, last_bias = network.get_weights()
    hidden = np.maximum(0, x @ kernel + bias)
    logits = hidden @ last_kernel + last_bias
    output = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    found = activations(network, x, batch_size=3)
    assert list(found) == ["hidden", "output"]
    np.testing.assert_allclose(found["hidden"], hidden, atol=1e-4)
    np.testing.assert_allclose(found["output"], output, atol=1e-5)


def test_only_the_named_layers() -> None:
    found = activations(models.one_hidden_layer(seed=0), np.zeros((2, 784), "float32"), ["hidden"])
    assert list(found) == ["hidden"]


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(ValueError, match=r"among \['hidden', 'output'\]; received 'hiden'"):
        activations(models.one_hidden_layer(seed=0), np.zeros((2, 784), "float32"), ["hiden"])


def test_probe_reads_what_is_linearly_separable_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    corners = 6 * np.array([[0, 1], [1, 0], [-1, -1]])
    x = corners[y] + rng.normal(size=(600, 2))
    assert probe_accuracy(x[:300], y[:300], x[300:], y[300:]) > 0.99
    shuffled = rng.permutation(y[:300])
    assert probe_accuracy(x[:300], shuffled, x[300:], y[300:]) < 0.6


def test_probe_cannot_read_a_ring() -> None:
    # The inner disc and the ring around it are apart, but no line parts them.
    rng = np.random.default_rng(0)
    angle, y = rng.uniform(0, 2 * np.pi, 600), np.repeat([0, 1], 300)
    x = (1 + 3 * y)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    even = slice(0, None, 2), slice(1, None, 2)
    assert probe_accuracy(x[even[0]], y[even[0]], x[even[1]], y[even[1]]) < 0.7


def test_principal_components_against_a_direct_svd() -> None:
    x = np.random.default_rng(0).normal(size=(50, 8)) @ np.diag([9, 7, 5, 3, 1, 1, 1, 1]) + 4
    u, sigma, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    found = principal_components(x, 3)
    np.testing.assert_allclose(np.abs(found), np.abs(u[:, :3] * sigma[:3]), atol=1e-9)


def test_an_encoder_ends_with_the_named_layer() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="first"), keras.layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    first = encoder(model, "first")
    np.testing.assert_allclose(first.predict(x, verbose=0), x @ model.get_weights()[0], rtol=1e-5)
    with pytest.raises(ValueError, match="received 'second'"):
        encoder(model, "second")
