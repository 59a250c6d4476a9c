"""Training of the denoiser: it learns, resumes to the same bits, and refuses what it cannot use."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import mtl.denoising.denoiser
from distortions.denoiser import LAYERS, WEIGHTS, load_denoiser
from mtl.denoising.denoiser import DenoiserConfig, train_denoiser
from mtl.denoising.denoiser_evaluation import evaluate
from mtl.denoising.denoising_unet import DenoisingUNet
from mtl.runtime.files import InputError, read_arrays


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sample) -> Path:
    """Twelve real photographs, small."""
    folder = tmp_path_factory.mktemp("photographs")
    for name, image in sample.items():
        for part, side in enumerate((image[:, :200], image[:, 200:400])):
            cv2.imwrite(str(folder / f"{name}_{part}.png"), side[:120, :150, ::-1])
    return folder


@pytest.fixture
def config(folder, tmp_path) -> DenoiserConfig:
    return DenoiserConfig(photographs=folder, out=tmp_path / "run", steps=6, batch_size=2, patch=32)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(mtl.denoising.denoiser, "STEPS_BETWEEN_SAVES", 3)
    monkeypatch.setattr(mtl.denoising.denoiser, "CALIBRATION_BATCHES", 2)
    monkeypatch.setattr(mtl.denoising.denoiser, "REPORTED_SIGMAS", (25.0,))


def test_the_shipped_weights_mean_the_same_in_jax(sample):
    network = DenoisingUNet(rngs=nnx.Rngs(0))
    arrays = read_arrays(WEIGHTS)
    for name in LAYERS:
        for part in ("kernel", "bias"):
            getattr(network.layers[name], part)[...] = jnp.asarray(
                arrays[f"{name}/{part}"], jnp.float32
            )
    image = sample["coffee"][:96, :128, 1] / 255
    noisy = image + 0.1 * np.random.default_rng(0).standard_normal(image.shape)
    expected = np.asarray(network(jnp.asarray(noisy, jnp.float32)[None, ..., None]))[0, ..., 0]
    difference = load_denoiser().noise(noisy) - expected
    assert np.sqrt(np.mean(difference**2)) < 1 / 255  # the rounding to whole numbers


def test_a_run_writes_what_the_package_ships(config):
    record = train_denoiser(config)
    names = {path.name for path in config.out.iterdir()}
    assert names == {
        "denoiser.npz", "denoiser.json", "evaluation.csv", "log.csv", "checkpoints"
    }  # fmt: skip
    assert json.loads((config.out / "denoiser.json").read_text()) == record
    assert record["photographs"] == {"trained_on": 10, "held_out": 2}
    shipped, made = read_arrays(WEIGHTS), read_arrays(config.out / "denoiser.npz")
    assert {name: array.shape for name, array in made.items()} == {
        name: array.shape for name, array in shipped.items()
    }
    noise = load_denoiser(config.out / "denoiser.npz").noise(np.full((16, 16), 0.5))
    assert np.isfinite(noise).all()


def test_a_photograph_that_cannot_be_read_costs_nothing_but_itself(folder, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "good.png").write_bytes((folder / "china_0.png").read_bytes())
    rows = evaluate(lambda x, _: x, tmp_path, ["broken.png", "good.png"], [25.0])
    assert [row["photograph"] for row in rows] == ["good.png"]
    with pytest.raises(InputError, match="none of the 1 photographs"):
        evaluate(lambda x, _: x, tmp_path, ["broken.png"], [25.0])


class Stopped(Exception):
    pass


def test_a_stopped_run_ends_in_the_same_bytes(config, monkeypatch, tmp_path):
    train_denoiser(replace(config, out=tmp_path / "whole"))
    draw = mtl.denoising.denoiser._draw_patches

    def draw_until(pictures, config, step):
        if step == 4:
            raise Stopped
        return draw(pictures, config, step)

    monkeypatch.setattr(mtl.denoising.denoiser, "_draw_patches", draw_until)
    with pytest.raises(Stopped):
        train_denoiser(config)
    monkeypatch.setattr(mtl.denoising.denoiser, "_draw_patches", draw)
    train_denoiser(config)
    log = (tmp_path / "whole" / "log.csv").read_bytes()
    assert (config.out / "log.csv").read_bytes() == log and log.count(b"\n") == 3
    whole = read_arrays(tmp_path / "whole" / "denoiser.npz")
    for name, array in read_arrays(config.out / "denoiser.npz").items():
        np.testing.assert_array_equal(array, whole[name])


def test_it_learns(config):
    train_denoiser(replace(config, steps=150, batch_size=4, learning_rate=2e-3))
    made = load_denoiser(config.out / "denoiser.npz")
    rows = evaluate(lambda x, _: x - made.noise(x), config.photographs, ["china_0.png"], [50.0])
    assert rows[0]["denoised"] > rows[0]["noisy"] + 4


def test_going_on_from_the_shipped_weights(config):
    train_denoiser(replace(config, init=WEIGHTS, steps=1, learning_rate=1e-9))
    image = np.full((40, 40), 0.5)
    made = load_denoiser(config.out / "denoiser.npz").noise(image)
    assert np.abs(made - load_denoiser().noise(image)).max() < 0.01


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patch": 33}, "--patch 33: must be a multiple of 8"),
        ({"steps": 0}, "--steps 0: must be above 0"),
        ({"limit": 5}, "5 photographs are too few"),
        ({"patch": 256}, "no photograph has 256 pixels a side"),
        ({"init": Path("nowhere.npz")}, "nowhere.npz"),
    ],
)
def test_bad_settings(config, change, words):
    with pytest.raises(InputError, match=words):
        train_denoiser(replace(config, **change))
    assert not config.out.exists()


def test_files_of_another_run(config):
    train_denoiser(config)
    with pytest.raises(InputError, match="other settings"):
        train_denoiser(replace(config, seed=1))
    (config.out / "state.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"state\.npz: was saved by an earlier version"):
        train_denoiser(config)
    (config.out / "state.npz").unlink()
    (config.out / "checkpoints" / "6" / "state" / "_METADATA").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"checkpoints: is damaged .*; give another --out$"):
        train_denoiser(config)


def test_a_mistake_is_one_line(tmp_path):
    command = [sys.executable, "-m", "scripts.train_denoiser"]
    paths = ["--photographs", str(tmp_path / "none"), "--out", str(tmp_path / "run")]
    result = subprocess.run([*command, *paths], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("train_denoiser: ")
    assert "no such folder" in result.stderr
