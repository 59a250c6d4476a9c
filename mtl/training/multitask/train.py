"""Multi-task training: predict all full-reference scores of an image without its reference.

DeepFL-IQA, arXiv:2001.08113, sections IV-B and V-B: equal weights, mean squared error on
histogram-equalised scores, Adam (beta1 0.9, beta2 0.999) at 1e-4, batches of 64, 10 epochs, the
epoch with the smallest validation loss kept. `mtl.training.run_folder` lists the files of a run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax

from mtl.kadis.manifest import plan_digest
from mtl.network.networks import DEFAULT, Body
from mtl.network.weights import FOLDER, load_config
from mtl.runtime import compilation_cache
from mtl.runtime.files import InputError
from mtl.runtime.progress import say
from mtl.runtime.stopping import STOP_FILE
from mtl.training.distribution import join, leads, on_first_process
from mtl.training.engine import train_for
from mtl.training.multitask.config import PLAN_DIGEST, TrainConfig, differing
from mtl.training.multitask.data import ScoredData, open_data
from mtl.training.multitask.objective import MultitaskObjective
from mtl.training.ray_workers import run_workers
from mtl.training.run_folder import claim, read_log
from mtl.training.settings import as_json, run_settings
from mtl.training.starting_weights import (
    starting_folder,
    starting_model,
    starting_network,
    with_absolute_path,
)

__all__ = ["Run", "TrainConfig", "train"]

RAY = "ray"  # in a run's folder: Ray Train's own notes


@dataclass(frozen=True)
class Run:
    """A finished training run."""

    out: Path
    model: Path
    log: list[dict[str, float]]
    """One row per epoch: epoch, train_loss, validation_loss, mean_srocc, mean_plcc, per metric."""
    resumed_at: int
    """Epochs that were there before this call."""


def train(config: TrainConfig, *, progress: bool = False, body: Body | None = None) -> Run:
    """Train, or continue training, and leave the best model in `config.out / "model"`.

    Args:
        config: the run.
        progress: report on standard error.
        body: makes the convolutional part, in the place of the network's own.

    Raises:
        InputError: the data set or the settings cannot be used, or `out` holds another run.
        FloatingPointError: the loss is not finite; says at which step and what to try.
        KeyboardInterrupt: SIGINT, SIGTERM or the file `out / "stop"` stopped the run, after the
            current step was saved.
    """
    config = replace(config, network=starting_network(config.init, config.network))
    data = open_data(config)
    _check_start(config)  # before anything is written
    if config.num_workers is None:
        if config.distributed:
            join()
        on_first_process(partial(_claim, config, data.plan))
        return _train_here(config, data, body, progress)
    _claim(config, data.plan)
    before = len(read_log(config.out))
    if before < config.epochs:
        say("starting Ray ...", show=progress)
        failure = run_workers(
            partial(_work, _with_absolute_paths(config), body, progress),
            config.num_workers,
            address=config.address,
            scratch=config.out / RAY,
            stop=(config.out / STOP_FILE).touch,
        )
        if failure is not None:
            raise failure
    log = read_log(config.out)
    return Run(config.out, config.out / FOLDER, log, min(before, len(log)))


def _check_start(config: TrainConfig) -> None:
    """Refuse to start from a model that is not there, or whose layers have other shapes."""
    folder = starting_folder(config.init, config.network or DEFAULT)
    if folder is None:
        return
    width = load_config(folder).width
    if width != config.width:
        raise InputError(
            f"--init {config.init}: has the width {width}, not {config.width}; give --width {width}"
        )


def _claim(config: TrainConfig, plan: Mapping[str, Any]) -> None:
    claim(config.out, as_json(config) | {PLAN_DIGEST: plan_digest(plan)}, differing)


def _train_here(config: TrainConfig, data: ScoredData, body: Body | None, progress: bool) -> Run:
    """Train in this process, and in those it has joined."""
    log = read_log(config.out)
    before = len(log)
    if before < config.epochs:
        compilation_cache.enable()
        given = starting_model(config.init, config.network or DEFAULT)
        objective = MultitaskObjective(config, data, given)
        log = train_for(
            objective, run_settings(config), log, body=body, progress=progress and leads()
        )
    return Run(config.out, config.out / FOLDER, log, min(before, len(log)))


def _with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """Return the run for workers, which have folders of their own."""
    return replace(
        config,
        data=config.data.resolve(),
        out=config.out.resolve(),
        init=with_absolute_path(config.init),
    )


def _work(config: TrainConfig, body: Body | None, progress: bool) -> BaseException | None:
    """Train in one of Ray's workers; what no restart would mend is returned, not raised."""
    failure = None
    try:
        _train_here(config, open_data(config), body, progress)
    except (InputError, FloatingPointError, KeyboardInterrupt) as error:
        failure = error
    jax.distributed.shutdown()  # together, so that none takes the others' end for a failure
    return failure
