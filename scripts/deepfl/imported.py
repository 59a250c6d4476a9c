"""Tell what an import made, and what to do with it."""

from mtl.network.imports.imported import Imported
from mtl.network.scalings import SCALINGS
from mtl.runtime.progress import say

SHOWN = 5  # layers left out that are named
LONGEST = 40  # characters of a name


def tell_imported(model: Imported, init: str) -> None:
    """Say what was imported, and the commands that come next.

    Args:
        model: what was imported.
        init: what `--init` of `deepfl train` takes for it, and options that go with that.
    """
    if model.left_out:
        named = ", ".join(map(_shown, model.left_out[:SHOWN]))
        more = ", ..." if len(model.left_out) > SHOWN else ""
        number = len(model.left_out)
        layers = "1 layer that is" if number == 1 else f"{number} layers that are"
        say(f"left out: {layers} not of the body ({named}{more})")
    formula = SCALINGS[model.scaling].formula
    say(f"{model.out}: {model.source}; pixels as {formula}, since {model.because}")
    say(f"next: deepfl extract PICTURES --model {model.out} --out features")
    say(f"or:   deepfl train --data KADIS --init {init} --out run")


def _shown(name: str) -> str:
    """Return a name out of a file, without what would move the cursor or fill the screen."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name[:LONGEST])
    return text if len(name) <= LONGEST else f"{text}..."
