"""Multi-task training: predict all full-reference scores of an image without its reference.

DeepFL-IQA, arXiv:2001.08113, sections IV-B and V-B: equal weights, mean squared error on
histogram-equalised scores, Adam (beta1 0.9, beta2 0.999) at 1e-4, batches of 64, 10 epochs, the
epoch with the smallest validation loss kept.

    RUN/config.json log.csv learning.png tensorboard/ checkpoints/ model/

`model/` is the self-contained export of the best epoch so far; `checkpoints/` is what a stopped run
continues from, at the step where it stopped. A file RUN/stop, made by anyone, stops the run.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax

from fr_metrics import HistogramEqualization
from mtl.kadis.generate import EQUALIZATION
from mtl.kadis.plan import plan_digest, read_manifest
from mtl.kadis.shards import AGAIN
from mtl.network.inception_resnet_v2 import InceptionResNetV2
from mtl.network.model import Body
from mtl.network.weights import (
    FOLDER,
    IMAGENET,
    INCLUDED,
    MODEL_FILE,
    TrainedModel,
    imagenet_folder,
    load_model,
    model_folder,
)
from mtl.runtime import compilation_cache
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import say
from mtl.runtime.stopping import STOP_FILE
from mtl.training import distributed
from mtl.training.learning_curves import LOG_FILE, read_log
from mtl.training.multitask.input_pipeline import ScoredImages
from mtl.training.multitask.train_config import (
    RANDOM,
    TrainConfig,
    as_json,
    check,
    chosen_tasks,
    differing,
    train_config,
)
from mtl.training.training_loop import CHECKPOINTS, Data, train_on

CONFIG_FILE, RAY = "config.json", "ray"
PLAN_DIGEST = "plan_sha256"  # in config.json: which data set the run is of


@dataclass(frozen=True)
class Run:
    """A finished training run."""

    out: Path
    model: Path
    log: list[dict[str, float]]
    """One row per epoch: epoch, train_loss, validation_loss, mean_srocc, mean_plcc, per metric."""
    resumed_at: int
    """Epochs that were there before this call."""


def train(config: TrainConfig, *, progress: bool = False, body: Body = InceptionResNetV2) -> Run:
    """Train, or continue training, and leave the best model in `config.out / "model"`.

    Args:
        config: the run.
        progress: report on standard error.
        body: the network's convolutional part.

    Raises:
        InputError: the data set or the settings cannot be used, or `out` holds another run.
        FloatingPointError: the loss is not finite; says at which step and what to try.
        KeyboardInterrupt: SIGINT, SIGTERM or the file `out / "stop"` stopped the run, after the
            current step was saved.
    """
    data = _open(config)
    starting_folder(config.init)  # before anything is written
    if config.num_workers is None:
        if config.distributed:
            distributed.join()
        distributed.on_first_process(partial(_claim, config, data.plan))
        return _train_here(config, data, body, progress)
    _claim(config, data.plan)
    before = len(read_log(config.out))
    if before < config.epochs:
        say("starting Ray ...", show=progress)
        failure = distributed.run_workers(
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


def _open(config: TrainConfig) -> Data:
    plan = read_manifest(config.data)["plan"]
    tasks = chosen_tasks(config, plan["metrics"])
    equalization = None
    if config.equalize == "on":
        path = config.data / EQUALIZATION
        try:
            equalization = HistogramEqualization.from_json(path.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: is missing or damaged ({error}); {AGAIN}") from error
    training, validation = (
        ScoredImages(config.data, split, tasks, equalization) for split in ("train", "validation")
    )
    check(config, training.size, len(training))
    return Data(plan, tasks, equalization, training, validation)


def _claim(config: TrainConfig, plan: Mapping[str, Any]) -> None:
    claim(config.out, as_json(config) | {PLAN_DIGEST: plan_digest(plan)}, differing)


def read_config(run: Path) -> TrainConfig:
    """The settings of a run.

    Raises:
        InputError: the folder is not a run of `deepfl train`.
    """
    path = run / CONFIG_FILE
    try:
        return train_config(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is missing or is not of a training run ({error})") from error


def claim(
    out: Path,
    ours: Mapping[str, Any],
    differing: Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]],
) -> None:
    """Write a run's settings into its folder, or make sure that the run there is this one.

    Args:
        out: the folder.
        ours: the settings.
        differing: (ours, theirs) → names of the settings that make them different runs.

    Raises:
        InputError: the folder holds something else.
    """
    path = out / CONFIG_FILE
    if path.exists():
        try:
            others = differing(ours, json.loads(path.read_text()))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: is damaged or of another version; choose another --out"
            ) from error
        kept = out / CHECKPOINTS
        begun = (out / LOG_FILE).exists() or (kept.is_dir() and any(kept.iterdir()))
        if others and begun:  # else nothing would be lost
            raise InputError(
                f"{out}: holds a run with another {' and '.join(others)}; choose another --out"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists and is not a run; choose another --out")
    write_atomically(path, json.dumps(ours, indent=1))
    (out / STOP_FILE).unlink(missing_ok=True)


def _train_here(config: TrainConfig, data: Data, body: Body, progress: bool) -> Run:
    """Train in this process, and in those it has joined."""
    log = read_log(config.out)
    before = len(log)
    if before < config.epochs:
        compilation_cache.enable()
        progress = progress and distributed.leads()
        log = train_on(config, data, log, starting_model(config.init), body, progress)
    return Run(config.out, config.out / FOLDER, log, min(before, len(log)))


def _with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """For workers, which have folders of their own."""
    folder = config.init not in (RANDOM, IMAGENET, INCLUDED)
    return replace(
        config,
        data=config.data.resolve(),
        out=config.out.resolve(),
        init=str(Path(config.init).resolve()) if folder else config.init,
    )


def _work(config: TrainConfig, body: Body, progress: bool) -> BaseException | None:
    """Train in one of Ray's workers; what no restart would mend is returned, not raised."""
    failure = None
    try:
        _train_here(config, _open(config), body, progress)
    except (InputError, FloatingPointError, KeyboardInterrupt) as error:
        failure = error
    jax.distributed.shutdown()  # together, so that none takes the others' end for a failure
    return failure


def starting_model(init: str) -> TrainedModel | None:
    """The model that `--init` names; None for random weights.

    Raises:
        InputError: it is not there.
    """
    folder = starting_folder(init)
    return None if folder is None else load_model(folder)


def starting_folder(init: str) -> Path | None:
    """The folder of the model that `--init` names; None for random weights.

    Raises:
        InputError: it is not there.
    """
    if init == RANDOM:
        return None
    if init != IMAGENET:
        return model_folder(init)
    folder = imagenet_folder()
    if not (folder / MODEL_FILE).is_file():
        raise InputError(
            f"--init imagenet: {folder} has no weights yet; run `deepfl import-keras imagenet`"
            " once, or use --init random"
        )
    return folder
