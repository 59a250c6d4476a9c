"""A training step of the multi-task model as `deepfl train` runs it, for the benchmarks."""

import time
from collections.abc import Callable
from typing import Any

import jax

from mtl.network.model import Functional, mtl_loss
from mtl.network.weights import fresh_weights
from mtl.runtime.stopping import NOTHING
from mtl.training.batches import Batch
from mtl.training.distribution import Placement
from mtl.training.settings import RunSettings
from mtl.training.step import Programs, State


class TrainingStep:
    """A step of a run, compiled, with the state that it changes.

    Args:
        settings: of the run.
        functional: the model.
        size: height and width of the images.
        placement: where it runs.
    """

    def __init__(
        self,
        settings: RunSettings,
        functional: Functional,
        size: tuple[int, int],
        placement: Placement,
    ):
        self._programs = Programs(settings, functional, 1, size, placement, mtl_loss)
        self._functional = functional
        self._placement = placement
        self.program: Callable[..., Any] | None = None
        self.state: State | None = None

    def compiled(self) -> tuple[float, float]:
        """Compile it; return the seconds to trace and compile, and floating-point operations.

        The operations are those of a batch, as XLA counts them before it optimises.
        """
        began = time.perf_counter()
        lowered = self._programs.training()
        self.program = lowered.compile()
        seconds = time.perf_counter() - began
        return seconds, float(lowered.cost_analysis()["flops"])

    def begin(self) -> None:
        """Take random weights, and a fresh optimiser."""
        self.state = self._programs.fresh(fresh_weights(self._functional, 0))
        self._key = self._programs.key()

    def __call__(self, batch: Batch) -> jax.Array:
        """Take a step, from the host's arrays on; the loss as soon as there is a promise of it."""
        assert self.program is not None, "the step is compiled first"
        self.state, outcome = self.program(
            self.state,
            self._key,
            self._placement.shared(batch.images),
            self._placement.shared(batch.targets),
            self._placement.request(NOTHING),
        )
        return outcome.loss
