"""Where a published number comes from: date, processor and versions, as columns of its table."""

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")  # Linux


def provenance(packages: Sequence[str]) -> dict[str, str]:
    """Columns date, hardware and versions (of Python and of `packages`)."""
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return {
        "date": datetime.date.today().isoformat(),
        "hardware": _hardware(),
        "versions": "; ".join(versions),
    }


def _hardware() -> str:
    model = platform.machine()
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {os.cpu_count()} cores"
