"""How a verdict is shown, from the facts of `innerbook.claims.Claim.as_dict`: on its page and in the report."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

# A statement holds if it is true in this share of the runs; the report counts by it, too.
ENOUGH = 0.8
# More measurements than these are folded away, so that the verdict and its reasons are seen together.
UNFOLDED = 6
# The place in a box where the build shows the result at the document's size.
KEPT = "<!-- at the document's size -->"
_ADMONITION = {"reproduced": "tip", "partly": "warning", "not reproduced": "danger"}
_OPENINGS = {"reproduced": "The claim holds", "partly": "The claim holds in part", "not reproduced": "It does not hold"}
_SCALES = {
    "class": "class: smaller than the document's experiment",
    "paper": "the document's own size",
}
_WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
Facts = Mapping[str, Any]
Held = Mapping[str, bool]


def as_html(facts: Facts, held: Held) -> str:
    """Return a claim's box; `held` says which statements hold."""
    listed = "".join(f"<dt>{head}</dt><dd>{html.escape(text)}</dd>" for head, text in _reasons(facts, held))
    return (
        f'<div class="admonition {_ADMONITION[facts["verdict"]]} claim" data-claim="{html.escape(facts["id"])}">'
        f'<p class="admonition-title">{_title(facts)}</p><p>{_opening(facts, held)}</p>'
        f'<dl class="simple">{listed}</dl>{measurements(facts)}{KEPT}</div>'
    )


def as_text(facts: Facts, held: Held) -> str:
    """Return what `as_html` shows as plain text, a line for each part."""
    rows = _reasons(facts, held) + [("Measured", f"{name}: {text}") for name, text in _spreads(facts).items()]
    return "\n".join([_title(facts), _opening(facts, held), *(f"{head}: {text}" for head, text in rows)])


def at_the_documents_size(facts: Facts, held: Held) -> str:
    """Return, for the box of a claim at class scale, what was measured at the document's size, in HTML."""
    said = html.escape(f"{facts['verdict']}, {facts['runs']} runs, {facts['date']}. {summary(held)}")
    size = f"At a larger size ({html.escape(facts['short_of'])})" if "short_of" in facts else "At the document's size"
    return f"<p><strong>{size}:</strong> {said}</p>{measurements(facts)}"


def summary(held: Held) -> str:
    """Return a sentence that names the statements that hold and those that fail."""
    parts = []
    for head, wanted in (("Holds", True), ("Fails", False)):
        names = [f"“{name}”" for name, holds in held.items() if holds is wanted]
        parts += [f"{head}: {', '.join(names)}."] if names else []
    return " ".join(parts)


def measurements(facts: Facts) -> str:
    """Return all measurements in HTML, in a grid where names such as "r, Conv1" make one; many are folded away."""
    texts = _spreads(facts)
    rows, columns = _grid(list(texts))
    shown = ""
    if rows:
        head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
        shown = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>"
        for row in rows:
            cells = "".join(f"<td>{texts.pop(f'{row}, {column}')}</td>" for column in columns)
            shown += f"<tr><th>{html.escape(row)}</th>{cells}</tr>"
        shown += "</tbody></table>"
    listed = "".join(f"<dt>{html.escape(name)}</dt><dd>{text}</dd>" for name, text in texts.items())
    shown += f'<dl class="simple">{listed}</dl>' if listed else ""
    count = len(facts["measured"])
    if count <= UNFOLDED:
        return f"<p>Measured, median (range):</p>{shown}"
    return f"<details><summary>{count} measurements, median (range)</summary>{shown}</details>"


def spread(figures: Mapping[str, float], digits: int = 3) -> str:
    """Return a measurement's ``"median"`` and its range, ``"min"`` to ``"max"``; one value if all runs agree.

    Whole numbers are shown as such, others with `digits` decimal places, one less for each power of ten in the largest.
    """
    values = [float(figures[name]) for name in ("median", "min", "max")]
    tens = math.floor(math.log10(max(1.0, *map(abs, values))))
    places = 0 if all(value.is_integer() for value in values) else max(0, digits - tens)
    median, low, high = (f"{value:,.{places}f}" for value in values)
    return median if low == high else f"{median} ({low} to {high})"


def short_of(facts: Facts) -> str:
    """Return a line on where a run at paper scale falls short of the document's size, or nothing if it does not."""
    return f"short of the document's size: {facts['short_of']}" if "short_of" in facts else ""


def fallback_note(facts: Facts) -> str:
    """Return a line on what something stood in for, or nothing if nothing did."""
    missing = facts.get("fallbacks", ())
    return f"something else stood in for {', '.join(missing)}" if missing else ""


def _title(facts: Facts) -> str:
    return f"Verdict on {facts['id']}: {facts['verdict']}"


def _opening(facts: Facts, held: Held) -> str:
    true, n = sum(held.values()), len(held)
    counts = [_WORDS[count] if count < len(_WORDS) else f"{count}" for count in (true, n)]
    of = f"{counts[0]} of its {counts[1]} statements {'is' if true < 2 else 'are'}" if true < n else "each statement is"
    if (true, n) == (0, 2):
        of = "neither of its two statements is"
    if n == 1:
        of = "its one statement is" if true else "its one statement is not"
    runs = facts["runs"]
    enough = [_WORDS[count] if runs < len(_WORDS) else f"{count}" for count in (math.ceil(ENOUGH * runs - 1e-9), runs)]
    share = f" in at least {enough[0]} of {enough[1]} runs" if runs > 1 else ""
    return f"{_OPENINGS[facts['verdict']]}: {of} true{share}."


def _reasons(facts: Facts, held: Held) -> list[tuple[str, str]]:
    rows = [("Claimed", facts["claim"]), ("Published", facts["published"])]
    rows += [
        ("Holds" if held[name] else "Fails", f"{name} (in {count} of {facts['runs']})")
        for name, count in facts["holds"].items()
    ]
    rows.append(("Scale", short_of(facts) or _SCALES[facts["scale"]]))
    note = fallback_note(facts)
    return rows + ([("Fallback", note)] if note else [])


def _spreads(facts: Facts) -> dict[str, str]:
    return {name: spread(figures, facts["digits"]) for name, figures in facts["measured"].items()}


def _grid(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return rows and columns of the names "row, column", if all of a grid of two by two or more are there."""
    pairs = [(row, column) for row, comma, column in (name.rpartition(", ") for name in names) if comma]
    rows, columns = (list(dict.fromkeys(pair[i] for pair in pairs)) for i in (0, 1))
    full = min(len(rows), len(columns)) > 1 and len(pairs) == len(rows) * len(columns)
    return (rows, columns) if full else ([], [])
