"""What a check of a data set finds, as a person is told it."""

from dataclasses import dataclass

from mtl.kadis.origins import DataSetPlan
from mtl.kadis.shards import Shard, stats_path


@dataclass(frozen=True)
class Problem:
    """Something wrong, and what to do about it."""

    file: str
    """Where: a file of the data set, or a photograph."""
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}; {self.remedy}"


@dataclass(frozen=True)
class Check:
    """One line of the summary."""

    name: str
    what: str
    """What was checked, with numbers."""
    wrong: int | None
    """How many things are wrong; None if it could not be checked."""


def run_again(planned: DataSetPlan) -> str:
    """The remedy for what is written at the end of a run."""
    return f"run the same `deepfl {planned.command}` again"


def made_again(planned: DataSetPlan, shard: Shard) -> str:
    """The remedy for a shard: to have it made again."""
    path = stats_path(planned.folder, shard)
    return f"delete {path} and {run_again(planned)}" if path.exists() else run_again(planned)


def listed(what: str, names: list[str]) -> str:
    """A count with an example, such as "missing images: 3, first a.png jpeg level 1"."""
    return f"{what}: {len(names)}, first {names[0]}"
