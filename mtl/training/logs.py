"""Write the log of a run: a table, TensorBoard's events and a picture.

log.csv         a row per epoch
tensorboard/    the same, and the training loss between epochs
learning.png    losses and correlations against epochs (`mtl.training.learning_curves`)
"""

from pathlib import Path

from tensorboardX import SummaryWriter

from mtl.runtime.files import write_atomically
from mtl.runtime.tables.csv_tables import table_text
from mtl.training.learning_curves import PICTURE, learning_curve
from mtl.training.run_folder import LOG_FILE

EVENTS = "tensorboard"

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
        """Keep the training loss of one step."""
        if step % STEPS_BETWEEN_EVENTS == 0:
            self._events.add_scalar("loss/step", loss, step)

    def add_epoch(self, row: dict[str, float], step: int) -> None:
        """Write what an epoch led to: into the table, the events and the picture."""
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


def _tag(column: str) -> str:
    """Return TensorBoard's name of a column: those of a kind share a section."""
    kind, _, metric = column.partition("_")
    if column.endswith("_loss"):
        return f"loss/{kind}"
    if not metric:
        return column
    return {"mean": f"{metric}/mean", "srocc": f"srocc/{metric}", "plcc": f"plcc/{metric}"}.get(
        kind, column
    )
