"""Learn the matrix of the metric SFF from a folder of natural photographs.

The package ships what this wrote: copy sff_matrix.npy and sff_matrix.json to fr_metrics/data.

Example, a minute on one core:
    python -m scripts.learn_sff --photographs PHOTOS --out sff
"""

import sys
from collections.abc import Sequence

from mtl.files import InputError
from mtl.learn_sff import MATRIX_FILE, RECORD_FILE, LearnSffConfig, learn_sff
from mtl.progress import say
from scripts.command_line import parse


def main(arguments: Sequence[str]) -> None:
    """Run the script; a user's mistake ends it with one line and code 2."""
    config = parse(
        LearnSffConfig,
        arguments,
        program="python -m scripts.learn_sff",
        description=__doc__ or "",
    )
    try:
        record = learn_sff(config, progress=True)
    except InputError as error:
        say(f"learn_sff: {error}")
        sys.exit(2)
    comparison = record.get("compared_with_the_authors_matrix")
    if comparison:
        say(
            f"rank correlation {comparison['srocc']} with the scores of the other matrix over"
            f" {comparison['pairs']} pairs, largest difference {comparison['largest_difference']}"
        )
    say(f"{config.out}: {MATRIX_FILE} and {RECORD_FILE}")


if __name__ == "__main__":
    main(sys.argv[1:])
