"""Distorted pictures and their references, paired by their names.

Names are compared without regard to case, suffix and Unicode's composed or decomposed spelling,
sub-folders included. A distorted picture belongs to the first of these that is a reference:

1. the name before KADID's ending _TT_LL, two digits each for type and level (or KADIS-700k's word
   for the type), or before TID2013's _tt_l, with one digit for the level;
2. the name itself;
3. the name before any other underscore: REFERENCE_VERSION.

photo_01_05.png is thus photo.png by type 01 at level 05, and a version of photo_01.png where there
is no photo.png. References whose names differ in nothing but suffix or case keep the suffix in the
names of their versions, as `deepfl distort` writes them; there the exact spelling decides.

A name that one rule reads as a version of several references is refused, and so is one that the
first two rules read as versions of different references.

The folders may be one, or one within the other. A file is never a version of itself, and a picture
that would be both a version and the reference of another is refused.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mtl.kadis.names import SHORT_NAMES, exported_stems
from mtl.runtime.files import InputError
from mtl.runtime.pictures import list_pictures
from mtl.runtime.tables.finder import RealPaths, folded

_ENDING = re.compile(
    rf"(.+)_(?:(?:[0-9]{{2}}|{'|'.join(SHORT_NAMES)})_[0-9]{{2}}|[0-9]{{2}}_[0-9])",
    re.DOTALL | re.IGNORECASE,
)

_TABLE = "give a CSV file with the columns reference,distorted"


@dataclass(frozen=True)
class Pairing:
    """Names of two folders' pictures, paired; all are relative to their folder."""

    versions: Mapping[str, Sequence[str]]
    """Distorted pictures by reference, sorted."""
    lone_references: Sequence[str]
    """References without a distorted picture."""
    lone_distorted: Sequence[str]
    """Distorted pictures without a reference, those aside that are references themselves."""


def pair_names(
    references: Path, distorted: Path, tell: Callable[[str], None] | None = None
) -> Pairing:
    """Pair the pictures of two folders by the rule at the top of this module.

    Args:
        references: folder of pristine pictures.
        distorted: folder of their versions.
        tell: called with a line for each kind of file that folders' pictures are without.

    Raises:
        InputError: a folder is missing or empty, nothing belongs together, a picture may belong to
            two references, or be a reference as well as a version.
    """
    names, versions_names = list_pictures(references, tell), list_pictures(distorted, tell)
    stems, files = _Stems(names), RealPaths()
    own: dict[str, list[str]] = {}
    for name in names:
        own.setdefault(files.real(references / name), []).append(name)
    versions: dict[str, list[str]] = {}
    scored: dict[str, str] = {}
    lone = []
    for name in versions_names:
        real = files.real(distorted / name)
        found = stems.references_of(name, own.get(real, ()))
        if len(found) > 1:
            raise InputError(
                f"{distorted / name}: may be a version of {found[0]} or of {found[1]} in"
                f" {references}; rename one, or {_TABLE}"
            )
        if found:
            versions.setdefault(found[0], []).append(name)
            scored[real] = found[0]
        elif real not in own or (distorted / name).is_symlink():
            lone.append(name)  # else it is a reference, and counted as that
    if not versions:
        raise InputError(
            f"{distorted}: no name belongs to a picture of {references}; name distorted pictures"
            " like their reference or REFERENCE_VERSION.png, in the same sub-folders, or"
            f" {_TABLE}"
        )
    unused = []
    for name in names:
        reference = scored.get(files.real(references / name))
        if reference is not None and name in versions:
            raise InputError(
                f"{references / name}: may be a version of {reference} or the reference of"
                f" {versions[name][0]}; put references and distorted pictures into two folders,"
                f" or {_TABLE}"
            )
        if reference is None and name not in versions:
            unused.append(name)
    return Pairing(dict(sorted(versions.items())), unused, lone)


class _Stems:
    """References by the names that their versions begin with."""

    def __init__(self, names: Sequence[str]):
        stems = exported_stems(names)
        self._exact = {stem: name for name, stem in stems.items()}
        self._exported = _by_key({name: [stem] for name, stem in stems.items()})
        self._written = _by_key({name: [_stem(name), name] for name in names})

    def references_of(self, name: str, own: Collection[str]) -> list[str]:
        """Return the references that a distorted picture may be a version of, by the rules above.

        Args:
            name: the distorted picture's.
            own: references that are the same file.
        """
        stem = _stem(name)
        ending = _ENDING.fullmatch(stem)
        found = [*(self._named(ending[1]) if ending else []), *self._named(stem)]
        if not set(found) - set(own):
            folder, slash, last = stem.rpartition("/")
            cuts = [at for at, sign in enumerate(last) if sign == "_" and at > 0]
            found = [each for at in cuts for each in self._named(f"{folder}{slash}{last[:at]}")]
        return [each for each in dict.fromkeys(found) if each not in own]

    def _named(self, beginning: str) -> list[str]:
        """Return the references that a name without its ending is that of."""
        if beginning in self._exact:
            return [self._exact[beginning]]
        key = folded(beginning)
        return self._exported.get(key) or self._written.get(key, [])


def _by_key(keys: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, each in keys.items():
        for key in dict.fromkeys(map(folded, each)):
            found.setdefault(key, []).append(name)
    return found


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
