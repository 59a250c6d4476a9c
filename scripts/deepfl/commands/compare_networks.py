"""Networks compared on your own rated pictures: KonIQ-10k's table 2 as one command.

Each network is fine-tuned with the same head, schedule and splits, from the same kind of weights:
its ImageNet ones (`deepfl import-keras NAME` makes them), or random ones; --init NETWORK=FOLDER
names the model folder of a single network, and cnniqa=random starts one that has no ImageNet
weights. Networks without weights are all named before anything is trained. The table says
parameters, features, SROCC, PLCC, RMSE and MAE of the test part, the seconds of training, and the
milliseconds that a prediction takes.

A stopped comparison continues with the same command; networks and repetitions can be added, with
those that are there named again. The paper's split of KonIQ-10k is --protocol official. The losses
of its figure 8 and the sizes of its figure 9 are a comparison each, with an --out of its own for
every --loss or --size.

Examples:
    deepfl compare-networks koniq10k --out networks --size 384 512
    deepfl compare-networks ratings.csv --network resnet50 inception_resnet_v2 --out networks \\
        --init imagenet resnet50=deepfl-run --size 384 512 --repetitions 5
"""

from collections.abc import Sequence

from deepfl.command_line import parse
from mlsp.comparisons.networks import NetworksConfig, compare_networks
from mlsp.comparisons.networks_table import FIGURE_FILE, TABLE_FILE
from mlsp.evaluation.benchmarking import Row
from mtl.runtime.paths.outputs import check_output_folder
from mtl.runtime.progress import say

HEADER = (
    *("network", "from", "params/M", "body/M", "features", "SROCC", "PLCC", "RMSE", "MAE"),
    *("s/epoch", "training/s", "ms/picture"),
)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        NetworksConfig,
        arguments,
        program="deepfl compare-networks",
        description=__doc__ or "",
        positional=("ratings",),
    )
    check_output_folder(config.out)
    compared = compare_networks(config, progress=True)
    print_networks(compared.rows)
    without = [row for row in compared.judged.result.summary if row["without_correlation"]]
    for row in without:
        say(
            f"{row['method']}: {row['without_correlation']} of {len(compared.judged.splits)} splits"
            " have no correlation (constant predictions) and are in no median"
        )
    say(f"{config.out}: {TABLE_FILE}, {FIGURE_FILE}; every split is in repetitions.csv")


def print_networks(rows: Sequence[Row]) -> None:
    """Print a line per network, the columns aligned."""
    lines: list[tuple[str, ...]] = [HEADER]
    for row in rows:
        correlations = [f"{float(row[name]):.3f}" for name in ("srocc", "plcc")]
        errors = [f"{float(row[name]):.4g}" for name in ("rmse", "mae")]
        times = [row[name] for name in ("epoch_seconds", "training_seconds", "prediction_ms")]
        lines.append(
            (
                *(str(row["network"]), str(row["init"])),
                *(f"{float(row[name]):.1f}" for name in ("parameters", "body_parameters")),
                str(row["features"]),
                *correlations,
                *errors,
                *(f"{float(value):.4g}" for value in times),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells))
