"""A convolutional part that compiles in seconds; the run's machinery around it is the real one.

As a program, `python small_network.py DATA OUT SETTINGS`, one process of a run; SETTINGS are JSON.
"""

import json
import os
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx

from mtl.network.layers import ConvolutionalBody, ConvUnit
from mtl.network.maps import Map, max_pool
from mtl.training.multitask.data import ScoredImages
from mtl.training.multitask.train import Run, TrainConfig, train

# A process that finds these in its environment sends itself the signal when it has read so many
# images of the data set, once: it leaves the file as a mark.
SIGNAL, AFTER, MARK = "SMALL_NETWORK_SIGNAL", "SMALL_NETWORK_AFTER", "SMALL_NETWORK_MARK"


class SmallBody(ConvolutionalBody):
    """Two convolution units, with batch normalisation, and the mean over all places."""

    features = 8

    def __init__(self, *, momentum: float, dtype=jnp.float32, rngs: nnx.Rngs, **ignored):
        settings = {"stride": 2, "momentum": momentum, "dtype": dtype, "rngs": rngs}
        self.first = ConvUnit((3, 4), 3, **settings)
        self.second = ConvUnit((4, self.features), 3, **settings)

    def maps(self, images, sizes=None) -> tuple[Map, dict[str, Map]]:
        assert sizes is None  # training alone uses it
        return Map(self.second(max_pool(self.first(images)))), {}


class FatedBody(SmallBody):
    """In the last of several processes, brings about the signal that the environment orders."""

    def __init__(self, **settings):
        super().__init__(**settings)
        if SIGNAL in os.environ and jax.process_index() == jax.process_count() - 1:
            _arm(Path(os.environ[MARK]), int(os.environ[AFTER]), int(os.environ[SIGNAL]))


def _arm(mark: Path, after: int, number: int) -> None:
    read, lock, counted = ScoredImages.__getitem__, threading.Lock(), []

    def counting(self, index):
        with lock:
            counted.append(index)
            if len(counted) == after and not mark.exists():
                mark.write_text(str(os.getpid()))
                os.kill(os.getpid(), number)
        return read(self, index)

    ScoredImages.__getitem__ = counting


def small_run(data: Path, out: Path, body=SmallBody, **changes) -> Run:
    """A run of a few steps on the data set `scored`; batch statistics that follow quickly."""
    settings = {"epochs": 2, "batch_size": 4, "crop": (80, 80), "momentum": 0.5, **changes}
    return train(TrainConfig(data, out, **settings), body=body)


if __name__ == "__main__":
    place, folder, chosen = sys.argv[1:]
    small_run(Path(place), Path(folder), FatedBody, **json.loads(chosen))
