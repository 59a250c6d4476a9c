"""Checkpoints of a denoiser's training, by Orbax: whole or not there."""

from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from mtl.runtime.files import InputError

FOLDER = "checkpoints"  # of a run
OLD_STATE_FILE = "state.npz"  # of versions that kept no checkpoints
STATE, RUN = "state", "run"  # parts of a checkpoint

Log = list[dict[str, Any]]
"""Rows `step` and `psnr`, one for each checkpoint so far."""


class DenoiserCheckpoints:
    """The checkpoints of a run, of which the latest is kept.

    Args:
        out: folder of the run.
        settings: what decides the weights; a run of other settings is not continued.

    Raises:
        InputError: the folder has a state that an earlier version saved.
    """

    def __init__(self, out: Path, settings: str):
        if (out / OLD_STATE_FILE).exists():
            raise InputError(
                f"{out / OLD_STATE_FILE}: was saved by an earlier version, which alone can continue"
                " it; give another --out"
            )
        self._folder, self._settings = out / FOLDER, settings
        options = ocp.CheckpointManagerOptions(
            max_to_keep=1, cleanup_tmp_directories=True, enable_async_checkpointing=False
        )
        self._manager = ocp.CheckpointManager(
            self._folder.resolve(), options=options, item_names=(STATE, RUN)
        )

    def save(self, state: Any, log: Log) -> None:
        """Write the state after the last step of the log; it is on the disk when this returns."""
        run = ocp.args.JsonSave({"settings": self._settings, "log": log})
        parts = {STATE: ocp.args.StandardSave(state), RUN: run}
        self._manager.save(log[-1]["step"], args=ocp.args.Composite(**parts))

    def restore(self, initial: Any) -> tuple[Any, Log]:
        """Return the latest state and the log up to it; `initial` and no rows without any.

        Args:
            initial: the state before the first step, whose layout the checkpoint must have.

        Raises:
            InputError: the checkpoint is damaged, or of another network or other settings.
        """
        if self._manager.latest_step() is None:
            return initial, []
        parts = {STATE: ocp.args.StandardRestore(initial), RUN: ocp.args.JsonRestore()}
        problem = "belongs to a run of other settings"
        try:
            found = self._manager.restore(None, args=ocp.args.Composite(**parts))
            if found[RUN]["settings"] == self._settings:
                return found[STATE], found[RUN]["log"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            problem = f"is damaged or of another network ({reason})"
        raise InputError(f"{self._folder}: {problem}; give another --out")

    def close(self) -> None:
        """Write no more."""
        self._manager.close()
