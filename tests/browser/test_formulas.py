# ruff: noqa: RUF001
"""Formulas as the browser draws them: the spaces between their parts against TeX's, and brackets that grow."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, FloatRect

from innerbook.build.mathml import from_tex

Draws = Callable[..., list[FloatRect]]
PIXELS = 90  # of an em; five of them are TeX's unit, an eighteenth


@pytest.fixture
def draw(chromium: Browser) -> Draws:
    """Draw formulas, given as MathML, and return their boxes in pixels."""
    page = chromium.new_page()

    def draws(*formulas: str) -> list[FloatRect]:
        style = f"<style>math {{ font: {PIXELS}px 'DejaVu Math TeX Gyre', math; }} p {{ white-space: nowrap; }}</style>"
        page.set_content(style + "".join(f"<p>{formula}</p>" for formula in formulas))
        boxes = [formula.bounding_box() for formula in page.locator("math").all()]
        assert len(boxes) == len(formulas)
        return [box for box in boxes if box is not None and box["width"]]

    return draws


# A formula, the characters that it draws, and TeX's spaces among them, in eighteenths of an em.
SPACES = [
    (r"\log p", ["log", "p"], 3),
    (r"2 \log 3", ["2", "log", "3"], 3 + 3),
    (r"\log(3)", ["log", "(", "3", ")"], 0),
    (r"\max |x|", ["max", "|", "x", "|"], 3),
    (r"\operatorname{Var}(x)", ["Var", "(", "x", ")"], 0),
    (r"\mathrm{relu}(x)", ["relu", "(", "x", ")"], 0),
    ("a - b", ["a", "−", "b"], 4 + 4),
    ("-1", ["−", "1"], 0),
    ("(-1)", ["(", "−", "1", ")"], 0),
    ("(1, -1)", ["(", "1", ",", "−", "1", ")"], 3),
    ("x = -1", ["x", "=", "−", "1"], 5 + 5),
    (r"1 \pm x", ["1", "±", "x"], 4 + 4),
    (r"\pm 1", ["±", "1"], 0),
    (r"e \perp g", ["e", "⊥", "g"], 5 + 5),
    ("54{,}950", ["54,950"], 0),
    (r"-|x|", ["−", "|", "x", "|"], 0),
    (r"\lVert x \rVert > \lvert y \rvert", ["‖", "x", "‖", ">", "|", "y", "|"], 5 + 5),
    ("1/n", ["1", "/", "n"], 0),
    (r"a'", ["a", "′"], 0),
    (r"a\,b", ["a", "b"], 3),
]


@pytest.mark.parametrize(("tex", "parts", "eighteenths"), SPACES)
def test_spaces_are_those_of_tex(tex: str, parts: list[str], eighteenths: int, draw: Draws) -> None:
    letters = [f"<math><{tag}>{part}</{tag}></math>" for part in parts for tag in ["mi" if part.islower() else "mtext"]]
    whole, *single = draw(from_tex(tex), *letters)
    space = whole["width"] - sum(box["width"] for box in single)
    assert space == pytest.approx(eighteenths * PIXELS / 18, abs=PIXELS / 18)


def test_brackets_grow_with_what_they_hold_and_with_their_size(draw: Draws) -> None:
    small, large, power = draw(
        from_tex("( x )", "block"), from_tex(r"\Big( x \Big)", "block"), from_tex(r"\Big( x \Big)^2", "block")
    )
    assert large["height"] > 1.3 * small["height"]
    assert power["height"] >= large["height"]
    tall, flat = draw(from_tex(r"\left( \frac{\frac12}{\frac12} \right)"), from_tex(r"\left( 1 \right)"))
    assert tall["height"] > 1.5 * flat["height"]


def test_limits_stand_below_where_there_is_room(draw: Draws) -> None:
    block, line = draw(from_tex(r"\min_{xyz} u", "block"), from_tex(r"\min_{xyz} u"))
    assert block["height"] > line["height"]


def test_letters_of_other_alphabets_are_drawn_upright() -> None:
    assert "𝔼" in from_tex(r"\mathbb E[x]") and "𝖳" in from_tex(r"A^{\mathsf T}")


def test_the_tex_is_kept_for_those_who_listen() -> None:
    assert 'alttext="a &lt; \\frac12"' in from_tex("a < \\frac12")


@pytest.mark.parametrize("tex", [r"\unheard x", r"\frac{1}{", r"\begin{cases} 1"])
def test_what_cannot_be_drawn_is_an_error(tex: str) -> None:
    with pytest.raises(ValueError, match="expected a formula in LaTeX; received"):
        from_tex(tex)
