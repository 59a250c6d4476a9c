"""What has most likely been done to a picture: the nearest known conditions in feature space.

A condition is a distortion at a level, or `pristine`. The overview of CNN-based blind quality
assessment of consumer photographs by the authors of DeepBIQ (see `mlsp.features.crops`) asks a
quality model to name "the type and severity of the distortions", and shows that deep features
already lie apart by them (figure 4). Here, features of some pictures of each condition of a data
set are standardised, reduced by principal components, made white within conditions, and averaged; a
picture's distances to these centroids become shares.

Kept in the model folder as conditions.npz, with the accuracy measured on the data set's validation
split, whose photographs had no part in the centroids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.special
from jaxtyping import Bool, Float, Int

from distortions import DISTORTIONS
from mtl.network.weights import WEIGHTS_FILE
from mtl.runtime.files import InputError, file_digest, read_arrays, write_arrays

CONDITIONS_FILE = "conditions.npz"
FORMAT = 1  # of conditions.npz

PRISTINE = (0, 0)  # distortion and level of a picture to which nothing has been done

# Principal components kept at most. With a network of eight short epochs, 8 pictures of each of 125
# conditions and 180 held-out ones (random crops of 160×160), the distortion was named for 15 %
# with 128 components, white within conditions, for 13 % with 64 or 256, and for 10 % by the nearest
# centroid of the standardised features themselves or of their components as they are; guessing
# gives 4 %.
COMPONENTS = 128
# Standard deviations below this share of the largest are taken for it: a channel that never changes
# must not decide.
SMALLEST_DEVIATION = 1e-4
# Temperatures of the shares that are tried on the held-out pictures.
TEMPERATURES = np.geomspace(0.1, 1000, 81)

Condition = tuple[int, int]  # distortion id 1..25 and level 1..5; PRISTINE is (0, 0)


@dataclass(frozen=True)
class Likely:
    """A condition and the share of all that it gets."""

    distortion: str
    """Name, or `pristine`."""
    level: int
    """1..5; 0 for pristine."""
    share: float
    """0..1; over all conditions they sum to 1."""


@dataclass(frozen=True)
class Conditions:
    """Centroids of conditions, ready to explain pictures.

    The share of condition c is soft-max over conditions of -|t - m_c|² / (2 T), where
    t = (f - mean) / deviation · components is a picture's place, m_c the centroid, and T the
    temperature under which the held-out pictures' own conditions are most likely.
    """

    weights_sha256: str
    """Of the network whose features these are."""
    conditions: Sequence[Condition]
    mean: Float[np.ndarray, " f"]
    deviation: Float[np.ndarray, " f"]
    components: Float[np.ndarray, "f k"]
    centroids: Float[np.ndarray, "c k"]
    temperature: float
    type_accuracy: float
    """Share of held-out pictures whose distortion (or `pristine`) was named."""
    level_accuracy: float
    """Share of held-out pictures of which distortion and level were named."""
    held_out: int
    """Held-out pictures."""

    def places(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n k"]:
        """Where pictures lie, in the space of the centroids."""
        standardised = (np.asarray(features, np.float32) - self.mean) / self.deviation
        return standardised @ self.components

    def shares(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n c"]:
        """Share of each condition for each picture; rows sum to 1."""
        distances = _squared_distances(self.places(features), self.centroids)
        return scipy.special.softmax(-distances / (2 * self.temperature), axis=1)

    def likeliest(self, features: Float[np.ndarray, " f"], number: int = 3) -> list[Likely]:
        """The conditions with the largest shares, the largest first."""
        (shares,) = self.shares(features[None])
        return [
            Likely(condition_name(self.conditions[c]), self.conditions[c][1], float(shares[c]))
            for c in np.argsort(-shares, kind="stable")[:number]
        ]

    def in_words(self) -> str:
        """How far the explanations can be trusted."""
        kinds = len({c[0] for c in self.conditions})
        return (
            f"of {self.held_out} held-out pictures the distortion was named for"
            f" {self.type_accuracy:.0%} and its level too for {self.level_accuracy:.0%}; guessing"
            f" among {kinds} and {len(self.conditions)} would give {1 / kinds:.0%} and"
            f" {1 / len(self.conditions):.0%}"
        )


def condition_name(condition: Condition) -> str:
    """The distortion's name, or `pristine`."""
    return "pristine" if condition == PRISTINE else DISTORTIONS[condition[0]].name


def fit_conditions(
    features: Float[np.ndarray, "n f"],
    conditions: Sequence[Condition],
    held_out: Bool[np.ndarray, " n"],
    weights_sha256: str,
) -> Conditions:
    """Centroids from some pictures, accuracy and temperature from the held-out others.

    Args:
        features: finite, in any floating type.
        conditions: of each picture.
        held_out: which pictures only measure.
        weights_sha256: of the network the features came from.

    Raises:
        ValueError: the lengths differ, or nothing is left to learn or to measure with.
    """
    if not len(features) == len(conditions) == len(held_out):
        raise ValueError(
            f"{len(features)} features, {len(conditions)} conditions, {len(held_out)} flags"
        )
    learned = ~held_out
    known = sorted({c for c, learn in zip(conditions, learned, strict=True) if learn})
    places = {c: k for k, c in enumerate(known)}
    measured = held_out & np.array([c in places for c in conditions], bool)
    if len(known) < 2 or not measured.any():
        raise ValueError("at least two conditions and one held-out picture are needed")
    of_class = np.array([places.get(c, -1) for c in conditions])
    x = np.asarray(features[learned], np.float32)
    mean = x.mean(axis=0)
    deviation = x.std(axis=0)
    deviation = np.maximum(deviation, max(float(deviation.max()) * SMALLEST_DEVIATION, 1e-12))
    x = (x - mean) / deviation
    components = _white_components(x, of_class[learned], len(known))
    y = x @ components
    centroids = np.stack([y[of_class[learned] == k].mean(axis=0) for k in range(len(known))])
    tested = ((np.asarray(features[measured], np.float32) - mean) / deviation) @ components
    distances = _squared_distances(tested, centroids)
    truth = of_class[measured]
    named = distances.argmin(axis=1)
    kinds = np.array([c[0] for c in known])
    return Conditions(
        weights_sha256,
        known,
        mean,
        deviation,
        components,
        centroids,
        _temperature(distances, truth),
        float((kinds[named] == kinds[truth]).mean()),
        float((named == truth).mean()),
        int(measured.sum()),
    )


def _white_components(
    x: Float[np.ndarray, "n f"], of_class: Int[np.ndarray, " n"], classes: int
) -> Float[np.ndarray, "f k"]:
    """Principal components, turned and scaled so that conditions have unit covariance inside.

    The covariance is shrunk towards its diagonal mean as Ledoit and Wolf (J. Multivariate Analysis
    88, 2004) estimate to be best, since there are few pictures of each condition.
    """
    from sklearn.covariance import ledoit_wolf

    # Pictures are fewer than features, so their Gram matrix has the same components for less.
    values, vectors = scipy.linalg.eigh(x @ x.T)
    kept = min(COMPONENTS, len(x) - 1, int((values > values[-1] * 1e-6).sum()))
    values, vectors = values[::-1][:kept], vectors[:, ::-1][:, :kept]
    components = x.T @ (vectors / np.sqrt(values))
    y = x @ components
    means = np.stack([y[of_class == k].mean(axis=0) for k in range(classes)])
    within, _ = ledoit_wolf(y - means[of_class], assume_centered=True)
    values, vectors = scipy.linalg.eigh(within)
    return (components @ (vectors / np.sqrt(np.maximum(values, values[-1] * 1e-9)))).astype(
        np.float32
    )


def _squared_distances(
    a: Float[np.ndarray, "n k"], b: Float[np.ndarray, "c k"]
) -> Float[np.ndarray, "n c"]:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.stack([((a - centre) ** 2).sum(axis=1) for centre in b], axis=1)


def _temperature(distances: Float[np.ndarray, "n c"], truth: Int[np.ndarray, " n"]) -> float:
    """Of those tried, the one that makes the true conditions most likely."""
    own = np.arange(len(truth)), truth
    likely = [
        scipy.special.log_softmax(-distances / (2 * t), axis=1)[own].mean() for t in TEMPERATURES
    ]
    return float(TEMPERATURES[int(np.argmax(likely))])


def save_conditions(path: Path, conditions: Conditions) -> None:
    """Write conditions.npz; the components, most of it, in half precision."""
    write_arrays(
        path,
        {
            "format": np.array(FORMAT),
            "weights_sha256": np.array(conditions.weights_sha256),
            "conditions": np.array(conditions.conditions, np.int32),
            "mean": conditions.mean.astype(np.float32),
            "deviation": conditions.deviation.astype(np.float32),
            "components": conditions.components.astype(np.float16),
            "centroids": conditions.centroids.astype(np.float32),
            "temperature": np.array(conditions.temperature),
            "accuracy": np.array([conditions.type_accuracy, conditions.level_accuracy]),
            "held_out": np.array(conditions.held_out),
        },
    )


def load_conditions(folder: Path) -> Conditions:
    """Read the conditions of a model folder.

    Raises:
        InputError: they are missing, damaged, or of other weights than the folder's.
    """
    path = folder / CONDITIONS_FILE
    remedy = f"make them with `deepfl conditions DATA --model {folder}`"
    if not path.is_file():
        raise InputError(f"{folder}: holds no conditions to explain pictures by; {remedy}")
    arrays = read_arrays(path)
    try:
        if int(arrays["format"]) != FORMAT:
            raise InputError(f"{path}: was written by another version; {remedy}")
        known = [(int(d), int(level)) for d, level in arrays["conditions"]]
        type_accuracy, level_accuracy = map(float, arrays["accuracy"])
        read = Conditions(
            str(arrays["weights_sha256"]),
            known,
            arrays["mean"].astype(np.float32),
            arrays["deviation"].astype(np.float32),
            arrays["components"].astype(np.float32),
            arrays["centroids"].astype(np.float32),
            float(arrays["temperature"]),
            type_accuracy,
            level_accuracy,
            int(arrays["held_out"]),
        )
        (length,), number, width = read.mean.shape, len(known), read.components.shape[1]
        sound = (
            read.deviation.shape == (length,)
            and read.components.shape == (length, width)
            and read.centroids.shape == (number, width)
            and all(c == PRISTINE or c[0] in DISTORTIONS for c in known)
        )
        sound = sound and all(
            np.isfinite(a).all() for a in (read.mean, read.components, read.centroids)
        )
        sound = sound and bool((read.deviation > 0).all()) and read.temperature > 0
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise InputError(f"{path}: is damaged ({error}); {remedy}") from error
    if not sound:
        raise InputError(f"{path}: is damaged; {remedy}")
    if read.weights_sha256 != file_digest(folder / WEIGHTS_FILE):
        raise InputError(f"{path}: belongs to other weights than the folder's; {remedy}")
    return read


def has_conditions(folder: Path) -> bool:
    """Whether a model folder holds conditions for its weights."""
    try:
        load_conditions(folder)
    except InputError:
        return False
    return True
