"""No-reference image quality: distortions, full-reference metrics, features and predictions.

    import deepfl

    deepfl.distort(photo, "jpeg", 3)         # KADID-10k's distortions
    deepfl.score_all(photo, distorted)       # eleven full-reference metrics
    deepfl.predict("photographs")            # quality without a reference
    deepfl.extract(model, photo)             # MLSP features
    deepfl.benchmark(features, scores)       # regressors on rated pictures

A name is imported when it is first used, so `import deepfl` takes milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distortions import DISTORTIONS, distort
    from fr_metrics import METRICS, HistogramEqualization, score, score_all
    from mlsp.evaluation import benchmark
    from mlsp.features import extract
    from mlsp.prediction import predict

    __version__: str

__all__ = [
    "DISTORTIONS",
    "METRICS",
    "HistogramEqualization",
    "benchmark",
    "distort",
    "extract",
    "predict",
    "score",
    "score_all",
]

# The packages that the public names come from.
_HOMES = {
    "distortions": ("DISTORTIONS", "distort"),
    "fr_metrics": ("METRICS", "HistogramEqualization", "score", "score_all"),
    "mlsp.evaluation": ("benchmark",),
    "mlsp.features": ("extract",),
    "mlsp.prediction": ("predict",),
}


def __getattr__(name: str) -> Any:
    """Return a public name from its package, or the installed version."""
    if name == "__version__":
        from importlib.metadata import version

        return version("deepfl-iqa")
    for home, names in _HOMES.items():
        if name in names:
            found = globals()[name] = getattr(import_module(home), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, for completion."""
    return sorted([*__all__, "__version__"])
