"""The blind denoiser of distortion 15: a residual U-Net, in arithmetic that is exact everywhere.

MATLAB's pre-trained DnCNN, which the original program uses, is not free. This network takes its
place and its way of working: it predicts the noise of one channel at a time, does not know the
noise level, and was trained on unclipped Gaussian noise (Zhang et al., "Beyond a Gaussian
Denoiser: Residual Learning of Deep CNN for Image Denoising", IEEE Trans. Image Processing 26(7),
2017, doi:10.1109/TIP.2017.2662206). As FFDNet (doi:10.1109/TIP.2018.2839891) it works on the
picture with its pixels unshuffled into channels, and goes on to a quarter and an eighth of the
side, which makes it cost a fourteenth of DnCNN.

Weights and activations are whole numbers held in float32, so small that no sum exceeds 2^24: every
sum is exact whatever its order, and the result is the same on every processor, with every linear
algebra library and any number of threads.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float32, Float64
from scipy.linalg.blas import sgemm

WEIGHTS = Path(__file__).with_name("data") / "denoiser.npz"

# Height and width are extended by mirror images to a multiple of this: three halvings.
SIDE_MULTIPLE = 8

# The largest whole number up to which float32 holds all of them.
LARGEST_EXACT = 2**24
# Steps of an activation from 0 to its peak, and of the input per full scale. More steps would
# leave the weights fewer.
ACTIVATION_STEPS = 1023
INPUT_STEPS = 1023
# In full scales; five deviations of the strongest noise around 0..1. Values outside are clipped.
INPUT_RANGE = (-2.0, 3.0)

# Pixels multiplied at a time: what fits a second-level cache together with the result.
PIXELS_AT_A_TIME = 1024

_INPUT, _RESULT = "input", "noise"  # scales


@dataclass(frozen=True)
class Layer:
    """One convolution of the network.

    Attributes:
        side: of the kernel, 1 or 3 pixels.
        inputs: channels.
        outputs: channels.
        scale: which activations its result is one of; activations that are added share a scale.
        rectified: whether negative results become 0.
        halves: 1 if its input is unshuffled first, so that the sides halve; -1 if its result is
            shuffled, so that they double; else 0.
        silent: whether training starts with all its weights zero.
    """

    side: int
    inputs: int
    outputs: int
    scale: str
    rectified: bool = False
    halves: int = 0
    silent: bool = False


def _block(name: str, channels: int, scale: str) -> dict[str, Layer]:
    """The two layers of a residual block, whose result is added to its input."""
    return {
        f"{name}_1": Layer(3, channels, channels, name, rectified=True),
        f"{name}_2": Layer(3, channels, channels, scale, silent=True),
    }


HALF, QUARTER, EIGHTH = 48, 64, 96  # channels at a half, a quarter and an eighth of the side

LAYERS: Mapping[str, Layer] = MappingProxyType(
    {
        "head": Layer(3, 4, HALF, "half", halves=1),
        **_block("encode_half", HALF, "half"),
        "to_quarter": Layer(1, 4 * HALF, QUARTER, "quarter", halves=1),
        **_block("encode_quarter", QUARTER, "quarter"),
        "to_eighth": Layer(1, 4 * QUARTER, EIGHTH, "eighth", halves=1),
        **_block("eighth_a", EIGHTH, "eighth"),
        **_block("eighth_b", EIGHTH, "eighth"),
        "from_eighth": Layer(1, EIGHTH, 4 * QUARTER, "quarter", halves=-1),
        **_block("decode_quarter", QUARTER, "quarter"),
        "from_quarter": Layer(1, QUARTER, 4 * HALF, "half", halves=-1),
        **_block("decode_half", HALF, "half"),
        "tail": Layer(3, HALF, 4, "noise", halves=-1, silent=True),
    }
)


@dataclass(frozen=True)
class WholeLayer:
    """A layer in whole numbers: sum = kernel * input + bias, result = round(sum * step).

    `step` leads to whole numbers of the scale of its result; for the last layer to intensities,
    which are not rounded.
    """

    kernel: Float32[np.ndarray, "taps inputs outputs"]
    bias: Float32[np.ndarray, " outputs"]
    step: Float32[np.ndarray, " outputs"]
    lowest: float
    highest: float
    rounded: bool


class Denoiser:
    """The network with its weights; immutable, and safe to use from several threads."""

    def __init__(self, weights: Mapping[str, np.ndarray]):
        """Take LAYER/kernel (side, side, inputs, outputs), LAYER/bias and SCALE/peak.

        A peak is the largest activation of a scale; larger ones are clipped to it.

        Raises:
            ValueError: an array is missing, of another shape or not finite.
        """
        self.layers: dict[str, WholeLayer] = {}
        result_scales = {layer.scale for layer in LAYERS.values()} - {_RESULT}
        steps = {
            scale: float(_array(weights, f"{scale}/peak", ())) / ACTIVATION_STEPS
            for scale in sorted(result_scales)
        }
        if min(steps.values()) <= 0:
            raise ValueError("the weights hold a peak that is not positive")
        steps |= {_INPUT: 1 / INPUT_STEPS, _RESULT: 1.0}
        scale = _INPUT
        for name, layer in LAYERS.items():
            shape = (layer.side, layer.side, layer.inputs, layer.outputs)
            kernel = _array(weights, f"{name}/kernel", shape)
            bias = _array(weights, f"{name}/bias", (layer.outputs,))
            self.layers[name] = _whole(
                layer, kernel * steps[scale], bias, _input_bounds(name, scale), steps[layer.scale]
            )
            scale = layer.scale

    def denoise(
        self, image: Float64[np.ndarray, "h w channels"]
    ) -> Float64[np.ndarray, "h w channels"]:
        """Subtract from each channel, 0..1, the noise found in it; the result is not clipped."""
        return np.stack([plane - self.noise(plane) for plane in np.moveaxis(image, 2, 0)], axis=2)

    def noise(self, plane: Float64[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
        """The noise found in one channel whose intensities are nominally 0..1."""
        height, width = plane.shape
        below, right = -height % SIDE_MULTIPLE, -width % SIDE_MULTIPLE
        extended = np.pad(plane, ((0, below), (0, right)), mode="symmetric")
        image = np.rint(np.clip(extended, *INPUT_RANGE) * INPUT_STEPS).astype(np.float32)
        return self._noise(image[..., None])[:height, :width, 0].astype(np.float64)

    def _noise(self, image: Float32[np.ndarray, "h w 1"]) -> Float32[np.ndarray, "h w 1"]:
        """The noise in a channel given as whole numbers, its sides multiples of 8."""
        half = self._block(self._apply("head", image), "encode_half")
        quarter = self._block(self._apply("to_quarter", half), "encode_quarter")
        eighth = self._apply("to_eighth", quarter)
        eighth = self._block(self._block(eighth, "eighth_a"), "eighth_b")
        quarter = self._apply("from_eighth", eighth, added_to=quarter)
        quarter = self._block(quarter, "decode_quarter")
        half = self._apply("from_quarter", quarter, added_to=half)
        half = self._block(half, "decode_half")
        return self._apply("tail", half)

    def _block(self, x: Float32[np.ndarray, "h w c"], name: str) -> Float32[np.ndarray, "h w c"]:
        return self._apply(f"{name}_2", self._apply(f"{name}_1", x), added_to=x)

    def _apply(
        self,
        name: str,
        x: Float32[np.ndarray, "h w c"],
        added_to: Float32[np.ndarray, "h w d"] | None = None,
    ) -> Float32[np.ndarray, "h w d"]:
        layer, whole = LAYERS[name], self.layers[name]
        result = self._convolved(_unshuffle(x) if layer.halves > 0 else x, whole)
        if layer.halves < 0:
            result = _shuffle(result)
        if added_to is None:
            return result
        return (result + added_to).clip(whole.lowest, whole.highest)

    @staticmethod
    def _convolved(
        x: Float32[np.ndarray, "h w c"], layer: WholeLayer
    ) -> Float32[np.ndarray, "h w d"]:
        """One layer on whole numbers; outside the picture are zeros."""
        height, width, _ = x.shape
        taps, channels, outputs = layer.kernel.shape
        border = 1 if taps > 1 else 0
        # A frame of zeros, and the picture as one long list of pixels: the neighbours of a run of
        # pixels are then another run of the same list, so a kernel is nine plain products.
        framed = np.zeros((height + 2 * border, width + 2 * border, channels), np.float32)
        framed[border : border + height, border : border + width] = x
        pixels = framed.reshape(-1, channels)
        row = width + 2 * border
        reach = range(-border, border + 1)
        offsets = [row * down + right for down in reach for right in reach]
        result = np.empty((height, row, outputs), np.float32)
        sums_of_all = result.reshape(-1, outputs)
        # The first and the last pixels of the framed rows would need what lies before the list's
        # start and after its end; they belong to the frame, and so are left out.
        end = len(sums_of_all) - 2 * border
        for start in range(0, end, PIXELS_AT_A_TIME):
            stop = min(start + PIXELS_AT_A_TIME, end)
            sums = sums_of_all[start:stop]
            sums[:] = layer.bias
            for tap, offset in zip(layer.kernel, offsets, strict=True):
                first = start + border * (row + 1) + offset
                run = pixels[first : first + stop - start]
                # Column-major for BLAS: everything is handed over transposed, without a copy.
                sgemm(1.0, tap.T, run.T, 1.0, sums.T, overwrite_c=True)
            sums *= layer.step
            if layer.rounded:
                np.rint(sums, out=sums)
                np.clip(sums, layer.lowest, layer.highest, out=sums)
        return result[:, :width]


@functools.cache
def load_denoiser(path: Path = WEIGHTS) -> Denoiser:
    """The denoiser in a file of weights, by default the one of this package.

    Raises:
        OSError: the file is missing.
        ValueError: the file is damaged or of another network.
    """
    with np.load(path, allow_pickle=False) as weights:
        return Denoiser(weights)


_replacement: Denoiser | None = None


def current_denoiser() -> Denoiser:
    """What distortion 15 takes noise out with: this package's denoiser, or `use_denoiser`'s."""
    return _replacement or load_denoiser()


def use_denoiser(denoiser: Denoiser | None) -> None:
    """Let this process compute distortion 15 with another implementation of the same network.

    Args:
        denoiser: one that gives the same numbers, say on a GPU; None for this package's own.
    """
    global _replacement
    _replacement = denoiser


def _array(
    weights: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]
) -> Float64[np.ndarray, "..."]:
    if name not in weights or weights[name].shape != shape:
        raise ValueError(f"the weights hold no {name} of shape {shape}")
    array = weights[name].astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"the weights hold a {name} that is not finite")
    return array


def _input_bounds(name: str, scale: str) -> tuple[float, float]:
    """Lowest and highest whole number that a layer can receive."""
    if scale == _INPUT:
        return INPUT_RANGE[0] * INPUT_STEPS, INPUT_RANGE[1] * INPUT_STEPS
    # The second layer of a residual block receives the rectified result of the first.
    return (0.0 if name.endswith("_2") else -ACTIVATION_STEPS), ACTIVATION_STEPS


def _whole(
    layer: Layer,
    kernel: Float64[np.ndarray, "rows columns inputs outputs"],
    bias: Float64[np.ndarray, " outputs"],
    bounds: tuple[float, float],
    result_step: float,
) -> WholeLayer:
    """Round a layer to whole numbers, as fine per output channel as exact sums allow."""
    kernel = kernel.reshape(-1, layer.inputs, layer.outputs)
    # The largest sum of the terms of one sign; no partial sum, in any order, can exceed it.
    low, high = bounds
    positive, negative = np.maximum(kernel, 0), np.maximum(-kernel, 0)
    rising = (positive * high - negative * low).sum(axis=(0, 1)) + np.maximum(bias, 0)
    falling = (negative * high - positive * low).sum(axis=(0, 1)) + np.maximum(-bias, 0)
    # Rounding moves a weight and the bias by a half at most.
    moved = 0.5 * (kernel[..., 0].size * max(high, -low) + 1)
    largest = np.maximum(np.maximum(rising, falling), np.finfo(np.float64).tiny)
    step = largest / (LARGEST_EXACT - moved)
    return WholeLayer(
        kernel=np.ascontiguousarray(np.rint(kernel / step), np.float32),
        bias=np.rint(bias / step).astype(np.float32),
        step=(step / result_step).astype(np.float32),
        lowest=0.0 if layer.rectified else -ACTIVATION_STEPS,
        highest=ACTIVATION_STEPS,
        rounded=layer.scale != _RESULT,
    )


def _unshuffle(x: Float32[np.ndarray, "h w c"]) -> Float32[np.ndarray, "h/2 w/2 4*c"]:
    """The four pixels of a 2 x 2 square become the channels of one."""
    height, width, channels = x.shape
    squares = x.reshape(height // 2, 2, width // 2, 2, channels).swapaxes(1, 2)
    return squares.reshape(height // 2, width // 2, 4 * channels)


def _shuffle(x: Float32[np.ndarray, "h w 4*c"]) -> Float32[np.ndarray, "2*h 2*w c"]:
    """The inverse of `_unshuffle`."""
    height, width, channels = x.shape
    squares = x.reshape(height, width, 2, 2, channels // 4).swapaxes(1, 2)
    return squares.reshape(2 * height, 2 * width, channels // 4)
