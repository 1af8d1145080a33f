import keras
import numpy as np
import pytest

from innerview import deep_tanh, feed_forward, one_hidden_layer, stacked_encoders, two_hidden_layers


def test_one_hidden_layer_is_document_es_network() -> None:
    network = one_hidden_layer(seed=0)
    assert network.count_params() == 784 * 300 + 300 + 300 * 10 + 10
    kernel, bias, last_kernel, _ = network.get_weights()
    assert kernel.std() == pytest.approx(0.03, rel=0.01)
    assert last_kernel.std() == pytest.approx(0.03, rel=0.05)
    assert bias.std() == pytest.approx(1, rel=0.15)
    np.testing.assert_allclose(np.array(network(np.ones((2, 784), "float32"))).sum(axis=1), 1, rtol=1e-5)


def test_the_seed_decides_the_weights() -> None:
    first, again, other = (one_hidden_layer(seed).get_weights() for seed in (3, 3, 4))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
    assert len({weights.std() for weights in first}) == 4  # no two draws share a seed


def test_deep_tanh_is_document_as_network() -> None:
    network = deep_tanh(seed=0)
    assert network.count_params() == 784 * 100 + 100 + 2 * (100 * 100 + 100) + 100 * 10 + 10
    assert [layer.name for layer in network.layers] == ["hidden1", "hidden2", "hidden3", "output"]
    kernel, bias = network.get_weights()[:2]
    # A normal distribution cut off at two standard deviations has 0.88 of its own.
    assert np.abs(kernel).max() <= 0.2 and kernel.std() == pytest.approx(0.088, rel=0.01)
    assert (bias == np.float32(0.1)).all()
    assert len(deep_tanh(0, depth=10).layers) == 11
    with pytest.raises(ValueError, match="received 0"):
        deep_tanh(0, depth=0)


def test_two_hidden_layers_is_document_cs_network() -> None:
    network = two_hidden_layers(seed=0)
    assert network.count_params() == 218_058
    assert [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)] == [0.5, 0.5]
    kernel, bias = network.get_weights()[:2]
    limit = np.sqrt(6 / (784 + 256))  # Glorot's
    assert kernel.min() < -0.99 * limit and 0.99 * limit < kernel.max() <= limit and not bias.any()
    with pytest.raises(ValueError, match=r"from 0 to below 1; received 1\.5"):
        two_hidden_layers(0, dropout=1.5)


def test_feed_forward_is_document_ds_network() -> None:
    network = feed_forward(0, [64] * 16)
    assert [layer.name for layer in network.layers] == [*(f"hidden{i}" for i in range(1, 17)), "output"]
    for layer in network.layers:
        limit = 1 / np.sqrt(layer.kernel.shape[0])
        kernel = np.array(layer.kernel)
        assert 0.9 * limit < np.abs(kernel).max() <= limit and not np.array(layer.bias).any()
    # The variance of a uniform distribution in +-a is a^2/3.
    assert np.array(network.layers[0].kernel).var() == pytest.approx(1 / 784 / 3, rel=0.02)
    he = np.array(feed_forward(0, [64] * 3, "relu", "he").layers[0].kernel)
    glorot = np.array(feed_forward(0, [64] * 3, initializer="glorot").layers[0].kernel)
    assert he.var() == pytest.approx(2 / 784, rel=0.02) and glorot.var() == pytest.approx(2 / (784 + 64), rel=0.02)
    x = np.random.default_rng(0).normal(size=(3, 784)).astype("float32")
    assert not np.allclose(np.array(network(x)).sum(axis=1), 1)  # logits


def test_a_residual_network_adds_each_layers_input() -> None:
    network = feed_forward(0, [8] * 3, residual=True)
    x = np.random.default_rng(0).normal(size=(5, 784)).astype("float32")
    w = network.get_weights()
    h = np.tanh(x @ w[0])
    h = h + np.tanh(h @ w[2])
    h = h + np.tanh(h @ w[4])
    np.testing.assert_allclose(np.array(network(x)), h @ w[6], atol=1e-4)


def test_feed_forward_refuses_what_it_cannot_build() -> None:
    with pytest.raises(ValueError, match=r"one of \['document', 'glorot', 'he'\]; received 'orthogonal'"):
        feed_forward(0, [8], initializer="orthogonal")
    with pytest.raises(ValueError, match=r"equal widths for a residual network; received \[8, 4\]"):
        feed_forward(0, [8, 4], residual=True)


def test_stacked_encoders_are_document_bs_layers_side_by_side() -> None:
    both, alone = stacked_encoders([3, 5], 40, [60, 20]), stacked_encoders([5], 40, [60, 20])
    x = np.random.default_rng(0).normal(size=(7, 2, 40)).astype("float32")
    for together, solo, shape, inputs in zip(
        both.get_weights(), alone.get_weights(), [(40, 60), (60,), (60, 20), (20,)], [40, 40, 60, 60], strict=True
    ):
        np.testing.assert_array_equal(together[1], solo[0])
        assert together.shape == (2, *shape) and np.abs(together).max() < 1 / np.sqrt(inputs)
    assert both.get_weights()[0].var() == pytest.approx(1 / (3 * 40), rel=0.05)
    expected = x[:, 1]
    for kernel, bias in zip(both.get_weights()[0::2], both.get_weights()[1::2], strict=True):
        expected = expected @ kernel[1] + bias[1]
    np.testing.assert_allclose(both.predict(x, verbose=0)[:, 1], expected, atol=1e-5)
    np.testing.assert_allclose(alone.predict(x[:, 1:], verbose=0)[:, 0], expected, atol=1e-5)
    rectified = np.array(stacked_encoders([3, 5], 40, [60, 20], "relu")(x))
    assert (rectified >= 0).all() and (rectified == 0).any()
    with pytest.raises(ValueError, match=r"at least one seed and one layer; received \[\] and \[3\]"):
        stacked_encoders([], 4, [3])


@pytest.mark.usefixtures("float64")
def test_stacked_encoders_compute_in_float64_if_asked() -> None:
    encoder = stacked_encoders([3], 40, [60, 20], dtype="float64")
    kernel, bias, last_kernel, last_bias = encoder.get_weights()
    x = np.random.default_rng(0).normal(size=(7, 1, 40))
    found = np.array(encoder(x))
    # On JAX, Keras may multiply in float32 all the same.
    tolerance = 1e-6 if keras.backend.backend() == "jax" else 1e-13
    assert kernel.dtype == "float64" and (found.dtype == "float64" or tolerance == 1e-6)
    expected = (x @ kernel[0] + bias) @ last_kernel[0] + last_bias
    np.testing.assert_allclose(found, expected, atol=tolerance)
