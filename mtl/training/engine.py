"""The engine: what is left of a run, for any objective, on the devices of all processes."""

from contextlib import closing

from mtl.network.model import Functional, ModelConfig, functional_model
from mtl.network.networks import Body
from mtl.network.weights import fresh_weights
from mtl.runtime.files import InputError
from mtl.runtime.progress import say, stage
from mtl.training.checkpoints import Checkpoints
from mtl.training.distribution import Placement
from mtl.training.loop import Loop, Start
from mtl.training.objective import Objective, Row
from mtl.training.run_folder import CHECKPOINTS, LOG_FILE
from mtl.training.settings import RunSettings
from mtl.training.step import Programs, computing_as


def train_for(
    objective: Objective,
    settings: RunSettings,
    log: list[Row],
    *,
    body: Body | None = None,
    progress: bool = False,
) -> list[Row]:
    """Do what is left of a run on the devices of all processes, and return the whole log.

    Args:
        objective: what it trains for.
        settings: of the run.
        log: rows that earlier calls have written.
        body: makes the convolutional part, in the place of the network's own.
        progress: report on standard error.

    Raises:
        InputError: the devices cannot share a batch, or the log has lost rows.
        FloatingPointError: the loss is not finite.
        KeyboardInterrupt: the run was asked to stop, and has saved the current step.
    """
    placement = Placement()
    with stage("building the network", show=progress):
        functional = build_network(objective.model, settings, body)
    steps = len(objective.training) // settings.batch_size * settings.epochs
    size = settings.crop or objective.training.size
    programs = Programs(settings, functional, steps, size, placement, objective.loss)
    checkpoints = Checkpoints(settings.out / CHECKPOINTS, settings.checkpoints_kept)
    with closing(checkpoints):
        start = continued(settings, programs, checkpoints, log, steps)
        if start is None:
            weights = fresh_weights(functional, settings.seed)
            weights |= objective.given_weights(functional.shapes)
            start = Start(0, programs.fresh(weights), 0.0, [])
        else:
            say(f"continuing after step {start.step} of {steps}", show=progress)
        loop = Loop(objective, settings, programs, checkpoints, start, progress)
        with closing(loop):
            loop.run()
    return loop.log


def build_network(
    model: ModelConfig, settings: RunSettings, body: Body | None = None
) -> Functional:
    """Lay out the network that a run trains, with the run's precision and memory options.

    Args:
        model: what the network is.
        settings: of the run.
        body: makes its convolutional part, in the place of the network's own.
    """
    return functional_model(model, computing_as(settings, body or model.row.build))


def continued(
    settings: RunSettings,
    programs: Programs,
    checkpoints: Checkpoints,
    log: list[Row],
    steps: int,
) -> Start | None:
    """Return where the latest checkpoint is; None without any.

    Args:
        settings: of the run.
        programs: of the run.
        checkpoints: of the run.
        log: rows that earlier calls have written.
        steps: that the whole run takes.

    Raises:
        InputError: the log has fewer rows than there were epochs.
    """
    step, each = checkpoints.latest, steps // settings.epochs
    if step is None:
        return None
    # After the last step of an epoch its validation may still have to be done.
    if len(log) < (step - 1) // each:
        raise InputError(f"{settings.out / LOG_FILE}: has lost rows; choose another --out")
    state, loss_sum = checkpoints.restore(step, programs.layout)
    return Start(step, state, loss_sum, log[: step // each])
