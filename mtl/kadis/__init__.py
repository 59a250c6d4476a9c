"""KADIS data sets: recipes, distorted versions, scores and shards."""

MANIFEST = "manifest.json"  # the file of a folder that makes it a data set
EQUALIZATION = "equalization.json"  # in the same folder: histogram equalisation of the scores
