"""Distorted versions of a folder of pictures."""

import cv2
import numpy as np

from distortions import distort
from mtl.distort_files import distort_folder
from mtl.kadis.recipes import named_seed
from mtl.pictures import read_picture


def test_pictures_of_one_name_with_other_suffixes_keep_apart(tmp_path, sample):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name, photo in {"a.png": "coffee", "a.bmp": "chelsea", "b.png": "china"}.items():
        cv2.imwrite(str(photos / name), sample[photo][:40, :60, ::-1])
    assert distort_folder(photos, out, (16,), (2,), 7) == (3, [])
    names = {"a.png": "a.png_16_02.png", "a.bmp": "a.bmp_16_02.png", "b.png": "b_16_02.png"}
    assert {path.name for path in out.iterdir()} == {*names.values()}
    for name, version in names.items():
        expected = distort(read_picture(photos / name), 16, 2, seed=named_seed(7, name, 16, 2))
        assert np.array_equal(read_picture(out / version), expected)
