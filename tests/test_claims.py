import json
import re
from typing import Any

import nbformat
import numpy as np
import pytest

from innerview import claims


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


@pytest.mark.parametrize(
    ("holds", "verdict"),
    [
        ({"a": [1, 1, 1, 1, 0]}, "reproduced"),
        ({"a": [1, 1, 1, 0, 0]}, "not reproduced"),
        ({"a": [1, 1, 1, 1, 1], "b": [0, 0, 0, 0, 1]}, "partly"),
        ({"a": [0, 0, 0, 0, 0], "b": [0, 0, 0, 0, 1]}, "not reproduced"),
    ],
)
def test_the_verdict_is_counted(holds: dict[str, list[int]], verdict: str) -> None:
    assert claim(holds=holds).verdict == verdict


def test_on_the_small_set_nothing_is_at_paper_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "SCALE", "paper")
    facts: dict[str, Any] = {"measured": {"n": [1.0]}, "holds": {"it is": [True]}, "random": False}
    assert claims.Claim("X1", "a", "b", **facts).scale == "paper"
    monkeypatch.setenv("INNERVIEW_MNIST", "small")
    assert claims.Claim("X1", "a", "b", **facts).scale == "class"


def test_json_holds_median_and_range() -> None:
    facts = json.loads(json.dumps(claim(holds={"a": np.array([True, False, True, True, True])}).as_dict()))
    assert facts["measured"] == {"accuracy": {"median": 0.3, "min": 0.1, "max": 0.9}}
    assert facts["holds"] == {"a": 4} and facts["runs"] == 5 and facts["verdict"] == "reproduced"


def test_runs_that_agree_are_shown_as_one_value_and_seeds_are_told() -> None:
    box = claim(measured={"accuracy": [0.5] * 5}, seeds="0 (network), 0 to 4 (starts)")._repr_mimebundle_()
    assert "accuracy: 0.500" in box["text/plain"] and "range" not in box["text/plain"]
    assert json.loads(box[claims.MIME])["seeds"] == "0 (network), 0 to 4 (starts)"
    assert claim().as_dict()["seeds"] == "0 to runs - 1"


def test_the_box_escapes_what_it_shows() -> None:
    box = claim()._repr_mimebundle_()
    assert "a &lt; b" in box["text/html"] and "reproduced" in box["text/html"]
    assert "median 0.300, range 0.100 to 0.900" in box["text/plain"]
    assert json.loads(box[claims.MIME]) == claim().as_dict()


def test_the_box_says_which_statements_hold_and_folds_many_measurements() -> None:
    box = claim(holds={"a": [1, 1, 1, 1, 0], "b": [1, 1, 1, 0, 0]})._repr_mimebundle_()
    assert "<dt>Holds</dt><dd>a: true in 4 of 5</dd><dt>Fails</dt><dd>b: true in 3 of 5</dd>" in box["text/html"]
    assert "<details>" not in box["text/html"]
    box = claim(measured={f"n{i}": [0.5] * 5 for i in range(9)})._repr_mimebundle_()
    assert re.search("<details><summary>9 measurements</summary>.*n0.*n8.*</details>", box["text/html"])


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
        ({"measured": {"accuracy": [0.1] * 4}, "holds": {"a": [True] * 4}}, "at least 5 runs"),
        ({"measured": {"accuracy": [0.1, 0.2, 0.3, 0.4, np.nan]}}, "finite measurements"),
        ({"scale": "huge"}, "received 'huge'"),
    ],
)
def test_a_poor_claim_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        claim(**change)


def test_one_run_is_enough_where_nothing_is_random() -> None:
    assert claim(random=False, measured={"n": [3]}, holds={"a": [True]}).runs == 1
