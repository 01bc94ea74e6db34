"""A page with nothing but the pieces to play with: for their tests, and for their still pictures."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from tools import ROOT
from tools.play.files import FILES

__all__ = ["PIECES", "extension", "write_page"]

PIECES = ("digits", "points", "moons")

PAGE = """<!doctype html>
<html lang="en" data-theme="light">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="play.css">
<title>Pieces to play with</title>
<style>body {{ font: 16px "DejaVu Sans", sans-serif; }}</style>
<body>{places}<script src="play.js"></script>
"""
PLACE = '<div class="play" data-piece="{0}" data-label="{0}"{1}><img src="{0}.png" alt="what {0} shows"></div>\n'


def extension(name: str) -> Any:
    """Import one of the book's own Sphinx extensions."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "book" / "_ext" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"no extension {name!r} in book/_ext")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_page(folder: Path) -> str:
    """Write the page with all that it loads into a folder, and return its name."""
    shutil.copy2(FILES.parent / "play.css", folder)
    for piece in PIECES:
        for file in FILES.glob(f"{piece}.*"):
            shutil.copy2(file, folder)
    (folder / "play.js").write_text(extension("play").bundle(), encoding="utf-8")
    sources = {piece: f' data-source="{piece}.js"' if (folder / f"{piece}.js").exists() else "" for piece in PIECES}
    places = "".join(PLACE.format(piece, source) for piece, source in sources.items())
    (folder / "pieces.html").write_text(PAGE.format(places=places), encoding="utf-8")
    return "pieces.html"
