"""The whole pipeline on sample photographs."""
