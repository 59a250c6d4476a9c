"""The first and the last section of a report: the run in a few sentences, and its versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mlsp.report.benchmark_tables import Place, Tables, best_row, trained_rows
from mlsp.report.data_summary import DataSummary
from mlsp.report.training_run import Run
from mlsp.report.web_page import Section


@dataclass(frozen=True)
class Best:
    """The best of the methods that were trained on one database's scores."""

    place: Place
    methods: int
    """The number of methods compared."""
    method: str
    srocc: float


@dataclass(frozen=True)
class Story:
    """The run in a few sentences."""

    template: ClassVar[str] = "report/templates/story.html.jinja"

    data: DataSummary | None
    """None if the data set is missing."""
    run: Run
    minutes: float | None
    """Duration of the training steps; None if not known."""
    best: Sequence[Best]


@dataclass(frozen=True)
class Making:
    """The versions that the network was trained with."""

    template: ClassVar[str] = "report/templates/making.html.jinja"

    versions: Sequence[str]
    """Package names with versions; empty if not known."""
    file: Path
    """The file that holds them."""


def story_section(data: DataSummary | None, run: Run, benchmarks: Sequence[Tables]) -> Section:
    """Return the section that tells the run in a few sentences."""
    minutes = None
    if data is not None:
        minutes = run.minutes(int(data.in_split("train").sum()))
    best = []
    for benchmark in benchmarks:
        for place in benchmark.places:
            row = best_row(benchmark, place)
            if row is not None:
                trained = len(trained_rows(benchmark, place))
                best.append(Best(place, trained, row["method"], float(row["srocc_median"])))
    return Section("story", "In short", [Story(data, run, minutes, best)])


def making_section(run: Run) -> Section:
    """Return the section on the versions that the network was trained with."""
    versions = [f"{name} {version}" for name, version in run.versions().items()]
    return Section("making", "How it was made", [Making(versions, run.model_file)])
