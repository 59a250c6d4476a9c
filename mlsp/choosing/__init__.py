"""Choosing a balanced set among photographs, as KonIQ-10k was chosen."""

from mlsp.choosing.choose import curate_diverse
from mlsp.choosing.near_duplicates import without_nearest
from mlsp.choosing.results import Chosen
from mlsp.choosing.selection import Selection, select
from mlsp.choosing.settings import DiverseConfig
from mlsp.choosing.tags import quota_for, quota_sample

__all__ = [
    "Chosen",
    "DiverseConfig",
    "Selection",
    "curate_diverse",
    "quota_for",
    "quota_sample",
    "select",
    "without_nearest",
]
