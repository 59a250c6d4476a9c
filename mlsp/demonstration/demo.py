"""The whole pipeline on ten sample photographs, in minutes on two cores.

Every stage is the real one, called as the other commands call it; only the sizes are small. Each
stage continues where it stopped, so a second run resumes or finds all done.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from distortions import DISTORTIONS
from fr_metrics import METRICS
from mlsp.databases.condition_means import mean_ratings
from mlsp.demonstration.samples import copy_photographs
from mlsp.evaluation.benchmark_results import SUMMARY_FILE, Judged, write_results
from mlsp.evaluation.benchmarking import Method, Task, benchmark, fit_for_use
from mlsp.features.data_sets import DataSet
from mlsp.features.extraction import extract_to
from mlsp.figures.sheets import sheet
from mlsp.prediction.predicting import predict_files
from mlsp.prediction.predictor import Prediction, Predictor
from mlsp.prediction.quality_model import save_quality_model
from mlsp.regression.regressor import MLPSettings, SVRSettings
from mlsp.report.report import PAGE, Remarks, ReportConfig, write_report
from mlsp.report.report_data import beside, read_held
from mlsp.report.web_page import Number, Section, figure, paragraph, table
from mtl.evaluation.correlation import plcc, srocc
from mtl.kadis.generate import generate
from mtl.kadis.plan import GenerateConfig
from mtl.kadis.recipes import LEVELS
from mtl.network.weights import INCLUDED, MODEL_FILE, load_model
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import read_table, table_text
from mtl.training.learning_curves import read_log
from mtl.training.multitask.train import TrainConfig, train

SETTINGS_FILE, TIMES_FILE = "demo.json", "seconds.json"
SHOWN = "chelsea.png"  # on the contact sheet
RANKING, QUALITIES_FILE = "ranking.png", "ranking.csv"


@dataclass(frozen=True)
class DemoConfig:
    """Sizes of the demonstration; the defaults fit two cores and a few minutes."""

    out: Path = Path("deepfl-demo")
    """Folder for everything it makes."""
    types: tuple[str, ...] = (
        "gaussian_blur",
        "color_diffusion",
        "jpeg",
        "white_noise",
        "brighten",
        "pixelate",
        "high_sharpen",
    )
    """Distortions of every photograph, at all levels: one of each group of the paper."""
    size: tuple[int, int] = (192, 256)
    """Height and width of the pristine crops."""
    width: float = 0.25
    """Of the network, as `deepfl train` has it; 1 is the paper's."""
    epochs: int = 3
    """Passes of the multi-task training."""
    crop: tuple[int, int] = (96, 96)
    """Height and width of the training crops."""
    batch_size: int = 8
    """Images per training step."""
    momentum: float = 0.9
    """Of batch normalisation: there are a hundred steps, not a hundred thousand."""
    svr_repetitions: int = 20
    """Random splits for the support vectors."""
    mlp_repetitions: int = 3
    """Random splits for the paper's network."""
    mlp_epochs: int = 10
    """Passes of the paper's network."""
    mlp_learning_rates: tuple[float, ...] = (1e-3, 1e-4)
    """Learning rates it chooses from."""
    seed: int = 0
    """Decides everything random."""


@dataclass(frozen=True)
class Places:
    """Where the parts of a demonstration are."""

    photographs: Path
    data: Path
    run: Path
    features: Path
    benchmark: Path
    quality: Path
    report: Path


def run_demo(config: DemoConfig, *, progress: bool = True) -> Path:
    """Run all stages, or what is missing of them; returns the report's page.

    Raises:
        InputError: the folder holds something else, or a demonstration with other sizes.
    """
    if config.seed < 0:
        raise InputError(f"--seed {config.seed}: must not be negative")
    out = config.out
    _claim(config)
    names = ("photographs", "kadis", "run", "features", "benchmark", "quality", "report")
    places = Places(*(out / name for name in names))
    copy_photographs(places.photographs)
    page = places.report / PAGE
    copy_photographs(places.photographs)
    if page.is_file() and (places.quality / MODEL_FILE).is_file():
        say(f"all is done: {page}", show=progress)
        _conclude(page, places, progress)
        return page
    seconds = _Stopwatch(out / TIMES_FILE)
    say("a demonstration of every stage on ten photographs, not a benchmark", show=progress)

    say("[1/7] photographs and distorted versions with full-reference scores", show=progress)
    with seconds("generate"):
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

    say("[2/7] multi-task training of InceptionResNetV2", show=progress)
    with seconds("train"):
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
        run = train(settings, progress=progress)

    say("[3/7] MLSP features", show=progress)
    with seconds("extract"):
        model = load_model(run.model)
        found = extract_to(model, DataSet(places.data), places.features, progress=progress)

    say("[4/7] regressors, tested on photographs they never saw", show=progress)
    conditions = [(int(c["distortion"]), int(c["level"])) for c in found.columns]
    scores = mean_ratings(conditions)
    groups = [c["reference"] for c in found.columns]
    matrix = np.asarray(found.matrix, np.float32)
    with seconds("benchmark"):
        if not (places.benchmark / SUMMARY_FILE).is_file():
            mlp = MLPSettings(config.mlp_learning_rates, config.mlp_epochs)
            result = benchmark(
                matrix,
                scores,
                groups,
                tasks=[
                    Task(SVRSettings(), config.svr_repetitions),
                    Task(mlp, config.mlp_repetitions),
                ],
                seed=config.seed,
                progress=progress,
            )
            tested = Judged(places.data.name, "random", found.names, scores, result)
            write_results(places.benchmark, [tested])

    say("[5/7] a model to predict with", show=progress)
    with seconds("quality model"):
        if not (places.quality / MODEL_FILE).is_file():
            method = Method("svr", matrix, SVRSettings())
            regressor = fit_for_use(method, scores, groups, seed=config.seed)
            about = "KADID-10k's mean ratings per condition"
            save_quality_model(places.quality, model.folder, regressor, scores, about)

    say("[6/7] a ranking by the model that comes with the program", show=progress)
    with seconds("ranking"):
        ranking = _ranking(config, places, conditions, scores, progress)

    say("[7/7] report", show=progress)
    page = _report(places, ranking, seconds.read(), progress)
    _conclude(page, places, progress)
    return page


def _ranking(
    config: DemoConfig,
    places: Places,
    conditions: Sequence[tuple[int, int]],
    scores: Float[np.ndarray, " n"],
    progress: bool,
) -> Section:
    """What the included model, which never saw the photographs, says of the data set's images."""
    source = DataSet(places.data)
    judged = predict_files(Predictor(INCLUDED), [places.data], progress=progress)
    found = [each for each in judged if isinstance(each, Prediction)]
    quality = np.array([each.quality for each in found])
    references = np.array([columns["reference"] for columns in source.columns])
    rows, within = {}, []
    for reference in dict.fromkeys(references.tolist()):
        images = np.flatnonzero(references == reference)
        within.append(srocc(quality[images], scores[images]))
        worst_first = images[np.argsort(quality[images])]
        shown = worst_first[np.linspace(0, len(images) - 1, len(LEVELS)).round().astype(int)]
        told = ", ".join(
            f"{quality[k]:.1f} ({DISTORTIONS[conditions[k][0]].name.replace('_', ' ')}"
            f" {conditions[k][1]})"
            for k in shown
        )
        rows[f"{reference}: {told}"] = [source.load(int(k)) for k in shown]
    table_of = [{"image": each.image, "quality": each.quality} for each in found]
    write_atomically(config.out / QUALITIES_FILE, table_text(table_of))
    places.report.mkdir(parents=True, exist_ok=True)
    path = places.report / RANKING
    sheet(path, rows, source.size(0))
    return Section(
        "ranking",
        "What the included model says",
        [
            paragraph(
                f"The small model that comes with the program ({INCLUDED}) ranks the distorted"
                " versions of each photograph, from the one it likes least to the one it likes"
                " best. It has never seen these photographs and has no reference; what it says is"
                " meant to be KADID-10k's scale, 1 (very annoying) to 5 (imperceptible). Its SROCC"
                f" with the mean rating of type and level is {srocc(quality, scores):.3f} over all"
                f" {len(quality)} images and {np.median(within):.3f} among those of one photograph"
                " (median)."
            ),
            figure(
                beside(path, "Versions of each photograph in the order of predicted quality"),
                "Five of each photograph's versions, the predicted quality and what was done to"
                " them (type and level).",
            ),
        ],
    )


def _report(places: Places, ranking: Section, seconds: Mapping[str, float], progress: bool) -> Path:
    """The report of the run, with what a reader has to know of a demonstration."""
    held = read_held(places.data)
    human = mean_ratings(zip(held.distortions, held.levels, strict=True))
    judges = []
    for metric, scores in held.scores.items():
        sign = 1 if METRICS[metric].higher_is_better else -1
        correlations = (Number(measure(sign * scores, human)) for measure in (srocc, plcc))
        judges.append((METRICS[metric].title, *correlations))
    photographs, epochs = held.photographs(), len(read_log(places.run))
    with_reference = Section(
        "with-reference",
        "What the metrics achieve with the reference",
        [
            paragraph(
                f"Correlation of each metric with the human rating, over all {held.images} images;"
                " nothing is trained. The methods of the benchmark have no reference. Their"
                " network saw the images of its own training split, without any human rating,"
                " before the regressors were trained. PLCC is of raw scores, without a logistic."
            ),
            table(["metric", "SROCC", "PLCC"], judges),
            paragraph(
                "Seconds of each stage of the last run: "
                + (", ".join(f"{name} {value:.0f}" for name, value in seconds.items()) or "unknown")
                + "."
            ),
        ],
    )
    remarks = Remarks(
        f"From {photographs} photographs to a quality score",
        (
            "This is a demonstration, not a benchmark.",
            f"It runs every stage of DeepFL-IQA for real, but on {photographs} photographs instead"
            f" of 140,000, for {epochs} epoch{'s' * (epochs > 1)} from random weights instead of"
            " ten from ImageNet's, with a narrower network and on small crops. Its human target is"
            " KADID-10k's published mean"
            " rating of each distortion and level, not ratings of these very pictures. The figures"
            " show that the parts work together; they say nothing about how good the method is.",
        ),
        SHOWN,
        (ranking, with_reference),
        "Not shown here: the target is a mean rating of distortion and level, and how far a"
        " prediction is from it says little of the picture. With pictures that people rated,"
        " deepfl benchmark and deepfl report show them.",
    )
    config = ReportConfig(
        places.run,
        (places.benchmark,),
        places.data,
        places.photographs,
        out=places.report,
    )
    return write_report(config, remarks, progress=progress)


def _conclude(page: Path, places: Places, progress: bool) -> None:
    """Print the table, and say what was written and what to run next."""
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


def _claim(config: DemoConfig) -> None:
    path = config.out / SETTINGS_FILE
    ours = json.loads(json.dumps(asdict(config), default=str))
    ours.pop("out")
    if not path.exists():
        if config.out.exists() and (not config.out.is_dir() or any(config.out.iterdir())):
            raise InputError(f"{config.out}: exists and is not a demonstration; choose another")
        write_atomically(path, json.dumps(ours, indent=1))
        return
    try:
        same = json.loads(path.read_text()) == ours
    except ValueError as error:
        raise InputError(f"{path}: is damaged; delete {config.out}") from error
    if not same:
        raise InputError(
            f"{config.out}: holds a demonstration with other settings; choose another --out"
        )


class _Stopwatch:
    """Seconds per stage, kept in a file so that a resumed run's report has them all."""

    def __init__(self, path: Path):
        self._path = path

    def read(self) -> dict[str, float]:
        """Seconds by stage so far."""
        return json.loads(self._path.read_text()) if self._path.is_file() else {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        known = self.read()
        known[stage] = round(known.get(stage, 0.0) + time.monotonic() - began, 1)
        write_atomically(self._path, json.dumps(known))
