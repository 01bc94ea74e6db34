"""What several test files share: a bare machine, mirrors on this machine, and the real data where it is."""

import gc
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

from companion.datasets import Collection, DataFile

# What Hypothesis tries: a few examples, always the same, with the unit tests; many new ones in `make fuzz`, which
# begins with those that failed before.
settings.register_profile("short", max_examples=25, derandomize=True, database=None, deadline=None)
settings.register_profile(
    "long", max_examples=2000, database=DirectoryBasedExampleDatabase(".pytest_cache/hypothesis"), deadline=None
)
settings.load_profile("short")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Spare what would be done thousands of times: looking for garbage in all modules, and PyTensor's stack traces."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    if "pytensor" in sys.modules:
        sys.modules["pytensor"].config.traceback__limit = 0


class Mirror(ThreadingHTTPServer):
    """A web server on this machine whose behaviour a test can choose."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files = files
        self.asked: list[str] = []
        self.send_only: int | None = None
        self.together: threading.Barrier | None = None
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Answer(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        mirror, name = self.server, self.path.lstrip("/")
        mirror.asked.append(name)
        if mirror.together is not None:
            mirror.together.wait(timeout=20)
        if name not in mirror.files:
            self.send_error(404)
            return
        content = mirror.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        half = len(content) // 2 if mirror.send_only is None else mirror.send_only
        self.wfile.write(content[:half])
        self.wfile.flush()
        mirror.began.set()
        mirror.go_on.wait(timeout=20)
        if mirror.send_only is None:
            self.wfile.write(content[half:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror() -> Iterator[Callable[[dict[str, bytes]], Mirror]]:
    """Start a mirror that serves the given files."""
    running: list[Mirror] = []

    def start(files: dict[str, bytes]) -> Mirror:
        server = Mirror(files)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.go_on.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def closed_port() -> str:
    """The address of a mirror that nobody runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without data files; gives the folder of its cache, which doesn't exist yet."""
    monkeypatch.delenv("COMPANION_DATA_DIR", raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setenv("COMPANION_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


CONTENT = bytes(range(256)) * 800


@pytest.fixture
def small() -> Collection:
    """A collection of one small file, whose right content is `CONTENT`."""
    file = DataFile("small", "numbers.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    return Collection("small", "Small numbers", "these tests", "none", (file,), ())


@pytest.fixture
def real_data() -> Path:
    """The folder of real data files, where this machine has one; a cache that `make data` has filled is one, too."""
    for variable in ("COMPANION_DATA_DIR", "COMPANION_CACHE_DIR"):
        folder = os.environ.get(variable, "")
        if folder and (Path(folder) / "mnist" / "train-images-idx3-ubyte.gz").is_file():
            return Path(folder)
    pytest.skip("neither COMPANION_DATA_DIR nor COMPANION_CACHE_DIR names a folder with MNIST in it")


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of compiled libraries; each is built once in a module, in 10 to 15 s, and found after that."""
    folder = tmp_path_factory.mktemp("libraries")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPANION_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture
def none_is_built(libraries: Path, built: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries are found, not built: after the module's own ``built``, which builds them."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a library was built a second time")

    monkeypatch.setattr(subprocess, "Popen", refuse)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread for torch: threads that wait for one another take most of the time of a small network."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
