"""Find the files of a `Collection` on this machine or fetch them, each verified by its SHA-256.

Explained in the book's data page (`book/reference/data`), section "Where a file is looked for".
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from companion.datasets.downloads import MirrorError, download
from companion.datasets.registry import Collection, DataFile
from companion.errors import DataUnavailableError, notice

__all__ = ["CACHE_VARIABLE", "FOLDER_VARIABLE", "Copy", "cache_dir", "copies", "data_dir", "fetch", "prepare"]

FOLDER_VARIABLE = "COMPANION_DATA_DIR"
CACHE_VARIABLE = "COMPANION_CACHE_DIR"


def data_dir() -> Path | None:
    """Return the reader's own folder of data files, which `COMPANION_DATA_DIR` names; nothing is ever written to it."""
    value = os.environ.get(FOLDER_VARIABLE, "").strip()
    return Path(value).expanduser() if value else None


def cache_dir() -> Path:
    """Return the folder where downloads are kept: `COMPANION_CACHE_DIR`, or else the system's place for caches."""
    value = os.environ.get(CACHE_VARIABLE, "").strip()
    return Path(value).expanduser() if value else Path(platformdirs.user_cache_dir("bnn-companion"))


@dataclass(frozen=True)
class Copy:
    """File as it was found in one place.

    Attributes
    ----------
    file
        File that is expected.
    place
        `"COMPANION_DATA_DIR"` or `"cache"`.
    path
        Path where it lies.
    found
        SHA-256 of the file that lies there, or why it could not be read.
    """

    file: DataFile
    place: str
    path: Path
    found: str

    @property
    def ok(self) -> bool:
        """Whether this is the file that the registry describes."""
        return self.found == self.file.sha256

    @property
    def problem(self) -> str:
        """Line with the file's name and both hashes."""
        return f"{self.path}: expected SHA-256 {self.file.sha256}, found {self.found}"


def copies(file: DataFile) -> list[Copy]:
    """List every copy of a file on this machine, hashed now, in the order in which they are looked for."""
    roots = ((FOLDER_VARIABLE, data_dir()), ("cache", cache_dir()))
    paths = [(place, root / file.relative) for place, root in roots if root is not None]
    return [Copy(file, place, path, _sha256(path)) for place, path in paths if os.path.lexists(path)]


def fetch(
    collection: Collection, names: Iterable[str] | None = None, mirrors: Iterable[str] | None = None
) -> dict[str, Path]:
    """Find or fetch the files of a collection.

    Each is looked for in the folder of `COMPANION_DATA_DIR`, then in the cache, then on the mirrors, and
    counts only with the right SHA-256. A bad file in the reader's folder is left as it is. A bad one in the
    cache is kept beside the new one, with the ending `.corrupt`.

    Parameters
    ----------
    collection
        Entry of `companion.datasets.REGISTRY`.
    names
        Names of the files; all of them by default.
    mirrors
        Addresses of folders to try instead of the collection's own mirrors.

    Returns
    -------
    dict of str to Path
        Path of each file, by its name.

    Raises
    ------
    DataUnavailableError
        If a file could not be had, or not be stored. The search stops at the first such file: where one
        fails, the others would, and each would cost the same wait.
    """
    folder = data_dir()
    if folder is not None and not folder.is_dir():
        notice(
            f"{FOLDER_VARIABLE} is set to {folder}, which is not a folder: it is passed over. "
            f"Set it to a folder that holds {collection.files[0].folder}/, or unset it."
        )
    wanted = None if names is None else set(names)
    addresses = collection.mirrors if mirrors is None else (mirrors,) if isinstance(mirrors, str) else tuple(mirrors)
    files = [file for file in collection.files if wanted is None or file.name in wanted]
    return {file.name: _one_file(file, collection, addresses) for file in files}


def prepare(folder: Path) -> None:
    """Make a folder if need be and prove that it can be written.

    Parameters
    ----------
    folder
        Path of the folder.

    Raises
    ------
    DataUnavailableError
        If it can't be written; the message names the folder and the variable that chooses another.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from None


def _one_file(file: DataFile, collection: Collection, mirrors: Iterable[str]) -> Path:
    here = {copy.place: copy for copy in copies(file)}
    for copy in here.values():
        if copy.ok:
            return copy.path
        if copy.place == FOLDER_VARIABLE:
            notice(f"bad data file, left untouched and passed over: {copy.problem}")

    folder = (cache_dir() / file.relative).parent
    prepare(folder)
    if "cache" in here:
        try:
            aside = _keep_aside(here["cache"])
        except OSError as error:
            raise _unwritable(here["cache"].path, error) from None
        notice(f"bad data file, kept as {aside.name} and fetched again: {here['cache'].problem}")

    failures: list[tuple[str, str]] = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file.name}"
        try:
            return download(url, file, folder)
        except MirrorError as error:
            failures.append((url, str(error)))
        except OSError as error:
            raise _unwritable(folder, error) from None
    raise DataUnavailableError(_not_to_be_had(file, collection, here, failures))


def _keep_aside(copy: Copy) -> Path:
    """Give a bad file of the cache a second name, so that nothing is lost when a good one takes its place.

    A second name, and not a move: another process may have put the good file there since it was hashed.
    """
    aside = copy.path.with_name(f"{copy.path.name}.{copy.found.split()[0][:8]}.corrupt")
    if not aside.exists():
        try:
            os.link(copy.path, aside)
        except OSError:  # a file system without hard links, or another process was here first
            shutil.copy2(copy.path, aside)
    return aside


def _not_to_be_had(
    file: DataFile, collection: Collection, here: dict[str, Copy], failures: list[tuple[str, str]]
) -> str:
    """Say what was tried, place by place, why each failed, and what to do next."""
    folder = data_dir()
    places = [
        (
            FOLDER_VARIABLE,
            "not set" if folder is None else _state(folder / file.relative, FOLDER_VARIABLE in here),
        ),
        ("the cache", _state(cache_dir() / file.relative, "cache" in here)),
        *(failures or [("the mirrors", "none was given")]),
    ]
    lines = [
        f"{collection.title}: {file.name} ({file.size:,} bytes) could not be had. Tried, in this order:",
        *(f"  {place}: {reason}" for place, reason in places),
        f"Set {FOLDER_VARIABLE} to a folder that holds {file.relative}, or, where there is a network, "
        f"run: companion data fetch {collection.name}",
    ]
    if collection.stand_in:
        lines.append(f"Without either: {collection.stand_in}.")
    return "\n".join(lines)


def _state(path: Path, bad: bool) -> str:
    return f"{path} is not the right file" if bad else f"there is no {path}"


def _unwritable(folder: Path, error: OSError) -> DataUnavailableError:
    return DataUnavailableError(
        f"{folder} can't be written ({error.strerror or error}), so nothing can be downloaded to it. "
        f"Set {CACHE_VARIABLE} to a folder that can, or {FOLDER_VARIABLE} to one that has the files already."
    )


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or in words why it can't be had."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"a file that can't be read ({error.strerror or error})"
