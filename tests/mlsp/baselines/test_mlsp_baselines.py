"""Full-reference scores and BRISQUE's features of a database: right, resumable, never silent."""

from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest

from fr_metrics import METRICS, score
from mlsp.baselines import BASELINES, feature_tables, picture_tables
from mlsp.baselines.brisque import brisque
from mlsp.baselines.feature_tables import baseline_features, feature_columns, table_file
from mlsp.baselines.full_reference import FULL_REFERENCE_FILE, full_reference_scores
from mlsp.databases import open_database
from mtl.file_tools import score_files
from mtl.runtime.files import InputError
from mtl.runtime.pictures import read_picture
from mtl.runtime.tables.csv_tables import read_table

brisque_features = partial(baseline_features, "brisque")
BRISQUE_FILE, BRISQUE_COLUMNS = table_file("brisque"), feature_columns("brisque")

CHOSEN = ("ssim", "mdsi", "gmsd")
SIZES = {"astronaut": (48, 64), "china": (64, 48)}


@pytest.fixture
def database(tmp_path, sample):
    """Two references of different shapes with seven versions each, and a picture without one."""
    rng = np.random.default_rng(0)
    for name, (height, width) in SIZES.items():
        image = sample[name][100 : 100 + height, 100 : 100 + width]
        cv2.imwrite(str(tmp_path / f"{name}.png"), image[..., ::-1])
        for k in range(7):
            noisy = rng.normal(image, 6 * k).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / f"{name}_{k}.png"), noisy[..., ::-1])
    versions = [f"{name}_{k}.png,{7 - k},{name}.png" for k in range(7) for name in SIZES]
    lines = ["image,score,reference_file", *versions, "astronaut.png,9,"]
    (tmp_path / "rated.csv").write_text("\n".join(lines) + "\n")
    return open_database(tmp_path / "rated.csv")


def direct(database, metric):
    """One call per pair, in the metric's own direction."""
    return np.array(
        [
            np.nan
            if file is None
            else float(
                score(
                    metric,
                    read_picture(database.root / file),
                    read_picture(database.root / name),
                )
            )
            for name, file in zip(database.names, database.reference_files, strict=True)
        ]
    )


def test_scores_are_the_metrics_with_higher_always_better(database, tmp_path):
    found = full_reference_scores(database, tmp_path / "out", metrics=CHOSEN)
    assert tuple(found) == CHOSEN
    for metric, values in found.items():
        sign = 1 if METRICS[metric].higher_is_better else -1
        expected = sign * direct(database, metric)
        assert np.allclose(values, expected, rtol=1e-5, atol=1e-6, equal_nan=True)
        for reference in ("astronaut.png", "china.png"):
            rows = [k for k, file in enumerate(database.reference_files) if file == reference]
            rows.sort(key=lambda k: database.names[k])
            # The first version is the reference itself, each next one is noisier.
            assert values[rows[0]] == pytest.approx(sign * METRICS[metric].identical, abs=1e-4)
            assert (np.diff(values[rows]) < 0).all(), metric
    rows = read_table(tmp_path / "out" / FULL_REFERENCE_FILE, ("image", *CHOSEN, "reason"))
    assert [row["image"] for row in rows] == list(database.names)
    assert rows[-1]["reason"] == "has no reference" and rows[-1]["ssim"] == "nan"
    # In the file a metric has its own direction.
    assert float(rows[2]["gmsd"]) == -found["gmsd"][2] > 0


def test_a_killed_run_continues_and_ends_in_the_same_bytes(database, tmp_path, monkeypatch):
    whole = full_reference_scores(database, tmp_path / "whole", metrics=("ssim",))
    decoded = []

    def until(limit):
        def read(path):
            decoded.append(path)
            if len(decoded) > limit:
                raise KeyboardInterrupt
            return read_picture(path)

        decoded.clear()
        monkeypatch.setattr(score_files, "read_picture", read)

    out = tmp_path / "out"
    until(9)  # a reference, its seven versions, the next reference
    with pytest.raises(KeyboardInterrupt):
        full_reference_scores(database, out, metrics=("ssim",))
    kept = read_table(out / FULL_REFERENCE_FILE, ())
    assert sum(row["reason"] == "" for row in kept) == 7
    until(100)
    found = full_reference_scores(database, out, metrics=("ssim",))
    assert len(decoded) == 8  # the other reference and its versions
    assert np.array_equal(found["ssim"], whole["ssim"], equal_nan=True)
    paths = [folder / FULL_REFERENCE_FILE for folder in (tmp_path / "whole", out)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    until(0)
    again = full_reference_scores(database, out, metrics=("ssim",))
    assert np.array_equal(again["ssim"], whole["ssim"], equal_nan=True) and not decoded


def test_rows_are_kept_while_it_runs(database, tmp_path, monkeypatch):
    monkeypatch.setattr(picture_tables, "SECONDS_BETWEEN_WRITES", 0.0)
    monkeypatch.setattr(
        picture_tables, "LARGEST_SHARE_OF_WRITING", np.inf
    )  # also where that is slow
    seen = []

    def write(path, text):
        seen.append(text.count("\n") - 1)

    monkeypatch.setattr(picture_tables, "write_atomically", write)
    brisque_features(database.source(), tmp_path / "out")
    assert seen[-1] == len(database) and len(seen) > 3 and seen == sorted(seen)


def test_another_order_of_the_pictures_finds_its_rows(database, tmp_path, monkeypatch):
    straight = full_reference_scores(database, tmp_path / "out", metrics=("ssim",))["ssim"]
    order = np.random.default_rng(1).permutation(len(database))
    shuffled = replace(
        database,
        **{
            field: tuple(getattr(database, field)[k] for k in order)
            for field in ("names", "references", "reference_files", "distortions", "levels")
        },
        scores=database.scores[order],
        original=database.original[order],
    )
    monkeypatch.setattr(score_files, "read_picture", None)  # nothing is left to be read
    turned = full_reference_scores(shuffled, tmp_path / "out", metrics=("ssim",))["ssim"]
    assert np.array_equal(turned, straight[order], equal_nan=True)


def test_pictures_that_cannot_be_used_are_named_and_tried_again(database, tmp_path, capsys):
    whole = (tmp_path / "china_3.png").read_bytes()
    (tmp_path / "china_3.png").write_bytes(whole[:100])
    cv2.imwrite(str(tmp_path / "astronaut_2.png"), np.zeros((30, 30, 3), np.uint8))
    (tmp_path / "astronaut_5.png").unlink()
    out = tmp_path / "out"
    found = full_reference_scores(database, out, metrics=("ssim",), progress=True)["ssim"]
    bad = {"china_3.png", "astronaut_2.png", "astronaut_5.png", "astronaut.png"}
    assert {n for n, v in zip(database.names, found, strict=True) if np.isnan(v)} == bad
    reasons = {
        row["image"]: row["reason"]
        for row in read_table(out / FULL_REFERENCE_FILE, ("image", "reason"))
    }
    assert "cannot be decoded" in reasons["china_3.png"]
    assert "is 30×30 but its reference" in reasons["astronaut_2.png"]
    assert "no such file" in reasons["astronaut_5.png"] and reasons["china_1.png"] == ""
    told = capsys.readouterr().err
    assert all(f"left out: {name}" in told for name in bad)
    (tmp_path / "china_3.png").write_bytes(whole)
    again = full_reference_scores(database, out, metrics=("ssim",))["ssim"]
    place = database.names.index("china_3.png")
    assert np.isfinite(again[place]) and np.isnan(again).sum() == 3
    others = np.arange(len(again)) != place
    assert np.array_equal(again[others], found[others], equal_nan=True)


def decoded_files(monkeypatch) -> list[str]:
    """Names of the files that full-reference scores decode from now on."""
    decoded = []

    def read(path):
        decoded.append(path.name)
        return read_picture(path)

    monkeypatch.setattr(score_files, "read_picture", read)
    return decoded


def describe_by(monkeypatch, function) -> None:
    """Let another function compute the features of BRISQUE's row."""
    monkeypatch.setitem(BASELINES, "brisque", replace(BASELINES["brisque"], describe=function))


def turn(path):
    cv2.imwrite(str(path), cv2.imread(str(path))[::-1])


def test_rows_of_changed_files_are_made_again(database, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    full_reference_scores(database, out, metrics=("ssim",))
    turn(tmp_path / "china_3.png")
    decoded = decoded_files(monkeypatch)
    found = full_reference_scores(database, out, metrics=("ssim",), progress=True)["ssim"]
    assert decoded == ["china.png", "china_3.png"]
    assert "13 rows are kept; 1 are made again" in capsys.readouterr().err
    np.testing.assert_allclose(found, direct(database, "ssim"), rtol=1e-5)
    decoded.clear()
    turn(tmp_path / "astronaut.png")  # a reference, under the same name
    found = full_reference_scores(database, out, metrics=("ssim",))["ssim"]
    assert decoded == ["astronaut.png", *(f"astronaut_{k}.png" for k in range(7))]
    np.testing.assert_allclose(found, direct(database, "ssim"), rtol=1e-5)
    fresh = tmp_path / "fresh"
    full_reference_scores(database, fresh, metrics=("ssim",))
    assert (fresh / FULL_REFERENCE_FILE).read_bytes() == (out / FULL_REFERENCE_FILE).read_bytes()


def test_another_reference_for_a_picture_is_another_score(database, tmp_path, monkeypatch):
    out = tmp_path / "out"
    full_reference_scores(database, out, metrics=("ssim",))
    files = list(database.reference_files)
    (tmp_path / "moved.png").write_bytes((tmp_path / "china.png").read_bytes())
    files[1] = "moved.png"  # the same picture by another name
    files[0] = "astronaut_6.png"
    decoded = decoded_files(monkeypatch)
    other = replace(database, reference_files=tuple(files))
    found = full_reference_scores(other, out, metrics=("ssim",))["ssim"]
    assert decoded == ["astronaut_6.png", "astronaut_0.png"] and found[0] < 0.9


def test_rows_of_another_program_are_made_again(database, tmp_path, monkeypatch):
    out = tmp_path / "out"
    whole = brisque_features(database.source(), out)
    computed: list[np.ndarray] = []

    def counting(image):
        computed.append(image)
        return brisque(image)

    describe_by(monkeypatch, counting)
    brisque_features(database.source(), out)
    assert not computed
    turn(tmp_path / "china_3.png")
    found = brisque_features(database.source(), out)
    row = database.names.index("china_3.png")
    assert len(computed) == 1 and not np.array_equal(found[row], whole[row])
    monkeypatch.setattr(feature_tables, "program_digest", lambda *modules: "another")
    brisque_features(database.source(), out)
    assert len(computed) == 1 + len(database)


def test_a_table_that_knew_names_alone_is_refused(database, tmp_path):
    header, numbers = ",".join(BRISQUE_COLUMNS), ",".join(["0.5"] * 36)
    rows = [f"{name},{numbers}," for name in database.names]
    (tmp_path / BRISQUE_FILE).write_text("\n".join([f"image,{header},reason", *rows, ""]))
    with pytest.raises(InputError, match=r"brisque\.csv: was written by another version"):
        brisque_features(database.source(), tmp_path)


def test_a_missing_reference_leaves_out_its_versions_alone(database, tmp_path):
    (tmp_path / "china.png").unlink()
    found = full_reference_scores(database, tmp_path / "out", metrics=("ssim",))["ssim"]
    of_china = np.array([file == "china.png" for file in database.reference_files])
    assert np.isnan(found[of_china]).all() and np.isfinite(found[~of_china][:-1]).all()


def test_too_small_a_picture_for_a_metric_is_said(database, tmp_path):
    full_reference_scores(database, tmp_path / "out", metrics=("ms_ssim",))
    rows = read_table(tmp_path / "out" / FULL_REFERENCE_FILE, ("reason",))
    assert "too small for ms_ssim" in rows[0]["reason"]


def test_what_cannot_be_continued_is_refused(database, tmp_path):
    out = tmp_path / "out"
    full_reference_scores(database, out, metrics=("ssim",))
    with pytest.raises(InputError, match="has other columns than are wanted"):
        full_reference_scores(database, out, metrics=CHOSEN)
    with pytest.raises(InputError, match="nonsense: is not a metric"):
        full_reference_scores(database, out, metrics=("nonsense",))
    path = out / FULL_REFERENCE_FILE
    text = path.read_text()
    path.write_text(text.replace("china_0.png", "other.png"))
    with pytest.raises(InputError, match=r"other\.png is not among the pictures"):
        full_reference_scores(database, out, metrics=("ssim",))
    path.write_text(text[: text.index("\n", 60) - 6] + "x\n")
    with pytest.raises(InputError, match="is damaged; delete the file"):
        full_reference_scores(database, out, metrics=("ssim",))
    authentic = replace(database, reference_files=(None,) * len(database))
    with pytest.raises(InputError, match="no picture of rated has a pristine reference"):
        full_reference_scores(authentic, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_brisque_features_are_those_of_each_picture(database, tmp_path):
    source = database.source()
    found = brisque_features(source, tmp_path / "out")
    assert found.shape == (len(database), 36)
    for k in range(len(database)):
        assert np.array_equal(found[k], brisque(source.load(k)))
    rows = read_table(tmp_path / "out" / BRISQUE_FILE, ("image", *BRISQUE_COLUMNS))
    assert [float(rows[4][name]) for name in BRISQUE_COLUMNS] == found[4].tolist()


def test_brisque_continues_and_names_what_has_no_features(database, tmp_path, monkeypatch, capsys):
    cv2.imwrite(str(tmp_path / "china_1.png"), np.full((64, 48, 3), 128, np.uint8))
    cv2.imwrite(str(tmp_path / "china_2.png"), np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "china_4.png").write_bytes(b"nothing")
    whole = brisque_features(database.source(), tmp_path / "whole", progress=True)
    bad = [database.names.index(f"china_{k}.png") for k in (1, 2, 4)]
    assert np.isnan(whole[bad]).all() and np.isfinite(np.delete(whole, bad, axis=0)).all()
    told = capsys.readouterr().err
    for text in ("too little structure", "9×9 pixels are too few", "is not a picture"):
        assert text in told

    def failing(image):
        if len(computed) == 6:
            raise KeyboardInterrupt
        computed.append(image)
        return brisque(image)

    computed: list[np.ndarray] = []
    describe_by(monkeypatch, failing)
    with pytest.raises(KeyboardInterrupt):
        brisque_features(database.source(), tmp_path / "out")
    kept = sum(not row["reason"] for row in read_table(tmp_path / "out" / BRISQUE_FILE, ()))
    assert 0 < kept <= 6
    describe_by(monkeypatch, brisque)
    found = brisque_features(database.source(), tmp_path / "out")
    assert np.array_equal(found, whole, equal_nan=True)
    paths = [folder / BRISQUE_FILE for folder in (tmp_path / "whole", tmp_path / "out")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_failed_write_leaves_the_earlier_table(database, tmp_path, monkeypatch):
    out = tmp_path / "out"
    brisque_features(database.source(), out)
    before = (out / BRISQUE_FILE).read_bytes()
    shorter = "\n".join((out / BRISQUE_FILE).read_text().splitlines()[:4]) + "\n"
    (out / BRISQUE_FILE).write_text(shorter)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(picture_tables, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        brisque_features(database.source(), out)
    assert (out / BRISQUE_FILE).read_text() == shorter
    monkeypatch.undo()
    brisque_features(database.source(), out)
    assert (out / BRISQUE_FILE).read_bytes() == before
