"""Find the turns of phrase that make our English hard to read, as far as a program can find them.

It reads the docstrings, comments and strings of Python files, the names of tests, the text of Markdown files, and the
comments of anything else. CONTRIBUTING.md lists the rules. A line that has to break one says so: ``english: as it is``.

It needs nothing but Python, and may be run on any files or folders: ``python tools/english.py companion/priors``.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Of the book, the pages that are not notebooks, and those beyond the posts.
BOOK = ("book/_ext", "book/beyond", "book/reference", "book/intro.md")
PLACES = ("companion", "tools", "studies", "benchmarks", "tests", *BOOK, "README.md", "CONTRIBUTING.md", "Makefile")
# It holds examples of what is wrong.
QUOTES = Path("tests/tools/test_english.py")
KEPT = "english: as it is"

SECTIONS = ("Parameters", "Other Parameters", "Attributes", "Returns", "Yields", "Raises", "Warns")
PREPOSITIONS = (
    "above|across|after|against|along|among|around|as|at|before|behind|below|beneath|beside|besides|between|beyond|by|"
    "concerning|despite|during|except|for|from|in|inside|into|near|of|off|on|onto|out|outside|per|since|through|"
    "throughout|to|toward|towards|under|underneath|until|unto|upon|via|with|within|without"
)
VERBS = "is|are|was|were|has|had|does|did|makes|stores|computes|gives|takes|says|tells|shows|keeps"
BEGINNING = re.compile(rf"(?P<preposition>(?:{PREPOSITIONS})\b(?!-))|(?P<verb>(?:{VERBS})\b)", re.IGNORECASE)
# "Where.", and "Which of the two.", "How it is called.": a question, and no noun that would answer it.
BLANK = "are|called|changes|estimates|is|it|its|known|made|many|of|says|samples|the|them|they|to|two|was|were"
WHAT = "(?:where|which|what|how|when)"
RIDDLE = re.compile(
    rf"(?:{WHAT}(?:\s+(?:{BLANK}))*|whose|theirs|ours|its own)\s*[.;]|{WHAT}(?:\s+(?:{BLANK}))+\s*,", re.IGNORECASE
)

# "there is no file", "the loss is no longer finite" and "is no larger than" are how people write.
# A value in an f-string stands here as VALUE.
VALUE = "{}"
NO = re.compile(
    r"(?:\b(?:is|are|was|were|be|been|being)|(?<=[a-z])'s)\s+(?:(?:still|yet|just|itself|themselves)\s+)?(?:"
    r"no\s+(?!(?:longer|more|less|fewer|better|worse|different)\b|\w+er\s+than\b)(?:[`*\w.]*\w|`*\{\})|none\b)"
)
MAY = "can|could|may|might|must|shall|should|will|would|has|have|had"
THERE = re.compile(rf"\bthere(?:\s+(?:{MAY}))?\s*$", re.IGNORECASE)

# What stands between a number and "a" without being the thing that is counted: "one is a file", "two at a time".
SMALL_WORDS = (
    "an?|and|are|as|at|behind|but|by|can|does|each|few|for|from|gets|gives|goes|had|has|holds|if|in|into|is|it|its|makes|may|"
    "means|minus|must|needs|no|nor|not|of|on|once|only|or|over|per|plus|reads|says|shows|so|such|takes|than|that|the|"
    "then|this|times|to|under|until|was|when|where|which|while|with|without|writes|yields"
)
# "60 steps a second" and "twice a week" are how people write.
TIMES = "(?:nano|micro|milli)?second|minute|hour|day|week|month|year"
MEASURES = (
    "batch|byte|cell|chunk|column|copy|core|cotangent|device|draw|dot|entry|factor|figure|file|folder|gradient|job|key|"
    "label|layer|line|list|name|number|optimiser|page|panel|point|process|row|sample|scalar|seed|site|step|tensor|"
    "thread|value|vector|weight"
)
COUNTED = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|\d[\d,]*)"
THING = rf"(?!(?:{SMALL_WORDS})\b)[a-z][\w-]+"
OF = rf"\s+an?\s+(?!(?:{TIMES}|{SMALL_WORDS})\b)(?P<of>[a-z]\w+)"
PER = (
    re.compile(rf"\bone{OF}", re.IGNORECASE),
    re.compile(rf"\b{COUNTED}\s+{THING}(?:\s+of(?:\s+[\w-]+){{1,2}}?)?{OF}", re.IGNORECASE),
    re.compile(rf"\ban?\s+(?:{MEASURES}){OF}", re.IGNORECASE),
)
FORMULA = re.compile(r"\bin[,;:].*\bout\s*[.,;:]", re.DOTALL)
COMES_IN = re.compile(r"\b(?:Comes\s+in|Goes\s+out)\b")

# Decorators of what is documented as a thing and not as an act.
THINGS = {"property", "cached_property", "fixture"}
# The title of a section of the book, as a docstring names it, is as it is.
TITLE = re.compile(r"\bsections?\s+\"[^\"]+\"(?:\s*(?:,|and|,\s*and)\s*\"[^\"]+\")*")

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Problem = tuple[int, str]  # the number of a line, and what is wrong there


@dataclass(frozen=True)
class Passage:
    """A piece of text in a file.

    Attributes
    ----------
    line
        Number of its first line in the file, from 1.
    text
        The words, with their line breaks.
    """

    line: int
    text: str

    def line_of(self, place: int) -> int:
        """Return the number of the file's line that holds the character at a place."""
        return self.line + self.text.count("\n", 0, place)


def problems(path: Path) -> list[str]:
    """Return what is hard to read in one file, a line for each place; empty when all is well."""
    text = path.read_text(encoding="utf-8")
    kept = {number for number, line in enumerate(text.splitlines(), start=1) if KEPT in line}
    if path.suffix == ".py":
        found = [*_docstrings(text), *(p for passage in _python(text) for p in _phrases(passage))]
    else:
        passages = _markdown(text) if path.suffix == ".md" else _comments(text)
        found = [p for passage in passages for p in _phrases(passage)]
    return [f"{path}:{line}: {what}" for line, what in sorted(set(found)) if line not in kept]


def _phrases(passage: Passage) -> Iterator[Problem]:
    """Find the phrases that are wrong wherever they stand, but in titles."""
    passage = Passage(passage.line, TITLE.sub(lambda title: re.sub(r"[^\n]", "_", title[0]), passage.text))
    for match in NO.finditer(passage.text):
        if not THERE.search(passage.text[: match.start()]):
            yield passage.line_of(match.start()), f'"{_words(match)}": write "is not a ..."'
    for pattern in PER:
        for match in pattern.finditer(passage.text):
            yield passage.line_of(match.start()), f'"{_words(match)}": write "per {match["of"]}"'


def _words(match: re.Match[str]) -> str:
    return " ".join(match[0].split())


def _docstrings(text: str) -> Iterator[Problem]:
    """Find what is wrong in the form of docstrings: formulas, and entries that are not noun phrases."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, Documented):
            continue
        for constant, whole in _stated(node):
            passage = Passage(constant.lineno, str(constant.value))
            if isinstance(node, ast.Module):
                yield from _formula(passage)
            elif whole and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _first_line(node, passage)
            yield from (_entries(passage) if whole else _entry(passage.line, passage.text.strip()))


def _stated(node: Documented) -> Iterator[tuple[ast.Constant, bool]]:
    """Give the docstring of a node (True), and the strings that describe its attributes below them (False)."""
    for place, child in enumerate(node.body):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant) and isinstance(child.value.value, str):
            if place == 0:
                yield child.value, True
            elif isinstance(node.body[place - 1], ast.Assign | ast.AnnAssign):
                yield child.value, False


def _formula(passage: Passage) -> Iterator[Problem]:
    """Find the formulas with which modules used to begin."""
    advice = "say in a plain sentence what the module is for"
    if FORMULA.search(re.split(r"\n\s*\n", passage.text)[0]):
        yield passage.line, f'the formula "X in, Y out": {advice}'
    if match := COMES_IN.search(passage.text):
        yield passage.line_of(match.start()), f'the formula "{_words(match)}": {advice}'


def _first_line(function: ast.FunctionDef | ast.AsyncFunctionDef, passage: Passage) -> Iterator[Problem]:
    """Find a function whose docstring begins as that of a thing does, and not in the imperative."""
    decorators = {getattr(d, "attr", getattr(d, "id", "")) for d in function.decorator_list}
    if (match := re.match(r"(?:Whether|Where)\b", passage.text)) and not decorators & THINGS:
        yield passage.line, f'a function begins with "{match[0]}": begin with a verb, as in "Say whether ..."'


def _entries(passage: Passage) -> Iterator[Problem]:
    """Find the entries of a docstring's sections that begin as no noun phrase does."""
    lines = passage.text.expandtabs().splitlines()
    indents = [len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()]
    margin = min(indents, default=0)
    section, named = "", False
    for number, line in enumerate(lines):
        words = line.strip()
        depth = len(line) - len(line.lstrip()) - margin
        underlined = number + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[number + 1].strip()) is not None
        if depth == 0 and underlined:
            section, named = words, False
        elif section not in SECTIONS or not words or re.fullmatch(r"-{3,}", words):
            continue
        elif depth <= 0:
            named = True
            # a Returns section may describe what is returned without naming a type
            if section in ("Returns", "Yields") and words.endswith("."):
                yield from _entry(passage.line + number, words)
        elif named:
            named = False
            yield from _entry(passage.line + number, words, section)


def _entry(line: int, words: str, section: str = "") -> Iterator[Problem]:
    """Judge how one entry begins; what is raised may be said in a sentence."""
    if match := RIDDLE.match(words):
        yield line, f'an entry says only "{match[0]}": describe it by a noun phrase that stands alone'
    elif (match := BEGINNING.match(words)) and not (
        section in ("Raises", "Warns") and (match["verb"] or match["preposition"].lower() == "as")
    ):
        yield line, f'an entry begins with "{match[0]}": begin with the noun, as in "Number of optimiser steps"'


def _python(text: str) -> Iterator[Passage]:
    """Give the strings of a Python file, its comments, those in one block together, and the names of its tests."""
    nodes = list(ast.walk(ast.parse(text)))
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield Passage(node.lineno, "".join(_said(part) for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield Passage(node.lineno, node.value)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield Passage(node.lineno, node.name.replace("_", " "))
    block: list[str] = []
    begun = last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] == last + 1:
            block.append(token.string.lstrip("# "))
        else:
            yield Passage(begun, "\n".join(block))
            begun, block = token.start[0], [token.string.lstrip("# ")]
        last = token.start[0]
    yield Passage(begun, "\n".join(block))


def _said(part: ast.expr) -> str:
    """Give a part of an f-string: its words, or what stands for a value."""
    return part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else VALUE


def _markdown(text: str) -> Iterator[Passage]:
    """Give the text of a Markdown file, with the code in it blanked."""
    code = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2", re.DOTALL | re.MULTILINE)
    yield Passage(1, code.sub(lambda match: "\n" * match[0].count("\n"), text))


def _comments(text: str) -> Iterator[Passage]:
    """Give the comments of a file in which they begin with a hash; lines without one are blanked."""
    lines = (line.partition("#")[2].lstrip("# ") if re.search(r"(?:^|\s)#", line) else "" for line in text.splitlines())
    yield Passage(1, "\n".join(lines))


def files(places: list[str]) -> list[Path]:
    """Return the files named, and the Python and Markdown files of the folders named but `QUOTES`, in order."""
    found: list[Path] = []
    for place in map(Path, places):
        if place.is_dir():
            inside = (path for path in place.rglob("*") if path.suffix in (".py", ".md") and path.is_file())
            found += sorted(path for path in inside if path != QUOTES)
        else:
            found.append(place)
    return found


def main(arguments: list[str]) -> int:
    """Check the files and folders named, or all of ours; print the problems and return the exit status."""
    chosen = files(arguments or [place for place in PLACES if Path(place).exists()])
    found = [line for path in chosen for line in problems(path)]
    summary = f"{len(found)} places to put plainly" if found else f"{len(chosen)} files: nothing to put plainly"
    print("\n".join([*found, summary]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
