"""Raters whose truth, noise and cheating are known: to test screening, and to plan a study.

Images have a quality around the middle of the scale; an honest rater sees it through noise and a
use of the scale of his own, and rounds to 1 ... 5. Test questions have qualities all over the scale
and accept the rounded quality plus and minus one deviation, as KonIQ-10k's do of its experts' MOS
(arXiv:1910.06180, section 4.1). The kinds of cheaters:

    random          any score
    constant        always the same score
    line            clicks one score most of the time, else as an honest rater
    inverted        6 - s of an honest rater
    test-wise       honest on test questions, which he recognises; else any score
    test-wise line  honest on test questions; else clicks one score most of the time
    half            honest on test questions and on one of three others; else any score
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from mtl.ratings.distributions import RATINGS
from mtl.ratings.raw import ACCEPTED, IMAGE, OR, RATER, SCORE, TEST, RawRatings
from mtl.runtime.tables.csv_tables import table_text

CHEATS = ("random", "constant", "line", "inverted", "test-wise", "test-wise line", "half")

# Share of a line clicker's scores that are the same whatever he sees; the ratio of section 4.2 is
# then at least 0.8 / 0.2 = 4.
LINE_SHARE = 0.8
HONEST_SHARE = 1 / 3  # of the images that `half` looks at


@dataclass(frozen=True)
class SimulationSettings:
    """A study with raters of known behaviour."""

    raters: int = 200
    images: int = 400
    votes: float = 40.0
    """Per image, on average; a rater's images are drawn without replacement."""
    tests: int = 50
    """Test questions, all of which every rater answers: 20 of a quiz and hidden ones."""
    cheaters: float = 0.2
    """Share of the raters; all kinds in turn."""
    kinds: Sequence[str] = CHEATS
    spread: float = 0.8
    """Standard deviation of the images' quality, in steps of the scale. KonIQ-10k's MOS, 1..100,
    have one of 15."""
    noise: float = 0.65
    """Standard deviation of an honest rater's error. With the above, rounding and the raters' use
    of the scale the intra-class correlation is about 0.5, KonIQ-10k's is 0.46."""
    offset: float = 0.25
    """Standard deviation of a rater's own mean."""
    stretch: float = 0.15
    """Standard deviation of the logarithm of a rater's own range."""


@dataclass(frozen=True)
class Simulation:
    """Ratings, and what they came from."""

    raw: RawRatings
    quality: Float[np.ndarray, " i"]
    """Of the images, in the order of `raw.images`."""
    cheats: tuple[str, ...]
    """Of each rater, in the order of `raw.raters`: the kind of cheating, empty for the honest."""

    @property
    def cheating(self) -> Bool[np.ndarray, " n"]:
        """Who cheats."""
        return np.array([bool(kind) for kind in self.cheats])


def simulate(settings: SimulationSettings, rng: np.random.Generator) -> Simulation:
    """Simulate a study; the same state of the generator gives the same ratings.

    Raises:
        ValueError: more votes than raters, or a kind of cheating that is not known.
    """
    s = settings
    unknown = set(s.kinds) - set(CHEATS)
    if s.votes > s.raters or unknown:
        raise ValueError(f"{s.votes} votes of {s.raters} raters; unknown kinds: {sorted(unknown)}")
    middle = (1 + RATINGS) / 2
    quality = np.concatenate(
        [
            np.clip(rng.normal(middle, s.spread, s.images), 1, RATINGS),
            np.linspace(1, RATINGS, s.tests),
        ]
    )
    images = s.images + s.tests
    accepted = np.abs(np.arange(1, RATINGS + 1) - np.rint(quality)[:, None]) <= 1
    accepted[: s.images] = False
    cheats = [""] * s.raters
    for k, rater in enumerate(rng.permutation(s.raters)[: round(s.cheaters * s.raters)]):
        cheats[rater] = s.kinds[k % len(s.kinds)]

    each = round(s.votes * s.images / s.raters)
    questions = np.arange(s.images, images)
    seen = [
        np.concatenate([rng.choice(s.images, each, replace=False), questions])
        for _ in range(s.raters)
    ]
    image = np.concatenate(seen)
    rater = np.repeat(np.arange(s.raters), [len(row) for row in seen])
    scale = np.exp(rng.normal(0, s.stretch, s.raters))[rater]
    offset = rng.normal(0, s.offset, s.raters)[rater]
    felt = middle + scale * (quality[image] - middle) + offset + rng.normal(0, s.noise, len(image))
    score = np.clip(np.rint(felt), 1, RATINGS).astype(np.int64)
    score = _cheated(score, np.array(cheats)[rater], rater, image >= s.images, rng)

    order = np.lexsort((rater, image))
    width = len(str(max(s.raters, images)))
    raw = RawRatings(
        Path("simulated.csv"),
        tuple(f"r{k:0{width}}" for k in range(s.raters)),
        tuple(f"i{k:0{width}}.png" for k in range(images)),
        rater[order],
        image[order],
        score[order].astype(np.uint8),
        accepted,
    )
    return Simulation(raw, quality, tuple(cheats))


def _cheated(
    honest: np.ndarray, kind: np.ndarray, rater: np.ndarray, test: np.ndarray, rng
) -> np.ndarray:
    """The scores that come of each rating's kind of rater."""
    any_score = rng.integers(1, RATINGS + 1, len(honest))
    favourite = rng.integers(1, RATINGS + 1, rater.max() + 1)[rater]
    line = np.where(rng.random(len(honest)) < LINE_SHARE, favourite, honest)
    looked = rng.random(len(honest)) < HONEST_SHARE
    choices = {
        "random": any_score,
        "constant": favourite,
        "line": line,
        "inverted": RATINGS + 1 - honest,
        "test-wise": np.where(test, honest, any_score),
        "test-wise line": np.where(test, honest, line),
        "half": np.where(test | looked, honest, any_score),
    }
    return np.select([kind == k for k in choices], list(choices.values()), honest)


def raw_text(raw: RawRatings) -> str:
    """The table that `mtl.ratings.raw.read_raw` reads."""
    answers = [
        OR.join(str(k + 1) for k in np.flatnonzero(row)) if row.any() else ""
        for row in raw.accepted
    ]
    return table_text(
        [
            {
                RATER: raw.raters[r],
                IMAGE: raw.images[i],
                SCORE: int(s),
                TEST: int(bool(answers[i])),
                ACCEPTED: answers[i],
            }
            for r, i, s in zip(raw.rater, raw.image, raw.score, strict=True)
        ]
    )
