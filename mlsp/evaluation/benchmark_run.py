"""Benchmarks on rated databases: from folders of pictures to tables, pictures and a model.

OUT/features/DATABASE/MODEL/    of the rated pictures; kept for pictures that have not changed
OUT/baselines/DATABASE/         full-reference scores and conventional methods' features; likewise
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

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count, product

from mlsp.baselines import BASELINES
from mlsp.databases import Database, open_database
from mlsp.evaluation.benchmark_config import BenchmarkConfig, check_config
from mlsp.evaluation.benchmark_methods import CodebookMethod, Method
from mlsp.evaluation.benchmark_pictures import (
    Described,
    baseline_methods,
    describe,
    model_methods,
    rated_pictures,
)
from mlsp.evaluation.benchmark_results import Judged, draw_cross, draw_scatter, write_results
from mlsp.evaluation.benchmark_splits import Opened, planned_splits, usable_splits
from mlsp.evaluation.benchmarking import Rated, compare_methods, fit_for_use, split_for_use
from mlsp.evaluation.learning_curve import (
    FEWEST_SIZES,
    even_sizes,
    learning_curve,
    write_learning_curves,
)
from mlsp.prediction.leaks import UNRECORDED, Planned, check_unseen, remarks_on, seen_by, unrecorded
from mlsp.prediction.quality_model import Quality, save_quality_model
from mtl.evaluation.saved_splits import write_splits
from mtl.evaluation.splits import Split, restricted
from mtl.network.weights import FOLDER, TrainedModel, load_model
from mtl.ratings.rated import AS_PUBLISHED
from mtl.runtime.contents import content_digests
from mtl.runtime.files import InputError
from mtl.runtime.progress import say
from mtl.runtime.tables.columns import TableColumns


def run_benchmark(
    config: BenchmarkConfig, *, progress: bool = False, offer_splits: bool = True
) -> list[Judged]:
    """Describe rated pictures, benchmark the methods, and write a model folder to predict with.

    Args:
        config: what to benchmark.
        progress: report on standard error.
        offer_splits: name the option --splits as a remedy; not every command has it.

    Raises:
        InputError: the databases, the pictures or the models cannot be used.
    """
    check_config(config)
    opened = _opened(config)
    splits = {name: _splits(config, each, progress) for name, each in opened.items()}
    models = _labelled([load_model(folder) for folder in config.model])
    planned = {
        name: Planned(
            each.path,
            each.database,
            splits[name],
            _contents(each.database, progress),
            config.splits is None,
        )
        for name, each in opened.items()
    }
    check_unseen(list(planned.values()), models, offer_splits=offer_splits)
    for label, model in models.items():
        if unrecorded(model.folder):
            say(f"{label}: {UNRECORDED}", show=progress)
    for remark in remarks_on(list(planned.values()), progress=progress):
        say(remark, show=progress)
    described, failures = [], []
    for name, each in opened.items():
        try:
            described.append(describe(config, name, each.database, models, progress=progress))
        except InputError as error:
            if len(opened) == 1:
                raise
            say(f"{error}; the others come first", show=progress)
            failures.append(error)
    tested: list[Judged] = []
    for each, protocol in product(described, config.protocol):
        try:
            judged = _tested(config, each, described, planned[each.name], protocol, progress)
        except InputError as error:
            if len(opened) == len(config.protocol) == 1:
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
        first = described[0]
        _fit_for_use(config, first, planned[first.name], next(iter(models.values())), progress)
    if failures:
        raise failures[0]
    return tested


def _opened(config: BenchmarkConfig) -> dict[str, Opened]:
    """Return the databases by name; a second of the same name gets a number."""
    columns = TableColumns(config.columns, config.higher_is)
    # Of a user's own table, pictures that are missing are left out as others that cannot be used.
    opened = [
        Opened(p, open_database(p, config.database, check_files=p.is_dir(), columns=columns))
        for p in config.ratings
    ]
    return dict(zip(_distinct([each.database.name for each in opened]), opened, strict=True))


def _splits(config: BenchmarkConfig, opened: Opened, progress: bool) -> dict[str, list[Split]]:
    """Return the splits of a database by protocol, before its pictures are looked at."""
    path, database = opened.path, opened.database
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
    each: Described,
    described: Sequence[Described],
    planned: Planned,
    protocol: str,
    progress: bool,
) -> Judged:
    """Train and test all methods on one database by one protocol."""
    others = [other for other in described if other is not each]
    splits = _usable_splits(config, each, planned, protocol, progress)
    say(f"{each.name}, {protocol} split(s), {len(each.rows)} pictures", show=progress)
    methods = [*model_methods(config, each, others), *baseline_methods(config, each, others)]
    rated = rated_pictures(each, others)
    result = compare_methods(
        methods, rated, splits, judges=each.judges, seed=config.seed, progress=progress
    )
    judged = Judged(
        each.name,
        protocol,
        each.names,
        each.scores,
        result,
        each.references,
        splits,
        each.database.root,
    )
    if config.learning_curve:
        _learning_curve(config, judged, methods, rated, progress)
    return judged


def _usable_splits(
    config: BenchmarkConfig, each: Described, planned: Planned, protocol: str, progress: bool
) -> list[Split]:
    """Return the splits of the usable pictures, in their places, and write who is in which part."""
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
    return [restricted(split, each.rows) for split in splits]


def _learning_curve(
    config: BenchmarkConfig,
    judged: Judged,
    methods: Sequence[Method | CodebookMethod],
    rated: Rated,
    progress: bool,
) -> None:
    """Train and test on growing training parts, and draw the curves."""
    name, splits = judged.database, judged.splits
    sizes = even_sizes(splits)
    if len(sizes) < FEWEST_SIZES:
        say(f"{name}: too few of its pictures can be used for a learning curve", show=progress)
        return
    rows = learning_curve(
        methods, rated, judged.references, splits, sizes, seed=config.seed, progress=progress
    )
    folder = config.out / "learning_curves" / f"{name}-{judged.protocol}"
    write_learning_curves(folder, rows, seed=config.seed, progress=progress)


def _fit_for_use(
    config: BenchmarkConfig,
    first: Described,
    planned: Planned,
    model: TrainedModel,
    progress: bool,
) -> None:
    """Fit the first regressor on all references, and save it with the network."""
    say("fitting the regressor for use on all references ...", show=progress)
    method = model_methods(config, first, [])[0]
    regressor = fit_for_use(method, first.scores, first.references, seed=config.seed)
    split = split_for_use(first.references, seed=config.seed)
    seen = seen_by(
        planned, Split(*(first.rows[part] for part in (split.train, split.validation)), split.test)
    )
    save_quality_model(
        config.out / FOLDER,
        model.folder,
        Quality.of(regressor, first.scores, planned.path.name, config.features),
        [seen],
    )


def _labelled(models: Sequence[TrainedModel]) -> Mapping[str, TrainedModel]:
    """Return models by what their users call them: the run's folder, or the model folder's name.

    The names of conventional methods are taken: a method is told by what precedes
    its regressor in the tables.
    """
    folders = [model.folder.resolve() for model in models]
    labels = [f.parent.name if f.name == FOLDER else f.name for f in folders]
    return dict(zip(_distinct(labels, taken=BASELINES), models, strict=True))


def _distinct(names: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """Return the names, made different from each other and from those taken by numbers."""
    found = list(taken)
    first = len(found)
    for name in names:
        numbered = (f"{name}-{k}" for k in count(2))
        found.append(next(each for each in chain([name], numbered) if each not in found))
    return found[first:]
