"""Benchmarks on rated databases: from folders of pictures to tables, pictures and a model.

OUT/features/DATABASE/MODEL/    of the rated pictures; kept for pictures that have not changed
OUT/baselines/DATABASE/         full-reference scores and BRISQUE's features; likewise
OUT/splits/DATABASE-PROTOCOL.json  who trains, validates and tests, with a hash; see --splits
OUT/repetitions.csv   one row per database, protocol, method and repetition
OUT/summary.csv       medians and quartiles
OUT/distortions.csv   SROCC within each distortion type, where types are known
OUT/cross.csv         trained on one database, tested on all of each other
OUT/predictions.csv   test predictions of each method's median repetition
OUT/benchmark.json    folders that the pictures' names are relative to, by database
OUT/scatter-DATABASE-PROTOCOL.png  the same, drawn
OUT/cross.png         the cross-database matrix, drawn
OUT/learning_curves/  test SROCC against training-set size, with --learning-curve
OUT/model/            network and regressor, what `deepfl predict` takes

Protocols: random, 60/20/20 by reference (DeepFL-IQA, section V-B); official, the sets of the
database's table; opposing, KonIQ-10k-LT's (mlsp.evaluation.imbalance), beside which the gap to the
first other protocol is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from mlsp.baselines.database_tables import brisque_features, full_reference_scores
from mlsp.databases import Database, open_database
from mlsp.evaluation.benchmark_config import BenchmarkConfig, check_config
from mlsp.evaluation.benchmark_results import (
    BRISQUE,
    Judged,
    draw_cross,
    draw_scatter,
    write_results,
)
from mlsp.evaluation.benchmark_splits import Opened, planned_splits, restricted, usable_splits
from mlsp.evaluation.benchmarking import Method, Rated, compare_methods, fit_for_use, split_for_use
from mlsp.evaluation.learning_curve import (
    FEWEST_SIZES,
    even_sizes,
    learning_curve,
    write_learning_curves,
)
from mlsp.features.crops import Crops
from mlsp.features.extraction import extract_to
from mlsp.features.store import Features
from mlsp.prediction.leaks import UNRECORDED, Planned, check_unseen, remarks_on, seen_by, unrecorded
from mlsp.prediction.quality_model import Quality, save_quality_model
from mlsp.regression import MLPSettings, SVRSettings, Weighting, settings_of
from mtl.evaluation.saved_splits import write_splits
from mtl.evaluation.splits import Split
from mtl.network.weights import FOLDER, TrainedModel, load_model
from mtl.ratings.rated import AS_PUBLISHED
from mtl.runtime.contents import content_digests
from mtl.runtime.files import InputError
from mtl.runtime.progress import say
from mtl.runtime.tables.columns import TableColumns
from mtl.training.opinions.balancing import proportion_weights


@dataclass(frozen=True)
class _Described:
    """A database's usable pictures and all that is known of them."""

    name: str
    database: Database
    rows: np.ndarray
    """Of the database: the pictures that every method can use."""
    matrices: Mapping[str, np.ndarray]
    """Features by model, of the usable pictures; `crops` rows each with --pool none."""
    brisque: np.ndarray | None
    judges: Mapping[str, np.ndarray]

    @property
    def names(self) -> list[str]:
        return [self.database.names[row] for row in self.rows]

    @property
    def references(self) -> list[str]:
        return [self.database.references[row] for row in self.rows]

    @property
    def scores(self) -> np.ndarray:
        return self.database.scores[self.rows]


def run_benchmark(
    config: BenchmarkConfig, *, progress: bool = False, offer_splits: bool = True
) -> list[Judged]:
    """Features of the rated pictures, the benchmark, and a model folder to predict with.

    Args:
        config: what to benchmark.
        progress: report on standard error.
        offer_splits: name the option --splits as a remedy; not every command has it.

    Raises:
        InputError: the databases, the pictures or the models cannot be used.
    """
    check_config(config)
    # Of a user's own table, pictures that are missing are left out as others that cannot be used.
    columns = TableColumns(config.columns, config.higher_is)
    opened = [
        open_database(p, config.database, check_files=p.is_dir(), columns=columns)
        for p in config.ratings
    ]
    databases = _named(opened)
    splits = {
        name: _splits(config, path, database, progress)
        for path, (name, database) in zip(config.ratings, databases.items(), strict=True)
    }
    models = _labelled([load_model(folder) for folder in config.model])
    planned = {
        name: Planned(
            path,
            databases[name],
            splits[name],
            _contents(databases[name], progress),
            config.splits is None,
        )
        for path, name in zip(config.ratings, databases, strict=True)
    }
    check_unseen(list(planned.values()), models, offer_splits=offer_splits)
    for label, model in models.items():
        if unrecorded(model.folder):
            say(f"{label}: {UNRECORDED}", show=progress)
    for remark in remarks_on(list(planned.values()), progress=progress):
        say(remark, show=progress)
    described, failures = [], []
    for name, database in databases.items():
        try:
            described.append(_describe(config, name, database, models, progress))
        except InputError as error:
            if len(databases) == 1:
                raise
            say(f"{error}; the others come first", show=progress)
            failures.append(error)
    tested: list[Judged] = []
    for each, protocol in product(described, config.protocol):
        try:
            judged = _tested(config, each, described, protocol, planned[each.name], progress)
        except InputError as error:
            if len(databases) == len(config.protocol) == 1:
                raise
            say(f"{error}; the others come first", show=progress)
            failures.append(error)
            continue
        tested.append(judged)
        # A failure of the next one must not cost this one's hours.
        write_results(config.out, tested)
        draw_scatter(config.out, judged)
    draw_cross(config.out, tested)
    if tested and not config.crops:
        _fit_for_use(config, described[0], planned[described[0].name], models, progress)
    if failures:
        raise failures[0]
    return tested


def _splits(
    config: BenchmarkConfig, path: Path, database: Database, progress: bool
) -> dict[str, list[Split]]:
    """Return the splits of a database by protocol, before its pictures are looked at."""
    opened = Opened(path, database)
    splits = {
        protocol: planned_splits(
            opened,
            protocol,
            config.repetitions,
            seed=config.seed,
            ends=_range(opened),
            saved=config.splits,
            progress=progress,
        )
        for protocol in config.protocol
    }
    if config.learning_curve:
        for protocol, each in splits.items():
            if len(even_sizes(each)) < FEWEST_SIZES:
                raise InputError(
                    f"{path}: --learning-curve: the smallest training part of the {protocol} splits"
                    f" has {min(len(one.train) for one in each)} pictures, too few for a curve;"
                    " leave it out"
                )
    if database.transformation != AS_PUBLISHED:
        say(f"{path}: scores are {database.transformation}", show=progress)
    if database.no_deviations:
        say(
            f"{path}: shares within 1, 2, 3 sigma are left out: {database.no_deviations}",
            show=progress,
        )
    return splits


def _contents(database: Database, progress: bool) -> list[str]:
    return content_digests([database.root / name for name in database.names], progress=progress)


def _range(each: Opened) -> dict[str, float]:
    """Return the ends of the scale that the opposing split cuts into bins."""
    return {"lowest": each.database.lowest, "highest": each.database.highest}


def _tested(
    config: BenchmarkConfig,
    each: _Described,
    described: Sequence[_Described],
    protocol: str,
    planned: Planned,
    progress: bool,
) -> Judged:
    """Train and test all methods on one database by one protocol."""
    others = [other for other in described if other is not each]
    path = config.out / "splits" / f"{each.name}-{protocol}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    database = planned.database
    splits = usable_splits(
        Opened(planned.path, database),
        planned.splits[protocol],
        each.rows,
        seed=config.seed,
        drawn=protocol == "random" and config.splits is None,
        progress=progress,
    )
    digest = write_splits(path, splits, database.names, database.references, database=each.name)
    say(f"{path}: {digest[:12]}", show=progress)
    splits = restricted(splits, each.rows)
    say(f"{each.name}, {protocol} split(s), {len(each.rows)} pictures", show=progress)
    methods, rated = _methods(config, each, others), _rated(each, others)
    result = compare_methods(
        methods, rated, splits, judges=each.judges, seed=config.seed, progress=progress
    )
    if config.learning_curve and len(even_sizes(splits)) < FEWEST_SIZES:
        say(f"{each.name}: too few of its pictures can be used for a learning curve", show=progress)
    elif config.learning_curve:
        rows = learning_curve(
            methods,
            rated,
            each.references,
            splits,
            even_sizes(splits),
            seed=config.seed,
            progress=progress,
        )
        write_learning_curves(
            config.out / "learning_curves" / f"{each.name}-{protocol}",
            rows,
            seed=config.seed,
            progress=progress,
        )
    return Judged(
        each.name,
        protocol,
        each.names,
        each.scores,
        result,
        each.references,
        splits,
        each.database.root,
    )


def _fit_for_use(
    config: BenchmarkConfig,
    first: _Described,
    planned: Planned,
    models: Mapping[str, TrainedModel],
    progress: bool,
) -> None:
    """Fit the first regressor on all references, and save it with the network."""
    say("fitting the regressor for use on all references ...", show=progress)
    method = _methods(config, first, [])[0]
    regressor = fit_for_use(method, first.scores, first.references, seed=config.seed)
    split = split_for_use(first.references, seed=config.seed)
    seen = seen_by(
        planned, Split(*(first.rows[part] for part in (split.train, split.validation)), split.test)
    )
    save_quality_model(
        config.out / FOLDER,
        next(iter(models.values())).folder,
        Quality.of(regressor, first.scores, planned.path.name, config.features),
        [seen],
    )


def _named(databases: Sequence[Database]) -> dict[str, Database]:
    """Databases by name; a second of the same name gets a number."""
    return dict(zip(_distinct([d.name for d in databases]), databases, strict=True))


def _labelled(models: Sequence[TrainedModel]) -> dict[str, TrainedModel]:
    """Models by what their users call them: the run's folder, or the model folder's own name."""
    folders = [model.folder.resolve() for model in models]
    labels = [f.parent.name if f.name == FOLDER else f.name for f in folders]
    return dict(zip(_distinct(labels), models, strict=True))


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, made different by numbers."""
    found: list[str] = []
    for name in names:
        free = [name, *(f"{name}-{k}" for k in range(2, len(names) + 2))]
        found.append(next(each for each in free if each not in found))
    return found


def _describe(
    config: BenchmarkConfig,
    name: str,
    database: Database,
    models: Mapping[str, TrainedModel],
    progress: bool,
) -> _Described:
    """Features and scores of all usable pictures of a database."""
    source = database.source()
    crops = None
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
    usable = set(database.names)
    for features in found.values():
        usable &= set(features.names)
    brisque, judges = None, {}
    if config.baselines:
        baselines = config.out / "baselines" / name
        brisque = brisque_features(source, baselines, progress=progress)
        usable = _with(usable, database, np.all(np.isfinite(brisque), axis=1))
        if any(database.reference_files):
            judges = full_reference_scores(database, baselines, progress=progress)
            scored = np.all(np.isfinite(np.stack(list(judges.values()))), axis=0)
            if not scored.any():
                say(f"{name}: full-reference metrics cannot be used, see above", show=progress)
                judges = {}
            else:
                usable = _with(usable, database, scored)
    rows = np.array([k for k, n in enumerate(database.names) if n in usable], int)
    if not len(rows):
        raise InputError(
            f"{name}: none of the {len(database)} pictures can be used by all methods, see above"
        )
    if len(rows) < len(database):
        say(
            f"{name}: {len(rows)} of {len(database)} pictures can be used by all methods",
            show=progress,
        )
    return _Described(
        name,
        database,
        rows,
        {
            label: np.asarray(each.matrix)[[k for k, n in enumerate(each.names) if n in usable]]
            for label, each in found.items()
        },
        None if brisque is None else brisque[rows],
        {metric: values[rows] for metric, values in judges.items()},
    )


def _with(usable: set[str], database: Database, well: np.ndarray) -> set[str]:
    """Those of the usable pictures for which a baseline is known."""
    return usable & {name for name, known in zip(database.names, well, strict=True) if known}


def _methods(
    config: BenchmarkConfig, each: _Described, others: Sequence[_Described]
) -> list[Method]:
    """Every regressor on every model's features, then BRISQUE."""
    weighting: Weighting | None = proportion_weights if config.balance else None
    crops = config.crops if config.crops and config.pool == "none" else 1
    methods = []
    for label in each.matrices:
        for kind in config.regressor:
            settings = settings_of(kind)
            if isinstance(settings, MLPSettings):
                settings = MLPSettings(
                    batch_norm=settings.batch_norm, loss=config.loss, epochs=config.epochs
                )
            methods.append(
                Method(
                    f"{label} {kind}",
                    _flat(each.matrices[label]),
                    settings,
                    {other.name: _flat(other.matrices[label]) for other in others},
                    weighting,
                    crops,
                    config.pool_predictions,
                )
            )
    if each.brisque is not None:
        beyond = {other.name: other.brisque for other in others if other.brisque is not None}
        methods.append(Method(f"{BRISQUE} svr", each.brisque, SVRSettings(), beyond, weighting))
    return methods


def _flat(matrix: np.ndarray) -> np.ndarray:
    return matrix.reshape(len(matrix), -1)


def _rated(each: _Described, others: Sequence[_Described]) -> Rated:
    database = each.database
    types = [database.distortions[row] or "" for row in each.rows]
    deviations = database.deviations
    return Rated(
        each.scores,
        types if len(set(types)) > 1 else None,
        None if deviations is None else deviations[each.rows],
        {other.name: other.scores for other in others},
    )
