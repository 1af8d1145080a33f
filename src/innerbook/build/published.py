"""Sets each figure that a document prints beside what was measured: a table with a ruler in each row."""

import html
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from innerbook import verdict_box
from innerbook.build import results

_WIDTH, _MARGIN = 160.0, 10.0  # of a ruler, in pixels
_FAR = 20.0  # a ruler that spans more than this factor has a logarithmic scale


def table(claims: results.Rows, kept: Mapping[str, dict[str, Any]], address: Callable[[str], str]) -> str:
    """Return the figures of all claims as a table in HTML.

    Args:
        claims: of the build.
        kept: what was measured at the documents' own sizes, by id.
        address: says, of a page's name, where a link to it leads.
    """
    head = "".join(f"<th>{name}</th>" for name in ("Claim", "Figure", "Published", "Ours, median (range)"))
    rows = "".join(_row(*each, address) for claim in results.in_order(claims) for each in figures(claim, kept))
    return f'<table class="table published"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def figures(
    claim: dict[str, Any], kept: Mapping[str, dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], str, float, dict[str, float]]]:
    """Return, for each figure that the document prints, the claim's row, the name, the figure, and what was measured.

    The row is the one at the document's size if that has the measurement, or else the build's own.
    """
    at_size = kept.get(claim["id"], claim)
    for name in claim.get("figures", {}):
        row = at_size if name in at_size["measured"] else claim
        yield row, name, row.get("figures", claim["figures"])[name], row["measured"][name]


def ruler(figure: float, measured: Mapping[str, float]) -> str:
    """Return a line with a bar from the least to the largest measured value, a dot at the median, a stroke at a figure.

    The scale is the row's own. It is logarithmic if the values are positive and far apart.
    """
    values = [figure, measured["min"], measured["max"]]
    low, high = min(values), max(values)
    scale = math.log if low > 0 and high / low > _FAR else float
    start, length = scale(low), scale(high) - scale(low)

    def at(value: float) -> float:
        share = (scale(value) - start) / length if length else 0.5
        return _MARGIN + share * (_WIDTH - 2 * _MARGIN)

    first, last, middle, told = (at(value) for value in (measured["min"], measured["max"], measured["median"], figure))
    return (
        f'<svg viewBox="0 0 {_WIDTH:g} 20" width="{_WIDTH:g}" height="20" aria-hidden="true">'
        f'<path d="M{_MARGIN:g} 10H{_WIDTH - _MARGIN:g}" stroke="currentColor" stroke-width="0.6" opacity="0.5"/>'
        f'<path class="range" d="M{first:.1f} 10H{last:.1f}" stroke-width="5" stroke-linecap="round"/>'
        f'<circle cx="{middle:.1f}" cy="10" r="4.5"/>'
        f'<path d="M{told:.1f} 1V19" stroke="currentColor" stroke-width="2"/></svg>'
    )


def _row(
    row: dict[str, Any], name: str, figure: float, measured: dict[str, float], address: Callable[[str], str]
) -> str:
    smaller = "" if row["scale"] == "paper" else ", at class scale"
    cells = [
        f'<a href="{address(row["page"])}">{html.escape(row["id"])}</a>',
        html.escape(name),
        f"{figure:g}",
        f"{verdict_box.spread(measured, row['digits'])}{smaller}<br/>{ruler(figure, measured)}",
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
