"""Fine-tuning on a small network: stages, the best weights between them, resuming, and the test."""

import json
import os
import shutil
import signal
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import cv2
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import scipy.stats
from small_network import SmallBody

import mtl.training.opinions.finetune
import mtl.training.opinions.objective
from mtl.evaluation.saved_splits import read_splits
from mtl.evaluation.seen import read_seen
from mtl.network.networks import DEFAULT
from mtl.ratings.rated import PARTS
from mtl.runtime.contents import content_digest
from mtl.runtime.files import InputError, file_digest, read_arrays
from mtl.runtime.tables.csv_tables import read_table
from mtl.training.distribution import Placement
from mtl.training.logs import LearningLog
from mtl.training.opinions.finetune import FinetuneConfig, finetune

# Twenty pictures train, in five steps an epoch; two batches of validation follow.
STAGES = ((1e-3, 2), (5e-4, 1), (1e-4, 1))
STEPS = 20


@pytest.fixture(scope="module")
def table(tmp_path_factory, sample) -> Path:
    """Six photographs in five blurred versions each, with counts that fall with the blur."""
    folder = tmp_path_factory.mktemp("rated")
    rows, rng = ["image,c1,c2,c3,c4,c5,reference"], np.random.default_rng(0)
    for name, photograph in sample.items():
        for level in range(5):
            blurred = cv2.GaussianBlur(photograph[40:120, 60:156], (0, 0), 0.2 + level)
            cv2.imwrite(str(folder / f"{name}{level}.png"), blurred[..., ::-1])
            counts = rng.multinomial(20, 0.04 + 0.8 * (np.arange(5) == 4 - level))
            rows.append(f"{name}{level}.png,{','.join(map(str, counts))},{name}")
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    return folder / "ratings.csv"


def small(table, out, **changes) -> FinetuneConfig:
    settings = {"stages": STAGES, "batch_size": 4, "momentum": 0.5, **changes}
    return FinetuneConfig(table, "random", out, **settings)


def run(table, out, **changes):
    return finetune(small(table, out, **changes), body=SmallBody)


@pytest.fixture(scope="module")
def whole(table, tmp_path_factory):
    """An uninterrupted run."""
    return run(table, tmp_path_factory.mktemp("whole") / "run")


def last_checkpoint(out) -> dict[str, np.ndarray]:
    with ocp.CheckpointManager(out / "checkpoints", item_names=("state", "epoch")) as manager:
        args = ocp.args.Composite(state=ocp.args.StandardRestore())
        state = manager.restore(manager.latest_step(), args=args)["state"]
    return {jax.tree_util.keystr(k): np.asarray(v) for k, v in jax.tree.leaves_with_path(state)}


def assert_same(one, two) -> None:
    """The same log, but for speed, and the same bits in the last state, the model and the test."""
    for a, b in zip(one.log, two.log, strict=True):
        assert {**a, "images_per_second": 0} == {**b, "images_per_second": 0}
    ours, theirs = last_checkpoint(one.out), last_checkpoint(two.out)
    assert ours.keys() == theirs.keys() and len(ours) > 40
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    a, b = (read_arrays(r.model / "weights.npz") for r in (one, two))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    for name in ("predictions.csv", "summary.csv", "splits.csv"):
        assert (one.out / name).read_bytes() == (two.out / name).read_bytes()


def act_at(monkeypatch, number, action) -> None:
    """Call `action` once, when the run prepares so manieth call of a program."""
    prepared, request = count(1), Placement.request

    def counting(self, asked):
        if next(prepared) == number:
            action()
        return request(self, asked)

    monkeypatch.setattr(Placement, "request", counting)


def test_a_run_leaves_its_log_its_split_and_its_test(table, whole):
    assert [row["epoch"] for row in whole.log] == [1, 2, 3, 4]
    assert [row["learning_rate"] for row in whole.log] == [1e-3, 1e-3, 5e-4, 1e-4]
    assert whole.scheme == "random weights" and whole.resumed_at == 0
    assert (whole.out / "learning.png").stat().st_size > 5000

    splits = read_table(whole.out / "splits.csv", ("image", "reference", "set"))
    assert len(splits) == 30 and {row["set"] for row in splits} == set(PARTS)
    sides = {(row["reference"], row["set"]) for row in splits}
    assert len(sides) == 6

    best = max(whole.log, key=lambda row: row["plcc"])
    notes = json.loads((whole.model / "model.json").read_text())
    assert notes["notes"]["row"]["epoch"] == best["epoch"] == whole.test["epoch"]
    assert notes["notes"]["scheme"] == "random weights"
    opinion = notes["config"]["opinion"]
    assert opinion["outputs"] == 1 and opinion["size"] is None

    # The test's figures, from the predictions by other means.
    rows = read_table(whole.out / "predictions.csv", ("image", "score", "predicted"))
    assert {r["image"] for r in rows} == {r["image"] for r in splits if r["set"] == "test"}
    of = {r["image"]: r for r in read_table(table, ("image",))}
    score, predicted = (np.array([float(r[k]) for r in rows]) for k in ("score", "predicted"))
    expected = [
        np.average(np.arange(1, 6), weights=[float(of[r["image"]][f"c{n}"]) for n in range(1, 6)])
        for r in rows
    ]
    np.testing.assert_allclose(score, expected, rtol=1e-12)
    assert whole.test["images"] == len(rows)
    assert whole.test["srocc"] == pytest.approx(scipy.stats.spearmanr(predicted, score).statistic)
    assert whole.test["plcc"] == pytest.approx(scipy.stats.pearsonr(predicted, score).statistic)
    assert whole.test["rmse"] == pytest.approx(np.sqrt(np.mean((predicted - score) ** 2)))
    assert whole.test["mae"] == pytest.approx(np.mean(np.abs(predicted - score)))

    # Scores are mapped to 0..1 by the training part's range.
    trained = [r["image"] for r in splits if r["set"] == "training"]
    known = [np.average(np.arange(1, 6), weights=[float(of[i][f"c{n}"]) for n in range(1, 6)])
             for i in trained]  # fmt: skip
    assert (opinion["lowest"], opinion["highest"]) == pytest.approx((min(known), max(known)))


def test_a_run_records_what_it_has_seen_and_its_split_for_benchmarks(table, whole):
    rows = read_table(whole.out / "splits.csv", ("image", "reference", "set"))
    (seen,) = read_seen(whole.model)
    assert seen.table == "ratings.csv" and seen.sha256 == file_digest(table)
    expected = {
        content_digest(table.parent / row["image"]): row["set"]
        for row in rows
        if row["set"] != "test"
    }
    assert seen.pictures == expected and len(expected) == 25
    names, references = ([row[column] for row in rows] for column in ("image", "reference"))
    (split,) = read_splits(whole.out / "splits.json", names, references).splits
    assert [rows[k]["set"] for k in split.test] == ["test"] * 5
    assert {rows[k]["set"] for k in split.train} == {"training"}


def test_weights_are_not_tested_on_what_they_were_trained_on(table, whole, monkeypatch, tmp_path):
    fields = {
        "scaling": "inception",
        "width": 1.0,
        "opinion": None,
        "metrics": (),
        "network": DEFAULT,
    }
    given = SimpleNamespace(folder=whole.model, config=SimpleNamespace(**fields), weights={})
    monkeypatch.setattr(
        mtl.training.opinions.finetune, "starting_model", lambda init, network: given
    )
    config = replace(small(table, tmp_path / "next", seed=1), init=str(whole.out))
    with pytest.raises(InputError, match=r"was trained on 5 of the 5 test pictures.*splits\.csv"):
        finetune(config, body=SmallBody)
    assert not (tmp_path / "next").exists()
    given.config.network = "resnet50"  # such as a folder in the place of another's ImageNet weights
    with pytest.raises(InputError, match=f"is of resnet50, not {DEFAULT}; import the weights of"):
        finetune(replace(config, init="imagenet"), body=SmallBody)


def test_other_pictures_under_the_same_names_are_another_run(table, whole, tmp_path):
    moved = tmp_path / "rated"
    shutil.copytree(table.parent, moved)
    again = run(moved / "ratings.csv", whole.out)  # the same pictures elsewhere
    assert again.resumed_at == 4
    first = moved / read_table(table, ("image",))[0]["image"]
    cv2.imwrite(str(first), cv2.imread(str(first))[::-1])
    with pytest.raises(InputError, match="holds a run with another pictures_sha256"):
        run(moved / "ratings.csv", whole.out)


def test_validation_is_drawn_where_the_table_has_none(table, tmp_path, capsys):
    lines = table.read_text().splitlines()
    references = sorted({line.rsplit(",", 1)[1] for line in lines[1:]})
    rows = [
        f"{line},{'test' if line.endswith(f',{references[0]}') else 'training'}"
        for line in lines[1:]
    ]
    path = table.parent / "noval.csv"
    path.write_text("\n".join([f"{lines[0]},set", *rows, ""]))
    config = small(path, tmp_path / "run", stages=((1e-3, 1),))
    finetune(config, body=SmallBody, progress=True)
    assert "has no validation part; 5 training pictures validate" in capsys.readouterr().err
    found = read_table(tmp_path / "run" / "splits.csv", ("reference", "set"))
    assert {row["reference"] for row in found if row["set"] == "test"} == {references[0]}
    assert sum(row["set"] == "validation" for row in found) == 5


def test_a_finished_run_says_so_and_another_is_refused(table, whole):
    again = run(table, whole.out)
    assert again.resumed_at == 4 and again.log == whole.log and again.test == whole.test
    with pytest.raises(InputError, match="another loss and flip"):
        run(table, whole.out, loss="mae", flip=True)


def test_a_distribution_is_predicted_and_its_mean_is_tested(table, tmp_path):
    options = {"accumulate": 2, "dtype": "bfloat16", "flip": True}
    done = run(table, tmp_path / "run", loss="huber", stages=((1e-3, 1),), **options)
    opinion = json.loads((done.model / "model.json").read_text())["config"]["opinion"]
    assert (opinion["outputs"], opinion["lowest"], opinion["highest"]) == (5, 1, 5)
    for row in read_table(done.out / "predictions.csv", ("p1", "p5")):
        shares = [float(row[f"p{n}"]) for n in range(1, 6)]
        assert sum(shares) == pytest.approx(1) and min(shares) >= 0
        mean = sum(n * p for n, p in enumerate(shares, 1))
        assert float(row["predicted"]) == pytest.approx(mean)
        assert 1 <= float(row["score"]) <= 5


@pytest.mark.parametrize("loss", ["plcc", "norm-in-norm"])
def test_a_loss_that_leaves_the_scale_open_ends_on_the_scale(table, tmp_path, loss):
    """The validation pictures are tested as well: what was measured must be what is kept."""
    rows, scores = ["image,score,reference,set"], []
    for k, row in enumerate(read_table(table, ("image",))):
        part = "training" if k < 20 else "validation"
        score = 20 * np.average(np.arange(5), weights=[float(row[f"c{n}"]) for n in range(1, 6)])
        rows.append(f"{table.parent / row['image']},{score},{row['reference']},{part}")
        if part == "validation":
            scores.append(score)
            shutil.copy(table.parent / row["image"], tmp_path / row["image"])
            rows.append(f"{row['image']},{score},copy of {row['reference']},test")
    (tmp_path / "ratings.csv").write_text("\n".join(rows) + "\n")
    options = {"loss": loss, "stages": ((1e-3, 2),), "balance": "proportion"}
    done = run(tmp_path / "ratings.csv", tmp_path / "run", **options)
    best = max(done.log, key=lambda row: row["plcc"])
    assert best["plcc"] > 0
    # A line of least squares leaves of the deviation what the correlation does not explain.
    left = np.std(scores) * np.sqrt(1 - best["plcc"] ** 2)
    assert best["rmse"] == pytest.approx(left, rel=1e-3)
    for measure in ("srocc", "plcc", "rmse", "mae"):
        assert done.test[measure] == pytest.approx(best[measure], rel=1e-4)


def test_five_classes_are_learned_and_their_centres_predicted(table, tmp_path):
    done = run(table, tmp_path / "run", loss="classes", stages=((1e-3, 1),), scale=(0.0, 10.0))
    opinion = json.loads((done.model / "model.json").read_text())["config"]["opinion"]
    assert (opinion["outputs"], opinion["lowest"], opinion["highest"]) == (5, 0, 10)
    assert opinion["classes"] is True
    for row in read_table(done.out / "predictions.csv", ("p1", "p5")):
        shares = [float(row[f"p{n}"]) for n in range(1, 6)]
        assert float(row["predicted"]) == pytest.approx(np.dot(shares, [1, 3, 5, 7, 9]))


def test_weights_change_what_is_learned_and_a_signal_does_not(table, tmp_path, monkeypatch, whole):
    stages = ((1e-3, 1),)
    undisturbed = run(table, tmp_path / "whole", balance="proportion", stages=stages)
    plain = whole.log[0]
    assert undisturbed.log[0]["train_loss"] > 3 * plain["train_loss"]  # weights are not below 1
    with monkeypatch.context() as patch:
        act_at(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(KeyboardInterrupt):
            run(table, tmp_path / "run", balance="proportion", stages=stages)
    assert_same(undisturbed, run(table, tmp_path / "run", balance="proportion", stages=stages))
    with pytest.raises(InputError, match="another balance"):
        run(table, tmp_path / "run", stages=stages)


def test_a_stage_starts_from_the_best_weights_with_a_new_optimizer(table, tmp_path, monkeypatch):
    # A second stage too slow to move anything ends where it began.
    stages = ((1e-3, 2), (1e-12, 1))
    first = run(table, tmp_path / "one epoch", stages=((1e-3, 1),))
    for best, moved in ((1, False), (2, True)):
        with monkeypatch.context() as patch:
            order = {best: 1, 3 - best: 0, 3: 2}
            patch.setattr(
                mtl.training.opinions.objective,
                "_rank",
                lambda row, order=order: order[row["epoch"]],
            )
            two = run(table, tmp_path / f"best {best}", stages=stages)
        assert two.test["epoch"] == 3
        a, b = (read_arrays(r.model / "weights.npz") for r in (first, two))
        names = [n for n in a if n.endswith(("kernel", "bias"))]
        furthest = max(np.abs(a[n] - b[n]).max() for n in names)
        assert furthest > 1e-4 if moved else furthest < 1e-7
    state = last_checkpoint(two.out)
    counts = [int(v) for k, v in state.items() if "optimizer" in k and "count" in k]
    assert set(counts) == {5}  # the steps of the stage, not of the run
    assert int(state["['step']"]) == 15
    (rate,) = [v for k, v in state.items() if "learning_rate" in k]
    assert float(rate) == pytest.approx(1e-12)


@pytest.mark.parametrize(
    ("at", "saved"),
    # The next call of a program carries the request, and the two steps after a step are under way
    # when it is answered.
    [(1, 4), (12, 10), (14, 13)],
    ids=["in the first epoch", "while the first stage is validated", "in the second stage"],
)
def test_a_signal_saves_the_step_and_the_same_call_continues(
    table, tmp_path, monkeypatch, whole, at, saved
):
    with monkeypatch.context() as patch:
        act_at(patch, at, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(KeyboardInterrupt, match=f"step {saved} of {STEPS} is saved"):
            run(table, tmp_path / "run")
    assert not (tmp_path / "run" / "summary.csv").exists()
    shutil.move(tmp_path / "run", tmp_path / "moved")
    assert_same(whole, run(table, tmp_path / "moved"))


class Died(Exception):
    pass


def test_a_run_that_dies_between_model_and_log_keeps_its_best_weights(table, tmp_path, monkeypatch):
    """The model may be newer than the log, when its stage must not begin with it."""
    stages = ((1e-3, 1), (5e-4, 2))
    monkeypatch.setattr(mtl.training.opinions.objective, "_rank", lambda row: row["epoch"])
    undisturbed = run(table, tmp_path / "undisturbed", stages=stages)

    def die(self, row, step):
        if row["epoch"] == 2:
            raise Died
        add(self, row, step)

    add = LearningLog.add_epoch
    with monkeypatch.context() as patch:
        patch.setattr(LearningLog, "add_epoch", die)
        with pytest.raises(Died):
            run(table, tmp_path / "run", stages=stages)
    notes = json.loads((tmp_path / "run" / "model" / "model.json").read_text())["notes"]
    assert notes["row"]["epoch"] == 2
    assert_same(undisturbed, run(table, tmp_path / "run", stages=stages))


def test_a_run_that_dies_while_testing_tests_again(table, tmp_path, monkeypatch, whole):
    def die():
        raise Died

    with monkeypatch.context() as patch:
        act_at(patch, 4 * (5 + 2) + 1, die)
        with pytest.raises(Died):
            run(table, tmp_path / "run")
    assert not (tmp_path / "run" / "summary.csv").exists()
    again = run(table, tmp_path / "run")
    assert again.resumed_at == 4
    assert_same(whole, again)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"stages": ()}, "--stages: give a positive learning rate"),
        ({"stages": ((1e-3, 0),)}, "--stages: give a positive learning rate"),
        ({"stages": ((0.0, 3),)}, "--stages: give a positive learning rate"),
        ({"batch_size": 0}, "^--batch-size 0: must be positive$"),
        ({"batch_size": 32}, "has 20 training images, fewer than a batch"),
        ({"accumulate": 3}, "--accumulate 3: must divide"),
        ({"loss": "classes", "balance": "proportion"}, "leave --balance out"),
        ({"loss": "huber", "scale": (1.0, 5.0)}, "leave --scale out"),
        ({"scale": (2.0, 3.0)}, "--scale 2 3: .* has scores of"),
        ({"loss": "plcc", "batch_size": 2}, "each needs at least 3"),
        ({"size": (64, 64)}, "below the network's 75×75"),
        ({"init": "gone"}, "gone: no such folder"),
    ],
)
def test_settings_that_cannot_work_are_refused(table, tmp_path, changes, problem):
    with pytest.raises(InputError, match=problem):
        finetune(replace(small(table, tmp_path / "run"), **changes), body=SmallBody)
    assert not (tmp_path / "run").exists()


def test_a_distribution_cannot_be_learned_from_scores(table, tmp_path):
    rows = [f"{table.parent / r['image']},{k}" for k, r in enumerate(read_table(table, ()))]
    (tmp_path / "scores.csv").write_text("\n".join(["image,score", *rows]))
    for loss in ("cross_entropy", "huber", "emd"):
        with pytest.raises(InputError, match=rf"--loss {loss}: .*scores\.csv needs c1 c2 c3 c4 c5"):
            run(tmp_path / "scores.csv", tmp_path / "run", loss=loss)


def test_a_folder_that_holds_something_else_is_left_alone(table, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is not a run"):
        run(table, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_loss_that_is_not_finite_stops_with_advice(table, tmp_path):
    with pytest.raises(FloatingPointError, match="try smaller learning rates in --stages, in a"):
        run(table, tmp_path / "run", stages=((1e30, 3),))


def test_a_picture_that_is_cut_off_is_named(table, tmp_path):
    shutil.copytree(table.parent, tmp_path / "rated")
    whole_file = (tmp_path / "rated" / "coffee3.png").read_bytes()
    (tmp_path / "rated" / "coffee3.png").write_bytes(whole_file[: len(whole_file) // 2])
    with pytest.raises(InputError, match=r"coffee3\.png: cannot be decoded"):
        run(tmp_path / "rated" / "ratings.csv", tmp_path / "run", stages=((1e-3, 1),))


def test_a_distribution_of_any_number_of_ratings_is_learned(table, tmp_path):
    """Three ratings, in columns under other names, the best first."""
    rows = ["Image Name;C1;C2;C3;Scene"]
    for row in read_table(table, ()):
        counts = [int(row[f"c{n}"]) for n in range(5, 0, -1)]
        shares = (f"{counts[0] + counts[1]},5", counts[2], counts[3] + counts[4])
        path = table.parent / row["image"]
        rows.append(";".join([str(path), *map(str, shares), row["reference"]]))
    (tmp_path / "three.csv").write_text("\n".join(rows))
    options = {"columns": ("reference=Scene",), "higher_is": "worse", "balance": "proportion"}
    done = run(tmp_path / "three.csv", tmp_path / "run", loss="emd", stages=((1e-3, 1),), **options)
    opinion = json.loads((done.model / "model.json").read_text())["config"]["opinion"]
    assert (opinion["outputs"], opinion["lowest"], opinion["highest"]) == (3, 1, 3)
    for row in read_table(done.out / "predictions.csv", ("p1", "p3")):
        shares = [float(row[f"p{n}"]) for n in range(1, 4)]
        assert sum(shares) == pytest.approx(1) and "p4" not in row
        assert float(row["predicted"]) == pytest.approx(np.dot(shares, [1, 2, 3]))
        # The sharpest version of a photograph, 0, has the highest score.
        assert (float(row["score"]) > 2) == (row["image"][-5] < "2") or row["image"][-5] == "2"
    with pytest.raises(InputError, match="holds a run with another higher_is"):
        run(tmp_path / "three.csv", done.out, loss="emd", stages=((1e-3, 1),),
            **(options | {"higher_is": "better"}))  # fmt: skip


def test_damaged_pictures_are_named_before_anything_is_trained(table, tmp_path, sample):
    shutil.copytree(table.parent, tmp_path / "rated")
    for name in ("china1.png", "coffee3.png"):  # JPEG whatever their names, with a whole header
        jpeg = cv2.imencode(".jpg", sample["coffee"][40:120, 60:156, ::-1])[1].tobytes()
        half = len(jpeg) // 2
        (tmp_path / "rated" / name).write_bytes(jpeg[:half] + bytes(len(jpeg) - half))
    with pytest.raises(InputError, match=r"coffee3\.png: .* names 2 damaged pictures of 30"):
        run(tmp_path / "rated" / "ratings.csv", tmp_path / "run", stages=((1e-3, 1),))
    assert not (tmp_path / "run").exists()
