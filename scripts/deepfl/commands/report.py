"""One page that tells the story of a run: data set, training, benchmarks, worst errors.

RUN is the folder of `deepfl train`. The page is OUT/index.html with its pictures beside it; it
needs no server, and the folder can be packed and sent. What is missing is said on the page, with
the command that makes it.

Examples, with what `deepfl demo` makes:
    deepfl report deepfl-demo/run
    deepfl report deepfl-demo/run --benchmark deepfl-demo/benchmark --out report
"""

from collections.abc import Sequence

from deepfl.command_line import parse
from mlsp.report.report import ReportConfig, write_report
from mtl.runtime.progress import say


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    config = parse(
        ReportConfig,
        arguments,
        program="deepfl report",
        description=__doc__ or "",
        positional=("run",),
    )
    page = write_report(config, progress=True)
    say(f"{page}: open it in a browser")
