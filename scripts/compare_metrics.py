"""How the metrics rank KADID-10k's conditions, against the ranking by people.

A condition is one of the 125 pairs of a distortion and a level. A metric's score of it is the mean
over a sample of photographs, each scaled and cropped to 512x384 and distorted here; what people
think of it is the mean over KADID-10k's own photographs. MEANS.csv has the columns distortion,
level, mean_dmos (higher is better). Photographs too small for 512x384 are left out, and a sample
spread evenly over the others, in the order of their names, is taken.

Example:
    python -m scripts.compare_metrics PHOTOS MEANS.csv --out results/metrics_kadid.csv
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from deepfl.command_line import parse, run_script
from distortions import DISTORTIONS, distort
from fr_metrics import METRICS, score_all
from mtl.curation.pristine import pristine_crop, too_small
from mtl.evaluation.correlation import srocc
from mtl.kadis.metric_names import chosen_metrics
from mtl.runtime import compilation_cache
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import list_pictures, read_picture
from mtl.runtime.progress import progress_bar, say
from mtl.runtime.tables.csv_tables import read_table, table_text
from scripts.provenance import provenance

Condition = tuple[int, int]
"""Number of the distortion, and level."""


@dataclass(frozen=True)
class CompareConfig:
    """What to compare on what."""

    photographs: Path
    """Folder of pristine photographs."""
    means: Path
    """CSV file of the conditions' means over people, columns distortion,level,mean_dmos."""
    out: Path = Path("results/metrics_kadid.csv")
    """CSV file to write."""
    sample: int = 24
    """Photographs to use at most."""
    metrics: tuple[str, ...] = ()
    """Metrics to compare; all of them when not given."""
    seed: int = 0
    """Seed of the random distortions; the n-th photograph gets this plus n."""


def read_means(path: Path) -> dict[Condition, float]:
    """Return the conditions' means over people.

    Raises:
        InputError: the table has another header, something in it is no number, or a condition is
            there twice.
    """
    found: dict[Condition, float] = {}
    for row in read_table(path, ("distortion", "level", "mean_dmos")):
        condition = (row.whole_number("distortion"), row.whole_number("level"))
        if condition in found:
            raise row.error(
                f"type {condition[0]} at level {condition[1]} is there twice; remove one"
            )
        found[condition] = row.number("mean_dmos")
    return found


def sample_photographs(folder: Path, count: int) -> list[UInt8[np.ndarray, "384 512 3"]]:
    """Crops of `count` photographs, spread evenly over those of a folder that are large enough."""
    pictures = (read_picture(folder / name) for name in list_pictures(folder))
    crops = [pristine_crop(each) for each in pictures if too_small(each.shape[:2]) is None]
    if not crops:
        raise InputError(f"{folder}: holds no photograph of at least 512x384")
    chosen = np.linspace(0, len(crops) - 1, min(count, len(crops)))
    return [crops[int(index)] for index in chosen]


def condition_scores(
    photographs: Sequence[UInt8[np.ndarray, "h w 3"]],
    conditions: Sequence[Condition],
    metrics: Sequence[str],
    seed: int,
    *,
    progress: bool = False,
) -> dict[str, Float[np.ndarray, " c"]]:
    """Each metric's mean over the photographs, per condition."""
    levels: dict[int, list[int]] = {}
    for number, level in conditions:
        levels.setdefault(number, []).append(level)
    sums = {name: dict.fromkeys(conditions, 0.0) for name in metrics}
    total = len(photographs) * len(conditions)
    with progress_bar(total, "comparing", "picture", show=progress) as bar:
        for index, photograph in enumerate(photographs):
            for number, each in levels.items():
                versions = [distort(photograph, number, level, seed=seed + index) for level in each]
                for name, scores in score_all(photograph, np.stack(versions), metrics).items():
                    for level, value in zip(each, np.asarray(scores), strict=True):
                        sums[name][number, level] += float(value)
                bar.update(len(each))
    return {
        name: np.array([by_condition[each] for each in conditions]) / len(photographs)
        for name, by_condition in sums.items()
    }


def compare(
    photographs: Sequence[UInt8[np.ndarray, "h w 3"]],
    means: Mapping[Condition, float],
    metrics: Sequence[str],
    seed: int = 0,
    *,
    progress: bool = False,
) -> list[dict[str, object]]:
    """A row per metric: metric, conditions, photographs, srocc.

    The rank correlation is that of quality: metrics where lower is better are turned around.
    Conditions of distortions that the package does not have are left out.
    """
    conditions = [each for each in sorted(means) if each[0] in DISTORTIONS]
    people = np.array([means[each] for each in conditions])
    scores = condition_scores(photographs, conditions, metrics, seed, progress=progress)
    rows = []
    for name, values in scores.items():
        quality = values if METRICS[name].higher_is_better else -values
        rows.append(
            {
                "metric": name,
                "conditions": len(conditions),
                "photographs": len(photographs),
                "srocc": round(srocc(quality, people), 4),
            }
        )
    return rows


def main(arguments: Sequence[str]) -> None:
    """Run the comparison."""
    config = parse(
        CompareConfig,
        arguments,
        program="python -m scripts.compare_metrics",
        description=__doc__ or "",
        positional=("photographs", "means"),
    )
    means, metrics = read_means(config.means), chosen_metrics(config.metrics)
    photographs = sample_photographs(config.photographs, config.sample)
    compilation_cache.enable()
    rows = compare(photographs, means, metrics, config.seed, progress=True)
    for row in rows:
        print(f"{row['metric']:<10} {row['srocc']:.4f}")
    source = provenance(["jax", "numpy", "opencv-python-headless"])
    write_atomically(config.out, table_text([row | source for row in rows]))
    say(
        f"{config.out}: {len(rows)} metrics over {rows[0]['conditions']} of {len(means)} conditions"
        f" and {len(photographs)} photographs"
    )


if __name__ == "__main__":
    run_script(main, "compare_metrics")
