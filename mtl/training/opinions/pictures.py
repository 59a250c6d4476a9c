"""Check a run's rated pictures before it begins: damage, look-alikes, earlier use."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtl.evaluation.look_alikes import look_alikes, perceptual_hashes, remark_on_look_alikes
from mtl.evaluation.seen import SeenRatings, seen_pictures
from mtl.ratings.rated import VALIDATION
from mtl.runtime.files import InputError
from mtl.runtime.progress import say
from mtl.training.opinions.config import FinetuneConfig
from mtl.training.opinions.data import RatedData


def look_at_pictures(config: FinetuneConfig, data: RatedData, *, progress: bool = False) -> None:
    """Decode every picture once, so that a damaged one does not end the training later.

    Look-alikes in different parts, and a validation part that was drawn, are said.

    Raises:
        InputError: pictures cannot be decoded; all of them are named.
    """
    ratings, table = data.ratings, config.ratings
    files = [table.parent / name for name in ratings.names]
    hashes = perceptual_hashes(files, progress=progress)
    reasons = [each for each in hashes if isinstance(each, InputError)]
    for reason in reasons:
        say(str(reason), show=progress)
    if reasons:
        raise InputError(
            f"{reasons[0]}; {table} names {len(reasons)} damaged"
            f" {'picture' if len(reasons) == 1 else 'pictures'} of {len(files)}; replace them or"
            " remove their rows"
        )
    if ratings.sets is not None and VALIDATION not in ratings.sets:
        say(
            f"{table}: has no validation part; {len(data.split.validation)} training pictures"
            f" validate instead, drawn with --seed {config.seed}",
            show=progress,
        )
    groups = Counter(ratings.references)
    alone = [
        each if groups[of] == 1 else None
        for each, of in zip(hashes, ratings.references, strict=True)
    ]
    pairs = look_alikes(alone, [data.split])
    remark = remark_on_look_alikes(table, ratings.names, pairs)
    if remark is not None:
        say(remark, show=progress)


def check_unseen(
    config: FinetuneConfig, data: RatedData, seen: Sequence[SeenRatings], splits: Path
) -> None:
    """Refuse to test on pictures that the initial weights were trained on.

    Args:
        config: the run.
        data: its table.
        seen: the record of the weights that it starts from.
        splits: the file in which that run's folder keeps its split.

    Raises:
        InputError: names a picture and the remedy.
    """
    known = seen_pictures(seen)
    tested = data.split.test
    twice = np.array([data.contents[row] in known for row in tested], bool)
    if twice.any():
        first = data.ratings.names[tested[twice.argmax()]]
        raise InputError(
            f"--init {config.init}: was trained on {twice.sum()} of the {len(tested)} test pictures"
            f" of {config.ratings}, such as {first}; split the table by a column set as that run"
            f" did ({splits}), or start from other weights"
        )
