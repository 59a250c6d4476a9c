"""The files of a choice beside its crops: choosing.json, indicators.csv and histograms.png."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from mlsp.choosing.indicators import CONTENT, INDICATORS
from mlsp.choosing.measuring import Measured
from mlsp.choosing.uniformity import Uniformity
from mtl.curation.curate import Curation
from mtl.curation.journal import JOURNAL
from mtl.runtime.claims import Identity, claim, made_with
from mtl.runtime.files import write_atomically
from mtl.runtime.tables.csv_tables import table_text

INDICATORS_FILE, HISTOGRAMS_FILE, STATE_FILE = "indicators.csv", "histograms.png", "choosing.json"
MEASURED_FOLDER = "measured"
BESIDE = (INDICATORS_FILE, HISTOGRAMS_FILE, STATE_FILE, MEASURED_FOLDER)
FORMAT = 1  # of choosing.json


@dataclass(frozen=True)
class Candidates:
    """Photographs to choose from and the choice among them; an entry or a row for each."""

    values: Float[np.ndarray, "n d"]
    """The scalar indicators."""
    content: Int[np.ndarray, " n"]
    """The cluster of the deep feature."""
    binned: Int[np.ndarray, "n e"]
    """The bin of each indicator; the content is the last."""
    selected: Bool[np.ndarray, " n"]
    """Chosen by the programme."""
    final: Bool[np.ndarray, " n"]
    """Chosen, and not left out again as near to another."""

    @property
    def outcome(self) -> list[str]:
        """Return why each was not chosen; nothing for those that were."""
        return [
            ""
            if stays
            else "nearest to another chosen photograph"
            if once
            else "not needed for balance"
            for once, stays in zip(self.selected, self.final, strict=True)
        ]


@dataclass(frozen=True)
class Chosen:
    """The outcome of a choice."""

    curation: Curation
    photographs: int
    """In the folder."""
    usable: int
    """That could be measured and are no copies."""
    trimmed: int
    """Left out for an extreme indicator."""
    selected: int
    """Chosen by the programme."""
    value: float
    """Of the programme."""
    bound: float
    gap: float
    """Share of the value by which a better choice could be better."""
    constant: tuple[str, ...]
    """Indicators that are the same in all photographs, and play no part."""
    uniformity: Mapping[str, Uniformity]


def claim_choice(out: Path, settings: Mapping[str, Any]) -> None:
    """Make sure that a folder is new or was begun with these settings.

    Raises:
        InputError: it holds something else, or another choice.
    """
    claim(
        out,
        Identity(
            file=STATE_FILE,
            kind="a choice of photographs",
            value=settings,
            text=_state(settings),
            read=lambda data: json.loads(data)["settings"],
            difference=_difference,
            begun=(out / JOURNAL).exists,  # before it nothing was chosen
            beside=(MEASURED_FOLDER,),
        ),
    )


def _difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    difference = made_with(theirs, ours, verb="chosen")
    return difference and f"{difference} (--measured lets both share what was measured)"


def _state(settings: Mapping[str, Any], result: Mapping[str, Any] | None = None) -> str:
    state = {"format": FORMAT, "settings": settings, "result": result}
    return json.dumps(state, indent=1) + "\n"


def indicator_rows(
    usable: Sequence[Measured],
    extreme: Sequence[str],
    candidates: Candidates,
) -> list[dict[str, Any]]:
    """Return the rows of indicators.csv.

    Args:
        usable: the photographs that could be measured.
        extreme: why each of them has an extreme indicator; "" for the candidates.
        candidates: those that have none, in the same order.
    """
    inside = zip(candidates.content.tolist(), candidates.outcome, strict=True)
    rows = []
    for one, why in zip(usable, extreme, strict=True):
        content, reason = ("", why) if why else next(inside)
        rows.append(
            {
                "photograph": one.name,
                **one.values,
                CONTENT: content,
                "chosen": int(not reason),
                "reason": reason,
            }
        )
    return rows


def write_choice(
    out: Path,
    settings: Mapping[str, Any],
    result: Chosen,
    rows: Sequence[Mapping[str, Any]],
    candidates: Candidates,
) -> None:
    """Write the table and the picture, and the state last."""
    from mlsp.choosing.figure import Histogram, histograms  # Matplotlib, which curating can lack

    panels = []
    final = candidates.final
    titles = {**INDICATORS, CONTENT: "deep feature (cluster)"}
    for number, (name, title) in enumerate(titles.items()):
        column = candidates.binned[:, number]
        count = result.uniformity[name].bins
        low, high = (0, count) if name == CONTENT else _extent(candidates.values[:, number])
        before, after = (
            np.bincount(column[which], minlength=count) / which.sum()
            for which in (np.ones(len(final), bool), final)
        )
        panels.append(Histogram(title, np.linspace(low, high, count + 1), before, after))
    write_atomically(out / INDICATORS_FILE, table_text(rows))
    histograms(out / HISTOGRAMS_FILE, panels, len(final), int(final.sum()))
    described = dataclasses.asdict(result)
    del described["curation"]
    described["chosen"] = len(result.curation.kept)
    write_atomically(out / STATE_FILE, _state(settings, described))


def _extent(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Least and largest value; something around a constant."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)
