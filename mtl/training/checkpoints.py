"""Checkpoints of a run, by Orbax: whole or not there, written while training goes on.

A checkpoint is the state after some step and the sum of the losses of its epoch so far. Where the
run is in the data follows from the number of the step.
"""

from dataclasses import fields
from pathlib import Path

import orbax.checkpoint as ocp

from mtl.runtime.files import InputError
from mtl.training.step import State

STATE, EPOCH = "state", "epoch"  # parts of a checkpoint
LOSS_SUM = "loss_sum"


class Checkpoints:
    """The checkpoints in a folder; every process of a run takes part in each call.

    Args:
        folder: shared by all processes.
        kept: how many of the latest to keep.
    """

    def __init__(self, folder: Path, kept: int):
        self._folder = folder
        options = ocp.CheckpointManagerOptions(
            max_to_keep=kept, create=True, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(
            folder.resolve(), options=options, item_names=(STATE, EPOCH)
        )

    @property
    def latest(self) -> int | None:
        """The step of the latest checkpoint; None without any."""
        return self._manager.latest_step()

    def save(self, step: int, state: State, loss_sum: float) -> None:
        """Begin to write; the arrays are copied before it returns, the rest happens behind."""
        if step == self.latest:
            return
        items = ocp.args.Composite(
            **{
                STATE: ocp.args.StandardSave(_as_tree(state)),
                EPOCH: ocp.args.JsonSave({LOSS_SUM: loss_sum}),
            }
        )
        self._manager.save(step, args=items)

    def restore(self, step: int, layout: State) -> tuple[State, float]:
        """Return state and sum of losses; the arrays go where `layout` says.

        Raises:
            InputError: the checkpoint is of another network, or damaged.
        """
        items = ocp.args.Composite(
            **{
                STATE: ocp.args.StandardRestore(_as_tree(layout)),
                EPOCH: ocp.args.JsonRestore(),
            }
        )
        try:
            found = self._manager.restore(step, args=items)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self._folder / str(step)}: is a checkpoint of another network or damaged; delete"
                f" {self._folder} and log.csv to begin again, or choose another --out"
            ) from error
        return State(**found[STATE]), float(found[EPOCH][LOSS_SUM])

    def wait(self) -> None:
        """Wait until all is written."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait, and write no more."""
        self._manager.close()


def _as_tree(state: State) -> dict:
    return {field.name: getattr(state, field.name) for field in fields(state)}
