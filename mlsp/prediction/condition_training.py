"""Giving a model its conditions: some pictures of each, their features, and the centroids."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from mlsp.features.data_sets import DataSet
from mlsp.features.extraction import extract_to
from mlsp.features.store import Features
from mlsp.prediction.conditions import (
    CONDITIONS_FILE,
    PRISTINE,
    Condition,
    Conditions,
    condition_name,
    fit_conditions,
    save_conditions,
)
from mtl.kadis.manifest import read_manifest
from mtl.kadis.photographs import photographs_folder, pristine_again
from mtl.network.weights import WEIGHTS_FILE, load_model
from mtl.runtime.contents import content_digest, digest_of
from mtl.runtime.files import InputError, file_digest
from mtl.runtime.progress import say, stage

WORK_FOLDER = "conditions-features"  # inside the model folder while features are extracted

PICTURES = 4  # of each condition by default: 625 pictures with the held-out ones, minutes on a CPU
FEWEST = 3  # pictures of a condition that make a centroid
HELD_OUT_SHARE = 4  # one held-out picture for so many that make the centroids


def add_conditions(
    folder: Path,
    data: Path,
    *,
    pictures: int = PICTURES,
    photos: Path | None = None,
    progress: bool = False,
) -> Conditions:
    """Give a model folder its conditions.npz, from a data set with pictures of each condition.

    Features are extracted into a folder inside the model's until all are there, so that a stopped
    call continues; then it is removed.

    Args:
        folder: the model folder.
        data: data set of `deepfl generate`.
        pictures: of each condition in the training split; a quarter as many of the validation
            split, one at least, measure the accuracy.
        photos: the photographs, for the pristine pictures of a data set that does not store them;
            where they were when it was made if not given. Without them pristine is no condition.
        progress: report on standard error.

    Raises:
        InputError: the data set holds too few pictures of a condition, or cannot be read.
    """
    if pictures < FEWEST:
        raise InputError(
            f"{pictures} pictures of each condition are too few; give {FEWEST} or more"
        )
    model = load_model(folder)
    examples = _Examples(data, pictures, photos, progress)
    digest = file_digest(model.folder / WEIGHTS_FILE)
    work = model.folder / f"{WORK_FOLDER}-{examples.digest(digest)[:12]}"
    found = extract_to(model, examples, work, progress=progress)
    conditions, held_out = _of_rows(found)
    if not held_out.any():
        raise InputError(f"{data}: its validation split holds none of the conditions")
    with stage("centroids of the conditions", show=progress):
        fitted = fit_conditions(found.matrix[:], conditions, held_out, digest)
    save_conditions(model.folder / CONDITIONS_FILE, fitted)
    for leftover in model.folder.glob(f"{WORK_FOLDER}-*"):
        shutil.rmtree(leftover)
    return fitted


def _of_rows(found: Features) -> tuple[list[Condition], Bool[np.ndarray, " n"]]:
    conditions = [(int(row["distortion"]), int(row["level"])) for row in found.columns]
    return conditions, np.array([row["split"] == "validation" for row in found.columns])


class _Examples:
    """A source: some pictures of each condition, and the pristine ones where they can be had."""

    def __init__(self, data: Path, pictures: int, photos: Path | None, progress: bool):
        self._data = DataSet(data)
        self._plan = read_manifest(data)["plan"]
        by_condition: dict[str, dict[Condition, list[int]]] = {"train": {}, "validation": {}}
        by_reference: dict[str, dict[str, int]] = {"train": {}, "validation": {}}
        for index, row in enumerate(self._data.columns):
            condition = int(row["distortion"]), int(row["level"])
            by_condition[row["split"]].setdefault(condition, []).append(index)
            by_reference[row["split"]].setdefault(row["reference"], index)
        _check_counts(data, by_condition)
        self._photos = None
        if not self._data.stores_pristine:
            self._photos = photographs_folder(data, photos)
        if self._data.stores_pristine or self._photos is not None:
            for split, references in by_reference.items():
                by_condition[split][PRISTINE] = list(references.values())
        else:
            say(
                f"{data}: does not store pristine pictures, and the photographs are not where they"
                " were; without --photos, pristine is no condition",
                show=progress,
            )
        rng = np.random.default_rng(0)
        chosen: list[tuple[Condition, int]] = []
        for split, number in (
            ("train", pictures),
            ("validation", max(1, pictures // HELD_OUT_SHARE)),
        ):
            for condition, indices in sorted(by_condition[split].items()):
                some = rng.permutation(indices)[:number].tolist()
                chosen += [(condition, index) for index in some]
        self._chosen = chosen
        rows = [(condition, self._data.columns[index]) for condition, index in chosen]
        self.names: Sequence[str] = [
            f"{row['split']}/{row['reference']}/{c[0]:02d}_{c[1]:02d}" for c, row in rows
        ]
        self.columns: Sequence[Mapping[str, str]] = [
            {**row, "distortion": str(c[0]), "level": str(c[1])} for c, row in rows
        ]

    def digest(self, weights: str) -> str:
        """Of what will be extracted."""
        return digest_of(weights, list(self.names))

    def size(self, index: int) -> tuple[int, int]:
        """The data set's common size."""
        return self._data.size(index)

    def load(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """The pixels."""
        condition, place = self._chosen[index]
        if condition != PRISTINE:
            return self._data.load(place)
        if self._photos is None:
            return self._data.pristine(place)
        return pristine_again(self._photos, self._plan, self._data.columns[place]["reference"])

    def content(self, index: int) -> str:
        """Return a digest of the data set's shard, or of the photograph and its crop's size."""
        condition, place = self._chosen[index]
        if condition != PRISTINE:
            return self._data.content(place)
        if self._photos is None:
            return digest_of("pristine", self._data.content(place))
        photograph = self._photos / self._data.columns[place]["reference"]
        return digest_of(content_digest(photograph), self._plan["size"])


def _check_counts(data: Path, by_condition: Mapping[str, Mapping[Condition, list[int]]]) -> None:
    known = {c for split in by_condition.values() for c in split}
    few = [c for c in known if len(by_condition["train"].get(c, ())) < FEWEST]
    if few:
        raise InputError(
            f"{data}: has fewer than {FEWEST} training pictures of {len(few)} of {len(known)}"
            f" conditions, such as {condition_name(min(few))} at level {min(few)[1]}; explanations"
            " need a larger data set"
        )
