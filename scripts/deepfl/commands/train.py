"""Train a network to predict all full-reference scores without the reference.

The defaults are the paper's: 10 epochs of batches of 64 at a learning rate of 1e-4; it starts from
ImageNet weights, which `--init imagenet` does. A run that was stopped (Ctrl-C, SIGTERM, or a file
RUN/stop) continues with the same command at the step where it stopped.

Example, small enough for two cores, with the data set that `deepfl demo` makes:
    deepfl train --data deepfl-demo/kadis --out run --epochs 2 --batch-size 8 --crop 96 96

All GPUs of a machine share each batch. Several processes that train as one are started by Ray, on
this machine or with --address on a cluster:
    deepfl train --data deepfl-demo/kadis --out two --batch-size 8 --crop 96 96 --num-workers 2

They may be started by SLURM or Open MPI instead, or by anything else that sets
JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID in each process. All of them have to
see the folder of --out:
    srun --ntasks-per-node 1 deepfl train --data kadis --out run --distributed --dtype bfloat16
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from deepfl.command_line import parse
from mlsp.prediction.condition_training import PICTURES, add_conditions
from mlsp.prediction.conditions import CONDITIONS_FILE, has_conditions
from mtl.runtime.files import InputError
from mtl.runtime.progress import say
from mtl.training.distribution import leads
from mtl.training.multitask.train import Run, TrainConfig, train


@dataclass(frozen=True)
class Config(TrainConfig):
    """A training run, and what is added to its model afterwards."""

    condition_pictures: int = PICTURES
    """Pictures of each distortion and level from which the model learns to name them at the end
    (`deepfl predict --explain`); 0 leaves it out."""


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(Config, arguments, program="deepfl train", description=__doc__ or "")
    settings = {field.name: getattr(config, field.name) for field in fields(TrainConfig)}
    run = train(TrainConfig(**settings), progress=True)
    if config.distributed and not leads():
        return
    best = min(run.log, key=lambda row: row["validation_loss"])
    if run.resumed_at == len(run.log):
        say("all epochs were done before")
    say(
        f"{run.model}: epoch {best['epoch']:.0f} of {len(run.log)}, validation loss"
        f" {best['validation_loss']:.4f}, mean SROCC {best['mean_srocc']:.3f}"
    )
    if config.condition_pictures:
        _add_conditions(config, run)
    say(f"next: deepfl benchmark RATINGS.csv --model {run.out} --out benchmark")


def _add_conditions(config: Config, run: Run) -> None:
    if has_conditions(run.model):
        return
    say(
        "learning to name distortions from pictures of each"
        " (--condition-pictures 0 leaves this out; it can be stopped and done later)"
    )
    try:
        found = add_conditions(
            run.model, config.data, pictures=config.condition_pictures, progress=True
        )
    except InputError as error:
        say(f"the model cannot explain: {error}")
        return
    say(f"{run.model / CONDITIONS_FILE}: {found.in_words()}")
