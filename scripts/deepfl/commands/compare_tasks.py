"""Multi-task against single-task training, judged on your own rated pictures.

A network is trained for each of --tasks alone, with all other settings those of the multi-task
RUN, and a regressor on the MLSP features of each network is tested on the same splits (DeepFL-IQA,
section V-C1).

Example:
    deepfl compare-tasks kadid10k --run run --out tasks --tasks vsi ssim
"""

from collections.abc import Sequence

from deepfl.command_line import parse
from deepfl.commands.benchmark import print_summary
from mlsp.comparisons.schemes_and_tasks import TasksConfig, compare_tasks
from mtl.runtime.progress import say


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        TasksConfig,
        arguments,
        program="deepfl compare-tasks",
        description=__doc__ or "",
        positional=("ratings",),
    )
    print_summary([compare_tasks(config, progress=True)])
    say(f"{config.out}: tables and scatter plots")
