"""A fitted regressor from features to human scores, and its file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mlsp.regression.regressor_network import network
from mlsp.regression.settings import KINDS, Kind, MLPSettings, settings_of
from mlsp.regression.standardisation import Standard
from mlsp.regression.support_vectors import support_vector_scores
from mtl.runtime.files import InputError, read_arrays, write_arrays


@dataclass(frozen=True)
class Regressor:
    """A fitted regressor."""

    kind: Kind
    standard: Standard
    arrays: Mapping[str, np.ndarray]
    """As `regressor_network.network` or `support_vectors.machine_arrays` names them."""
    chosen: float
    """Learning rate or C that validated best."""
    validation_loss: float
    """The network's loss, or the mean squared error, in deviations of the training scores."""

    def predict(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, " n"]:
        """Return scores on the scale of those it was fitted to.

        Raises:
            ValueError: the features have another length.
        """
        if features.ndim != 2 or features.shape[1] != len(self.standard.feature_mean):
            raise ValueError(
                f"features must have shape (n, {len(self.standard.feature_mean)}), got"
                f" {features.shape}"
            )
        x = self.standard.features(features)
        settings = settings_of(self.kind)
        if isinstance(settings, MLPSettings):
            y = np.asarray(_outputs({n: jnp.asarray(a) for n, a in self.arrays.items()}, x))
        else:
            y = support_vector_scores(settings.kernel, self.arrays, x)
        return self.standard.back(y)


def save_regressor(path: Path, regressor: Regressor) -> None:
    """Write a regressor as one .npz file of plain arrays."""
    s = regressor.standard
    write_arrays(
        path,
        {
            "kind": np.array(regressor.kind),
            "feature_mean": s.feature_mean,
            "feature_deviation": s.feature_deviation,
            "score": np.array([s.score_mean, s.score_deviation]),
            "chosen": np.array([regressor.chosen, regressor.validation_loss]),
            **{f"arrays/{name}": array for name, array in regressor.arrays.items()},
        },
    )


def load_regressor(path: Path) -> Regressor:
    """Read what `save_regressor` wrote.

    Raises:
        InputError: the file is missing or is not a regressor.
    """
    stored = read_arrays(path)
    try:
        kind = str(stored["kind"])
        chosen, loss = stored["chosen"].tolist()
        standard = Standard(
            stored["feature_mean"], stored["feature_deviation"], *stored["score"].tolist()
        )
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: is not a regressor ({error})") from error
    arrays = {
        name.removeprefix("arrays/"): array
        for name, array in stored.items()
        if name.startswith("arrays/")
    }
    if kind not in KINDS:
        raise InputError(f"{path}: holds a regressor of unknown kind {kind!r}")
    return Regressor(kind, standard, arrays, chosen, loss)


@jax.jit
def _outputs(parameters: dict[str, Array], x: Float[Array, "n f"]) -> Float[Array, " n"]:
    return network(parameters, x)[0]
