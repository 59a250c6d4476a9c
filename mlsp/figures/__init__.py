"""Figures drawn with matplotlib, written as PNG files."""
