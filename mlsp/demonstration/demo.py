"""The whole pipeline on ten sample photographs, in minutes on two cores.

Every stage is the real one, called as the other commands call it; only the sizes are small. Each
stage continues where it stopped: a second run resumes, or finds that all is done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mlsp.databases.condition_means import mean_ratings
from mlsp.demonstration.demo_report import SHOWN, demo_report
from mlsp.demonstration.folder import DemoConfig, Places, Stopwatch, claim
from mlsp.demonstration.ranking import ranking_section
from mlsp.demonstration.samples import copy_photographs
from mlsp.evaluation.benchmark_results import SUMMARY_FILE, Judged, write_results
from mlsp.evaluation.benchmarking import Method, Task, benchmark, fit_for_use
from mlsp.features.data_sets import DataSet
from mlsp.features.extraction import extract_to
from mlsp.features.store import Features
from mlsp.prediction.quality_model import Quality, save_quality_model
from mlsp.regression import MLPSettings, SVRSettings
from mlsp.report.folder import PAGE
from mtl.kadis.generate import generate
from mtl.kadis.plan import GenerateConfig
from mtl.network.networks import DEFAULT, NETWORKS
from mtl.network.weights import MODEL_FILE, load_model
from mtl.runtime.files import InputError
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import read_table
from mtl.training.multitask.train import TrainConfig, train


@dataclass(frozen=True)
class RatedFeatures:
    """The features of the data set's images, and the human ratings of their conditions."""

    names: Sequence[str]
    groups: Sequence[str]
    """The photograph of each image; those of one are on one side of a split."""
    conditions: Sequence[tuple[int, int]]
    """Distortion type and level."""
    matrix: Float[np.ndarray, "n f"]
    scores: Float[np.ndarray, " n"]
    """KADID-10k's mean rating of the condition."""


def run_demo(config: DemoConfig, *, progress: bool = True) -> Path:
    """Run the stages that are not done yet; return the report's page.

    Raises:
        InputError: the folder holds something else, or a demonstration with other sizes.
    """
    if config.seed < 0:
        raise InputError(f"--seed {config.seed}: must not be negative")
    claim(config)
    places = Places.below(config.out)
    copy_photographs(places.photographs)
    page = places.report / PAGE
    if page.is_file() and (places.quality / MODEL_FILE).is_file():
        say(f"all is done: {page}", show=progress)
    else:
        page = _run_stages(config, places, progress)
    _conclude(page, places, progress)
    return page


def _run_stages(config: DemoConfig, places: Places, progress: bool) -> Path:
    """Run the seven stages; return the report's page."""
    seconds = Stopwatch(config.out)
    say("a demonstration of every stage on ten photographs, not a benchmark", show=progress)

    say("[1/7] photographs and distorted versions with full-reference scores", show=progress)
    with seconds("generate"):
        _generate(config, places, progress)

    say(f"[2/7] multi-task training of {NETWORKS[DEFAULT].title}", show=progress)
    with seconds("train"):
        trained = _train(config, places, progress)

    say("[3/7] MLSP features", show=progress)
    with seconds("extract"):
        model = load_model(trained)
        found = extract_to(model, DataSet(places.data), places.features, progress=progress)

    say("[4/7] regressors, tested on photographs they never saw", show=progress)
    rated = _rated(found)
    with seconds("benchmark"):
        _benchmark(config, places, rated, progress)

    say("[5/7] a model to predict with", show=progress)
    with seconds("quality model"):
        _quality_model(config, places, rated, model.folder)

    say("[6/7] a ranking by the model that comes with the program", show=progress)
    with seconds("ranking"):
        ranking = ranking_section(places, rated.conditions, rated.scores, progress=progress)

    say("[7/7] report", show=progress)
    return demo_report(places, ranking, seconds.read(), progress=progress)


def _generate(config: DemoConfig, places: Places, progress: bool) -> None:
    recipe = GenerateConfig(
        places.photographs,
        places.data,
        recipe="kadid",
        types=config.types,
        size=config.size,
        shards=10,
        validation=0.2,
        seed=config.seed,
    )
    generate(recipe, progress=progress)


def _train(config: DemoConfig, places: Places, progress: bool) -> Path:
    """Train the network; return the folder of the model."""
    settings = TrainConfig(
        places.data,
        places.run,
        epochs=config.epochs,
        batch_size=config.batch_size,
        crop=config.crop,
        momentum=config.momentum,
        width=config.width,
        seed=config.seed,
    )
    return train(settings, progress=progress).model


def _rated(found: Features) -> RatedFeatures:
    conditions = [(int(each["distortion"]), int(each["level"])) for each in found.columns]
    return RatedFeatures(
        found.names,
        [each["reference"] for each in found.columns],
        conditions,
        np.asarray(found.matrix, np.float32),
        mean_ratings(conditions),
    )


def _benchmark(config: DemoConfig, places: Places, rated: RatedFeatures, progress: bool) -> None:
    if (places.benchmark / SUMMARY_FILE).is_file():
        return
    mlp = MLPSettings(config.mlp_learning_rates, config.mlp_epochs)
    result = benchmark(
        rated.matrix,
        rated.scores,
        rated.groups,
        tasks=[Task(SVRSettings(), config.svr_repetitions), Task(mlp, config.mlp_repetitions)],
        seed=config.seed,
        progress=progress,
    )
    judged = Judged(places.data.name, "random", rated.names, rated.scores, result)
    write_results(places.benchmark, [judged])


def _quality_model(config: DemoConfig, places: Places, rated: RatedFeatures, model: Path) -> None:
    if (places.quality / MODEL_FILE).is_file():
        return
    method = Method("svr", rated.matrix, SVRSettings())
    regressor = fit_for_use(method, rated.scores, rated.groups, seed=config.seed)
    about = "KADID-10k's mean ratings per condition"
    save_quality_model(places.quality, model, Quality.of(regressor, rated.scores, about))


def _conclude(page: Path, places: Places, progress: bool) -> None:
    """Print the results, the page's path, and a command to try next."""
    rows = read_table(places.benchmark / SUMMARY_FILE, ("method",))
    say(f"{'':16}{'SROCC':>8}{'PLCC':>8}   (median; photographs never seen)", show=progress)
    for row in rows:
        say(
            f"MLSP + {row['method'].upper():9}{float(row['srocc_median'] or 'nan'):8.3f}"
            f"{float(row['plcc_median'] or 'nan'):8.3f}   {row['repetitions']} splits",
            show=progress,
        )
    say("This was a demonstration, not a benchmark: ten photographs, minutes of training.",
        show=progress)  # fmt: skip
    say(f"report: {page}", show=progress)
    say(
        f"next: deepfl predict {places.photographs / SHOWN} --model {places.quality}",
        show=progress,
    )
