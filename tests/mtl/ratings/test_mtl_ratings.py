"""Raw ratings: what is read and refused, who is removed and why, how scores come about."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.evaluation.correlation import plcc, srocc
from mtl.ratings import ScreeningSettings, read_raw, run_ratings, score_images, screen, votes_of
from mtl.ratings import study as study_module
from mtl.ratings.rated import read_ratings
from mtl.ratings.scores import rescale
from mtl.ratings.simulation import (
    CHEATS,
    SimulationSettings,
    raw_text,
    simulate,
)
from mtl.ratings.study import RELIABILITY_FILE, RatingsConfig
from mtl.runtime.files import InputError
from mtl.runtime.tables.columns import TableColumns

KONIQ = Path(
    os.environ.get("DEEPFL_KONIQ_TABLE")
    or Path(__file__).resolve().parents[4] / "shared" / "data" / "koniq10k_distributions_sets.csv"
)

SMALL = SimulationSettings(raters=40, images=60, votes=20.0, tests=20)


def written(folder: Path, *lines: str) -> Path:
    path = folder / "raw.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_ratings_are_read_whatever_the_order_of_the_rows(tmp_path):
    made = simulate(SMALL, np.random.default_rng(3)).raw
    header, *lines = raw_text(made).splitlines()
    np.random.default_rng(0).shuffle(lines)
    read = read_raw(written(tmp_path, header, *lines))
    assert (read.raters, read.images) == (made.raters, made.images)
    for name in ("rater", "image", "score", "accepted"):
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))


def test_accepted_answers_in_either_column(tmp_path):
    rows = ("ann,b.png,5,4|5", "bob,b.png,1,4|5", "ann,a.png,3,", "bob,a.png,3,")
    one = read_raw(written(tmp_path, "rater,image,score,test", *rows))
    assert one.images == ("a.png", "b.png") and one.is_test.tolist() == [False, True]
    assert one.accepted[1].tolist() == [False, False, False, True, True]
    rows = [row.replace(",4|5", ",1,4|5").replace("3,", "3,0,") for row in rows]
    two = read_raw(written(tmp_path, "rater,image,score,test,accepted", *rows))
    np.testing.assert_array_equal(one.accepted, two.accepted)


def test_columns_are_found_however_they_are_spelled(tmp_path):
    """A test question whose column is called Test is no rating."""
    rows = ("ann,b.png,5,1,4|5", "bob,b.png,1,1,4|5", "ann,a.png,3,0,", "bob,./a.png,3,0,")
    for header in ("Rater,Image,Score,Test,Accepted", "RATER,IMAGE,SCORE,TEST_,accepted"):
        read = read_raw(written(tmp_path, header, *rows))
        assert read.images == ("a.png", "b.png") and read.is_test.tolist() == [False, True]
    with pytest.raises(InputError, match=r"line 3: ann rates a\.png again, after line 2"):
        read_raw(written(tmp_path, "rater,image,score", "ann,a.png,3", "ann,x/../a.png,4"))


def test_tables_of_experts_and_predictions_have_the_names_that_people_give(tmp_path):
    path = tmp_path / "experts.csv"
    path.write_text("who,picture,DMOS\n1,./a.png,10\n2,b.png,20\n")
    config = RatingsConfig(raw=path, out=tmp_path / "out", experts=path, repetitions=20)
    raw = written(tmp_path, "rater,image,score", "a,a.png,1", "b,a.png,2", "a,b.png,3")
    config = replace(config, raw=raw)
    with pytest.raises(InputError, match="name the column with --columns image="):
        run_ratings(config)
    config = replace(config, columns=("image=picture",))
    with pytest.raises(InputError, match="say --higher-is better or --higher-is worse"):
        run_ratings(config)
    with pytest.raises(InputError, match="are of the experts' table; say --experts"):
        run_ratings(replace(config, experts=None))
    columns = TableColumns(config.columns, "worse")
    assert study_module._expert_scores(path, columns) == {"a.png": -10, "b.png": -20}
    path.write_text("Image Name,Quality\n./a.png,1\nb.png,2\n")
    assert study_module._predictions(path) == {"a.png": 1, "b.png": 2}
    path.write_text("image,quality\na.png,1\n./a.png,2\n")
    with pytest.raises(InputError, match=r"line 3: a\.png is there twice"):
        study_module._predictions(path)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["rater,image", "a,x"], "score is missing"),
        (["rater,image,score"], "has a header but no rows"),
        (["rater,image,score", "a,x,6"], "line 2: score '6' is not a whole number from 1 to 5"),
        (["rater,image,score", "a,x,3", "b,x,0"], "line 3: score '0' is not"),
        (["rater,image,score", "a,x,2.5"], "line 2: score '2.5' is not"),
        (["rater,image,score", "a,x,good"], "line 2: score 'good' is not"),
        (["rater,image,score", "a,x"], "line 2: has 2 fields, not the header's 3"),
        (["rater,image,score", ",x,3"], "line 2: names no rater"),
        (["rater,image,score", "a,,3"], "line 2: names no image"),
        (["rater,image,score", "a,x,3,4"], "line 2: has 4 fields, not the header's 3"),
        (
            ["rater,image,score", "a,x,3", "b,x,3", "a,x,4"],
            "line 4: a rates x again, after line 2 .1 such rows",
        ),
        (["rater,image,score,test", "a,x,3,1", "a,y,3,0"], "not which answers are accepted"),
        (["rater,image,score,test", "a,x,3,4|6"], "x: '4|6' are no accepted answers"),
        (["rater,image,score,test", "a,x,3,4|5", "b,x,3,"], "line 3: x has test '', in an earlier"),
        (["rater,image,score,test,accepted", "a,x,3,1,", "a,y,3,1,5"], "x has test '1' and acc"),
        (["rater,image,score,test,accepted", "a,x,3,0,5"], "x has test '0' and accepted answers"),
    ],
)
def test_what_is_no_rating_is_said(tmp_path, lines, problem):
    with pytest.raises(InputError, match=problem.replace("|", r"\|")):
        read_raw(written(tmp_path, *lines))


def test_a_rating_given_twice_counts_once_as_is_said(tmp_path):
    path = written(tmp_path, "rater,image,score", "a,x,3", "b,x,1", "a,x,4", "a,x,5")
    assert read_raw(path, duplicates="first").score.tolist() == [3, 1]
    assert read_raw(path, duplicates="last").score.tolist() == [5, 1]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_cheaters_are_found_and_honest_raters_are_not_taken_for_them(share):
    """Rates among the raters of ten studies, each rater with 80 ratings and 50 test questions."""
    caught, accused = [], []
    for seed in range(10):
        study = simulate(SimulationSettings(cheaters=share), np.random.default_rng(seed))
        kept = screen(study.raw, ScreeningSettings()).kept
        caught += (~kept[study.cheating]).tolist()
        accused += (~kept[~study.cheating]).tolist()
    assert len(caught) >= 200 and np.mean(caught) >= 0.95
    assert len(accused) >= 1200 and np.mean(accused) <= 0.02


@pytest.mark.parametrize("kind", CHEATS)
def test_every_kind_of_cheater_is_found(kind):
    made = SimulationSettings(cheaters=0.2, kinds=(kind,))
    caught = [
        np.mean(~screen(study.raw, ScreeningSettings()).kept[study.cheating])
        for study in (simulate(made, np.random.default_rng(seed)) for seed in range(2))
    ]
    assert np.mean(caught) >= 0.95


def test_each_step_removes_those_it_is_for():
    kinds = ("random", "test-wise", "test-wise line")
    study = simulate(SimulationSettings(kinds=kinds, stretch=0), np.random.default_rng(0))
    raw = study.raw
    found = screen(raw, ScreeningSettings())
    reasons = {kind: set() for kind in kinds}
    for kind, reason in zip(study.cheats, found.reasons, strict=True):
        reasons.setdefault(kind, set()).add(reason)
    assert reasons["random"] == {"test questions"} and reasons["test-wise"] == {"outlier"}
    # A correlation cannot see a line that is drawn through an honest fifth: the ratio does.
    alone = screen(raw, ScreeningSettings(plcc=-1))
    lines = [k for k, kind in enumerate(study.cheats) if kind == "test-wise line"]
    assert {alone.reasons[k] for k in lines} == {"line clicker"}

    # The figures, computed the long way for one rater of each kind.
    preliminary = found.accuracy >= 0.7
    for kind in (*kinds, ""):
        rater = study.cheats.index(kind)
        own = raw.rater == rater
        test = raw.is_test[raw.image]
        right = [raw.accepted[i, s - 1] for i, s in zip(raw.image, raw.score, strict=True)]
        assert found.accuracy[rater] == np.mean(np.array(right)[own & test])
        scores, others = [], []
        for i in raw.image[own & ~test]:
            of_image = raw.image == i
            scores.append(float(raw.score[of_image & own][0]))
            others.append(raw.score[of_image & ~own & preliminary[raw.rater]].mean())
        assert found.plcc[rater] == pytest.approx(plcc(np.array(scores), np.array(others)))
        counts = np.sort(np.bincount(raw.score[own & ~test], minlength=6))
        assert found.line_ratio[rater] == counts[-1] / counts[:-1].sum()
        assert (found.ratings[rater], found.tests[rater]) == (len(scores), (own & test).sum())
    explained = found.explanation(study.cheats.index("random"))
    assert "of 50 test questions answered as accepted, below 70%" in explained
    assert "PLCC of " in found.explanation(study.cheats.index("test-wise"))
    assert found.explanation(found.reasons.index("")) == ""
    assert "times as often as all others, above 2" in alone.explanation(lines[0])


def test_thresholds_themselves_pass_and_who_says_always_the_same_clicks_lines(tmp_path):
    """7 of 10 questions are 70 %, and two of three scores the same are a ratio of 2."""
    rows = ["rater,image,score,test"]
    for k in range(10):
        rows += [f"edge,q{k},{5 if k < 7 else 1},5", f"under,q{k},{5 if k < 6 else 1},5"]
        rows += [f"{name},q{k},5,5" for name in ("good", "fine", "same")]
    for k in range(30):
        quality = 2 + (k % 3 == 0)
        rows += [f"{name},i{k},{quality},0" for name in ("edge", "under", "good", "fine")]
        rows += [f"same,i{k},3,0"]
    found = screen(read_raw(written(tmp_path, *rows)), ScreeningSettings())
    # Sorted: edge fine good same under.
    assert found.reasons == ("", "", "", "line clicker", "test questions")
    assert found.line_ratio.tolist() == [2, 2, 2, np.inf, 2] and np.isnan(found.plcc[3])
    few = screen(read_raw(tmp_path / "raw.csv"), ScreeningSettings(fewest_ratings=30))
    assert few.reasons == found.reasons
    with pytest.raises(InputError, match="none of the 5 raters is left with 31 ratings"):
        screen(read_raw(tmp_path / "raw.csv"), ScreeningSettings(fewest_ratings=31))


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"accuracy": 1.1}, "--accuracy 1.1: must be within 0..1"),
        ({"plcc": float("nan")}, "--plcc nan: must be within -1..1"),
        ({"line_ratio": float("inf")}, "--line-ratio inf: must be above 0 and finite"),
        ({"fewest_ratings": 0}, "--fewest-ratings 0: must be at least 1"),
        ({"plcc": 1.0}, "none of the 40 raters agrees with the others; lower --plcc"),
        ({"line_ratio": 1e-9}, "none of the 40 raters uses more than one score"),
    ],
)
def test_thresholds_that_leave_nobody_are_said(changed, problem):
    raw = simulate(SMALL, np.random.default_rng(0)).raw
    with pytest.raises(InputError, match=problem):
        screen(raw, ScreeningSettings(**changed))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.integers(1, 5), min_size=2, max_size=8), min_size=1, max_size=6),
    st.integers(1, 7),
    st.integers(-9, 9),
)
def test_rescaling_spans_1_to_100_and_forgets_a_raters_own_scale(rows, stretch, offset):
    rows = [row if len(set(row)) > 1 else [1, *row[1:-1], 5] for row in rows]
    rater = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    score = np.concatenate([np.array(row) for row in rows])
    found = rescale(rater, score)
    for k in range(len(rows)):
        assert found[rater == k].min() == 1 and found[rater == k].max() == 100
    np.testing.assert_allclose(rescale(rater, stretch * score + offset), found, atol=1e-10)
    np.testing.assert_allclose(found[::-1], rescale(rater[::-1], score[::-1]))


def test_one_score_only_cannot_be_rescaled():
    with pytest.raises(ValueError, match="rater 1 gave 3 only"):
        rescale(np.array([0, 0, 1, 1]), np.array([1, 2, 3, 3]))


def test_images_scores_are_means_and_deviations_of_what_was_given(tmp_path):
    table = ("ann,a,1", "ann,b,3", "bob,a,2", "bob,b,4", "cat,a,5", "cat,b,1", "ann,c,2")
    raw = read_raw(written(tmp_path, "rater,image,score", *table))
    found = score_images(votes_of(raw, np.array([True, True, False])))
    assert found.counts.tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 1, 0, 0, 0]]
    assert found.mos.tolist() == [1, 100, 50.5] and found.votes.tolist() == [2, 2, 1]
    np.testing.assert_allclose(found.sd, [np.sqrt(0.5), np.sqrt(0.5), np.nan])
    np.testing.assert_allclose(found.std, [0, 0, np.nan])


def test_screening_brings_scores_closer_to_the_truth():
    study = simulate(SimulationSettings(cheaters=0.4), np.random.default_rng(1))
    images = ~study.raw.is_test
    varied = np.array([kind != "constant" for kind in study.cheats])
    kept = screen(study.raw, ScreeningSettings()).kept
    before, after = (
        srocc(score_images(votes_of(study.raw, who)).mos[images], study.quality[images])
        for who in (varied, kept)
    )
    assert after > before and after > 0.95


def test_the_interval_of_a_mos_covers_what_all_raters_would_say():
    """std / sqrt(votes) is the standard error of samples of raters from a large population."""
    made = SimulationSettings(raters=1200, images=60, votes=1200.0, cheaters=0)
    raw = simulate(made, np.random.default_rng(2)).raw
    truth = score_images(votes_of(raw, np.ones(1200, bool))).mos
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(20):
        sample = np.isin(np.arange(1200), rng.choice(1200, 40, replace=False))
        found = score_images(votes_of(raw, sample))
        error = np.abs(found.mos - truth) / (found.std / np.sqrt(found.votes))
        covered.append(np.mean(error[~raw.is_test] < 1.96))
    assert 0.92 < np.mean(covered) < 0.98


@pytest.mark.skipif(not KONIQ.is_file(), reason="KonIQ-10k's published table is not there")
def test_sd_is_what_koniq10k_publishes_for_its_counts():
    """Of its shares c1 ... c5 and c_total the published SD is the deviation with n - 1."""
    with KONIQ.open() as file:
        rows = list(csv.DictReader(file))[:500]
    shares = np.array([[float(row[f"c{k}"]) for k in range(1, 6)] for row in rows])
    counts = np.rint(shares * np.array([[float(row["c_total"])] for row in rows])).astype(int)
    lines = [(i, s) for i, row in enumerate(counts) for s in range(5) for _ in range(row[s])]
    image, score = (np.array(column) for column in zip(*lines, strict=True))
    place = np.arange(len(image)) - np.searchsorted(image, image)  # the n-th rating is rater n's
    raw = simulate(SMALL, np.random.default_rng(0)).raw
    names = tuple(f"{k:04}" for k in range(len(rows)))
    raters = tuple(f"{k:04}" for k in range(place.max() + 2))
    # A last rater has used the whole scale on two images that are not compared.
    koniq = replace(
        raw,
        raters=raters,
        images=(*names, "x", "y"),
        rater=np.concatenate([place, np.arange(len(raters)), np.arange(len(raters))]),
        image=np.concatenate([image, np.full(len(raters), len(rows)), np.full(len(raters), -1)]),
        score=np.concatenate([score + 1, np.full(len(raters), 1), np.full(len(raters), 5)]),
        accepted=np.zeros((len(rows) + 2, 5), bool),
    )
    koniq = replace(koniq, image=np.where(koniq.image < 0, len(rows) + 1, koniq.image))
    found = score_images(votes_of(koniq, np.ones(len(raters), bool)))
    np.testing.assert_array_equal(found.counts[:-2], counts)
    published = [float(row["SD"]) for row in rows]
    np.testing.assert_allclose(found.sd[:-2], published, atol=1e-10)


def config(folder: Path, **changed) -> RatingsConfig:
    return RatingsConfig(raw=folder / "raw.csv", out=folder / "out", repetitions=20, **changed)


@pytest.fixture
def raw_table(tmp_path) -> Path:
    made = simulate(SMALL, np.random.default_rng(5))
    (tmp_path / "raw.csv").write_text(raw_text(made.raw))
    return tmp_path


def test_same_ratings_in_any_order_and_same_seed_same_bytes(raw_table):
    def files() -> dict[str, bytes]:
        out = raw_table / "out"
        return {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != ".png"}

    run_ratings(config(raw_table))
    first = files()
    header, *lines = (raw_table / "raw.csv").read_text().splitlines()
    written(raw_table, header, *reversed(lines))
    run_ratings(config(raw_table))
    assert files() == first
    run_ratings(config(raw_table, seed=1))
    other = files()
    assert other["scores.csv"] == first["scores.csv"]
    assert other["agreement.csv"] != first["agreement.csv"]


def test_the_table_of_scores_is_what_training_reads(raw_table):
    study = run_ratings(config(raw_table, fewest_votes=3))
    read = read_ratings(raw_table / "out" / "scores.csv")
    assert len(read.names) == 60 and read.distributions is not None
    images = study.written
    np.testing.assert_allclose(read.scores, study.scores.mos[images], atol=1e-6)
    shares = study.scores.counts[images] / study.scores.votes[images, None]
    np.testing.assert_allclose(read.distributions, shares)
    tests = read_ratings(raw_table / "out" / "test_scores.csv")
    assert len(tests.names) == 20 and not set(tests.names) & set(read.names)


def test_images_with_too_few_votes_are_left_out_and_named(raw_table):
    study = run_ratings(config(raw_table))
    limit = int(np.median(study.scores.votes[study.written]))
    fewer = run_ratings(config(raw_table, fewest_votes=limit))
    with (raw_table / "out" / "left_out.csv").open() as file:
        left_out = list(csv.DictReader(file))
    assert 0 < len(left_out) == 60 - fewer.written.sum()
    assert all(int(row["votes"]) < limit for row in left_out)
    with pytest.raises(InputError, match="no image has 999 votes"):
        run_ratings(config(raw_table, fewest_votes=999))
    # Of another run than the one whose table it was.
    run_ratings(config(raw_table))
    assert not (raw_table / "out" / "left_out.csv").exists()


def test_a_full_disk_leaves_no_table_that_passes_for_whole(raw_table, monkeypatch):
    run_ratings(config(raw_table))
    before = (raw_table / "out" / "scores.csv").read_bytes()
    write = study_module.write_atomically

    def full(path, data):
        if path.name == "scores.csv":
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(study_module, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        run_ratings(config(raw_table, seed=1))
    assert not (raw_table / "out" / RELIABILITY_FILE).exists()
    assert (raw_table / "out" / "scores.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"fewest_votes": 1}, "--fewest-votes 1: must be at least 2"),
        ({"repetitions": 19}, "--repetitions 19: must be at least 20"),
        ({"seed": -1}, "--seed -1: must not be negative"),
        ({"out": Path(__file__)}, "is a file; give a folder"),
        ({"pictures": Path("gone")}, "no such file .80 of 80 images"),
    ],
)
def test_settings_out_of_range_are_said(raw_table, changed, problem):
    with pytest.raises(InputError, match=problem):
        run_ratings(replace(config(raw_table), **changed))


def test_lines_are_told_as_an_editor_shows_them(tmp_path):
    rows = ["rater,image,score", '"a\nb",x,3', "", "c,x,1", '"a\nb",x,4']
    with pytest.raises(InputError, match=r"line 6: a\nb rates x again, after line 2"):
        read_raw(written(tmp_path, *rows))
    path = written(tmp_path, "rater;image;score", "a;x;3", "b;x;4")
    assert read_raw(path).score.tolist() == [3, 4]
    for score in ("4_5", "３", "3.0"):
        with pytest.raises(InputError, match=r"line 2: score .* is not a whole number"):
            read_raw(written(tmp_path, "rater,image,score", f"a,x,{score}"))
