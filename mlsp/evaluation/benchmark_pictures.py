"""The pictures of a benchmark as every method describes them, and the methods that result.

A picture that one method cannot use is left out for all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from mlsp.baselines import BASELINES
from mlsp.baselines.codebooks import LocalDescriptors
from mlsp.baselines.feature_tables import baseline_features, descriptor_counts
from mlsp.baselines.full_reference import full_reference_scores
from mlsp.databases import Database
from mlsp.evaluation.benchmark_config import BenchmarkConfig
from mlsp.evaluation.benchmark_methods import CodebookMethod, Method
from mlsp.evaluation.benchmarking import Rated
from mlsp.features.crops import Crops
from mlsp.features.extraction import extract_to
from mlsp.features.store import Features
from mlsp.regression import MLPSettings, SVRSettings, Weighting, settings_of
from mtl.network.weights import TrainedModel
from mtl.runtime.files import InputError
from mtl.runtime.progress import say
from mtl.training.opinions.balancing import proportion_weights


@dataclass(frozen=True)
class Described:
    """Hold a database's usable pictures and all that is known of them."""

    name: str
    database: Database
    rows: Int[np.ndarray, " u"]
    """Of the database: the pictures that every method can use."""
    matrices: Mapping[str, np.ndarray]
    """Features by model, of the usable pictures; `crops` rows each with --pool none."""
    baselines: Mapping[str, Float[np.ndarray, "u f"]]
    """Features by conventional method without a codebook, of the usable pictures."""
    codebooks: Mapping[str, LocalDescriptors]
    """What codebooks are learned from, by conventional method, of the usable pictures."""
    judges: Mapping[str, Float[np.ndarray, " u"]]
    """Full-reference scores of the usable pictures, by metric."""

    @property
    def names(self) -> list[str]:
        """Names of the usable pictures."""
        return [self.database.names[row] for row in self.rows]

    @property
    def references(self) -> list[str]:
        """References of the usable pictures."""
        return [self.database.references[row] for row in self.rows]

    @property
    def scores(self) -> Float[np.ndarray, " u"]:
        """Scores of the usable pictures."""
        return self.database.scores[self.rows]


def describe(
    config: BenchmarkConfig,
    name: str,
    database: Database,
    models: Mapping[str, TrainedModel],
    *,
    progress: bool = False,
) -> Described:
    """Describe all pictures of a database by all methods.

    Args:
        config: of the benchmark.
        name: of the database in this benchmark.
        database: the rated pictures.
        models: by label.
        progress: report on standard error.

    Raises:
        InputError: no picture can be used by all methods, or a folder holds features of others.
    """
    chosen = config.baseline if config.baselines else ()
    folder = config.out / "baselines" / name
    found = _of_models(config, name, database, models, progress)
    baselines, usable = _of_baselines(chosen, database, folder, progress)
    judges = _judges(name, database, folder, progress) if config.baselines else {}
    for features in found.values():
        described = set(features.names)
        usable &= np.array([picture in described for picture in database.names], bool)
    for values in judges.values():
        usable &= np.isfinite(values)
    rows = np.flatnonzero(usable)
    if not len(rows):
        raise InputError(
            f"{name}: none of the {len(database)} pictures can be used by all methods, see above"
        )
    if len(rows) < len(database):
        say(
            f"{name}: {len(rows)} of {len(database)} pictures can be used by all methods",
            show=progress,
        )
    kept = {database.names[row] for row in rows}
    return Described(
        name,
        database,
        rows,
        {
            label: np.asarray(each.matrix)[[k for k, n in enumerate(each.names) if n in kept]]
            for label, each in found.items()
        },
        {baseline: values[rows] for baseline, values in baselines.items()},
        {
            baseline: LocalDescriptors(baseline, database.source(), rows)
            for baseline in chosen
            if baseline not in baselines
        },
        {metric: values[rows] for metric, values in judges.items()},
    )


def model_methods(
    config: BenchmarkConfig, each: Described, others: Sequence[Described]
) -> list[Method]:
    """Return every regressor on every model's features.

    Args:
        config: of the benchmark.
        each: the database to train and test on.
        others: databases to be tested on as a whole.
    """
    crops = config.crops if config.crops and config.pool == "none" else 1
    methods = []
    for label, matrix in each.matrices.items():
        for kind in config.regressor:
            settings = settings_of(kind)
            if isinstance(settings, MLPSettings):
                settings = replace(settings, loss=config.loss, epochs=config.epochs)
            methods.append(
                Method(
                    f"{label} {kind}",
                    _flat(matrix),
                    settings,
                    {other.name: _flat(other.matrices[label]) for other in others},
                    _weighting(config),
                    crops,
                    config.pool_predictions,
                )
            )
    return methods


def baseline_methods(
    config: BenchmarkConfig, each: Described, others: Sequence[Described]
) -> list[Method | CodebookMethod]:
    """Return support vectors on every conventional method's features.

    DeepFL-IQA, arXiv:2001.08113, section V: support vectors with an RBF kernel for all of them.
    The arguments are those of `model_methods`.
    """
    settings, weighting = SVRSettings(), _weighting(config)
    methods: list[Method | CodebookMethod] = []
    for name in config.baseline:
        method = f"{name} {settings.kind}"
        if name in each.baselines:
            matrices = {other.name: other.baselines[name] for other in others}
            methods.append(Method(method, each.baselines[name], settings, matrices, weighting))
        elif name in each.codebooks:
            pictures = {other.name: other.codebooks[name] for other in others}
            methods.append(
                CodebookMethod(method, each.codebooks[name], settings, pictures, weighting)
            )
    return methods


def rated_pictures(each: Described, others: Sequence[Described]) -> Rated:
    """Return what is known of a database's usable pictures, and the scores of other databases."""
    database = each.database
    types = [database.distortions[row] or "" for row in each.rows]
    deviations = database.deviations
    return Rated(
        each.scores,
        types if len(set(types)) > 1 else None,
        None if deviations is None else deviations[each.rows],
        {other.name: other.scores for other in others},
    )


def _of_models(
    config: BenchmarkConfig,
    name: str,
    database: Database,
    models: Mapping[str, TrainedModel],
    progress: bool,
) -> dict[str, Features]:
    """Return the features of every model by its label."""
    source, crops = database.source(), None
    if config.crops:
        crops = Crops(config.crops, config.crop_size, config.pool, config.seed)
    folder = config.out / "features" / name
    found: dict[str, Features] = {}
    for label, model in models.items():
        say(f"{name}: features of {label}", show=progress)
        found[label] = extract_to(
            model, source, folder / label, kind=config.features, crops=crops, progress=progress
        )
        for picture, reason in found[label].skipped.items():
            say(f"left out: {picture}: {reason}", show=progress)
    return found


def _of_baselines(
    names: Sequence[str], database: Database, folder: Path, progress: bool
) -> tuple[dict[str, Float[np.ndarray, "n f"]], Bool[np.ndarray, " n"]]:
    """Return the features by methods without a codebook, and which pictures all can describe."""
    source = database.source()
    usable = np.ones(len(database), bool)
    found = {}
    for name in names:
        if BASELINES[name].fit is None:
            found[name] = baseline_features(name, source, folder, progress=progress)
            usable &= np.isfinite(found[name]).all(axis=1)
        else:
            usable &= np.isfinite(descriptor_counts(name, source, folder, progress=progress))
    return found, usable


def _judges(
    name: str, database: Database, folder: Path, progress: bool
) -> Mapping[str, Float[np.ndarray, " n"]]:
    """Return the full-reference scores by metric; none where no picture has all of them."""
    if not any(database.reference_files):
        return {}
    judges = full_reference_scores(database, folder, progress=progress)
    if np.isfinite(np.stack(list(judges.values()))).all(axis=0).any():
        return judges
    say(f"{name}: full-reference metrics cannot be used, see above", show=progress)
    return {}


def _weighting(config: BenchmarkConfig) -> Weighting | None:
    return proportion_weights if config.balance else None


def _flat(matrix: np.ndarray) -> np.ndarray:
    return matrix.reshape(len(matrix), -1)
