"""The settings of a benchmark."""

from dataclasses import dataclass
from pathlib import Path

from mlsp.baselines import BASELINES
from mlsp.evaluation.benchmark_splits import Protocol
from mlsp.features.crops import CROP_SIZE, CropPool, Pool
from mlsp.features.pooling import Kind as FeatureKind
from mlsp.regression import Kind, Loss, MLPSettings
from mtl.network.weights import INCLUDED
from mtl.runtime.files import InputError
from mtl.runtime.tables.columns import HigherIs


@dataclass(frozen=True)
class BenchmarkConfig:
    """Describe what to benchmark on what."""

    ratings: tuple[Path, ...]
    """Folders of LIVE, CSIQ, TID2008, TID2013, KADID-10k, LIVE in the Wild or KonIQ-10k as their
    authors distribute them, or CSV files image,score[,reference]; with several, each trained
    regressor is also tested on all of each other."""
    out: Path
    """Folder for results; an unfinished one is continued."""
    model: tuple[Path, ...] = (Path(INCLUDED),)
    """Model folders, or the training runs that hold them; deepfl-small comes with the program."""
    regressor: tuple[Kind, ...] = ("svr",)
    """svr, svr-linear: support vectors, seconds per split. mlp, mlp-bn (with batch normalisation):
    the paper's network, minutes per split on a CPU. The first is kept for `deepfl predict`."""
    features: FeatureKind = "mlsp"
    """As `deepfl extract` has them."""
    repetitions: int = 100
    """Random splits to train and test on; the paper's 100."""
    protocol: tuple[Protocol, ...] = ("random",)
    """random: 60/20/20 by reference. official: the sets of the database's table, once. opposing:
    KonIQ-10k-LT's, high scores to train and low ones to test."""
    learning_curve: bool = False
    """Also train on a seventh, two sevenths ... of each training part, and draw the test SROCC
    against the number of pictures, with a fitted curve (KonIQ-10k, figure 10)."""
    splits: Path | None = None
    """File of splits from another benchmark's OUT/splits, in the place of random ones."""
    baselines: bool = True
    """Beside the models: conventional methods with support vectors, see --baseline, and the
    full-reference metrics by themselves where there are references."""
    baseline: tuple[str, ...] = ("brisque",)
    """Conventional methods by name; a wrong name lists all. Ignored with --no-baselines."""
    loss: Loss = "mse"
    """Of the networks, see mlsp.regression.settings."""
    balance: bool = False
    """Weight training pictures by how rare their scores are (Proportion Weighted Balancing)."""
    crops: int = 0
    """Random crops to describe each picture by (DeepBIQ); 0 describes the whole picture."""
    crop_size: int = CROP_SIZE
    """Height and width of a crop."""
    pool: CropPool = "avg"
    """Of the crops' features: min, avg, max, concat; none pools the crops' predictions."""
    pool_predictions: Pool = "avg"
    """Of the crops' predictions, with --pool none."""
    epochs: int = MLPSettings.epochs
    """Of the networks."""
    database: str | None = None
    """What RATINGS is, where its files do not tell: a name such as tid2008, or csv."""
    columns: tuple[str, ...] = ()
    """Names of a CSV file's columns where they are not the usual ones: image=NAME score=NAME, also
    reference, reference_file, set, std, distortion, level."""
    higher_is: HigherIs | None = None
    """Whether higher scores are better; needed for a column DMOS. If worse, the score is the
    negative of the table's."""
    seed: int = 0
    """Decides splits, crops, initial weights and order."""


def check_config(config: BenchmarkConfig) -> None:
    """Refuse settings that cannot be, before anything is read.

    Raises:
        InputError: names the option.
    """
    if config.repetitions < 1 or config.epochs < 1:
        raise InputError("--repetitions and --epochs must be at least 1")
    if not config.ratings:
        raise InputError("no ratings given; name database folders or CSV files")
    for option in ("model", "regressor", "protocol"):
        values = getattr(config, option)
        if not values or len(set(values)) < len(values):
            raise InputError(f"--{option}: give at least one, and none of them twice")
    for name in config.baseline:
        if name not in BASELINES:
            raise InputError(
                f"--baseline {name}: is no conventional method; known are {' '.join(BASELINES)}"
            )
    if len(set(config.baseline)) < len(config.baseline):
        raise InputError("--baseline: give none of them twice")
    if config.splits is not None and (config.protocol, len(config.ratings)) != (("random",), 1):
        raise InputError("--splits: is for one database, in the place of its random splits")
    if (config.columns or config.higher_is) and all(path.is_dir() for path in config.ratings):
        raise InputError(
            "--columns and --higher-is: are for CSV files; the columns of databases are known"
        )
    for option in ("crops", "seed"):
        if getattr(config, option) < 0:
            raise InputError(f"--{option} {getattr(config, option)}: must not be negative")
