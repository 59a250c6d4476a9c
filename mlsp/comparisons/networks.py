"""Networks fine-tuned alike: KonIQ-10k, doi:10.1109/TIP.2020.2967829, table 2, figures 8 and 9.

Every network gets the same head, starts from weights of the same kind, and is trained on the same
splits with the same schedule; the epoch with the best PLCC on the validation part is tested.

    OUT/networks.csv networks.png         a row and a point per network
    OUT/summary.csv repetitions.csv predictions.csv splits/ scatter-*.png    as of a benchmark
    OUT/comparison.json                   what all of it was made from
    OUT/prediction_times.csv              measured once per network
    OUT/finetune/REPETITION/ratings.csv   the split, for all networks
    OUT/finetune/REPETITION/NETWORK/      the run, as `deepfl finetune` leaves it
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlsp.comparisons.fine_tuning import Pictures, check_splits, read_predictions, write_split
from mlsp.comparisons.networks_config import (
    NetworksConfig,
    check_pictures,
    check_settings,
    finetuning,
    starting_weights,
)
from mlsp.comparisons.networks_table import draw_networks, network_row, write_networks
from mlsp.comparisons.prediction_times import prediction_time
from mlsp.databases import Database, open_database
from mlsp.evaluation.benchmark_results import Judged, draw_scatter, write_results
from mlsp.evaluation.benchmark_splits import Opened, planned_splits
from mlsp.evaluation.benchmarking import Benchmark, Rated, Row, judged_tests, merged
from mtl.evaluation.saved_splits import write_splits
from mtl.evaluation.seen import read_seen
from mtl.evaluation.splits import Split
from mtl.network.networks import find_network
from mtl.network.weights import FOLDER, WEIGHTS_FILE
from mtl.ratings.distributions import expected_score
from mtl.runtime.claims import Identity, claim, made_with
from mtl.runtime.contents import digest_of
from mtl.runtime.files import InputError, file_digest, write_atomically
from mtl.runtime.progress import say
from mtl.runtime.tables.columns import TableColumns
from mtl.training.opinions.finetune import check_finetuning, finetune
from mtl.training.opinions.losses import LOSSES
from mtl.training.run_folder import CONFIG_FILE
from mtl.training.settings import as_json
from mtl.training.starting_weights import starting_folder

IDENTITY_FILE, FINETUNE, STARTS = "comparison.json", "finetune", "starts"

# Settings that decide the numbers of a network that is trained in any comparison.
DECIDING = (
    *("protocol", "loss", "head", "stages", "size", "batch_size", "accumulate"),
    *("dtype", "remat", "momentum", "seed"),
)


@dataclass(frozen=True)
class Compared:
    """The networks, tested on the same splits."""

    judged: Judged
    """A method per network, as a benchmark has it."""
    rows: list[Row]
    """Of networks.csv, see `mlsp.comparisons.networks_table.network_row`."""


@dataclass(frozen=True)
class _Plan:
    """A comparison that may begin."""

    config: NetworksConfig
    starts: Mapping[str, str]
    database: Database
    size: tuple[int, int]
    """Height and width that every network is trained at."""
    pictures: Pictures
    splits: Sequence[Split]

    def folder(self, number: int) -> Path:
        """Return the folder of a repetition."""
        return self.config.out / FINETUNE / f"{number:03d}"


def compare_networks(config: NetworksConfig, *, progress: bool = False) -> Compared:
    """Fine-tune and test networks on the same splits, or continue; write tables and figures.

    Args:
        config: which networks on what.
        progress: report on standard error.

    Raises:
        InputError: networks, weights, ratings, pictures or settings cannot be used, or `out` holds
            another comparison; said before anything is trained.
        FloatingPointError: the loss of a network is not finite.
        KeyboardInterrupt: the run was asked to stop, and has saved the current step.
    """
    check_settings(config)
    starts = starting_weights(config)
    plan = _planned(config, starts, progress)
    _claim(plan)
    _check_runs(plan, progress)
    path = config.out / "splits" / f"{plan.database.name}-{config.protocol}.json"
    path.parent.mkdir(exist_ok=True)
    names, references = plan.database.names, plan.database.references
    digest = write_splits(path, plan.splits, names, references, database=plan.database.name)
    say(f"{path}: {digest[:12]}", show=progress)
    tables: list[Benchmark] = []
    rows: list[Row] = []
    judged = Judged(
        plan.database.name,
        config.protocol,
        names,
        plan.pictures.scores,
        merged([]),
        references,
        plan.splits,
        plan.database.root,
    )
    for place, network in enumerate(config.network, start=1):
        say(f"network {place} of {len(config.network)}: {network}", show=progress)
        table, row = _tested(plan, network, progress)
        tables.append(table)
        rows.append(row)
        # A failure of the next one must not cost this one's hours.
        judged = replace(judged, result=merged(tables))
        write_results(config.out, [judged])
        write_networks(config.out, rows)
    draw_scatter(config.out, judged)
    draw_networks(config.out, rows)
    return Compared(judged, rows)


def _planned(config: NetworksConfig, starts: Mapping[str, str], progress: bool) -> _Plan:
    """Read the ratings, and refuse what training would refuse hours later."""
    folder = config.ratings.is_dir()
    columns = TableColumns(config.columns, config.higher_is)
    database = open_database(config.ratings, config.database, check_files=folder, columns=columns)
    distributed = LOSSES[config.loss].distributed
    shares = database.distributions if distributed else None
    if shares is not None:
        database = replace(database, scores=np.asarray(expected_score(shares)))
    elif distributed:
        raise InputError(
            f"--loss {config.loss}: learns the distribution of the ratings, and {config.ratings}"
            " has no counts; use --loss mse"
        )
    size = check_pictures(config, database)
    splits = planned_splits(
        Opened(config.ratings, database),
        config.protocol,
        config.repetitions,
        seed=config.seed,
        ends={},
        progress=progress,
    )
    check_splits(config.ratings, database, splits, "rate more pictures")
    pictures = Pictures(database.root, database.names, database.scores, database.references, shares)
    return _Plan(config, starts, database, size, pictures, splits)


def _claim(plan: _Plan) -> None:
    """Give the folder its identity, or make sure that it holds this comparison.

    Networks and repetitions may be added.
    """
    out, data = plan.config.out, plan.database
    settings = {name: value for name, value in as_json(plan.config).items() if name in DECIDING}
    starts = {
        name: [init, "" if folder is None else file_digest(folder / WEIGHTS_FILE)]
        for name, init in plan.starts.items()
        for folder in [starting_folder(init, name)]
    }
    rated = digest_of(data.names, data.scores.tolist(), data.references, data.sets)
    # The digest comes last: another loss may mean other scores, and is what has changed then.
    value = {"database": data.name, **settings, "rated_sha256": rated, STARTS: starts}

    def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
        before = theirs[STARTS]
        for name, start in ours[STARTS].items():
            if before.get(name, start) != start:
                changed = "other weights of that name" if before[name][0] == start[0] else start[0]
                return f"was made with {name} from {before[name][0]}, not {changed}"
        return made_with(theirs, {n: v for n, v in ours.items() if n != STARTS})

    identity = Identity(
        file=IDENTITY_FILE,
        kind="a comparison of networks",
        value=value,
        difference=difference,
        begun=lambda: any(out.glob(f"{FINETUNE}/*/*/{CONFIG_FILE}")),
    )
    there = claim(out, identity)
    if there is not None:
        merged_starts = {**json.loads(there)[STARTS], **starts}
        write_atomically(out / IDENTITY_FILE, json.dumps(value | {STARTS: merged_starts}, indent=1))


def _check_runs(plan: _Plan, progress: bool) -> None:
    """Refuse what a fine-tuning would refuse, before the first one.

    Splits differ in the size of the training part, and in which pictures of those that initial
    weights have seen they test on; the rest is the same for all.
    """
    fewest = min(range(len(plan.splits)), key=lambda k: len(plan.splits[k].train))
    for number, split in enumerate(plan.splits):
        write_split(plan.folder(number) / "ratings.csv", plan.pictures, split)
    for network in plan.config.network:
        start = starting_folder(plan.starts[network], network)
        seen = start is not None and bool(read_seen(start))
        for number in range(len(plan.splits)) if seen else (fewest,):
            run = finetuning(plan.config, plan.starts, network, plan.folder(number))
            check_finetuning(run, progress=progress)


def _tested(plan: _Plan, network: str, progress: bool) -> tuple[Benchmark, Row]:
    """Fine-tune a network on every split; return its tables and its row."""
    predictions, trained = [], []
    for number, split in enumerate(plan.splits):
        say(
            f"{network} from {plan.starts[network]}, split {number + 1} of {len(plan.splits)}",
            show=progress,
        )
        run = finetuning(plan.config, plan.starts, network, plan.folder(number))
        done = finetune(run, progress=progress)
        predictions.append(read_predictions(run.out, plan.pictures, split))
        batches = len(split.train) // run.batch_size
        times = training_times(done.log, batches * run.batch_size)
        trained.append({"best_epoch": done.test["epoch"], **times})
    model = plan.folder(0) / network / FOLDER
    time = prediction_time(plan.config.out, network, model, plan.size, progress=progress)
    rated = Rated(np.asarray(plan.pictures.scores))
    table = judged_tests(find_network(network).title, rated, plan.splits, predictions)
    for row, times in zip(table.repetitions, trained, strict=True):
        row |= times
    medians = {name: float(np.median([each[name] for each in trained])) for name in trained[0]}
    row = network_row(network, plan.starts[network], model, table.summary[0], medians)
    return table, row | time


def training_times(log: Sequence[Mapping[str, float]], pictures: int) -> dict[str, float]:
    """Return the seconds of an epoch's training steps, the median, and of all.

    The log keeps the speed of every epoch, so that the times of a continued run are those of its
    steps, whenever they were taken. Compiling and validation are not in them.

    Args:
        log: rows of a run's log.csv.
        pictures: that an epoch trains on.

    Returns:
        epoch_seconds and training_seconds. An epoch whose steps were done when the run was
        killed, and whose row was written by the next call, has no speed and counts as the median;
        without any speed both are NaN.
    """
    speeds = np.array([row["images_per_second"] for row in log])
    seconds = pictures / speeds[speeds > 0]
    median = float(np.median(seconds)) if len(seconds) else float("nan")
    total = float(seconds.sum()) + median * (len(speeds) - len(seconds))
    return {"epoch_seconds": median, "training_seconds": total}
