"""What errors and notices advise exists: their keywords are those that functions of the companion have today."""

import ast
import contextlib
import importlib
import inspect
import re
import warnings
from pathlib import Path

import companion
from companion.training import old_words

PACKAGE = Path(companion.__file__).parent
FOREIGN = {"requires_grad"}  # torch's own, in the words of a parameter
OTHERS = ("np.", "pm.", "pyro.", "torch.")  # functions of other libraries
NOT_PYTHON = ("cli/", "plots/graph.py", "plots/sketches.py")  # options of the command line, styles of a box
KEYWORD = re.compile(r"(?<![\w\-.])([a-z_]\w*)=(?![=])")


def module_of(path):
    """Import the module of a file of the package."""
    return importlib.import_module(".".join((path.relative_to(PACKAGE.parent)).with_suffix("").parts))


def keywords():
    """Give the keywords of each function, class and method that a module of the companion offers, by its last name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        module = module_of(path)
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            methods = vars(thing).items() if inspect.isclass(thing) else ()
            for own, function in [(name, thing), *methods]:
                with contextlib.suppress(TypeError, ValueError):  # errors, and what can't be called
                    found.setdefault(own, set()).update(inspect.signature(function).parameters)
    return found


def words(node):
    """Give the text of a string, with an ellipsis where something is filled in; None for everything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


def texts(node, own=frozenset()):
    """Give the texts of a piece of code, but its docstrings, with the names that their function or class takes."""
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        own |= {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
    elif isinstance(node, ast.ClassDef):
        own |= {line.target.id for line in node.body if isinstance(line, ast.AnnAssign)}
    text = words(node)
    if text is not None:
        yield text, own
        return
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
            yield from texts(child, own)


def call_around(text):
    """Name the function whose parenthesis is open where a text ends, other libraries' in full; None where none is."""
    opened = []
    for at, sign in enumerate(text):
        if sign == "(":
            opened.append(at)
        elif sign == ")" and opened:
            opened.pop()
    name = re.search(r"[\w.]+$", text[: opened[-1]]) if opened else None
    if not name:
        return None
    return name[0] if name[0].startswith(OTHERS) else name[0].rpartition(".")[2]


def wrong_keywords(code, known):
    """Give the keywords in the texts of a module that what they speak of doesn't take."""
    for text, own in texts(ast.parse(code)):
        for match in KEYWORD.finditer(text):
            word, called = match[1], call_around(text[: match.start()])
            if word in FOREIGN or (called is None and word in own):
                continue
            taken = known.get(called) if called else set().union(*known.values()) - set(old_words._NEW)
            if taken is not None and word not in taken:
                yield text[max(0, match.start() - 30) : match.end() + 20]


def test_errors_advise_keywords_that_there_are():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        known = keywords()
    paths = [p for p in PACKAGE.rglob("*.py") if not str(p.relative_to(PACKAGE)).startswith(NOT_PYTHON)]
    wrong = {str(p.relative_to(PACKAGE)): [*wrong_keywords(p.read_text(encoding="utf-8"), known)] for p in paths}
    assert not {path: found for path, found in wrong.items() if found}


def test_a_wrong_keyword_is_seen():
    known = {"fit": {"machine", "steps"}, "Machine": {"precision"}, "sample": {"thin"}}
    code = '''
def fit(steps):
    """Say precision='float64'."""
    raise ValueError(f"steps={steps}; use precision='float64', machine=Machine(precision='float64') or fit(thin=2)")
'''
    seen = [*wrong_keywords(code, known)]
    assert len(seen) == 2
    assert "use precision=" in seen[0]
    assert "fit(thin=" in seen[1]
