"""Training on crops, and what a head means where neither loss nor network is given."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from rated_crops import write_rated
from small_network import SmallBody

from mtl.network.model import ModelConfig, Opinion, functional_model
from mtl.network.weights import MODEL_FILE, fresh_weights, load_model, save_model
from mtl.runtime.files import InputError, read_arrays
from mtl.runtime.pictures import read_picture
from mtl.runtime.tables.csv_tables import read_table
from mtl.training.batches import training_batches
from mtl.training.opinions.config import (
    DEEPRN_NETWORK,
    FinetuneConfig,
    completed,
    differing,
    staged_settings,
)
from mtl.training.opinions.finetune import finetune
from mtl.training.settings import as_json

CROP, SIZE = (44, 60), (80, 96)


@pytest.fixture(scope="module")
def table(tmp_path_factory, sample) -> Path:
    """Fourteen pictures with a score, and a split of their own."""
    folder = tmp_path_factory.mktemp("rated")
    return write_rated(folder, sample["coffee"], SIZE, training=8)


def config(table, out, **changes) -> FinetuneConfig:
    settings = {"stages": ((1e-3, 2),), "batch_size": 4, "momentum": 0.5, "network": "cnniqa"}
    return FinetuneConfig(table, "random", out, **{**settings, **changes})


def test_crops_are_learned_and_whole_pictures_judged(table, tmp_path):
    shapes = set()

    class Watched(SmallBody):
        def maps(self, images, sizes=None):
            shapes.add(images.shape)
            return super().maps(images, sizes)

    done = finetune(config(table, tmp_path / "run", crop=CROP), body=Watched)
    assert shapes == {(4, *CROP, 3), (4, *SIZE, 3)}
    assert json.loads((tmp_path / "run" / "config.json").read_text())["crop"] == list(CROP)

    # The test's predictions are those for the whole pictures.
    description = json.loads((done.model / MODEL_FILE).read_text())["config"]
    opinion = Opinion(**description["opinion"])
    assert opinion.size is None
    model = ModelConfig((), momentum=0.5, opinion=opinion, network="cnniqa")
    network = functional_model(model, Watched).model(read_arrays(done.model / "weights.npz"))
    rows = read_table(done.out / "predictions.csv", ("image", "predicted"))
    pictures = np.stack([read_picture(table.parent / row["image"]) for row in rows])
    outputs = np.asarray(network(jnp.asarray(pictures)))[:, 0]
    expected = opinion.lowest + (opinion.highest - opinion.lowest) * outputs
    found = [float(row["predicted"]) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_crops_of_an_epoch_are_at_random_places(table, tmp_path):
    class Places:
        size = SIZE

        def __len__(self):
            return 8

        def __getitem__(self, index):
            rows, columns = np.indices(SIZE, np.uint8)
            return {"image": np.stack([rows, columns, rows], -1), "target": np.zeros(1, np.float32)}

    settings = staged_settings(config(table, tmp_path, crop=CROP))
    corners = {
        tuple(image[0, 0, :2])
        for epoch in range(2)
        for batch in training_batches(Places(), settings.batching, epoch)
        for image in batch.images
    }
    assert len(corners) > 10
    assert settings.validation_batching.crop is None and settings.batching.crop == CROP


def test_runs_older_than_crops_continue(tmp_path):
    ours = as_json(completed(config(Path("r.csv"), tmp_path)))
    older = {name: value for name, value in ours.items() if name != "crop"}
    assert differing(ours, older) == []
    assert differing({**ours, "crop": [32, 32]}, older) == ["crop"]
    assert ours["loss"] == "mse"  # as those runs have stored it


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"crop": (31, 60)}, r"images of 31×60 .* below the network's 32×32; change --crop"),
        ({"crop": (44, 97)}, r"images of 44×97 cannot be cut from 80×96"),
        ({"crop": (44, 60), "size": (40, 60)}, r"images of 44×60 cannot be cut from 40×60"),
        ({"head": "deeprn"}, r"--loss huber: learns the distribution .* or use --loss mse"),
    ],
)
def test_crops_and_heads_that_cannot_work_are_refused(table, tmp_path, changes, problem):
    with pytest.raises(InputError, match=problem):
        finetune(config(table, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_deeprn_alone_means_its_network_and_its_loss(tmp_path):
    def meant(**changes):
        whole = completed(config(Path("r.csv"), tmp_path, **{"network": None, **changes}))
        return whole.network, whole.loss

    assert meant() == (None, "mse") and meant(head="linear") == (None, "mse")
    assert meant(head="deeprn") == (DEEPRN_NETWORK, "huber") == ("resnet101", "huber")
    assert meant(head="deeprn", network="cnniqa", loss="emd") == ("cnniqa", "emd")
    of_a_folder = FinetuneConfig(Path("r.csv"), "run", tmp_path, head="deeprn")
    assert completed(of_a_folder).network is None  # it has its own

    opinion = Opinion(5, 1, 5, None, "r.csv", pooling="spp")
    shapes = functional_model(ModelConfig((), opinion=opinion, network=DEEPRN_NETWORK)).shapes
    assert shapes["opinion/hidden/0/kernel"] == (14 * 2048, 2048)
    blocks = {name.split("/")[3] for name in shapes if name.startswith("body/stages/2/")}
    assert len(blocks) == 23  # of the third stage of 101 layers


def test_models_older_than_pooling_average_the_picture(tmp_path):
    for pooling, length in (("spp", 14 * 400), ("gap", 400)):
        opinion = Opinion(5, 1, 5, None, "r.csv", pooling=pooling)
        model = ModelConfig((), opinion=opinion, width=0.5, network="cnniqa")
        functional = functional_model(model)
        assert functional.shapes["opinion/hidden/0/kernel"] == (length, 2048)
        save_model(tmp_path / pooling, model, fresh_weights(functional, 0), None, {})
        assert load_model(tmp_path / pooling).config == model
    path = tmp_path / "gap" / MODEL_FILE
    text = path.read_text()
    description = json.loads(text)
    assert description["config"]["opinion"].pop("pooling") == "gap"
    path.write_text(json.dumps(description))
    assert load_model(tmp_path / "gap").config.pooling == "gap"
    path.write_text(text.replace('"gap"', '"max"'))
    with pytest.raises(InputError, match=r"model\.json: is damaged"):
        load_model(tmp_path / "gap")
