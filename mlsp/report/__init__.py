"""One page that tells the story of a run."""
