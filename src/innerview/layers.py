"""Layers that Keras does not have: images as a weight, dense layers side by side, a residual dense layer."""

from typing import Any

import keras
from keras import ops

from innerview import checks


class TrainableImages(keras.layers.Layer):
    """Images as the one trainable weight, in front of a frozen encoder (all documents' inversions).

    Whatever it is called with, it returns the encoder's outputs for its images, in inference mode.

    Args:
        shape: of the images, ``(n, ...)``. They are zeros until `images` is assigned.
        encoder: a built model of inputs ``(n, ...)``; freeze it first. Train the layer, and the images move.
        constraint, regularizer: what is done to the images after each step, and a penalty on them.
    """

    def __init__(self, shape: Any, encoder: keras.Model, constraint: Any = None, regularizer: Any = None, **more: Any):
        super().__init__(**more)
        self.encoder = encoder
        self.images = self.add_weight(
            shape=tuple(shape), initializer="zeros", constraint=constraint, regularizer=regularizer, name="images"
        )

    def call(self, tick: Any) -> Any:
        """Return the encoder's outputs for the images."""
        # Inference is said here: in the model around, `fit` would overrule it, and dropout would be on.
        return self.encoder(ops.convert_to_tensor(self.images), training=False)


class DistanceToTarget(keras.layers.Layer):
    """The distance of its inputs from a target of shape ``(n, ...)``, which is a weight that no training moves.

    `distance` maps target and inputs to distances, of shape ``(n,)``, or ``(n, ...)`` for several an input.
    """

    def __init__(self, shape: Any, distance: Any, **more: Any):
        super().__init__(**more)
        self.distance = distance
        self.target = self.add_weight(shape=tuple(shape), initializer="zeros", trainable=False, name="target")

    def call(self, inputs: Any) -> Any:
        """Return the distances."""
        return self.distance(ops.convert_to_tensor(self.target), inputs)


@keras.saving.register_keras_serializable("innerview")
class ResidualDense(keras.layers.Dense):
    """A dense layer that adds its input to its output, so that both paths are open (document D, row D5).

    Its units must be as many as its inputs. Arguments are those of `keras.layers.Dense`.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return inputs plus what the dense layer makes of them. ValueError if the two are not as wide."""
        if inputs.shape[-1] != self.units:
            raise ValueError(f"expected {self.units} inputs, as many as the units; received {inputs.shape[-1]}")
        return inputs + super().call(inputs)


@keras.saving.register_keras_serializable("innerview")
class EnsembleDense(keras.layers.Layer):
    """A dense layer for each of several networks, in one product (document B, rows B6 to B12; `fit_ensemble`).

    Inputs have shape ``(n, networks, inputs)``, or ``(n, inputs)`` if all networks read the same. Outputs have shape
    ``(n, networks, units)``; the kernel ``(networks, inputs, units)``, the bias ``(networks, units)``. The activation
    and `use_bias` are as in `keras.layers.Dense`; if `residual`, inputs are added to outputs, as in `ResidualDense`.
    All weights are zero until they are set: each network draws its own. It is a ValueError if a number is below 1, or
    if a residual layer's units are not as many as its inputs.
    """

    def __init__(
        self,
        networks: int,
        inputs: int,
        units: int,
        activation: Any = None,
        residual: bool = False,
        use_bias: bool = True,
        **more: Any,
    ):
        super().__init__(**more)
        sizes = {"networks": networks, "inputs": inputs, "units": units}
        shape = [checks.whole(name, size) for name, size in sizes.items()]
        if residual and inputs != units:
            raise ValueError(f"expected as many units as inputs in a residual layer; received {units} and {inputs}")
        self.kernel = self.add_weight(shape, "zeros", name="kernel")
        self.bias = self.add_weight((networks, units), "zeros", name="bias") if use_bias else None
        self.activation, self.residual = keras.activations.get(activation), residual

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return all networks' outputs."""
        shared = len(inputs.shape) == 2
        networks, units_in, units = self.kernel.shape
        if networks == 1 and not shared:  # two matrices are multiplied several times faster than two stacks
            alone = ops.matmul(ops.reshape(inputs, (-1, units_in)), ops.reshape(self.kernel, (units_in, units)))
            outputs = ops.reshape(alone, (-1, 1, units))
        else:
            outputs = ops.einsum("bi,nio->bno" if shared else "bni,nio->bno", inputs, self.kernel)
        outputs = self.activation(outputs if self.bias is None else outputs + self.bias)
        return inputs + outputs if self.residual else outputs

    def get_config(self) -> dict[str, Any]:
        """Return the settings."""
        networks, inputs, units = self.kernel.shape
        own = {"networks": networks, "inputs": inputs, "units": units, "residual": self.residual}
        own["use_bias"] = self.bias is not None
        return {**super().get_config(), **own, "activation": keras.activations.serialize(self.activation)}


@keras.saving.register_keras_serializable("innerview")
class ImageNetInputs(keras.layers.Layer):
    """Makes of images in [0, 1] what Keras' ResNet weights expect: values to 255, blue first, less the mean colour."""

    def call(self, images: Any) -> Any:
        """Return the prepared images, of the same shape."""
        return keras.applications.resnet.preprocess_input(255.0 * images, data_format="channels_last")
