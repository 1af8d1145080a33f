import numpy as np
import pytest
from scipy.special import log_softmax, xlogy

from innerview import binary_crossentropy_by_class, l1_distance, softmax_crossentropy

pytestmark = pytest.mark.usefixtures("float64")


def test_published_loss_against_scipy() -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(10), size=8)
    y = np.eye(10)[rng.integers(0, 10, 8)]
    expected = -(xlogy(y, p) + xlogy(1 - y, 1 - p)).sum(axis=1)
    np.testing.assert_allclose(np.array(binary_crossentropy_by_class(y, p)), expected, rtol=1e-6)


def test_published_loss_is_finite_where_it_is_clipped() -> None:
    y = np.array([[1.0, 0.0]])
    loss = np.array(binary_crossentropy_by_class(y, np.array([[0.0, 1.0]])))
    np.testing.assert_allclose(loss, -np.log(1e-10) - np.log(1e-7), rtol=1e-6)


def test_softmax_crossentropy_against_scipy() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(2, 8, 10)) * 30
    y = np.eye(10)[rng.integers(0, 10, (2, 8))]
    expected = -(log_softmax(logits, axis=-1) * y).sum(axis=-1)
    np.testing.assert_allclose(np.array(softmax_crossentropy(y, logits)), expected, rtol=1e-6)


@pytest.mark.parametrize(("shape", "axes"), [((4, 5), (1,)), ((4, 3, 5), (2,)), ((4, 6, 5, 2), (1, 2, 3))])
def test_the_documents_distance_is_one_for_an_input_or_for_each_network(
    shape: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    target, outputs = np.random.default_rng(0).normal(size=(2, *shape))
    expected = 0.35 * np.abs(target - outputs).sum(axis=axes)
    np.testing.assert_allclose(np.array(l1_distance(target, outputs)), expected, rtol=1e-12)
