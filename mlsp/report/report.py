"""One static HTML page that tells the story of a run: no server, its pictures beside it.

    OUT/index.html      the page, readable from the file, without a network and without JavaScript
    OUT/*.png, *.csv    its pictures, and the benchmarks' tables

What is not there is said on the page, with the command that makes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mlsp.report.benchmark_section import benchmark_section
from mlsp.report.benchmark_tables import read_benchmark
from mlsp.report.data_section import data_section
from mlsp.report.folder import PAGE, claim, tidy
from mlsp.report.held import Held, read_held
from mlsp.report.story import making_section, story_section
from mlsp.report.training_run import Run, read_run
from mlsp.report.training_section import training_section
from mlsp.report.web_page import Missing, Section, page
from mlsp.report.worst_predictions import WORST
from mtl.kadis.plan import plan_digest, read_manifest
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import stage

REPORT = "report"


@dataclass(frozen=True)
class ReportConfig:
    """Which run, and what belongs to it."""

    run: Path
    """Folder of `deepfl train`."""
    benchmark: tuple[Path, ...] = ()
    """Folders of `deepfl benchmark`, `compare-schemes` or `compare-tasks`."""
    data: Path | None = None
    """The run's data set, where it is not where it was."""
    photos: Path | None = None
    """Folder of the data set's photographs, where they are not where they were."""
    ratings: tuple[Path, ...] = ()
    """Folders that the benchmarks' picture names are relative to, or the CSV files in them, where
    the pictures are not where they were."""
    out: Path | None = None
    """Folder for the report; RUN/report when not given."""
    worst: int = WORST
    """Worst predictions to show of each database."""


@dataclass(frozen=True)
class Remarks:
    """What a report says beside what its files say."""

    title: str
    note: Sequence[str]
    """What has to be known first: a phrase that is stressed, and text."""
    shown: str | None = None
    """Photograph on the contact sheet."""
    sections: Sequence[Section] = ()
    """After the benchmarks."""
    no_worst: str | None = None
    """Why the worst predictions are not shown."""


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
        config: the run and what belongs to it.
        remarks: what else to say.
        progress: report on standard error.

    Raises:
        InputError: a folder that was named is not what it should be, or `out` holds other files.
    """
    if config.worst < 0:
        raise InputError(f"--worst {config.worst}: must not be negative")
    run = read_run(config.run)
    held = _data(config, run, progress)
    if config.photos is not None and not config.photos.is_dir():
        raise InputError(f"{config.photos}: no such folder; give that of the photographs")
    ratings = [_ratings_folder(path) for path in config.ratings]
    benchmarks = [read_benchmark(folder) for folder in config.benchmark]
    out = config.out or config.run / REPORT
    claim(out)

    if remarks is None:
        remarks = Remarks(f"DeepFL-IQA: {config.run.resolve().name}", ())
    if isinstance(held, Held):
        sections = [story_section(held, run, benchmarks)]
        with stage("pictures of the data set", show=progress):
            sections.append(data_section(out, held, config.photos, remarks.shown))
    else:
        sections = [story_section(None, run, benchmarks), Section("data", "The data set", [held])]
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


def _data(config: ReportConfig, run: Run, progress: bool) -> Held | Missing:
    """Read the run's data set; where it is not there, return the paragraph that says so."""
    if config.data is not None:
        held = read_held(config.data, progress=progress)
        if run.digest not in (None, plan_digest(held.plan)):
            raise InputError(
                f"{config.data}: is not the data set that {config.run} was trained on; give that"
            )
        return held
    named = Path(run.settings["data"])
    # A relative name was relative to where the run was started, often beside the run.
    problem = f"The data set {named} is not there"
    for folder in dict.fromkeys((named, config.run.resolve().parent / named)):
        try:
            if run.digest not in (None, plan_digest(read_manifest(folder)["plan"])):
                problem = f"{folder} holds another data set now"
                continue
            return read_held(folder, progress=progress)
        except InputError as error:
            if folder.exists():
                problem = f"The data set cannot be used: {error}"
    command = f"deepfl report {config.run} --data FOLDER"
    return Missing(f"{problem}.", command, "says where it is.")


def _ratings_folder(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path}: no such folder or file; --ratings names the rated pictures'")
    return path if path.is_dir() else path.parent
