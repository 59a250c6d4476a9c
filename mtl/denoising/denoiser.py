"""Training of the blind denoiser of distortion 15, on any folder of photographs.

The network is `mtl.denoising.denoising_unet`: a residual U-Net on the pixel-unshuffled picture, one
channel at a time, blind to the noise level. As DnCNN (Zhang et al., "Beyond a Gaussian Denoiser",
IEEE Trans. Image Processing 26(7), 2017) it predicts the noise, and is trained on Gaussian noise
that is not clipped; the standard deviation is uniform from 0 to 100/255, since distortion 15 adds
up to 99/255.

    OUT/denoiser.npz denoiser.json evaluation.csv log.csv checkpoints/

`denoiser.npz` and `denoiser.json` are what `distortions` ships as package data; `evaluation.csv`
holds the PSNR of every photograph held out, `checkpoints/` what a stopped run continues from.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Float32

from distortions.denoiser import LAYERS, Denoiser
from mtl.denoising.denoiser_checkpoints import DenoiserCheckpoints
from mtl.denoising.denoiser_evaluation import evaluate, read_scaled
from mtl.denoising.denoising_unet import DenoisingUNet
from mtl.runtime import compilation_cache
from mtl.runtime.files import InputError, read_arrays, write_arrays, write_atomically
from mtl.runtime.pictures import list_pictures
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.tables.csv_tables import table_text

WEIGHTS_FILE, RECORD_FILE = "denoiser.npz", "denoiser.json"
EVALUATION_FILE, LOG_FILE = "evaluation.csv", "log.csv"

# Of every so many photographs, in the order of their names, the last is held out.
HOLD_OUT_EVERY = 5
SMALLEST_FOLDER = 2 * HOLD_OUT_EVERY
# Noise of the reported PSNR: the levels DnCNN is published at, then those of distortion 15.
REPORTED_SIGMAS = (15.0, 25.0, 50.0, 25.5, 44.0, 57.0, 81.0, 99.0)  # grey levels
# Mean squared error below which a patch counts as solved: a grey level squared.
SOLVED = (1 / 255) ** 2
GRADIENT_NORM = 1.0  # larger gradients are scaled down to it
WARM_UP_STEPS = 200
STEPS_BETWEEN_SAVES = 500
CALIBRATION_BATCHES = 200
# Room above the largest activations seen in training, for pictures that have larger ones.
PEAK_MARGIN = 1.5


@dataclass(frozen=True)
class DenoiserConfig:
    """One training run."""

    photographs: Path
    """Folder of photographs; every fifth is held out."""
    out: Path
    """Folder of the run; an unfinished run of the same settings is continued."""
    init: Path | None = None
    """denoiser.npz to start from; random weights when not given."""
    steps: int = 30_000
    """Updates; the learning rate falls to zero over them as half a cosine."""
    batch_size: int = 8
    """Patches per step."""
    patch: int = 96
    """Side of a patch, pixels; a multiple of 8."""
    learning_rate: float = 1e-3
    """Of Adam, at its highest."""
    max_sigma: float = 100.0
    """Largest standard deviation of the noise, grey levels of 255."""
    limit: int = 2000
    """Photographs read at most; they are kept in memory."""
    seed: int = 0
    """Decides weights, patches and noise."""


def psnr_loss(
    predicted: Float[Array, "n h w 1"], noise: Float[Array, "n h w 1"]
) -> Float[Array, ""]:
    """Minus the mean PSNR in dB of the denoised patches, so that every noise level counts alike."""
    error = jnp.mean((predicted - noise) ** 2, axis=(1, 2, 3))
    return jnp.mean(10 * jnp.log10(error + SOLVED))


def train_denoiser(config: DenoiserConfig, *, progress: bool = False) -> dict[str, Any]:
    """Train, write the files named at the top of this module, and return the record.

    Raises:
        InputError: the folder holds too few photographs, a setting is out of range, or the files
            of an earlier run or `init` are damaged or of another network.
    """
    _check(config)
    compilation_cache.enable()
    found = list_pictures(config.photographs, say if progress else None)
    names, held_out = split_names(found[: config.limit])
    pictures = _read_all(config.photographs, names, config.patch, progress)

    network = nnx.eval_shape(lambda: DenoisingUNet(rngs=nnx.Rngs(0)))
    graph, shapes = nnx.graphdef(network), nnx.state(network, nnx.Param)
    if config.init is None:
        weights = jax.jit(lambda: nnx.state(DenoisingUNet(rngs=nnx.Rngs(config.seed)), nnx.Param))()
    else:
        weights = _from_arrays(shapes, read_arrays(config.init), config.init)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, WARM_UP_STEPS, max(config.steps, WARM_UP_STEPS + 1)
    )
    optimiser = optax.chain(optax.clip_by_global_norm(GRADIENT_NORM), optax.adam(schedule))
    state: Any = {"weights": weights, "optimiser": optimiser.init(weights)}

    @partial(jax.jit, donate_argnums=0)
    def update(state: Any, clean: Array, step: Array) -> tuple[Any, Array]:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), step))
        sigma = jax.random.uniform(keys[0], (clean.shape[0], 1, 1, 1), maxval=config.max_sigma)
        noise = sigma / 255 * jax.random.normal(keys[1], clean.shape)

        def loss(weights: Any) -> Array:
            return psnr_loss(nnx.merge(graph, weights)(clean + noise), noise)

        value, gradient = jax.value_and_grad(loss)(state["weights"])
        updates, inner = optimiser.update(gradient, state["optimiser"], state["weights"])
        return {
            "weights": optax.apply_updates(state["weights"], updates),
            "optimiser": inner,
        }, -value

    one_each, all_everywhere = _shardings(config.batch_size)
    with closing(DenoiserCheckpoints(config.out, _settings(config))) as checkpoints:
        state, log = checkpoints.restore(state)
        first = log[-1]["step"] if log else 0
        state = jax.device_put(state, all_everywhere)
        recent: list[Array] = []
        with progress_bar(config.steps, "training", "step", show=progress, done=first) as bar:
            for step in range(first, config.steps):
                clean = jax.device_put(_draw_patches(pictures, config, step), one_each)
                state, psnr = update(state, clean, jnp.asarray(step))
                recent.append(psnr)
                bar.update()
                if (step + 1) % STEPS_BETWEEN_SAVES == 0 or step + 1 == config.steps:
                    mean = float(np.mean([float(value) for value in recent]))
                    recent = []
                    log.append({"step": step + 1, "psnr": mean})
                    bar.set_postfix(psnr=f"{mean:.2f}")
                    checkpoints.save(state, log)
                    write_atomically(config.out / LOG_FILE, table_text(log))
    largest = _peaks(graph, state["weights"], pictures, config)
    stored = {
        name: array.astype(np.float16) for name, array in _to_arrays(state["weights"]).items()
    } | {f"{scale}/peak": np.float32(value) for scale, value in largest.items()}
    write_arrays(config.out / WEIGHTS_FILE, stored)
    return _report(config, names, held_out, Denoiser(stored), log, progress)


def _shardings(batch_size: int) -> tuple[NamedSharding, NamedSharding]:
    """How a batch and how the weights are laid out over as many devices as share a batch evenly."""
    count = math.gcd(batch_size, jax.device_count())
    mesh = Mesh(np.array(jax.devices()[:count]), ("batch",))
    return NamedSharding(mesh, PartitionSpec("batch")), NamedSharding(mesh, PartitionSpec())


def split_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Photographs to train on, and every fifth, which is held out.

    Raises:
        InputError: there are fewer than ten.
    """
    if len(names) < SMALLEST_FOLDER:
        raise InputError(
            f"{len(names)} photographs are too few to train on; {SMALLEST_FOLDER} at least"
        )
    held_out = list(names[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY])
    return [name for name in names if name not in set(held_out)], held_out


def _check(config: DenoiserConfig) -> None:
    if config.patch < 8 or config.patch % 8:
        raise InputError(f"--patch {config.patch}: must be a multiple of 8")
    for name in ("steps", "batch_size", "learning_rate", "max_sigma", "limit"):
        if getattr(config, name) <= 0:
            raise InputError(f"--{name.replace('_', '-')} {getattr(config, name)}: must be above 0")


def _read_all(folder: Path, names: Sequence[str], patch: int, progress: bool) -> list[np.ndarray]:
    """Decoded pictures of at least `patch` pixels a side; the others are named and left out."""
    pictures = []
    with progress_bar(len(names), "reading", "photo", show=progress) as bar:
        for name in names:
            try:
                image = read_scaled(folder / name)
                if min(image.shape[:2]) < patch:
                    raise InputError(f"{folder / name}: is smaller than a patch of {patch} pixels")
                pictures.append(image)
            except InputError as error:
                say(f"left out: {error}", show=progress)
            bar.update()
    if not pictures:
        raise InputError(f"{folder}: no photograph has {patch} pixels a side; make --patch smaller")
    return pictures


def _draw_patches(
    pictures: Sequence[np.ndarray], config: DenoiserConfig, step: int
) -> Float32[np.ndarray, "n p p 1"]:
    """One random channel of random squares, turned and mirrored at random, 0..1."""
    rng = np.random.default_rng((config.seed, step))
    patches = np.empty((config.batch_size, config.patch, config.patch, 1), np.float32)
    for target in patches:
        image = pictures[rng.integers(len(pictures))]
        row, column = (rng.integers(side - config.patch + 1) for side in image.shape[:2])
        square = image[row : row + config.patch, column : column + config.patch]
        channel = rng.integers(4)
        plane = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY) if channel == 3 else square[..., channel]
        plane = np.rot90(plane, rng.integers(4))
        target[..., 0] = (plane[:, ::-1] if rng.integers(2) else plane) / np.float32(255)
    return patches


def _settings(config: DenoiserConfig) -> str:
    """What decides the weights, as text; the place of the run does not."""
    kept = {name: value for name, value in asdict(config).items() if name != "out"}
    return json.dumps(kept, default=str, sort_keys=True)


def _to_arrays(weights: Any) -> dict[str, np.ndarray]:
    """LAYER/kernel (side, side, inputs, outputs) and LAYER/bias, float32."""
    return {
        f"{name}/{part}": np.asarray(weights["layers"][name][part][...])
        for name in LAYERS
        for part in ("kernel", "bias")
    }


def _from_arrays(shapes: Any, arrays: Mapping[str, np.ndarray], path: Path) -> Any:
    for name in LAYERS:
        for part in ("kernel", "bias"):
            parameter, found = shapes["layers"][name][part], arrays.get(f"{name}/{part}")
            if found is None or found.shape != parameter.shape:
                raise InputError(
                    f"{path}: holds no {name}/{part} of shape {parameter.shape}; give the"
                    " denoiser.npz of an earlier run"
                )
            shapes["layers"][name][part] = parameter.replace(jnp.asarray(found, jnp.float32))
    return shapes


def _peaks(
    graph: nnx.GraphDef, weights: Any, pictures: Sequence[np.ndarray], config: DenoiserConfig
) -> dict[str, float]:
    """The largest activation of every scale to allow for, from the training photographs."""
    network = jax.jit(lambda weights, noisy: nnx.merge(graph, weights).with_peaks(noisy)[1])
    largest: dict[str, float] = {}
    for batch in range(CALIBRATION_BATCHES):
        clean = _draw_patches(pictures, config, config.steps + batch)
        rng = np.random.default_rng((config.seed, config.steps + batch, 1))
        sigma = config.max_sigma / 255 * rng.random((len(clean), 1, 1, 1))
        noisy = clean + sigma * rng.standard_normal(clean.shape)
        for scale, peak in network(weights, jnp.asarray(noisy, jnp.float32)).items():
            largest[scale] = max(largest.get(scale, 0.0), PEAK_MARGIN * float(peak))
    largest.pop(LAYERS["tail"].scale)  # the result, which is not rounded
    return largest


def _report(
    config: DenoiserConfig,
    names: Sequence[str],
    held_out: Sequence[str],
    denoiser: Denoiser,
    log: list[dict[str, float]],
    progress: bool,
) -> dict[str, Any]:
    rows = evaluate(
        lambda noisy, _: noisy - denoiser.noise(noisy),
        config.photographs,
        held_out,
        REPORTED_SIGMAS,
        seed=config.seed,
        progress=progress,
    )
    write_atomically(
        config.out / EVALUATION_FILE,
        table_text(
            [
                {
                    "photograph": row["photograph"],
                    "sigma": row["sigma"],
                    "noisy": f"{row['noisy']:.4f}",
                    "denoised": f"{row['denoised']:.4f}",
                }
                for row in rows
            ]
        ),
    )
    record = {
        "network": "residual U-Net on unshuffled pixels, one channel, blind, predicts the noise",
        "settings": {
            name: value
            for name, value in asdict(config).items()
            if name not in ("photographs", "out", "init")
        },
        "continued_from_earlier_weights": config.init is not None,
        "photographs": {"trained_on": len(names), "held_out": len(held_out)},
        "psnr_of_training_patches_db": log[-1]["psnr"] if log else None,
        "psnr_held_out_db": {
            f"{sigma:g}": round(
                float(np.mean([row["denoised"] for row in rows if row["sigma"] == sigma])), 3
            )
            for sigma in REPORTED_SIGMAS
        },
        "date": time.strftime("%Y-%m-%d"),
        "versions": {"jax": jax.__version__, "numpy": np.__version__},
    }
    write_atomically(config.out / RECORD_FILE, json.dumps(record, indent=2) + "\n")
    return record
