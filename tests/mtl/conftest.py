"""Generation that a test can disturb."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import psutil
import pytest
from folder_digests import digests

from mtl.kadis.generate import Summary, generate
from mtl.kadis.plan import GenerateConfig

# Slow to distort, so that a shard is caught half done.
SETTINGS = {"types": ("jitter",), "size": (192, 256), "metrics": ("gmsd",), "shards": 3}


def config(photographs: Path, out: Path, **changes) -> GenerateConfig:
    return GenerateConfig(photographs, out, **{**SETTINGS, "num_workers": 2, **changes})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, sample):
    """Photographs, and the data set that undisturbed work makes of them."""
    root = tmp_path_factory.mktemp("faults")
    photographs = root / "photographs"
    photographs.mkdir()
    for name, image in sample.items():
        for k in range(2):  # two photographs of each: left and right
            cv2.imwrite(str(photographs / f"{name}{k}.png"), image[:, k * 40 :, ::-1])
    generate(config(photographs, root / "out"))
    return photographs, digests(root / "out")


class Running(threading.Thread):
    """`generate` in a thread, so that a test can disturb it."""

    def __init__(self, config: GenerateConfig):
        super().__init__(daemon=True)
        self.config = config
        self.error: BaseException | None = None
        self.summary: Summary | None = None
        self.start()

    def run(self) -> None:
        try:
            self.summary = generate(self.config)
        except BaseException as error:
            self.error = error

    def workers_at_work(self, number: int) -> dict[int, Path]:
        """Wait until `number` shards are being written; their files by the worker's process id."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.is_alive():
            found = {}
            for path in self.config.out.glob(".kadis-*.tmp"):
                pid = int(path.name.split(".")[-2])
                if path.exists() and psutil.pid_exists(pid):
                    found[pid] = path
            if len(found) >= number:
                return found
            time.sleep(0.002)
        raise AssertionError(f"no {number} workers were seen at work ({self.error!r})")

    def result(self) -> Summary:
        self.join(180)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self.summary


@pytest.fixture(scope="session")
def disturbed() -> SimpleNamespace:
    """How to describe, run and compare the data set of `made`."""
    return SimpleNamespace(config=config, digests=digests, Running=Running)
