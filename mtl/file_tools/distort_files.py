"""Distorted versions of picture files, as PNG files.

In a folder of versions each file says, in a text chunk, what it was made from: a digest of the
photograph's content, type, level, seed and program. So a stopped run continues, what was made from
another photograph or with another seed is made again, and files of others are safe.
"""

import errno
import hashlib
import struct
import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import distortions
from distortions import distort
from mtl.kadis.names import exported_stems, parse_version, version_name
from mtl.kadis.recipes import named_seed
from mtl.runtime import pictures
from mtl.runtime.contents import UNREADABLE, content_digests, digest_each, digest_of, program_digest
from mtl.runtime.file_names import too_long
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.paths.apart import check_apart, names_apart
from mtl.runtime.paths.folders import contents
from mtl.runtime.pictures import Rejected, encode_png, list_pictures, read_picture
from mtl.runtime.progress import progress_bar, say

# The text chunk of a PNG file (W3C PNG specification, sections 5.3 and 11.3.3.2): length, type,
# keyword, a zero byte, two digests with a space between, and a checksum.
KEYWORD = b"deepfl distort"
TEXT_LENGTH = 64 + 1 + 64
CHUNK_LENGTH = 4 + 4 + len(KEYWORD) + 1 + TEXT_LENGTH + 4
HEADER_LENGTH = 8 + 25  # of the signature and the first chunk

SHOWN = 3  # files in a line

FOREIGN = "foreign"  # in the place of a digest: the file was not written here


def distort_file(photo: Path, out: Path, distortion: int, level: int, seed: int) -> None:
    """Write one distorted version of one picture to `out` as PNG.

    Raises:
        InputError: the picture cannot be read, or `out` does not end in .png.
    """
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: the result is lossless; give a name that ends in .png")
    write_atomically(out, encode_png(distort(read_picture(photo), distortion, level, seed=seed)))


@dataclass(frozen=True)
class _Version:
    """One distorted version of a photograph, planned."""

    file: str
    distortion: int
    level: int
    seed: int
    made_from: str


@dataclass(frozen=True)
class _Source:
    """Photographs and a seed, from which all versions follow."""

    stems: Mapping[str, str]
    """What each photograph is called in the versions' names."""
    contents: Mapping[str, str]
    """SHA-256 of each photograph's file."""
    seed: int
    program: str
    """Digest of the program that distorts."""

    @classmethod
    def of(cls, photos: Path, names: Sequence[str], seed: int, *, progress: bool) -> "_Source":
        """Digest the photographs of a folder."""
        found = content_digests([photos / name for name in names], progress=progress)
        program = program_digest(distortions, pictures)
        return cls(exported_stems(names), dict(zip(names, found, strict=True)), seed, program)

    def version(self, name: str, distortion: int, level: int) -> _Version:
        """Return one version of a photograph, with a digest of what it is made from."""
        own = named_seed(self.seed, name, distortion, level)
        made_from = digest_of(self.program, self.contents[name], distortion, level, own)
        file = version_name(self.stems[name], distortion, level)
        return _Version(file, distortion, level, own, made_from)


def distort_folder(
    photos: Path,
    out: Path,
    types: Sequence[int],
    levels: Sequence[int],
    seed: int,
    *,
    progress: bool = False,
) -> tuple[int, list[Rejected]]:
    """Write NAME_TYPE_LEVEL.png (KADID's scheme) for each picture, type and level.

    Pictures whose names differ in their suffix alone keep it, as `exported_stems` says. Sub-folders
    are kept. Versions that are there already, of the same pictures and seed, are left as they are,
    so a stopped run continues. Noise and positions are seeded by the picture's name, the type and
    the level.

    Returns:
        How many files are there now, and the pictures that could not be used.

    Raises:
        InputError: the folder is missing or empty, none of its pictures can be read, `out` is in it
            or around it, or `out` holds a file of such a name that this function did not write.
    """
    check_apart(photos, out)
    tell = say if progress else None
    names = names_apart(photos, list_pictures(photos, tell), out, tell)
    source = _Source.of(photos, names, seed, progress=progress)
    planned = {
        name: [source.version(name, t, level) for t in types for level in levels] for name in names
    }
    rejected: list[Rejected] = []
    for name, versions in list(planned.items()):
        reason = too_long(versions[0].file)  # all are as long
        if reason is not None:
            rejected.append(Rejected(name, f"{photos / name}: {reason}"))
            del planned[name]
    found = _stamps(out, [v for versions in planned.values() for v in versions], progress)
    if tell is not None:
        wanted = {version.file for versions in planned.values() for version in versions}
        for line in _others(out, source, wanted):
            tell(line)
    there = again = stale = 0
    total = sum(map(len, planned.values()))
    with progress_bar(total, "distort", "img", show=progress) as bar:
        for name, versions in planned.items():
            missing = [v for v in versions if found.get(v.file) != v.made_from]
            try:
                image = read_picture(photos / name) if missing else None
            except InputError as error:
                rejected.append(Rejected(name, str(error)))
                stale += sum(version.file in found for version in missing)
                bar.update(len(versions))
                continue
            for version in missing:
                assert image is not None
                distorted = distort(image, version.distortion, version.level, seed=version.seed)
                again += version.file in found
                png = encode_png(distorted)
                write_atomically(out / version.file, _stamped(png, version.made_from))
                bar.update()
            bar.update(len(versions) - len(missing))
            there += len(versions)
    if not there:
        raise InputError(
            f"{photos}: none of its {len(names)} pictures can be read; the first,"
            f" {rejected[0].reason}"
        )
    if again:
        say(f"{out}: {again} versions were made again, from other pictures or seeds", show=progress)
    if stale:
        say(
            f"{out}: {stale} versions are of photographs as they were, which are left out now",
            show=progress,
        )
    return there, rejected


def _others(out: Path, source: _Source, wanted: Container[str]) -> Iterator[str]:
    """Yield a line for each kind of version in a folder that a new one would not hold.

    Versions of other types and levels are held by it too, if they are made as `source` says.
    """
    names = {stem: name for name, stem in source.stems.items()}
    gone, stale = [], []
    for file in contents(out).files if out.is_dir() else ():
        if file in wanted or not _is_stamped(out / file):
            continue
        try:
            stem, distortion, level = parse_version(file)
        except ValueError:  # renamed by the user
            continue
        if stem not in names:
            gone.append(file)
        elif _made_from(out / file) != source.version(names[stem], distortion, level).made_from:
            stale.append(file)
    if gone:
        yield (
            f"{out}: {_versions(gone)} of no photograph that is there under this name now"
            f" ({_some(gone)}); delete what is not wanted, or choose another --out"
        )
    if stale:
        yield (
            f"{out}: {_versions(stale)} of other types or levels, of other photographs or with"
            f" another seed ({_some(stale)}); make them again or delete them"
        )


def _versions(files: Sequence[str]) -> str:
    return f"{len(files)} versions are" if len(files) > 1 else "1 version is"


def _some(files: Sequence[str]) -> str:
    return " ".join(files[:SHOWN]) + (" ..." if len(files) > SHOWN else "")


def _stamped(png: bytes, made_from: str) -> bytes:
    """Return a PNG file with a text chunk: what it was made from, and its own digest without it."""
    text = f"{made_from} {hashlib.sha256(png).hexdigest()}".encode()
    body = b"tEXt" + KEYWORD + b"\0" + text
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:HEADER_LENGTH] + chunk + png[HEADER_LENGTH:]


def _stamp(data: bytes) -> str | None:
    """Return what a file of `_stamped` was made from; None if it is none, or was changed."""
    png = data[:HEADER_LENGTH] + data[HEADER_LENGTH + CHUNK_LENGTH :]
    made_from = data[HEADER_LENGTH + CHUNK_LENGTH - 4 - TEXT_LENGTH :][:64].decode("latin-1")
    return made_from if data == _stamped(png, made_from) else None


def _is_stamped(path: Path) -> bool:
    """Return whether a file has a text chunk of `_stamped`, whole or not."""
    return _head(path)[HEADER_LENGTH + 8 :].startswith(KEYWORD + b"\0")


def _made_from(path: Path) -> str:
    """Return what a file of `_stamped` says that it was made from."""
    return _head(path)[HEADER_LENGTH + CHUNK_LENGTH - 4 - TEXT_LENGTH :][:64].decode("latin-1")


def _head(path: Path) -> bytes:
    """Return the bytes down to the end of the text chunk; none of what cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(HEADER_LENGTH + CHUNK_LENGTH)
    except OSError:
        return b""


def _stamps(out: Path, versions: Sequence[_Version], progress: bool) -> dict[str, str]:
    """Return what the versions that are there were made from, by file.

    Raises:
        InputError: a file is there that was not written here, or was changed afterwards.
    """

    def stamp(version: _Version) -> str:
        path = out / version.file
        try:
            made_from = _stamp(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(f"{path}: no such file") from error
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise InputError(f"{path}: {error.strerror}") from error
            made_from = None
        return made_from or FOREIGN

    stamps = digest_each(versions, stamp, progress=progress)
    found = {
        version.file: made_from
        for version, made_from in zip(versions, stamps, strict=True)
        if made_from != UNREADABLE
    }
    for file, made_from in found.items():
        if made_from == FOREIGN:
            raise InputError(
                f"{out / file}: is in the way and was not written by this version of"
                " `deepfl distort`, or was changed since; move it or choose another --out"
            )
    return found
