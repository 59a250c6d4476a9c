"""Bodies that others trained, as a model folder: Keras' ImageNet weights and the authors' own.

    imagenet                           what `keras.applications.InceptionResNetV2` downloads
    quality-mlsp-mtl-mse-loss.hdf5     the body published by the authors of DeepFL-IQA
    any other file of Keras            with the weights of its InceptionResNetV2

A body is of use only with the pixel scaling it was trained with, so the scaling goes into the model
folder, and the file decides it: by its digest where it is one that Keras publishes, else by its
name and by what its first layer tells (see `mean_input`). Where that does not decide, or the two
disagree, the user has to say it.
"""

import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mtl.network.imports.keras_files import EXTRA, open_keras_file
from mtl.network.imports.keras_layers import body_weights
from mtl.network.model import ModelConfig
from mtl.network.weights import IMAGENET, WEIGHTS_FILE, imagenet_folder, save_model
from mtl.runtime.files import InputError, file_digest

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
    out: Path | None = None
    """Model folder to write; for Keras' ImageNet weights, if not given, the one in the user's cache
    folder that `deepfl train --init imagenet` looks for."""
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
    if config.out is not None:
        _check_free(config.out)
    path = _download() if config.weights == IMAGENET else Path(config.weights)
    packages = ["deepfl-iqa", "h5py", "numpy", *(["keras"] if config.weights == IMAGENET else [])]
    with open_keras_file(path) as file:
        md5, sha256 = file_digest(path, "md5"), file_digest(path)
        published = md5 in KERAS_FILES.values()
        if config.out is None and not published:
            raise InputError(f"{path}: is not Keras' file of ImageNet weights; choose an --out")
        out = config.out or imagenet_folder()
        _check_free(out)
        weights, left_out = body_weights(path, file, check_names=not published)
        keras_version = file.keras_version
    source, scaling, because = _judge(path, published, weights, config.scaling)
    model = ModelConfig((), scaling)
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


def _check_free(out: Path) -> None:
    # A folder with weights alone is an import that was interrupted.
    if out.exists() and (not out.is_dir() or any(p.name != WEIGHTS_FILE for p in out.iterdir())):
        raise InputError(f"{out}: exists; choose another --out")


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
        if mean is not None:
            told = f"its first layer was trained on inputs of mean {mean:.2f}"
            if abs(mean) > 1:
                raise InputError(f"{path}: {told}, which neither x/127.5 - 1 nor x/255 gives")
            for scaling, (low, high) in MEAN_INPUTS.items():
                if low <= mean <= high:
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
        address = KERAS_URL + KERAS_FILE
        why = str(error).replace(address, "its address")
        raise InputError(
            f"{IMAGENET}: cannot be fetched ({why}); fetch {address} where there is a network and"
            f" give the file: deepfl import-keras {KERAS_FILE} --out ..."
        ) from error
    return Path(path)
