"""One step of training and one of validation, compiled for a mesh of devices.

State is replicated, batches are split over the devices, and the program is written as if there were
one device: batch statistics, loss and gradient are those of the whole batch, and dropout draws the
same numbers, however many devices and processes share it. After step k everything that follows is a
function of the state and of the batches from k on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mtl.network.model import Body, Functional, ModelConfig, Weights, dropout_keys, mtl_loss
from mtl.runtime.files import InputError
from mtl.training.multitask.train_config import TrainConfig

AXIS = "data"  # of the mesh

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
    """Moving average of parameters and statistics; empty without --ema."""

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


def computing_as(config: TrainConfig, body: Body) -> Body:
    """The body with the run's precision and memory options."""
    if config.dtype == "float32" and not config.remat:
        return body
    return partial(body, dtype=jnp.dtype(config.dtype), remat=config.remat)


def make_optimizer(config: TrainConfig, steps: int) -> optax.GradientTransformation:
    """Adam, with decay and schedule if wanted, for a run of so many steps."""
    rate: float | optax.Schedule = config.learning_rate
    if config.schedule == "cosine":
        rate = optax.cosine_decay_schedule(config.learning_rate, steps)
    if not config.weight_decay:
        return optax.adam(rate)

    def kernels(parameters: Weights) -> dict[str, bool]:
        return {name: name.endswith("/kernel") for name in parameters}

    return optax.adamw(rate, weight_decay=config.weight_decay, mask=kernels)


class Placement:
    """Where state and batches live: all devices of all processes in one row.

    Args:
        devices: in an order in which those of a process are neighbours.
    """

    def __init__(self, devices: list[jax.Device] | None = None):
        devices = jax.devices() if devices is None else devices
        mesh = Mesh(np.array(devices), (AXIS,))
        self.devices = len(devices)
        self.everywhere = NamedSharding(mesh, PartitionSpec())
        self.split = NamedSharding(mesh, PartitionSpec(AXIS))
        self._ours = [k for k, d in enumerate(devices) if d.process_index == jax.process_index()]

    def rows(self, batch_size: int) -> range:
        """The rows of a batch that this process has to provide.

        Raises:
            InputError: the devices cannot share a batch evenly.
        """
        each, rest = divmod(batch_size, self.devices)
        if rest:
            raise InputError(
                f"--batch-size {batch_size}: cannot be shared by {self.devices} devices; use"
                f" {max(1, each) * self.devices} or {(each + 1) * self.devices}"
            )
        return range(self._ours[0] * each, (self._ours[-1] + 1) * each)

    def shared(self, rows: np.ndarray) -> jax.Array:
        """This process's rows as its part of one array over all devices."""
        return jax.make_array_from_process_local_data(self.split, rows)

    def request(self, number: int) -> jax.Array:
        """A request of this process, to be handed to a step."""
        return self.shared(np.full(len(self._ours), number, np.int32))


class Programs:
    """Functions of one run, ready to be compiled.

    Args:
        config: the run.
        functional: the model.
        steps: that the whole run takes.
        size: height and width of the images.
        placement: where they run.
        loss: (predicted, targets) → mean loss of a batch.
        optimizer: in the place of the one that `config` describes.
    """

    def __init__(
        self,
        config: TrainConfig,
        functional: Functional,
        steps: int,
        size: tuple[int, int],
        placement: Placement,
        loss: Callable[[jax.Array, jax.Array], jax.Array] = mtl_loss,
        optimizer: optax.GradientTransformation | None = None,
    ):
        if (config.batch_size // config.accumulate) % placement.devices:
            raise InputError(
                f"--accumulate {config.accumulate}: a part of"
                f" {config.batch_size // config.accumulate} images cannot be shared by"
                f" {placement.devices} devices; use fewer parts or a larger --batch-size"
            )
        self._config = config
        self._functional = functional
        self._loss = loss
        self._optimizer = optimizer or make_optimizer(config, steps)
        self._placement = placement
        n, k = config.batch_size, functional.config.outputs
        batch = [((n, *size, 3), jnp.uint8), ((n, k), jnp.float32), ((placement.devices,), "int32")]
        self._batch = [jax.ShapeDtypeStruct(s, d, sharding=placement.split) for s, d in batch]

    @property
    def model(self) -> ModelConfig:
        """What the network is."""
        return self._functional.config

    def fresh(self, weights: Mapping[str, np.ndarray]) -> State:
        """The state before the first step, on the devices."""
        place = jax.jit(self._initial, out_shardings=self._placement.everywhere)
        return place(dict(weights))

    @property
    def layout(self) -> State:
        """Shapes, kinds and places of a state's arrays."""
        shapes = self._functional.shapes
        weights = {n: jax.ShapeDtypeStruct(shape, jnp.float32) for n, shape in shapes.items()}
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=self._placement.everywhere
            ),
            jax.eval_shape(self._initial, weights),
        )

    def training(self) -> jax.stages.Lowered:
        """(state, key, images, targets, request) → (state, Outcome); the state is used up."""
        everywhere = self._placement.everywhere
        key = jax.eval_shape(lambda: jax.random.key(0))
        key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=everywhere)
        program = jax.jit(self._step, donate_argnums=0, out_shardings=everywhere)
        return program.lower(self.layout, key, *self._batch)

    def validation(self) -> jax.stages.Lowered:
        """(weights, images, targets, request) → (predicted, targets, request), on every process."""
        everywhere = self._placement.everywhere
        program = jax.jit(self._evaluate, out_shardings=everywhere)
        return program.lower(self.layout.weights, *self._batch)

    def key(self) -> jax.Array:
        """The key that every step derives its own from."""
        make = jax.jit(jax.random.key, out_shardings=self._placement.everywhere)
        return make(self._config.seed)

    def _initial(self, weights: Weights) -> State:
        parameters, statistics = self._functional.split(weights)
        average = parameters | statistics if self._config.ema else {}
        optimizer = self._optimizer.init(parameters)
        return State(jnp.zeros((), jnp.int32), parameters, statistics, optimizer, average)

    def _step(self, state: State, key, images, targets, request) -> tuple[State, Outcome]:
        key = jax.random.fold_in(key, state.step)
        loss, statistics, gradient = self._gradient(state, key, images, targets)
        updates, optimizer = self._optimizer.update(gradient, state.optimizer, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
        average = state.average
        if self._config.ema:
            steps = state.step.astype(jnp.float32)
            decay = jnp.minimum(self._config.ema, (1 + steps) / (AVERAGE_WARM_UP + steps))
            average = jax.tree.map(
                lambda old, new: decay * old + (1 - decay) * new, average, parameters | statistics
            )
        state = State(state.step + 1, parameters, statistics, optimizer, average)
        return state, Outcome(loss, jnp.max(request))

    def _gradient(self, state: State, key, images, targets):
        """Loss, batch statistics and gradient of a batch, part after part."""

        def loss(parameters, statistics, key, images, targets):
            model = self._functional.model(parameters | statistics, training=True)
            predicted = model(images, dropout_keys(key))
            return self._loss(predicted, targets), self._functional.statistics(model)

        gradient_of = jax.value_and_grad(loss, has_aux=True)
        parts = self._config.accumulate
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
