"""Measure the memory of a piece of work: of the device where it counts, else of the process."""

import ctypes
import gc
import resource
import sys
from pathlib import Path

import jax

# Linux: `man 5 proc`. Writing 5 to clear_refs makes the present memory the peak.
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PRESENT, PEAK = "VmRSS:", "VmHWM:"


def peak_bytes() -> int:
    """Return the most memory so far: the device's where it counts, else the process's."""
    known = _device()
    if "peak_bytes_in_use" in known:
        return known["peak_bytes_in_use"]
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


class Work:
    """Counts, from its making on, what is taken beyond the memory that was in use then.

    Memory that the process has freed but not handed back is handed back first, so that what was
    done before, such as compiling, hides nothing.
    """

    def __init__(self):
        gc.collect()
        self._before = self._in_use() if self._begin() else None

    def bytes(self) -> int | None:
        """Return the most that was taken since; None where the machine does not tell."""
        if self._before is None:
            return None
        known = _device()
        peak = known["peak_bytes_in_use"] if known else _process(PEAK)
        return max(0, peak - self._before)

    def _in_use(self) -> int:
        known = _device()
        return known["bytes_in_use"] if known else _process(PRESENT)

    def _begin(self) -> bool:
        """Make the present memory the peak; False where the process may not."""
        if _device():
            return True
        try:
            ctypes.CDLL(None).malloc_trim(0)
            CLEAR.write_text("5")
        except (OSError, AttributeError):  # not Linux with glibc, or not allowed
            return False
        return True


def _device() -> dict[str, int]:
    """Return the device's own count; empty for CPUs."""
    return jax.devices()[0].memory_stats() or {}


def _process(name: str) -> int:
    """Return a line of Linux's status in bytes; it counts in units of 1,024."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
