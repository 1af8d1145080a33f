import keras
import numpy as np
import pytest

from innerview import feature_extractor, get_activations, one_hidden_layer


def test_against_the_matrix_products() -> None:
    network = one_hidden_layer(seed=0)
    x = np.random.default_rng(0).uniform(size=(7, 784)).astype("float32")
    kernel, bias, last_kernel, last_bias = network.get_weights()
    hidden = np.maximum(0, x @ kernel + bias)
    logits = hidden @ last_kernel + last_bias
    output = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    found = get_activations(network, x, batch_size=3)
    assert list(found) == ["hidden", "output"]
    np.testing.assert_allclose(found["hidden"], hidden, atol=1e-4)
    np.testing.assert_allclose(found["output"], output, atol=1e-5)


def test_only_the_named_layers() -> None:
    found = get_activations(one_hidden_layer(seed=0), np.zeros((2, 784), "float32"), ["hidden"])
    assert list(found) == ["hidden"]


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(ValueError, match=r"among \['hidden', 'output'\]; received 'hiden'"):
        get_activations(one_hidden_layer(seed=0), np.zeros((2, 784), "float32"), ["hiden"])


def test_an_extractor_ends_with_the_named_layer_and_shares_its_weights() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="first"), keras.layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    first = feature_extractor(model, "first")
    np.testing.assert_allclose(first.predict(x, verbose=0), x @ model.get_weights()[0], rtol=1e-5)
    model.set_weights([2 * weight for weight in model.get_weights()])
    np.testing.assert_allclose(first.predict(x, verbose=0), x @ model.get_weights()[0], rtol=1e-5)
    with pytest.raises(ValueError, match="received 'second'"):
        feature_extractor(model, "second")
