"""The time that a network takes for a picture, measured once and kept."""

import time
from pathlib import Path

import jax
import numpy as np

from mlsp.evaluation.benchmarking import Row
from mlsp.prediction.predictor import Predictor
from mtl.runtime.files import write_atomically
from mtl.runtime.progress import stage
from mtl.runtime.tables.csv_tables import read_table, table_text

TIMES_FILE = "prediction_times.csv"
COLUMNS = ("height", "width", "prediction_ms", "device")
WARM_UP, MEASURED = 2, 11  # predictions that are not, and that are, in the median


def prediction_time(
    out: Path, network: str, model: Path, size: tuple[int, int], *, progress: bool = False
) -> Row:
    """Return the milliseconds that a compiled model takes to predict one picture, and where.

    It is the median of 11 predictions, as `deepfl predict` makes them, of pixels in memory, one at
    a time. Where out/prediction_times.csv has a time of the network, that is returned.

    Args:
        out: folder of the comparison.
        network: the model's.
        model: folder.
        size: (height, width) of the picture.
        progress: report on standard error.

    Returns:
        height, width, prediction_ms, device.

    Raises:
        InputError: the model or the table cannot be used.
    """
    path = out / TIMES_FILE
    rows: list[Row] = []
    for row in read_table(path, ("network", *COLUMNS)) if path.is_file() else ():
        rows.append({"network": row["network"], **{name: row[name] for name in COLUMNS}})
        if row["network"] == network:
            return rows[-1] | {"prediction_ms": row.number("prediction_ms")}
    with stage(f"measuring the prediction of {network}", show=progress):
        values = (*size, _measured(Predictor(model), size), jax.devices()[0].device_kind)
    found: Row = dict(zip(COLUMNS, values, strict=True))
    write_atomically(path, table_text([*rows, {"network": network, **found}]))
    return found


def _measured(predictor: Predictor, size: tuple[int, int]) -> float:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    seconds = []
    for _ in range(WARM_UP + MEASURED):
        began = time.perf_counter()
        predictor("pixels", image)
        seconds.append(time.perf_counter() - began)
    return 1000 * float(np.median(seconds[WARM_UP:]))
