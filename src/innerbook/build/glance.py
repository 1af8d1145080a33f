"""Draws the claims as marks, so that the whole report is seen at a glance."""

import html
from collections.abc import Callable, Sequence
from typing import Any

from innerbook.build import results

# Each verdict has a shape of its own: no colour is needed to tell them apart.
VERDICTS = ("reproduced", "partly", "not reproduced")
_SAYS = {
    "reproduced": "all of its statements hold",
    "partly": "filled as high as the share of its statements that hold",
    "not reproduced": "none holds",
}
_TOP, _BOTTOM, _MIDDLE = 1.0, 19.0, 10.0  # of a diamond


def draw(claims: results.Rows, address: Callable[[str], str]) -> str:
    """Return all claims as marks in HTML, grouped by document and, in it, by verdict.

    Args:
        claims: with the verdicts to show.
        address: says, of a page's name, where a link to it leads.
    """
    legend = "".join(f"<li>{mark(verdict, 0.5)} <b>{verdict}</b>: {says}</li>" for verdict, says in _SAYS.items())
    letters = sorted({claim["id"][0] for claim in claims})
    documents = "".join(_document(letter, claims, address) for letter in letters)
    return f'<div class="glance"><ul class="glance-legend">{legend}</ul>{documents}</div>'


def mark(verdict: str, share: float) -> str:
    """Return a verdict's shape as SVG: a disc, a diamond that is filled up to a share of its height, or a cross.

    Raises:
        ValueError: there is no such verdict.
    """
    if verdict not in VERDICTS:
        raise ValueError(f"expected a verdict of {', '.join(VERDICTS)}; received {verdict!r}")
    shape = {
        "reproduced": '<circle cx="10" cy="10" r="8.5" fill="currentColor"/>',
        "partly": '<path d="M10 1 19 10 10 19 1 10Z" fill="none" stroke="currentColor" stroke-width="1.6"/>'
        f'<polygon points="{_filled(share)}" fill="currentColor"/>',
        "not reproduced": '<path d="M3 3 17 17M17 3 3 17" stroke="currentColor" stroke-width="3.5"/>',
    }[verdict]
    kind = verdict.replace(" ", "-")
    return f'<svg class="mark-{kind}" viewBox="0 0 20 20" role="img" aria-label="{verdict}">{shape}</svg>'


def _filled(share: float) -> str:
    """Return the corners of a diamond's lower part."""
    y = _BOTTOM - share * (_BOTTOM - _TOP)
    half = min(y - _TOP, _BOTTOM - y)
    corners = [(_MIDDLE - half, y), (_MIDDLE + half, y)]
    corners += [(_BOTTOM, _MIDDLE)] if y < _MIDDLE else []
    corners += [(_MIDDLE, _BOTTOM)]
    corners += [(_TOP, _MIDDLE)] if y < _MIDDLE else []
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in corners)


def _document(letter: str, claims: Sequence[dict[str, Any]], address: Callable[[str], str]) -> str:
    own = [claim for claim in results.in_order(list(claims)) if claim["id"][0] == letter]
    by_verdict = {verdict: [claim for claim in own if claim["verdict"] == verdict] for verdict in VERDICTS}
    counts = ", ".join(f"<span>{len(found)} {verdict}</span>" for verdict, found in by_verdict.items())
    marks = "".join(_linked(claim, address) for found in by_verdict.values() for claim in found)
    about = f"{address('book/index')}#document-{letter.lower()}"
    head = f'<p><a href="{about}">Document {letter}</a> <span class="glance-counts">{counts}</span></p>'
    return f'{head}<ul class="glance-marks">{marks}</ul>'


def _linked(claim: dict[str, Any], address: Callable[[str], str]) -> str:
    held = results.counted(claim)
    share = sum(held.values()) / len(held)
    said = f"{claim['verdict']}, {sum(held.values())} of {len(held)} statements hold. {claim['claim']}"
    return (
        f'<li><a href="{address(claim["page"])}" title="{html.escape(said)}">'
        f"{mark(claim['verdict'], share)}<span>{html.escape(claim['id'])}</span></a></li>"
    )
