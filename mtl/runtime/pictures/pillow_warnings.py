"""Silence for Pillow's warnings, in any number of threads, and for those of its libtiff."""

import ctypes
import os
import threading
import warnings
from contextlib import suppress
from pathlib import Path

from PIL import Image


class _Quiet:
    """Silence Pillow's warnings while any thread decodes.

    Filters belong to the process, so the first thread in sets them and the last one out restores
    them; `warnings.catch_warnings` in each thread would restore them while others still decode.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved: warnings.catch_warnings | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                # Pillow warns of pictures over 89 megapixels; a 100-megapixel camera is no attack.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._saved is not None:
                self._saved.__exit__(None, None, None)
                self._saved = None


PILLOW_IS_QUIET = _Quiet()

LIBRARIES = Path("/proc/self/maps")  # what Linux has loaded into this process


def _quieten_libtiff() -> None:
    """Keep libtiff from printing on standard error, amid lines of progress.

    Pillow raises what is an error and has no switch for this. Where the library is not found, as on
    systems other than Linux, it prints.
    """
    with suppress(OSError, AttributeError):
        lines = LIBRARIES.read_text(errors="replace").splitlines()
        for name in {line.split(maxsplit=5)[-1] for line in lines if "/libtiff" in line}:
            library = ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
            for setter in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
                setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
                setter(None)


_quieten_libtiff()
