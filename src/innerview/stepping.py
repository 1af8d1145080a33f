"""Many steps of training in one compiled call, and the data for them, block by block."""

from typing import Any

import keras
import numpy as np
from keras import ops


class SteppingModel(keras.Model):
    """A functional model whose batches, in `fit`, are blocks of batches: arrays ``(steps, n, ...)``, one step each.

    What it minimises is up to `compute_loss`, so it is compiled without a loss. Between blocks, callbacks have their
    turn. Between steps nothing is left to Python, which for small networks would take as long again.
    """

    steps_in_a_batch = 1  # how many steps a callback is to count

    @property
    def metrics(self) -> list[Any]:
        """Return its own; networks inside may be compiled with theirs, which are none of its business."""
        return [self._loss_tracker] if self.compiled else []

    def train_step(self, *state_and_data: Any) -> Any:
        """Take all steps of a block."""
        *state, data = state_and_data  # JAX hands the state in and out; others keep it in variables
        one_step = super().train_step

        def step(i: Any, kept: tuple[Any, ...]) -> tuple[Any, ...]:
            found = one_step(*kept, keras.tree.map_structure(lambda block: block[i], data))
            return (found[1],) if kept else ()

        state = ops.fori_loop(0, ops.shape(keras.tree.flatten(data)[0])[0], step, tuple(state))
        return ({}, *state) if state else self.get_metrics_result()


class Blocks(keras.utils.PyDataset):
    """Blocks of `every` steps out of arrays whose first axis is the step, each with `made` of its part of them."""

    def __init__(self, arrays: list[np.ndarray], every: int, made: Any = lambda *parts: parts):
        # Workers of its own, or TensorFlow tunes how it reads so few blocks, and waits as long again for that to end.
        super().__init__(workers=2, max_queue_size=2)
        self.arrays, self.every, self.made = arrays, every, made

    def __len__(self) -> int:
        return len(self.arrays[0]) // self.every

    def __getitem__(self, index: int) -> Any:
        return self.made(*(array[index * self.every : (index + 1) * self.every] for array in self.arrays))
