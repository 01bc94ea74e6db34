"""What a reader meets when a data file is bad, missing, or can't be fetched or stored."""

import errno
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CONTENT, Mirror

from companion.datasets import REGISTRY, Collection, MirrorError, choose, copies, download, fetch
from companion.errors import CompanionError, CompanionWarning, DataError, DataUnavailableError

Start = Callable[[dict[str, bytes]], Mirror]

BAD = {
    "truncated": CONTENT[: len(CONTENT) // 3],
    "tampered with": CONTENT[:-1] + b"!",
    "empty": b"",
}


def put(root: Path, content: bytes) -> Path:
    path = root / "small" / "numbers.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def the_warning(told: pytest.WarningsRecorder, path: Path, content: bytes) -> str:
    """Return the only warning, which names a bad file, its checksum and that of the right one."""
    (message,) = [str(warning.message) for warning in told]
    assert str(path) in message
    assert sha256(CONTENT) in message
    assert sha256(content) in message
    return message


def test_a_good_file_in_the_readers_folder_is_used_where_it_lies(
    bare: Path, small: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "mine", CONTENT)
    monkeypatch.setenv("COMPANION_DATA_DIR", str(tmp_path / "mine"))
    assert fetch(small) == {"numbers.bin": path}
    assert not bare.exists(), "nothing had to be cached"


def test_a_download_is_cached_and_quiet(
    bare: Path, small: Collection, mirror: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    server = mirror({"numbers.bin": CONTENT})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = fetch(small, mirrors=[server.url])
        again = fetch(small, mirrors=[server.url])
    assert first == again == {"numbers.bin": bare / "small" / "numbers.bin"}
    assert first["numbers.bin"].read_bytes() == CONTENT
    assert server.asked == ["numbers.bin"], "the second time it comes from the cache"
    assert capfd.readouterr() == ("", ""), "no bar and no log line reaches a notebook"


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_a_bad_file_in_the_cache_is_named_kept_and_fetched_again(
    bare: Path, small: Collection, mirror: Start, content: bytes
) -> None:
    path = put(bare, content)
    with pytest.warns(CompanionWarning) as told:
        fetch(small, mirrors=[mirror({"numbers.bin": CONTENT}).url])
    message = the_warning(told, path, content)
    assert path.read_bytes() == CONTENT
    (kept,) = path.parent.glob("*.corrupt")
    assert kept.name in message
    assert kept.read_bytes() == content, "nothing is lost"


def test_a_bad_file_in_the_cache_is_still_there_when_no_better_one_can_be_had(
    bare: Path, small: Collection, closed_port: str
) -> None:
    path = put(bare, b"my own work under a wrong name")
    with pytest.warns(CompanionWarning), pytest.raises(DataUnavailableError, match="is not the right file"):
        fetch(small, mirrors=[closed_port])
    assert path.read_bytes() == b"my own work under a wrong name"


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_a_bad_file_in_the_readers_folder_is_named_and_left_alone(
    bare: Path,
    small: Collection,
    mirror: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
) -> None:
    path = put(tmp_path / "mine", content)
    monkeypatch.setenv("COMPANION_DATA_DIR", str(tmp_path / "mine"))
    with pytest.warns(CompanionWarning) as told:
        found = fetch(small, mirrors=[mirror({"numbers.bin": CONTENT}).url])["numbers.bin"]
    the_warning(told, path, content)
    assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["numbers.bin"], "nothing is put beside it either"
    assert found.read_bytes() == CONTENT
    assert bare in found.parents


def test_the_warning_points_at_the_readers_line(bare: Path, small: Collection, mirror: Start) -> None:
    put(bare, b"bad")
    with pytest.warns(CompanionWarning) as told:
        fetch(small, mirrors=[mirror({"numbers.bin": CONTENT}).url])
    assert told[0].filename == __file__


def test_a_folder_variable_that_names_no_folder_is_said_and_passed_over(
    bare: Path, small: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bare, CONTENT)
    monkeypatch.setenv("COMPANION_DATA_DIR", str(tmp_path / "mistyped"))
    with pytest.warns(CompanionWarning, match=r"COMPANION_DATA_DIR is set to .*mistyped, which is not a folder"):
        assert fetch(small)["numbers.bin"].read_bytes() == CONTENT


def test_an_unwritable_cache_names_the_folder_and_the_variable(bare: Path, small: Collection, mirror: Start) -> None:
    bare.write_text("a file where the cache's folder should be")
    server = mirror({"numbers.bin": CONTENT})
    with pytest.raises(DataUnavailableError, match="COMPANION_CACHE_DIR") as told:
        fetch(small, mirrors=[server.url])
    assert str(bare / "small") in str(told.value)
    assert server.asked == [], "nothing is downloaded that can't be kept"
    assert bare.read_text() == "a file where the cache's folder should be"


def test_a_full_disk_is_told_as_such(
    bare: Path, small: Collection, mirror: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    server = mirror({"numbers.bin": CONTENT})
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataUnavailableError, match="No space left on device") as told:
        fetch(small, mirrors=[server.url])
    assert "COMPANION_CACHE_DIR" in str(told.value)
    assert list((bare / "small").iterdir()) == []


def test_without_a_network_every_place_and_its_reason_is_listed(
    bare: Path, small: Collection, closed_port: str
) -> None:
    mirrors = [closed_port, closed_port + "second/"]
    start = time.perf_counter()
    with pytest.raises(DataUnavailableError) as told:
        fetch(small, mirrors=mirrors)
    assert time.perf_counter() - start < 5
    message = str(told.value)
    for expected in ("COMPANION_DATA_DIR", str(bare), *mirrors, "companion data fetch small"):
        assert expected in message
    assert message.count("Connection refused") == 2
    assert len(message.splitlines()) < 10
    assert told.value.__cause__ is None, "no pages of another library's traceback"
    assert told.value.__context__ is None or told.value.__suppress_context__


def test_the_search_stops_at_the_first_file_that_cannot_be_had(bare: Path, mirror: Start) -> None:
    server = mirror({})
    with pytest.raises(DataUnavailableError, match="404"):
        fetch(REGISTRY["mnist"], mirrors=[server.url])
    assert len(server.asked) == 1


def test_a_mirror_that_never_answers_is_given_up_soon(small: Collection, tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/numbers.bin"
        start = time.perf_counter()
        with pytest.raises(MirrorError, match=r"no answer within 0\.3 s"):
            download(url, small.files[0], tmp_path, patience=0.3)
        assert time.perf_counter() - start < 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [b"<html>Please log in to this hotel</html>", CONTENT + b"more"])
def test_a_mirror_that_sends_something_else_is_passed_over(
    bare: Path, small: Collection, mirror: Start, wrong: bytes
) -> None:
    bad, good = mirror({"numbers.bin": wrong}), mirror({"numbers.bin": CONTENT})
    assert fetch(small, mirrors=[bad.url, good.url])["numbers.bin"].read_bytes() == CONTENT
    assert [path.name for path in (bare / "small").iterdir()] == ["numbers.bin"]


def test_when_every_mirror_sends_something_else_both_hashes_are_told(
    bare: Path, small: Collection, mirror: Start
) -> None:
    bad = mirror({"numbers.bin": b"something else"})
    with pytest.raises(DataUnavailableError) as told:
        fetch(small, mirrors=bad.url)
    assert sha256(b"something else") in str(told.value)
    assert sha256(CONTENT) in str(told.value)
    assert list((bare / "small").iterdir()) == []


def test_a_download_that_breaks_off_is_tried_once_more(bare: Path, small: Collection, mirror: Start) -> None:
    server = mirror({"numbers.bin": CONTENT})
    server.send_only = 1000
    with pytest.raises(DataUnavailableError, match="broke off in the middle"):
        fetch(small, mirrors=[server.url])
    assert server.asked == ["numbers.bin"] * 2
    assert list((bare / "small").iterdir()) == []


FETCH_IN_ANOTHER_PROCESS = """
import sys
import threading
from companion.datasets import Collection, DataFile, fetch
url, size, sha256 = sys.argv[1:]
file = DataFile("small", "numbers.bin", int(size), sha256)
print(fetch(Collection("small", "Small", "tests", "none", (file,), (url,)))["numbers.bin"])
"""


def another_process(url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", FETCH_IN_ANOTHER_PROCESS, url]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [*command, str(len(CONTENT)), sha256(CONTENT)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_that_fetch_the_same_file_at_once_both_end_well(bare: Path, mirror: Start) -> None:
    server = mirror({"numbers.bin": CONTENT})
    server.together = threading.Barrier(2)  # neither is answered before both have asked
    processes = [another_process(server.url) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert Path(out.strip()).read_bytes() == CONTENT
    assert server.asked == ["numbers.bin"] * 2
    assert [path.name for path in (bare / "small").iterdir()] == ["numbers.bin"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_process_killed_in_the_middle_leaves_no_half_file(bare: Path, small: Collection, mirror: Start) -> None:
    server = mirror({"numbers.bin": CONTENT})
    server.go_on.clear()
    process = another_process(server.url)
    assert server.began.wait(timeout=60)
    deadline = time.monotonic() + 20
    while not any(path.stat().st_size for path in (bare / "small").iterdir()):
        assert time.monotonic() < deadline, "the download never reached the disk"
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert copies(small.files[0]) == []
    server.go_on.set()
    assert fetch(small, mirrors=[server.url])["numbers.bin"].read_bytes() == CONTENT


def test_the_registry_agrees_with_the_checksums_beside_the_real_files(real_data: Path) -> None:
    if not (real_data / "SHA256SUMS").is_file():
        pytest.skip("no checksums beside the data: they are a cache")
    lines = (real_data / "SHA256SUMS").read_text().splitlines()
    listed = {name: sha256 for sha256, name in map(str.split, lines)}
    files = [file for collection in choose([]) for file in collection.files]
    assert {file.relative: file.sha256 for file in files}.items() <= listed.items(), "the folder may hold more"
    assert all((real_data / file.relative).stat().st_size == file.size for file in files)


def test_an_unknown_data_set_is_answered_with_the_known_ones() -> None:
    with pytest.raises(DataError, match="mnist, fashion-mnist, omniglot"):
        choose(["minst"])
    assert issubclass(DataError, CompanionError)
