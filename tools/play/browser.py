"""Open pages in a real browser, without a window: for the tests of the site, and for the still pictures.

Any Chromium will do: the one that the variable ``BOOK_BROWSER`` names, or the first that is installed.
"""

import functools
import gzip
import http.server
import io
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["chromium", "opened", "served"]

TEXT = re.compile(r"^text/|javascript|json|xml")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
)


def chromium() -> str | None:
    """Find a browser on this machine; None where there is none."""
    named = os.environ.get("BOOK_BROWSER")
    return named or next((path for path in map(shutil.which, NAMES) if path), None)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serve files as a web server does, text compressed."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def send_head(self) -> Any:
        """Send the head of an answer, and return what follows it."""
        file = Path(self.translate_path(self.path))
        kind = self.guess_type(file)
        if not file.is_file() or not TEXT.search(kind) or "gzip" not in self.headers.get("Accept-Encoding", ""):
            return super().send_head()
        body = gzip.compress(file.read_bytes(), 6)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine, and give the address of its top, with a slash."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def opened() -> Iterator[Any]:
    """Start the browser, and give it as Playwright does.

    Raises
    ------
    FileNotFoundError
        If this machine has no Chromium.
    """
    from playwright.sync_api import sync_playwright

    path = chromium()
    if path is None:
        raise FileNotFoundError(
            "no Chromium here; on Debian and Ubuntu: apt install chromium, or name one in BOOK_BROWSER."
        )
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
