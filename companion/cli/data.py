"""List, fetch and verify the files of data sets, in lines for people.

Explained in the book's data page (`book/reference/data`), section "From the command line".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from companion.datasets import DataFile, choose, copies, fetch
from companion.errors import DataUnavailableError

__all__ = ["fetch_files", "list_files", "verify_files"]


def list_files(names: Sequence[str]) -> int:
    """Print every file with its size, licence and place; the status is 0 even where files are missing."""
    for collection in choose(names):
        print(f"{collection.name}: {collection.title}. {collection.source}. Licence: {collection.licence}.")
        for file in collection.files:
            print(f"  {file.name:<30} {file.size:>10,} bytes  {_where(file)}")
    return 0


def fetch_files(names: Sequence[str]) -> int:
    """Find or download the files, and print where each one lies; the status is 1 if one can't be had."""
    status = 0
    for collection in choose(names):
        try:
            paths = fetch(collection)
        except DataUnavailableError as error:
            print(f"companion: {error}", file=sys.stderr)
            status = 1
        else:
            for path in paths.values():
                print(f"ok    {path}")
    return status


def verify_files(names: Sequence[str]) -> int:
    """Hash every copy on this machine; the status is 1 if one is bad, and a missing file is not bad."""
    status = 0
    for collection in choose(names):
        for file in collection.files:
            found = copies(file)
            for copy in found:
                print(f"{'ok   ' if copy.ok else 'bad  '} {copy.path if copy.ok else copy.problem}")
                status = status if copy.ok else 1
            if not found:
                print(f"none  {file.relative}: not on this machine")
    return status


def _where(file: DataFile) -> str:
    found = [f"{copy.place}: {copy.path}" + ("" if copy.ok else " (BAD)") for copy in copies(file)]
    return ", ".join(found) or "not on this machine"
