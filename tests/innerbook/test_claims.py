import json
import re
from typing import Any

import nbformat
import numpy as np
import pytest

from innerbook import claims, verdict_box
from innerbook.build import report
from innerbook.data import sources


def claim(**changes: Any) -> claims.Claim:
    arguments: dict[str, Any] = {
        "id": "X1",
        "claim": "a < b",
        "published": "0.5",
        "measured": {"accuracy": [0.1, 0.2, 0.3, 0.4, 0.9]},
        "holds": {"it is so": [True] * 5},
        "scale": "class",
    }
    return claims.Claim(**{**arguments, **changes})


def truths(*counts: int) -> dict[str, np.ndarray]:
    """Statements that are true in so many of five runs."""
    return {f"statement {i}": np.arange(5) < count for i, count in enumerate(counts)}


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((4,), "reproduced"),
        ((3,), "not reproduced"),
        ((5, 1), "partly"),
        ((0, 1), "not reproduced"),
    ],
)
def test_the_verdict_is_counted(counts: tuple[int, ...], verdict: str) -> None:
    assert claim(holds=truths(*counts)).verdict == verdict


FACTS: dict[str, Any] = {"measured": {"n": [1.0]}, "holds": {"it is": [True]}, "random": False}


def test_scale_and_seeds_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNERVIEW_SCALE", "paper")
    assert claims.Claim("X1", "a", "b", **FACTS).scale == "paper" and claim().scale == "class"
    assert claim().seeds == "0 to runs - 1"
    monkeypatch.setenv("INNERVIEW_FIRST_SEED", "5")
    assert claim().seeds == claim().as_dict()["seeds"] == "5 to 9"


def test_on_a_fallback_nothing_is_at_paper_scale_and_the_box_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNERVIEW_SCALE", "paper")
    before = claims.Claim("X1", "a", "b", **FACTS)
    sources.fall_back("MNIST", "a note")
    sources.fall_back("ImageNet weights", "a note")
    after = claims.Claim("X1", "a", "b", **FACTS)
    assert after.scale == "class" and after.as_dict()["fallbacks"] == ["ImageNet weights", "MNIST"]
    box = after._repr_mimebundle_()
    assert "<dt>Fallback</dt><dd>something else stood in for ImageNet weights, MNIST</dd>" in box["text/html"]
    assert "\nFallback: something else stood in for ImageNet weights, MNIST\n" in box["text/plain"]
    assert claims.Claim("X1", "a", "b", **FACTS, scale="paper").scale == "paper"  # whoever says so knows better

    # What came later says nothing of what was measured before.
    assert before.scale == "paper" and "fallbacks" not in before.as_dict()
    assert "Fallback" not in before._repr_mimebundle_()["text/html"]


def test_json_holds_median_and_range() -> None:
    facts = json.loads(json.dumps(claim(holds={"a": np.array([True, False, True, True, True])}).as_dict()))
    assert facts["measured"] == {"accuracy": {"median": 0.3, "min": 0.1, "max": 0.9}}
    assert facts["holds"] == {"a": 4} and facts["runs"] == 5 and facts["verdict"] == "reproduced"


def test_printed_figures_are_told_where_there_are_some() -> None:
    told = claim(figures={"accuracy": np.float32(0.5)}).as_dict()
    assert json.loads(json.dumps(told))["figures"] == {"accuracy": 0.5} and "figures" not in claim().as_dict()


def test_a_run_that_falls_short_of_the_documents_size_says_so_wherever_it_is_shown() -> None:
    short = "200 steps < 500"
    assert "short_of" not in claim(short_of=short, scale="class").as_dict()  # which is smaller anyway
    facts = claim(short_of=short, scale="paper").as_dict() | {"date": "2026-11-27"}
    held = {"it is so": True}
    assert facts["short_of"] == short
    assert f"\nScale: short of the document's size: {short}\n" in verdict_box.as_text(facts, held)
    told = verdict_box.at_the_documents_size(facts, held)
    assert told.startswith("<p><strong>At a larger size (200 steps &lt; 500):</strong> ")
    assert f"Short of the document's size: {short}." in report._told(facts)
    del facts["short_of"]
    assert verdict_box.at_the_documents_size(facts, held).startswith("<p><strong>At the document's size:</strong> ")
    assert "size:" not in report._told(facts)


def test_runs_that_agree_are_shown_as_one_value_and_seeds_are_told() -> None:
    box = claim(measured={"accuracy": [0.5] * 5}, seeds="0 (network), 0 to 4 (starts)")._repr_mimebundle_()
    assert "accuracy: 0.500\n" in box["text/plain"] + "\n"
    assert json.loads(box[claims.MIME])["seeds"] == "0 (network), 0 to 4 (starts)"


def test_the_box_escapes_what_it_shows() -> None:
    box = claim()._repr_mimebundle_()
    assert "a &lt; b" in box["text/html"] and "reproduced" in box["text/html"]
    assert "accuracy: 0.300 (0.100 to 0.900)" in box["text/plain"]
    assert json.loads(box[claims.MIME]) == claim().as_dict()


def test_the_box_says_which_statements_hold_and_folds_many_measurements() -> None:
    box = claim(holds=truths(4, 3))._repr_mimebundle_()
    fails = "<dt>Fails</dt><dd>statement 1 (in 3 of 5)</dd>"
    assert f"<dt>Holds</dt><dd>statement 0 (in 4 of 5)</dd>{fails}" in box["text/html"]
    assert "<details>" not in box["text/html"]
    box = claim(measured={f"n{i}": [0.5] * 5 for i in range(9)})._repr_mimebundle_()
    assert re.search("<details><summary>9 measurements, median .range.</summary>.*n0.*n8.*</details>", box["text/html"])


def test_the_report_makes_the_same_box_of_what_the_build_kept() -> None:
    made = claim(holds=truths(4, 3), measured={f"n{i}": np.arange(5.0) + i for i in range(9)}, digits=1)
    kept = json.loads(json.dumps(made.as_dict()))
    held = claims.held(kept["holds"], kept["runs"])
    assert held == {"statement 0": True, "statement 1": False}
    box = made._repr_mimebundle_()
    assert verdict_box.as_html(kept, held) == box["text/html"] and verdict_box.as_text(kept, held) == box["text/plain"]


def test_a_spread_fits_a_sentence_and_a_table() -> None:
    figures = {"median": 1.25, "min": 0.5, "max": 3.0}
    assert verdict_box.spread(figures) == "1.250 (0.500 to 3.000)"
    assert verdict_box.spread(figures, 1) == "1.2 (0.5 to 3.0)"
    assert verdict_box.spread(dict.fromkeys(figures, 2.5), 1) == "2.5"
    assert verdict_box.spread({"median": 7.0, "min": 3.0, "max": 9.0}) == "7 (3 to 9)"  # whole numbers stay whole
    large = {"median": 48_988.169, "min": 1_628.976, "max": 7_601_772.152}
    assert verdict_box.spread(large) == "48,988 (1,629 to 7,601,772)"
    assert verdict_box.spread({"median": 13.5438, "min": -0.4156, "max": 16.3137}) == "13.54 (-0.42 to 16.31)"


@pytest.mark.parametrize(
    ("counts", "opening"),
    [
        ((5, 4), "The claim holds: each statement is true in at least four of five runs."),
        ((5,), "The claim holds: its one statement is true in"),
        ((5, 1, 0), "The claim holds in part: one of its three statements is true in"),
        ((5, 5, 0), "The claim holds in part: two of its three statements are true in"),
        ((0, 3), "It does not hold: neither of its two statements is true in"),
        ((2,), "It does not hold: its one statement is not true in"),
    ],
)
def test_the_box_opens_with_a_sentence(counts: tuple[int, ...], opening: str) -> None:
    box = claim(holds=truths(*counts))._repr_mimebundle_()
    assert opening in box["text/html"] and opening in box["text/plain"].splitlines()[1]


def test_the_box_says_how_many_of_its_runs_are_enough() -> None:
    box = claim(measured={"n": np.ones(9)}, holds={"it is": np.ones(9, bool)})._repr_mimebundle_()["text/plain"]
    assert "in at least eight of nine runs" in box
    box = claim(measured={"n": np.ones(15)}, holds={"it is": np.ones(15, bool)})._repr_mimebundle_()["text/plain"]
    assert "in at least 12 of 15 runs" in box


def test_the_box_tells_its_scale_and_the_summary_names_what_holds() -> None:
    for scale, told in (("class", "class: smaller than the document's"), ("paper", "the document's own size")):
        assert f"\nScale: {told}" in claim(scale=scale)._repr_mimebundle_()["text/plain"]
    held = claims.held({"a": 5, "b": 1, "c": 4}, 5)
    assert verdict_box.summary(held) == "Holds: “a”, “c”. Fails: “b”."


def test_measurements_that_make_a_grid_are_shown_as_one() -> None:
    names = [f"{row}, {column}" for row in ("a, b", "c") for column in ("layer 1", "layer 2")]
    values = {name: [float(i)] * 5 for i, name in enumerate(names)}
    box = claim(measured={"alone": [9.5] * 5, **values})._repr_mimebundle_()["text/html"]
    assert "<tr><th></th><th>layer 1</th><th>layer 2</th></tr>" in box
    assert "<tr><th>a, b</th><td>0</td><td>1</td></tr><tr><th>c</th><td>2</td><td>3</td></tr>" in box
    assert "<dt>alone</dt><dd>9.500</dd>" in box
    assert "<table>" not in claim(measured={**values, "d, layer 3": [1.0] * 5})._repr_mimebundle_()["text/html"]


def test_a_notebook_on_disk_keeps_the_order_of_the_measurements() -> None:
    order = ["one network", "after 1,000 steps", "the same, blurred"]
    output = nbformat.v4.new_output(
        "display_data", claim(measured={name: [0.5] * 5 for name in order})._repr_mimebundle_()
    )
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])
    read = nbformat.reads(nbformat.writes(book), as_version=4).cells[0].outputs[0]
    assert list(json.loads(read.data[claims.MIME])["measured"]) == order


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"holds": {}}, "at least one statement"),
        ({"measured": {"accuracy": [0.1] * 4}}, "one value a run everywhere"),
        ({"holds": {"a": np.ones((5, 3), bool)}, "measured": {"n": np.ones((5, 3))}}, "one value a run everywhere"),
        ({"holds": {"a": True}}, "one value a run everywhere"),
        ({"measured": {"accuracy": [0.1] * 4}, "holds": {"a": [True] * 4}}, "at least 5 runs"),
        ({"measured": {"accuracy": [0.1, 0.2, 0.3, 0.4, np.nan]}}, "finite measurements"),
        ({"scale": "huge"}, "received 'huge'"),
        ({"figures": {"accuracy": 0.5, "loss": 0.1}}, "received one of loss"),
    ],
)
def test_a_poor_claim_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        claim(**change)


@pytest.mark.parametrize(
    ("values", "received"),
    [(np.linspace(0.91, 0.99, 5), "float64, such as 0.91"), ([1, 1, 1, 1, 0], "int64, such as 1"), ("abcde", "<U")],
)
def test_numbers_are_no_truth_values(values: Any, received: str) -> None:
    values = list(values) if isinstance(values, str) else values
    with pytest.raises(TypeError, match=f"statement 'above 0.95' has {received}"):
        claim(holds={"it is so": [True] * 5, "above 0.95": values})
    assert claim(holds={"above 0.95": np.asarray(values) == values[0]}).runs == 5


@pytest.mark.parametrize("missing", [[True, None, True, True, True], np.array([True, np.nan, 1, 1, 1], object)])
def test_a_missing_truth_value_is_none(missing: Any) -> None:
    with pytest.raises(TypeError, match="statement 'a' has object"):
        claim(holds={"a": missing})
    with pytest.raises(TypeError, match="some of statement 'a' are masked"):
        claim(holds={"a": np.ma.masked_less([1.0, 2, 3, 4, 5], 2) > 0})


def test_one_run_is_enough_where_nothing_is_random() -> None:
    assert claim(random=False, measured={"n": [3]}, holds={"a": [np.True_]}).runs == 1
