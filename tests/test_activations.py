import numpy as np
import pytest

from innerview import models
from innerview.activations import activations


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
