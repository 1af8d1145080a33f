"""What a run is told from outside: scale, seeds, data folder, network or none, cores. The only module that reads them.

The environment carries the settings into the kernels that execute the pages; of other variables only one is read,
which changes what TensorFlow computes.

- ``INNERVIEW_SCALE``: ``class`` (the default) or ``paper``, the documents' own size.
- ``INNERVIEW_FIRST_SEED``: the first seed of every page, 0 by default. With 5, five runs have the seeds 5 to 9.
- ``INNERVIEW_DATA``: the folder that keeps data, weights and results.
- ``INNERVIEW_OFFLINE``: ``1`` asks no network; ``0``, or nothing, does.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from platformdirs import user_cache_path

Scale = Literal["class", "paper"]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Settings:
    """A run's settings. `from_environment` reads them, `to_environment` hands them on to a process."""

    scale: Scale
    first_seed: int
    data_folder: Path
    offline: bool

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings from the environment, or from a mapping in its place.

        Raises:
            ValueError: a setting has a value that it cannot have.
        """
        told = os.environ if environment is None else environment
        scale = told.get("INNERVIEW_SCALE") or "class"
        if scale not in ("class", "paper"):
            raise ValueError(f"INNERVIEW_SCALE (make book SCALE=...) must be class or paper; received {scale!r}")
        first = told.get("INNERVIEW_FIRST_SEED") or "0"
        if not first.isdecimal():
            raise ValueError(
                f"INNERVIEW_FIRST_SEED (make book SEED=...) must be a whole number, not negative; received {first!r}"
            )
        offline = told.get("INNERVIEW_OFFLINE") or "0"
        if offline not in ("0", "1"):
            raise ValueError(f"INNERVIEW_OFFLINE must be 0 or 1; received {offline!r}")
        named = told.get("INNERVIEW_DATA")
        folder = Path(named).expanduser().resolve() if named else _default_folder()
        return cls(scale, int(first), folder, offline == "1")  # type: ignore[arg-type]

    def to_environment(self) -> dict[str, str]:
        """Return the variables that make another process read these settings."""
        return {
            "INNERVIEW_SCALE": self.scale,
            "INNERVIEW_FIRST_SEED": str(self.first_seed),
            "INNERVIEW_DATA": str(self.data_folder),
            "INNERVIEW_OFFLINE": str(int(self.offline)),
        }


def _default_folder() -> Path:
    # Where the course kept its data before it asked the system; what lies there is not fetched or computed anew.
    old, usual = Path.home() / ".cache" / "innerview", user_cache_path("innerview", appauthor=False)
    return old if old.exists() and not usual.exists() else usual


def current() -> Settings:
    """Return the settings of this process."""
    return Settings.from_environment()


def usable_cores() -> int:
    """Return how many processor cores this process may use: not those that ``taskset`` or a container withholds."""
    from joblib import cpu_count  # here, for few ask

    return int(cpu_count())


def onednn() -> str:
    """Return what TensorFlow is told of oneDNN, with which it rounds in another way; ``""`` if nothing."""
    return os.environ.get("TF_ENABLE_ONEDNN_OPTS", "")


def by_scale(lesson: _T, paper: _T) -> _T:
    """Return one of two sizes of an experiment: the lesson's, or the document's own (``make book SCALE=paper``).

    Example::

        side = by_scale(lesson=96, paper=299)
    """
    return paper if current().scale == "paper" else lesson


def seeds(count: int) -> range:
    """Return the page's seeds: so many whole numbers, from 0 on unless the run says otherwise (``SEED=5``)."""
    first = current().first_seed
    return range(first, first + count)
