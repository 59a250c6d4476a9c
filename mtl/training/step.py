"""One step of training and one of validation, compiled for a mesh of devices.

State is replicated, batches are split over the devices, and the program is written as if there were
one device: batch statistics, loss and gradient are those of the whole batch, and dropout draws the
same numbers, however many devices and processes share it. After step k everything that follows is a
function of the state and of the batches from k on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mtl.network.model import Functional, ModelConfig, Weights, dropout_keys
from mtl.network.networks import Body
from mtl.runtime.files import InputError
from mtl.training.distribution import Placement
from mtl.training.settings import RunSettings

# A young average forgets its first weights sooner: the decay of the average after t steps is at
# most (1 + t) / (10 + t), as in TensorFlow's ExponentialMovingAverage.
AVERAGE_WARM_UP = 10.0


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["step", "parameters", "statistics", "optimizer", "average"],
    meta_fields=[],
)
@dataclass
class State:
    """All that a step changes."""

    step: jax.Array
    """Steps taken."""
    parameters: Weights
    statistics: Weights
    optimizer: optax.OptState
    average: Weights
    """Moving average of parameters and statistics; empty where there is none."""

    @property
    def weights(self) -> Weights:
        """What is validated and kept."""
        return self.average or self.parameters | self.statistics


@partial(jax.tree_util.register_dataclass, data_fields=["loss", "request"], meta_fields=[])
@dataclass(frozen=True)
class Outcome:
    """What a step says, the same on every process."""

    loss: jax.Array
    request: jax.Array
    """The largest number that any process put in (see `mtl.runtime.stopping`)."""


def computing_as(settings: RunSettings, body: Body) -> Body:
    """Return the body with the run's precision and memory options."""
    if settings.dtype == "float32" and not settings.remat:
        return body
    return partial(body, dtype=jnp.dtype(settings.dtype), remat=settings.remat)


def make_optimizer(settings: RunSettings, steps: int) -> optax.GradientTransformation:
    """Make Adam, with decay and schedule if wanted, for a run of so many steps.

    Raises:
        ValueError: decay is wanted with a learning rate that changes by stages.
    """
    rate: float | optax.Schedule = settings.learning_rate
    if settings.schedule == "stages":
        if settings.weight_decay:
            raise ValueError(f"weight_decay {settings.weight_decay}: must be 0 with stages")
        # The other numbers of Adam stay constants of the program.
        staged = optax.inject_hyperparams(optax.adam, static_args=("b1", "b2", "eps", "eps_root"))
        return staged(learning_rate=rate)
    if settings.schedule == "cosine":
        rate = optax.cosine_decay_schedule(settings.learning_rate, steps)
    if not settings.weight_decay:
        return optax.adam(rate)

    def kernels(parameters: Weights) -> dict[str, bool]:
        return {name: name.endswith("/kernel") for name in parameters}

    return optax.adamw(rate, weight_decay=settings.weight_decay, mask=kernels)


class Programs:
    """Functions of one run, ready to be compiled.

    Args:
        settings: of the run.
        functional: the model.
        steps: that the whole run takes.
        size: height and width of the images that a step learns from.
        placement: where they run.
        loss: (predicted, targets) → mean loss of a batch.

    Raises:
        InputError: the devices cannot share a part of a batch evenly.
    """

    def __init__(
        self,
        settings: RunSettings,
        functional: Functional,
        steps: int,
        size: tuple[int, int],
        placement: Placement,
        loss: Callable[[jax.Array, jax.Array], jax.Array],
    ):
        part = settings.batch_size // settings.accumulate
        if part % placement.devices:
            raise InputError(
                f"--accumulate {settings.accumulate}: a part of {part} images cannot be shared by"
                f" {placement.devices} devices; use fewer parts or a larger --batch-size"
            )
        self.placement = placement
        self._settings = settings
        self._functional = functional
        self._loss = loss
        self._optimizer = make_optimizer(settings, steps)
        self._size = size

    @property
    def model(self) -> ModelConfig:
        """What the network is."""
        return self._functional.config

    def fresh(self, weights: Mapping[str, np.ndarray]) -> State:
        """Return the state before the first step, on the devices."""
        place = jax.jit(self._initial, out_shardings=self.placement.everywhere)
        return place(dict(weights))

    def stage(self, weights: Mapping[str, np.ndarray], learning_rate: float, step: int) -> State:
        """Return a new stage's state: given weights, a new optimiser, and the steps taken so far.

        Raises:
            ValueError: the run's schedule is not by stages.
        """
        if self._settings.schedule != "stages":
            raise ValueError(f"schedule {self._settings.schedule!r}: has no stages")
        state, everywhere = self.fresh(weights), self.placement.everywhere
        rate = jax.device_put(np.float32(learning_rate), everywhere)
        state.optimizer.hyperparams["learning_rate"] = rate  # type: ignore[union-attr]
        return replace(state, step=jax.device_put(np.int32(step), everywhere))

    @property
    def layout(self) -> State:
        """Shapes, kinds and places of a state's arrays."""
        shapes = self._functional.shapes
        weights = {n: jax.ShapeDtypeStruct(shape, jnp.float32) for n, shape in shapes.items()}
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=self.placement.everywhere
            ),
            jax.eval_shape(self._initial, weights),
        )

    def training(self) -> jax.stages.Lowered:
        """Lower (state, key, images, targets, request) → (state, Outcome); it uses up the state."""
        everywhere = self.placement.everywhere
        key = jax.eval_shape(lambda: jax.random.key(0))
        key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=everywhere)
        program = jax.jit(self._step, donate_argnums=0, out_shardings=everywhere)
        return program.lower(self.layout, key, *self._batch(self._size))

    def validation(self, size: tuple[int, int]) -> jax.stages.Lowered:
        """Lower (weights, images, targets, request) → (outputs, targets, any request).

        Args:
            size: height and width of the images.
        """
        everywhere = self.placement.everywhere
        program = jax.jit(self._evaluate, out_shardings=everywhere)
        return program.lower(self.layout.weights, *self._batch(size))

    def key(self) -> jax.Array:
        """Return the key that every step derives its own from."""
        make = jax.jit(jax.random.key, out_shardings=self.placement.everywhere)
        return make(self._settings.seed)

    def _batch(self, size: tuple[int, int]) -> list[jax.ShapeDtypeStruct]:
        """Return the shapes, kinds and places of a batch of images of a size."""
        n, k = self._settings.batch_size, self._functional.config.outputs
        devices, split = self.placement.devices, self.placement.split
        batch = [((n, *size, 3), jnp.uint8), ((n, k), jnp.float32), ((devices,), "int32")]
        return [jax.ShapeDtypeStruct(shape, kind, sharding=split) for shape, kind in batch]

    def _initial(self, weights: Weights) -> State:
        parameters, statistics = self._functional.split(weights)
        average = parameters | statistics if self._settings.ema else {}
        optimizer = self._optimizer.init(parameters)
        return State(jnp.zeros((), jnp.int32), parameters, statistics, optimizer, average)

    def _step(self, state: State, key, images, targets, request) -> tuple[State, Outcome]:
        key = jax.random.fold_in(key, state.step)
        loss, statistics, gradient = self._gradient(state, key, images, targets)
        updates, optimizer = self._optimizer.update(gradient, state.optimizer, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
        average = state.average
        if self._settings.ema:
            steps = state.step.astype(jnp.float32)
            decay = jnp.minimum(self._settings.ema, (1 + steps) / (AVERAGE_WARM_UP + steps))
            average = jax.tree.map(
                lambda old, new: decay * old + (1 - decay) * new, average, parameters | statistics
            )
        state = State(state.step + 1, parameters, statistics, optimizer, average)
        return state, Outcome(loss, jnp.max(request))

    def _gradient(self, state: State, key, images, targets):
        """Return loss, batch statistics and gradient of a batch, part after part."""

        def loss(parameters, statistics, key, images, targets):
            model = self._functional.model(parameters | statistics, training=True)
            predicted = model(images, dropout_keys(key))
            return self._loss(predicted, targets), self._functional.statistics(model)

        gradient_of = jax.value_and_grad(loss, has_aux=True)
        parts = self._settings.accumulate
        if parts == 1:
            (value, statistics), gradient = gradient_of(
                state.parameters, state.statistics, key, images, targets
            )
            return value, statistics, gradient

        def parted(x):
            # Part p has rows p, p + parts, ...: no row has to move to another device.
            return jnp.moveaxis(x.reshape(x.shape[0] // parts, parts, *x.shape[1:]), 1, 0)

        def add(carry, part):
            total, statistics, sums = carry
            (value, statistics), gradient = gradient_of(state.parameters, statistics, *part)
            return (total + value, statistics, jax.tree.map(jnp.add, sums, gradient)), None

        start = (jnp.zeros(()), state.statistics, jax.tree.map(jnp.zeros_like, state.parameters))
        keys = jax.random.split(key, parts)
        (total, statistics, sums), _ = jax.lax.scan(
            add, start, (keys, parted(images), parted(targets))
        )
        return total / parts, statistics, jax.tree.map(lambda g: g / parts, sums)

    def _evaluate(self, weights: Weights, images, targets, request):
        return self._functional.model(weights)(images), targets, jnp.max(request)
