"""The engine trains what it knows nothing of: here how bright pictures are."""

import ast
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from small_network import SmallBody

import mtl.training
from mtl.network.model import Functional, ModelConfig, mtl_loss
from mtl.network.weights import FOLDER, WEIGHTS_FILE
from mtl.runtime.files import read_arrays
from mtl.training.distribution import Placement
from mtl.training.engine import train_for
from mtl.training.multitask.config import TrainConfig
from mtl.training.objective import Objective, Stage
from mtl.training.opinions.config import FinetuneConfig, staged_settings
from mtl.training.run_folder import read_log
from mtl.training.settings import RunSettings, run_settings
from mtl.training.step import Programs, make_optimizer

ENGINE = Path(mtl.training.__file__).parent
BIAS = "heads/brightness/out/bias"


class Pictures:
    """Pictures in memory, with their mean brightness 0..1."""

    size = (80, 80)

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index]
        return {"image": image, "target": np.array([image.mean() / 255], np.float32)}


class Brightness(Objective):
    """Learn the mean absolute error; keep the first epoch, with a bias that is one higher."""

    def __init__(self, training, validation, out):
        self.model = ModelConfig(("brightness",), momentum=0.5)
        self.training, self.validation = Pictures(training), Pictures(validation)
        self.notes = {"learned": "brightness"}
        self.out, self.outputs, self.at_the_end = out, [], []

    def loss(self, outputs, targets):
        return jnp.abs(outputs - targets).mean()

    def stage(self, epoch, log):
        assert [row["epoch"] for row in log] == list(range(1, epoch + 1))
        return Stage(self.kept(), 1e-12, "a second stage") if epoch == 1 else None

    def measures(self, outputs, targets, epoch):
        errors = np.abs(outputs - targets)
        self.outputs.append(outputs)
        return {"validation_loss": float(errors.mean()), "largest_error": float(errors.max())}

    def is_best(self, row, earlier):
        return not earlier

    def exported(self, weights, outputs, targets):
        return {**weights, BIAS: weights[BIAS] + np.float32(1)}

    def finish(self, log, predict):
        self.at_the_end.append((len(log), predict(self.validation, "the end", self.kept())))

    def kept(self):
        return read_arrays(self.out / FOLDER / WEIGHTS_FILE)


@pytest.fixture(scope="module")
def crops(sample):
    """Six crops to train on and three to validate."""
    crops = [
        np.ascontiguousarray(sample[name][top : top + 80, 60:140])
        for name in ("coffee", "rocket", "china")
        for top in (0, 100, 200)
    ]
    return crops[:6], crops[6:]


def settings(out, **changes) -> RunSettings:
    return RunSettings(out, **{"epochs": 2, "batch_size": 2, "learning_rate": 1e-3, **changes})


def test_an_objective_of_ones_own_is_trained(crops, tmp_path, capsys):
    objective = Brightness(*crops, tmp_path)
    chosen = settings(tmp_path, schedule="stages")
    log = train_for(objective, chosen, [], body=SmallBody, progress=True)
    columns = ["epoch", "train_loss", "validation_loss", "largest_error", "images_per_second"]
    assert [list(row) for row in log] == [columns, columns]
    assert read_log(tmp_path) == log and (tmp_path / "learning.png").is_file()
    told = capsys.readouterr().err
    assert "a second stage\n" in told
    assert f"epoch 1/2: train loss {log[0]['train_loss']:.4f}, validation loss" in told

    # The first epoch was kept, as the objective wants it.
    description = json.loads((tmp_path / "model" / "model.json").read_text())
    assert description["config"]["metrics"] == ["brightness"]
    assert description["notes"]["row"]["epoch"] == 1 and not description["equalized"]
    assert description["notes"]["learned"] == "brightness"
    ((rows, outputs),) = objective.at_the_end
    assert rows == 2
    np.testing.assert_allclose(outputs, objective.outputs[0] + 1, atol=1e-5)

    # A second call has nothing left but the end.
    again = Brightness(*crops, tmp_path)
    assert train_for(again, chosen, read_log(tmp_path), body=SmallBody) == log
    assert not again.outputs and again.at_the_end[0][0] == 2
    np.testing.assert_array_equal(again.at_the_end[0][1], outputs)


def test_its_advice_is_given(crops, tmp_path):
    objective = Brightness(*crops, tmp_path)
    objective.loss = lambda outputs, targets: jnp.nan * outputs.sum()
    with pytest.raises(FloatingPointError, match=r"nan at step 1; try a smaller learning rate$"):
        train_for(objective, settings(tmp_path, epochs=1), [], body=SmallBody)
    assert not objective.outputs and not objective.at_the_end


def test_a_stage_needs_a_learning_rate_that_can_be_set(tmp_path):
    functional = Functional(ModelConfig(("brightness",)), SmallBody)
    programs = Programs(settings(tmp_path), functional, 1, (80, 80), Placement(), mtl_loss)
    with pytest.raises(ValueError, match="schedule 'constant': has no stages"):
        programs.stage({}, 1e-3, 3)


@pytest.mark.parametrize("file", sorted(ENGINE.glob("*.py")), ids=lambda file: file.stem)
def test_the_engine_imports_no_objective(file):
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            assert not name.startswith(("mtl.training.multitask", "mtl.training.opinions")), name


def test_settings_are_taken_by_their_names(tmp_path):
    given = {"batch_size": 3, "dtype": "bfloat16", "checkpoint_every": 7, "seed": 5, "flip": True}
    train = run_settings(TrainConfig(tmp_path, tmp_path / "a", crop=(80, 90), ema=0.9, **given))
    assert (train.out, train.epochs, train.learning_rate) == (tmp_path / "a", 10, 1e-4)
    assert (train.crop, train.ema, train.schedule) == ((80, 90), 0.9, "constant")
    stages = ((1e-3, 2), (1e-4, 5))
    tuned = staged_settings(FinetuneConfig(tmp_path, "", tmp_path / "b", stages=stages, **given))
    assert (tuned.out, tuned.epochs, tuned.learning_rate) == (tmp_path / "b", 7, 1e-3)
    assert (tuned.crop, tuned.ema, tuned.schedule) == (None, 0.0, "stages")
    for name, value in given.items():
        assert getattr(train, name) == getattr(tuned, name) == value
    with pytest.raises(ValueError, match=r"weight_decay 0\.1"):
        make_optimizer(settings(tmp_path, schedule="stages", weight_decay=0.1), 1)
