"""The manifest of a data set: what was planned, what was left out, and whether it is complete."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from distortions import DISTORTIONS
from fr_metrics import METRICS
from mtl.kadis import MANIFEST
from mtl.kadis.origins import CONTENTS, ORIGINS, PHOTOGRAPHS, DataSetPlan
from mtl.kadis.recipes import LEVELS, validation_references
from mtl.kadis.records import Store
from mtl.kadis.shards import AGAIN, Shard
from mtl.runtime import claims
from mtl.runtime.claims import Identity
from mtl.runtime.files import InputError, json_text
from mtl.runtime.pictures import Rejected

FORMAT = 2  # of manifest.json

ANOTHER = "make the data set anew, in another folder"


def claim(out: Path, planned: DataSetPlan) -> None:
    """Write the plan into `out`, or make sure that the plan there is this one.

    Raises:
        InputError: `out` holds something else, or a data set of another plan.
    """
    claims.claim(
        out,
        Identity(
            file=MANIFEST,
            kind="a data set",
            value={"format": FORMAT, "plan": planned.to_json()},
            text=manifest_text(planned, complete=False, rejected=planned.rejected),
            difference=_difference,
        ),
    )


def _difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Say in what the data set in a folder is not ours."""
    if theirs["format"] == FORMAT and theirs["plan"] == ours["plan"]:
        return ""
    how = _how_different(theirs["plan"], ours["plan"])
    return f"holds a data set of other photographs or settings ({how})"


def _how_different(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    if CONTENTS in ours and CONTENTS not in theirs:
        return "it was begun by a version that did not note what the pictures hold"
    for name in (PHOTOGRAPHS, CONTENTS):
        changed = theirs.get(name, {}).items() ^ ours.get(name, {}).items()
        if changed:
            return f"{min(photograph for photograph, _ in changed)} has come, gone or changed"
    names = sorted(name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name))
    return f"another {', '.join(names)}" if names else "another format"


def manifest_text(planned: DataSetPlan, *, complete: bool, rejected: Sequence[Rejected]) -> str:
    """The manifest as JSON; without times or places, so that it depends on the plan alone."""
    manifest = {
        "format": FORMAT,
        "complete": complete,
        "plan": planned.to_json(),
        "rejected": [asdict(r) for r in sorted(rejected, key=lambda r: r.file)],
    }
    return json_text(manifest)


def read_manifest(data: Path) -> dict[str, Any]:
    """The manifest of a finished data set.

    Raises:
        InputError: `data` is not a data set, or making it has not ended.
    """
    path = data / MANIFEST
    if not data.is_dir() or not path.is_file():
        raise InputError(
            f"{data}: is not a data set ({MANIFEST} is missing); give a folder that"
            " `deepfl generate` or `deepfl import-scores` wrote"
        )
    try:
        manifest = json.loads(path.read_text())
        complete, form = manifest["complete"], manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is damaged; {AGAIN}, in another folder") from error
    if form != FORMAT:
        raise InputError(f"{path}: has format {form}, this version reads {FORMAT}")
    if not complete:
        raise InputError(f"{data}: is unfinished; run the command that began it again")
    return manifest


def plan_digest(plan: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest's plan, by which a run knows its data set wherever that is."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def read_plan(data: Path) -> DataSetPlan:
    """Return the plan of a finished data set, of whichever origin it is.

    Raises:
        InputError: `data` is not a data set, making it has not ended, or its plan makes no sense.
    """
    manifest = read_manifest(data)
    try:
        planned = _plan_of(data, manifest)
        _check_sense(planned, manifest["plan"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{data / MANIFEST}: is damaged ({error}); {ANOTHER}") from error
    return planned


def _plan_of(data: Path, manifest: Mapping[str, Any]) -> DataSetPlan:
    plan = manifest["plan"]
    origin = ORIGINS.get(plan["recipe"])
    if origin is None:
        raise ValueError(f"it has the unknown recipe {plan['recipe']}")
    return origin(
        folder=data,
        recipe=plan["recipe"],
        types=tuple(plan["types"]),
        types_per_reference=plan["types_per_reference"],
        levels=tuple(plan["levels"]),
        size=tuple(plan["size"]),
        metrics=tuple(plan["metrics"]),
        validation=plan["validation"],
        seed=plan["seed"],
        store=plan["store"],
        license=plan["license"],
        sizes=plan[PHOTOGRAPHS],
        contents=plan.get(CONTENTS, {}),
        shards=tuple(
            Shard(s["index"], s["split"], s["file"], tuple(s["references"])) for s in plan["shards"]
        ),
        rejected=tuple(Rejected(**one) for one in manifest["rejected"]),
        **origin.own_fields(plan),
    )


def _check_sense(planned: DataSetPlan, plan: Mapping[str, Any]) -> None:
    """Raise ValueError, or what Python raises, where a plan cannot be that of a data set."""
    if not {*planned.contents} <= {*planned.sizes}:
        raise ValueError("it has contents of other photographs")
    if not {*planned.types} <= {*DISTORTIONS} or not {*planned.metrics} <= {*METRICS}:
        raise ValueError("it has unknown types or metrics")
    if planned.to_json() != plan or planned.store not in get_args(Store):
        raise ValueError("it has missing or unknown entries")
    if not ({*planned.levels} <= {*LEVELS} and planned.levels and planned.metrics):
        raise ValueError("it has unknown levels or no scores")
    if not 0 <= planned.validation < 1:
        raise ValueError("its split makes no sense")
    if not (planned.shards and all(shard.references for shard in planned.shards)):
        raise ValueError("it has empty shards")
    # What the checks rest on can be computed.
    planned.versions(planned.shards[0].references[0])
    planned.features.to_json()
    validation_references(list(planned.sizes), planned.validation, planned.seed)
