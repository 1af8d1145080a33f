"""What a document claimed, what was measured, and the verdict."""

import html
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Verdict = Literal["reproduced", "partly", "not reproduced"]
# The one switch between the two sizes of an experiment: `make book SCALE=paper`.
SCALE = os.environ.get("INNERVIEW_SCALE", "class")
MIME = "application/vnd.innerview.claim+json"
# A statement holds if it is true in this share of the runs; the report counts by it, too.
ENOUGH = 0.8
# More measurements than these are folded away, so that the verdict and its reasons are seen together.
UNFOLDED = 6
_ADMONITION = {"reproduced": "tip", "partly": "warning", "not reproduced": "danger"}


def _scale() -> str:
    stands_in = os.environ.get("INNERVIEW_MNIST") == "small" or os.environ.get("INNERVIEW_RESNET") == "none"
    return "class" if stands_in else SCALE


@dataclass(frozen=True)
class Claim:
    """A published claim beside what was measured, shown as a box at the end of a cell.

    The verdict is not chosen but counted. A claim is taken apart into statements, each true or false in each run. A
    statement holds if it is true in at least four of five runs. The claim is *reproduced* if all its statements hold,
    *not reproduced* if none does, and *partly* reproduced otherwise.

    Args:
        id: the row of the list of experiments, such as ``"E2"``.
        claim: what the document says, in one sentence.
        published: the document's own figure, or a word where it has none.
        measured: named measurements, each one value a run.
        holds: the claim's statements, each with one truth value a run.
        scale: ``"paper"`` at the document's own size, ``"class"`` at a smaller one. The default is the build's, and
            ``"class"`` if something stands in for MNIST or for the ImageNet weights.
        random: false if nothing in the experiment is random; then one run is enough.
        seeds: what the runs are.
        digits: decimal places shown.

    Raises:
        ValueError: there are no statements, numbers of runs differ or are below 5, or a measurement is not finite.
    """

    id: str
    claim: str
    published: str
    measured: Mapping[str, Sequence[float] | np.ndarray]
    holds: Mapping[str, Sequence[bool] | np.ndarray]
    scale: str = field(default_factory=_scale)
    random: bool = True
    seeds: str = "0 to runs - 1"
    digits: int = 3
    runs: int = field(init=False)

    def __post_init__(self) -> None:
        if not self.holds or not self.measured:
            raise ValueError("expected at least one statement in holds and one measurement; received none")
        lengths = {name: len(values) for name, values in (*self.measured.items(), *self.holds.items())}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"expected one value a run everywhere; received {lengths}")
        object.__setattr__(self, "runs", next(iter(lengths.values())))
        if self.runs < (5 if self.random else 1):
            raise ValueError(f"expected at least 5 runs where something is random; received {self.runs}")
        for name, values in self.measured.items():
            if not np.all(np.isfinite(values)):
                raise ValueError(f"expected finite measurements; {name!r} is {values}")
        if self.scale not in ("class", "paper"):
            raise ValueError(f"scale must be 'class' or 'paper'; received {self.scale!r}")

    @property
    def verdict(self) -> Verdict:
        """The verdict, counted from the statements."""
        held = self._held().values()
        if all(held):
            return "reproduced"
        return "partly" if any(held) else "not reproduced"

    def _held(self) -> dict[str, bool]:
        return {name: bool(np.mean(truth) >= ENOUGH) for name, truth in self.holds.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return the claim as plain JSON values: medians and ranges, and in how many runs each statement was true."""
        measured = {
            name: {"median": float(np.median(values)), "min": float(np.min(values)), "max": float(np.max(values))}
            for name, values in self.measured.items()
        }
        return {
            "id": self.id,
            "claim": self.claim,
            "published": self.published,
            "measured": measured,
            "holds": {name: int(np.sum(truth)) for name, truth in self.holds.items()},
            "runs": self.runs,
            "scale": self.scale,
            "verdict": self.verdict,
            "seeds": self.seeds,
            "digits": self.digits,
        }

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        facts = self.as_dict()
        rows = [("Claimed", self.claim), ("Published", self.published)]
        rows += [
            ("Holds" if held else "Fails", f"{name}: true in {facts['holds'][name]} of {self.runs}")
            for name, held in self._held().items()
        ]
        measured = [("Measured", f"{name}: {_spread(values, self.digits)}") for name, values in self.measured.items()]
        title = f"{self.id}: {self.verdict}"
        listed = _listed(measured)
        if len(measured) > UNFOLDED:
            listed = f"<details><summary>{len(measured)} measurements</summary>{listed}</details>"
        box = (
            f'<div class="admonition {_ADMONITION[self.verdict]} claim">'
            f'<p class="admonition-title">Verdict on {title}</p>{_listed(rows)}{listed}</div>'
        )
        plain = "\n".join([f"Verdict on {title}", *(f"{head}: {text}" for head, text in rows + measured)])
        # As text: notebooks on disk sort the names of objects, and measurements are read in their order.
        return {"text/html": box, "text/plain": plain, MIME: json.dumps(facts)}


def _listed(rows: Sequence[tuple[str, str]]) -> str:
    lines = "".join(f"<dt>{head}</dt><dd>{html.escape(text)}</dd>" for head, text in rows)
    return f'<dl class="simple">{lines}</dl>'


def _spread(values: Sequence[float] | np.ndarray, digits: int = 3) -> str:
    """Return the median and range of some runs in words, with `digits` decimal places; one value if all are equal."""
    median, low, high = (f"{f(values):.{digits}f}" for f in (np.median, np.min, np.max))
    return median if np.ptp(values) == 0 else f"median {median}, range {low} to {high}"
