"""Settings for all tests. They must stand before Keras is imported."""

import os
import sys
from collections.abc import Iterator

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(autouse=True)
def no_fallbacks() -> None:
    """Forget what stood in for data in an earlier test, by which claims would not be at paper scale."""
    if (sources := sys.modules.get("innerbook.data.sources")) is not None:
        sources._fallbacks.clear()


@pytest.fixture
def float64() -> Iterator[None]:
    """For tests whose oracle needs float64: JAX, alone of the backends, computes in it only when it is asked to."""
    import keras

    if keras.backend.backend() != "jax":
        yield
        return
    with pytest.importorskip("jax").enable_x64(True):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
