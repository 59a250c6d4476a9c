"""JAX's persistent compilation cache: a program compiled once starts in seconds ever after."""

import os
from pathlib import Path

import jax
import platformdirs


def user_cache() -> Path:
    """Return DEEPFL_CACHE if set, else `deepfl` under the user's cache folder.

    On Linux that folder is XDG_CACHE_HOME if it is an absolute path, else ~/.cache.
    """
    chosen = os.environ.get("DEEPFL_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("deepfl", appauthor=False)


def cache_folder() -> Path:
    """Return JAX_COMPILATION_CACHE_DIR if set, else `jax` under `user_cache()`."""
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return Path(chosen) if chosen else user_cache() / "jax"


def enable() -> None:
    """Keep compiled programs in `cache_folder()`; a folder that cannot be made turns it off."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
