from typing import Any

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


def flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


@pytest.fixture
def backbone() -> keras.Model:
    inputs = keras.Input((6, 6, 3))
    features = keras.layers.Conv2D(4, 3, name="features")(inputs)
    norm = keras.layers.BatchNormalization(name="norm")(features)
    return keras.Model(inputs, keras.layers.Flatten()(norm), name="backbone")


def test_a_model_inside_is_a_layer_and_its_layers_have_a_path(backbone: keras.Model, rng: np.random.Generator) -> None:
    backbone.get_layer("norm").set_weights([rng.random(4) + 0.5 for _ in range(4)])
    x = rng.random((5, 6, 6, 3), "float32")
    halved = keras.layers.Rescaling(0.5)
    models = [keras.Sequential([keras.Input((6, 6, 3)), halved, backbone, keras.layers.Dense(2, name="top")])]
    inputs = keras.Input((6, 6, 3))
    models.append(keras.Model(inputs, keras.layers.Dense(2, name="top")(backbone(halved(inputs)))))
    for model in models:
        found = get_activations(model, x, ["top", "backbone", "backbone/features", "backbone/norm"])
        assert list(found) == ["top", "backbone", "backbone/features", "backbone/norm"]
        alone = get_activations(backbone, x / 2, ["features", "norm"])
        np.testing.assert_allclose(found["backbone"], np.array(backbone(x / 2, training=False)), atol=1e-5)
        np.testing.assert_allclose(found["backbone/features"], alone["features"], atol=1e-5)
        np.testing.assert_allclose(found["backbone/norm"], alone["norm"], atol=1e-5)
        np.testing.assert_allclose(found["top"], np.array(model(x, training=False)), atol=1e-5)
    with pytest.raises(ValueError, match="received 'nothing'"):
        get_activations(models[0], x, "backbone/nothing")


def test_the_call_inside_this_model_is_read_not_that_in_another(rng: np.random.Generator) -> None:
    shared, first, second = (keras.layers.Dense(4, name=name) for name in ("shared", "first", "second"))
    inputs = [keras.Input((4,)) for _ in range(2)]
    models = [keras.Model(x, shared(own(x))) for x, own in zip(inputs, (first, second), strict=True)]
    x = rng.random((3, 4), "float32")
    for model in models:
        np.testing.assert_allclose(get_activations(model, x, "shared")["shared"], np.array(model(x)), atol=1e-6)

    # A decoder cut from an autoencoder has the latent layer as its input.
    inputs = keras.Input((4,))
    latent = keras.layers.Dense(2, name="latent")(inputs)
    middle = keras.layers.Dense(3, name="middle")(latent)
    whole = keras.Model(inputs, keras.layers.Dense(4, name="out")(middle))
    decoder = keras.Model(latent, whole.output)
    z = rng.random((3, 2), "float32")
    np.testing.assert_allclose(get_activations(decoder, z, "out")["out"], np.array(decoder(z)), atol=1e-6)
    assert list(get_activations(decoder, z)) == ["middle", "out"]


def test_what_cannot_be_told_apart_is_refused(rng: np.random.Generator) -> None:
    layer, inputs = keras.layers.Dense(4, name="again"), keras.Input((4,))
    thrice = keras.Model(inputs, layer(layer(layer(inputs))))
    with pytest.raises(ValueError, match="'again' is called 3 times in this model"):
        get_activations(thrice, np.zeros((1, 4)))

    class Mine(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    for model in (Mine(), keras.Sequential([keras.layers.Dense(2)])):
        with pytest.raises(
            ValueError, match=r"expected a functional model, or a Sequential one .* received (Mine|Seq)"
        ):
            get_activations(model, np.zeros((1, 4)))


def test_several_inputs_and_outputs_functions_and_layers_of_randomness(rng: np.random.Generator) -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    doubled = keras.layers.Lambda(lambda t: 2 * t, name="doubled")(a)
    rectified = keras.ops.relu(doubled)
    relu = rectified._keras_history.operation.name  # Keras numbers what nobody names
    joined = keras.layers.Concatenate(name="joined")([rectified, b])
    dropped = keras.layers.Dropout(0.9, seed=0, name="dropped")(joined)
    sequence, *state = keras.layers.LSTM(2, return_state=True, name="lstm")(keras.layers.Reshape((5, 1))(dropped))
    model = keras.Model({"a": a, "b": b}, {"one": sequence, "two": keras.layers.Dense(1, name="two")(state[0])})
    x = {"a": rng.normal(size=(4, 3)).astype("float32"), "b": rng.random((4, 2)).astype("float32")}
    found = get_activations(model, x, ["doubled", relu, "joined", "dropped", "lstm", "two"], batch_size=3)
    np.testing.assert_allclose(found["doubled"], 2 * x["a"], rtol=1e-6)
    np.testing.assert_allclose(found[relu], np.maximum(2 * x["a"], 0), rtol=1e-6)
    np.testing.assert_array_equal(found["dropped"], found["joined"])  # nothing is dropped in inference
    assert [part.shape for part in found["lstm"]] == [(4, 2)] * 3
    np.testing.assert_allclose(found["two"], np.array(model(x)["two"]), atol=1e-6)


def test_inputs_are_checked_and_cast_and_may_be_none(backbone: keras.Model, rng: np.random.Generator) -> None:
    x = rng.integers(0, 255, (3, 6, 6, 3))
    expected = get_activations(backbone, x.astype("float32"), "features")["features"]
    for given in (x.astype("uint8"), x.astype("float64"), x.tolist()):
        np.testing.assert_array_equal(get_activations(backbone, given, "features")["features"], expected)
    assert get_activations(backbone, x[:0], "features")["features"].shape == (0, 4, 4, 4)
    with pytest.raises(ValueError, match=r"x must have shape \(any, 6, 6, 3\); received \(3, 6, 6\)"):
        get_activations(backbone, x[..., 0])
    with pytest.raises(ValueError, match="x must be finite"):
        get_activations(backbone, np.full((1, 6, 6, 3), np.nan))
    with pytest.raises(TypeError, match="x must be an array of numbers"):
        get_activations(backbone, np.full((1, 6, 6, 3), "white"))


def test_memory_is_bounded_by_the_largest_output_and_batches_do_not_show(backbone: keras.Model) -> None:
    sizes: list[int] = []

    def noted(t: Any) -> Any:
        sizes.append(t.shape[0])
        return t

    inputs = keras.Input((2_000,))
    wide = keras.layers.Lambda(noted, output_shape=(2_000,), name="wide")(inputs)
    model = keras.Model(inputs, wide)
    sizes.clear()
    x = np.arange(10_000 * 2_000, dtype="float32").reshape(10_000, 2_000)
    np.testing.assert_array_equal(get_activations(model, x)["wide"], x)
    assert sum(sizes) == 10_000 and max(sizes) == 5_000
    sizes.clear()
    get_activations(model, x[:10], batch_size=4)
    assert sizes == [4, 4, 2]
    sizes.clear()
    tall = keras.Model(inputs, keras.layers.UpSampling1D(100)(keras.layers.Reshape((2_000, 1))(wide)))
    sizes.clear()
    get_activations(tall, x[:90], "wide")
    assert max(sizes) * 200_000 <= 2**24
