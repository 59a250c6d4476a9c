"""The two comparisons of DeepFL-IQA, arXiv:2001.08113, section V-C1, on one's own rated pictures.

Learning schemes (table II): the whole network fine-tuned, or a regressor on its MLSP features; from
ImageNet's weights, or from weights that were trained weakly supervised.

Tasks: MLSP features of a network trained to predict all full-reference metrics, and of networks
trained to predict one, otherwise alike.

    OUT/summary.csv repetitions.csv predictions.csv splits/ scatter-*.png   as of a benchmark
    OUT/features/ OUT/finetune/SCHEME/REPETITION/ OUT/runs/METRIC/          what was made on the way
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fr_metrics import METRICS
from mlsp.comparisons.fine_tuning import Pictures, check_splits, read_predictions, write_split
from mlsp.databases import open_database
from mlsp.evaluation.benchmark_config import BenchmarkConfig, check_config
from mlsp.evaluation.benchmark_results import Judged, draw_scatter, write_results
from mlsp.evaluation.benchmark_run import run_benchmark
from mlsp.evaluation.benchmark_splits import Opened, planned_splits
from mlsp.evaluation.benchmarking import Benchmark, Rated, judged_tests, merged
from mlsp.regression import Kind
from mtl.kadis.manifest import read_manifest
from mtl.network.networks import DEFAULT, Body, find_network
from mtl.network.weights import IMAGENET, load_config
from mtl.ratings.rated import Ratings, common_size
from mtl.runtime.files import InputError
from mtl.runtime.pictures import picture_size
from mtl.runtime.progress import say
from mtl.runtime.tables.columns import HigherIs, TableColumns
from mtl.training.multitask.config import read_config
from mtl.training.multitask.train import train
from mtl.training.opinions.finetune import FinetuneConfig, finetune
from mtl.training.starting_weights import starting_folder

IMAGENET_BODY, WEAK_BODY = "imagenet", "weakly supervised"


@dataclass(frozen=True)
class SchemesConfig:
    """The four learning schemes of table II."""

    ratings: Path
    """Database folder or CSV file, as `deepfl benchmark` takes it."""
    run: Path
    """Run of `deepfl train`, or its model folder: the weakly supervised weights."""
    out: Path
    """Folder for results; an unfinished one is continued."""
    imagenet: str = "imagenet"
    """The other weights: imagenet, or a model folder."""
    regressor: Kind = "mlp"
    """On the MLSP features; mlp is the paper's."""
    repetitions: int = 100
    """Random splits for the regressors."""
    finetune_repetitions: int = 1
    """How many of these splits the whole network is trained on, hours each on a GPU."""
    stages: tuple[tuple[float, int], ...] = ((1e-4, 30),)
    """Learning rate and epochs of each stage of fine-tuning."""
    batch_size: int = 64
    """Pictures per step of fine-tuning."""
    size: tuple[int, int] | None = None
    """Height and width to resize to for fine-tuning; needed where pictures differ in size."""
    momentum: float = 0.99
    """Of batch normalisation's running statistics; below 0.99 for runs of under 500 steps."""
    database: str | None = None
    """What RATINGS is, where its files do not tell."""
    columns: tuple[str, ...] = ()
    """Names of a CSV file's columns where they are not the usual ones: image=NAME score=NAME, also
    reference, reference_file, set, std, distortion, level."""
    higher_is: HigherIs | None = None
    """Whether higher scores are better; needed for a column DMOS. If worse, the score is the
    negative of the table's."""
    seed: int = 0
    """Decides splits, initial weights and order."""


@dataclass(frozen=True)
class TasksConfig:
    """Multi-task against single-task training."""

    ratings: Path
    """Database folder or CSV file, as `deepfl benchmark` takes it."""
    run: Path
    """Finished multi-task run of `deepfl train`, whose settings the others get."""
    out: Path
    """Folder for results; an unfinished one is continued."""
    tasks: tuple[str, ...] = ("vsi", "ssim")
    """Metrics to train alone; the paper's are the best and the worst on KADID-10k."""
    regressor: Kind = "mlp"
    """On the MLSP features; mlp is the paper's."""
    repetitions: int = 100
    """Random splits."""
    database: str | None = None
    """What RATINGS is, where its files do not tell."""
    columns: tuple[str, ...] = ()
    """Names of a CSV file's columns where they are not the usual ones: image=NAME score=NAME, also
    reference, reference_file, set, std, distortion, level."""
    higher_is: HigherIs | None = None
    """Whether higher scores are better; needed for a column DMOS. If worse, the score is the
    negative of the table's."""
    seed: int = 0
    """Decides splits, initial weights and order."""


def compare_schemes(
    config: SchemesConfig, *, progress: bool = False, body: Body | None = None
) -> Judged:
    """Train and test by the four schemes, on the same splits.

    Args:
        config: what to compare.
        progress: report on standard error.
        body: makes the convolutional part, in the place of the network's own.

    Raises:
        InputError: ratings, pictures or weights cannot be used.
    """
    if not 0 <= config.finetune_repetitions <= config.repetitions:
        raise InputError("--finetune-repetitions: give 0 (none) to --repetitions")
    inits = {IMAGENET_BODY: config.imagenet, WEAK_BODY: str(config.run)}
    weak = starting_folder(str(config.run))
    # Whose ImageNet weights are meant.
    network = DEFAULT if weak is None else load_config(weak).network
    folders = [starting_folder(config.imagenet, network, option="--imagenet"), weak]
    if folders[0] is None or folders[1] is None:
        raise InputError("--imagenet and --run: give weights that were trained, not `random`")
    theirs = load_config(folders[0]).network
    if theirs != network:
        raise InputError(
            f"--imagenet {config.imagenet}: is of {theirs}, and --run {config.run} of {network};"
            f" give weights of {network} for both, or use `deepfl compare-networks`"
        )
    _check_finetuning(config, find_network(network).smallest_side)
    shallow = _benchmark(config, (folders[0], folders[1]), progress)
    splits, pictures = shallow.splits[: config.finetune_repetitions], Pictures.of(shallow)
    tables = []
    for scheme, init in inits.items() if splits else ():
        predictions = []
        for number, split in enumerate(splits):
            say(f"fine-tuning from {init}, split {number + 1} of {len(splits)}", show=progress)
            folder = config.out / "finetune" / scheme.replace(" ", "-") / f"{number:03d}"
            table = folder / "ratings.csv"
            write_split(table, pictures, split)
            finetune(
                FinetuneConfig(
                    table,
                    init,
                    folder / "run",
                    head="linear",
                    stages=config.stages,
                    size=config.size,
                    batch_size=config.batch_size,
                    momentum=config.momentum,
                    seed=config.seed + number,
                    network=network if init == IMAGENET else None,
                ),
                progress=progress,
                body=body,
            )
            predictions.append(read_predictions(folder / "run", pictures, split))
        rated = Rated(np.asarray(shallow.scores))
        tables.append(judged_tests(f"fine-tune ({scheme})", rated, splits, predictions))
    labels = list(shallow.result.median_tests)
    names = {labels[0]: f"MLSP ({IMAGENET_BODY})", labels[1]: f"MLSP ({WEAK_BODY})"}
    tested = replace(shallow, result=merged([*tables, _renamed(shallow.result, names)]))
    write_results(config.out, [tested])
    draw_scatter(config.out, tested)
    return tested


def _check_finetuning(config: SchemesConfig, smallest_side: int) -> None:
    """Refuse before the features what fine-tuning would refuse after them.

    Raises:
        InputError: a split has too few pictures for it, or the pictures have no common size.
    """
    if not config.finetune_repetitions:
        return
    columns = TableColumns(config.columns, config.higher_is)
    folder = config.ratings.is_dir()
    database = open_database(config.ratings, config.database, check_files=folder, columns=columns)
    remedy = "rate more pictures, or give --finetune-repetitions 0"
    splits = planned_splits(
        Opened(config.ratings, database),
        "random",
        config.finetune_repetitions,
        seed=config.seed,
        ends={},
    )
    check_splits(config.ratings, database, splits, remedy)
    there = tuple(name for name in database.names if _has_size(database.root / name))
    if there:
        table = database.root / config.ratings.name
        ratings = Ratings(table, there, database.scores, None, there, None)
        common_size(ratings, config.size, smallest_side)


def _has_size(path: Path) -> bool:
    """Tell whether a file is a picture; the benchmark leaves the others out."""
    try:
        picture_size(path)
    except InputError:
        return False
    return True


def compare_tasks(
    config: TasksConfig, *, progress: bool = False, body: Body | None = None
) -> Judged:
    """Train a network for each task as the multi-task run was trained, and test all features.

    Raises:
        InputError: ratings, pictures or the run cannot be used.
    """
    trained = read_config(config.run)
    if len(trained.tasks) == 1:
        raise InputError(f"{config.run}: was trained for {trained.tasks[0]} alone; give one of all")
    for task in config.tasks:
        if task not in METRICS:
            raise InputError(f"--tasks {task}: is not one of {' '.join(METRICS)}")
    # Not after hours of training.
    check_config(_benchmark_config(config, [config.run]))
    open_database(
        config.ratings,
        config.database,
        check_files=config.ratings.is_dir(),
        columns=TableColumns(config.columns, config.higher_is),
    )
    folders = [config.run]
    for task in config.tasks:
        say(f"training for {task} alone", show=progress)
        alone = replace(trained, tasks=(task,), out=config.out / "runs" / task)
        folders.append(train(alone, progress=progress, body=body).out)
    tested = _benchmark(config, folders, progress)
    labels = list(tested.result.median_tests)
    number = len(trained.tasks or read_manifest(trained.data)["plan"]["metrics"])
    names = {labels[0]: f"multi-task ({number} metrics)"}
    names |= {label: f"single-task ({METRICS[task].title})"
              for label, task in zip(labels[1:], config.tasks, strict=True)}  # fmt: skip
    tested = replace(tested, result=_renamed(tested.result, names))
    write_results(config.out, [tested])
    draw_scatter(config.out, tested)
    return tested


def _benchmark(
    config: SchemesConfig | TasksConfig, models: Sequence[Path], progress: bool
) -> Judged:
    """The regressor on the MLSP features of each model."""
    (judged,) = run_benchmark(
        _benchmark_config(config, models), progress=progress, offer_splits=False
    )
    return judged


def _benchmark_config(
    config: SchemesConfig | TasksConfig, models: Sequence[Path]
) -> BenchmarkConfig:
    return BenchmarkConfig(
        (config.ratings,),
        config.out,
        tuple(models),
        (config.regressor,),
        repetitions=config.repetitions,
        baselines=False,
        database=config.database,
        columns=config.columns,
        higher_is=config.higher_is,
        seed=config.seed,
    )


def _renamed(result: Benchmark, names: Mapping[str, str]) -> Benchmark:
    """The tables with methods called otherwise."""

    def renamed(rows):
        return [row | {"method": names[row["method"]]} for row in rows]

    return Benchmark(
        renamed(result.repetitions),
        renamed(result.summary),
        renamed(result.distortions),
        renamed(result.cross),
        {names[name]: test for name, test in result.median_tests.items()},
    )
