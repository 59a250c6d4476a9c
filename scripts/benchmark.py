"""Train and test a regressor on your own rated pictures, and keep it for `deepfl predict`.

RATINGS.csv has the columns image,score and, if several pictures show the same content, reference:
pictures of one reference are never in two of the training, validation and test parts. Image names
are relative to the CSV file's folder. The score's scale is yours.

Example, with the rated pictures that `deepfl distort` can make of a folder:
    deepfl distort deepfl-demo/photographs --out rated --type jpeg gaussian_blur
    ls rated | awk -F '[_.]' 'BEGIN {print "image,score,reference"}
        /_0[1-5].png$/ {print $0 "," 6 - $(NF-1) "," $1}' > rated/ratings.csv
    deepfl benchmark rated/ratings.csv --model deepfl-demo/run --out benchmark
"""

from collections.abc import Sequence

from mlsp.benchmark import BenchmarkConfig, run_benchmark
from mtl.progress import say
from mtl.weights import FOLDER
from scripts.command_line import parse


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        BenchmarkConfig,
        arguments,
        program="deepfl benchmark",
        description=__doc__ or "",
        positional=("ratings",),
    )
    result = run_benchmark(config, progress=True)
    print(f"{'regressor':<10}{'splits':>7}  {'SROCC':>6}  {'PLCC':>6}  {'KROCC':>6}  {'RMSE':>8}")
    for row in result.summary:
        print(
            f"{row['regressor']:<10}{row['repetitions']:>7}  {row['srocc_median']:6.3f}"
            f"  {row['plcc_median']:6.3f}  {row['krocc_median']:6.3f}  {row['rmse_median']:8.4g}"
        )
    say(f"{config.out}: medians of the test parts; all splits are in repetitions.csv")
    say(f"next: deepfl predict PHOTO.jpg --model {config.out / FOLDER}")
