"""The comparison of networks: small ones, as rows of the table, with the run's real machinery."""

import csv
import json
import shutil
import sys
from dataclasses import replace
from types import MappingProxyType

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from deepfl.program import main
from mlsp.comparisons import networks as comparing
from mlsp.comparisons import networks_table
from mlsp.comparisons.networks import compare_networks
from mlsp.comparisons.networks_config import PAPERS, NetworksConfig, starting_weights
from mlsp.prediction.predictor import Predictor
from mtl.network.layers import ConvolutionalBody, ConvUnit, check_images
from mtl.network.maps import Map
from mtl.network.model import ModelConfig, Opinion, functional_model
from mtl.network.networks import NETWORKS, Network
from mtl.network.weights import fresh_weights, imagenet_folder, load_model, save_model
from mtl.runtime.files import InputError

SIDE = 40  # pixels of the rated pictures
STAGES = ((1e-3, 1), (1e-4, 1))


class Small(ConvolutionalBody):
    """Two convolution units."""

    features = 8

    def __init__(self, *, width=1.0, momentum, dtype=jnp.float32, remat=False, rngs):
        settings = {"padding": "VALID", "momentum": momentum, "dtype": dtype, "rngs": rngs}
        self.first = ConvUnit((3, 4), 3, stride=2, **settings)
        self.second = ConvUnit((4, 8), 3, stride=2, **settings)

    def maps(self, images, sizes=None):
        check_images("Small", images, SMALL.smallest_side)
        first = self.first.on(Map(images, sizes))
        last = self.second.on(first)
        return last, {"first": first, "last": last}


class Smaller(ConvolutionalBody):
    """One convolution unit."""

    features = 6

    def __init__(self, *, width=1.0, momentum, dtype=jnp.float32, remat=False, rngs):
        settings = {"momentum": momentum, "dtype": dtype, "rngs": rngs}
        self.only = ConvUnit((3, 6), 5, stride=4, padding="VALID", **settings)

    def maps(self, images, sizes=None):
        check_images("Smaller", images, 5)
        last = self.only.on(Map(images, sizes))
        return last, {"only": last}


SMALL = Network(
    name="small",
    title="Small",
    build=Small,
    blocks=(("first", 4), ("last", 8)),
    features=8,
    smallest_side=8,
    bytes_per_pixel=100,
    scaling="minus_one_to_one",
    keras=None,
    reference="none",
    widths=(1.0,),
)
SMALLER = replace(
    SMALL, name="smaller", title="Smaller", build=Smaller, blocks=(("only", 6),), features=6
)
BOTH = (SMALL.name, SMALLER.name)


@pytest.fixture(autouse=True)
def small_networks(monkeypatch, tmp_path):
    """Two more rows of the table, in every module that has imported it; no user's weights."""
    table = NETWORKS
    longer = MappingProxyType({**table, SMALL.name: SMALL, SMALLER.name: SMALLER})
    for module in list(sys.modules.values()):
        if getattr(module, "NETWORKS", None) is table:
            monkeypatch.setattr(module, "NETWORKS", longer)
    monkeypatch.setenv("DEEPFL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def ratings(tmp_path_factory, sample):
    """30 rated pictures of ten scenes, with the counts that give their scores."""
    folder = tmp_path_factory.mktemp("comparison")
    rows = ["image,score,reference,set,c1,c2,c3,c4,c5"]
    for place in range(10):
        scene = ("chelsea", "coffee")[place % 2]
        part = ("training", "validation", "test")[(place > 5) + (place > 7)]
        for level in range(3):
            y, x = 20 * place, 30 * place
            crop = sample[scene][y : y + SIDE, x : x + SIDE]
            blurred = cv2.GaussianBlur(crop, (0, 0), 0.5 + level)
            cv2.imwrite(str(folder / f"{place}_{level}.png"), blurred[..., ::-1])
            counts = np.roll([1, 2, 9, 2, 1 + place], -level)
            score = float((counts * np.arange(1, 6)).sum() / counts.sum())
            name = f"{place}_{level}.png"
            rows.append(f"{name},{score},{place},{part},{','.join(map(str, counts))}")
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    return folder / "ratings.csv"


def configured(ratings, out, **changes) -> NetworksConfig:
    settings = {
        "network": BOTH,
        "init": ("random",),
        "head": "linear",
        "stages": STAGES,
        "batch_size": 4,
        "momentum": 0.9,
    }
    return NetworksConfig(ratings, out, **settings | changes)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def trained_folder(folder, row, seed=1):
    config = ModelConfig((), network=row.name)
    save_model(folder, config, fresh_weights(functional_model(config), seed), None, {})
    return folder


def test_networks_are_compared_on_the_same_splits(ratings, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["compare-networks", str(ratings), "--out", str(out), "--network", *BOTH]
    command += ["--init", "random", f"small={trained_folder(tmp_path / 'start', SMALL)}"]
    command += ["--stages", "1e-3", "1", "1e-4", "1", "--batch-size", "4", "--momentum", "0.9"]
    assert main([*command, "--head", "linear", "--repetitions", "2"]) == 0
    header, *printed = capsys.readouterr().out.splitlines()
    assert header.split()[-1] == "ms/picture" and [p.split()[0] for p in printed] == list(BOTH)

    first, second = rows_of(out / "networks.csv")
    assert (first["init"], second["init"]) == (str(tmp_path / "start"), "random")
    # By hand: 3·3·3·4 + 3·3·4·8 kernels, three arrays for each of 12 channels, a head of 8 + 1.
    assert float(first["body_parameters"]) == pytest.approx((108 + 288 + 36) / 1e6)
    assert float(first["parameters"]) == pytest.approx((108 + 288 + 36 + 9) / 1e6)
    assert (first["convolutions"], first["features"], first["mlsp_length"]) == ("2", "8", "12")
    assert (second["convolutions"], second["features"], second["mlsp_length"]) == ("1", "6", "6")

    tests = {}
    for network in BOTH:
        for number in range(2):
            folder = out / "finetune" / f"{number:03d}"
            parts = {row["image"]: row["set"] for row in rows_of(folder / "ratings.csv")}
            run = folder / network
            tested = [row["image"] for row in rows_of(run / "predictions.csv")]
            assert {parts[image] for image in tested} == {"test"} and len(tested) == 6
            tests.setdefault(number, []).append(sorted(tested))
            assert load_model(run).config.network == network
            settings = json.loads((run / "config.json").read_text())
            assert settings["stages"] == [[1e-3, 1], [1e-4, 1]] and settings["head"] == "linear"
            assert settings["seed"] == number
    assert all(a == b for a, b in tests.values()) and tests[0] != tests[1]

    repetitions = rows_of(out / "repetitions.csv")
    assert [row["method"] for row in repetitions] == ["Small"] * 2 + ["Smaller"] * 2
    for title, row in (("Small", first), ("Smaller", second)):
        own = [each for each in repetitions if each["method"] == title]
        for name in ("srocc", "mae", "training_seconds", "best_epoch"):
            assert float(row[name]) == pytest.approx(np.median([float(x[name]) for x in own]))
    # The seconds are those of the log: 18 training pictures are four batches of four.
    log = rows_of(out / "finetune" / "001" / "small" / "log.csv")
    seconds = [16 / float(row["images_per_second"]) for row in log]
    assert float(repetitions[1]["training_seconds"]) == pytest.approx(sum(seconds))
    assert float(repetitions[1]["epoch_seconds"]) == pytest.approx(np.median(seconds))
    (summary, _) = rows_of(out / "summary.csv")
    assert float(summary["srocc_median"]) == pytest.approx(float(first["srocc"]))
    assert cv2.imread(str(out / "networks.png")) is not None
    assert cv2.imread(str(out / "scatter-ratings-random.png")) is not None
    assert len(json.loads((out / "splits" / "ratings-random.json").read_text())["repetitions"]) == 2


def test_a_stopped_comparison_continues_and_keeps_its_times(ratings, tmp_path, monkeypatch):
    whole = compare_networks(configured(ratings, tmp_path / "whole"))
    out, finetune = tmp_path / "out", comparing.finetune

    def stopped(run, **options):
        if run.network == SMALLER.name:
            run.out.mkdir(parents=True)  # as a stop before the first checkpoint leaves it
            raise KeyboardInterrupt
        return finetune(run, **options)

    monkeypatch.setattr(comparing, "finetune", stopped)
    with pytest.raises(KeyboardInterrupt):
        compare_networks(configured(ratings, out))
    (kept,) = rows_of(out / "networks.csv")  # of the network that was done
    assert kept["network"] == SMALL.name

    again = []
    monkeypatch.setattr(
        comparing, "finetune", lambda run, **o: again.append(finetune(run, **o)) or again[-1]
    )
    compared = compare_networks(configured(ratings, out))
    assert [each.resumed_at for each in again] == [2, 0]
    assert rows_of(out / "networks.csv")[0] == kept
    for name in ("srocc", "plcc", "rmse", "mae", "best_epoch"):
        assert [row[name] for row in compared.rows] == [row[name] for row in whole.rows], name

    # All is done: nothing is trained or measured again, and another repetition is added.
    before = (out / "networks.csv").read_bytes()
    compare_networks(configured(ratings, out))
    assert [each.resumed_at for each in again[2:]] == [2, 2]
    assert (out / "networks.csv").read_bytes() == before
    compare_networks(configured(ratings, out, repetitions=2))
    assert [each.resumed_at for each in again[4:]] == [2, 0, 2, 0]


def test_a_folder_of_another_comparison_is_refused(ratings, tmp_path):
    out = tmp_path / "out"
    compare_networks(configured(ratings, out, stages=((1e-3, 1),)))
    here = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    start = trained_folder(tmp_path / "start", SMALL)
    for changes, problem in (
        ({"seed": 1}, "out: was made with seed 0, not 1; choose another --out"),
        # It would be judged by other scores, too.
        ({"loss": "emd"}, "out: was made with loss mse, not emd; choose another --out"),
        ({"head": "koncept"}, "out: was made with head linear, not koncept"),
        ({}, r"out: was made with stages \[\[0.001, 1\]\], not \[\[0.001, 1\], \["),
        (
            {"init": ("random", f"small={start}")},
            f"out: was made with small from random, not {start}",
        ),
    ):
        with pytest.raises(InputError, match=problem) as caught:
            settings = {"stages": ((1e-3, 1),)} if changes else {}
            compare_networks(configured(ratings, out, **settings | changes))
        assert "\n" not in str(caught.value)
    fewer = ratings.with_name("fewer.csv")
    fewer.write_text("".join(ratings.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match="out: was made with database ratings, not fewer"):
        compare_networks(configured(fewer, out, stages=((1e-3, 1),)))
    assert here == {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="other: exists and is not a comparison of networks"):
        compare_networks(configured(ratings, tmp_path / "other"))


def test_distributions_are_learned_and_judged_by_their_means(ratings, tmp_path):
    """The table's scores are on another scale than the counts' means, as KonIQ-10k's are."""
    rows = rows_of(ratings)
    table = ratings.with_name("scaled.csv")
    lines = [",".join(rows[0])]
    lines += [",".join({**row, "score": str(20 * float(row["score"]))}.values()) for row in rows]
    table.write_text("\n".join(lines) + "\n")
    settings = {"loss": "emd", "protocol": "official", "stages": ((1e-3, 1),)}
    compared = compare_networks(configured(table, tmp_path / "out", **settings))
    assert compared.judged.scores == pytest.approx([float(row["score"]) for row in rows])
    (split,) = compared.judged.splits
    assert [rows[k]["set"] for k in split.test] == ["test"] * 6
    model = load_model(tmp_path / "out" / "finetune" / "000" / SMALL.name).config
    assert model.opinion.outputs == 5
    assert all(1 <= p <= 5 for _, p in compared.judged.result.median_tests.values() for p in p)


def test_all_that_cannot_be_is_said_before_anything_is_trained(ratings, tmp_path, monkeypatch):
    other = trained_folder(tmp_path / "other", SMALLER)
    few = ratings.with_name("few.csv")
    few.write_text("image,score\n0_0.png,1\n1_0.png,2\n2_0.png,3\n3_0.png,4\n")
    lost = ratings.with_name("lost.csv")
    lost.write_text(ratings.read_text() + "lost.png,2,lost,training,1,1,1,1,1\n")
    plain = ratings.with_name("plain.csv")
    plain.write_text("\n".join(line.rsplit(",", 5)[0] for line in ratings.read_text().split()))
    seen = tmp_path / "seen"
    compare_networks(configured(ratings, seen, protocol="official", stages=((1e-3, 1),)))
    learned = seen / "finetune" / "000" / SMALL.name
    out = tmp_path / "out"
    early = (
        ({"network": ("small", "vgg")}, "^network vgg: is not one of"),
        ({"network": ("small", "small")}, "^--network small: is given twice"),
        ({"network": ("small",)}, "^--network small: a comparison needs two networks or more"),
        ({"repetitions": 0}, "^--repetitions 0: must be at least 1"),
        ({"protocol": "official", "repetitions": 2}, "^--repetitions: there is one official split"),
        ({"seed": -1}, "^--seed -1"),
        ({"init": ("imagenet", "random")}, "^--init imagenet random: give imagenet or random"),
        ({"init": ("start",)}, "^--init start: give imagenet or random, and NETWORK=FOLDER"),
        ({"init": (f"resnet50={other}",)}, "^--init resnet50=.*: give one NETWORK=FOLDER for a"),
        ({"init": (f"small={other}",)}, "^--init small=.*other is of smaller; give a folder of"),
        ({"init": ("small=nothing",)}, "^nothing: no such folder"),
        ({"size": (7, 50)}, r"^pictures of 50×7 pixels are below what small \(8×8\), smaller \(8"),
        ({"ratings": few}, r"few\.csv: split 0 cannot fine-tune: the training part has 2"),
        ({"ratings": lost}, r"lost\.png: no such file"),
        ({"ratings": plain, "loss": "huber"}, "^--loss huber: .* has no counts; use --loss mse"),
    )
    late = (
        ({"init": ("random", f"small={learned}"), "seed": 1}, "small: was trained on .* 6 test pi"),
        ({"batch_size": 32}, "has 18 training images, fewer than a batch"),
        ({"batch_size": 4, "accumulate": 3}, "--accumulate 3: must divide the --batch-size 4"),
        ({"stages": ()}, "^--stages: give a positive learning rate"),
        ({"momentum": 1.0}, "^--momentum 1.0: must lie between"),
    )
    for changes, problem in (*early, *late):
        settings = dict(changes)
        with pytest.raises(InputError, match=problem) as caught:
            compare_networks(configured(settings.pop("ratings", ratings), out, **settings))
        assert "\n" not in str(caught.value)
        # The later ones leave tables of splits, which are not in the way of the next try.
        assert not list(out.glob("finetune/*/*/"))
        assert not out.exists() or (changes, problem) in late


def test_networks_without_imagenet_weights_are_named_together(ratings, tmp_path):
    config = configured(ratings, tmp_path / "out", init=("imagenet",))
    config = replace(config, network=("resnet50", "inception_resnet_v2", "small"))
    trained_folder(imagenet_folder("small"), SMALL)
    with pytest.raises(InputError) as caught:
        compare_networks(config)
    assert str(caught.value) == (
        "--init imagenet: resnet50, inception_resnet_v2 have no weights yet; run `deepfl"
        " import-keras resnet50` once; run `deepfl import-keras imagenet` once; or add"
        " resnet50=random inception_resnet_v2=random to --init"
    )
    with pytest.raises(InputError, match=r"^--init imagenet: resnet50 has no weights yet; run"):
        compare_networks(replace(config, init=("imagenet", "inception_resnet_v2=random")))
    one = replace(config, init=("small=random",), network=("small", "smaller"))
    trained_folder(imagenet_folder("smaller"), SMALLER)
    assert starting_weights(one) == {"small": "random", "smaller": "imagenet"}
    assert not (tmp_path / "out").exists()


# KonIQ-10k, table 2: millions of parameters, of body and head.
TABLE2 = {
    "vgg16": 18.1,
    "resnet101": 49.2,
    "inception_v3": 28.4,
    "inception_resnet_v2": 59.8,
    "nasnet_mobile": 8.8,
}


@pytest.mark.parametrize("network", [name for name in PAPERS if name in NETWORKS])
def test_parameters_are_those_of_the_paper(network, monkeypatch):
    assert TABLE2.keys() == set(PAPERS)
    config = ModelConfig((), network=network, opinion=Opinion(1, 0, 1, None, "scores"))
    monkeypatch.setattr(networks_table, "load_config", lambda folder: config)
    summary = dict.fromkeys(
        ("repetitions", "srocc_median", "plcc_median", "rmse_median", "mae_median", "srocc_q1",
         "srocc_q3"), 1.0,
    )  # fmt: skip
    row = networks_table.network_row(network, "imagenet", "model", summary, {})
    assert round(row["parameters"], 1) == TABLE2[network]
    assert row["mlsp_length"] == NETWORKS[network].length


def test_an_epoch_without_a_speed_counts_as_the_median():
    log = [{"images_per_second": speed} for speed in (10.0, 0.0, 20.0, 40.0)]
    times = comparing.training_times(log, 40)
    assert times == {"epoch_seconds": 2.0, "training_seconds": 4 + 2 + 2 + 1}
    assert np.isnan(comparing.training_times(log[1:2], 40)["training_seconds"])


def test_a_network_without_a_speed_is_drawn_where_it_has_values(tmp_path):
    row = {"title": "Small", "srocc": 0.5, "srocc_q1": 0.4, "srocc_q3": 0.6, "splits": 2}
    row |= {"parameters": 1.0, "prediction_ms": 2.0, "epoch_seconds": float("nan")}
    networks_table.draw_networks(tmp_path, [row])
    assert cv2.imread(str(tmp_path / networks_table.FIGURE_FILE)) is not None


def test_a_time_is_measured_once_and_kept(tmp_path, monkeypatch):
    from mlsp.comparisons import prediction_times

    folder = tmp_path / "model"
    config = ModelConfig((), network="small", opinion=Opinion(1, 0, 1, None, "x", hidden=False))
    save_model(folder, config, fresh_weights(functional_model(config), 0), None, {})
    calls, judge = [], Predictor.__call__
    monkeypatch.setattr(
        Predictor, "__call__", lambda self, *a: calls.append(a[1].shape) or judge(self, *a)
    )
    found = prediction_times.prediction_time(tmp_path, "small", folder, (24, 30))
    assert calls == [(24, 30, 3)] * 13 and found["prediction_ms"] > 0
    assert (found["height"], found["width"]) == (24, 30)
    shutil.rmtree(folder)
    again = prediction_times.prediction_time(tmp_path, "small", folder, (24, 30))
    assert again["prediction_ms"] == pytest.approx(found["prediction_ms"]) and len(calls) == 13
