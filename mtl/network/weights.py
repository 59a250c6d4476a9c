"""Initial weights, and a trained model as a folder: model.json, weights.npz, equalization.json.

The folder is self-contained: network, pixel scaling, metrics and histogram equalisation travel
together, so a user cannot pair them wrongly. Weights are plain NumPy arrays; nothing is unpickled.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from fr_metrics import HistogramEqualization
from mtl.evaluation.seen import SeenRatings, write_seen
from mtl.network.model import Functional, ModelConfig, Opinion, Pooling, functional_model
from mtl.network.networks import DEFAULT, NETWORKS, Network
from mtl.network.scalings import SCALINGS
from mtl.runtime.compilation_cache import user_cache
from mtl.runtime.files import InputError, read_arrays, write_arrays, write_atomically

MODEL_FILE, WEIGHTS_FILE, EQUALIZATION_FILE = "model.json", "weights.npz", "equalization.json"
FORMAT = 1  # of model.json
FOLDER = "model"  # inside a training run
INCLUDED = "deepfl-small"  # the model that comes with the program, see its MODEL_CARD.md
DEPTHWISE = "depthwise/kernel"  # how the names of such kernels end
IMAGENET = "imagenet"  # what users call a body with ImageNet weights; also NETWORK-imagenet

HINT = (
    "give a folder that `deepfl train`, `deepfl import-keras`, `deepfl import-weights`,"
    " `deepfl finetune` or `deepfl benchmark` wrote"
)


def fresh_weights(functional: Functional, seed: int) -> dict[str, np.ndarray]:
    """Random initial weights, the same for the same seed on any machine.

    Convolutions of the body: Glorot uniform, Keras' default. Fully connected layers of any head:
    He normal (He et al. 2015, arXiv:1502.01852), as the paper's section V-B says. Biases and means
    0, scales and variances 1. Filled in NumPy, since building NNX modules eagerly compiles an
    initialiser per shape and takes a minute.
    """
    weights = {}
    for number, (name, shape) in enumerate(sorted(functional.shapes.items())):
        rng = np.random.default_rng([seed, number])
        kind = name.rsplit("/", 1)[-1]
        if kind == "kernel":
            # Each output of a depthwise convolution sees one channel.
            ends = (1, 1) if name.endswith(DEPTHWISE) else shape[-2:]
            fan_in, fan_out = (int(np.prod((*shape[:-2], end))) for end in ends)
            if not name.startswith("body/"):
                values = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / fan_in))
            else:
                limit = np.float32(np.sqrt(6 / (fan_in + fan_out)))
                values = (2 * rng.random(shape, np.float32) - 1) * limit
        else:
            values = np.full(shape, 1 if kind in ("scale", "var") else 0, np.float32)
        weights[name] = values
    return weights


def imagenet_folder(network: str = DEFAULT) -> Path:
    """Return where a network's body with ImageNet weights is kept for all runs of this user."""
    return user_cache() / (IMAGENET if network == DEFAULT else f"{IMAGENET}-{network}")


def network_named(name: str) -> str:
    """Return the key of NETWORKS that a user means, who may write hyphens for underscores."""
    return name.replace("-", "_")


def command_name(network: str) -> str:
    """Return how examples and messages write a network's name where it stands for weights."""
    return network.replace("_", "-")


def imagenet_name(network: str) -> str:
    """Return the name of a network's ImageNet weights, such as efficientnet-lite0-imagenet."""
    return f"{command_name(network)}-{IMAGENET}"


def imagenet_network(name: str) -> str | None:
    """Return the network whose ImageNet weights NETWORK-imagenet names.

    Args:
        name: such as efficientnet-lite0-imagenet, or with underscores.

    Returns:
        The key of NETWORKS; None if `name` is another one, or a file or folder of that name exists.
    """
    stem, _, last = network_named(name).rpartition("_")
    known = last == IMAGENET and stem in NETWORKS and not Path(name).exists()
    return stem if known else None


def import_command(network: Network) -> str:
    """Return the command that makes the folder of a network's ImageNet weights."""
    if network.torch is not None:
        return f"`deepfl import-weights {command_name(network.name)}`"
    if network.caffe is not None:
        return f"`deepfl import-weights {network.caffe.file}`"
    which = IMAGENET if network.name == DEFAULT else command_name(network.name)
    return f"`deepfl import-keras {which}`"


def imagenet_remedy(network: Network) -> str:
    """Return what makes the folder of a network's ImageNet weights, as words for a user."""
    if network.keras is None and network.torch is None and network.caffe is None:
        return f"nobody publishes ImageNet weights of {network.title}: give a model folder"
    return f"run {import_command(network)} once"


@dataclass(frozen=True)
class TrainedModel:
    """A model read from its folder."""

    folder: Path
    config: ModelConfig
    functional: Functional
    weights: Mapping[str, np.ndarray]
    equalization: HistogramEqualization | None
    """Maps the heads' outputs back to scores; None without heads or when trained on raw scores."""


def save_model(
    folder: Path,
    config: ModelConfig,
    weights: Mapping[str, np.ndarray],
    equalization: HistogramEqualization | None,
    notes: Mapping[str, object],
    seen: Sequence[SeenRatings] = (),
) -> None:
    """Write a model folder; model.json comes last, so that a folder with it is complete.

    Args:
        folder: made if it is not there; a model in it is replaced.
        config: what the network is.
        weights: by flat name.
        equalization: of the training targets.
        notes: anything JSON can hold that a reader of the model should know (epoch, loss,
            versions).
        seen: rated pictures that the weights were trained on.
    """
    write_arrays(folder / WEIGHTS_FILE, weights)
    if equalization is not None:
        write_atomically(folder / EQUALIZATION_FILE, equalization.to_json())
    write_seen(folder, seen)
    description = {
        "format": FORMAT,
        "config": asdict(config),
        "equalized": equalization is not None,
        "notes": dict(notes),
    }
    write_atomically(folder / MODEL_FILE, json.dumps(description, indent=1))


def model_folder(folder: str | os.PathLike) -> Path:
    """The folder that holds model.json: `folder` itself, `folder/model`, or that of a name.

    Names are deepfl-small, the included model, and NETWORK-imagenet, which is in the user's cache.

    Raises:
        InputError: it is none of these.
    """
    folder = Path(folder)
    if str(folder) == INCLUDED and not folder.exists():
        return Path(str(resources.files("mtl"))) / "data" / INCLUDED
    network = imagenet_network(str(folder))
    if network is not None:
        kept = imagenet_folder(network)
        if not (kept / MODEL_FILE).is_file():
            remedy = imagenet_remedy(NETWORKS[network])
            raise InputError(f"{folder}: {kept} has no weights yet; {remedy}")
        return kept
    if not folder.exists():
        raise InputError(f"{folder}: no such folder; {HINT}")
    for candidate in (folder, folder / FOLDER):
        if (candidate / MODEL_FILE).is_file():
            return candidate
    raise InputError(f"{folder}: is not a model folder ({MODEL_FILE} is missing); {HINT}")


def load_config(folder: str | os.PathLike) -> ModelConfig:
    """Read what the model in a folder is, without its weights.

    Raises:
        InputError: the folder is not one, is damaged, or was written by another version.
    """
    return _read_description(model_folder(folder))[0]


def load_model(folder: str | os.PathLike) -> TrainedModel:
    """Read a model folder.

    Raises:
        InputError: the folder is not one, is damaged, or was written by another version.
    """
    folder = model_folder(folder)
    config, equalized = _read_description(folder)
    functional = functional_model(config)
    weights = _read_weights(folder / WEIGHTS_FILE, functional.shapes)
    equalization = None
    if equalized:
        path = folder / EQUALIZATION_FILE
        try:
            equalization = HistogramEqualization.from_json(path.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: is missing or damaged ({error}); {HINT}") from error
    return TrainedModel(folder, config, functional, weights, equalization)


def _read_description(folder: Path) -> tuple[ModelConfig, bool]:
    """Return what model.json says of the model, and whether it was trained on equalised scores."""
    try:
        description = json.loads((folder / MODEL_FILE).read_text())
        form, equalized = description["format"], description["equalized"]
        fields = description["config"]
        config = ModelConfig(
            tuple(fields["metrics"]),
            str(fields["scaling"]),
            float(fields["momentum"]),
            _opinion(fields.get("opinion")),
            float(fields.get("width", 1.0)),  # older models do not say it
            str(fields.get("network", DEFAULT)),  # nor this
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / MODEL_FILE}: is damaged; {HINT}") from error
    known = form == FORMAT and config.network in NETWORKS and config.scaling in SCALINGS
    if not known or config.width not in config.row.widths:
        raise InputError(f"{folder / MODEL_FILE}: was written by another version; {HINT}")
    return config, bool(equalized)


def _opinion(fields: Mapping[str, Any] | None) -> Opinion | None:
    """From model.json; models older than opinions say nothing of them."""
    if fields is None:
        return None
    size = fields["size"]
    return Opinion(
        int(fields["outputs"]),
        float(fields["lowest"]),
        float(fields["highest"]),
        None if size is None else (int(size[0]), int(size[1])),
        str(fields["ratings"]),
        bool(fields.get("classes", False)),
        bool(fields.get("hidden", True)),
        _pooling(fields.get("pooling", "gap")),
    )


def _pooling(name: str) -> Pooling:
    """Return a way of pooling by its name; ValueError if there is none."""
    if name not in get_args(Pooling):
        raise ValueError(f"pooling is {name!r}")
    return cast(Pooling, name)


def _read_weights(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    weights = read_arrays(path)
    wrong = sorted(
        name
        for name in shapes.keys() | weights.keys()
        if name not in weights or weights[name].shape != shapes.get(name)
    )
    if wrong:
        raise InputError(
            f"{path}: holds weights of another network than {MODEL_FILE} says ({len(wrong)} differ,"
            f" such as {wrong[0]}); copy the whole folder again"
        )
    # A model that is to be small may keep them in half precision.
    return {name: values.astype(np.float32, copy=False) for name, values in weights.items()}
