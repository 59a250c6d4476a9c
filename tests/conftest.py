import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

# Nothing is written into the tree: hypothesis would keep its constants there, JAX its programs in
# the user's cache. Programs compiled by one test, or process, serve the next.
SCRATCH = Path(tempfile.gettempdir()) / "deepfl-iqa-tests"
set_hypothesis_home_dir(SCRATCH / "hypothesis")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(SCRATCH / "jax"))

# The machine's other work must not fail a test; examples are few because several compile.
settings.register_profile("deepfl", deadline=None, database=None, max_examples=25)
settings.load_profile("deepfl")

# Files that take minutes come first, so that at the end no worker is alone with one of them.
LONGEST_FIRST = (
    "test_scripts_end_to_end",
    "test_mtl_distributed",
    "test_mtl_train",
    "test_mtl_train_resume",
    "test_scripts_finetune",
    "test_fr_metrics_contract",
    "test_mtl_generate",
    "test_mtl_keras_equality",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


# Here it is the programs' results that count. How fast they run does not, and the metrics, whose
# numbers are compared with their authors' under tests/fr_metrics, are compiled there as for users.
COMPILED_QUICKLY = ("mlsp", "mtl", "scripts")
TESTS = Path(__file__).parent


@pytest.fixture(autouse=True, scope="module")
def quick_compilation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let XLA optimise little, in this process and in those it starts."""
    if request.path.relative_to(TESTS).parts[0] not in COMPILED_QUICKLY:
        yield
        return
    import jax

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        before = jax.config.read("jax_disable_most_optimizations")
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def sample() -> dict[str, np.ndarray]:
    """Real photographs by name, 8-bit RGB: scikit-image's and scikit-learn's."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    return {
        "astronaut": data.astronaut(),
        "chelsea": data.chelsea(),
        "coffee": data.coffee(),
        "rocket": data.rocket(),
        "china": load_sample_image("china.jpg"),
        "flower": load_sample_image("flower.jpg"),
    }


@pytest.fixture(scope="session")
def scored(tmp_path_factory, sample) -> Path:
    """A data set: four photographs in twenty small versions, scored with two metrics."""
    from mtl.kadis.generate import generate
    from mtl.kadis.plan import GenerateConfig

    root = tmp_path_factory.mktemp("scored")
    (root / "photographs").mkdir()
    for name in ("chelsea", "china", "coffee", "flower"):
        cv2.imwrite(str(root / "photographs" / f"{name}.png"), sample[name][..., ::-1])
    generate(
        GenerateConfig(
            root / "photographs", root / "kadis", size=(80, 96), metrics=("ssim", "gmsd"), shards=2
        )
    )
    return root / "kadis"


@pytest.fixture(scope="session")
def untrained(tmp_path_factory) -> Path:
    """A model folder for SSIM and GMSD: an eighth of the network's width, random weights."""
    from fr_metrics import HistogramEqualization
    from mtl.network.model import ModelConfig, functional_model
    from mtl.network.weights import fresh_weights, save_model

    folder = tmp_path_factory.mktemp("untrained")
    config = ModelConfig(("ssim", "gmsd"), width=0.125)
    scores = {"ssim": np.linspace(0.2, 1, 50), "gmsd": np.linspace(0, 0.3, 50)}
    weights = fresh_weights(functional_model(config), 0)
    save_model(folder, config, weights, HistogramEqualization.fit(scores), {})
    return folder


@pytest.fixture
def photographs(tmp_path, sample) -> Path:
    """A folder of six real photographs."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, image in sample.items():
        cv2.imwrite(str(folder / f"{name}.png"), image[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """Ray for all tests of a module: its workers start, and compile, once.

    A test that is about starting or losing Ray does without.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        ray.init(
            address="local",
            num_cpus=6,
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            logging_level="error",
            log_to_driver=False,
        )
    yield
    ray.shutdown()
