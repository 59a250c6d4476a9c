"""The published table of a training run."""

import csv

import pytest
from small_network import SmallBody

from mtl.runtime.files import InputError
from mtl.training.multitask.config import TrainConfig
from mtl.training.multitask.train import train
from scripts import report_training


def test_the_table_is_the_logs_with_their_origin(scored, tmp_path):
    config = TrainConfig(scored, tmp_path / "run", epochs=2, batch_size=4, momentum=0.9)
    run = train(config, body=SmallBody)
    out = tmp_path / "results" / "run.csv"
    report_training.main([str(config.out), str(config.out), "--out", str(out)])
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["validation_loss"]) for row in rows] == [
        row["validation_loss"] for row in (*run.log, *run.log)
    ]
    for row in rows:
        assert row["settings"] == "epochs 2; batch_size 4; momentum 0.9"
        assert row["data"].startswith("4 photographs at 96x80")
        assert row["date"] and "flax" in row["versions"]
    assert out.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"


def test_a_run_that_cannot_be_published(tmp_path):
    with pytest.raises(InputError, match="no run is named"):
        report_training.main([])
    with pytest.raises(InputError, match="no epoch has ended"):
        report_training.training_rows(tmp_path)
    (tmp_path / "log.csv").write_text("epoch,validation_loss\n1,2\n")
    with pytest.raises(InputError, match=r"config\.json: is missing"):
        report_training.training_rows(tmp_path)
