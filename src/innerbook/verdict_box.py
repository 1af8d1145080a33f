"""How a verdict is shown, from the facts of `innerbook.claims.Claim.as_dict`: on its page and in the report."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

# More measurements than these are folded away, so that the verdict and its reasons are seen together.
UNFOLDED = 6
_ADMONITION = {"reproduced": "tip", "partly": "warning", "not reproduced": "danger"}


def as_html(facts: Mapping[str, Any], held: Mapping[str, bool]) -> str:
    """Return a claim's box; `held` says which statements hold."""
    measured = _measured(facts)
    return (
        f'<div class="admonition {_ADMONITION[facts["verdict"]]} claim">'
        f'<p class="admonition-title">{_title(facts)}</p>{_listed(_reasons(facts, held))}'
        f"{folded(len(measured), _listed(measured))}</div>"
    )


def as_text(facts: Mapping[str, Any], held: Mapping[str, bool]) -> str:
    """Return what `as_html` shows as plain text, a line for each part."""
    rows = _reasons(facts, held) + _measured(facts)
    return "\n".join([_title(facts), *(f"{head}: {text}" for head, text in rows)])


def spread(figures: Mapping[str, float], digits: int = 3, words: bool = True) -> str:
    """Return a measurement's ``"median"`` and its range, ``"min"`` to ``"max"``; one value if all runs agree.

    Args:
        figures: the three numbers.
        digits: decimal places shown.
        words: "median 0.3, range 0.1 to 0.5"; without, "0.3 (0.1 to 0.5)", for a table whose head has the words.
    """
    median, low, high = (f"{figures[name]:.{digits}f}" for name in ("median", "min", "max"))
    if figures["min"] == figures["max"]:
        return median
    return f"median {median}, range {low} to {high}" if words else f"{median} ({low} to {high})"


def folded(count: int, listed: str) -> str:
    """Return a list of so many measurements, in HTML; more than `UNFOLDED` are folded away."""
    if count <= UNFOLDED:
        return listed
    return f"<details><summary>{count} measurements</summary>{listed}</details>"


def fallback_note(facts: Mapping[str, Any]) -> str:
    """Return a line on what something stood in for, or nothing if nothing did."""
    missing = facts.get("fallbacks", ())
    return f"something else stood in for {', '.join(missing)}" if missing else ""


def _title(facts: Mapping[str, Any]) -> str:
    return f"Verdict on {facts['id']}: {facts['verdict']}"


def _reasons(facts: Mapping[str, Any], held: Mapping[str, bool]) -> list[tuple[str, str]]:
    rows = [("Claimed", facts["claim"]), ("Published", facts["published"])]
    rows += [
        ("Holds" if held[name] else "Fails", f"{name}: true in {count} of {facts['runs']}")
        for name, count in facts["holds"].items()
    ]
    note = fallback_note(facts)
    return rows + ([("Fallback", note)] if note else [])


def _measured(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    digits = facts["digits"]
    return [("Measured", f"{name}: {spread(figures, digits)}") for name, figures in facts["measured"].items()]


def _listed(rows: Sequence[tuple[str, str]]) -> str:
    lines = "".join(f"<dt>{head}</dt><dd>{html.escape(text)}</dd>" for head, text in rows)
    return f'<dl class="simple">{lines}</dl>'
