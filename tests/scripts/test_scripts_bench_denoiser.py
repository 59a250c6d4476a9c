"""The comparison of denoisers: rows, units, and the expectation for DnCNN."""

import csv

import cv2
import pytest

from mtl.runtime.files import InputError
from scripts import bench_denoiser


@pytest.fixture
def folder(tmp_path, sample):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, image in sample.items():
        for part in (0, 1):
            square = image[50 * part : 50 * part + 48, 100:164, ::-1]
            cv2.imwrite(str(folder / f"{name}_{part}.png"), square)
    return folder


def test_table(folder, tmp_path, monkeypatch):
    known = {
        name: method
        for name, method in bench_denoiser.methods().items()
        if name in ("this denoiser (blind)", "non-local means")
    }
    # Stands for BM3D, which the tests do not install: it returns what it is given.
    monkeypatch.setattr(bench_denoiser, "methods", lambda: {**known, "BM3D": lambda x, _: x})
    out = tmp_path / "denoiser.csv"
    bench_denoiser.main([str(folder), "--out", str(out)])
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    psnr = {(row["method"], float(row["sigma"])): float(row["psnr_db"]) for row in rows}
    assert len(psnr) == 12
    # The PSNR of noise alone: 20 log10(255 / sigma).
    assert psnr["BM3D", 25] == pytest.approx(20.17, abs=0.1)
    assert psnr["this denoiser (blind)", 25] > psnr["BM3D", 25] + 4
    expected = "blind DnCNN, expected from its published lead over BM3D"
    assert psnr[expected, 25] - psnr["BM3D", 25] == pytest.approx(29.16 - 28.57)
    assert all(row["photographs"] == "2" and row["hardware"] for row in rows)


def test_no_photograph_fits(folder):
    with pytest.raises(InputError, match="no name of 2 held out fits"):
        bench_denoiser.main([str(folder), "--pattern", "nothing*"])
