"""Check where the links of the rendered book lead, at the end of `make book`: in ``_build/html``, or another folder.

- Every page of the contents is there; every chapter can be opened in Binder and in Colab, and downloaded.
- A link to Binder, Colab or the repository names this repository, the branch that is published, and a file that exists.
- A link within the book leads to a page, a file or a heading that exists.

Links to other places need a network: `make links` asks those.
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from bs4 import BeautifulSoup

from tools import ROOT
from tools.contents import first, pages, repository, settings

CONFIG = settings()
REPOSITORY = repository()
OWNER = REPOSITORY.removeprefix("https://github.com/")
BRANCH = CONFIG["repository"]["branch"]
BINDER = CONFIG["launch_buttons"]["binderhub_url"].rstrip("/")
COLAB = CONFIG["launch_buttons"]["colab_url"].rstrip("/")
WAYS = ("Binder", "Colab", "source", "download")


def source_of(page: str) -> str:
    """Return the path of a page's source in the repository."""
    folder = CONFIG["repository"]["path_to_book"]
    for ending in (".ipynb", ".md"):
        if (ROOT / folder / f"{page}{ending}").is_file():
            return f"{folder}/{page}{ending}"
    return f"{folder}/{page}"


def problems(html: Path, page: str) -> list[str]:
    """Return what is wrong with the links of one page, a line for each problem; empty when all is well."""
    file = html / f"{page}.html"
    if not file.is_file():
        return [f"{page}: {file.name} was not rendered"]
    found: list[str] = []
    ways: set[str] = set()
    for link in _links(file):
        way, problem = _judge(html, page, link)
        ways.add(way)
        if problem:
            found.append(f"{page}: {link}: {problem}")
    if source_of(page).endswith(".ipynb"):
        found += [f"{page}: has no link to {way}" for way in WAYS if way not in ways]
    return found


@cache
def _soup(file: Path) -> BeautifulSoup:
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


def _links(file: Path) -> Iterator[str]:
    """Give every address that a page names, each once."""
    tags = _soup(file).find_all(["a", "link", "script", "img"])
    yield from dict.fromkeys(str(tag[key]) for tag in tags for key in ("href", "src") if tag.get(key))


def _judge(html: Path, page: str, link: str) -> tuple[str, str]:
    """Say what kind of way a link is, and what is wrong with it, if anything."""
    if link.startswith(BINDER):
        return "Binder", _binder(link, page)
    if link.startswith(COLAB):
        return "Colab", _file(link, f"{COLAB}/github/{OWNER}/blob/", source_of(page))
    if re.match(rf"{re.escape(REPOSITORY)}/(blob|edit|raw|tree)/", link):
        kind = link.removeprefix(REPOSITORY).split("/")[1]
        return "source", _file(link, f"{REPOSITORY}/{kind}/")
    if urlsplit(link).scheme or link.startswith("//"):
        return "elsewhere", ""
    return "download" if "_sources/" in link else "book", _inside(html, page, link)


def _binder(link: str, page: str) -> str:
    address = urlsplit(link)
    if address.path != f"/v2/gh/{OWNER}/{BRANCH}":
        return f"expected the repository and branch {OWNER}/{BRANCH}"
    (opened,) = parse_qs(address.query).get("urlpath", [""])
    path = opened.removeprefix("lab/tree/").removeprefix("tree/")
    return "" if path == source_of(page) else f"opens {path or 'nothing'}, expected {source_of(page)}"


def _file(link: str, start: str, expected: str = "") -> str:
    if not link.startswith(f"{start}{BRANCH}/"):
        return f"expected it to begin with {start}{BRANCH}/"
    path = unquote(urlsplit(link.removeprefix(f"{start}{BRANCH}/")).path)
    if not (ROOT / path).is_file():
        return f"the repository has no {path}"
    return f"opens {path}, expected {expected}" if expected and path != expected else ""


def _inside(html: Path, page: str, link: str) -> str:
    address = urlsplit(link)
    here = html / f"{page}.html"
    target = here if not address.path else (here.parent / unquote(address.path)).resolve()
    if not target.is_file():
        return "the book has no such file"
    if address.fragment and target.suffix == ".html":
        name = unquote(address.fragment)
        if not _soup(target).find(id=name) and not _soup(target).find(None, {"name": name}):
            return f"{target.name} has no place called #{name}"
    return ""


def main(arguments: list[str]) -> int:
    """Check the pages of the folder named, or of _build/html; print the problems and return the exit status."""
    html = Path(arguments[0] if arguments else ROOT / "_build" / "html").resolve()
    chosen = [first(), *pages()]
    found = [line for page in chosen for line in problems(html, page)]
    print("\n".join(found) or f"{len(chosen)} pages: every link within the book and to its sources leads somewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
