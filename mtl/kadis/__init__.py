"""KADIS data sets: recipes, distorted versions, scores and shards."""
