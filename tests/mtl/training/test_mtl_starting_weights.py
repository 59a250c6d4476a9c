"""The names of `--init`: which network each means, and where its weights are."""

import shutil
from pathlib import Path

import pytest

from mtl.network.imports import packaged
from mtl.network.networks import DEFAULT, NETWORKS
from mtl.network.weights import MODEL_FILE, imagenet_folder, imagenet_network
from mtl.runtime.files import InputError
from mtl.training.starting_weights import (
    starting_folder,
    starting_network,
    with_absolute_path,
)

NAMES = (
    "efficientnet-lite0-imagenet",
    "efficientnet_lite0_imagenet",
    "efficientnet_lite0-imagenet",
)
LITE = "efficientnet_lite0"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working folder, and a user's cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPFL_CACHE", str(tmp_path / "cache"))
    yield tmp_path
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)  # pytest would keep it for three runs


@pytest.mark.parametrize("name", NAMES)
def test_a_name_means_its_network(name):
    assert imagenet_network(name) == LITE
    assert starting_network(name, None) == starting_network(name, LITE) == LITE
    with pytest.raises(
        InputError, match=rf"--init {name}: is {LITE}; leave --network resnet50 out"
    ):
        starting_network(name, "resnet50")


def test_other_names_mean_what_they_did(untrained):
    assert starting_network("random", None) == starting_network("imagenet", None) == DEFAULT
    assert starting_network("random", LITE) == starting_network("imagenet", LITE) == LITE
    assert starting_network(str(untrained), None) == DEFAULT
    assert starting_network("resnet50-imagenet", None) == "resnet50"
    assert starting_network("inception-resnet-v2-imagenet", None) == DEFAULT
    assert starting_folder("random") is None
    assert starting_folder("deepfl-small") == starting_folder("deepfl-small", LITE)
    for name in ("imagenet", "-imagenet", "vgg-imagenet", "efficientnet-lite0", "x-lite0-imagenet"):
        assert imagenet_network(name) is None
    with pytest.raises(InputError, match="vgg-imagenet: no such folder"):
        starting_network("vgg-imagenet", None)


@pytest.mark.parametrize("init", ["imagenet", NAMES[0]])
def test_the_folder_is_made_of_the_installed_package_once(init, place, monkeypatch):
    made = []

    def once(row):
        made.append(row.name)
        folder = imagenet_folder(row.name)
        folder.mkdir(parents=True)
        (folder / MODEL_FILE).touch()
        return folder

    monkeypatch.setattr("mtl.training.starting_weights.packaged_folder", once)
    for _ in range(2):
        assert starting_folder(init, LITE) == place / "cache" / "imagenet-efficientnet_lite0"
    assert made == [LITE]


def test_what_is_not_there_is_one_line_with_the_remedy(monkeypatch):
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    for init in (*NAMES, "imagenet"):
        with pytest.raises(InputError, match=r"missing: pip install 'deepfl-iqa\[imagenet\]'$"):
            starting_folder(init, LITE)
    for init, network, command in (
        ("imagenet", DEFAULT, "`deepfl import-keras imagenet` once"),
        ("imagenet", "resnet50", "`deepfl import-keras resnet50` once"),
        ("resnet50-imagenet", DEFAULT, "`deepfl import-keras resnet50` once"),
    ):
        with pytest.raises(InputError, match=rf"--init {init}: .* no weights yet; run {command}"):
            starting_folder(init, network)
    assert not imagenet_folder(LITE).exists()


def test_names_stay_names_in_settings_and_folders_become_absolute(place):
    for name in ("random", "imagenet", "deepfl-small", "resnet50-imagenet", *NAMES):
        assert with_absolute_path(name) == name
    assert with_absolute_path("run") == str(place / "run")
    # A folder comes first, whatever it is called.
    Path(NAMES[0]).mkdir()
    assert imagenet_network(NAMES[0]) is None
    assert with_absolute_path(NAMES[0]) == str(place / NAMES[0])
    with pytest.raises(InputError, match=rf"{NAMES[0]}: is not a model folder"):
        starting_folder(NAMES[0])
    assert NETWORKS[LITE].torch is not None
