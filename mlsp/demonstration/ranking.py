"""The section on the model that comes with the program: how it ranks the distorted versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, UInt8

from distortions import DISTORTIONS
from mlsp.demonstration.folder import Places
from mlsp.features.data_sets import DataSet
from mlsp.figures.sheets import sheet
from mlsp.prediction.predicting import predict_files
from mlsp.prediction.predictor import Prediction, Predictor
from mlsp.report.web_page import Picture, Section, beside
from mtl.evaluation.correlation import srocc
from mtl.kadis.recipes import LEVELS
from mtl.network.weights import INCLUDED
from mtl.runtime.files import write_atomically
from mtl.runtime.tables.csv_tables import table_text

PICTURE = "ranking.png"


@dataclass(frozen=True)
class Ranking:
    """Agreement of the included model, which never saw the photographs, with human ratings."""

    template: ClassVar[str] = "demonstration/templates/ranking.html.jinja"

    images: int
    srocc: float
    """SROCC with the human ratings, over all images."""
    within: float
    """The median of the same among the versions of one photograph."""
    picture: Picture
    model: str = INCLUDED


def ranking_section(
    places: Places,
    conditions: Sequence[tuple[int, int]],
    scores: Float[np.ndarray, " n"],
    *,
    progress: bool,
) -> Section:
    """Predict the quality of all images, write and draw it, and return the section that shows it.

    Args:
        places: of the demonstration.
        conditions: distortion type and level of each image of the data set.
        scores: its human rating.
        progress: report on standard error.
    """
    source = DataSet(places.data)
    judged = predict_files(Predictor(INCLUDED), [places.data], progress=progress)
    found = [each for each in judged if isinstance(each, Prediction)]
    quality = np.array([each.quality for each in found])
    table = [{"image": each.image, "quality": each.quality} for each in found]
    write_atomically(places.ranking, table_text(table))

    references = np.array([columns["reference"] for columns in source.columns])
    rows: dict[str, list[UInt8[np.ndarray, "h w 3"]]] = {}
    within = []
    for reference in dict.fromkeys(references.tolist()):
        images = np.flatnonzero(references == reference)
        within.append(srocc(quality[images], scores[images]))
        worst_first = images[np.argsort(quality[images])]
        shown = worst_first[np.linspace(0, len(images) - 1, len(LEVELS)).round().astype(int)]
        told = ", ".join(f"{quality[k]:.1f} ({_condition(*conditions[k])})" for k in shown)
        rows[f"{reference}: {told}"] = [source.load(int(k)) for k in shown]
    picture = _draw(places.report / PICTURE, rows, source.size(0))
    ranking = Ranking(
        images=len(quality),
        srocc=srocc(quality, scores),
        within=float(np.median(within)),
        picture=picture,
    )
    return Section("ranking", "What the included model says", [ranking])


def _condition(distortion: int, level: int) -> str:
    return f"{DISTORTIONS[distortion].name.replace('_', ' ')} {level}"


def _draw(
    path: Path, rows: dict[str, list[UInt8[np.ndarray, "h w 3"]]], size: tuple[int, int]
) -> Picture:
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet(path, rows, size)
    return beside(path, "Versions of each photograph in the order of predicted quality")
