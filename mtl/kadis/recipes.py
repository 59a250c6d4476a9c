"""Which versions of which photograph a data set holds, decided from names and a seed.

KADIS-700k gives each photograph one randomly drawn distortion type at all five levels; KADID-10k
gives each all types at all levels (arXiv:2001.08113, section III-A). Nothing here depends on the
order of the photographs, on the number of workers, or on a counter: every draw is seeded by a hash
of the seed and the names involved.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distortions import DISTORTIONS
from mtl.runtime.files import InputError

LEVELS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Version:
    """One distorted version of a reference: what `distortions.distort` needs beside the pixels."""

    distortion: int
    level: int
    seed: int


def chosen_types(names: Sequence[str]) -> tuple[int, ...]:
    """Ids of distortions given by name or id, ascending; all of them when none is given.

    Raises:
        InputError: one is not known.
    """
    by_name = {d.name: i for i, d in DISTORTIONS.items()}
    chosen = set()
    for name in names:
        identity = int(name) if name.isdecimal() else by_name.get(name)
        if identity not in DISTORTIONS:
            known = " ".join(f"{i}:{d.name}" for i, d in DISTORTIONS.items())
            raise InputError(f"{name}: is not a distortion; known are {known}")
        chosen.add(identity)
    return tuple(sorted(chosen)) or tuple(DISTORTIONS)


def chosen_levels(levels: Sequence[int]) -> tuple[int, ...]:
    """Levels ascending and once each; all five when none is given.

    Raises:
        InputError: one is not in 1..5.
    """
    for level in levels:
        if level not in LEVELS:
            raise InputError(f"level {level}: levels are 1 (mildest) to 5")
    return tuple(sorted(set(levels))) or LEVELS


def named_seed(seed: int, *names: object) -> int:
    """A 63-bit seed that depends on `seed` and on `names` alone (BLAKE2b)."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    return (
        int.from_bytes(
            hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest(), "big"
        )
        >> 1
    )


def plan_versions(
    reference: str, types: Sequence[int], levels: Sequence[int], number_of_types: int, seed: int
) -> list[Version]:
    """Versions of one reference: `number_of_types` types drawn without repetition, at all `levels`.

    Types and levels come in ascending order; drawing all types is the KADID recipe.
    """
    rng = np.random.default_rng(named_seed(seed, reference, "types"))
    drawn = sorted(int(t) for t in rng.choice(list(types), size=number_of_types, replace=False))
    return [
        Version(distortion, level, named_seed(seed, reference, distortion, level))
        for distortion in drawn
        for level in sorted(levels)
    ]


def validation_references(references: Sequence[str], fraction: float, seed: int) -> set[str]:
    """The references of the validation split: `fraction` of all, at least one when there are two.

    They are those with the smallest hashes, so a reference's versions are never on both sides.
    """
    number = round(fraction * len(references))
    if fraction > 0 and len(references) > 1:
        number = min(max(number, 1), len(references) - 1)
    ranked = sorted(references, key=lambda name: (named_seed(seed, name, "split"), name))
    return set(ranked[:number])


def split_references(references: Sequence[str], fraction: float, seed: int) -> dict[str, list[str]]:
    """The references of each split, in their order; see `validation_references`."""
    validation = validation_references(references, fraction, seed)
    return {
        "train": [name for name in references if name not in validation],
        "validation": [name for name in references if name in validation],
    }
