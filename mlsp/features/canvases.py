"""Few shapes for pictures of many sizes: sizes that are padded to, and what memory allows.

XLA compiles a program for every shape, for tens of seconds. A folder of photographs has dozens of
sizes, so pictures are laid on canvases whose sides are rounded up to a multiple of the largest
power of two that is no more than an eighth of the side (32 at least). Over 511 photographs of 73
sizes that makes 27 shapes with 7 % more pixels; multiples of 64 make 26 with 8 %, of 128 19 with
12 %. Pictures for a network whose pictures cannot share a canvas are grouped by exact size.
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Int32, UInt8

from mtl.network.networks import DEFAULT, NETWORKS, Network
from mtl.runtime.files import InputError

SMALLEST_STEP = 32  # pixels
STEPS_PER_SIDE = 8

# The share of the free memory that a batch may take.
MEMORY_SHARE = 0.8

# Pictures, and pixels, per forward pass. Small batches keep the activations of large photographs in
# memory. On CPUs the caches do: eight pictures of 512×384 take 1.13 times as long as one by one,
# two of 256×192 .92 times as long (two cores; a quarter of the width: 1.20 and .85 times).
BATCH_SIZE = 8
BATCH_PIXELS = 8 * 384 * 512
CPU_BATCH_PIXELS = 2 * 192 * 256

Size = tuple[int, int]  # height, width in pixels


def canvas_side(side: int) -> int:
    """The length a side is padded to."""
    step = max(SMALLEST_STEP, 1 << ((side // STEPS_PER_SIDE).bit_length() - 1))
    return -(-side // step) * step


def canvas_for(size: Size, network: Network = NETWORKS[DEFAULT]) -> Size:
    """Return the canvas that a picture of (height, width) is laid on.

    It is the picture's own size where the network's pictures cannot share one.
    """
    return (canvas_side(size[0]), canvas_side(size[1])) if network.shares_canvas else size


def canvases(
    sizes: Mapping[int, Size], network: Network = NETWORKS[DEFAULT]
) -> dict[Size, list[int]]:
    """Return the pictures by canvas, those of the smallest first.

    Where all pictures of a canvas have one size, that size is the canvas: no more programs, and
    nothing is padded.

    Args:
        sizes: (height, width) by the picture's index.
        network: that describes them.
    """
    found: dict[Size, list[int]] = {}
    for index, size in sizes.items():
        found.setdefault(canvas_for(size, network), []).append(index)
    exact: dict[Size, list[int]] = {}
    for canvas, indices in found.items():
        present = {sizes[i] for i in indices}
        exact[present.pop() if len(present) == 1 else canvas] = sorted(indices)
    return dict(sorted(exact.items(), key=lambda item: (item[0][0] * item[0][1], item[0])))


def batch_size(canvas: Size, number: int, *, backend: str | None = None) -> int:
    """The largest power of two up to BATCH_SIZE that memory allows and `number` can use.

    Args:
        canvas: (height, width).
        number: of pictures.
        backend: JAX's name of the devices, those of this process if not given.
    """
    pixels = CPU_BATCH_PIXELS if (backend or jax.default_backend()) == "cpu" else BATCH_PIXELS
    most = min(BATCH_SIZE, pixels // (canvas[0] * canvas[1]), number)
    return 1 << max(0, most.bit_length() - 1)


def on_canvas(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]], canvas: Size, rows: int
) -> tuple[UInt8[np.ndarray, "n h w 3"], Int32[np.ndarray, "n 2"] | None]:
    """Pictures in the upper left corners of a batch of canvases, and their sizes.

    Args:
        images: at most `rows`, none larger than the canvas.
        canvas: (height, width).
        rows: of the batch; those to spare repeat the last picture, so that there is one shape.

    Returns:
        Pixels, and (height, width) of each; None where each fills its canvas.
    """
    batch = np.zeros((rows, *canvas, 3), np.uint8)
    sizes = np.empty((rows, 2), np.int32)
    for k in range(rows):
        image = images[min(k, len(images) - 1)]
        sizes[k] = image.shape[:2]
        batch[k, : image.shape[0], : image.shape[1]] = image
    return batch, None if (sizes == canvas).all() else sizes


def check_size(size: Size, free: int | None, network: Network = NETWORKS[DEFAULT]) -> None:
    """Refuse pictures that the network or the memory cannot take.

    Args:
        size: (height, width).
        free: bytes, from `free_memory`.
        network: that describes the picture.

    Raises:
        InputError: says what is wrong, without the picture's name.
    """
    smallest = network.smallest_side
    if min(size) < smallest:
        raise InputError(
            f"{size[1]}×{size[0]} pixels are too few; at least {smallest}×{smallest} are needed"
        )
    canvas = canvas_for(size, network)
    needed = canvas[0] * canvas[1] * network.bytes_per_pixel
    if free is not None and needed > MEMORY_SHARE * free:
        raise InputError(
            f"{size[1]}×{size[0]} pixels need about {needed / 1e9:.1f} GB of memory and"
            f" {free / 1e9:.1f} GB are free; make the picture smaller or take crops of it"
        )
