"""Miniature databases, a rated table of small pictures, and features that are quickly described.

The databases have the authors' layouts and counts, and pictures without pixels.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import openpyxl
import pytest
import scipy.io
from sklearn.cluster import KMeans

from distortions import distort
from mlsp.baselines import BASELINES, Baseline
from mlsp.evaluation import benchmark_pictures, benchmark_run
from mlsp.features.store import Features
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import table_text

LIVE_COUNTS = {"jp2k": 227, "jpeg": 233, "wn": 174, "gblur": 174, "fastfading": 174}
LIVE_COPIES = {"jp2k": 58, "jpeg": 58, "wn": 29, "gblur": 29, "fastfading": 29}


def touch(folder: Path, names: Sequence[str]) -> None:
    for parent in {(folder / name).parent for name in names}:
        parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def cell_array(texts: Sequence[str], shape: tuple[int, int]) -> np.ndarray:
    cells = np.empty(len(texts), object)
    cells[:] = list(texts)
    return cells.reshape(shape)


def write_workbook(path: Path, sheets: dict[str, Sequence[Sequence[object]]]) -> None:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    workbook.save(path)


def live(folder: Path, pictures: bool) -> None:
    rng = np.random.default_rng(1)
    total = sum(LIVE_COUNTS.values())
    originals = np.zeros(total)
    start = 0
    for kind, count in LIVE_COUNTS.items():
        originals[start : start + LIVE_COPIES[kind]] = 1
        start += count
    dmos = np.where(originals == 1, 0, rng.uniform(-2, 110, total))
    names = [f"scene{k % 29:02d}.bmp" for k in range(total)]
    realigned = {"dmos_new": dmos, "dmos_std": rng.uniform(3, 9, total), "orgs": originals}
    scipy.io.savemat(folder / "dmos_realigned.mat", realigned)
    raw = {"dmos": np.clip(dmos, 0, 100), "orgs": originals}
    scipy.io.savemat(folder / "dmos.mat", raw, do_compression=True)
    scipy.io.savemat(folder / "refnames_all.mat", {"refnames_all": cell_array(names, (1, total))})
    place = iter(names)
    for kind, count in LIVE_COUNTS.items():
        (folder / kind).mkdir()
        lines = [f"{next(place)} img{k}.bmp {k / 100:.4f}" for k in range(1, count + 1)]
        (folder / kind / "info.txt").write_text("\n".join(reversed(lines)) + "\n\n")
        if pictures:
            touch(folder / kind, [f"img{k}.bmp" for k in range(1, count + 1)])
    if pictures:
        touch(folder / "refimgs", sorted(set(names)))


def csiq(folder: Path, pictures: bool) -> None:
    rng = np.random.default_rng(2)
    types = {
        "noise": "awgn/{}.AWGN.{}.png",
        "jpeg": "jpeg/{}.JPEG.{}.png",
        "jpeg 2000": "jpeg2000/{}.jpeg2000.{}.png",
        "fnoise": "fnoise/{}.fnoise.{}.png",
        "blur": "blur/{}.BLUR.{}.png",
        "contrast": "contrast/{}.contrast.{}.png",
    }
    images = ["1600", *(f"scene{k:02d}" for k in range(29))]
    rows: list[list[object]] = [
        [None, "CSIQ"],
        [],
        [],
        [None, None, None, "image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"],
    ]
    files = []
    for i, image in enumerate(images):
        for t, (kind, file) in enumerate(types.items(), 1):
            levels = 5 if kind != "contrast" else 3 + (i >= 4)
            for level in range(1, levels + 1):
                known = 1600 if image == "1600" else image
                spread, dmos = rng.uniform(0, 0.2), rng.uniform(0, 1)
                rows.append([None, None, None, known, t, kind, level, spread, dmos])
                files.append("dst_imgs/" + file.format(image, level))
    rows.append([None, None, "mean", None, None, None, None, 0.1])
    write_workbook(
        folder / "csiq.DMOS.xlsx", {"all_by_distortion": [["image"]], "all_by_image": rows}
    )
    if pictures:
        unrated = ["dst_imgs/contrast/1600.contrast.5.png"]
        touch(folder, [*files, *unrated, *(f"src_imgs/{image}.png" for image in images)])


def tid(folder: Path, pictures: bool, types: int, levels: int) -> None:
    rng = np.random.default_rng(types)
    names = [
        f"{'i' if r % 2 else 'I'}{r:02d}_{t:02d}_{level}.bmp"
        for r in range(1, 26)
        for t in range(1, types + 1)
        for level in range(1, levels + 1)
    ]
    scores = rng.uniform(0.3, 8, len(names))
    lines = [f"{score:.5f} {name}\r\n" for score, name in zip(scores, names, strict=True)]
    (folder / "mos_with_names.txt").write_text("".join(lines), newline="")
    deviations = [f"{value:.5f}\n" for value in rng.uniform(0, 0.5, len(names))]
    (folder / "mos_std.txt").write_text("".join(deviations))
    if pictures:
        touch(folder / "distorted_images", [name.upper() for name in names])
        pristine = [f"I{r:02d}.BMP" for r in range(1, 25)] + ["i25.bmp"]
        touch(folder / "reference_images", pristine)


def kadid(folder: Path, pictures: bool) -> None:
    rng = np.random.default_rng(4)
    rows = [
        {
            "dist_img": f"I{r:02d}_{t:02d}_{level:02d}.png",
            "ref_img": f"I{r:02d}.png",
            "dmos": round(float(rng.uniform(1, 5)), 2),
            "var": round(float(rng.uniform(0, 1.5)), 3),
        }
        for r in range(1, 82)
        for t in range(1, 26)
        for level in range(1, 6)
    ]
    (folder / "dmos.csv").write_text(table_text(rows))
    if pictures:
        names = {str(row[column]) for row in rows for column in ("dist_img", "ref_img")}
        touch(folder / "images", sorted(names))


def livec(folder: Path, pictures: bool) -> None:
    rng = np.random.default_rng(5)
    practice = [f"t{k}.bmp" for k in range(1, 8)]
    names = practice + [f"{k}.{'JPG' if k % 9 == 0 else 'bmp'}" for k in range(3, 1165)]
    data = folder / "Data"
    data.mkdir()
    held = {
        "AllImages_release": cell_array(names, (1169, 1)),
        "AllMOS_release": rng.uniform(3, 93, (1, 1169)),
        "AllStdDev_release": rng.uniform(8, 27, (1, 1169)),
    }
    for name, value in held.items():
        scipy.io.savemat(data / f"{name}.mat", {name: value}, do_compression=True)
    if pictures:
        touch(folder / "Images" / "trainingImages", practice)
        touch(folder / "Images", names[7:])


def koniq(folder: Path, pictures: bool) -> None:
    rng = np.random.default_rng(6)
    counts = rng.integers(1, 40, (10073, 5))
    rows = []
    for k, row in enumerate(counts.tolist()):
        mean = float(np.dot(row, np.arange(1, 6)) / sum(row))
        known = {f"c{n}": count for n, count in enumerate(row, 1)}
        rows.append(
            {"image_name": f"{k:05d}.jpg", **known, "c_total": sum(row), "MOS": mean, "SD": 0.5}
        )
    (folder / "koniq10k_scores_and_distributions.csv").write_text(table_text(rows))
    if pictures:
        touch(folder / "512x384", [row["image_name"] for row in rows])


MAKERS: dict[str, Callable[[Path, bool], None]] = {
    "live": live,
    "csiq": csiq,
    "tid2008": lambda folder, pictures: tid(folder, pictures, 17, 4),
    "tid2013": lambda folder, pictures: tid(folder, pictures, 24, 5),
    "kadid10k": kadid,
    "livec": livec,
    "koniq10k": koniq,
}


@pytest.fixture
def make_database() -> Callable[..., Path]:
    """Writes a database by its name into a folder; without pictures, only its tables."""

    def make(kind: str, folder: Path, *, pictures: bool = False) -> Path:
        folder.mkdir(parents=True)
        MAKERS[kind](folder, pictures)
        return folder

    return make


@pytest.fixture(scope="session")
def workbook() -> Callable[..., None]:
    """Writes an .xlsx of sheets by name."""
    return write_workbook


TYPES = ("gaussian_blur", "jpeg")


@pytest.fixture(scope="session")
def rated(tmp_path_factory, sample) -> Path:
    """A table of 60 pictures of six references, with types, levels, deviations and references."""
    folder = tmp_path_factory.mktemp("rated")
    rows = []
    for name, image in sample.items():
        reference = np.ascontiguousarray(image[100:276, 60:236])
        cv2.imwrite(str(folder / f"{name}.png"), reference[..., ::-1])
        for kind in TYPES:
            for level in range(1, 6):
                picture = f"{name}_{kind}_{level}.png"
                version = distort(reference, kind, level)
                cv2.imwrite(str(folder / picture), version[..., ::-1])
                score = 5 - 0.8 * level + 0.1 * TYPES.index(kind)
                rows.append(f"{picture},{score},{name},{name}.png,{kind},{level},0.5")
    header = "image,score,reference,reference_file,distortion,level,std"
    (folder / "ratings.csv").write_text("\n".join([header, *rows, ""]))
    return folder / "ratings.csv"


@pytest.fixture
def quick_features(monkeypatch, tmp_path):
    """Models whose features are statistics of the gradients, a seed's worth different each."""

    def load_model(folder):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights.npz").write_bytes(folder.name.encode())
        config = {"metrics": [], "scaling": "minus_one_to_one", "momentum": 0.99}
        description = {"format": 1, "equalized": False, "config": config}
        (folder / "model.json").write_text(json.dumps(description))
        return SimpleNamespace(folder=folder)

    def extract_to(model, source, out, *, kind, crops, progress):
        weights = np.random.default_rng(len(model.folder.name)).random(8)
        matrix, names, skipped = [], [], {}
        parts = crops.number if crops is not None and crops.pool == "none" else 1
        for k, name in enumerate(source.names):
            try:
                image = source.load(k).astype(np.float64)
            except InputError as error:
                skipped[name] = str(error)
                continue
            for part in range(parts):
                view = image[part:]
                slopes = np.concatenate([np.diff(view, axis=a).std((0, 1)) for a in (0, 1)])
                row = np.array([*slopes, view.mean() / 255, part])
                matrix.append(np.log1p(row) * weights)
                names.append(name)
        return Features(np.array(matrix, np.float16), names, [{}] * len(names), skipped)

    monkeypatch.setattr(benchmark_run, "load_model", load_model)
    monkeypatch.setattr(benchmark_pictures, "extract_to", extract_to)


WORDS, SIDE = 6, 8  # of the codebook of patches; of a patch in pixels


def patches(image: np.ndarray) -> np.ndarray:
    """The grey patches of a picture side by side, without their means, a row each."""
    rows, columns = (length // SIDE for length in image.shape[:2])
    if not rows * columns:
        raise ValueError("the picture is smaller than a patch")
    grey = image.mean(axis=2)[: rows * SIDE, : columns * SIDE]
    found = grey.reshape(rows, SIDE, columns, SIDE).swapaxes(1, 2).reshape(-1, SIDE * SIDE)
    return found - found.mean(axis=1, keepdims=True)


class PatchCodebook:
    """A method whose codebook is the k-means of training patches; it remembers what it was shown.

    A picture's vector is the share of its patches that are nearest to each codeword.
    """

    name = "patches"

    def __init__(self) -> None:
        self.shown: list[tuple[int, list[str]]] = []
        """Of each fit the seed, and the pictures' patches as digests, sorted."""

    @staticmethod
    def digest(described: np.ndarray) -> str:
        return hashlib.sha256(described.tobytes()).hexdigest()

    def fit(self, pictures, seed):
        described = list(pictures)
        assert len(pictures) == len(described)
        assert np.array_equal(pictures[0], described[0])
        self.shown.append((seed, sorted(map(self.digest, described))))
        if sum(map(len, described)) < WORDS:
            raise ValueError(f"fewer patches than {WORDS} codewords")
        means = KMeans(WORDS, n_init=1, max_iter=20, random_state=seed)
        words = means.fit(np.concatenate(described)).cluster_centers_

        def encode(one: np.ndarray) -> np.ndarray:
            nearest = ((one[:, None] - words) ** 2).sum(axis=2).argmin(axis=1)
            return np.bincount(nearest, minlength=WORDS) / len(one)

        return encode


@pytest.fixture
def patch_codebook(monkeypatch) -> PatchCodebook:
    """A row `patches` of BASELINES, as a program of one's own would add it."""
    codebook = PatchCodebook()
    row = Baseline(
        title="Patches",
        describe=patches,
        length=WORDS,
        fit=codebook.fit,
        reference="doi:10.1109/TIP.2012.2214050",
        verified=False,
        program=(sys.modules[patches.__module__],),
    )
    monkeypatch.setitem(BASELINES, codebook.name, row)
    return codebook
