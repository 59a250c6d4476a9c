"""The first and the last section of a report: the run in a few sentences, and its versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mlsp.report.benchmark_tables import Place, Tables, best_row, trained_rows
from mlsp.report.held import Held
from mlsp.report.training_run import Run
from mlsp.report.web_page import Section


@dataclass(frozen=True)
class Best:
    """The best of the methods that were trained on one database's scores."""

    place: Place
    methods: int
    """How many it is the best of."""
    method: str
    srocc: float


@dataclass(frozen=True)
class Story:
    """What was done and what it led to."""

    template: ClassVar[str] = "report/templates/story.html.jinja"

    held: Held | None
    """The data set, if it is at hand."""
    run: Run
    minutes: float | None
    """How long the training steps took, if that is known."""
    best: Sequence[Best]


@dataclass(frozen=True)
class Making:
    """The versions that the network was trained with."""

    template: ClassVar[str] = "report/templates/making.html.jinja"

    versions: Sequence[str]
    """Names with versions; empty if they are not known."""
    file: Path
    """Which holds them."""


def story_section(held: Held | None, run: Run, benchmarks: Sequence[Tables]) -> Section:
    """Return the section that tells what was done and what it led to."""
    minutes = None
    if held is not None:
        minutes = run.minutes(int(held.in_split("train").sum()))
    best = []
    for benchmark in benchmarks:
        for place in benchmark.places:
            row = best_row(benchmark, place)
            if row is not None:
                trained = len(trained_rows(benchmark, place))
                best.append(Best(place, trained, row["method"], float(row["srocc_median"])))
    return Section("story", "In short", [Story(held, run, minutes, best)])


def making_section(run: Run) -> Section:
    """Return the section on the versions that the network was trained with."""
    versions = [f"{name} {version}" for name, version in run.versions().items()]
    return Section("making", "How it was made", [Making(versions, run.model_file)])
