"""Train InceptionResNetV2 to predict all full-reference scores without the reference.

The defaults are the paper's: 10 epochs of batches of 64 at a learning rate of 1e-4. A stopped run
continues with the same command after its last finished epoch.

Example, small enough for two cores, with the data set that `deepfl demo` makes:
    deepfl train --data deepfl-demo/kadis --out run --epochs 2 --batch-size 8 --crop 96 96
"""

from collections.abc import Sequence

from mtl.progress import say
from mtl.train import TrainConfig, train
from scripts.command_line import parse


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(TrainConfig, arguments, program="deepfl train", description=__doc__ or "")
    run = train(config, progress=True)
    best = min(run.log, key=lambda row: row["validation_loss"])
    if run.resumed_at == len(run.log):
        say("all epochs were done before")
    say(
        f"{run.model}: epoch {best['epoch']:.0f} of {len(run.log)}, validation loss"
        f" {best['validation_loss']:.4f}, mean SROCC {best['mean_srocc']:.3f}"
    )
    say(f"next: deepfl benchmark RATINGS.csv --model {run.out} --out benchmark")
