"""Bodies that others trained, as a model folder: Keras' ImageNet weights and the authors' own.

    imagenet                           what `keras.applications.InceptionResNetV2` downloads
    quality-mlsp-mtl-mse-loss.hdf5     the body published by the authors of DeepFL-IQA
    any other file of Keras            with the weights of its InceptionResNetV2

A body is of use only with the pixel scaling it was trained with, so the scaling goes into the model
folder, and the file decides it: by its digest where it is one that Keras publishes, else by its
name and by what its first layer tells (see `mean_input`). Where that does not decide, or the two
disagree, the user has to say it.
"""

import hashlib
import importlib.metadata
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from mtl.files import InputError
from mtl.inception_resnet_v2 import BLOCK8_REPEATS, BLOCK17_REPEATS, BLOCK35_REPEATS
from mtl.keras_files import EXTRA, KerasFile, StoredLayer, open_keras_file
from mtl.model import ModelConfig, functional_model
from mtl.weights import WEIGHTS_FILE, save_model

IMAGENET = "imagenet"

# As in keras/src/applications/inception_resnet_v2.py, Keras 3.15: address, and MD5 by file.
KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/inception_resnet_v2/"
KERAS_FILE = "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERAS_FILES: Mapping[str, str] = {
    KERAS_FILE: "d19885ff4a710c122648d3b5c3b684e4",
    "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels.h5": "e693bd0210a403b3192acc6073ad2e96",
}

AUTHORS_STEM = "quality-mlsp-mtl-mse-loss"  # a second download is named "... (1).hdf5"

Scaling = Literal["minus_one_to_one", "zero_to_one"]
FORMULAS: Mapping[Scaling, str] = {"minus_one_to_one": "x/127.5 - 1", "zero_to_one": "x/255"}

# Mean input of the first layer, averaged over the colours, that only one scaling can explain. The
# mean of x/255 cannot be negative; for x/127.5 - 1 to reach 0.3, pictures would need a mean grey of
# 166, half as bright again as ImageNet's 115.
MEAN_INPUTS: Mapping[Scaling, tuple[float, float]] = {
    "minus_one_to_one": (-0.7, 0.0),
    "zero_to_one": (0.3, 0.7),
}
# Share of the first layer's mean outputs that mean inputs must explain to be believed.
EXPLAINED = 0.9


@dataclass(frozen=True)
class ImportConfig:
    """Which weights to import."""

    weights: str
    """`imagenet`, or a file of weights that Keras wrote."""
    out: Path
    """Model folder to write."""
    scaling: Scaling | None = None
    """Pixels the weights expect, where the file does not tell: x/127.5 - 1, or x/255."""


@dataclass(frozen=True)
class Imported:
    """A model folder that was written."""

    out: Path
    source: str
    """What the weights are, in words."""
    scaling: Scaling
    """The pixel scaling, which is in the folder."""
    because: str
    """Why this scaling."""
    left_out: Sequence[str]
    """Layers of the file that are not of the body."""


def import_keras(config: ImportConfig) -> Imported:
    """Turn weights that Keras wrote into a model folder without heads.

    Raises:
        InputError: the file is not whole, or not an InceptionResNetV2 of Keras; its scaling is not
            decided or is contradicted; the folder holds something; the download fails.
    """
    out = config.out
    # A folder with weights alone is an import that was interrupted.
    if out.exists() and (not out.is_dir() or any(p.name != WEIGHTS_FILE for p in out.iterdir())):
        raise InputError(f"{out}: exists; choose another --out")
    path = _download() if config.weights == IMAGENET else Path(config.weights)
    packages = ["deepfl-iqa", "h5py", "numpy", *(["keras"] if config.weights == IMAGENET else [])]
    with open_keras_file(path) as file:
        md5, sha256 = _digest(path, "md5"), _digest(path, "sha256")
        published = md5 in KERAS_FILES.values()
        weights, left_out = body_weights(path, file, check_names=not published)
        keras_version = file.keras_version
    source, scaling, because = _judge(path, published, weights, config.scaling)
    model = ModelConfig((), scaling)
    assert {n: w.shape for n, w in weights.items()} == functional_model(model).shapes
    origin = {
        "weights": source,
        "file": path.name,
        "sha256": sha256,
        "keras_version": keras_version,
        "scaling_because": because,
        "left_out": list(left_out),
    }
    versions = {package: importlib.metadata.version(package) for package in packages}
    save_model(out, model, weights, None, {"origin": origin, "versions": versions})
    return Imported(out, source, scaling, because, left_out)


class Convolution(NamedTuple):
    """A convolution of the body."""

    path: str
    """Of our unit, or of our convolution where it has a bias and no normalisation."""
    keras: str | int
    """Keras' name, or its place among those that Keras numbers as it creates them."""

    @property
    def has_norm(self) -> bool:
        """Whether a normalisation follows; the others have a bias."""
        return not self.path.endswith("/up")


def keras_convolutions() -> list[Convolution]:
    """All convolutions in the order in which Keras keeps them.

    Keras sorts a model's layers by their distance from the output, and layers of one distance by
    branch, but numbers them as they were created: branch by branch.
    """
    found: list[Convolution] = []
    created = 0

    def chains(path: str, *lengths: int) -> None:
        nonlocal created
        units = []
        for chain, length in enumerate(lengths):
            for k in range(length):
                units.append((k - length, chain, Convolution(f"{path}/{chain}/{k}", created)))
                created += 1
        found.extend(unit for _, _, unit in sorted(units))

    def blocks(name: str, repeats: int, *lengths: int) -> None:
        for k in range(repeats):
            chains(f"body/{name}/{k}/branches/chains", *lengths)
            found.append(Convolution(f"body/{name}/{k}/up", f"{name}_{k + 1}_conv"))

    found += [Convolution(f"body/stem/{k}", k) for k in range(5)]
    created = len(found)
    chains("body/mixed_5b/chains", 1, 2, 3, 1)
    blocks("block35", BLOCK35_REPEATS, 1, 2, 3)
    chains("body/mixed_6a/chains", 1, 3)
    blocks("block17", BLOCK17_REPEATS, 1, 3)
    chains("body/mixed_7a/chains", 2, 2, 3)
    blocks("block8", BLOCK8_REPEATS, 1, 3)
    found.append(Convolution("body/conv_7b", "conv_7b"))
    return found


def body_weights(
    path: Path, file: KerasFile, *, check_names: bool = True
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The body's weights by our names, and the names of the layers that are not of the body.

    Layers are matched as Keras itself does it, by kind and order; where the file keeps names, they
    have to agree.

    Args:
        path: of the file, for messages.
        file: open.
        check_names: whether names have to agree; the order of a file known by its digest is known.

    Raises:
        InputError: the layers are not those of InceptionResNetV2, or their values are not sound.
    """
    wanted = keras_convolutions()
    normed = [unit for unit in wanted if unit.has_norm]
    convolutions = [
        x for x in file.layers if "kernel" in x.weights and x.weights["kernel"].ndim == 4
    ]
    norms = [
        x for x in file.layers if x.weights.keys() == {"beta", "moving_mean", "moving_variance"}
    ]
    if (len(convolutions), len(norms)) != (len(wanted), len(normed)):
        raise InputError(
            f"{path}: holds {len(convolutions)} convolutions and {len(norms)} batch normalisations"
            f" without scale, InceptionResNetV2 {len(wanted)} and {len(normed)}; it is of another"
            " network"
        )
    if check_names:
        _check_names(path, convolutions, wanted, "conv2d", "")
        _check_names(path, norms, normed, "batch_normalization", "_bn")
    shapes = functional_model(ModelConfig(())).shapes
    weights: dict[str, np.ndarray] = {}

    def take(layer: StoredLayer, names: Mapping[str, str]) -> None:
        for role, name in names.items():
            weights[name] = _values(path, layer, role, shapes[name])

    for unit, layer in zip(wanted, convolutions, strict=True):
        if unit.has_norm:
            take(layer, {"kernel": f"{unit.path}/conv/kernel"})
        else:
            take(layer, {role: f"{unit.path}/{role}" for role in ("kernel", "bias")})
    for unit, layer in zip(normed, norms, strict=True):
        roles = {"beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
        take(layer, {role: f"{unit.path}/norm/{ours}" for role, ours in roles.items()})
    body = {id(layer) for layer in (*convolutions, *norms)}
    return weights, [layer.name or "unnamed" for layer in file.layers if id(layer) not in body]


def _check_names(
    path: Path, layers: Sequence[StoredLayer], units: Sequence[Convolution], kind: str, ending: str
) -> None:
    """Names and numbers have to tell the same order as the file; the numbers may start anywhere."""
    if all(layer.name is None for layer in layers):
        return
    numbers: dict[int, int] = {}
    for layer, unit in zip(layers, units, strict=True):
        name = layer.name or "unnamed"
        if isinstance(unit.keras, str):
            agrees = name == (f"{unit.keras}{ending}")
        else:
            match = re.fullmatch(rf"{kind}(?:_(\d+))?", name)
            agrees = match is not None
            if match:
                numbers[unit.keras] = int(match[1] or 0)
        if not agrees:
            expected = f"{unit.keras}{ending}" if isinstance(unit.keras, str) else f"{kind}_NUMBER"
            raise InputError(
                f"{path}: its layer {name} stands where InceptionResNetV2 of Keras has {expected};"
                " it was renamed or is of another network: load it into Keras' own and save that"
            )
    order = [numbers[created] for created in sorted(numbers)]
    for before, after in pairwise(order):
        if before >= after:
            raise InputError(
                f"{path}: its layers {kind}_{before} and {kind}_{after} have changed places; it was"
                " renamed or is of another network: load it into Keras' own and save that"
            )


def _values(
    path: Path, layer: StoredLayer, role: str, shape: tuple[int, ...]
) -> Float[np.ndarray, "..."]:
    """One array of a layer as float32, its shape compared before it is read."""
    name = layer.name or "a layer without name"
    stored = layer.weights.get(role)
    if stored is None or tuple(stored.shape) != shape or stored.dtype.kind != "f":
        came = "nothing" if stored is None else f"{stored.dtype} {tuple(stored.shape)}"
        raise InputError(
            f"{path}: {name} has {came} for its {role}, InceptionResNetV2 needs floats {shape};"
            " it is of another network"
        )
    values = np.asarray(stored[()], np.float32)
    if not np.isfinite(values).all() or (role == "moving_variance" and values.min() < 0):
        raise InputError(
            f"{path}: the {role} of {name} holds values that no training leaves (not finite, or a"
            " negative variance); fetch or train it again"
        )
    return values


def mean_input(weights: Mapping[str, np.ndarray]) -> float | None:
    """Mean of what the first layer was fed in training, over the colours; None if it cannot tell.

    The first convolution has no bias, and the normalisation after it keeps its mean outputs. With
    S[c, o] the sum of the kernel of colour c and output o, and m[c] the mean input:

        mean[o] = Σ_c m[c] S[c, o]

    32 equations for 3 unknowns, solved by least squares. Weights whose statistics do not come from
    their own training leave a large rest and tell nothing.
    """
    sums = weights["body/stem/0/conv/kernel"].astype(np.float64).sum(axis=(0, 1))
    outputs = weights["body/stem/0/norm/mean"].astype(np.float64)
    inputs = np.linalg.lstsq(sums.T, outputs)[0]
    rest = outputs - sums.T @ inputs
    if not outputs.any() or rest @ rest > (1 - EXPLAINED) * (outputs @ outputs):
        return None
    return float(inputs.mean())


def _judge(
    path: Path, published: bool, weights: Mapping[str, np.ndarray], chosen: Scaling | None
) -> tuple[str, Scaling, str]:
    """What the weights are, their scaling, and why this scaling."""
    evidence: dict[Scaling, str] = {}
    source = "weights of Keras' InceptionResNetV2"
    if published:
        source = "Keras' ImageNet weights"
        evidence["minus_one_to_one"] = "the file is the one that Keras publishes"
    else:
        if path.name.startswith(AUTHORS_STEM):
            source = "the DeepFL-IQA authors' body"
            evidence["zero_to_one"] = "the file has the name of the authors' published body"
        mean = mean_input(weights)
        for scaling, (low, high) in MEAN_INPUTS.items():
            if mean is not None and low <= mean <= high:
                told = f"its first layer was trained on inputs of mean {mean:.2f}"
                evidence[scaling] = " and ".join(filter(None, (evidence.get(scaling), told)))
    if len(evidence) == 1:
        ((scaling, because),) = evidence.items()
        if chosen not in (None, scaling):
            raise InputError(
                f"{path}: --scaling {chosen} contradicts the file, whose weights expect"
                f" {FORMULAS[scaling]}: {because}; leave --scaling out"
            )
        return source, scaling, because
    if chosen is None:
        why = "; ".join(f"{FORMULAS[s]}, since {b}" for s, b in evidence.items())
        raise InputError(
            f"{path}: does not tell clearly which pixels its weights expect"
            f"{f' ({why})' if why else ''}; add --scaling minus_one_to_one (x/127.5 - 1, as Keras'"
            " preprocess_input gives them) or --scaling zero_to_one (x/255, as the DeepFL-IQA"
            " authors give them)"
        )
    return source, chosen, "--scaling says so"


def _download() -> Path:
    """Keras' ImageNet weights without top, from Keras' cache or its server, checked by Keras."""
    # Keras is only to fetch a file; JAX is the back end that is there.
    os.environ["KERAS_BACKEND"] = "jax"
    try:
        import keras
    except ImportError as error:
        raise InputError(f"{IMAGENET}: Keras, which fetches it, is missing: {EXTRA}") from error
    try:
        path = keras.utils.get_file(
            KERAS_FILE,
            KERAS_URL + KERAS_FILE,
            cache_subdir="models",
            file_hash=KERAS_FILES[KERAS_FILE],
        )
    except Exception as error:  # Keras raises no narrower one when the network is not there
        raise InputError(
            f"{IMAGENET}: cannot be fetched ({error}); fetch {KERAS_URL}{KERAS_FILE} where there is"
            f" a network and give the file: deepfl import-keras {KERAS_FILE} --out ..."
        ) from error
    return Path(path)


def _digest(path: Path, algorithm: Literal["md5", "sha256"]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(algorithm, usedforsecurity=False)
        ).hexdigest()
