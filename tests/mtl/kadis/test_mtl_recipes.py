"""Plans: decided by names and a seed alone, references never on both sides."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.curation.pristine import pristine_crop, too_small
from mtl.kadis.plan import GenerateConfig, make_plan
from mtl.kadis.recipes import LEVELS, named_seed, plan_versions, validation_references
from mtl.kadis.shards import plan_shards
from mtl.runtime.files import InputError

TYPES = (1, 4, 10, 11, 21)
NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=30, unique=True)


def test_a_reference_gets_the_drawn_types_at_all_levels():
    versions = plan_versions("a.png", TYPES, LEVELS, 2, seed=3)
    assert len(versions) == 10
    assert len({v.distortion for v in versions}) == 2
    for distortion in {v.distortion for v in versions}:
        assert [v.level for v in versions if v.distortion == distortion] == [1, 2, 3, 4, 5]
    assert len({v.seed for v in versions}) == 10


def test_drawing_all_types_is_the_kadid_recipe():
    versions = plan_versions("a.png", TYPES, LEVELS, len(TYPES), seed=0)
    assert [(v.distortion, v.level) for v in versions] == [(t, n) for t in TYPES for n in LEVELS]


def test_all_types_are_drawn_about_equally_often():
    drawn = [plan_versions(f"{k}.png", TYPES, (1,), 1, seed=0)[0].distortion for k in range(1000)]
    counts = [drawn.count(t) for t in TYPES]
    # Binomial(1000, 1/5): standard deviation 12.6, so five of them.
    assert all(abs(count - 200) < 64 for count in counts), counts


@given(st.integers(0, 2**40), st.text(), st.text())
def test_seeds_depend_on_every_part(seed, a, b):
    assert 0 <= named_seed(seed, a, b) < 2**63
    assert named_seed(seed, a, b) == named_seed(seed, a, b)
    assert named_seed(seed, a, b) != named_seed(seed + 1, a, b)
    assert named_seed(seed, a, b, "x") != named_seed(seed, a, b, "y")


@given(NAMES, st.floats(0, 0.9), st.integers(0, 100))
def test_the_split_does_not_depend_on_order_and_leaves_both_sides_something(names, share, seed):
    chosen = validation_references(names, share, seed)
    assert chosen == validation_references(names[::-1], share, seed)
    assert chosen <= set(names)
    if len(names) > 1 and share > 0:
        assert 1 <= len(chosen) < len(names)
        assert abs(len(chosen) - share * len(names)) <= 1


@given(NAMES, st.integers(1, 40))
def test_shards_hold_every_reference_once(names, number):
    half = len(names) // 2
    shards = plan_shards({"train": names[half:], "validation": names[:half]}, number)
    assert [s.index for s in shards] == list(range(len(shards)))
    assert sorted(r for s in shards for r in s.references) == sorted(names)
    assert all(s.references for s in shards)
    assert len(shards) <= max(number, 2) + 1


@given(st.integers(40, 120), st.integers(40, 120))
def test_the_pristine_crop_spans_and_keeps_the_aspect(height, width):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    crop = pristine_crop(image, (30, 40))
    assert crop.shape == (30, 40, 3) and crop.dtype == np.uint8
    assert abs(float(crop.mean()) - float(image.mean())) < 8


def test_the_crop_is_the_centre_of_the_area_scaled_picture(sample):
    image = sample["coffee"]  # 400 × 600
    expected = cv2.resize(image, (288, 192), interpolation=cv2.INTER_AREA)[:, 16:272]
    assert np.array_equal(pristine_crop(image, (192, 256)), expected)
    same = image[:384, :512]
    assert np.array_equal(pristine_crop(same), same)


def test_nothing_is_enlarged():
    assert too_small((384, 512)) is None
    assert "511×384 is smaller than 512×384" in str(too_small((384, 511)))
    with pytest.raises(ValueError, match="smaller"):
        pristine_crop(np.zeros((10, 10, 3), np.uint8))


def test_a_plan_names_what_it_leaves_out(photographs, tmp_path):
    (photographs / "text.jpg").write_text("no picture")
    cv2.imwrite(str(photographs / "tiny.png"), np.zeros((10, 10, 3), np.uint8))
    plan = make_plan(GenerateConfig(photographs, tmp_path / "out", size=(192, 256)))
    assert {r.file for r in plan.rejected} == {"text.jpg", "tiny.png"}
    assert "smaller than 256×192" in next(r.reason for r in plan.rejected if "tiny" in r.file)
    assert len(plan.sizes) == 6


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"types": ("blur",)}, "blur: is not a distortion"),
        ({"levels": (0,)}, "level 0"),
        ({"per_image": 7}, "--per-image 7: must be a multiple"),
        ({"per_image": 500}, "--per-image 500"),
        ({"metrics": ("psnr",)}, "psnr: is not a metric"),
        ({"size": (64, 64)}, "ms_ssim needs at least 176"),
        ({"size": (0, 64)}, "--size"),
        ({"validation": 1.0}, "--validation"),
        ({"shards": 0}, "--shards"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_settings_out_of_range_are_refused(photographs, tmp_path, changes, problem):
    config = GenerateConfig(photographs, tmp_path / "out", **{"size": (192, 256), **changes})
    with pytest.raises(InputError, match=problem):
        make_plan(config)
    assert not (tmp_path / "out").exists()
