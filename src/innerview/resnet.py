"""The residual networks of document B, untrained, with Keras' names of layers."""

import re
from typing import Any

import keras
import numpy as np

from innerview import checks
from innerview.layers import ImageNetInputs


def resnet(depth: int, side: int, seed: int, width: int = 64, classes: int = 1_000) -> keras.Model:
    """Build an untrained residual network of document B (rows B2, B3 and B17), with Keras' names of layers.

    Inputs are images in [0, 1] of shape ``(n, side, side, 3)``. The network itself makes of them what Keras' ImageNet
    weights expect: values to 255, blue first, the mean colour taken away. Outputs are probabilities. Kernels are drawn
    from He's normal distribution by their outputs, as in the document's library; biases are 0, and batch normalisation
    passes on what it gets until it is trained.

    Args:
        depth: 50 or 152, as Keras has them; 18, or 10 for a small one, with basic blocks.
        side: of the images, in pixels, 32 or more.
        seed: of the kernels.
        width: channels of the first stage, for depth 18 and 10.
        classes: of the output.

    Raises:
        ValueError, TypeError: `depth` is not one of these, a number is too small or not whole, or Keras is set to put
            channels first.

    Example:
        >>> network = resnet(10, 32, seed=0, width=8, classes=10)
        >>> stage_outputs(network)["Conv5"], network.output_shape
        ('conv5_block1_out', (None, 10))
    """
    if keras.config.image_data_format() != "channels_last":
        raise ValueError("expected channels_last, Keras' default image_data_format; received channels_first")
    for name, number, least in (("side", side, 32), ("seed", seed, 0), ("width", width, 1), ("classes", classes, 1)):
        checks.whole(name, number, least)
    with checks.same_random_state():
        return _resnet(depth, side, seed, width, classes)


def _resnet(depth: int, side: int, seed: int, width: int, classes: int) -> keras.Model:
    of_keras = {50: keras.applications.ResNet50, 152: keras.applications.ResNet152}
    basic = {10: 1, 18: 2}
    images = keras.Input((side, side, 3))
    prepared = ImageNetInputs(name="preprocess")(images)
    if depth in of_keras:
        network = of_keras[depth](weights=None, input_tensor=prepared, classes=classes)
    elif depth in basic:
        network = keras.Model(images, _basic_blocks(prepared, basic[depth], width, classes))
    else:
        raise ValueError(f"depth must be one of {[*basic, *of_keras]}; received {depth}")
    for i, layer in enumerate(network.layers, start=1):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
        elif layer.weights:
            *size, inputs, units = layer.kernel.shape
            deviation = np.sqrt(2 / (np.prod(size, initial=1) * units))
            layer.kernel.assign(np.random.default_rng([seed, depth, i]).normal(0, deviation, layer.kernel.shape))
    return network


def stage_outputs(network: keras.Model) -> dict[str, str]:
    """Return the layers that document B calls Conv1 to Conv5, by these names: the first, and the last of each stage.

    ValueError if the network has no layers of such names.
    """
    ends = [layer.name for layer in network.layers if re.fullmatch(r"conv\d_block\d+_out", layer.name)]
    if not ends or "conv1_conv" not in [layer.name for layer in network.layers]:
        raise ValueError(f"expected a residual network with Keras' names of layers; received {network.name!r}")
    return {"Conv1": "conv1_conv"} | {f"Conv{name[4]}": name for name in ends}


def _basic_blocks(x: Any, blocks: int, width: int, classes: int) -> Any:
    def convolved(x: Any, units: int, size: int, stride: int, name: str) -> Any:
        x = keras.layers.Conv2D(units, size, stride, "same", use_bias=False, name=f"{name}_conv")(x)
        return keras.layers.BatchNormalization(name=f"{name}_bn")(x)

    x = keras.layers.ReLU(name="conv1_relu")(convolved(x, width, 7, 2, "conv1"))
    x = keras.layers.MaxPooling2D(3, 2, "same", name="pool1_pool")(x)
    for stage in range(4):
        for block in range(1, blocks + 1):
            name, units = f"conv{stage + 2}_block{block}", width * 2**stage
            stride = 2 if stage and block == 1 else 1
            inner = keras.layers.ReLU(name=f"{name}_1_relu")(convolved(x, units, 3, stride, f"{name}_1"))
            inner = convolved(inner, units, 3, 1, f"{name}_2")
            straight = convolved(x, units, 1, stride, f"{name}_0") if stride > 1 else x
            x = keras.layers.ReLU(name=f"{name}_out")(keras.layers.Add(name=f"{name}_add")([straight, inner]))
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.layers.Dense(classes, "softmax", name="predictions")(x)
