"""Every stage of the pipeline on the sample photographs of scikit-image and scikit-learn.

A demonstration, not a benchmark: ten photographs, minutes of training on two cores. Everything it
makes is in one folder, and a second run continues there or says that all is done.

Example:
    deepfl demo --out deepfl-demo
"""

from collections.abc import Sequence

from deepfl.command_line import parse
from mlsp.demonstration.demo import run_demo
from mlsp.demonstration.folder import DemoConfig


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_demo(parse(DemoConfig, arguments, program="deepfl demo", description=__doc__ or ""))
