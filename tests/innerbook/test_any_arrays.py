"""Whatever arrays come: a right result, or a ValueError or TypeError that says what was expected."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from IPython.display import HTML
from matplotlib.figure import Figure

from innerbook import embedding, figures, fingerprint, interactive, memory
from innerbook.claims import Claim
from innerbook.reporting import report

quick = settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NUMBERS = st.one_of(
    *(arrays.floating_dtypes(endianness="=", sizes=sizes) for sizes in (16, 32, 64)),
    arrays.integer_dtypes(endianness="="),
    arrays.unsigned_integer_dtypes(endianness="="),
    arrays.boolean_dtypes(),
)
OTHERS = st.one_of(
    arrays.complex_number_dtypes(endianness="="),
    arrays.unicode_string_dtypes(endianness="=", max_len=3),
    arrays.datetime64_dtypes(endianness="="),
)


def any_array(most: int = 3, side: int = 5) -> st.SearchStrategy[np.ndarray]:
    shapes = arrays.array_shapes(min_dims=0, max_dims=most, min_side=0, max_side=side)
    return st.one_of(NUMBERS, NUMBERS, NUMBERS, OTHERS).flatmap(lambda kind: arrays.arrays(kind, shapes))


def filled(*shape: int) -> st.SearchStrategy[np.ndarray]:
    """Arrays of a right shape, whose values may be wrong."""
    return st.one_of(NUMBERS, NUMBERS, OTHERS).flatmap(lambda kind: arrays.arrays(kind, shape))


@contextmanager
def refused_in_words() -> Iterator[None]:
    """Let pass what is refused, if it is said what was expected."""
    try:
        yield
    except (ValueError, TypeError) as error:
        assert "expected" in str(error), error


@quick
@given(value=any_array())
def test_equal_arrays_have_one_digest_and_others_another(value: np.ndarray) -> None:
    of = fingerprint.of_values
    assert of(value) == of(value.copy()) == of(np.asarray(value, order="F"))
    assert of(value) not in (of(value[None]), of([value]), of(value.reshape(-1, 1, 1, 1)))
    if value.dtype.kind in "biuf":
        assert of(value) != of(value.tolist())
        with np.errstate(all="ignore"):
            assert of(value) != of(value.astype("float32" if value.dtype != "float32" else "float64"))
    if value.size and value.ndim:
        changed = value.copy()
        changed.flat[-1] = np.zeros(1, value.dtype)[0] if value.flat[-1] else np.ones(1, value.dtype)[0]
        assert of(value) != of(changed)
        if value.ravel()[0].tobytes() != value.ravel()[-1].tobytes():
            assert of(value) != of(value.ravel()[::-1].reshape(value.shape))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | st.binary(),
    lambda each: st.lists(each, max_size=3) | st.tuples(each, each) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=8,
)


@quick
@given(one=PLAIN, other=PLAIN)
def test_plain_values_have_one_digest_if_they_read_alike(one: Any, other: Any) -> None:
    of = fingerprint.of_values
    assert (of(one) == of(other)) == (repr(one) == repr(other))


@quick
@given(held=st.dictionaries(st.text("abc/ 1", min_size=1, max_size=6), any_array(), max_size=4))
def test_what_is_written_is_read(held: dict[str, np.ndarray], tmp_path: Path) -> None:
    memory.write_arrays(tmp_path / "file.npz", held)
    read = memory.read_arrays(tmp_path / "file.npz")
    assert read is not None and read.keys() == held.keys()
    for name, value in held.items():
        assert read[name].dtype == value.dtype and read[name].shape == value.shape
        assert read[name].tobytes() == value.tobytes()


@quick
@given(x=any_array() | filled(4, 2), new=st.none() | any_array() | filled(3, 2))
def test_a_map_is_of_finite_points_or_refused(x: np.ndarray, new: np.ndarray | None) -> None:
    with refused_in_words():
        old, placed = embedding._checked(0, x, new)
        assert old.dtype == np.float32 and old.shape == x.shape and len(old) >= 4
        assert 0 < np.var(old.astype("float64")) < np.inf and np.isfinite(old).all()
        assert (placed is None) == (new is None)
        if placed is not None:
            assert placed.shape[1] == old.shape[1] and np.isfinite(placed).all()


@quick
@given(
    measured=any_array(1, 6) | filled(5),
    truth=any_array(1, 6) | arrays.arrays(bool, 5),
    named=st.text(max_size=3),
)
def test_a_claim_counts_or_is_refused(measured: np.ndarray, truth: np.ndarray, named: str) -> None:
    with refused_in_words():
        claim = Claim("X1", "all is well", "1", {named: measured}, {"it is": truth}, scale="class")
        assert truth.dtype == bool and len(truth) == len(measured) == claim.runs >= 5
        facts = json.loads(json.dumps(claim.as_dict()))
        assert facts["measured"][named]["min"] <= facts["measured"][named]["max"]
        assert (claim.verdict == "reproduced") == (truth.mean() >= 0.8)


LABELS = any_array(1) | arrays.arrays(int, 4, elements=st.integers(0, 12))
READER = (784, 2), 2, (2, 10), 10  # the weights of a network with two hidden units
DRAWN: dict[str, tuple[Callable[..., Any], st.SearchStrategy[tuple[Any, ...]]]] = {
    "median_band": (
        lambda x, runs: figures.median_band(Figure().gca(), x, {"a": runs}, "", ""),
        st.tuples(any_array(2) | filled(3), any_array() | filled(3, 2)),
    ),
    "each run": (
        lambda x, runs: figures.median_band(Figure().gca(), x, {"a": runs}, "", "", each=True),
        st.tuples(any_array(2) | filled(3, 2), filled(3, 2)),
    ),
    "strip": (
        lambda *groups: figures.strip(Figure().gca(), {f"{i}": group for i, group in enumerate(groups)}, ""),
        st.tuples(any_array(2), filled(3)),
    ),
    "image_grid": (
        lambda images: figures.image_grid({"a": images}, ["b"]),
        st.tuples(any_array(4) | filled(1, 4) | filled(1, 2, 2) | filled(1, 2, 2, 1) | filled(1, 2, 2, 3)),
    ),
    "scatter_grid": (
        lambda points, labels: figures.scatter_grid({"a": {"b": points}}, labels),
        st.tuples(any_array() | filled(4, 2), LABELS),
    ),
    "heat_map": (
        lambda x, values: figures.heat_map(Figure().gca(), x, values, "", ""),
        st.tuples(any_array(1) | filled(3), any_array() | filled(3, 2)),
    ),
    "frame_player": (
        lambda frames: interactive.frame_player({"film": {"a": frames}}, ["b", "c"], ""),
        st.tuples(any_array() | filled(2, 2, 1)),
    ),
    "digit_reader": (
        lambda images, labels: interactive.digit_reader([np.ones(s) for s in READER], images, labels, ""),
        st.tuples(any_array(2) | filled(4, 784), LABELS),
    ),
    "linked_scatter": (
        lambda points, labels, images: interactive.linked_scatter({"a": points}, labels, images, ""),
        st.tuples(any_array() | filled(4, 2), LABELS, any_array(2) | filled(4, 784)),
    ),
    "rotating_scatter": (
        lambda points, labels: interactive.rotating_scatter({"a": points}, labels, ""),
        st.tuples(any_array() | filled(4, 3), LABELS),
    ),
    "signal_profile": (lambda rms: interactive.signal_profile(rms, 20, ""), st.tuples(st.floats())),
    "report": (lambda values: report(a=values), st.tuples(any_array())),
}


@pytest.mark.parametrize("name", DRAWN)
def test_what_cannot_be_drawn_is_refused_in_words(name: str) -> None:
    draw, values = DRAWN[name]

    @settings(quick, max_examples=30)
    @given(values)
    def check(arguments: tuple[Any, ...]) -> None:
        try:
            with refused_in_words():
                drawn = draw(*arguments)
                assert not isinstance(drawn, HTML) or "NaN" not in str(drawn.data)
        finally:
            plt.close("all")

    check()
