"""The table of distortions: what each is called, its five amounts and the function behind it.

Numbers, names and amounts are those of KADID-10k and KADIS-700k:
Lin, Hosu, Saupe, "KADID-10k: A Large-scale Artificially Distorted IQA Database", QoMEX 2019,
doi:10.1109/QoMEX.2019.8743252; Lin, Hosu, Saupe, "DeepFL-IQA: Weak Supervision for Deep IQA
Feature Learning", arXiv:2001.08113. The amounts are those of the original MATLAB release. The
order of types 18 and 25, which differs between copies, is the one the mean ratings published with
KADID-10k support: both are rated best at level 3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from distortions import blur, brightness, color, compression, noise, sharpness, spatial
from distortions._matlab import FloatImage
from distortions.checks import checked_image

LEVELS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Deterministic:
    """A function of (image, amount), callable as (image, amount, rng); rng stays untouched."""

    function: Callable[[FloatImage, float], FloatImage]

    def __call__(self, image: FloatImage, amount: float, rng: np.random.Generator) -> FloatImage:
        """Return function(image, amount), after the checks of `checked_image`."""
        return self.function(checked_image(image, amount, rng), amount)

    def unchecked(self, image: FloatImage, amount: float, rng: np.random.Generator) -> FloatImage:
        """Return function(image, amount)."""
        return self.function(image, amount)


@dataclass(frozen=True)
class Random:
    """A function of (image, amount, rng), which draws from the generator."""

    function: Callable[[FloatImage, float, np.random.Generator], FloatImage]

    def __call__(self, image: FloatImage, amount: float, rng: np.random.Generator) -> FloatImage:
        """Return function(image, amount, rng), after the checks of `checked_image`."""
        return self.function(checked_image(image, amount, rng), amount, rng)

    def unchecked(self, image: FloatImage, amount: float, rng: np.random.Generator) -> FloatImage:
        """Return function(image, amount, rng)."""
        return self.function(image, amount, rng)


@dataclass(frozen=True)
class Distortion:
    """One type of distortion.

    Attributes:
        id: its number in KADID-10k, 1..25.
        name: its name in this package.
        group: the paper's group, which is also the module it lives in.
        levels: the amounts of levels 1..5, from mild to strong, except types 18 and 25, whose
            level 3 is the mildest.
        parameter: what an amount is, with its unit.
        is_random: whether the result depends on the random generator.
        apply: the distortion itself, `apply(image, amount, rng)`. Takes a float64 RGB picture
            (H, W, 3) in 0..1, which it checks and does not modify, and returns one of the same
            shape whose range may differ. `distortions.distort` adds the stretches and the rounding
            around it.
    """

    id: int
    name: str
    group: str
    levels: tuple[float, float, float, float, float]
    parameter: str
    is_random: bool
    apply: Deterministic | Random


DISTORTIONS: Mapping[int, Distortion] = MappingProxyType(
    {
        1: Distortion(
            id=1,
            name="gaussian_blur",
            group="blur",
            levels=(0.1, 0.5, 1, 2, 5),
            parameter="standard deviation, pixels",
            is_random=False,
            apply=Deterministic(blur.gaussian_blur),
        ),
        2: Distortion(
            id=2,
            name="lens_blur",
            group="blur",
            levels=(1, 2, 4, 6, 8),
            parameter="radius of the disk, pixels",
            is_random=False,
            apply=Deterministic(blur.lens_blur),
        ),
        3: Distortion(
            id=3,
            name="motion_blur",
            group="blur",
            levels=(1, 2, 4, 6, 10),
            parameter="length of the path, pixels",
            is_random=True,
            apply=Random(blur.random_motion_blur),
        ),
        4: Distortion(
            id=4,
            name="color_diffusion",
            group="color",
            levels=(1, 3, 6, 8, 12),
            parameter="gain a of a* and b*, which are blurred by 1.5 a + 2 pixels",
            is_random=False,
            apply=Deterministic(color.color_diffusion),
        ),
        5: Distortion(
            id=5,
            name="color_shift",
            group="color",
            levels=(1, 3, 6, 8, 12),
            parameter="shift of the green channel, pixels",
            is_random=True,
            apply=Random(color.random_color_shift),
        ),
        6: Distortion(
            id=6,
            name="color_quantization",
            group="color",
            levels=(64, 48, 32, 16, 8),
            parameter="number of colours",
            is_random=False,
            apply=Deterministic(color.color_quantization),
        ),
        7: Distortion(
            id=7,
            name="color_saturation_hsv",
            group="color",
            levels=(0.4, 0.2, 0.1, 0, -0.4),
            parameter="factor of the HSV saturation",
            is_random=False,
            apply=Deterministic(color.color_saturation_hsv),
        ),
        8: Distortion(
            id=8,
            name="color_saturation_lab",
            group="color",
            levels=(1, 2, 3, 6, 9),
            parameter="factor of a* and b*",
            is_random=False,
            apply=Deterministic(color.color_saturation_lab),
        ),
        9: Distortion(
            id=9,
            name="jpeg2000",
            group="compression",
            levels=(16, 32, 45, 120, 400),
            parameter="compression ratio, raw bytes per byte of the file",
            is_random=False,
            apply=Deterministic(compression.jpeg2000),
        ),
        10: Distortion(
            id=10,
            name="jpeg",
            group="compression",
            levels=(43, 36, 24, 7, 4),
            parameter="libjpeg quality, 1..100",
            is_random=False,
            apply=Deterministic(compression.jpeg),
        ),
        11: Distortion(
            id=11,
            name="white_noise",
            group="noise",
            levels=(0.001, 0.002, 0.003, 0.005, 0.01),
            parameter="variance in RGB, full scale 1",
            is_random=True,
            apply=Random(noise.random_white_noise),
        ),
        12: Distortion(
            id=12,
            name="white_noise_ycbcr",
            group="noise",
            levels=(0.0001, 0.0005, 0.001, 0.002, 0.003),
            parameter="variance in YCbCr, full scale 1",
            is_random=True,
            apply=Random(noise.random_white_noise_ycbcr),
        ),
        13: Distortion(
            id=13,
            name="impulse_noise",
            group="noise",
            levels=(0.001, 0.005, 0.01, 0.02, 0.03),
            parameter="share of samples replaced",
            is_random=True,
            apply=Random(noise.random_impulse_noise),
        ),
        14: Distortion(
            id=14,
            name="multiplicative_noise",
            group="noise",
            levels=(0.001, 0.005, 0.01, 0.02, 0.05),
            parameter="variance per squared intensity",
            is_random=True,
            apply=Random(noise.random_multiplicative_noise),
        ),
        15: Distortion(
            id=15,
            name="denoise",
            group="noise",
            levels=(0.01, 0.03, 0.05, 0.1, 0.15),
            parameter="variance of the noise that is added and removed again, full scale 1",
            is_random=True,
            apply=Random(noise.random_denoise),
        ),
        16: Distortion(
            id=16,
            name="brighten",
            group="brightness",
            levels=(0.1, 0.2, 0.4, 0.7, 1.1),
            parameter="twice the rise of mid grey, full scale 1",
            is_random=False,
            apply=Deterministic(brightness.brighten),
        ),
        17: Distortion(
            id=17,
            name="darken",
            group="brightness",
            levels=(0.05, 0.1, 0.2, 0.4, 0.8),
            parameter="twice the fall of mid grey, full scale 1",
            is_random=False,
            apply=Deterministic(brightness.darken),
        ),
        18: Distortion(
            id=18,
            name="mean_shift",
            group="brightness",
            levels=(0.15, 0.08, 0, -0.08, -0.15),
            parameter="offset, full scale 1",
            is_random=False,
            apply=Deterministic(brightness.mean_shift),
        ),
        19: Distortion(
            id=19,
            name="jitter",
            group="spatial",
            levels=(0.05, 0.1, 0.2, 0.5, 1),
            parameter="standard deviation of the shifts, pixels",
            is_random=True,
            apply=Random(spatial.random_jitter),
        ),
        20: Distortion(
            id=20,
            name="non_eccentricity_patch",
            group="spatial",
            levels=(20, 40, 60, 80, 100),
            parameter="number of patches",
            is_random=True,
            apply=Random(spatial.random_non_eccentricity_patch),
        ),
        21: Distortion(
            id=21,
            name="pixelate",
            group="spatial",
            levels=(0.01, 0.05, 0.1, 0.2, 0.5),
            parameter="a in the scale 0.95 - a^0.6",
            is_random=False,
            apply=Deterministic(spatial.pixelate),
        ),
        22: Distortion(
            id=22,
            name="quantization",
            group="spatial",
            levels=(20, 16, 13, 10, 7),
            parameter="number of thresholds",
            is_random=False,
            apply=Deterministic(spatial.quantization),
        ),
        23: Distortion(
            id=23,
            name="color_block",
            group="spatial",
            levels=(2, 4, 6, 8, 10),
            parameter="number of blocks",
            is_random=True,
            apply=Random(spatial.random_color_block),
        ),
        24: Distortion(
            id=24,
            name="high_sharpen",
            group="sharpness",
            levels=(1, 2, 3, 6, 12),
            parameter="weight of the unsharp mask",
            is_random=False,
            apply=Deterministic(sharpness.high_sharpen),
        ),
        25: Distortion(
            id=25,
            name="contrast_change",
            group="sharpness",
            levels=(0.3, 0.15, 0, -0.4, -0.6),
            parameter="four times the displacement of the tones 0.3 and 0.7",
            is_random=False,
            apply=Deterministic(sharpness.contrast_change),
        ),
    }
)
"""The distortions by number, ascending. Read-only."""
