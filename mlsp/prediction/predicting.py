"""The quality of pictures without a reference: files, folders, tables, or pixels in memory."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from mlsp.features.canvases import batch_size, canvas_for, check_size
from mlsp.features.sources import Files, Source, open_source
from mlsp.prediction.predictor import Prediction, Predictor
from mtl.network.weights import INCLUDED
from mtl.runtime.files import InputError
from mtl.runtime.memory import free_memory
from mtl.runtime.pictures import Rejected
from mtl.runtime.progress import progress_bar

Place = str | os.PathLike
Pixels = UInt8[np.ndarray, "h w 3"]
Stack = UInt8[np.ndarray, "n h w 3"]


@dataclass(frozen=True)
class SeenPicture(Rejected):
    """A picture that was left out since the model was trained on it."""


@dataclass(frozen=True)
class _Images:
    """Pixels in memory, as a source of pictures."""

    names: Sequence[str]
    images: Sequence[Pixels]

    @property
    def columns(self) -> Sequence[Mapping[str, str]]:
        """Nothing is known of them."""
        return [{} for _ in self.names]

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of the array."""
        height, width = self.images[index].shape[:2]
        return height, width

    def load(self, index: int) -> Pixels:
        """Return the array itself."""
        return self.images[index]

    def content(self, index: int) -> str:
        """Return nothing: models know the pictures they were trained on by their files."""
        return ""


@dataclass(frozen=True)
class _Place:
    """A picture among those to be judged."""

    order: int
    shown: str
    source: Source
    index: int


def predict(
    pictures: Place | Pixels | Stack | Sequence[Place | Pixels],
    model: str | os.PathLike = INCLUDED,
    *,
    explain: bool = False,
    seen: bool = False,
) -> list[Prediction]:
    """Return the quality of pictures, without a reference.

    The model is read and compiled at each call, which takes seconds. A program that predicts again
    and again keeps a `mlsp.prediction.predictor.Predictor` and gives it to `predict_files`, which
    also leaves bad pictures out instead of failing.

    Args:
        pictures: a picture file, a folder of them or a CSV file that names them; or pixels, RGB,
            uint8 0..255, of shape (h, w, 3) or (n, h, w, 3), each side at least the network's
            smallest (75 of InceptionResNetV2); or a sequence of such paths and pixels, in which
            each picture has a size of its own.
        model: the folder of a model or of a run; deepfl-small comes with the package and judges
            from 1 (very annoying) to 5 (imperceptible).
        explain: find the likeliest distortions, too, where the model can.
        seen: judge also files that the model was trained on.

    Returns:
        A prediction for each picture, in the order of `pictures`, the files of a folder by name.
        `quality` is on the scale of the model's human ratings, or 0..1 without any; higher is
        better. `scores` are the predicted full-reference scores. `image` is the file, or
        `pictures[k]` for pixels.

    Raises:
        InputError: a file or the model cannot be used, a picture is too small or too large, or
            the model was trained on it.
        TypeError: pixels are not uint8, or something is neither pixels nor a path.
        ValueError: pixels are of another shape.

    Example:
        >>> from skimage import data
        >>> from distortions import distort
        >>> photo = data.chelsea()
        >>> good, bad = predict([photo, distort(photo, "gaussian_blur", 5)])
        >>> good.quality > bad.quality
        True
    """
    sources = list(_sources(pictures))
    found = []
    for result in _predicted(Predictor(model, explain=explain), sources, seen=seen):
        if isinstance(result, Rejected):
            raise InputError(result.reason)
        found.append(result)
    return found


def _sources(
    pictures: Place | Pixels | Stack | Sequence[Place | Pixels],
) -> Iterator[tuple[Source, Path]]:
    """Yield what holds the pictures, and the folder that their names are relative to."""
    many = isinstance(pictures, Sequence | np.ndarray) and not isinstance(pictures, str)
    if isinstance(pictures, np.ndarray) and pictures.ndim == 3:
        many = False
    for number, each in enumerate(pictures if many else [pictures]):
        if isinstance(each, str | os.PathLike):
            yield _opened(Path(each))
            continue
        name = f"pictures[{number}]"
        if not isinstance(each, np.ndarray) or each.dtype != np.uint8:
            kind = each.dtype if isinstance(each, np.ndarray) else type(each).__name__
            raise TypeError(f"{name} must be a path or pixels of type uint8, got {kind}")
        if each.ndim != 3 or each.shape[-1] != 3:
            raise ValueError(f"{name} must have shape (h, w, 3), got {each.shape}")
        yield _Images([name], [each]), Path()


def _opened(path: Path, tell: Callable[[str], None] | None = None) -> tuple[Source, Path]:
    source = open_source(path, tell)
    return source, source.root if isinstance(source, Files) else path


def predict_files(
    predictor: Predictor,
    paths: Sequence[Path],
    *,
    seen: bool = False,
    progress: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Prediction | Rejected]:
    """Judge picture files and all pictures in folders; a bad one among them is reported.

    So are pictures that the model was trained on: what it says of them is no prediction.

    Pictures of similar sizes are judged together, so that few programs are compiled; the results
    come in the order of the paths and names nevertheless.

    Args:
        predictor: of the model.
        paths: files, folders, and CSV files that name pictures.
        seen: judge also the pictures that the model was trained on.
        progress: report on standard error.
        tell: called with a line for each kind of file that folders' pictures are without.

    Raises:
        InputError: a path does not exist, or a folder holds no pictures.
    """
    sources = [_opened(path, tell) for path in paths]
    yield from _predicted(predictor, sources, seen=seen, progress=progress)


def _predicted(
    predictor: Predictor,
    sources: Sequence[tuple[Source, Path]],
    *,
    seen: bool,
    progress: bool = False,
) -> Iterator[Prediction | Rejected]:
    """Judge the pictures of sources, each with the folder of its names, in their order."""
    places = []
    for source, root in sources:
        for index, name in enumerate(source.names):
            places.append(_Place(len(places), str(root / name), source, index))
    waiting: dict[int, Prediction | Rejected] = {}
    given = 0
    with progress_bar(len(places), "pictures", "img", show=progress and len(places) > 1) as bar:
        for results in _judged(predictor, places, {} if seen else predictor.seen):
            waiting.update(results)
            bar.update(len(results))
            while given in waiting:
                yield waiting.pop(given)
                given += 1


def _judged(
    predictor: Predictor, places: Sequence[_Place], refused: Mapping[str, str]
) -> Iterator[dict[int, Prediction | Rejected]]:
    """Results by place, a batch at a time; pictures of a content in `refused` are rejected."""
    groups, rejected = _grouped(predictor, places, refused)
    yield dict(rejected)
    for canvas, group in groups.items():
        rows = batch_size(canvas, len(group))
        for start in range(0, len(group), rows):
            batch = group[start : start + rows]
            results: dict[int, Prediction | Rejected] = {}
            images, kept = [], []
            for place in batch:
                try:
                    images.append(predictor.prepared(place.source.load(place.index)))
                    kept.append(place)
                except InputError as error:
                    results[place.order] = Rejected(place.shown, str(error))
            if kept:
                found = predictor.judge([place.shown for place in kept], images, canvas, rows)
                results.update(zip((place.order for place in kept), found, strict=True))
            yield results


def _grouped(
    predictor: Predictor, places: Sequence[_Place], refused: Mapping[str, str]
) -> tuple[dict[tuple[int, int], list[_Place]], dict[int, Rejected]]:
    """Usable pictures by canvas, and the reasons against the others by place."""
    groups: dict[tuple[int, int], list[_Place]] = {}
    rejected = {}
    free, network = free_memory(), predictor.network
    for place in places:
        try:
            size = place.source.size(place.index)
            check_size(size, None, network)
            size = predictor.size_for(size)
            check_size(size, free, network)
            table = refused.get(place.source.content(place.index)) if refused else None
            if table is not None:
                reason = f"{place.shown}: the model was trained on it, by {table}"
                rejected[place.order] = SeenPicture(place.shown, reason)
                continue
        except InputError as error:
            # Errors about a file name it already.
            text = str(error)
            shown = text if place.shown in text else f"{place.shown}: {text}"
            rejected[place.order] = Rejected(place.shown, shown)
            continue
        groups.setdefault(canvas_for(size, network), []).append(place)
    return groups, rejected
