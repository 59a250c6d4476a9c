"""Distorted pictures and their references, paired by their names.

Names are compared without regard to case and suffix, sub-folders included. A distorted picture
belongs to the first of these that is a reference:

1. the name before KADID's ending _TT_LL, two digits each for type and level (or KADIS-700k's word
   for the type), or before TID2013's _tt_l, with one digit for the level;
2. the name itself;
3. the name before any other underscore: REFERENCE_VERSION.

photo_01_05.png is thus photo.png by type 01 at level 05, and a version of photo_01.png where there
is no photo.png. References whose names differ in nothing but suffix or case keep the suffix in the
names of their versions, as `deepfl distort` writes them. A name that one rule reads as a version of
several references is refused.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mtl.files import InputError
from mtl.kadis.names import SHORT_NAMES, exported_stems
from mtl.pictures import list_pictures

_ENDING = re.compile(
    rf"(.+)_(?:(?:[0-9]{{2}}|{'|'.join(SHORT_NAMES)})_[0-9]{{2}}|[0-9]{{2}}_[0-9])",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True)
class Pairing:
    """Names of two folders' pictures, paired; all are relative to their folder."""

    versions: Mapping[str, Sequence[str]]
    """Distorted pictures by reference, sorted."""
    lone_references: Sequence[str]
    """References without a distorted picture."""
    lone_distorted: Sequence[str]
    """Distorted pictures without a reference."""


def pair_names(
    references: Path, distorted: Path, tell: Callable[[str], None] | None = None
) -> Pairing:
    """Pair the pictures of two folders by the rule at the top of this module.

    Args:
        references: folder of pristine pictures.
        distorted: folder of their versions.
        tell: called with a line for each kind of file that folders' pictures are without.

    Raises:
        InputError: a folder is missing or empty, nothing belongs together, or a picture may belong
            to two references.
    """
    names, versions_names = list_pictures(references, tell), list_pictures(distorted, tell)
    stems = _Stems(names)
    versions: dict[str, list[str]] = {}
    lone = []
    for name in versions_names:
        found = stems.references_of(name)
        if len(found) > 1:
            raise InputError(
                f"{distorted / name}: may be a version of {found[0]} or of {found[1]} in"
                f" {references}; rename one, or give a CSV file with the columns"
                " reference,distorted"
            )
        if found:
            versions.setdefault(found[0], []).append(name)
        else:
            lone.append(name)
    if not versions:
        raise InputError(
            f"{distorted}: no name belongs to a picture of {references}; name distorted pictures"
            " like their reference, or REFERENCE_VERSION.png"
        )
    used = set(versions)
    if references.resolve() == distorted.resolve():  # as in KADID-10k's folder of all pictures
        used |= {name for each in versions.values() for name in each}
    return Pairing(
        dict(sorted(versions.items())), [name for name in names if name not in used], lone
    )


class _Stems:
    """References by the names that their versions begin with."""

    def __init__(self, names: Sequence[str]):
        self._exported = _by_key({name: [stem] for name, stem in exported_stems(names).items()})
        self._written = _by_key({name: [_stem(name), name] for name in names})

    def references_of(self, name: str) -> list[str]:
        """Return the references that a distorted picture may be a version of, by the first rule
        that knows one."""
        stem = _stem(name)
        ending = _ENDING.fullmatch(stem)
        for beginning in ([ending[1]] if ending else [], [stem]):
            for each in beginning:
                if found := self._named(each):
                    return found
        folder, slash, last = stem.rpartition("/")
        cuts = [at for at, sign in enumerate(last) if sign == "_" and at > 0]
        several = [self._named(f"{folder}{slash}{last[:at]}") for at in cuts]
        return list(dict.fromkeys(found for each in several for found in each))

    def _named(self, beginning: str) -> list[str]:
        """Return the references that a name without its ending is that of."""
        key = beginning.casefold()
        return self._exported.get(key) or self._written.get(key, [])


def _by_key(keys: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, each in keys.items():
        for key in dict.fromkeys(k.casefold() for k in each):
            found.setdefault(key, []).append(name)
    return found


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
