import numpy as np
import pytest

from innerview import get_activations, resnet, stage_outputs


def test_resnet18_has_the_parameters_of_the_documents_library() -> None:
    network = resnet(18, 64, 0)
    assert sum(int(np.prod(w.shape)) for w in network.trainable_weights) == 11_689_512
    assert list(stage_outputs(network).values()) == ["conv1_conv", *(f"conv{i}_block2_out" for i in range(2, 6))]
    expected = {"Conv1": (32, 64), "Conv2": (16, 64), "Conv3": (8, 128), "Conv4": (4, 256), "Conv5": (2, 512)}
    for stage, layer in stage_outputs(network).items():
        side, channels = expected[stage]
        assert network.get_layer(layer).output.shape[1:] == (side, side, channels)


def test_its_kernels_are_hes_and_its_seed_decides_them() -> None:
    first, again, other = (resnet(50, 32, seed) for seed in (0, 0, 1))
    for ours, same in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, same)
    for name in ("conv1_conv", "conv3_block1_2_conv", "conv5_block3_3_conv"):
        kernel = np.array(first.get_layer(name).kernel)
        height, width, _, outputs = kernel.shape
        assert kernel.std() == pytest.approx(np.sqrt(2 / (height * width * outputs)), rel=0.05)
        assert abs(kernel.mean()) < 5 * kernel.std() / np.sqrt(kernel.size)
        assert not np.allclose(kernel, np.array(other.get_layer(name).kernel))


def test_a_basic_block_adds_its_input() -> None:
    network = resnet(10, 32, 0, width=8, classes=10)
    image = np.random.default_rng(0).random((1, 32, 32, 3), "float32")
    names = ["pool1_pool", "conv2_block1_2_bn", "conv2_block1_out"]
    outputs = get_activations(network, image, names)
    before, inner, after = (outputs[name] for name in names)
    np.testing.assert_allclose(after, np.maximum(before + inner, 0), rtol=1e-5)


def test_it_takes_images_from_0_to_1_as_kerass_weights_want_them() -> None:
    network = resnet(10, 32, 0, width=8, classes=10)
    image = np.random.default_rng(0).random((1, 32, 32, 3), "float32")
    prepared = get_activations(network, image, ["preprocess"])["preprocess"]
    np.testing.assert_allclose(prepared, 255 * image[..., ::-1] - [103.939, 116.779, 123.68], atol=1e-3)


def test_another_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="received 34"):
        resnet(34, 32, 0)
