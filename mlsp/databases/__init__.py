"""Rated picture databases, read from the files as their authors distribute them."""

from mlsp.databases.database import Database
from mlsp.databases.detect import open_database
from mlsp.databases.layouts import DATABASES, Layout, download_help

__all__ = ["DATABASES", "Database", "Layout", "download_help", "open_database"]
