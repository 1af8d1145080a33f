"""Two callbacks for long computations: how far it is, and going on after an interruption."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from innerbook import memory


class Progress(keras.callbacks.Callback):
    """Says how far a `fit` is, about once a second, and about how long it still takes."""

    def __init__(self, say: Callable[[str], None]):
        super().__init__()
        self.say, self.fits = say, 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin to count."""
        self.fits += 1
        self.began = self.last = time.monotonic()
        self.first: int | None = None
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note which epoch it is; a descent that goes on does not begin with the first."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Say how far it is, if a second has passed."""
        now, each = time.monotonic(), self.params["steps"] or 1
        done, steps = self.epoch * each + batch + 1, self.params["epochs"] * each
        if self.first is None:
            self.first, self.began = done, now  # the first steps compile
        elif now - self.last > 1:
            self.last = now
            left = (now - self.began) / (done - self.first) * (steps - done)
            which = f"part {self.fits}, " if self.fits > 1 else ""
            self.say(f"{which}step {done:,} of {steps:,}, about {left:.0f} s left.")


class Resume(keras.callbacks.Callback):
    """Writes the state of a descent to disk now and then; the next one like it goes on from there.

    The state are the variables that training moves, the optimizer's, and what is recorded. A `fit` that is no descent
    is left alone.

    Args:
        path: where to write, without an ending. A function that fits several times has a file for each time.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path, self.fits = path, 0

    def _file(self) -> Path:
        return self.path.with_name(f"{self.path.name}.piece-{self.fits}.npz")

    def _state(self) -> list[Any]:
        return [*self.model.trainable_variables, *self.model.optimizer.variables]

    def _is_complete(self) -> bool:
        # The start is recorded, too; what was recorded before a cut counts as done.
        return len(self.model.log.records) > self.params["steps"]

    def on_train_begin(self, logs: Any = None) -> None:
        """Go on where an earlier run was cut off."""
        self.fits += 1
        self.written = time.monotonic()
        found = memory.read_arrays(self._file()) if hasattr(self.model, "log") else None
        if found is not None:
            for i, variable in enumerate(self._state()):
                variable.assign(found[f"state {i}"])
            kept = {name[4:]: values for name, values in found.items() if name.startswith("log ")}
            records = len(next(iter(kept.values())))
            self.model.log.records = [{name: values[i] for name, values in kept.items()} for i in range(records)]
        if hasattr(self.model, "log"):
            self.model._initial_epoch = int(self._is_complete())  # as Keras' own BackupAndRestore does it

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Write the state, if a minute has passed or this was the last record."""
        if not hasattr(self.model, "log"):
            return
        self.model.stop_training |= self._is_complete()
        if self._is_complete() or time.monotonic() - self.written > memory.PIECE_SECONDS:
            state = {f"state {i}": np.array(variable) for i, variable in enumerate(self._state())}
            records = self.model.log.records
            logged = {f"log {name}": np.array([record[name] for record in records]) for name in records[0]}
            memory.write_arrays(self._file(), {**state, **logged})
            self.written = time.monotonic()
