"""The authors' own numbers, on a few pictures that come with the tests and on all where present."""

import csv
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.extend.core.primitives import slice_p

from fr_metrics import METRICS, Metric, score, score_all
from fr_metrics.ssim import ssim
from scripts.report_metrics import COLUMNS as AUTHORS_COLUMNS

# Of SFF, the numbers depend on the matrix; it has tests of its own, in both precisions.
COLUMNS = {name: column for name, column in AUTHORS_COLUMNS.items() if name != "sff"}
COMPARED = [name for name in METRICS if name != "sff"]
DOUBLE_TOLERANCE = 1e-9
SINGLE_TOLERANCE = dict.fromkeys(METRICS, 2e-5) | {"mdsi": 2e-4}
GROUPS = {
    "coffeeodd": ("blur_4", "noise_2", "jpeg_4", "colour_4", "pixelate_4"),
    "chelsea": ("quant_3",),
}
ALL_PICTURES = Path(
    os.environ.get("DEEPFL_GOLDEN_METRICS")
    or Path(__file__).resolve().parents[3] / "shared" / "golden" / "metrics"
)


def test_every_verified_metric_has_a_golden_column(golden_rows):
    assert set(COLUMNS) == {name for name, metric in METRICS.items() if metric.verified}
    assert set(COLUMNS.values()) <= set(golden_rows("scores.csv")[0])
    assert not {"sff", "scqi", "add_gsim"} & set(COLUMNS)


@pytest.fixture(scope="module", params=GROUPS)
def group(request, golden_rows, golden_picture):
    reference = request.param
    names = [f"{reference}_{suffix}" for suffix in GROUPS[reference]]
    rows = {row["dist"]: row for row in golden_rows("scores.csv") if row["ref"] == reference}
    pairs = [(golden_picture(reference), golden_picture(name)) for name in names]
    with jax.enable_x64(True):
        double = [score_all(*pair, COMPARED) for pair in pairs]
    single = [score_all(*pair, COMPARED) for pair in pairs]
    return [rows[name] for name in names], double, single


@pytest.fixture
def pair(golden_picture):
    """Of a size that is compiled for a group, too."""
    return golden_picture("coffeeodd"), golden_picture("coffeeodd_jpeg_4")


@pytest.fixture
def eager(monkeypatch):
    """No compilation but that of single operations, and that no longer than it has to be."""

    def sliced(values, *, start_indices, limit_indices, strides):
        places = zip(start_indices, limit_indices, strides or (1,) * values.ndim, strict=True)
        return jax.numpy.asarray(np.asarray(values)[tuple(slice(*place) for place in places)])

    # A copy of samples is the same from NumPy, and slices are most of the operations.
    monkeypatch.setattr(slice_p, "impl", sliced)
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with jax.disable_jit():
        yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.parametrize("metric", COLUMNS)
def test_double_precision_reproduces_the_authors_numbers(metric, group):
    rows, double, _ = group
    expected = [float(row[COLUMNS[metric]]) for row in rows]
    values = np.stack([scores[metric] for scores in double])
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, expected, rtol=0, atol=DOUBLE_TOLERANCE)


@pytest.mark.parametrize("metric", COMPARED)
def test_single_precision_is_close_to_double(metric, group):
    _, double, single = group
    expected, values = (np.stack([s[metric] for s in each]) for each in (double, single))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected, rtol=0, atol=SINGLE_TOLERANCE[metric])


@pytest.fixture
def compiled(request, pair):
    return score(request.getfixturevalue("metric"), *pair)


@pytest.mark.parametrize("metric", METRICS)
def test_compiled_equals_eager(metric, pair, compiled, eager):
    value = METRICS[metric].function(*(jax.numpy.asarray(picture)[None] for picture in pair))
    np.testing.assert_allclose(compiled, value[0], rtol=0, atol=5e-6)


def test_inputs_are_not_modified(pair):
    before = [each.copy() for each in pair]
    score_all(*pair)
    assert all(np.array_equal(a, b) for a, b in zip(before, pair, strict=True))


def test_score_all_holds_every_score_in_the_order_of_the_table(pair):
    scores = score_all(*pair)
    assert list(scores) == list(METRICS)
    for name, metric in METRICS.items():
        assert isinstance(metric, Metric)
        np.testing.assert_array_equal(scores[name], score(name, *pair))
        # A batch of one reference is that reference.
        np.testing.assert_array_equal(scores[name][None], score(name, pair[0][None], pair[1]))
    assert list(score_all(*pair, metrics=["gmsd", "ssim"])) == ["gmsd", "ssim"]


def test_ssim_without_downsampling_reproduces_the_program_of_2003(golden_rows, golden_picture):
    (row,) = (row for row in golden_rows("scores.csv") if row["dist"] == "chelsea_quant_3")
    with jax.enable_x64(True):
        pictures = (
            jax.numpy.asarray(golden_picture(name))[None] for name in ("chelsea", "chelsea_quant_3")
        )
        value = float(ssim(*pictures, downsample=False)[0])
    assert value == pytest.approx(float(row["ssim_nods"]), abs=DOUBLE_TOLERANCE)


def test_constant_pictures_reproduce_the_authors_numbers(golden_rows):
    levels = {"deg_const128": 128, "deg_const100": 100, "deg_black": 0, "deg_white": 1}
    pictures = {name: np.full((384, 512, 3), v, np.uint8) for name, v in levels.items()}
    checked = 0
    for row in golden_rows("scores_degenerate.csv"):
        if row["ref"] in pictures and row["dist"] in pictures:
            with jax.enable_x64(True):
                scores = score_all(pictures[row["ref"]], pictures[row["dist"]], COLUMNS)
            for metric, value in scores.items():
                expected = float(row[COLUMNS[metric]])
                assert np.isfinite(value)
                if np.isfinite(expected):
                    assert float(value) == pytest.approx(expected, abs=DOUBLE_TOLERANCE), metric
                    checked += 1
    assert checked >= 12


@pytest.mark.skipif(
    not (ALL_PICTURES / "scores.csv").is_file(),
    reason="the full set of golden pictures is not here (DEEPFL_GOLDEN_METRICS names its folder)",
)
@pytest.mark.parametrize("double", [True, False], ids=["double", "single"])
def test_all_golden_pairs(double, picture_reader):
    with (ALL_PICTURES / "scores.csv").open(newline="") as file:
        # Double precision shows what is computed; for single a sample of the pairs will do.
        rows = list(csv.DictReader(file))[:: 1 if double else 4]
    worst = dict.fromkeys(COLUMNS, 0.0)
    for row in rows:
        reference, distorted = (
            picture_reader(ALL_PICTURES / "images" / f"{row[role]}.png") for role in ("ref", "dist")
        )
        with jax.enable_x64(double):
            scores = jax.device_get(score_all(reference, distorted, COLUMNS))
        for metric, value in scores.items():
            worst[metric] = max(worst[metric], abs(float(value) - float(row[COLUMNS[metric]])))
    limits = dict.fromkeys(METRICS, DOUBLE_TOLERANCE) if double else SINGLE_TOLERANCE
    assert len(rows) == (69 if double else 18)
    assert {name: error for name, error in worst.items() if not error <= limits[name]} == {}
