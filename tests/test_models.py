from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import log_softmax, xlogy

from innerview import models
from innerview.activations import activations
from innerview.datasets import load_mnist
from innerview.monitors import Monitor


def small_network(seed: int, units: int = 6) -> keras.Model:
    def uniform(draw: int) -> keras.initializers.Initializer:
        return keras.initializers.RandomUniform(-0.5, 0.5, seed=10 * seed + draw)

    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(units, "tanh", kernel_initializer=uniform(0), bias_initializer=uniform(1)),
            keras.layers.Dense(3, "softmax", kernel_initializer=uniform(2), bias_initializer=uniform(3)),
        ]
    )


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4)).astype("float32")
    return x, x[:, :3].argmax(axis=1)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INNERVIEW_DATA", str(tmp_path))
    return tmp_path


def train(networks: list[keras.Model], data: tuple[np.ndarray, np.ndarray], **changes: Any) -> models.History:
    settings: dict[str, Any] = {
        "loss": models.binary_crossentropy_by_class,
        "optimizer": keras.optimizers.SGD(0.1),
        "steps": 24,
        "batch_size": 20,
        "record_every": 6,
        "seed": 0,
        "watch": {"all": data},
    }
    return models.train_together(networks, *data, **{**settings, **changes})


def test_one_hidden_layer_is_document_es_network() -> None:
    network = models.one_hidden_layer(seed=0)
    assert network.count_params() == 784 * 300 + 300 + 300 * 10 + 10
    kernel, bias, last_kernel, _ = network.get_weights()
    assert kernel.std() == pytest.approx(0.03, rel=0.01)
    assert last_kernel.std() == pytest.approx(0.03, rel=0.05)
    assert bias.std() == pytest.approx(1, rel=0.15)
    np.testing.assert_allclose(network(np.ones((2, 784))).numpy().sum(axis=1), 1, rtol=1e-5)


def test_the_seed_decides_the_weights() -> None:
    first, again, other = (models.one_hidden_layer(seed).get_weights() for seed in (3, 3, 4))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
    assert len({weights.std() for weights in first}) == 4  # no two draws share a seed


def test_published_loss_against_scipy() -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(10), size=8)
    y = np.eye(10)[rng.integers(0, 10, 8)]
    expected = -(xlogy(y, p) + xlogy(1 - y, 1 - p)).sum(axis=1)
    np.testing.assert_allclose(models.binary_crossentropy_by_class(y, p).numpy(), expected, rtol=1e-6)


def test_published_loss_is_finite_where_it_is_clipped() -> None:
    y = np.array([[1.0, 0.0]])
    loss = models.binary_crossentropy_by_class(y, np.array([[0.0, 1.0]])).numpy()
    np.testing.assert_allclose(loss, -np.log(1e-10) - np.log(1e-7), rtol=1e-6)


def test_deep_tanh_is_document_as_network() -> None:
    network = models.deep_tanh(seed=0)
    assert network.count_params() == 784 * 100 + 100 + 2 * (100 * 100 + 100) + 100 * 10 + 10
    assert [layer.name for layer in network.layers] == ["hidden1", "hidden2", "hidden3", "output"]
    kernel, bias = network.get_weights()[:2]
    # A normal distribution cut off at two standard deviations has 0.88 of its own.
    assert np.abs(kernel).max() <= 0.2 and kernel.std() == pytest.approx(0.088, rel=0.01)
    assert (bias == np.float32(0.1)).all()
    assert len(models.deep_tanh(0, depth=10).layers) == 11
    with pytest.raises(ValueError, match="received 0"):
        models.deep_tanh(0, depth=0)


def test_together_is_as_alone_with_plain_keras(data: tuple[np.ndarray, np.ndarray]) -> None:
    together = [small_network(seed) for seed in range(3)]
    train(together, data, seed=None)
    for seed, network in enumerate(together):
        alone = small_network(seed)
        alone.compile(keras.optimizers.SGD(0.1), models.binary_crossentropy_by_class)
        one_hot = np.eye(3, dtype="float32")[data[1]]
        alone.fit(data[0], one_hot, batch_size=20, epochs=4, shuffle=False, verbose=0)
        for ours, theirs in zip(network.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def dropping_network(seed: int) -> keras.Model:
    first, last = small_network(seed, units=40).layers
    return keras.Sequential([keras.Input((4,)), first, keras.layers.Dropout(0.5, seed=7), last])


def test_networks_with_dropout_end_where_each_would_end_alone(data: tuple[np.ndarray, np.ndarray]) -> None:
    together = [dropping_network(seed) for seed in range(3)]
    history = train(together, data)
    for seed, network in enumerate(together):
        alone, without = dropping_network(seed), small_network(seed, units=40)
        alone_history = train([alone], data)
        train([without], data)
        for ours, theirs, other in zip(network.get_weights(), alone.get_weights(), without.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
            assert np.abs(ours - other).max() > 1e-3  # the activations were dropped indeed
        np.testing.assert_allclose(history["all loss"][:, seed], alone_history["all loss"][:, 0], rtol=1e-5)
        # What is recorded is the network as it is used: nothing is dropped.
        p = network(data[0], training=False).numpy()
        one_hot = np.eye(3, dtype="float32")[data[1]]
        used = models.binary_crossentropy_by_class(one_hot, p).numpy().mean()
        assert history["all loss"][-1, seed] == pytest.approx(used, rel=1e-5)


def test_two_hidden_layers_is_document_cs_network() -> None:
    network = models.two_hidden_layers(seed=0)
    assert network.count_params() == 218_058
    assert [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)] == [0.5, 0.5]
    kernel, bias = network.get_weights()[:2]
    limit = np.sqrt(6 / (784 + 256))  # Glorot's
    assert kernel.min() < -0.99 * limit and 0.99 * limit < kernel.max() <= limit and not bias.any()
    with pytest.raises(ValueError, match=r"from 0 to below 1; received 1\.5"):
        models.two_hidden_layers(0, dropout=1.5)


def test_each_pass_sees_every_image_once_in_an_order_of_its_own() -> None:
    order = models._order(n=45, steps=12, batch_size=10, seed=0)
    assert order.shape == (12, 10)
    for one_pass in order.reshape(3, 40):
        assert len(set(one_pass)) == 40
    assert not np.array_equal(order[:4], order[4:8])
    np.testing.assert_array_equal(order, models._order(n=45, steps=12, batch_size=10, seed=0))


def test_without_a_seed_batches_come_in_document_as_order() -> None:
    order = models._order(n=54_950, steps=10_000, batch_size=50, seed=None)
    for i in (0, 1, 1_098, 1_099, 9_999):
        start = 50 * i % 54_950
        np.testing.assert_array_equal(order[i], np.arange(start, start + 50))


def test_regression_moves_the_layers_up_to_its_own(data: tuple[np.ndarray, np.ndarray]) -> None:
    def three_layers() -> keras.Model:
        normal = [keras.initializers.RandomNormal(seed=i) for i in range(3)]
        hidden = [keras.layers.Dense(5, "tanh", kernel_initializer=initializer) for initializer in normal[:2]]
        output = keras.layers.Dense(3, "softmax", kernel_initializer=normal[2])
        return keras.Sequential([keras.Input((4,)), *hidden, output])

    targets = np.random.default_rng(0).normal(size=(120, 1, 2))

    def trained(weight: float, layer: int) -> list[np.ndarray]:
        network = three_layers()
        train([network], data, steps=1, record_every=1, regress=(network.layers[layer].name, targets, weight))
        return network.get_weights()

    without, from_first, from_second = trained(0.0, 0), trained(1.0, 0), trained(1.0, 1)
    changed = [not np.allclose(a, b) for a, b in zip(without, from_first, strict=True)]
    assert changed == [True, True, False, False, False, False]
    changed = [not np.allclose(a, b) for a, b in zip(without, from_second, strict=True)]
    assert changed == [True, True, True, True, False, False]


def test_adam_keeps_networks_apart_too(data: tuple[np.ndarray, np.ndarray]) -> None:
    both, alone = [small_network(0), small_network(1)], [small_network(1)]
    train(both, data, optimizer=keras.optimizers.Adam(0.01))
    train(alone, data, optimizer=keras.optimizers.Adam(0.01))
    for ours, theirs in zip(both[1].get_weights(), alone[0].get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_history_is_what_the_networks_score(data: tuple[np.ndarray, np.ndarray]) -> None:
    networks = [small_network(seed) for seed in range(2)]
    history = train(networks, data)
    assert history["all accuracy"].shape == history["all loss"].shape == (4, 2)
    assert history["step"].tolist() == [6, 12, 18, 24]
    for i, network in enumerate(networks):
        p = network(data[0]).numpy()
        loss = models.binary_crossentropy_by_class(np.eye(3, dtype="float32")[data[1]], p).numpy().mean()
        assert history["all loss"][-1, i] == pytest.approx(loss, rel=1e-4)
        assert history["all accuracy"][-1, i] == pytest.approx((p.argmax(axis=1) == data[1]).mean())
    assert (history["all loss"][-1] < history["all loss"][0]).all()


def test_kept_networks_are_found_again_and_only_by_the_same_settings(
    data: tuple[np.ndarray, np.ndarray], own_folder: Path
) -> None:
    def kept() -> int:
        return len(list(own_folder.glob("trained/*.npz")))

    first, second = small_network(0), small_network(0)
    one, two = train([first], data), train([second], data)
    assert kept() == 1
    np.testing.assert_array_equal(one["all loss"], two["all loss"])
    np.testing.assert_array_equal(first.get_weights()[0], second.get_weights()[0])
    train([small_network(1)], data)
    train([small_network(0)], data, seed=1)
    train([small_network(0)], data, optimizer=keras.optimizers.SGD(0.2))
    train([small_network(0)], (data[0] + 1, data[1]))
    assert kept() == 5


def test_interrupted_training_keeps_nothing(data: tuple[np.ndarray, np.ndarray], own_folder: Path) -> None:
    def interrupted(y_true: Any, y_pred: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train([small_network(0)], data, loss=interrupted)
    assert not [path for path in own_folder.glob("trained/*") if path.suffix == ".npz"]


def test_what_cannot_be_stacked_is_refused(data: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="at least one network"):
        train([], data)
    with pytest.raises(ValueError, match="networks of one shape"):
        train([small_network(0), small_network(0, units=5)], data)
    dropout = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="a Dense layer first; received Dropout"):
        train([dropout], data)
    norm = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.LayerNormalization()])
    with pytest.raises(ValueError, match="Dense and Dropout layers; received LayerNormalization"):
        train([norm], data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "received 0 and 6"),
        ({"steps": 10, "record_every": 3}, "received 10 and 3"),
        ({"batch_size": 121}, "from 1 to 120"),
        ({"regress": ("third", np.zeros((120, 1, 2)), 0.1)}, "received 'third'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    data: tuple[np.ndarray, np.ndarray], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train([small_network(0)], data, **change)


def test_feed_forward_is_document_ds_network() -> None:
    network = models.feed_forward(0, [64] * 16)
    assert [layer.name for layer in network.layers] == [*(f"hidden{i}" for i in range(1, 17)), "output"]
    for layer in network.layers:
        limit = 1 / np.sqrt(layer.kernel.shape[0])
        kernel = layer.kernel.numpy()
        assert 0.9 * limit < np.abs(kernel).max() <= limit and not layer.bias.numpy().any()
    # The variance of a uniform distribution in +-a is a^2/3.
    assert network.layers[0].kernel.numpy().var() == pytest.approx(1 / 784 / 3, rel=0.02)
    he = models.feed_forward(0, [64] * 3, "relu", "he").layers[0].kernel.numpy()
    glorot = models.feed_forward(0, [64] * 3, start="glorot").layers[0].kernel.numpy()
    assert he.var() == pytest.approx(2 / 784, rel=0.02) and glorot.var() == pytest.approx(2 / (784 + 64), rel=0.02)
    x = np.random.default_rng(0).normal(size=(3, 784)).astype("float32")
    assert not np.allclose(network(x).numpy().sum(axis=1), 1)  # logits


def test_a_residual_network_adds_each_layers_input() -> None:
    network = models.feed_forward(0, [8] * 3, residual=True)
    x = np.random.default_rng(0).normal(size=(5, 784)).astype("float32")
    w = network.get_weights()
    h = np.tanh(x @ w[0])
    h = h + np.tanh(h @ w[2])
    h = h + np.tanh(h @ w[4])
    np.testing.assert_allclose(network(x).numpy(), h @ w[6], atol=1e-4)
    stacked = models._stack([network, models.feed_forward(1, [8] * 3, residual=True)])
    np.testing.assert_allclose(stacked(x).numpy()[:, 0], h @ w[6], atol=1e-4)


def test_feed_forward_refuses_what_it_cannot_build() -> None:
    with pytest.raises(ValueError, match=r"one of \['document', 'glorot', 'he'\]; received 'orthogonal'"):
        models.feed_forward(0, [8], start="orthogonal")
    with pytest.raises(ValueError, match=r"equal widths for a residual network; received \[8, 4\]"):
        models.feed_forward(0, [8, 4], residual=True)


def test_softmax_crossentropy_against_scipy() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(2, 8, 10)) * 30
    y = np.eye(10)[rng.integers(0, 10, (2, 8))]
    expected = -(log_softmax(logits, axis=-1) * y).sum(axis=-1)
    np.testing.assert_allclose(models.softmax_crossentropy(y, logits).numpy(), expected, rtol=1e-6)


def test_a_monitor_watches_each_network_side_by_side(data: tuple[np.ndarray, np.ndarray], own_folder: Path) -> None:
    x, y = data
    one_hot = np.eye(3, dtype="float32")[y[:30]]

    def names(networks: list[keras.Model]) -> list[str]:
        return [layer.name for layer in networks[0].layers]

    together = [small_network(seed) for seed in range(3)]
    first, last = names(together)
    monitor = Monitor(x[:30], one_hot, 12, gradients=[first], norms=[last], weights=[last], activations=[first])
    history = train(together, data, monitor=monitor)
    assert history["monitor step"].tolist() == [0, 12, 24]
    assert history[f"{first} kernel gradient"].shape == (3, 3, 4, 6)  # records, networks, inputs, units
    assert history[f"{first} activations"].shape == (3, 30, 3, 6)
    for seed in range(3):
        alone = [small_network(seed)]
        first_alone, last_alone = names(alone)
        lone = Monitor(x[:30], one_hot, 12, gradients=[first_alone], weights=[last_alone])
        seen = train(alone, data, monitor=lone)
        ours, theirs = (h[f"{n} kernel gradient"] for h, n in ((history, first), (seen, first_alone)))
        np.testing.assert_allclose(ours[:, seed], theirs, atol=1e-6)
    # Kept and found again, by the same monitor only.
    assert len(list(own_folder.glob("trained/*.npz"))) == 4
    again = train([small_network(seed) for seed in range(3)], data, monitor=monitor)
    np.testing.assert_array_equal(again[f"{first} kernel gradient"], history[f"{first} kernel gradient"])


def test_dense_encoders_are_document_bs_layers_side_by_side() -> None:
    both, alone = models.dense_encoders([3, 5], 40, [60, 20]), models.dense_encoders([5], 40, [60, 20])
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
    rectified = models.dense_encoders([3, 5], 40, [60, 20], "relu")(x).numpy()
    assert (rectified >= 0).all() and (rectified == 0).any()
    with pytest.raises(ValueError, match=r"at least one seed and one layer; received \[\] and \[3\]"):
        models.dense_encoders([], 4, [3])


def test_resnet18_has_the_parameters_of_the_documents_library() -> None:
    network = models.resnet(18, 64, 0)
    assert sum(int(np.prod(w.shape)) for w in network.trainable_weights) == 11_689_512
    assert list(models.stages(network).values()) == ["conv1_conv", *(f"conv{i}_block2_out" for i in range(2, 6))]
    expected = {"Conv1": (32, 64), "Conv2": (16, 64), "Conv3": (8, 128), "Conv4": (4, 256), "Conv5": (2, 512)}
    for stage, layer in models.stages(network).items():
        side, channels = expected[stage]
        assert network.get_layer(layer).output.shape[1:] == (side, side, channels)


def test_a_residual_networks_kernels_are_hes_and_its_seed_decides_them() -> None:
    first, again, other = (models.resnet(50, 32, seed) for seed in (0, 0, 1))
    for ours, same in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, same)
    for name in ("conv1_conv", "conv3_block1_2_conv", "conv5_block3_3_conv"):
        kernel = np.array(first.get_layer(name).kernel)
        height, width, _, outputs = kernel.shape
        assert kernel.std() == pytest.approx(np.sqrt(2 / (height * width * outputs)), rel=0.05)
        assert abs(kernel.mean()) < 5 * kernel.std() / np.sqrt(kernel.size)
        assert not np.allclose(kernel, np.array(other.get_layer(name).kernel))


def test_a_basic_block_adds_its_input() -> None:
    network = models.resnet(10, 32, 0, width=8, classes=10)
    image = np.random.default_rng(0).random((1, 32, 32, 3), "float32")
    names = ["pool1_pool", "conv2_block1_2_bn", "conv2_block1_out"]
    before, inner, after = activations(network, image, names).values()
    np.testing.assert_allclose(after, np.maximum(before + inner, 0), rtol=1e-5)


def test_a_residual_network_takes_images_from_0_to_1_as_kerass_weights_want_them() -> None:
    network = models.resnet(10, 32, 0, width=8, classes=10)
    image = np.random.default_rng(0).random((1, 32, 32, 3), "float32")
    prepared = activations(network, image, ["preprocess"])["preprocess"]
    np.testing.assert_allclose(prepared, 255 * image[..., ::-1] - [103.939, 116.779, 123.68], atol=1e-3)


def test_a_residual_network_of_another_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="received 34"):
        models.resnet(34, 32, 0)


def test_what_stands_in_for_imagenet_knows_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the digits are in the common folder
    (network, _), mnist = models.resnets(32, None), load_mnist()
    images = np.pad(mnist.x_test[:500].reshape(-1, 28, 28, 1), [(0, 0), (2, 2), (2, 2), (0, 0)]).repeat(3, axis=-1)
    assert (network.predict(images, verbose=0).argmax(axis=1) == mnist.y_test[:500]).mean() > 0.9
