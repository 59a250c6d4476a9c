"""A run that is stopped, by whatever means, goes on as if it had not been."""

import json
import os
import shutil
import signal
from itertools import count

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from small_network import small_run

from mtl.runtime.files import InputError
from mtl.runtime.stopping import NOTHING, SAVE, STOP, Requests
from mtl.training.distribution import Placement
from mtl.training.run_folder import read_log

# Seven steps an epoch.
SETTINGS = {"epochs": 2, "batch_size": 2, "ema": 0.9, "schedule": "cosine"}
STEPS = 14


@pytest.fixture(scope="module")
def whole(scored, tmp_path_factory):
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "run"
    run = small_run(scored, out, **SETTINGS)
    assert [row["epoch"] for row in run.log] == [1, 2] and run.resumed_at == 0
    return run


def checkpoints(out) -> list[int]:
    return sorted(int(path.name) for path in (out / "checkpoints").iterdir())


def last_state(out) -> dict[str, np.ndarray]:
    """All arrays of the latest checkpoint, optimiser and average among them."""
    with ocp.CheckpointManager(out / "checkpoints", item_names=("state", "epoch")) as manager:
        args = ocp.args.Composite(state=ocp.args.StandardRestore())
        state = manager.restore(manager.latest_step(), args=args)["state"]
    return {jax.tree_util.keystr(k): np.asarray(v) for k, v in jax.tree.leaves_with_path(state)}


def assert_same(one, two) -> None:
    """The same log, but for speed, and the same bits in the last state and in the kept model."""
    for a, b in zip(one.log, two.log, strict=True):
        for name in a.keys() - {"images_per_second"}:
            assert a[name] == b[name] or (np.isnan(a[name]) and np.isnan(b[name])), name
    ours, theirs = last_state(one.out), last_state(two.out)
    assert ours.keys() == theirs.keys() and len(ours) > 50
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    with np.load(one.model / "weights.npz") as a, np.load(two.model / "weights.npz") as b:
        assert all(np.array_equal(a[name], b[name]) for name in a.files)


def act_at_step(monkeypatch, number, action) -> None:
    """Call `action` once, when the run prepares so manieth call of a program."""
    prepared, request = count(1), Placement.request

    def counting(self, asked):
        if next(prepared) == number:
            action()
        return request(self, asked)

    monkeypatch.setattr(Placement, "request", counting)


@pytest.mark.parametrize(
    ("number", "at", "saved"),
    # The next step carries the request, and the two after it are under way when it is answered.
    # Three batches of validation come between the epochs.
    [(signal.SIGTERM, 3, [6]), (signal.SIGINT, 6, [7]), (signal.SIGTERM, 12, [7, 12])],
    ids=["in the first epoch", "after its last step", "in the second epoch"],
)
def test_a_signal_saves_the_step_and_the_same_call_continues(
    scored, tmp_path, monkeypatch, whole, number, at, saved
):
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        act_at_step(patch, at, lambda: os.kill(os.getpid(), number))
        with pytest.raises(KeyboardInterrupt, match=f"step {saved[-1]} of {STEPS} is saved"):
            small_run(scored, tmp_path / "run", **SETTINGS)
    assert signal.getsignal(number) is before
    assert checkpoints(tmp_path / "run") == saved
    rows = len(saved) - 1
    assert len(read_log(tmp_path / "run")) == rows
    shutil.move(tmp_path / "run", tmp_path / "moved")
    run = small_run(scored, tmp_path / "moved", **SETTINGS)
    assert run.resumed_at == rows
    assert_same(whole, run)


def test_a_stop_during_validation_validates_again(scored, tmp_path, monkeypatch, whole):
    with monkeypatch.context() as patch:
        # Seven steps, then the first batch of the validation.
        act_at_step(patch, 8, (tmp_path / "asked").touch)
        patch.setattr(
            Requests, "next", lambda self: STOP if (tmp_path / "asked").exists() else NOTHING
        )
        with pytest.raises(KeyboardInterrupt, match="step 7 of 14 is saved"):
            small_run(scored, tmp_path / "run", **SETTINGS)
    assert read_log(tmp_path / "run") == [] and checkpoints(tmp_path / "run") == [7]
    assert_same(whole, small_run(scored, tmp_path / "run", **SETTINGS))


def test_a_run_that_dies_continues_from_the_last_checkpoint(scored, tmp_path, monkeypatch, whole):
    class Died(Exception):
        pass

    def die():
        raise Died

    with monkeypatch.context() as patch:
        act_at_step(patch, 6, die)
        with pytest.raises(Died):
            small_run(scored, tmp_path / "run", **SETTINGS, checkpoint_every=2, checkpoints_kept=1)
    assert checkpoints(tmp_path / "run") == [4]
    # The folder of a checkpoint that was being written is none.
    (tmp_path / "run" / "checkpoints" / "5.orbax-checkpoint-tmp-1").mkdir()
    assert_same(whole, small_run(scored, tmp_path / "run", **SETTINGS))


def test_a_file_stops_a_run_and_is_taken_away(scored, tmp_path, monkeypatch):
    import mtl.runtime.stopping

    monkeypatch.setattr(mtl.runtime.stopping, "SECONDS_BETWEEN_LOOKS", 0.0)
    with monkeypatch.context() as patch:
        act_at_step(patch, 2, (tmp_path / "run" / "stop").touch)
        with pytest.raises(KeyboardInterrupt, match="is saved"):
            small_run(scored, tmp_path / "run")
    assert not (tmp_path / "run" / "stop").exists()
    # One that was made when nobody looked does not stop the next call.
    (tmp_path / "run" / "stop").touch()
    assert small_run(scored, tmp_path / "run").resumed_at == 0


def test_requests_watch_the_clock(tmp_path):
    often = Requests(tmp_path, 0.0, leads=True)
    assert often.next() == SAVE
    assert Requests(tmp_path, 0.0, leads=False).next() == NOTHING
    rarely = Requests(tmp_path, 60.0, leads=True)
    assert rarely.next() == NOTHING
    rarely.stop()
    assert [rarely.next(), rarely.next()] == [STOP, STOP]


def test_finished_and_longer_and_other_runs(scored, tmp_path):
    first = small_run(scored, tmp_path / "run", epochs=1)
    done = small_run(scored, tmp_path / "run", epochs=1)
    assert done.resumed_at == 1 and done.log == first.log == read_log(tmp_path / "run")
    longer = small_run(scored, tmp_path / "run", epochs=2)
    assert longer.resumed_at == 1 and longer.log[0] == first.log[0]
    assert_same(small_run(scored, tmp_path / "at once", epochs=2), longer)
    with pytest.raises(InputError, match="another learning_rate and flip"):
        small_run(scored, tmp_path / "run", learning_rate=1.0, flip=True)
    # Nor is a finished run another one when its checkpoints, which it no longer needs, are deleted.
    shutil.rmtree(tmp_path / "at once" / "checkpoints")
    with pytest.raises(InputError, match="another learning_rate"):
        small_run(scored, tmp_path / "at once", epochs=2, learning_rate=1.0)
    (tmp_path / "run" / "log.csv").unlink()
    with pytest.raises(InputError, match="has lost rows"):
        small_run(scored, tmp_path / "run", epochs=3)
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(InputError, match="is damaged or of another version"):
        small_run(scored, tmp_path / "run")


def test_a_cosine_of_another_length_is_another_run(scored, tmp_path):
    small_run(scored, tmp_path / "run", epochs=1, schedule="cosine")
    with pytest.raises(InputError, match="another epochs"):
        small_run(scored, tmp_path / "run", epochs=2, schedule="cosine")
    # The kept model is that of the best epoch, and says so.
    notes = json.loads((tmp_path / "run" / "model" / "model.json").read_text())["notes"]
    assert notes["row"]["epoch"] == 1 and notes["training"]["schedule"] == "cosine"
