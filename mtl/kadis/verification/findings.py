"""What a check of a data set finds, as a person is told it."""

from dataclasses import dataclass

from mtl.kadis.plan import Plan
from mtl.kadis.shards import Shard, stats_path

# With other recipes in the manifest, the versions were somebody else's decision.
RECIPES = ("kadis", "kadid")

ANOTHER = "make the data set anew, in another folder"


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


def is_planned(planned: Plan) -> bool:
    """Whether the versions follow from the plan; if not, they were imported with their scores."""
    return planned.config.recipe in RECIPES


def run_again(planned: Plan) -> str:
    """The remedy for what is written at the end of a run."""
    command = "generate" if is_planned(planned) else "import-scores"
    return f"run the same `deepfl {command}` again"


def made_again(planned: Plan, shard: Shard) -> str:
    """The remedy for a shard: to have it made again."""
    path = stats_path(planned.config.out, shard)
    return f"delete {path} and {run_again(planned)}" if path.exists() else run_again(planned)


def listed(what: str, names: list[str]) -> str:
    """A count with an example, such as "missing images: 3, first a.png jpeg level 1"."""
    return f"{what}: {len(names)}, first {names[0]}"
