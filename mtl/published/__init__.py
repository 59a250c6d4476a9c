"""KADIS-700k's own files: export, import, comparison."""
