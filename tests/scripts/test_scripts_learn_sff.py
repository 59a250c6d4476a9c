"""Learning SFF's matrix: it finds independent components, repeats itself, and refuses bad input."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from deepfl.command_line import run_script
from fr_metrics.sff import load_matrix
from mtl.runtime.files import InputError
from scripts import learn_sff as script
from scripts.learn_sff import LearnSffConfig, learn_matrix, learn_sff


@pytest.fixture
def config(photographs, tmp_path) -> LearnSffConfig:
    return LearnSffConfig(photographs=photographs, out=tmp_path / "out", patches=3000)


def test_independent_sources_are_found():
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.standard_normal((192, 9)) - 1e-9)[0]
    basis -= basis.mean(axis=0)
    sources = random.laplace(size=(20_000, 8)) * np.arange(8, 0, -1)
    patches = 100 + sources @ basis[:, :8].T + 0.01 * random.standard_normal((20_000, 192))
    matrix, iterations = learn_matrix(patches, seed=3)
    assert matrix.shape == (8, 192)
    assert iterations > 1
    mixing = np.abs(matrix @ basis[:, :8]) * np.arange(8, 0, -1)
    # One source per feature, each with the variance of a Laplace distribution taken out.
    assert sorted(mixing.argmax(axis=1)) == list(range(8))
    np.testing.assert_allclose(mixing.max(axis=1), np.sqrt(0.5), rtol=0.05)
    assert np.sort(mixing, axis=1)[:, :-1].max() < 0.05


def test_a_run_writes_what_the_package_ships(config):
    record = learn_sff(config)
    assert {path.name for path in config.out.iterdir()} == {"sff_matrix.npy", "sff_matrix.json"}
    assert json.loads((config.out / "sff_matrix.json").read_text()) == record
    assert (record["photographs"], record["patches"], record["seed"]) == (6, 3000, 0)
    matrix = load_matrix(config.out / "sff_matrix.npy")
    assert np.abs(matrix.sum(axis=1)).max() < 1e-12
    again = replace(config, out=config.out.parent / "again")
    learn_sff(again)
    assert np.array_equal(load_matrix(again.out / "sff_matrix.npy"), matrix)
    fewer = replace(config, out=config.out.parent / "fewer", leave_out=("ch*", "rocket.png"))
    assert learn_sff(fewer)["photographs"] == 3


def test_scores_with_two_matrices_are_compared(config, photographs, tmp_path):
    learn_sff(config)
    (tmp_path / "images").mkdir()
    for name in ("coffee", "rocket", "chelsea"):
        image = cv2.imread(str(photographs / f"{name}.png"))[:64, :96]
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), image)
        cv2.imwrite(str(tmp_path / "images" / f"{name}_2.png"), cv2.GaussianBlur(image, (0, 0), 2))
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(
        "ref,dist\n" + "".join(f"{n},{n}_2\n" for n in ("coffee", "rocket", "chelsea"))
    )
    against = config.out / "sff_matrix.npy"
    record = learn_sff(
        replace(config, out=tmp_path / "second", against=against, pairs=pairs, seed=0)
    )
    assert record["compared_with_the_authors_matrix"] == {
        "pairs": 3,
        "srocc": 1.0,
        "largest_difference": 0.0,
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"photographs": "nowhere"}, "no such folder"),
        ({"patches": 100}, "--patches 100: must be at least 192"),
        ({"against": "matrix.npy"}, "--against and --pairs belong together"),
        ({"leave_out": ("*",)}, "leaves none of the 6 photographs"),
    ],
)
def test_unsuitable_settings_are_refused(config, change, words, tmp_path):
    change = {k: tmp_path / v if isinstance(v, str) else v for k, v in change.items()}
    with pytest.raises(InputError, match=words):
        learn_sff(replace(config, **change))


def test_unsuitable_files_are_refused(config, tmp_path):
    (tmp_path / "bad.npy").write_bytes(b"no array")
    pairs = tmp_path / "pairs.csv"
    for against, words in (("none.npy", "none.npy: no such file"), ("bad.npy", "is not an .npy")):
        with pytest.raises(InputError, match=words):
            learn_sff(replace(config, against=tmp_path / against, pairs=pairs))
    flat = tmp_path / "flat"
    flat.mkdir()
    cv2.imwrite(str(flat / "flat.png"), np.full((40, 40, 3), 90, np.uint8))
    with pytest.raises(InputError, match="too little texture"):
        learn_sff(replace(config, photographs=flat))
    cv2.imwrite(str(flat / "flat.png"), np.full((40, 7, 3), 90, np.uint8))
    with pytest.raises(InputError, match=r"is 7x40 pixels; 8x8 are needed"):
        learn_sff(replace(config, photographs=flat))


def test_the_script_says_what_it_wrote_and_what_is_wrong(config, tmp_path, capsys, monkeypatch):
    options = ["--photographs", str(config.photographs), "--patches", "3000"]
    script.main([*options, "--out", str(tmp_path / "here")])
    assert "here: sff_matrix.npy and sff_matrix.json" in capsys.readouterr().err
    wrong = ["learn_sff", "--photographs", str(tmp_path / "nowhere"), "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", wrong)
    with pytest.raises(SystemExit) as error:
        run_script(script.main, "learn_sff")
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("learn_sff: ") and "no such folder" in line
