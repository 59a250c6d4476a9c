"""The paper's four learning schemes on your own rated pictures (DeepFL-IQA, table II).

Fine-tuning the whole network, or a regressor on its MLSP features; from ImageNet's weights
(`deepfl import-keras imagenet` fetches them), or from a run of `deepfl train`. All are tested on
the same splits.

Example:
    deepfl compare-schemes kadid10k --run run --out schemes --size 384 512
"""

from collections.abc import Sequence

from deepfl.command_line import parse
from deepfl.commands.benchmark import print_summary
from mlsp.comparisons.schemes_and_tasks import SchemesConfig, compare_schemes
from mtl.runtime.progress import say


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        SchemesConfig,
        arguments,
        program="deepfl compare-schemes",
        description=__doc__ or "",
        positional=("ratings",),
    )
    print_summary([compare_schemes(config, progress=True)])
    say(f"{config.out}: tables and scatter plots")
