"""The `deepfl` program: finds the command's module and turns a user's mistakes into one line."""

import importlib
import os
import sys
from collections.abc import Sequence

import deepfl
from deepfl.console import FAILURE, INTERRUPTED, USAGE_ERROR, accept_any_name, one_line

# Command, what it does. The module deepfl.commands.COMMAND, underscores for hyphens, has
# `main(arguments)`, which returns the exit code or None.
COMMANDS = {
    "demo": "the whole pipeline on ten sample photographs, with a report",
    "distort": "distorted versions of a photograph or a folder, or a contact sheet",
    "score": "full-reference scores of distorted pictures",
    "curate": "pristine crops of one size from a folder of photographs",
    "generate": "a scored KADIS data set from a folder of photographs",
    "export": "scores and pictures of a data set as KADIS-700k publishes its own",
    "import-scores": "a data set from published scores and their pictures",
    "verify": "checks a data set: files, records, split, scores",
    "import-keras": "a model from Keras' ImageNet weights or from the paper's published body",
    "import-weights": "a model from ImageNet weights of pip's, or from a file of PyTorch or Caffe",
    "ratings": "scores of pictures from raw ratings: screening of raters, reliability",
    "train": "multi-task training of a network on a data set",
    "extract": "MLSP features of pictures",
    "benchmark": "train and test regressors on rated pictures: your own, or a public database",
    "compare-schemes": "the paper's four learning schemes on rated pictures",
    "compare-tasks": "multi-task against single-task training, on rated pictures",
    "compare-networks": "networks fine-tuned alike on rated pictures: accuracy, size and time",
    "finetune": "end-to-end training on your own rated pictures",
    "conditions": "teaches a model to name distortions, for `deepfl predict --explain`",
    "predict": "the quality of pictures",
    "report": "one page that tells the story of a run: data, training, benchmarks, worst errors",
}

# The extras whose libraries a command cannot do without. Some options of the others need one, too,
# such as the contact sheet of `distort`, and say so themselves.
NEEDS = {
    "demo": ("databases", "generate", "report", "train"),
    "generate": ("generate",),
    "export": ("generate",),
    "import-scores": ("generate",),
    "verify": ("generate",),
    "ratings": ("databases",),
    "train": ("train",),
    "benchmark": ("databases",),
    "compare-schemes": ("databases", "train"),
    "compare-tasks": ("databases", "train"),
    "compare-networks": ("databases", "train"),
    "finetune": ("train",),
    "conditions": ("generate",),
    "report": ("report",),
}


def overview() -> str:
    """The text of `deepfl --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}} {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: deepfl COMMAND ...",
            "",
            "Weakly supervised image-quality distillation: from photographs to a quality score.",
            "",
            *lines,
            "",
            "`deepfl COMMAND --help` explains a command with an example. Begin with: deepfl demo",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    accept_any_name()
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        print(f"deepfl {deepfl.__version__}")
        return 0
    command, *rest = arguments
    if command not in COMMANDS:
        print(
            f"deepfl: {command!r} is not a command; choose one of {', '.join(COMMANDS)}",
            file=sys.stderr,
        )
        return USAGE_ERROR
    return _run(command, rest)


def _run(command: str, arguments: list[str]) -> int:
    # Set before the libraries are loaded: their notices are not for the user of a command.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from mtl.runtime.extras import needs
    from mtl.runtime.files import InputError

    try:
        needs("this command", *NEEDS.get(command, ()))
        module = importlib.import_module(f"deepfl.commands.{command.replace('-', '_')}")
        return module.main(arguments) or 0
    except InputError as error:
        print(f"deepfl {command}: {one_line(error)}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print(
            f"\ndeepfl {command}: interrupted; run the same command again to finish",
            file=sys.stderr,
        )
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except (OSError, FloatingPointError) as error:
        print(f"deepfl {command}: {one_line(error)}", file=sys.stderr)
        return FAILURE
