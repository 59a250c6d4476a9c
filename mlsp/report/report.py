"""One static HTML page that tells the story of a run: no server, its pictures beside it.

    OUT/index.html      the page, readable from the file, without a network and without JavaScript
    OUT/*.png, *.csv    its pictures, and the benchmarks' tables

What is not there is said on the page, with the command that makes it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlsp.report.report_benchmarks import WORST, benchmark_section
from mlsp.report.report_data import Held, data_section, read_held
from mlsp.report.report_tables import Tables, best_row, read_benchmark, trained_rows
from mlsp.report.report_training import Log, best_epoch, training_section
from mlsp.report.web_page import (
    GENERATOR,
    Markup,
    Section,
    bullets,
    element,
    missing,
    page,
    paragraph,
)
from mtl.kadis.plan import plan_digest, read_manifest
from mtl.network.weights import FOLDER, MODEL_FILE
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import stage
from mtl.training.learning_curves import read_log
from mtl.training.multitask.train import CONFIG_FILE, PLAN_DIGEST, read_config
from mtl.training.multitask.train_config import as_json

PAGE, REPORT = "index.html", "report"

# What a report writes; nothing else in its folder is touched, and nothing else may be there.
OURS = re.compile(
    r"index\.html|(distortions|histograms|learning|ranking|((scatter|cross|worst)(-\d+)*))\.png"
    r"|benchmark-\d+-\w+\.csv"
)


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
    sections: Sequence[Section] = field(default_factory=tuple)
    """After the benchmarks."""
    no_worst: str | None = None
    """Why the worst predictions are not shown."""


def write_report(
    config: ReportConfig, remarks: Remarks | None = None, *, progress: bool = False
) -> Path:
    """Draw the pictures and write the page; returns the page's path.

    Args:
        config: the run and what belongs to it.
        remarks: what else to say.
        progress: report on standard error.

    Raises:
        InputError: a folder that was named is not what it should be, or `out` holds other files.
    """
    if config.worst < 0:
        raise InputError(f"--worst {config.worst}: must not be negative")
    settings, digest = _settings(config.run)
    log = read_log(config.run)
    held = _data(config, settings, digest, progress)
    if config.photos is not None and not config.photos.is_dir():
        raise InputError(f"{config.photos}: no such folder; give that of the photographs")
    ratings = [_ratings_folder(path) for path in config.ratings]
    benchmarks = [read_benchmark(folder) for folder in config.benchmark]
    out = config.out or config.run / REPORT
    _claim(out)

    sections = [_story(held, settings, log, benchmarks)]
    if isinstance(held, Held):
        shown = remarks.shown if remarks else None
        with stage("pictures of the data set", show=progress):
            sections.append(data_section(out, held, config.photos, shown))
    else:
        sections.append(Section("data", "The data set", [held]))
    with stage("training curves", show=progress):
        sections.append(training_section(out, config.run, settings, log))
    worst: int | str = (remarks and remarks.no_worst) or config.worst
    for number, benchmark in enumerate(benchmarks, start=1):
        with stage(str(benchmark.folder), show=progress):
            sections.append(benchmark_section(out, benchmark, number, ratings=ratings, worst=worst))
    if not benchmarks:
        sections.append(Section("benchmarks", "Benchmarks", [_no_benchmark(config.run)]))
    sections += remarks.sections if remarks else ()
    sections.append(_making(config.run))

    title = remarks.title if remarks else f"DeepFL-IQA: {config.run.resolve().name}"
    lead = []
    if remarks:
        stressed, *others = remarks.note
        note = [element("strong", stressed), *(f" {each}" for each in others)]
        lead.append(element("p", *note, class_="note"))
    written = page(title, lead, sections)
    write_atomically(out / PAGE, written)
    _tidy(out, written)
    return out / PAGE


def _settings(run: Path) -> tuple[dict[str, Any], str | None]:
    """A run's settings, and its data set's digest."""
    if not run.is_dir():
        raise InputError(f"{run}: no such folder; give that of a run of `deepfl train`")
    settings = as_json(read_config(run))
    digest = json.loads((run / CONFIG_FILE).read_text()).get(PLAN_DIGEST)
    return settings, digest


def _data(
    config: ReportConfig, settings: Mapping[str, Any], digest: str | None, progress: bool
) -> Held | Markup:
    """The run's data set, or what to say where it is not there."""
    if config.data is not None:
        held = read_held(config.data, progress=progress)
        if digest not in (None, plan_digest(held.plan)):
            raise InputError(
                f"{config.data}: is not the data set that {config.run} was trained on; give that"
            )
        return held
    named = Path(settings["data"])
    remedy = element("code", f"deepfl report {config.run} --data FOLDER")
    # A relative name was relative to where the run was started, often beside the run.
    problem = f"The data set {named} is not there"
    for folder in dict.fromkeys((named, config.run.resolve().parent / named)):
        try:
            if digest not in (None, plan_digest(read_manifest(folder)["plan"])):
                problem = f"{folder} holds another data set now"
                continue
            return read_held(folder, progress=progress)
        except InputError as error:
            if folder.exists():
                problem = f"The data set cannot be used: {error}"
    return missing(f"{problem}. ", remedy, " says where it is.")


def _ratings_folder(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path}: no such folder or file; --ratings names the rated pictures'")
    return path if path.is_dir() else path.parent


def _claim(out: Path) -> None:
    """Make sure that the folder is free, or holds an earlier report."""
    another = "choose another --out"
    if not out.exists():
        out.mkdir(parents=True)
        return
    if not out.is_dir():
        raise InputError(f"{out}: is a file; {another}")
    others = [path.name for path in sorted(out.iterdir()) if not OURS.fullmatch(path.name)]
    others = [name for name in others if not name.endswith(".tmp")]  # of a call that was killed
    there = out / PAGE
    if there.is_file() and GENERATOR not in there.read_text(errors="replace"):
        others.append(PAGE)
    if others:
        raise InputError(f"{out}: holds {others[0]}, which is not of a report; {another}")


def _tidy(out: Path, written: str) -> None:
    """Delete an earlier report's files that the page does not show."""
    for path in out.iterdir():
        if path.name != PAGE and OURS.fullmatch(path.name) and f'"{path.name}"' not in written:
            path.unlink()


def _story(
    held: Held | Markup,
    settings: Mapping[str, Any],
    log: Log,
    benchmarks: Sequence[Tables],
) -> Section:
    """What was done and what came of it, in plain words."""
    told: list[object] = []
    if isinstance(held, Held):
        training = int(held.in_split("train").sum())
        told.append(
            f"{held.photographs():,} photographs were distorted into {held.images:,} images, and"
            f" {len(held.scores)} full-reference metrics scored each image against its photograph."
        )
    else:
        training = None
        told.append("The data set is not at hand; the part on it says what to do.")
    start = {"random": "random weights", "imagenet": "ImageNet's weights"}
    if log:
        best = best_epoch(log)
        epochs = "1 epoch" if len(log) == 1 else f"{len(log)} epochs"
        of = "" if len(log) >= settings["epochs"] else f" (of {settings['epochs']} planned)"
        told.append(
            f"A network learned to predict these scores without seeing the photograph: {epochs}{of}"
            f" in batches of {settings['batch_size']}, from"
            f" {start.get(settings['init'], settings['init'])}{_duration(settings, log, training)}."
        )
        mean = best.get("mean_srocc")
        correlation = (
            "" if mean is None else f", where the mean SROCC over the metrics is {mean:.3f}"
        )
        told.append(
            f"The best epoch is number {best['epoch']:.0f} with a validation loss of"
            f" {best['validation_loss']:.4f}{correlation}."
        )
    else:
        told.append("A network is to predict these scores; no epoch of its training has ended yet.")
    for benchmark in benchmarks:
        for place in benchmark.places:
            best = best_row(benchmark, place)
            if best is not None:
                told.append(
                    f"On {place[0]} ({place[1]} split), the best of"
                    f" {len(trained_rows(benchmark, place))} method(s) trained on human scores is"
                    f" {best['method']}: its predictions for pictures it never saw have a median"
                    f" SROCC of {float(best['srocc_median']):.3f} with the human scores."
                )
    return Section("story", "In short", [bullets(told)])


def _duration(settings: Mapping[str, Any], log: Log, images: int | None) -> str:
    """How long training took by its measured speed, where that and the images are known."""
    rates = [row.get("images_per_second", 0) for row in log]
    if images is None or not all(rate > 0 for rate in rates):
        return ""
    seen = images // settings["batch_size"] * settings["batch_size"]
    minutes = sum(seen / rate for rate in rates) / 60
    took = f"{minutes:.1f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
    return f"; its steps took about {took}, without validation"


def _no_benchmark(run: Path) -> Markup:
    return missing(
        "No benchmark was named: it says how well people's ratings are predicted. ",
        element("code", f"deepfl benchmark RATINGS.csv --model {run} --out benchmark"),
        " makes one, ",
        element("code", f"deepfl report {run} --benchmark benchmark"),
        " puts it here.",
    )


def _making(run: Path) -> Section:
    """With which versions the network was trained."""
    path = run / FOLDER / MODEL_FILE
    try:
        versions = json.loads(path.read_text())["notes"]["versions"]
        found = ", ".join(f"{name} {version}" for name, version in versions.items())
        said = paragraph(f"Trained with {found}.")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        said = missing(
            f"{path} is not there or does not say with which versions the network was trained;"
            " deepfl train writes it at the end of each epoch that is the best so far."
        )
    return Section("making", "How it was made", [said])
