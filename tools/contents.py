"""Say what the book consists of, by `_toc.yml`, and where it is published, by `_config.yml`.

This is the only reader of the table of contents. It needs PyYAML and nothing else, so that continuous integration can
list the chapters within seconds.
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tools import ROOT


@cache
def settings(root: Path = ROOT) -> dict[str, Any]:
    """Read the book's settings, `_config.yml`."""
    return _read(root / "_config.yml")


def repository() -> str:
    """Return the address of the repository, without a slash at its end."""
    return str(settings()["repository"]["url"]).rstrip("/")


def published(page: str = "") -> str:
    """Return the address of the book on the web, or of one of its pages."""
    organisation, name = repository().split("/")[-2:]
    return f"https://{organisation}.github.io/{name}/" + (f"{page}.html" if page else "")


def first(root: Path = ROOT) -> str:
    """Return the first page, without its ending, relative to ``book/``."""
    return str(_read(root / "_toc.yml")["root"])


def pages(root: Path = ROOT) -> list[str]:
    """List the pages after the first one in their order, without endings, relative to ``book/``."""
    return [page for _, part in parts(root) for page in part]


def parts(root: Path = ROOT) -> list[tuple[str, list[str]]]:
    """Return the caption of each part, which may be empty, with its pages as `pages` lists them."""
    found = _read(root / "_toc.yml").get("parts", [])
    return [(part.get("caption", ""), [page["file"] for page in part["chapters"]]) for part in found]


def chapters(root: Path = ROOT) -> list[str]:
    """List the pages that are notebooks, as `pages` does."""
    return [page for page in pages(root) if notebook_of(page, root).is_file()]


def notebook_of(page: str, root: Path = ROOT) -> Path:
    """Return the file of a page that is a notebook."""
    return root / "book" / f"{page}.ipynb"


def page_of(notebook: Path, root: Path = ROOT) -> str:
    """Return the name of a notebook in the table of contents.

    Raises
    ------
    ValueError
        If the file lies outside ``book/``.
    """
    return notebook.relative_to(root / "book").with_suffix("").as_posix()


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found
