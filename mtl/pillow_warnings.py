"""Silence for Pillow's warnings, in any number of threads."""

import threading
import warnings

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
