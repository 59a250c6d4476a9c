"""Distortions and metrics applied to files and folders."""
