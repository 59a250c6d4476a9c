"""A model folder with random weights: what trained ones are compared with.

Example:
    python -m scripts.untrained_model --out untrained --width 0.25
    deepfl benchmark ratings.csv --model run untrained --out benchmark
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfl.command_line import parse, run_script
from mtl.network.model import ModelConfig, functional_model
from mtl.network.networks import DEFAULT
from mtl.network.weights import fresh_weights, save_model
from mtl.runtime.files import InputError
from mtl.runtime.progress import say
from mtl.training.settings import chosen_network


@dataclass(frozen=True)
class UntrainedConfig:
    """Which network."""

    out: Path
    """Model folder to write; it must not be there."""
    width: float = 1.0
    """Share of the channels that every layer has, as `deepfl train` takes it."""
    network: str = DEFAULT
    """Which network, such as resnet50; any wrong name lists all."""
    seed: int = 0
    """Of the weights."""


def main(arguments: Sequence[str]) -> None:
    """Write the folder."""
    config = parse(
        UntrainedConfig,
        arguments,
        program="python -m scripts.untrained_model",
        description=__doc__ or "",
    )
    chosen_network(config.network, config.width)
    if config.out.exists():
        raise InputError(f"{config.out}: is there already; choose another --out")
    model = ModelConfig((), width=config.width, network=config.network)
    weights = fresh_weights(functional_model(model), config.seed)
    save_model(config.out, model, weights, None, {"origin": {"weights": "random"}})
    say(f"{config.out}: a body with random weights")


if __name__ == "__main__":
    run_script(main, "untrained_model")
