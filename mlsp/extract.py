"""MLSP features: 43 activations, each averaged over the picture, 16,928 numbers per image.

DeepFL-IQA, arXiv:2001.08113, section IV-C. Pictures keep their own size (75×75 at least), since
averaging over the picture makes the length independent of it.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from mlsp.blocks import BLOCKS, LENGTH
from mlsp.sources import Source
from mlsp.store import Features, FeatureWriter, load_features
from mtl import compilation_cache
from mtl.files import InputError
from mtl.inception_resnet_v2 import SMALLEST_SIDE
from mtl.progress import progress_bar, say
from mtl.weights import TrainedModel

# Pictures per forward pass. Small batches keep the activations of large photographs in memory; on a
# CPU larger ones gain nothing.
BATCH_SIZE = 8
BATCH_PIXELS = 8 * 384 * 512

Extractor = Callable[[Num[Array, "n h w 3"]], Float[Array, "n 16928"]]


def extractor(model: TrainedModel) -> Extractor:
    """A compiled function from pixels 0..255 to features; compiled once per shape."""
    weights = {name: jnp.asarray(values) for name, values in model.weights.items()}

    @jax.jit
    def pooled(weights, images):
        activations = model.functional.model(weights).activations(images)
        return jnp.concatenate([activations[name].mean(axis=(1, 2)) for name, _ in BLOCKS], axis=1)

    compilation_cache.enable()
    return lambda images: pooled(weights, images)


def extract(
    model: TrainedModel, images: Num[np.ndarray, "n h w 3"]
) -> Float[np.ndarray, "n 16928"]:
    """MLSP features of a batch of pictures of one size.

    Args:
        model: read by `mtl.weights.load_model`.
        images: pixels 0..255, RGB, at least 75×75.

    Raises:
        ValueError: the shape is not (n, h, w, 3) or the pictures are too small.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"images must have shape (n, h, w, 3), got {images.shape}")
    run = extractor(model)
    parts = [
        np.asarray(run(images[start : start + BATCH_SIZE]))
        for start in range(0, len(images), BATCH_SIZE)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, LENGTH), np.float32)


def extract_to(
    model: TrainedModel, source: Source, out: Path, *, progress: bool = False
) -> Features:
    """Extract the features of all pictures of a source into a feature folder, or what is missing.

    Pictures that cannot be used are left out, counted and named in `skipped.csv`.

    Args:
        model: read by `mtl.weights.load_model`.
        source: the pictures.
        out: the feature folder; one that was begun with the same model and pictures is continued.
        progress: report on standard error.

    Raises:
        InputError: no picture can be used, or `out` holds something else.
    """
    writer = FeatureWriter(out, source, model)
    if writer.complete:
        say(f"{out}: all {len(source.names)} pictures are done", show=progress)
        return load_features(out)
    sizes: dict[tuple[int, int], list[int]] = {}
    for index in writer.missing():
        try:
            size = source.size(index)
            if min(size) < SMALLEST_SIDE:
                raise InputError(
                    f"{size[1]}×{size[0]} pixels are too few; at least"
                    f" {SMALLEST_SIDE}×{SMALLEST_SIDE} are needed"
                )
            sizes.setdefault(size, []).append(index)
        except InputError as error:
            writer.skip(index, str(error))
    if len(writer.skipped) == len(source.names):
        raise InputError(
            f"none of the {len(source.names)} pictures can be used; the first,"
            f" {source.names[0]}: {writer.skipped[0]}"
        )
    writer.begin()
    run = extractor(model)
    with progress_bar(
        len(source.names), "features", "img", show=progress, done=writer.number_done
    ) as bar:
        for size, indices in sorted(sizes.items()):
            for batch in _batches(size, indices):
                images, kept = [], []
                for index in batch:
                    try:
                        images.append(source.load(index))
                        kept.append(index)
                    except InputError as error:
                        writer.skip(index, str(error))
                if kept:
                    # One shape per size: a short batch is filled up with its last picture.
                    images += images[-1:] * (_batch_size(size, len(indices)) - len(images))
                    features = np.asarray(run(np.stack(images)))[: len(kept)]
                    writer.write(kept, features)
                bar.update(len(batch))
    return writer.finish()


def _batch_size(size: tuple[int, int], number: int) -> int:
    """The largest power of two up to BATCH_SIZE that memory allows and `number` can use."""
    most = min(BATCH_SIZE, BATCH_PIXELS // (size[0] * size[1]), number)
    return 1 << max(0, most.bit_length() - 1)


def _batches(size: tuple[int, int], indices: Sequence[int]) -> Iterator[Sequence[int]]:
    step = _batch_size(size, len(indices))
    for start in range(0, len(indices), step):
        yield indices[start : start + step]
