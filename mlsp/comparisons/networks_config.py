"""The settings of a comparison of networks, and what is refused before hours of training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlsp.databases import Database
from mtl.network.layers import BATCH_NORM_MOMENTUM
from mtl.network.networks import find_network
from mtl.network.weights import IMAGENET, imagenet_remedy, load_config, network_named
from mtl.ratings.rated import Ratings, common_size
from mtl.runtime.files import InputError
from mtl.runtime.tables.columns import HigherIs
from mtl.training.opinions.config import FinetuneConfig, Loss
from mtl.training.starting_weights import RANDOM, starting_folder

# KonIQ-10k, doi:10.1109/TIP.2020.2967829, table 2, in its order.
PAPERS = ("vgg16", "resnet101", "inception_v3", "inception_resnet_v2", "nasnet_mobile")


@dataclass(frozen=True)
class NetworksConfig:
    """Which networks to compare on what; the schedule and the head are KonIQ-10k's."""

    ratings: Path
    """Database folder or CSV file, as `deepfl benchmark` takes it."""
    out: Path
    """Folder for results; an unfinished one is continued, also with more networks or
    repetitions."""
    network: tuple[str, ...] = PAPERS
    """Networks to compare, two or more; any wrong name lists all."""
    init: tuple[str, ...] = (IMAGENET,)
    """Weights to start from: imagenet (each network's own) or random; and for a single network
    NETWORK=FOLDER, a model folder or run of it, or NETWORK=random."""
    protocol: Literal["random", "official"] = "random"
    """random: 60/20/20 by reference. official: the sets of the database's table, once."""
    repetitions: int = 1
    """Random splits to train and test on, hours for each network on a GPU."""
    loss: Loss = "mse"
    """As `deepfl finetune` has them; those of distributions need counts c1, c2, ..."""
    head: Literal["koncept", "linear"] = "koncept"
    """On the body's pooled features: KonCept512's FC 2048, 1024 and 256, or one linear layer."""
    stages: tuple[tuple[float, int], ...] = ((1e-4, 40), (5e-5, 20), (1e-5, 10))
    """Learning rate and epochs of each stage, one after the other."""
    size: tuple[int, int] | None = None
    """Height and width to resize to, such as 384 512; needed where pictures differ in size."""
    batch_size: int = 16
    """Pictures per step, the same for every network; the paper's is the largest that fits each."""
    accumulate: int = 1
    """Parts a batch is computed in, one after the other; batch statistics are those of a part."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; parameters, statistics, head and loss are float32."""
    remat: bool = False
    """Compute activations a second time for the gradient instead of keeping them (GPUs)."""
    momentum: float = BATCH_NORM_MOMENTUM
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


def check_settings(config: NetworksConfig) -> None:
    """Refuse networks and numbers that cannot be, before anything is read.

    Raises:
        InputError: names the option.
    """
    for name in config.network:
        find_network(name)
        if config.network.count(name) > 1:
            raise InputError(f"--network {name}: is given twice; give each network once")
    if len(config.network) < 2:
        raise InputError(
            f"--network {' '.join(config.network)}: a comparison needs two networks or more; name"
            " them all after one --network, or use `deepfl finetune` for one"
        )
    if config.repetitions < 1:
        raise InputError(f"--repetitions {config.repetitions}: must be at least 1")
    if config.protocol == "official" and config.repetitions > 1:
        raise InputError("--repetitions: there is one official split; leave it out")
    if (config.columns or config.higher_is) and config.ratings.is_dir():
        raise InputError(
            "--columns and --higher-is: are for CSV files; the columns of databases are known"
        )
    if config.seed < 0:
        raise InputError(f"--seed {config.seed}: must not be negative")


def starting_weights(config: NetworksConfig) -> dict[str, str]:
    """Return where each network starts: imagenet, random, or a model folder.

    Raises:
        InputError: an --init is of none of the networks, of another one, or missing; all networks
            without ImageNet weights are named, with the commands that make them.
    """
    general = [each for each in config.init if "=" not in each]
    if any(each not in (IMAGENET, RANDOM) for each in general) or len(general) > 1:
        raise InputError(
            f"--init {' '.join(general)}: give imagenet or random, and NETWORK=FOLDER or"
            " NETWORK=random for single networks"
        )
    found = dict.fromkeys(config.network, general[0] if general else IMAGENET)
    own: set[str] = set()
    for pair in (each for each in config.init if "=" in each):
        written, _, start = pair.partition("=")
        name = network_named(written)
        if name not in found or name in own or not start:
            raise InputError(
                f"--init {pair}: give one NETWORK=FOLDER for a network of"
                f" --network {' '.join(config.network)}"
            )
        theirs = name if start in (IMAGENET, RANDOM) else load_config(start).network
        if theirs != name:
            raise InputError(f"--init {pair}: {start} is of {theirs}; give a folder of {name}")
        own.add(name)
        found[name] = start
    missing = [name for name, init in found.items() if init == IMAGENET and not _is_there(name)]
    if missing:
        remedies = dict.fromkeys(imagenet_remedy(find_network(name)) for name in missing)
        raise InputError(
            f"--init imagenet: {', '.join(missing)} {'have' if missing[1:] else 'has'} no weights"
            f" yet; {'; '.join(remedies)}; or add"
            f" {' '.join(f'{name}={RANDOM}' for name in missing)} to --init"
        )
    return found


def _is_there(network: str) -> bool:
    """Tell whether there are ImageNet weights of a network."""
    try:
        return starting_folder(IMAGENET, network) is not None
    except InputError:
        return False


def check_pictures(config: NetworksConfig, database: Database) -> tuple[int, int]:
    """Return the height and width that every network is trained at.

    Raises:
        InputError: pictures are missing, have no common size, or are too small for some networks,
            which are all named.
    """
    names, table = database.names, database.root / config.ratings.name
    ratings = Ratings(table, names, database.scores, None, names, None)
    size = common_size(ratings, config.size, 1)
    sides = {name: find_network(name).smallest_side for name in config.network}
    small = [f"{name} ({side}×{side})" for name, side in sides.items() if min(size) < side]
    if small:
        raise InputError(
            f"pictures of {size[1]}×{size[0]} pixels are below what {', '.join(small)} needs;"
            " choose a larger --size or leave the network out"
        )
    return size


def finetuning(
    config: NetworksConfig, starts: Mapping[str, str], network: str, folder: Path
) -> FinetuneConfig:
    """Return the fine-tuning of a network on the split of a folder, which holds ratings.csv.

    Args:
        config: of the comparison.
        starts: as `starting_weights` returns them.
        network: one of them.
        folder: of the repetition; its name is the number.
    """
    init = starts[network]
    return FinetuneConfig(
        folder / "ratings.csv",
        init,
        folder / network,
        loss=config.loss,
        head=config.head,
        stages=config.stages,
        size=config.size,
        batch_size=config.batch_size,
        accumulate=config.accumulate,
        dtype=config.dtype,
        remat=config.remat,
        momentum=config.momentum,
        seed=config.seed + int(folder.name),
        network=network if init in (IMAGENET, RANDOM) else None,
    )
