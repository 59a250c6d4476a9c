"""One static HTML page that tells the story of a run: no server, its pictures beside it.

    OUT/index.html      the page, readable from the file, without a network and without JavaScript
    OUT/*.png, *.csv    its pictures, and the benchmarks' tables

The page names each part that is missing, with the command that makes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mlsp.report.benchmark_section import benchmark_section
from mlsp.report.benchmark_tables import read_benchmark
from mlsp.report.data_section import data_section
from mlsp.report.data_summary import DataSummary, read_data_summary
from mlsp.report.folder import PAGE, make_folder, tidy
from mlsp.report.story import making_section, story_section
from mlsp.report.training_run import Run, read_run
from mlsp.report.training_section import training_section
from mlsp.report.web_page import Missing, Section, page
from mlsp.report.worst_predictions import WORST
from mtl.kadis.manifest import plan_digest, read_manifest
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import stage

REPORT = "report"


@dataclass(frozen=True)
class ReportConfig:
    """The run to report on, and the folders that belong to it."""

    run: Path
    """Folder of `deepfl train`."""
    benchmark: tuple[Path, ...] = ()
    """Folders of `deepfl benchmark`, `compare-schemes`, `compare-tasks` or `compare-networks`."""
    data: Path | None = None
    """The run's data set, if it has moved."""
    photos: Path | None = None
    """Folder of the data set's photographs, if they have moved."""
    ratings: tuple[Path, ...] = ()
    """Folders that the benchmarks' picture names are relative to, or the CSV files in them, if the
    pictures have moved."""
    out: Path | None = None
    """Folder for the report; RUN/report when not given."""
    worst: int = WORST
    """Number of worst predictions to show for each database."""


@dataclass(frozen=True)
class Remarks:
    """Text and sections that a report shows beside those of its run."""

    title: str
    note: Sequence[str]
    """Shown above the contents: a phrase that is stressed, and more text. Empty for none."""
    shown: str | None = None
    """Photograph on the contact sheet; the first that can be read if not given."""
    sections: Sequence[Section] = ()
    """Sections after the benchmarks."""
    no_worst: str | None = None
    """The reason, if the worst predictions are not to be shown."""


@dataclass(frozen=True)
class NoBenchmark:
    """The commands that make a benchmark and put it into the report."""

    template: ClassVar[str] = "report/templates/no_benchmark.html.jinja"

    run: Path


def write_report(
    config: ReportConfig, remarks: Remarks | None = None, *, progress: bool = False
) -> Path:
    """Draw the pictures and write the page; return the page's path.

    Args:
        config: the run and the folders that belong to it.
        remarks: text and sections beside those of the run.
        progress: report on standard error.

    Raises:
        InputError: a folder that was named is missing or damaged, or `out` holds other files.
    """
    if config.worst < 0:
        raise InputError(f"--worst {config.worst}: must not be negative")
    run = read_run(config.run)
    data = _find_data(config, run, progress)
    if config.photos is not None and not config.photos.is_dir():
        raise InputError(f"{config.photos}: no such folder; give that of the photographs")
    ratings = [_ratings_folder(path) for path in config.ratings]
    benchmarks = [read_benchmark(folder) for folder in config.benchmark]
    out = config.out or config.run / REPORT
    make_folder(out)

    if remarks is None:
        remarks = Remarks(f"DeepFL-IQA: {config.run.resolve().name}", ())
    if isinstance(data, DataSummary):
        sections = [story_section(data, run, benchmarks)]
        with stage("pictures of the data set", show=progress):
            sections.append(data_section(out, data, config.photos, remarks.shown))
    else:
        sections = [story_section(None, run, benchmarks), Section("data", "The data set", [data])]
    with stage("training curves", show=progress):
        sections.append(training_section(out, run))
    worst = remarks.no_worst or config.worst
    for number, benchmark in enumerate(benchmarks, start=1):
        with stage(str(benchmark.folder), show=progress):
            sections.append(benchmark_section(out, benchmark, number, ratings=ratings, worst=worst))
    if not benchmarks:
        sections.append(Section("benchmarks", "Benchmarks", [NoBenchmark(config.run)]))
    sections += [*remarks.sections, making_section(run)]

    written = page(remarks.title, remarks.note, sections)
    write_atomically(out / PAGE, written)
    tidy(out, written)
    return out / PAGE


def _find_data(config: ReportConfig, run: Run, progress: bool) -> DataSummary | Missing:
    """Read the run's data set; if it is missing, return the paragraph that says so."""
    if config.data is not None:
        data = read_data_summary(config.data, progress=progress)
        if run.digest not in (None, plan_digest(data.plan)):
            raise InputError(
                f"{config.data}: is not the data set that {config.run} was trained on; give that"
            )
        return data
    named = Path(run.settings["data"])
    # A relative name was relative to where the run was started, often beside the run.
    problem = f"The data set {named} is not there"
    for folder in dict.fromkeys((named, config.run.resolve().parent / named)):
        try:
            if run.digest not in (None, plan_digest(read_manifest(folder)["plan"])):
                problem = f"{folder} holds another data set now"
                continue
            return read_data_summary(folder, progress=progress)
        except InputError as error:
            if folder.exists():
                problem = f"The data set cannot be used: {error}"
    command = f"deepfl report {config.run} --data FOLDER"
    return Missing(f"{problem}.", command, "says where it is.")


def _ratings_folder(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path}: no such folder or file; --ratings names the rated pictures'")
    return path if path.is_dir() else path.parent
