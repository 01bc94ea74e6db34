"""Where the companion's docstrings send their readers, and whether that place speaks of them: read as text.

`tests/test_api.py` holds every module against it.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tools import ROOT

PACKAGE = ROOT / "companion"
PAGE = re.compile(r"\bbook/((?:[a-z_]+/)*[a-z_]+)")
SECTIONS = re.compile(r"\bsections?\s+(\"[^\"]+\"(?:\s*(?:,|and|,\s*and)\s*\"[^\"]+\")*)")
HEADING = re.compile(r"^(#+)\s+(.+?)\s*$", flags=re.MULTILINE)
FEWEST = 4  # letters: shorter words, and their beginnings, stand in every page
SMALL = {"from", "with", "that", "this", "than", "into", "most", "make"}  # of a name, they say nothing of its module


@dataclass(frozen=True)
class Pointer:
    """A page that a module names, and the sections of it that it names."""

    page: str
    sections: tuple[str, ...]


@dataclass(frozen=True)
class Module:
    """A module of the companion, as its source tells."""

    name: str
    docstring: str
    offers: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> "Module":
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__") or "companion"
        return cls(name, ast.get_docstring(tree) or "", tuple(_offered(tree)))

    @property
    def pointers(self) -> list[Pointer]:
        """The pages that the docstring names."""
        return pointers_in(self.docstring)

    @property
    def stems(self) -> list[str]:
        """The stems of the words of the module's name and of its public names, and of its own modules' names."""
        own = self.name.rpartition(".")[2].split("_")
        public = [
            word
            for name in self.offers
            for word in re.findall(r"[A-Z][a-z]+|[a-z]+[0-9]*", name)
            if len(word) >= FEWEST and word not in SMALL
        ]
        inside = [
            path.stem for path in (PACKAGE / self.name).glob("*.py") if "." not in self.name and path.stem[0] != "_"
        ]
        words = [word.lower() for word in (*own, *public, *inside) if len(word) >= FEWEST - 1]
        return list(dict.fromkeys(map(stem, words)))


def pointers_in(docstring: str) -> list[Pointer]:
    """The pages that a docstring names, each with the sections that stand behind it."""
    text = " ".join(docstring.split())
    pages = list(PAGE.finditer(text))
    ends = [*(later.start() for later in pages[1:]), len(text)]
    found = []
    for page, end in zip(pages, ends, strict=False):
        behind = SECTIONS.findall(text[page.end() : end])
        found.append(Pointer(page.group(1), tuple(re.findall(r'"([^"]+)"', " ".join(behind)))))
    return found


def _offered(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            yield from (str(name) for name in ast.literal_eval(node.value))


def stem(word: str) -> str:
    """Cut a word's ending off, so that `schedules` is found in "a schedule" and `pruning` in "pruned"."""
    for ending in ("ing", "ings", "es", "s", "ed", "isation"):
        if word.endswith(ending) and len(word) - len(ending) >= FEWEST:
            return word.removesuffix(ending)
    return word


def modules() -> list[Module]:
    """Every module of the companion."""
    return [Module.of(path) for path in sorted(PACKAGE.rglob("*.py"))]


@cache
def text_of(page: str) -> str:
    """The text of a page: Markdown, or a notebook's cells, code among them; empty where there is none."""
    folder = ROOT / "book"
    if (folder / f"{page}.ipynb").is_file():
        cells = json.loads((folder / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
        return "\n\n".join(
            "".join(cell["source"])
            if cell["cell_type"] == "markdown"
            else re.sub(r"^#", " #", "".join(cell["source"]), flags=re.M)
            for cell in cells
        )
    file = folder / f"{page}.md"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def section(text: str, title: str) -> str | None:
    """What stands under a heading, with all that is below it; None where there is no such heading."""
    headings = list(HEADING.finditer(text))
    for number, found in enumerate(headings):
        if plain(found.group(2)) == plain(title):
            level = len(found.group(1))
            later = [h.start() for h in headings[number + 1 :] if len(h.group(1)) <= level]
            return text[found.end() : later[0] if later else len(text)]
    return None


def plain(title: str) -> str:
    return title.replace("`", "").rstrip("?.").casefold()


def as_written(name: str) -> str:
    """A pattern of a public name: one that is also an English word counts only as code, in backticks or as a call."""
    if re.fullmatch(r"[a-z]+|[A-Z][a-z]+", name):
        return rf"`[\w.]*\b{name}\b[^`]*`|\b{name}\("
    return rf"(?<!\w){re.escape(name)}(?!\w)"


def speaks_of(text: str, module: Module) -> bool:
    """Say whether a text has one of a module's public names, or two of its words: their stems begin words there."""
    if any(re.search(as_written(name), text) for name in module.offers):
        return True
    said = [word for word in module.stems if re.search(rf"(?i)\b{re.escape(word)}", text)]
    return len(said) >= min(2, len(module.stems))


def places(pointer: Pointer) -> dict[str, str | None]:
    """The text of each place that a pointer names; None where there is no such place."""
    text = text_of(pointer.page) or None
    page = f"book/{pointer.page}"
    if text is None or not pointer.sections:
        return {page: text}
    return {f'section "{title}" of {page}': section(text, title) for title in pointer.sections}


def faults(module: Module) -> list[str]:
    """Say what is wrong with the pages and sections that a module points to."""
    found = []
    for pointer in module.pointers:
        for place, text in places(pointer).items():
            if text is None:
                found.append(f"there is no {place}")
            elif not speaks_of(text, module):
                found.append(f"{place} says none of {[*module.offers, *module.stems]}")
    return found
