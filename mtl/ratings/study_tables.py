"""The figures of a study of raw ratings, as its tables and reliability.json hold them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtl.ratings.groups import REPETITIONS, AsGoodAs, Groups
from mtl.ratings.raw import RATER, Duplicates, RawRatings
from mtl.ratings.reliability import ExpertAgreement, IntraClass
from mtl.ratings.scores import Scores
from mtl.ratings.screening import REASONS, Screening, ScreeningSettings
from mtl.runtime.tables.columns import HigherIs

DECIMALS = 6  # of figures in tables


@dataclass(frozen=True, kw_only=True)
class RatingsConfig(ScreeningSettings):
    """What to make scores of, and how."""

    raw: Path
    """CSV file rater,image,score[,test][,accepted]."""
    out: Path
    """Folder for the results."""
    experts: Path | None = None
    """CSV file image,score of experts, on any scale, to compare the MOS with."""
    columns: tuple[str, ...] = ()
    """COLUMN=NAME: the names that the experts' table has for image and score."""
    higher_is: HigherIs | None = None
    """Whether the experts' higher scores are better; needed for a column DMOS."""
    predictions: Path | None = None
    """CSV file image,predicted (or image,quality) of a model: how many raters it is as good as."""
    pictures: Path | None = None
    """Folder that the images' names are relative to; scores.csv then names them as seen from its
    own folder, as training wants it. Names stay as they are without it."""
    fewest_votes: int = 2
    """Votes below which an image gets no score; a deviation needs two."""
    duplicates: Duplicates = "refuse"
    """Which rating counts where a rater rated an image twice."""
    repetitions: int = REPETITIONS
    """Random halvings of the raters."""
    seed: int = 0
    """Decides halvings and resamples."""


@dataclass(frozen=True)
class Study:
    """The outcome of screening, scoring and comparing."""

    raw: RawRatings
    screening: Screening
    scores: Scores
    """Of all images of `raw`, test questions and those with too few votes too."""
    written: np.ndarray
    """Which of them are in scores.csv."""
    tests_written: np.ndarray
    """Which are in test_scores.csv."""
    intra_class: Mapping[str, IntraClass]
    """Of raw and of rescaled ratings."""
    groups: Groups | None
    """None with fewer than four raters or three images."""
    experts: ExpertAgreement | None
    model: tuple[Groups, AsGoodAs] | None
    """Groups compared on the predicted images, and what the model is worth."""


def rater_row(study: Study, rater: np.integer) -> dict[str, Any]:
    """Return a row of raters.csv or removed.csv."""
    s = study.screening
    return {
        RATER: study.raw.raters[rater],
        "ratings": int(s.ratings[rater]),
        "test_questions": int(s.tests[rater]),
        "test_accuracy": _shown(s.accuracy[rater]),
        "plcc": _shown(s.plcc[rater]),
        "line_ratio": _shown(s.line_ratio[rater]),
    }


def _shown(value: float) -> float | str:
    return "" if np.isnan(value) else round(float(value), DECIMALS)


def group_rows(groups: Groups) -> list[dict[str, Any]]:
    """Return the rows of agreement.csv."""
    columns = ("raters", "votes", "srocc", "deviation", "low", "high")
    return [
        {name: _shown(value) for name, value in zip(columns, row, strict=True)}
        for row in zip(*(getattr(groups, name).tolist() for name in columns), strict=True)
    ]


def reliability(config: RatingsConfig, study: Study) -> dict[str, Any]:
    """Return what reliability.json says; each measure's own text explains it."""
    screening, votes = study.screening, study.scores.votes[study.written]
    steps = Counter(screening.reasons)
    found: dict[str, Any] = {
        "raters": len(screening.reasons),
        "removed": {reason: steps[reason] for reason in REASONS},
        "kept": int(screening.kept.sum()),
        "kept_without_test_questions": int((screening.kept & (screening.tests == 0)).sum()),
        "images": int(study.written.sum()),
        "votes": int(votes.sum()),
        "votes_per_image": {
            "lowest": int(votes.min()),
            "median": float(np.median(votes)),
            "highest": int(votes.max()),
        },
        "intra_class_correlation": {k: asdict(icc) for k, icc in study.intra_class.items()},
    }
    if study.groups is not None:
        found["random_halves"] = {
            "srocc": asdict(study.groups.halves),
            "deviation": float(study.groups.deviation[-1]),
            "votes_per_image": float(study.groups.votes[-1]),
            "repetitions": config.repetitions,
        }
    if study.experts is not None:
        found["experts"] = asdict(study.experts)
    if study.model is not None:
        groups, worth = study.model
        found["predictions"] = {
            "images": groups.images,
            "srocc": asdict(worth.srocc),
            "as_good_as_votes": asdict(worth.votes),
            "smallest_group_votes": float(groups.votes[0]),
            "largest_group_votes": float(groups.votes[-1]),
        }
    settings = asdict(config)
    found["settings"] = {k: str(v) if isinstance(v, Path) else v for k, v in settings.items()}
    return found


def jsonable(value: Any) -> Any:
    """JSON has neither infinity (more votes than the largest group's) nor NaN: both are null."""
    if isinstance(value, dict):
        return {k: jsonable(v) for k, v in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value
