"""End-to-end training on human scores: KonCept512, and two schemes of DeepFL-IQA's table II.

KonIQ-10k, doi:10.1109/TIP.2020.2967829, sections 5 and 6.1 (KonCept512): the whole network with a
head of FC 2048, 1024 and 256 (mtl.network.model), its five losses and others
(mtl.training.opinions.losses), Adam (beta1 0.9, beta2 0.999) at 1e-4 for 40 epochs, 5e-5
for 20 and 1e-5 for 10; each stage starts from the weights with the best PLCC on the validation part
so far, and those are tested at the end.

DeepFL-IQA, arXiv:2001.08113, section V-D1, schemes of table II, by what `init` is: (1) a body
trained on ImageNet; (2) a body trained weakly supervised, by `mtl.training.multitask.train`. There
the head is one linear layer (--head linear). Schemes 3 and 4 are features and a regressor;
mlsp.comparisons does all.

DeepRN, Varga, Saupe, Sziranyi, ICME 2018, doi:10.1109/ICME.2018.8486528, as KonIQ-10k's section
6.2.2 reimplements it "in our framework": --head deeprn pools the last layer of ResNet-101 over a
spatial pyramid of three levels, and learns the distribution of the ratings by the Huber loss with
delta 1/9. KonIQ-10k does not tell the levels, the kind of pooling, the layers behind it or the
schedule; here they are its table 5's (averages over grids of 1x1, 2x2 and 3x3), KonCept512's, and
KonCept512's. Another --network or --loss is taken as given.

CNNIQA, CVPR 2014, doi:10.1109/CVPR.2014.224 (mtl.network.cnniqa), is trained on patches: --crop 32
32 with --head linear --loss mae. With any network a random crop of each training picture is seen in
each epoch; validation, test and `deepfl predict` judge whole pictures.

DeepBIQ, arXiv:1602.05531, sections 2.3 and 3.3: --loss classes sorts the scores into five classes
of equal width, which are learned with cross-entropy and weights against their frequencies; the
predicted score is here the expectation over the classes' centres. On a scale of 0..100, as there,
it is --scale 0 100. KonIQ-10k-LT, section V: --balance proportion weighs the pictures of any other
loss against the frequency of their scores (both mtl.training.opinions.balancing). Weights are for
training alone; validation and test have none. The losses plcc and norm-in-norm compare the pictures
of a batch and leave scale and offset open: after each epoch a straight line that is fitted to the
validation part brings the predictions onto the scale, and it is part of the model that is kept.

What the papers leave open: scores of MAE and MSE are mapped to 0..1 by the lowest and the highest
of the training part, so that the losses of all tables are alike. A distribution is trained on, and
tested by, the shares of the ratings and their mean, whatever score the table has beside them. Adam
starts anew with each stage. "Best" is over all stages, the first of equals. All layers are trained,
batch normalisation by the statistics of the batch, as in Keras. There is no augmentation unless
asked for. The paper's batch is the largest power of two that its memory holds; here 16.

    RUN/config.json splits.csv splits.json log.csv learning.png tensorboard/ checkpoints/ model/
    RUN/predictions.csv summary.csv    of the test part, when all epochs are done

A stopped run continues at the step where it stopped; a file RUN/stop, made by anyone, stops it. One
process trains, on all devices it has.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from mtl.evaluation.saved_splits import SPLITS_FILE as SAVED_SPLITS_FILE
from mtl.evaluation.saved_splits import write_splits
from mtl.evaluation.seen import joined, read_seen
from mtl.network.networks import Body, find_network
from mtl.network.weights import (
    FOLDER,
    IMAGENET,
    MODEL_FILE,
    WEIGHTS_FILE,
    TrainedModel,
)
from mtl.ratings.rated import PARTS, TRAINING, splits_text
from mtl.runtime import compilation_cache
from mtl.runtime.contents import digest_of
from mtl.runtime.files import InputError, file_digest, write_atomically
from mtl.runtime.progress import say
from mtl.runtime.tables.csv_tables import read_table
from mtl.training.engine import train_for
from mtl.training.opinions.config import FinetuneConfig, completed, differing, staged_settings
from mtl.training.opinions.data import RatedData, open_table
from mtl.training.opinions.objective import PREDICTIONS_FILE, SUMMARY_FILE, OpinionObjective
from mtl.training.opinions.pictures import check_unseen, look_at_pictures
from mtl.training.run_folder import CONFIG_FILE, check_claim, claim, read_log
from mtl.training.settings import RunSettings, as_json, check_settings
from mtl.training.starting_weights import starting_model, starting_network

__all__ = [
    "PREDICTIONS_FILE",
    "SUMMARY_FILE",
    "FinetuneConfig",
    "Finetuned",
    "check_finetuning",
    "finetune",
]

SPLITS_FILE = "splits.csv"

# What a run started from, as DeepFL-IQA's table II names it where it does.
FROM_RANDOM = "random weights"
FROM_IMAGENET = "fine-tune (ImageNet)"
FROM_METRICS = "fine-tune (weakly supervised)"
FROM_OPINIONS = "fine-tune (human scores)"
FROM_OTHER = "fine-tune (other weights)"


@dataclass(frozen=True)
class Finetuned:
    """A finished run."""

    out: Path
    model: Path
    scheme: str
    """What it started from, as DeepFL-IQA's table II names it."""
    log: list[dict[str, float]]
    """A row per epoch: epoch, losses, learning_rate, and srocc, plcc, rmse, mae of validation."""
    test: dict[str, float]
    """images, srocc, plcc, rmse, mae on the test part, and the epoch of the weights."""
    resumed_at: int
    """Epochs that were there before this call."""


def finetune(
    config: FinetuneConfig, *, progress: bool = False, body: Body | None = None
) -> Finetuned:
    """Fine-tune, or continue, test, and leave the best model in `config.out / "model"`.

    Args:
        config: the run.
        progress: report on standard error.
        body: makes the convolutional part, in the place of the network's own.

    Raises:
        InputError: table, pictures or settings cannot be used, or `out` holds another run.
        FloatingPointError: the loss is not finite; says at which step and what to try.
        KeyboardInterrupt: SIGINT, SIGTERM or the file `out / "stop"` stopped the run, after the
            current step was saved.
    """
    config = completed(config)
    ready = _ready(config, progress)
    data, settings, origin = ready.data, ready.settings, ready.origin
    if config.higher_is == "worse":
        say(f"{config.ratings}: scores are turned round, so that higher is better", show=progress)
    if not _begun_with(config.out, origin["pictures_sha256"]):
        look_at_pictures(config, data, progress=progress)
    claim(config.out, as_json(config) | origin, differing)
    split = data.split
    rows = dict(zip(PARTS, (split.train, split.validation, split.test), strict=True))
    write_atomically(config.out / SPLITS_FILE, splits_text(data.ratings, rows))
    names, references = data.ratings.names, data.ratings.references
    path = config.out / SAVED_SPLITS_FILE
    write_splits(path, [split], names, references, database=config.ratings.stem)
    log = read_log(config.out)
    before = len(log)
    summary = config.out / SUMMARY_FILE
    if before < settings.epochs or not summary.is_file():
        compilation_cache.enable()
        objective = OpinionObjective(config, data, ready.given, origin["scheme"], ready.network)
        log = train_for(objective, settings, log, body=body, progress=progress)
    (row,) = read_table(summary, ("srocc",))
    test = {name: float(value) for name, value in row.items() if name not in ("scheme", "loss")}
    done = min(before, len(log))
    return Finetuned(config.out, config.out / FOLDER, origin["scheme"], log, test, done)


def check_finetuning(config: FinetuneConfig, *, progress: bool = False) -> None:
    """Refuse what `finetune` would refuse before it trains; nothing is written.

    Pictures are told by their headers alone.

    Raises:
        InputError: table, pictures or settings cannot be used, or `out` holds another run.
    """
    config = completed(config)
    check_claim(config.out, as_json(config) | _ready(config, progress).origin, differing)


@dataclass(frozen=True)
class _Ready:
    """A run whose settings, table and initial weights belong together."""

    data: RatedData
    settings: RunSettings
    network: str
    given: TrainedModel | None
    """Weights to start from; None for random ones."""
    origin: dict[str, str]
    """In config.json beside the settings: digests of table, pictures and weights; the scheme."""


def _ready(config: FinetuneConfig, progress: bool) -> _Ready:
    if not config.stages or any(rate <= 0 or epochs < 1 for rate, epochs in config.stages):
        raise InputError("--stages: give a positive learning rate and at least one epoch for each")
    network = starting_network(config.init, config.network)
    smallest_side = find_network(network).smallest_side
    data = open_table(config, smallest_side, progress=progress)
    settings = staged_settings(config)
    images = len(data.parts[TRAINING])
    check_settings(settings, config.ratings, data.size, images, smallest_side)
    given = starting_model(config.init, network)
    if given is not None:
        if given.config.network != network:
            raise InputError(
                f"{given.folder}: is of {given.config.network}, not {network}; import the weights"
                f" of {network} there, or give --network {given.config.network}"
            )
        seen = read_seen(given.folder)
        check_unseen(config, data, seen, given.folder.parent / SPLITS_FILE)
        data = replace(data, seen=joined(seen, data.seen))
    origin = {
        "ratings_sha256": file_digest(config.ratings),
        "pictures_sha256": digest_of(data.ratings.names, data.contents),
        "init_sha256": "" if given is None else file_digest(given.folder / WEIGHTS_FILE),
        "scheme": _scheme(config.init, given),
    }
    return _Ready(data, settings, network, given, origin)


def _begun_with(out: Path, pictures: str) -> bool:
    """Tell whether a run was begun with these pictures, and so has decoded each of them."""
    try:
        return json.loads((out / CONFIG_FILE).read_text())["pictures_sha256"] == pictures
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _scheme(init: str, given: TrainedModel | None) -> str:
    if given is None:
        return FROM_RANDOM
    if given.config.opinion is not None:
        return FROM_OPINIONS
    notes = json.loads((given.folder / MODEL_FILE).read_text()).get("notes", {})
    origin = notes.get("origin", {}).get("weights", "")
    if init == IMAGENET or "ImageNet" in origin:
        return FROM_IMAGENET
    if given.config.metrics or "authors' body" in origin:
        return FROM_METRICS
    return FROM_OTHER
