"""How much memory a program may still take."""

import os
from collections.abc import Iterable
from pathlib import Path

import jax


def free_memory() -> int | None:
    """Bytes that a program may still take on JAX's device; None where that is not known."""
    (device, *_) = jax.local_devices()
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return stats["bytes_limit"] - stats["bytes_in_use"] if "bytes_limit" in stats else None
    known = [free for free in (_free_of_machine(), *_free_of_groups()) if free is not None]
    return min(known, default=None)


def _free_of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (ValueError, OSError):
            return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024  # Linux counts in these
    return None


def _free_of_groups() -> Iterable[int]:
    """What Linux leaves a container: its limit less what is used, of control groups 2 or 1.

    Files that the system keeps in memory count as used there, and give way.
    """
    for folder, limit, used, kept in (
        ("/sys/fs/cgroup", "memory.max", "memory.current", "file"),
        (
            "/sys/fs/cgroup/memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_cache",
        ),
    ):
        group = Path(folder)
        try:
            rows = (line.split() for line in (group / "memory.stat").read_text().splitlines())
            cached = {row[0]: int(row[1]) for row in rows}[kept]
            yield int((group / limit).read_text()) - int((group / used).read_text()) + cached
        except (OSError, ValueError, KeyError):  # not there, or "max"
            continue
