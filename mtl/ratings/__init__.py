"""Raw opinions become scores that can be trusted: screening, rescaling, reliability."""

from mtl.ratings.raw import RawRatings, read_raw
from mtl.ratings.scores import Scores, Votes, score_images, votes_of
from mtl.ratings.screening import Screening, ScreeningSettings, screen
from mtl.ratings.study import RatingsConfig, Study, run_ratings

__all__ = [
    "RatingsConfig",
    "RawRatings",
    "Scores",
    "Screening",
    "ScreeningSettings",
    "Study",
    "Votes",
    "read_raw",
    "run_ratings",
    "score_images",
    "screen",
    "votes_of",
]
