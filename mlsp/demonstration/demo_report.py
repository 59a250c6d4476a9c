"""The report of a demonstration: that of its run, with a note and two more sections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fr_metrics import METRICS
from mlsp.databases.condition_means import mean_ratings
from mlsp.demonstration.folder import Places
from mlsp.report.data_summary import DataSummary, read_data_summary
from mlsp.report.report import Remarks, ReportConfig, write_report
from mlsp.report.web_page import Number, Section
from mtl.evaluation.correlation import plcc, srocc
from mtl.training.run_folder import read_log

SHOWN = "chelsea.png"  # on the contact sheet

NO_WORST = (
    "Not shown here: the target is a mean rating of distortion and level, and how far a prediction"
    " is from it says little of the picture. With pictures that people rated, deepfl benchmark and"
    " deepfl report show them."
)


@dataclass(frozen=True)
class WithReference:
    """Correlation of each metric with the human rating, and the seconds of the stages."""

    template: ClassVar[str] = "demonstration/templates/with_reference.html.jinja"

    images: int
    metrics: Sequence[tuple[str, Number, Number]]
    """Title, SROCC, PLCC."""
    seconds: Mapping[str, float]
    """By stage; empty if not known."""


def demo_report(
    places: Places, ranking: Section, seconds: Mapping[str, float], *, progress: bool
) -> Path:
    """Write the report and return the page's path.

    Args:
        places: of the demonstration.
        ranking: the section on the included model.
        seconds: of each stage.
        progress: report on standard error.
    """
    data = read_data_summary(places.data)
    with_reference = Section(
        "with-reference",
        "What the metrics achieve with the reference",
        [WithReference(data.images, _metrics(data), seconds)],
    )
    photographs, epochs = data.photographs(), len(read_log(places.run))
    remarks = Remarks(
        f"From {photographs} photographs to a quality score",
        _note(photographs, epochs),
        SHOWN,
        (ranking, with_reference),
        NO_WORST,
    )
    config = ReportConfig(
        places.run, (places.benchmark,), places.data, places.photographs, out=places.report
    )
    return write_report(config, remarks, progress=progress)


def _metrics(data: DataSummary) -> list[tuple[str, Number, Number]]:
    """Correlate each metric with the mean human rating; metrics of distance change their sign."""
    human = mean_ratings(zip(data.distortions, data.levels, strict=True))
    found = []
    for metric, scores in data.scores.items():
        better = scores if METRICS[metric].higher_is_better else -scores
        correlations = Number(srocc(better, human)), Number(plcc(better, human))
        found.append((METRICS[metric].title, *correlations))
    return found


def _note(photographs: int, epochs: int) -> tuple[str, str]:
    """Return the note above the contents."""
    return (
        "This is a demonstration, not a benchmark.",
        f"It runs every stage of DeepFL-IQA for real, but on {photographs} photographs instead of"
        f" 140,000, for {epochs} epoch{'s' * (epochs > 1)} from random weights instead of ten from"
        " ImageNet's, with a narrower network and on small crops. Its human target is KADID-10k's"
        " published mean rating of each distortion and level, not ratings of these very pictures."
        " The figures show that the parts work together; they say nothing about how good the"
        " method is.",
    )
