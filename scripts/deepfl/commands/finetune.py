"""Train the whole network on human scores, test it, and keep the best for `deepfl predict`.

RATINGS.csv has the columns image,score, or image,c1,c2,c3,c4,c5 with how many gave each of five (or
any other number of) ratings, the worst first; the losses cross_entropy, huber and emd need those.
Pictures of one reference (column reference) stay on one side; a column set (training, validation,
test) is the split, which otherwise is 60/20/20 at random. Image names are relative to the CSV
file's folder.

Losses of a score: mse, mae, plcc, norm-in-norm; --balance proportion gives rare scores more weight.
--loss classes is DeepBIQ's: five classes, with --scale 0 100 where scores are 0..100.

KonCept512 is --init imagenet --size 384 512, on a GPU: 70 epochs. --head deeprn is DeepRN:
ResNet-101, a spatial pyramid of three levels, and the Huber loss on counts c1, c2, ... CNNIQA is
--network cnniqa --init random --head linear --loss mae --crop 32 32. A stopped run continues with
the same command.

Example, small enough for two cores, with rated pictures that `deepfl distort` makes of a folder:
    deepfl distort deepfl-demo/photographs --out rated --type jpeg gaussian_blur
    ls rated | awk -F '[_.]' 'BEGIN {print "image,score,reference"}
        /_0[1-5].png$/ {print $0 "," 6 - $(NF-1) "," $1}' > rated/ratings.csv
    deepfl finetune rated/ratings.csv --init deepfl-demo/run --out finetuned --size 96 128 \\
        --stages 1e-4 2 1e-5 1 --batch-size 8 --momentum 0.9
"""

from collections.abc import Sequence

import numpy as np

from deepfl.command_line import parse
from mtl.runtime.progress import say
from mtl.training.opinions.finetune import SUMMARY_FILE, FinetuneConfig, finetune


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        FinetuneConfig,
        arguments,
        program="deepfl finetune",
        description=__doc__ or "",
        positional=("ratings",),
    )
    run = finetune(config, progress=True)
    if run.resumed_at == len(run.log):
        say("all epochs were done before")
    test = run.test
    print(f"{'images':>7}  {'SROCC':>6}  {'PLCC':>6}  {'RMSE':>8}  {'MAE':>8}")
    print(
        f"{test['images']:>7.0f}  {test['srocc']:6.3f}  {test['plcc']:6.3f}  {test['rmse']:8.4g}"
        f"  {test['mae']:8.4g}"
    )
    if not np.isfinite(test["srocc"]):
        say("the test part has no correlation: its predictions, or its scores, are constant")
    say(
        f"{run.out / SUMMARY_FILE}: {run.scheme}, test part, weights of epoch {test['epoch']:.0f}"
        f" of {len(run.log)}"
    )
    say(f"next: deepfl predict PHOTO.jpg --model {run.out}")
