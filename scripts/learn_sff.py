"""Learn the matrix of the metric SFF from a folder of natural photographs.

The package ships what this wrote: copy sff_matrix.npy and sff_matrix.json to fr_metrics/data.

Example, a minute on one core:
    python -m scripts.learn_sff --photographs PHOTOS --out sff
"""

from collections.abc import Sequence

from deepfl.command_line import parse, run_script
from mtl.learn_sff import MATRIX_FILE, RECORD_FILE, LearnSffConfig, learn_sff
from mtl.runtime.progress import say


def main(arguments: Sequence[str]) -> None:
    """Run the learning."""
    config = parse(
        LearnSffConfig,
        arguments,
        program="python -m scripts.learn_sff",
        description=__doc__ or "",
    )
    record = learn_sff(config, progress=True)
    comparison = record.get("compared_with_the_authors_matrix")
    if comparison:
        say(
            f"rank correlation {comparison['srocc']} with the scores of the other matrix over"
            f" {comparison['pairs']} pairs, largest difference {comparison['largest_difference']}"
        )
    say(f"{config.out}: {MATRIX_FILE} and {RECORD_FILE}")


if __name__ == "__main__":
    run_script(main, "learn_sff")
