"""What a run leaves to look at: log.csv, TensorBoard events, and a picture of the learning curves.

log.csv         a row per epoch
tensorboard/    the same, and the training loss between epochs
learning.png    losses and correlations against epochs
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from tensorboardX import SummaryWriter

from fr_metrics import METRICS
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.tables.csv_tables import read_table, table_text

LOG_FILE, PICTURE, EVENTS = "log.csv", "learning.png", "tensorboard"

RGBA = tuple[float, float, float, float]

DOTS_PER_INCH = 110
TRAINING, VALIDATION = "#b3432b", "#2b6ab3"
# Nine strong colours of tab20 and two light ones; without its grey, which is the zero line's.
DISTINCT = [colormaps["tab20"](k) for k in (0, 2, 4, 6, 8, 10, 12, 16, 18, 1, 5)]

# Between two values of the training loss in TensorBoard.
STEPS_BETWEEN_EVENTS = 20


class LearningLog:
    """The log of one run, continued.

    Args:
        out: the run's folder.
        rows: of the epochs that are done.
        step: steps taken; events after it, of a run that was killed, are taken back.
    """

    def __init__(self, out: Path, rows: list[dict[str, float]], step: int):
        self.rows = rows
        self._out = out
        self._events = SummaryWriter(str(out / EVENTS), purge_step=step + 1)

    def add_step(self, step: int, loss: float) -> None:
        """The training loss of one step."""
        if step % STEPS_BETWEEN_EVENTS == 0:
            self._events.add_scalar("loss/step", loss, step)

    def add_epoch(self, row: dict[str, float], step: int) -> None:
        """What an epoch led to: in the table, in the events and in the picture."""
        self.rows.append(row)
        for name, value in row.items():
            if name != "epoch":
                self._events.add_scalar(_tag(name), value, step)
        self._events.flush()
        learning_curve(self._out / PICTURE, self.rows)
        write_atomically(self._out / LOG_FILE, table_text(self.rows))

    def close(self) -> None:
        """Write what is still to be written."""
        self._events.close()


def read_log(run: Path) -> list[dict[str, float]]:
    """Return the rows of a run's log.csv; empty when no epoch has ended yet.

    Raises:
        InputError: the log is damaged.
    """
    path = run / LOG_FILE
    if not path.exists():
        return []
    try:
        return [
            {name: row.number(name, finite=False) for name in row}
            for row in read_table(path, ("epoch", "validation_loss"))
        ]
    except InputError as error:
        raise InputError(f"{path}: is damaged: {str(error).removeprefix(f'{path}: ')}") from error


def learning_curve(out: Path, log: Sequence[Mapping[str, float]]) -> None:
    """Losses, and the correlations on the validation split, after each epoch, as a PNG file."""
    figure = Figure(figsize=(9.5, 3.4), dpi=DOTS_PER_INCH, layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in log]
    for name, color in (("train_loss", TRAINING), ("validation_loss", VALIDATION)):
        label = {"train_loss": "training", "validation_loss": "validation"}[name]
        left.plot(epochs, [row[name] for row in log], "o-", color=color, label=label)
    left.set_yscale("log")
    left.set_ylabel("loss")
    left.legend(frameon=False)
    # A metric has its colour whichever others a run has.
    for metric, color in zip(METRICS, distinct_colors(len(METRICS)), strict=True):
        if f"srocc_{metric}" in log[0]:
            values = [row[f"srocc_{metric}"] for row in log]
            right.plot(epochs, values, linewidth=1, color=color, label=METRICS[metric].title)
    for name, label in (("mean_srocc", "mean"), ("srocc", "human scores")):
        if name in log[0]:
            right.plot(epochs, [row[name] for row in log], "ko-", label=label)
    right.axhline(0, color="0.7", linewidth=0.8)
    right.set_ylabel("SROCC on the validation split")
    right.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    data = BytesIO()
    figure.savefig(data, format="png")
    write_atomically(out, data.getvalue())


def distinct_colors(count: int) -> list[RGBA]:
    """Return so many different colours, those of `DISTINCT` as far as they suffice."""
    if count <= len(DISTINCT):
        return DISTINCT[:count]
    return [colormaps["turbo"](share) for share in np.linspace(0, 1, count)]


def _tag(column: str) -> str:
    """TensorBoard's name of a column: those of a kind share a section."""
    kind, _, metric = column.partition("_")
    if column.endswith("_loss"):
        return f"loss/{kind}"
    if not metric:
        return column
    return {"mean": f"{metric}/mean", "srocc": f"srocc/{metric}", "plcc": f"plcc/{metric}"}.get(
        kind, column
    )
