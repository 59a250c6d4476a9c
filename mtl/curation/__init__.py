"""Pristine crops of photographs: quality, saliency, near-duplicates."""
