"""Features of pictures: pooled activations, 16,928 numbers of InceptionResNetV2 by default.

DeepFL-IQA, arXiv:2001.08113, section IV-C; other kinds are in `mlsp.features.pooling`. Pictures
keep their own size, since pooling over the picture makes the length independent of it; each
network has a smallest one. They are laid on canvases of few shapes (`mlsp.features.canvases`),
which changes nothing but rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

from mlsp.features.canvases import Size, batch_size, canvases, check_size, on_canvas
from mlsp.features.crops import CropRows, Crops, pool_features
from mlsp.features.describing import describer, on_device
from mlsp.features.pooling import Kind, feature_shape
from mlsp.features.sources import Source
from mlsp.features.store import Features, FeatureWriter
from mtl.network.networks import Network
from mtl.network.weights import WEIGHTS_FILE, TrainedModel
from mtl.runtime.files import InputError, file_digest
from mtl.runtime.memory import free_memory
from mtl.runtime.progress import progress_bar, say

Extractor = Callable[[ArrayLike, ArrayLike | None], Float[Array, "n ..."]]


def extractor(model: TrainedModel, kind: Kind = "mlsp") -> Extractor:
    """A compiled function from pixels and sizes to features; compiled once per shape.

    Pixels (n, h, w, 3) are 0..255; sizes (n, 2) are the height and width of each picture, in the
    upper left corner of its image, or None where pictures are as large as their images.
    """
    describe = describer(model, on_device(model), (kind,))
    return lambda images, sizes=None: describe(images, sizes)[kind]


def extract(
    model: TrainedModel, images: Num[np.ndarray, "n h w 3"], kind: Kind = "mlsp"
) -> Float[np.ndarray, "n ..."]:
    """Return the features of pictures of one size: (n, *feature_shape(kind, width, network)).

    Args:
        model: read by `mtl.network.weights.load_model`.
        images: pixels 0..255, RGB, each side at least the network's smallest.
        kind: see `mlsp.features.pooling`.

    Raises:
        ValueError: the shape is not (n, h, w, 3) or the pictures are too small.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"images must have shape (n, h, w, 3), got {images.shape}")
    run = extractor(model, kind)
    step = batch_size(images.shape[1:3], len(images))
    parts = [
        np.asarray(run(images[start : start + step], None)) for start in range(0, len(images), step)
    ]
    nothing = np.zeros((0, *_shape_of_one(model, kind)), np.float32)
    return np.concatenate(parts) if parts else nothing


def _shape_of_one(model: TrainedModel, kind: Kind) -> tuple[int, ...]:
    """Return the shape of one picture's features."""
    return feature_shape(kind, model.config.width, model.config.row)


def extract_to(
    model: TrainedModel,
    source: Source,
    out: Path,
    *,
    kind: Kind = "mlsp",
    crops: Crops | None = None,
    progress: bool = False,
) -> Features:
    """Extract the features of all pictures of a source into a feature folder, or what is missing.

    Pictures that cannot be used are left out, counted and named in `skipped.csv`: those that cannot
    be read, are too small for the network, or need more memory than is free (about 400
    bytes per pixel for InceptionResNetV2).

    Args:
        model: read by `mtl.network.weights.load_model`.
        source: the pictures.
        out: the feature folder; one that was begun with the same settings is continued, and what it
            holds of pictures whose content has changed is made again.
        kind: of the features, see `mlsp.features.pooling`.
        crops: describe random crops in the place of whole pictures.
        progress: report on standard error.

    Raises:
        InputError: no picture can be used, or `out` holds something else.
    """
    identity = {
        "weights_sha256": file_digest(model.folder / WEIGHTS_FILE),
        "scaling": model.config.scaling,
        "features": kind,
    }
    network = model.config.row
    shape, parts = _shape_of_one(model, kind), 1
    rows = source
    if crops is not None:
        identity["crops"] = f"{crops.number} of {crops.size}, {crops.pool}, seed {crops.seed}"
        rows = CropRows(source, crops, network)
        if crops.pool == "none":
            source = rows
        else:
            parts = crops.number
            shape = (*shape[:-1], shape[-1] * (parts if crops.pool == "concat" else 1))
    writer = FeatureWriter(out, source, identity, shape, {"features": kind}, progress=progress)
    if writer.complete:
        say(f"{out}: all {len(source.names)} rows are done", show=progress)
        return writer.refresh()
    sizes = _sizes(writer, rows, parts, network, progress)
    writer.check_usable()
    writer.begin()
    run = extractor(model, kind)
    missing = set(writer.missing())
    with progress_bar(
        len(source.names), "features", "img", show=progress, done=writer.number_done
    ) as bar:
        for canvas, indices in canvases(sizes, network).items():
            todo = [i for i in indices if i in missing]
            bar.set_postfix_str(f"{canvas[1]}×{canvas[0]}", refresh=False)
            step = batch_size(canvas, len(indices) * parts)
            found: dict[int, list[np.ndarray]] = {}
            for batch in _batches(_pieces(writer, rows, todo, parts), step):
                features = np.asarray(run(*on_canvas([image for _, image in batch], canvas, step)))
                for (index, _), row in zip(batch, features, strict=False):
                    found.setdefault(index, []).append(row)
                whole = [index for index, list_ in found.items() if len(list_) == parts]
                if whole:
                    writer.write(whole, np.stack([_joined(found.pop(i), crops) for i in whole]))
                bar.update(len(whole))
            bar.update(sum(i in writer.skipped for i in todo))
    return writer.finish()


def _sizes(
    writer: FeatureWriter, rows: Source, parts: int, network: Network, progress: bool
) -> dict[int, Size]:
    """Sizes of the usable pictures or crops, also of those done, so that the canvases stay."""
    free = free_memory()
    sizes: dict[int, Size] = {}
    missing = set(writer.missing())
    number = len(writer.source.names)
    with progress_bar(number, "sizes", "img", show=progress and number > FEW) as bar:
        for index in range(number):
            bar.update()
            if index in writer.skipped:
                continue
            try:
                size = rows.size(index * parts)
                check_size(size, free, network)
                sizes[index] = size
            except InputError as error:
                if index in missing:
                    writer.skip(index, str(error))
    return sizes


# Sizes of so many pictures are read in less than two seconds.
FEW = 1000


def _pieces(
    writer: FeatureWriter, rows: Source, indices: Sequence[int], parts: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The images that rows of features are made of, those of a row together."""
    for index in indices:
        try:
            images = [rows.load(index * parts + part) for part in range(parts)]
        except InputError as error:
            writer.skip(index, str(error))
            continue
        yield from ((index, image) for image in images)


def _batches(
    pieces: Iterator[tuple[int, np.ndarray]], step: int
) -> Iterator[list[tuple[int, np.ndarray]]]:
    batch = []
    for piece in pieces:
        batch.append(piece)
        if len(batch) == step:
            yield batch
            batch = []
    if batch:
        yield batch


def _joined(parts: Sequence[np.ndarray], crops: Crops | None) -> np.ndarray:
    if crops is None or crops.pool == "none":
        return parts[0]
    return pool_features(np.stack(parts), crops.pool)
