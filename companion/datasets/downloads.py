"""Download one file from one address, whole and verified.

Explained in the book's data page (`book/reference/data`), section "Where a file is looked for".
"""

from __future__ import annotations

import hashlib
import queue
import sys
import threading
import uuid
from pathlib import Path
from typing import Any, BinaryIO

import requests
from tqdm import tqdm

from companion.datasets.registry import DataFile
from companion.logs import held_back

__all__ = ["MirrorError", "download"]

_ANSWER_SECONDS = 6.0
_STALL_SECONDS = 15.0


class MirrorError(Exception):
    """Raised where a mirror did not give a file; the message is the reason, in one line."""


class _BrokenOffError(MirrorError):
    """Raised where a mirror answered and then stopped in the middle, which is worth one more attempt."""


def download(url: str, file: DataFile, folder: Path, patience: float = _ANSWER_SECONDS) -> Path:
    """Fetch one file from one address.

    The bytes go to a file with a name of its own in `folder` and take the final name in one step, and only
    when their SHA-256 is right. So a killed process leaves no half file, and processes that fetch the same
    file at the same time don't harm each other.

    Parameters
    ----------
    url
        Address of the file.
    file
        File that is expected there.
    folder
        Existing folder that can be written.
    patience
        Longest wait for the mirror's first answer, in seconds.

    Returns
    -------
    Path
        Path of the file, `folder / file.name`.

    Raises
    ------
    MirrorError
        If the mirror did not answer, refused, broke off twice, or sent something else.
    OSError
        If the folder could not be written, for example because the disk is full.
    """
    try:
        return _download_once(url, file, folder, patience)
    except _BrokenOffError:
        return _download_once(url, file, folder, patience)


def _download_once(url: str, file: DataFile, folder: Path, patience: float) -> Path:
    import pooch  # here, because it loads tqdm's notebook bar, which warns where ipywidgets is missing

    part = folder / f".{file.name}.{uuid.uuid4().hex}.part"
    try:
        with held_back(pooch.get_logger()):
            pooch.retrieve(
                url,
                known_hash=f"sha256:{file.sha256}",
                fname=part.name,
                path=folder,
                downloader=_Stream(file, patience),
            )
        part.replace(folder / file.name)
    finally:
        part.unlink(missing_ok=True)
    return folder / file.name


class _Stream:
    """Downloader for pooch that gives up early and says in one line why."""

    def __init__(self, file: DataFile, patience: float) -> None:
        self.file = file
        self.patience = patience

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        with _first_answer(url, self.patience) as response, open(output_file, "wb") as target:  # noqa: PTH123
            if response.status_code != 200:
                raise MirrorError(f"HTTP {response.status_code} {response.reason}")
            try:
                self._copy(response, target)
            except requests.RequestException as error:
                raise _BrokenOffError(f"broke off in the middle: {_one_line(error)}") from None

    def _copy(self, response: requests.Response, target: BinaryIO) -> None:
        file = self.file
        digest, received = hashlib.sha256(), 0
        # A bar is for people at a terminal: in a notebook its frames would be stored in the output.
        hidden = not sys.stderr.isatty()
        with tqdm(total=file.size, desc=file.name, unit="B", unit_scale=True, leave=False, disable=hidden) as bar:
            for chunk in response.iter_content(1 << 16):
                received += len(chunk)
                if received > file.size:
                    raise MirrorError(f"sent more than the {file.size:,} bytes expected")
                target.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
        if digest.hexdigest() != file.sha256:
            raise MirrorError(
                f"sent {received:,} bytes with SHA-256 {digest.hexdigest()}, "
                f"expected {file.size:,} bytes with SHA-256 {file.sha256}"
            )


def _first_answer(url: str, patience: float) -> requests.Response:
    """Open an address, with a bound on the whole wait for its headers.

    The timeout of requests bounds neither the search for the host's address nor the number of addresses tried
    one after the other (a large mirror has eight), so a network that swallows packets would hold the reader
    for a minute.
    """
    answers: queue.Queue[requests.Response | Exception] = queue.Queue()

    def ask() -> None:
        try:
            headers = {"Accept-Encoding": "identity"}
            answers.put(requests.get(url, stream=True, headers=headers, timeout=(patience, _STALL_SECONDS)))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=patience)
    except queue.Empty:
        raise MirrorError(f"no answer within {patience:g} s") from None
    if isinstance(answer, Exception):
        raise MirrorError(_one_line(answer)) from None
    return answer


def _one_line(error: BaseException) -> str:
    """Return the innermost reason of a failed request, without the classes that wrap it."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = " ".join(str(error).split()).rpartition("): ")[2] or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
