"""Bodies that others trained, as a model folder: Keras' ImageNet weights and the authors' own.

    vgg16, inception-v3, imagenet      what `keras.applications` downloads for a network
    quality-mlsp-mtl-mse-loss.hdf5     the body published by the authors of DeepFL-IQA
    any other file of Keras            with the weights of its network of that name

A bare name of a network means its ImageNet weights, even beside a file of that name: a file has a
suffix, or a folder before it, as in ./vgg16.

A body is of use only with the pixel scaling it was trained with, so the scaling goes into the model
folder, and the file decides it: by its digest where it is one that Keras publishes, else by its
name and by what its first layer tells (see `mean_input`). Where that does not decide, or the two
disagree, the user has to say it. Networks whose first layer can tell nothing are taken to be fed as
Keras feeds them, unless the user says otherwise.
"""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtl.network.imports.imported import Imported, check_free, save_imported
from mtl.network.imports.keras_files import EXTRA, open_keras_file
from mtl.network.imports.keras_layers import body_weights
from mtl.network.networks import DEFAULT, NETWORKS, Network, find_network
from mtl.network.scalings import SCALINGS
from mtl.network.weights import IMAGENET, imagenet_folder, imagenet_remedy, network_named
from mtl.runtime.files import InputError, file_digest

# Mean input of the first layer, averaged over the colours, that only one scaling can explain. The
# mean of x/255 cannot be negative; for x/127.5 - 1 to reach 0.3, pictures would need a mean grey of
# 166, half as bright again as ImageNet's 115.
MEAN_INPUTS: Mapping[str, tuple[float, float]] = {
    "minus_one_to_one": (-0.7, 0.0),
    "zero_to_one": (0.3, 0.7),
}
# Share of the first layer's mean outputs that mean inputs must explain to be believed.
EXPLAINED = 0.9


@dataclass(frozen=True)
class ImportConfig:
    """Which weights to import."""

    weights: str
    """A network's name, such as resnet50 or inception-v3, for its ImageNet weights; imagenet, for
    those of --network; or a file of weights that Keras wrote."""
    out: Path | None = None
    """Model folder to write; for Keras' ImageNet weights, if not given, the one in the user's cache
    folder that `deepfl train --init imagenet` looks for."""
    scaling: str | None = None
    """Pixels the weights expect, where the file does not tell: minus_one_to_one (x/127.5 - 1),
    zero_to_one (x/255), or caffe (blue, green, red less ImageNet's means)."""
    network: str | None = None
    """Of which network the weights are, such as resnet50, where WEIGHTS does not name it; the
    paper's when not given, any wrong name lists all."""


def import_keras(config: ImportConfig) -> Imported:
    """Turn weights that Keras wrote into a model folder without heads.

    Raises:
        InputError: the file is not whole, or not of the network in Keras; Keras has no such
            network, or two are named; its scaling is not decided or is contradicted; the folder
            holds something; the download fails.
    """
    network, file_given = _meant(config)
    keras = network.keras
    if keras is None:
        raise InputError(
            f"{network.name}: Keras has no such network; it has {_known_to_keras()};"
            f" {imagenet_remedy(network)}"
        )
    if config.scaling not in (None, *SCALINGS):
        raise InputError(f"--scaling {config.scaling}: is not one of {', '.join(SCALINGS)}")
    if config.out is not None:
        check_free(config.out)
    path = _download(network, config.out) if file_given is None else file_given
    packages = ["deepfl-iqa", "h5py", "numpy", *(["keras"] if file_given is None else [])]
    with open_keras_file(path) as file:
        md5, sha256 = file_digest(path, "md5"), file_digest(path)
        published = md5 in keras.digests.values()
        if config.out is None and not published:
            raise InputError(f"{path}: is not Keras' file of ImageNet weights; choose an --out")
        out = config.out or imagenet_folder(network.name)
        check_free(out)
        weights, left_out = body_weights(path, file, network=network, check_names=not published)
        keras_version = file.keras_version
    source, scaling, because = _judge(path, published, weights, config.scaling, network)
    imported = Imported(out, network.name, source, scaling, because, left_out)
    origin = {"file": path.name, "sha256": sha256, "keras_version": keras_version}
    save_imported(imported, weights, origin, packages)
    return imported


def _meant(config: ImportConfig) -> tuple[Network, Path | None]:
    """Return the network, and the file that holds its weights; None for Keras' ImageNet weights.

    Raises:
        InputError: there is no such network, or WEIGHTS and --network name two.
    """
    named = network_named(config.weights.lower())
    asked = None if config.network is None else network_named(config.network)
    if named not in NETWORKS:
        network = find_network(asked or DEFAULT)
        path = Path(config.weights)
        if config.weights == IMAGENET:
            return network, None
        if path.name == config.weights and not path.suffix and not path.exists():
            raise InputError(
                f"{config.weights}: is neither a file nor a network whose ImageNet weights Keras"
                f" has; those are {_known_to_keras()}"
            )
        return network, path
    if asked not in (None, named):
        raise InputError(
            f"{config.weights}: is a network, and --network {config.network} another; leave"
            " --network out"
        )
    return find_network(named), None


def _known_to_keras() -> str:
    return ", ".join(name for name, row in NETWORKS.items() if row.keras is not None)


def mean_input(weights: Mapping[str, np.ndarray], unit: str) -> float | None:
    """Return the mean of what the first layer was fed in training; None if it cannot tell.

    The first convolution has no bias, and the normalisation after it keeps its mean outputs. With
    S[c, o] the sum of the kernel of colour c and output o, and m[c] the mean input:

        mean[o] = Σ_c m[c] S[c, o]

    An equation per output for 3 unknowns, solved by least squares. Weights whose statistics do not
    come from their own training leave a large rest and tell nothing.

    Args:
        weights: by our names.
        unit: our name of the first convolution unit.

    Returns:
        The mean over the colours.
    """
    sums = weights[f"{unit}/conv/kernel"].astype(np.float64).sum(axis=(0, 1))
    outputs = weights[f"{unit}/norm/mean"].astype(np.float64)
    inputs = np.linalg.lstsq(sums.T, outputs)[0]
    rest = outputs - sums.T @ inputs
    if not outputs.any() or rest @ rest > (1 - EXPLAINED) * (outputs @ outputs):
        return None
    return float(inputs.mean())


def _judge(
    path: Path,
    published: bool,
    weights: Mapping[str, np.ndarray],
    chosen: str | None,
    network: Network,
) -> tuple[str, str, str]:
    """What the weights are, their scaling, and why this scaling."""
    keras = network.keras
    assert keras is not None  # refused above
    evidence: dict[str, str] = {}
    source = f"weights of Keras' {network.title}"
    if published:
        source = "Keras' ImageNet weights"
        evidence[network.scaling] = "the file is the one that Keras publishes"
    else:
        for known in keras.known:
            if path.name.startswith(known.stem):
                source = known.source
                evidence[known.scaling] = known.because
        for scaling, told in _told_by_the_first_layer(path, weights, keras.first_unit).items():
            evidence[scaling] = " and ".join(filter(None, (evidence.get(scaling), told)))
    if len(evidence) == 1:
        ((scaling, because),) = evidence.items()
        if chosen not in (None, scaling):
            raise InputError(
                f"{path}: --scaling {chosen} contradicts the file, whose weights expect"
                f" {SCALINGS[scaling].formula}: {because}; leave --scaling out"
            )
        return source, scaling, because
    if chosen is not None:
        return source, chosen, "--scaling says so"
    if keras.first_unit is None and not evidence:
        return source, network.scaling, f"Keras feeds {network.title} so"
    why = "; ".join(f"{SCALINGS[s].formula}, since {b}" for s, b in evidence.items())
    choices = " or ".join(
        f"--scaling {name} ({SCALINGS[name].formula}, {SCALINGS[name].users})"
        for name in MEAN_INPUTS
    )
    raise InputError(
        f"{path}: does not tell clearly which pixels its weights expect"
        f"{f' ({why})' if why else ''}; add {choices}"
    )


def _told_by_the_first_layer(
    path: Path, weights: Mapping[str, np.ndarray], unit: str | None
) -> dict[str, str]:
    """Return what speaks for a scaling, by its name; nothing where the layer cannot tell."""
    mean = None if unit is None else mean_input(weights, unit)
    if mean is None:
        return {}
    told = f"its first layer was trained on inputs of mean {mean:.2f}"
    if abs(mean) > 1:
        raise InputError(f"{path}: {told}, which neither x/127.5 - 1 nor x/255 gives")
    return {scaling: told for scaling, (low, high) in MEAN_INPUTS.items() if low <= mean <= high}


def _download(network: Network, out: Path | None) -> Path:
    """ImageNet weights without top, from Keras' cache or its server, checked by Keras."""
    published = network.keras
    assert published is not None  # refused above
    # Keras is only to fetch a file; JAX is the back end that is there.
    os.environ["KERAS_BACKEND"] = "jax"
    try:
        import keras
    except ImportError as error:
        raise InputError(f"{IMAGENET}: Keras, which fetches it, is missing: {EXTRA}") from error
    address = published.address + published.file
    try:
        path = keras.utils.get_file(
            published.file,
            address,
            cache_subdir="models",
            file_hash=published.digests[published.file],
        )
    except Exception as error:  # Keras raises no narrower one when the network is not there
        why = str(error).replace(address, "its address")
        place = "" if out is None else f" --out {shlex.quote(str(out))}"
        raise InputError(
            f"{network.name}: its ImageNet weights cannot be fetched ({why}); fetch {address} where"
            " there is an internet connection, copy the file here and run: deepfl import-keras"
            f" {published.file} --network {network.name}{place}"
        ) from error
    return Path(path)
