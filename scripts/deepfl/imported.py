"""Tell what an import made, and what to do with it."""

from mtl.network.imports.imported import Imported
from mtl.network.scalings import SCALINGS
from mtl.runtime.progress import say

SHOWN = 5  # layers left out that are named


def tell_imported(model: Imported, init: str) -> None:
    """Say what was imported, and the commands that come next.

    Args:
        model: what was imported.
        init: what `--init` of `deepfl train` takes for it, and options that go with that.
    """
    if model.left_out:
        named = ", ".join(model.left_out[:SHOWN])
        more = ", ..." if len(model.left_out) > SHOWN else ""
        say(f"left out: {len(model.left_out)} layers that are not of the body ({named}{more})")
    formula = SCALINGS[model.scaling].formula
    say(f"{model.out}: {model.source}; pixels as {formula}, since {model.because}")
    say(f"next: deepfl extract PICTURES --model {model.out} --out features")
    say(f"or:   deepfl train --data KADIS --init {init} --out run")
