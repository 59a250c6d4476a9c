"""LIVE release 2, CSIQ, TID2008, TID2013 and KADID-10k: distorted versions of pristine pictures."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distortions import DISTORTIONS
from mlsp.databases.author_files import (
    AGAIN,
    Finder,
    mat_numbers,
    mat_strings,
    number,
    read_lines,
    read_mat,
    same_number,
    spread,
)
from mlsp.databases.database import Database
from mlsp.databases.layouts import DATABASES
from mlsp.databases.spreadsheet import read_sheet
from mtl.ratings.rated import AS_PUBLISHED
from mtl.ratings.rating_scales import read_deviations
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table

# LIVE's folders in the order of its tables, and how many img%d.bmp each holds, copies of the
# references included: the readme.txt of the release.
LIVE_FOLDERS = (("jp2k", 227), ("jpeg", 233), ("wn", 174), ("gblur", 174), ("fastfading", 174))
LIVE_ENTRIES = sum(count for _, count in LIVE_FOLDERS)
LIVE_HIGHEST = 100.0  # of DMOS; the realigned ones may leave 0..100
NO_LIVE_DEVIATIONS = (
    "dmos_std holds standard errors of the realigned means, not deviations of single ratings"
)
NO_RAW_LIVE_DEVIATIONS = "dmos.mat holds no standard deviations"

# CSIQ's folder, and the type in a file's name, by the type in the workbook.
CSIQ_TYPES = {
    "noise": ("awgn", "AWGN"),
    "blur": ("blur", "BLUR"),
    "contrast": ("contrast", "contrast"),
    "fnoise": ("fnoise", "fnoise"),
    "jpeg": ("jpeg", "JPEG"),
    "jpeg 2000": ("jpeg2000", "jpeg2000"),
}
CSIQ_SHEET = "all_by_image"
CSIQ_COLUMNS = ("image", "dst_type", "dst_lev", "dmos_std", "dmos")
CSIQ_HIGHEST = 1.0  # of DMOS

TID_HIGHEST = 9.0  # of MOS

# A mean of 193/35 of whole numbers deviates by at least 0.50; mos_std.txt says 0.13 of it.
NO_TID_DEVIATIONS = (
    "mos_std.txt holds standard errors of the means, not deviations of single ratings"
)

# Table 1 of the TID2013 paper; the first 17 are TID2008's.
TID_TYPES = (
    "additive Gaussian noise",
    "additive noise in color components",
    "spatially correlated noise",
    "masked noise",
    "high frequency noise",
    "impulse noise",
    "quantization noise",
    "Gaussian blur",
    "image denoising",
    "JPEG compression",
    "JPEG2000 compression",
    "JPEG transmission errors",
    "JPEG2000 transmission errors",
    "non eccentricity pattern noise",
    "local block-wise distortions of different intensity",
    "mean shift",
    "contrast change",
    "change of color saturation",
    "multiplicative Gaussian noise",
    "comfort noise",
    "lossy compression of noisy images",
    "image color quantization with dither",
    "chromatic aberrations",
    "sparse sampling and reconstruction",
)
TID2008_TYPES, TID2008_LEVELS, TID2013_LEVELS = 17, 4, 5

# Of the picture, its reference and the deviation, in the two variants of the table.
KADID_COLUMNS = (("dist_img", "ref_img", "var"), ("dist_name", "ref_name", "std"))
KADID_LOWEST, KADID_HIGHEST = 1.0, 5.0

_TID_NAME = re.compile(r"(i\d\d)_(\d\d)_(\d)\.bmp", re.IGNORECASE)
_KADID_NAME = re.compile(r"(I\d\d)_(\d\d)_(\d\d)\.png", re.IGNORECASE)


def read_live(finder: Finder, table: Path) -> Database:
    """LIVE release 2, its 779 distorted pictures; the copies of references are left out.

    The realigned DMOS, made comparable between the sessions, are used where they are there. Their
    dmos_std are of the size of TID's standard errors. The amounts are continuous: there are no
    levels.
    """
    realigned = "realigned" in table.name
    score, deviation = ("dmos_new", ("dmos_std",)) if realigned else ("dmos", ())
    held = read_mat(table, (score, "orgs", *deviation))
    values = {name: mat_numbers(table, name, array) for name, array in held.items()}
    for name, array in values.items():
        same_number(table, f"entries of {name}", len(array), LIVE_ENTRIES)
    kept = np.flatnonzero(values["orgs"] == 0)
    pictures = [(folder, k) for folder, count in LIVE_FOLDERS for k in range(1, count + 1)]
    for folder, count in LIVE_FOLDERS:
        # Type and number tell a picture's score, so an exchanged folder would go unnoticed.
        if finder.find(f"{folder}/img{count + 1}.bmp") is not None:
            raise InputError(
                f"{finder.root / folder}: holds more pictures than LIVE's {count}; {AGAIN}"
            )
    references = _live_references(finder)
    original = values[score][kept]
    return Database(
        name="live",
        root=finder.root,
        names=tuple(f"{folder}/img{k}.bmp" for folder, k in (pictures[row] for row in kept)),
        scores=LIVE_HIGHEST - original,
        original=original,
        transformation="100 - DMOS" + (" (realigned)" if realigned else ""),
        lowest=0.0,
        highest=LIVE_HIGHEST,
        deviations=None,
        no_deviations=NO_LIVE_DEVIATIONS if realigned else NO_RAW_LIVE_DEVIATIONS,
        distributions=None,
        references=tuple(Path(references[row]).stem.casefold() for row in kept),
        reference_files=tuple(f"refimgs/{references[row]}" for row in kept),
        distortions=tuple(pictures[row][0] for row in kept),
        levels=(None,) * len(kept),
        sets=None,
    )


def _live_references(finder: Finder) -> list[str]:
    """The reference of all 982 entries: by refnames_all.mat, or by the info.txt of each folder."""
    if finder.find("refnames_all.mat") is not None:
        path = finder.path("refnames_all.mat")
        names = mat_strings(path, "refnames_all", read_mat(path, ["refnames_all"])["refnames_all"])
        same_number(path, "names of references", len(names), LIVE_ENTRIES)
        return names
    if finder.find(f"{LIVE_FOLDERS[0][0]}/info.txt") is None:
        raise InputError(
            f"{finder.root}: has neither refnames_all.mat nor {LIVE_FOLDERS[0][0]}/info.txt;"
            f" {AGAIN}"
        )
    found = []
    for folder, count in LIVE_FOLDERS:
        path = finder.path(f"{folder}/info.txt")
        by_name = {name.casefold(): ref for ref, name, _ in read_lines(path, fields=3)}
        for k in range(1, count + 1):
            if f"img{k}.bmp" not in by_name:
                raise InputError(f"{path}: does not name img{k}.bmp; {AGAIN}")
            found.append(by_name[f"img{k}.bmp"])
    return found


def read_csiq(finder: Finder, table: Path) -> Database:
    """CSIQ: 866 versions; not all of the files in dst_imgs were rated.

    dmos_std is that of single ratings: 0.12, as of 1600.AWGN.5, would as the standard error of the
    mean of 35 observers be a deviation of 0.7, more than a scale of 0..1 holds.
    """
    rows = read_sheet(table, CSIQ_SHEET)
    head = next(
        (k for k, row in enumerate(rows) if {"image", "dmos"} <= set(row.values())), len(rows)
    )
    columns = {value: column for column, value in rows[head].items()} if head < len(rows) else {}
    for name in CSIQ_COLUMNS:
        if name not in columns:
            raise InputError(f"{table}: sheet {CSIQ_SHEET} has no column {name}; {AGAIN}")
    names, pristine, types, levels, original, deviations = [], [], [], [], [], []
    for line, row in enumerate(rows[head + 1 :], 1):
        image, kind, level, deviation, dmos = (row.get(columns[name]) for name in CSIQ_COLUMNS)
        if image is None and dmos is None:
            continue
        where = f"sheet {CSIQ_SHEET}: row {line} below the header"
        if kind not in CSIQ_TYPES or image is None:
            raise InputError(f"{table}: {where}: unknown picture {image} {kind}; {AGAIN}")
        # One photograph is called 1600, which the sheet holds as a number.
        reference = image.strip() if isinstance(image, str) else f"{image:.0f}"
        folder, type_name = CSIQ_TYPES[str(kind)]
        amount = int(number(table, where, level))
        names.append(f"dst_imgs/{folder}/{reference}.{type_name}.{amount}.png")
        pristine.append(reference)
        types.append(folder)
        levels.append(amount)
        original.append(number(table, where, dmos))
        deviations.append(spread(table, f"{where}: dmos_std", deviation))
    return Database(
        name="csiq",
        root=finder.root,
        names=tuple(names),
        scores=CSIQ_HIGHEST - np.array(original),
        original=np.array(original),
        transformation="1 - DMOS",
        lowest=0.0,
        highest=CSIQ_HIGHEST,
        deviations=np.array(deviations),
        no_deviations="",
        distributions=None,
        references=tuple(name.casefold() for name in pristine),
        reference_files=tuple(f"src_imgs/{name}.png" for name in pristine),
        distortions=tuple(types),
        levels=tuple(levels),
        sets=None,
    )


def read_tid2008(finder: Finder, table: Path) -> Database:
    """TID2008: 25 references, 17 types, 4 levels."""
    return _read_tid("tid2008", finder, table)


def read_tid2013(finder: Finder, table: Path) -> Database:
    """TID2013: 25 references, 24 types, 5 levels."""
    return _read_tid("tid2013", finder, table)


def tid_edition(table: Path) -> str:
    """Which of the two a mos_with_names.txt belongs to: TID2013 alone has a fifth level."""
    last = max(int(name[3]) for name in _tid_names(table, read_lines(table, fields=2)))
    return "tid2013" if last > TID2008_LEVELS else "tid2008"


def _tid_names(table: Path, lines: list[list[str]]) -> list[re.Match[str]]:
    found = []
    for line, (_, name) in enumerate(lines, 1):
        match = _TID_NAME.fullmatch(name)
        if match is None or not 1 <= int(match[2]) <= len(TID_TYPES) or int(match[3]) < 1:
            raise InputError(f"{table}: line {line}: {name!r} is no picture of TID; {AGAIN}")
        found.append(match)
    return found


def _read_tid(edition: str, finder: Finder, table: Path) -> Database:
    lines = read_lines(table, fields=2)
    names = _tid_names(table, lines)
    most = (TID2008_TYPES, TID2008_LEVELS)
    if edition == "tid2013":
        most = (len(TID_TYPES), TID2013_LEVELS)
    for match in names:
        if int(match[2]) > most[0] or int(match[3]) > most[1]:
            title = DATABASES[edition].title
            raise InputError(f"{table}: {match[0]} is no picture of {title}; leave out --database")
    original = np.array([number(table, name, score) for score, name in lines])
    path = finder.path("mos_std.txt")
    # Not used, see NO_TID_DEVIATIONS; one that does not match tells of a damaged archive.
    errors = [spread(path, f"line {k}", v) for k, (v,) in enumerate(read_lines(path, 1), 1)]
    same_number(path, "standard deviations", len(errors), len(lines))
    return Database(
        name=edition,
        root=finder.root,
        names=tuple(f"distorted_images/{match[0]}" for match in names),
        scores=original.copy(),
        original=original,
        transformation=AS_PUBLISHED,
        lowest=0.0,
        highest=TID_HIGHEST,
        deviations=None,
        no_deviations=NO_TID_DEVIATIONS,
        distributions=None,
        references=tuple(match[1].upper() for match in names),
        reference_files=tuple(f"reference_images/{match[1].upper()}.BMP" for match in names),
        distortions=tuple(TID_TYPES[int(match[2]) - 1] for match in names),
        levels=tuple(int(match[3]) for match in names),
        sets=None,
    )


def is_kadid(header: Sequence[str]) -> bool:
    """Return whether a table has the columns of KADID-10k's, in either variant."""
    return any({*each, "dmos"} <= set(header) for each in KADID_COLUMNS)


def read_kadid(finder: Finder, table: Path) -> Database:
    """KADID-10k. What its table calls DMOS is 1 (very annoying) ... 5 (imperceptible).

    The column `var` of the distributed dmos.csv holds standard deviations: some of its values are
    above the largest variance that 30 ratings of 1..5 with their mean can have.
    """
    rows = read_table(table, ("dmos",))
    columns = next((each for each in KADID_COLUMNS if set(each) <= set(rows[0])), None)
    if columns is None:
        raise InputError(
            f"{table}: must hold dist_img, ref_img, dmos, var, or dist_name, ref_name, dmos, std;"
            f" {AGAIN}"
        )
    names, pristine, found, original = [], [], [], []
    for row in rows:
        name, reference = (row.text(column) for column in columns[:2])
        match = _KADID_NAME.fullmatch(name)
        if match is None or int(match[2]) not in DISTORTIONS:
            raise row.error(f"{name!r} is no picture of KADID-10k; {AGAIN}")
        if Path(reference).stem.casefold() != match[1].casefold():
            raise row.error(f"{name} is no version of {reference!r}; {AGAIN}")
        found.append(match)
        names.append(f"images/{name}")
        pristine.append(f"images/{reference}")
        original.append(row.number("dmos"))
    return Database(
        name="kadid10k",
        root=finder.root,
        names=tuple(names),
        scores=np.array(original),
        original=np.array(original),
        transformation=AS_PUBLISHED,
        lowest=KADID_LOWEST,
        highest=KADID_HIGHEST,
        deviations=read_deviations(rows, columns[2]),
        no_deviations="",
        distributions=None,
        references=tuple(match[1].upper() for match in found),
        reference_files=tuple(pristine),
        distortions=tuple(DISTORTIONS[int(match[2])].name for match in found),
        levels=tuple(int(match[3]) for match in found),
        sets=None,
    )
