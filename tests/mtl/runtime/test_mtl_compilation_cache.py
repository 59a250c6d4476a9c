"""Where programs and weights are kept: the variables come first, in their order."""

import sys
from pathlib import Path

import pytest

from mtl.runtime.compilation_cache import cache_folder, user_cache

VARIABLES = ("DEEPFL_CACHE", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other cache folders")
def test_the_folder_is_the_one_of_the_system(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "deepfl"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == tmp_path / ".cache" / "deepfl" / "jax"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kept"))
    assert user_cache() == tmp_path / "kept" / "deepfl"
    assert not list(tmp_path.iterdir())


def test_variables_of_the_program_and_of_jax_come_first(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    monkeypatch.setenv("DEEPFL_CACHE", "ours")
    assert (user_cache(), cache_folder()) == (Path("ours"), Path("ours/jax"))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/compiled")
    assert (user_cache(), cache_folder()) == (Path("ours"), Path("/compiled"))
