"""A balanced set of photographs, as KonIQ-10k was chosen: from a folder to crops and tables.

H. Lin, V. Hosu, D. Saupe, "KonIQ-10k: an ecologically valid database for deep learning of blind
image quality assessment", IEEE Trans. Image Processing 29, 2020, doi:10.1109/TIP.2020.2967829:

1. Of photographs with tags, a share that fills a quota for each tag (`mlsp.choosing.tags`).
2. Those that cannot be used, and copies of others, are left out by `mtl.curation.curate`'s rules.
3. Seven scalar indicators are measured (`mlsp.choosing.indicators`); who has one more than 3
   standard deviations from the mean is left out (section 3.4.1).
4. Deep features of the rest are clustered: the content (`mlsp.choosing.content`).
5. K photographs and some to spare are chosen so that all histograms are as uniform as possible
   (`mlsp.choosing.selection`).
6. Of the closest pairs one is left out until K remain (`mlsp.choosing.near_duplicates`).

The folder holds what `deepfl curate` writes for the chosen, and:

- indicators.csv: a row per photograph that can be used, with its indicators, its cluster, whether
  it was chosen, and if not, why.
- histograms.png: all indicators before and after.
- choosing.json: settings, counts, the programme's value and bound, and per indicator how uniform
  its histogram is. It is begun first and completed last.
- measured/: what was measured, unless --measured puts it elsewhere.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from mlsp.choosing.content import content_clusters
from mlsp.choosing.indicators import CONTENT, INDICATORS
from mlsp.choosing.measuring import Measured, crop_settings, deep_features, measure
from mlsp.choosing.near_duplicates import unit_scaled, without_nearest
from mlsp.choosing.results import (
    BESIDE,
    MEASURED_FOLDER,
    Candidates,
    Chosen,
    claim_choice,
    indicator_rows,
    write_choice,
)
from mlsp.choosing.selection import equal_bins, select
from mlsp.choosing.settings import DiverseConfig, bins_of, check_diverse
from mlsp.choosing.tags import quota_for, quota_sample, read_tags
from mlsp.choosing.uniformity import uniformities
from mtl.curation.crops import duplicate_of, output_files
from mtl.curation.curate import Choice, curate
from mtl.curation.duplicates import KeptHashes
from mtl.network.weights import WEIGHTS_FILE, load_model
from mtl.runtime.extras import FIGURES, needs
from mtl.runtime.files import InputError, file_digest
from mtl.runtime.paths.apart import names_apart
from mtl.runtime.pictures import Rejected, list_pictures
from mtl.runtime.progress import progress_bar, say, stage

Z_LIMIT = 3.0  # KonIQ-10k, section 3.4.1


def curate_diverse(config: DiverseConfig, *, progress: bool = False) -> Chosen:
    """Choose photographs and make their crops, or what is missing of them.

    Raises:
        InputError: bad settings, too few usable photographs, or `out` holds something else.
        OSError: a file could not be written, or a worker died again and again; what was measured
            is kept.
    """
    needs("a balanced choice", "generate", "report", only=(*FIGURES, "ray"))
    number = check_diverse(config)
    tell = say if progress else None
    names = names_apart(config.photos, list_pictures(config.photos, tell), config.out, tell)
    settings = _settings(config)
    claim_choice(config.out, settings)
    folder = config.measured or config.out / MEASURED_FOLDER
    rejected: dict[str, str] = {}
    named = _named(names, rejected)
    if config.tags is not None:
        named = _tagged(config, config.tags, named, rejected, progress)
    usable = _usable(config, named, folder, rejected, progress)
    found = len(usable)
    values = np.array([[one.values[name] for name in INDICATORS] for one in usable])
    why = trimming(values.reshape(found, len(INDICATORS)))
    inside = np.array([not reason for reason in why], bool)
    kept = [one for one, stays in zip(usable, inside, strict=True) if stays]
    if not usable:
        first = min(rejected)
        raise InputError(
            f"{config.photos}: none of its {len(names)} photographs can be used; the first,"
            f" {first}: {rejected[first]}"
        )
    if len(kept) < number:
        raise InputError(
            f"{config.photos}: only {len(kept)} of its {len(names)} photographs can be chosen from"
            f" ({len(rejected)} are left out before, {found - len(kept)} have an extreme"
            f" indicator); give more photographs, a smaller --size, or --diverse {len(kept)} at"
            " most"
        )
    values = values[inside]
    bins = bins_of(config)
    clusters = config.clusters or bins
    features = deep_features(
        config, [one.name for one in kept], config.model, folder, progress=progress
    )
    with stage("cluster", show=progress):
        content = content_clusters(features, clusters, config.seed)
    binned = np.column_stack([*(equal_bins(column, bins) for column in values.T), content])
    constant = [len(np.unique(column)) == 1 for column in binned.T]
    for name, same in zip([*INDICATORS, CONTENT], constant, strict=True):
        if same:
            say(f"{name} is the same in all photographs and plays no part", show=progress)
    varying = ~np.array(constant)
    spare = min(len(kept), number + round(config.spare * number))
    with stage(f"choose {spare} of {len(kept)} photographs", show=progress):
        selection = select(binned[:, varying] if varying.any() else binned, spare)
        chosen = np.flatnonzero(selection.chosen)
        stay = without_nearest(unit_scaled(values[chosen]), content[chosen], number)
    final = np.zeros(len(kept), bool)
    final[chosen[stay]] = True
    candidates = Candidates(values, content, binned, selection.chosen, final)
    rows = indicator_rows(usable, why, candidates)
    left_out = {**rejected, **{row["photograph"]: row["reason"] for row in rows if row["reason"]}}
    choice = Choice(
        tuple(row["photograph"] for row in rows if row["chosen"]),
        tuple(Rejected(name, reason) for name, reason in sorted(left_out.items())),
        BESIDE,
    )
    curation = curate(config, choice, progress=progress)
    result = Chosen(
        curation=curation,
        photographs=len(names),
        usable=found,
        trimmed=found - len(kept),
        selected=int(selection.chosen.sum()),
        value=round(selection.value, 6),
        bound=round(selection.bound, 6),
        gap=round(selection.gap, 6),
        constant=tuple(n for n, s in zip([*INDICATORS, CONTENT], constant, strict=True) if s),
        uniformity=uniformities(binned, bins, final),
    )
    write_choice(config.out, settings, result, rows, candidates)
    return result


def _settings(config: DiverseConfig) -> dict[str, Any]:
    """All that decides the choice, nothing of this machine."""
    number = config.diverse or 0
    bins = bins_of(config)
    return {
        "diverse": number,
        **crop_settings(config),
        "duplicate-distance": config.duplicate_distance,
        "bins": bins,
        "clusters": config.clusters or bins,
        "spare": config.spare,
        "tags": None if config.tags is None else hashlib.sha256(_bytes(config.tags)).hexdigest(),
        "quota": config.quota,
        "candidates": config.candidates,
        "model": file_digest(load_model(config.model).folder / WEIGHTS_FILE),
        "seed": config.seed,
    }


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); give a CSV file of tags") from error


def _named(names: Sequence[str], rejected: dict[str, str]) -> list[str]:
    """Photographs whose crops can have a file."""
    for name, file in output_files(names).items():
        if isinstance(file, Rejected):
            rejected[name] = file.reason
    return [name for name in names if name not in rejected]


def _tagged(
    config: DiverseConfig,
    table: Path,
    names: Sequence[str],
    rejected: dict[str, str],
    progress: bool,
) -> list[str]:
    """Photographs that fill the quota of each tag."""
    known = read_tags(table)
    tags = {name: known[name] for name in names if name in known}
    if not any(tags.values()):
        raise InputError(f"{table}: names no tag of a photograph in {config.photos}")
    quota = config.quota or quota_for(tags, config.candidates or len(tags))
    taken = set(quota_sample(tags, quota, config.candidates))
    for name in names:
        if name not in known:
            rejected[name] = f"is not in {table.name}"
        elif name not in taken:
            rejected[name] = f"its tags have their quota of {quota} photographs"
    say(f"tags: {len(taken)} of {len(names)} photographs, quota {quota}", show=progress)
    return [name for name in names if name in taken]


def _usable(
    config: DiverseConfig,
    names: Sequence[str],
    folder: Path,
    rejected: dict[str, str],
    progress: bool,
) -> list[Measured]:
    """Photographs that can be measured and are not copies of one before."""
    results = measure(config, names, folder, progress=progress)
    hashes = KeptHashes(len(names))
    usable = []
    with progress_bar(len(results), "copies", "img", show=progress) as bar:
        for one in results:
            bar.update()
            if isinstance(one, Rejected):
                rejected[one.file] = one.reason
                continue
            reason = duplicate_of(config, one.hash, hashes)
            if reason is not None:
                rejected[one.name] = reason
                continue
            hashes.add(one.name, one.hash)
            usable.append(one)
    return usable


def trimming(values: Float[np.ndarray, "n d"]) -> list[str]:
    """Why a photograph has an extreme indicator, or nothing, in one pass over all of them.

    Extreme is one whose difference from the mean is larger than 3 standard deviations (of the
    sample, n - 1).
    """
    if len(values) < 2:
        return [""] * len(values)
    spread = np.where(np.ptp(values, axis=0) > 0, values.std(axis=0, ddof=1), np.inf)
    scores = (values - values.mean(axis=0)) / spread
    names = list(INDICATORS)
    reasons = []
    for row in scores:
        worst = int(np.abs(row).argmax())
        extreme = abs(row[worst]) > Z_LIMIT
        reasons.append(
            f"{names[worst]} is {row[worst]:+.2f} standard deviations from the mean"
            if extreme
            else ""
        )
    return reasons
