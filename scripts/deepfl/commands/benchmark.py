"""Train and test regressors on rated pictures, and keep one for `deepfl predict`.

RATINGS is the folder of a public database as its authors distribute it (--download-help says where
each is obtained), or a CSV file with the columns image,score and, if several pictures show the
same content, reference: pictures of one reference are never in two of the training, validation and
test parts. Image names are relative to the CSV file's folder. The score's scale is yours.

Example, with the rated pictures that `deepfl distort` can make of a folder:
    deepfl distort deepfl-demo/photographs --out rated --type jpeg gaussian_blur
    ls rated | awk -F '[_.]' 'BEGIN {print "image,score,reference"}
        /_0[1-5].png$/ {print $0 "," 6 - $(NF-1) "," $1}' > rated/ratings.csv
    deepfl benchmark rated/ratings.csv --model deepfl-demo/run --out benchmark

Several databases give the cross-database matrix, several models a row each:
    deepfl benchmark kadid10k live csiq --model run other-run --regressor mlp svr --out benchmark
"""

from collections.abc import Sequence

from deepfl.command_line import parse
from mlsp.databases import download_help
from mlsp.evaluation.benchmark_config import BenchmarkConfig
from mlsp.evaluation.benchmark_results import (
    CROSS_FILE,
    DISTORTIONS_FILE,
    PLACES_FILE,
    PREDICTIONS_FILE,
    REPETITIONS_FILE,
    SUMMARY_FILE,
    Judged,
)
from mlsp.evaluation.benchmark_run import run_benchmark
from mlsp.evaluation.measures import CORRELATIONS
from mtl.network.weights import FOLDER
from mtl.runtime.paths.outputs import check_output, check_output_folder
from mtl.runtime.progress import say

HELP = "--download-help"

WRITTEN = (
    *(REPETITIONS_FILE, SUMMARY_FILE, DISTORTIONS_FILE),
    *(CROSS_FILE, PREDICTIONS_FILE, PLACES_FILE),
)
"""Files in the folder of results that a table of ratings may not be."""


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    if HELP in arguments:
        print(download_help())
        return
    config = parse(
        BenchmarkConfig,
        arguments,
        program="deepfl benchmark",
        description=__doc__ or "",
        positional=("ratings",),
    )
    check_output_folder(config.out)
    for name in WRITTEN:
        check_output(config.out / name, config.ratings)
    tested = run_benchmark(config, progress=True)
    print_summary(tested)
    say(f"{config.out}: medians of the test parts; all splits are in repetitions.csv")
    if not config.crops:
        say(f"next: deepfl predict PHOTO.jpg --model {config.out / FOLDER}")


def print_summary(tested: Sequence[Judged]) -> None:
    """Print the medians, a line per database, protocol and method."""
    rows = [(each, row) for each in tested for row in each.result.summary]
    widths = (
        max(len(each.database) for each in tested),
        max(len(each.protocol) for each in tested),
        max(len(str(row["method"])) for _, row in rows),
    )
    places = f"{{:<{widths[0]}}}  {{:<{widths[1]}}}  {{:<{widths[2]}}}"
    print(f"{places.format('', '', 'method')}  splits   SROCC    PLCC  fitted   KROCC      RMSE")
    for each, row in rows:
        numbers = "".join(f"  {row[f'{measure}_median']:6.3f}" for measure in CORRELATIONS)
        print(
            f"{places.format(each.database, each.protocol, row['method'])}"
            f"  {row['repetitions']:>6}{numbers}  {row['rmse_median']:8.4g}"
        )
    for each, row in rows:
        if row["without_correlation"]:
            say(
                f"{each.database}, {each.protocol}, {row['method']}: {row['without_correlation']}"
                f" of {len(each.splits)} splits have no correlation (constant predictions or"
                " scores) and are in no median"
            )
