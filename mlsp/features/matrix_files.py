"""Matrices of float16 on the disk, as .npy files that are mapped into memory."""

import math
import os
from pathlib import Path

import numpy as np


def new_matrix(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """Create a matrix on the disk, with all the space that it needs.

    Otherwise the disk may be full when a row is written to the mapped memory, and the system kills
    the process (SIGBUS).

    Raises:
        OSError: there is too little space.
    """
    try:
        matrix = np.lib.format.open_memmap(path, "w+", np.float16, shape)
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        megabytes = 2 * math.prod(shape) / 1e6
        reason = f"{error.strerror}; the features need {megabytes:.1f} MB, make room and go on"
        raise OSError(error.errno, reason, os.fspath(path)) from error
    return matrix
