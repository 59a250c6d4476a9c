"""Files of splits: written, read for rows in any order, and refused when they do not fit."""

import json

import numpy as np
import pytest

from mtl.evaluation.saved_splits import read_splits, write_splits
from mtl.evaluation.splits import split_by_group
from mtl.runtime.files import InputError

NAMES = [f"{k}.png" for k in range(40)]
REFERENCES = [f"R{k // 4}" for k in range(40)]


@pytest.fixture
def written(tmp_path):
    splits = [split_by_group(REFERENCES, seed=3, repetition=k) for k in range(5)]
    digest = write_splits(tmp_path / "splits.json", splits, NAMES, REFERENCES, database="some")
    return tmp_path / "splits.json", splits, digest


def test_splits_that_were_written_are_read_for_rows_in_any_order(written):
    path, splits, digest = written
    found = read_splits(path, NAMES, REFERENCES)
    assert found.sha256 == digest == json.loads(path.read_text())["sha256"]
    assert found.database == "some" and len(found.splits) == 5
    order = np.random.default_rng(0).permutation(40)
    turned = read_splits(path, [NAMES[k] for k in order], [REFERENCES[k] for k in order])
    for one, two, three in zip(splits, found.splits, turned.splits, strict=True):
        for part in ("train", "validation", "test"):
            assert np.array_equal(getattr(one, part), getattr(two, part))
            assert sorted(order[getattr(three, part)]) == list(getattr(one, part))
    before = path.read_bytes()
    write_splits(path, found.splits, NAMES, REFERENCES, database="some")
    assert path.read_bytes() == before


def test_splits_of_another_database_or_changed_ones_are_refused(written, tmp_path):
    path, splits, _ = written
    for names, references in (
        (NAMES[:-1], REFERENCES[:-1]),
        (["x.png", *NAMES[1:]], REFERENCES),
        (NAMES, ["R9", *REFERENCES[1:]]),
    ):
        with pytest.raises(InputError, match="holds splits of 40 pictures of some, not of these"):
            read_splits(path, names, references)
    text = path.read_text()
    row = json.loads(text)["repetitions"][0]
    path.write_text(text.replace(row, row[1:] + row[:1], 1))
    with pytest.raises(InputError, match="was changed since"):
        read_splits(path, NAMES, REFERENCES)
    path.write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(InputError, match="another version"):
        read_splits(path, NAMES, REFERENCES)
    for damaged in (text[: len(text) // 2], "[]", "{}", '"x"'):
        path.write_text(damaged)
        with pytest.raises(InputError, match="missing or is not a file of splits"):
            read_splits(path, NAMES, REFERENCES)
    with pytest.raises(InputError, match="missing"):
        read_splits(tmp_path / "gone.json", NAMES, REFERENCES)
    with pytest.raises(ValueError, match="split 0 parts the pictures of"):
        write_splits(path, splits, NAMES, [f"R{k % 10}" for k in range(40)], database="some")


def test_names_that_are_not_utf_8_are_kept(tmp_path):
    names = ["Z\udcfcrich.png", *NAMES[1:]]
    splits = [split_by_group(names, seed=0, repetition=0)]
    write_splits(tmp_path / "s.json", splits, names, names, database="some")
    (found,) = read_splits(tmp_path / "s.json", names, names).splits
    assert np.array_equal(found.test, splits[0].test)
