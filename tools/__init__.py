"""What stands behind `make`: checks of the sources and of the book, and the making of pages, files and measurements.

Each command is a module: ``python -m tools english companion`` runs `tools.english`, and so does ``python -m
tools.english companion``. ``python -m tools`` lists them.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
