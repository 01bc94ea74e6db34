"""A Sphinx extension that says in each page how large its pictures are.

With its size a picture has its place before it is there, so that no text moves while somebody reads it. The style sheet
knows the width, too, and on a phone draws no figure so small that its words can't be read.
"""

import re
from pathlib import Path
from typing import Any

import imagesize
from sphinx.application import Sphinx

IMAGE = re.compile(r"<img\b(?![^>]*\b(?:width|height)[=:])[^>]*>")
SOURCE = re.compile(r'\bsrc="([^"?]+)')


def sized(text: str, place: Path) -> str:
    """Give the pictures of a page their sizes; `place` is the page's folder."""

    def better(found: re.Match[str]) -> str:
        tag, source = found[0], SOURCE.search(found[0])
        file = place / source[1] if source and "://" not in source[1] else None
        width, height = imagesize.get(file) if file is not None and file.is_file() else (-1, -1)
        style = "" if "style=" in tag else f' style="--wide: {width}px"'
        return f'<img width="{width}" height="{height}"{style}{tag[4:]}' if width > 0 and height > 0 else tag

    return IMAGE.sub(better, text)


def _size(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        for file in Path(app.outdir).rglob("*.html"):
            file.write_text(sized(file.read_text(encoding="utf-8"), file.parent), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("build-finished", _size)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
