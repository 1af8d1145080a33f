"""What a document claimed, what was measured, and the verdict."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from innerbook import settings, verdict_box

Verdict = Literal["reproduced", "partly", "not reproduced"]
MIME = "application/vnd.innerview.claim+json"


def held(counts: Mapping[str, int], runs: int) -> dict[str, bool]:
    """Say of each statement whether it holds, from the number of runs in which it is true."""
    return {name: count / runs >= verdict_box.ENOUGH for name, count in counts.items()}


def _fallbacks() -> tuple[str, ...]:
    from innerbook.data import fallbacks  # here, because who only reads verdicts needs no data

    return tuple(sorted(fallbacks()))


def _scale() -> str:
    return "class" if _fallbacks() else settings.current().scale


@dataclass(frozen=True)
class Claim:
    """A published claim beside what was measured, shown as a box at the end of a cell.

    The verdict is not chosen but counted. A claim is taken apart into statements, each true or false in each run. A
    statement holds if it is true in at least four of five runs. The claim is *reproduced* if all its statements hold,
    *not reproduced* if none does, and *partly* reproduced otherwise.

    Args:
        id: the row of the list of experiments, such as ``"E2"``; with a letter, such as ``"B10a"``, where a row has
            several boxes.
        claim: what the document says, in one sentence.
        published: the document's own figure, or a word where it has none.
        measured: named measurements, each one value a run. Names such as ``"after training, layer 1"`` are shown as a
            grid.
        holds: the claim's statements, each with one truth value a run.
        scale: ``"paper"`` at the document's own size, ``"class"`` at a smaller one. The default is the build's, and
            ``"class"`` if something stands in for data or weights that could not be had.
        random: false if nothing in the experiment is random; then one run is enough.
        seeds: what the runs are. The default is that run i has seed i, from the first seed of the settings on.
        digits: decimal places shown.
        at_size: the names of statements that only the document's size can show; at class scale they are not in `holds`.
        figures: what the document prints for some of the measurements, by their names; the report sets it beside ours.
        short_of: where the largest run that was possible falls short of the document's size: in what, in words. Shown
            at paper scale only.

    Attributes:
        runs: the number of runs.
        fallbacks: what something stood in for when the claim was made; see `innerbook.data.fallbacks`.

    Raises:
        ValueError: there are no statements, numbers of runs differ or are below 5, a measurement is not finite, or
            a figure belongs to no measurement.
        TypeError: a statement has something else where truth values belong, such as numbers or values that are
            missing, or a measurement has no numbers.
    """

    id: str
    claim: str
    published: str
    measured: Mapping[str, Sequence[float] | np.ndarray]
    holds: Mapping[str, Sequence[bool] | np.ndarray]
    scale: str = field(default_factory=_scale)
    random: bool = True
    seeds: str = ""
    digits: int = 3
    at_size: Sequence[str] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    short_of: str = ""
    runs: int = field(init=False)
    fallbacks: tuple[str, ...] = field(init=False, default_factory=_fallbacks)

    def __post_init__(self) -> None:
        if not self.holds or not self.measured:
            raise ValueError("expected at least one statement in holds and one measurement; received none")
        shapes = {name: np.shape(values) for name, values in (*self.measured.items(), *self.holds.items())}
        if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
            raise ValueError(f"expected one value a run everywhere; received shapes {shapes}")
        object.__setattr__(self, "runs", next(iter(shapes.values()))[0])
        if self.runs < (5 if self.random else 1):
            raise ValueError(f"expected at least 5 runs where something is random; received {self.runs}")
        for name, values in self.measured.items():
            if np.asarray(values).dtype.kind not in "biuf":
                raise TypeError(f"expected a number for each run; {name!r} has {np.asarray(values).dtype}")
            if not np.all(np.isfinite(values)):
                raise ValueError(f"expected finite measurements; {name!r} is {values}")
        for name, truth in self.holds.items():
            if np.ma.is_masked(truth):
                raise TypeError(f"expected True or False for each run; some of statement {name!r} are masked")
            if np.asarray(truth).dtype != bool:
                raise TypeError(
                    f"expected True or False for each run; statement {name!r} has {np.asarray(truth).dtype}, "
                    f"such as {truth[0]}. Is a comparison missing?"
                )
        if unknown := set(self.figures) - set(self.measured):
            raise ValueError(f"expected figures of {list(self.measured)}; received one of {', '.join(sorted(unknown))}")
        if self.scale not in ("class", "paper"):
            raise ValueError(f"scale must be 'class' or 'paper'; received {self.scale!r}")
        if not self.seeds:
            first = settings.current().first_seed
            seeds = f"{first} to {first + self.runs - 1}" if first else "0 to runs - 1"
            object.__setattr__(self, "seeds", seeds)

    @property
    def verdict(self) -> Verdict:
        """The verdict, counted from the statements."""
        hold = held(self._counts(), self.runs).values()
        if all(hold):
            return "reproduced"
        return "partly" if any(hold) else "not reproduced"

    def _counts(self) -> dict[str, int]:
        return {name: int(np.sum(truth)) for name, truth in self.holds.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return the claim as plain JSON values: medians and ranges, and in how many runs each statement was true.

        ``"at_size"``, ``"figures"``, ``"short_of"`` and ``"fallbacks"`` are there only if they hold something.
        """
        measured = {
            name: {"median": float(np.median(values)), "min": float(np.min(values)), "max": float(np.max(values))}
            for name, values in self.measured.items()
        }
        facts = {
            "id": self.id,
            "claim": self.claim,
            "published": self.published,
            "measured": measured,
            "holds": self._counts(),
            "runs": self.runs,
            "scale": self.scale,
            "verdict": self.verdict,
            "seeds": self.seeds,
            "digits": self.digits,
        }
        facts |= {"at_size": list(self.at_size)} if self.at_size else {}
        facts |= {"figures": {name: float(figure) for name, figure in self.figures.items()}} if self.figures else {}
        facts |= {"short_of": self.short_of} if self.short_of and self.scale == "paper" else {}
        return facts | ({"fallbacks": list(self.fallbacks)} if self.fallbacks else {})

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        facts = self.as_dict()
        hold = held(facts["holds"], self.runs)
        return {
            "text/html": verdict_box.as_html(facts, hold),
            "text/plain": verdict_box.as_text(facts, hold),
            # As text: notebooks on disk sort the names of objects, and measurements are read in their order.
            MIME: json.dumps(facts),
        }
