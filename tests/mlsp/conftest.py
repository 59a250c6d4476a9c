from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from distortions import distort
from mlsp import benchmark_run
from mlsp.store import Features
from mtl.files import InputError

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
        (folder / "model.json").write_text("{}")
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
    monkeypatch.setattr(benchmark_run, "extract_to", extract_to)
