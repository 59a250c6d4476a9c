"""What every row of BASELINES promises, and the tables in which their features are kept."""

import inspect
import sys
from dataclasses import replace
from types import ModuleType

import cv2
import numpy as np
import pytest

from mlsp.baselines import BASELINES, Baseline
from mlsp.baselines.codebooks import LocalDescriptors, encoded, learn_encoder
from mlsp.baselines.feature_tables import baseline_features, descriptor_counts
from mlsp.features.sources import Files
from mtl.runtime import pictures
from mtl.runtime.contents import content_digest, digest_of, program_digest
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table


def used_modules(module: ModuleType) -> set[ModuleType]:
    """Modules of the package that a module takes anything from, itself and theirs included."""
    found, left = set(), [module]
    while left:
        one = left.pop()
        if one in found or not one.__name__.startswith("mlsp.baselines."):
            continue
        found.add(one)
        members = vars(one).values()
        left += [m if inspect.ismodule(m) else sys.modules.get(str(getattr(m, "__module__", "")))
                 or one for m in members]  # fmt: skip
    return found


@pytest.mark.parametrize("name", [*BASELINES, "patches"])
def test_a_row_is_what_it_says(name, sample, patch_codebook):
    row = BASELINES[name]
    images = [image[:200, :240] for image in sample.values()]
    before = images[0].copy()
    described = [row.describe(image) for image in images]
    assert np.array_equal(images[0], before)
    assert np.array_equal(row.describe(images[0]), described[0])
    if row.fit is not None:
        encoder, again = (row.fit(described[1:], 3) for _ in range(2))
        assert np.array_equal(encoder(described[0]), again(described[0]))
        described = [encoder(each) for each in described]
    assert all(each.shape == (row.length,) and np.isfinite(each).all() for each in described)
    assert row.title and row.reference.startswith("doi:10.")
    # The program of whose numbers are kept, so that those of another are made again.
    own = {sys.modules[each.__module__] for each in (row.describe, row.fit) if each is not None}
    assert set(row.program) >= set().union(*map(used_modules, own))


@pytest.fixture
def files(tmp_path, sample) -> Files:
    """Six small pictures, one of which is too small for a patch and one no picture."""
    names = []
    for name, image in sample.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), image[100:164, 60:140, ::-1])
        names.append(f"{name}.png")
    cv2.imwrite(str(tmp_path / names[1]), sample["china"][:5, :5])
    (tmp_path / names[4]).write_bytes(b"nothing")
    return Files(tmp_path, names, [{}] * len(names))


GOOD = np.array([0, 2, 3, 5])  # of these pictures


def test_an_earlier_table_of_the_same_program_is_read(files, tmp_path):
    """Its digests are those of the picture's file and of the program's modules, in this order."""
    program = program_digest(*BASELINES["brisque"].program, pictures)
    header = ",".join(["image", "made_from", *(f"f{n}" for n in range(1, 37)), "reason"])
    lines = [
        ",".join([name, digest_of(program, content_digest(tmp_path / name)), *["0.5"] * 36, ""])
        for name in files.names
    ]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "brisque.csv").write_text("\n".join([header, *lines, ""]))
    assert (baseline_features("brisque", files, tmp_path / "out") == 0.5).all()


def test_each_method_has_a_table_of_its_own(files, tmp_path, monkeypatch):
    means = Baseline(
        title="Means",
        describe=lambda image: image.mean(axis=(0, 1)),
        length=3,
        fit=None,
        reference="doi:10.1109/TIP.2012.2214050",
        verified=False,
        program=(sys.modules[__name__],),
    )
    monkeypatch.setitem(BASELINES, "means", means)
    out = tmp_path / "out"
    brisque = baseline_features("brisque", files, out)
    found = baseline_features("means", files, out)
    assert found[0] == pytest.approx(files.load(0).mean(axis=(0, 1)))
    assert np.isnan(found[4]).all() and np.isfinite(np.delete(found, 4, axis=0)).all()
    header = list(read_table(out / "means.csv", ())[0])
    assert header == ["image", "made_from", "f1", "f2", "f3", "reason"]
    monkeypatch.setitem(BASELINES, "means", replace(means, describe=pytest.fail))
    assert np.array_equal(baseline_features("means", files, out), found, equal_nan=True)
    assert np.array_equal(baseline_features("brisque", files, out), brisque, equal_nan=True)
    monkeypatch.setitem(BASELINES, "means", replace(means, describe=lambda image: image[0, 0, 0]))
    with pytest.raises(ValueError, match=r"means: features have shape \(\), not \(3,\)"):
        baseline_features("means", files, tmp_path / "other")


def test_pictures_without_local_descriptors_are_named(files, tmp_path, patch_codebook, monkeypatch):
    counts = descriptor_counts("patches", files, tmp_path / "out")
    assert np.array_equal(counts[GOOD], [80] * 4) and np.isnan(counts[[1, 4]]).all()
    reasons = [row["reason"] for row in read_table(tmp_path / "out" / "patches.csv", ())]
    assert "smaller than a patch" in reasons[1] and "is not a picture" in reasons[4]
    assert not patch_codebook.shown
    with pytest.raises(ValueError, match="patches has a codebook"):
        baseline_features("patches", files, tmp_path / "out")
    row = BASELINES["patches"]
    monkeypatch.setitem(BASELINES, "patches", replace(row, describe=pytest.fail))
    (tmp_path / files.names[1]).unlink()  # these two are tried again
    again = descriptor_counts("patches", files, tmp_path / "out")
    assert np.array_equal(again, counts, equal_nan=True)
    monkeypatch.setitem(BASELINES, "patches", replace(row, describe=lambda image: image[:0]))
    assert np.isnan(descriptor_counts("patches", files, tmp_path / "none")).all()
    reasons = [row["reason"] for row in read_table(tmp_path / "none" / "patches.csv", ())]
    assert reasons[0] == "has no local descriptors"


def test_a_codebook_sees_its_training_pictures_alone(files, patch_codebook):
    described = BASELINES["patches"].describe
    known = LocalDescriptors("patches", files, GOOD)
    assert len(known) == 4
    for place, patches in enumerate(known):
        assert np.array_equal(patches, described(files.load(GOOD[place])))
    encoder = learn_encoder(known, np.array([3, 1]), seed=5)
    expected = sorted(patch_codebook.digest(described(files.load(row))) for row in (2, 5))
    assert patch_codebook.shown == [(5, expected)]
    vectors = encoded(known, np.array([2, 0]), encoder)
    direct = [encoder(described(files.load(row))) for row in (3, 0)]
    np.testing.assert_allclose(vectors, direct, rtol=1e-6)
    assert vectors.shape == (2, 6) and np.allclose(vectors.sum(axis=1), 1)


def test_codebooks_that_cannot_be_are_refused(files, patch_codebook, monkeypatch):
    with pytest.raises(ValueError, match="brisque has no codebook"):
        LocalDescriptors("brisque", files, GOOD)
    bad = LocalDescriptors("patches", files, np.arange(6))
    with pytest.raises(InputError, match=rf"{files.names[1]}: the picture is smaller than a patch"):
        list(bad)
    known = LocalDescriptors("patches", files, GOOD)
    encoder = learn_encoder(known, np.arange(3), seed=0)
    row = BASELINES["patches"]
    monkeypatch.setitem(BASELINES, "patches", replace(row, length=7))
    with pytest.raises(ValueError, match=r"patches: a vector has shape \(6,\), not \(7,\)"):
        encoded(known, np.arange(2), encoder)
    monkeypatch.setitem(BASELINES, "patches", replace(row, describe=lambda image: image[:1, 0]))
    with pytest.raises(InputError, match="no codebook can be learned from 3 pictures: fewer"):
        learn_encoder(known, np.arange(3), seed=0)
