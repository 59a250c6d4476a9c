"""JAX's persistent compilation cache: a program compiled once starts in seconds ever after."""

import os
from pathlib import Path

import jax


def user_cache() -> Path:
    """DEEPFL_CACHE if set, else `deepfl` under the user's cache folder."""
    chosen = os.environ.get("DEEPFL_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deepfl"


def cache_folder() -> Path:
    """JAX_COMPILATION_CACHE_DIR if set, else `jax` under `user_cache()`."""
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
