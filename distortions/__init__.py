"""The KADID-10k image distortions: twenty-five types at five levels, 8-bit RGB in and out."""

from distortions.pipeline import distort
from distortions.table import DISTORTIONS, Distortion

__all__ = ["DISTORTIONS", "Distortion", "distort"]
