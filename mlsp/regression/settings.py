"""Settings of the two kinds of regressor: the paper's network and support vectors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from mlsp.regression.regressor_network import UNITS

Kind = Literal["mlp", "mlp-bn", "svr", "svr-linear"]
KINDS: tuple[Kind, ...] = ("mlp", "mlp-bn", "svr", "svr-linear")

Loss = Literal["mse", "mae", "plcc", "norm-in-norm"]
Kernel = Literal["rbf", "linear"]


@dataclass(frozen=True)
class MLPSettings:
    """Training of the paper's network."""

    learning_rates: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
    """All are tried; the one that validates best is kept."""
    epochs: int = 30
    batch_size: int = 64
    units: tuple[int, int, int] = UNITS
    """Of the hidden layers; the paper's."""
    batch_norm: bool = False
    """The published program's variant, see mlsp.regression.regressor_network."""
    momentum: float = 0.99
    """Of batch normalisation's running statistics; below it for runs of under 500 steps."""
    loss: Loss = "mse"
    """mtl.training.opinions.losses, of scores with mean 0 and deviation 1; plcc and
    norm-in-norm compare the pictures of a batch, and their predictions are brought onto the scale
    by a straight line that is fitted to the validation part."""

    @property
    def kind(self) -> Literal["mlp", "mlp-bn"]:
        """Name of the regressor."""
        return "mlp-bn" if self.batch_norm else "mlp"


@dataclass(frozen=True)
class SVRSettings:
    """Training of the support vector regression; scores have unit deviation."""

    costs: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0)
    """Values of C tried; the one that validates best is kept."""
    epsilon: float = 0.1
    """Width of the tube without loss, in deviations of the scores."""
    kernel: Kernel = "rbf"
    tolerance: float = 1e-3
    """Of libsvm, when it stops."""

    @property
    def kind(self) -> Literal["svr", "svr-linear"]:
        """Name of the regressor."""
        return "svr" if self.kernel == "rbf" else "svr-linear"


Settings = MLPSettings | SVRSettings


def settings_of(kind: Kind) -> Settings:
    """Return the settings of a kind, all others at their defaults."""
    every: Mapping[Kind, Settings] = {
        "mlp": MLPSettings(),
        "mlp-bn": MLPSettings(batch_norm=True),
        "svr": SVRSettings(),
        "svr-linear": SVRSettings(kernel="linear"),
    }
    return every[kind]


@dataclass(frozen=True)
class Execution:
    """State how a training is carried out. Its results do not depend on it, up to rounding."""

    memory: int | None = None
    """Bytes for the networks that train together; most of what the device has left where not
    given. At least one trains, whatever it takes."""
    after_epoch: Callable[[], None] | None = None
    """Called after each epoch of each group of networks."""
    progress: bool = False
    """Report on standard error."""


DEFAULT_EXECUTION = Execution()
