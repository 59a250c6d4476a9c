"""Checks a KADIS data set: files, checksums, records, split, equalisation, and a sample made again.

Every record is decoded and held against the manifest; nothing is written. Prints a summary; with
anything wrong, what it is, in which shard and what to do, and ends with code 1.

Example, with the data set that `deepfl demo` makes:
    deepfl verify deepfl-demo/kadis
"""

from collections.abc import Sequence

from deepfl.command_line import parse
from deepfl.console import FAILURE
from mtl.kadis.verification.verify import Check, Verification, VerifyConfig, verify

SHOWN = 20  # problems that are printed; usually they have few causes


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    config = parse(
        VerifyConfig,
        arguments,
        program="deepfl verify",
        description=__doc__ or "",
        positional=("data",),
    )
    found = verify(config, progress=True)
    print("\n".join(summary(found)))
    return FAILURE if found.problems else 0


def summary(found: Verification) -> list[str]:
    """What a person wants to know: a table of the checks, the problems, the verdict."""
    name = max(len(check.name) for check in found.checks)
    what = max(len(check.what) for check in found.checks)
    lines = [
        f"{check.name:<{name}}  {check.what:<{what}}  {_result(check)}" for check in found.checks
    ]
    lines += [f"note: {note}" for note in found.notes]
    lines += [str(problem) for problem in found.problems[:SHOWN]]
    hidden = len(found.problems) - SHOWN
    if hidden > 0:
        lines.append(f"and {hidden} more problems")
    verdict = f"PROBLEMS: {len(found.problems)}, see above" if found.problems else "nothing wrong"
    return [*lines, f"{found.data}: {found.images:,} images; {verdict}"]


def _result(check: Check) -> str:
    if check.wrong is None:
        return "not checked"
    return f"{check.wrong} WRONG" if check.wrong else "ok"
