"""Refuse an old Python at once: pip before 23.1 resolves all dependencies before it looks."""

import sys

from setuptools import setup

if sys.version_info < (3, 11):
    sys.exit(f"deepfl-iqa needs Python 3.11 or newer; this is {sys.version.split()[0]}")
setup()
