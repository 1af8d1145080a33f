"""MNIST, photographs and ImageNet weights: the only part of the course that asks the network.

Whatever source serves, its bytes are checked before use. What stands in where none serves is in `fallbacks`.
"""

from innerbook.data import imagenet, mnist
from innerbook.data.imagenet import load_resnet50
from innerbook.data.mnist import Mnist, load_mnist
from innerbook.data.photographs import PHOTOGRAPHS, load_photographs
from innerbook.data.sources import fallbacks

__all__ = ["PHOTOGRAPHS", "Mnist", "available", "fallbacks", "load_mnist", "load_photographs", "load_resnet50"]


def available() -> dict[str, bool]:
    """Say of ``"mnist"`` and ``"resnet50"`` whether the data folder holds a copy, all its files; none is read."""
    copies = {"mnist": mnist.copy_files(), "resnet50": [imagenet.copy_file()]}
    return {name: all(path.exists() for path in paths) for name, paths in copies.items()}
