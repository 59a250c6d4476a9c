"""Say what a data set holds and where that came from: generated here, or imported as published.

The manifest's plan says it: `recipe` names the origin. Whoever reads a data set asks its plan, and
need not know of which origin it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from tensorflow_datasets.core.features import FeaturesDict

from mtl.kadis.recipes import Version, plan_versions
from mtl.kadis.records import Store, record_features
from mtl.kadis.shards import Shard, number_of_records
from mtl.runtime.pictures import Rejected

# Entries of the plan, by the name of a photograph: the bytes of its file, and their SHA-256.
PHOTOGRAPHS, CONTENTS = "photographs", "contents"

PUBLISHED = "published"  # the recipe of imported data sets: somebody else chose the versions

# How far a score may be from the stored one. All metrics run over about 0..1. In float32 they were
# seen up to 2e-5 from their float64 values (SSIM, brightened images), so two kinds of processor,
# which round differently, may be twice that apart; a wrong image or formula is off by far more.
SCORE_TOLERANCE = 1e-4

# Order of the entries in manifest.json; those that a data set does not have are left out.
ENTRIES = (
    "recipe",
    "types",
    "types_per_reference",
    "levels",
    "size",
    "metrics",
    "score_tolerance",
    "validation",
    "seed",
    "store",
    "license",
    "table",
    "distorted",
    PHOTOGRAPHS,
    CONTENTS,
    "shards",
)


@dataclass(frozen=True, kw_only=True)
class DataSetPlan(ABC):
    """Hold all that decides the records of a data set, whoever decided it."""

    command: ClassVar[str]
    """The command of `deepfl` that makes such a data set."""
    not_repeatable: ClassVar[str]
    """Why its images cannot be made again; empty where they can."""

    folder: Path
    """Where the data set lies, or will lie."""
    recipe: str
    types: tuple[int, ...]
    """Ids of the distortions, ascending."""
    types_per_reference: int
    levels: tuple[int, ...]
    size: tuple[int, int]
    """Height and width of the images."""
    metrics: tuple[str, ...]
    """Names of the scores, in the order of `METRICS`."""
    validation: float
    """Share of the references in the validation split."""
    seed: int
    store: Store
    license: str
    sizes: Mapping[str, int]
    """Bytes of each reference's file, by name."""
    contents: Mapping[str, str]
    """SHA-256 of the same files; empty in a data set of a version that did not note them."""
    shards: tuple[Shard, ...]
    rejected: tuple[Rejected, ...]
    """What was left out: before any pixel was touched, or, of a finished data set, at all."""

    @abstractmethod
    def images_due(
        self, kept: Sequence[str], stated: Sequence[tuple[str, Version]]
    ) -> list[tuple[str, Version]]:
        """Return the images that a shard should have, in order.

        Args:
            kept: the shard's references that were not left out.
            stated: the images that its stats file lists.
        """

    @abstractmethod
    def number_of_images(self) -> int:
        """Return how many images a finished data set should have."""

    @staticmethod
    @abstractmethod
    def own_fields(plan: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that only this origin has, from a manifest's plan.

        Raises:
            KeyError: it lacks one.
        """

    @abstractmethod
    def own(self) -> dict[str, Any]:
        """Return the entries that only plans of this origin have."""

    def versions(self, reference: str) -> list[Version]:
        """Return the versions of one reference that the recipe and the seed decide."""
        return plan_versions(
            reference, self.types, self.levels, self.types_per_reference, self.seed
        )

    @property
    def versions_per_reference(self) -> int:
        """How many versions each reference gets."""
        return self.types_per_reference * len(self.levels)

    @property
    def images_in_record(self) -> int:
        """Return how many images one record holds."""
        return self.versions_per_reference if self.store == "recipe" else 1

    @property
    def features(self) -> FeaturesDict:
        """What a record holds."""
        return record_features(self.store, self.size, self.metrics, self.versions_per_reference)

    def to_json(self) -> dict[str, Any]:
        """Return the plan in the manifest: all that decides the bytes, nothing of this machine."""
        entries = {
            "recipe": self.recipe,
            "types": list(self.types),
            "types_per_reference": self.types_per_reference,
            "levels": list(self.levels),
            "size": list(self.size),
            "metrics": list(self.metrics),
            "validation": self.validation,
            "seed": self.seed,
            "store": self.store,
            "license": self.license,
            PHOTOGRAPHS: dict(self.sizes),
            **({CONTENTS: dict(self.contents)} if self.contents else {}),
            "shards": [asdict(s) | {"references": list(s.references)} for s in self.shards],
            **self.own(),
        }
        return {name: entries[name] for name in ENTRIES if name in entries}


@dataclass(frozen=True, kw_only=True)
class Generated(DataSetPlan):
    """A data set whose images were distorted and scored here: names and a seed decide them all."""

    command = "generate"
    not_repeatable = ""

    def images_due(
        self, kept: Sequence[str], stated: Sequence[tuple[str, Version]]
    ) -> list[tuple[str, Version]]:
        """Return all versions of the references that were kept."""
        return [(name, version) for name in kept for version in self.versions(name)]

    def number_of_images(self) -> int:
        """Return the number of versions of all references that were not left out."""
        kept = {*self.sizes} - {one.file for one in self.rejected}
        return self.versions_per_reference * len(kept)

    def own(self) -> dict[str, Any]:
        """Return how far a score that is computed again may be from the stored one."""
        return {"score_tolerance": SCORE_TOLERANCE}

    @staticmethod
    def own_fields(plan: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that only this origin has, from a manifest's plan: none."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Imported(DataSetPlan):
    """A data set of somebody else's images and scores: only its stats files say which there are."""

    command = "import-scores"
    not_repeatable = "imported images cannot be made again"

    table: str
    """SHA-256 of the table of scores."""
    distorted: str
    """SHA-256 of the names and contents of the distorted pictures' files."""
    score_tolerance: float | None = None
    """Of no use, for no score was computed here; None where the manifest has none."""

    def images_due(
        self, kept: Sequence[str], stated: Sequence[tuple[str, Version]]
    ) -> list[tuple[str, Version]]:
        """Return the images that the stats list of the references that were kept, each once."""
        named = {*kept}
        return list(dict.fromkeys(image for image in stated if image[0] in named))

    def number_of_images(self) -> int:
        """Return how many records there are; a file that cannot be opened counts nothing."""
        total = 0
        for shard in self.shards:
            with suppress(RuntimeError):  # checking the shard will say so
                total += number_of_records(self.folder / shard.file)
        return total

    def own(self) -> dict[str, Any]:
        """Return the digests of what was imported."""
        digests = {"table": self.table, "distorted": self.distorted}
        if self.score_tolerance is None:
            return digests
        return digests | {"score_tolerance": self.score_tolerance}

    @staticmethod
    def own_fields(plan: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that only this origin has, from a manifest's plan.

        Raises:
            KeyError: it lacks a digest.
        """
        return {
            "table": plan["table"],
            "distorted": plan["distorted"],
            "score_tolerance": plan.get("score_tolerance"),
        }


ORIGINS: Mapping[str, type[Generated] | type[Imported]] = {
    "kadis": Generated,
    "kadid": Generated,
    PUBLISHED: Imported,
}
"""The origin that each recipe in a manifest stands for."""
