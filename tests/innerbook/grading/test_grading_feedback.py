"""Feedback pages: what a student reads of each question, and what no page shows."""

from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_output

from innerbook.grading.feedback import page
from innerbook.grading.release import is_check, release

SHOWN = release(Path(__file__).parents[3] / "homework" / "1-first-network" / "master.md")
PLACES = {cell.id: i for i, cell in enumerate(SHOWN.cells)}
CHECKS = {cell.id: 3.0 for cell in SHOWN.cells if is_check(cell)}
TOLD = "expected <b>one</b> label; received two"


def error(name: str, message: str = "", traceback: str = "File 7, in the check") -> Any:
    return new_output("error", ename=name, evalue=message, traceback=[traceback])


def made(outputs: dict[str, list[Any]], status: str = "ok", **points: float | None) -> str:
    told = CHECKS | {name.replace("_", "-"): each for name, each in points.items()}
    by_place = {PLACES[name]: each for name, each in outputs.items()}
    return page(SHOWN, by_place, told, title="none", status=status, notes=[])


def test_a_row_names_its_question_and_says_what_came_of_it() -> None:
    outputs = {
        "bands-check": [error("AssertionError", TOLD)],
        "kinds-check": [error("NotImplementedError")],
        "nearest-check": [new_output("execute_result", {"text/plain": "3"}, execution_count=1)],
    }
    text = made(outputs, bands_check=0.0, kinds_check=0.0, nearest_check=1.0, erase_check=None)
    assert "<h1>Homework 1: Fingerprints and an optimal input</h1>" in text
    row = f'<td><a href="#cell-id=cell-{PLACES["bands"] - 1}">Question 1: Bands</a></td><td class="number">0 of 3</td>'
    assert f"{row}<td>the check that you were given fails</td>" in text
    assert "0 of 3</td><td>no answer</td>" in text
    assert "1 of 3</td><td>the check that you were given passes; further tests give less</td>" in text
    assert " of 4</td><td>your teacher reads this answer</td>" in text
    assert "7 of 20 points so far" in text
    assert "Change your answer in your own notebook" in text and "Try it on other numbers" in text
    assert "own notebook" not in made({})


def test_a_checks_message_is_shown_and_neither_its_code_nor_its_traceback() -> None:
    text = made({"bands-check": [error("AssertionError", TOLD)], "erase": [error("TypeError", "", "File 8, line 3")]})
    assert "AssertionError: expected &lt;b&gt;one&lt;/b&gt; label" in text
    assert "File 7" not in text and "File 8, line 3" in text  # where an answer itself stops, the lines help
    assert "Four images of each digit" not in text and "fit_ensemble" not in text
    assert "raise" in text and "NotImplementedError" in text  # the answers, as they were handed in


def test_a_page_needs_no_script_and_no_other_colours_in_the_dark() -> None:
    drawn = new_output("display_data", {"image/png": "aGk=", "text/html": "<script>1</script>"})
    text = made({"bands": [drawn]})
    assert 'src="data:image/png;base64,aGk="' in text and 'alt="What this cell has drawn"' in text
    assert "<script" not in text and "http://" not in text.replace("http://www.w3.org/1998/Math/MathML", "")
    assert "<math" in text and "$" not in text.split("<body>")[1].split("<pre>")[0]
    assert "color-scheme: light dark" in text


@pytest.mark.parametrize("status", ["rebuilt", "flagged", "time limit", "stopped", "kernel died", "unreadable", "link"])
def test_a_status_is_told_in_words(status: str) -> None:
    assert len(made({}, status)) > len(made({})) + 40
