"""Find the assertions of a chapter that compare times: they fail where another process keeps the machine busy.

Whatever is computed from a clock is followed from assignment to assignment, through the cells in their order. Speed is
held by the benchmarks, side by side on a quiet machine; a chapter prints what it took.
"""

import ast
from collections.abc import Iterator

from nbformat import NotebookNode

from tools.notebooks import code_cells

__all__ = ["compared_times"]

CLOCKS = {"seconds", "perf_counter", "perf_counter_ns", "process_time", "monotonic", "default_timer"}
"""Names and attributes that read a clock, or hold what one said."""
MODULES = {"time", "timeit"}
"""Modules whose every function has to do with a clock."""
COLLECTING = {"append", "extend", "insert", "add", "update"}
"""Methods that put what they are given into a container."""
MAGIC = ("%", "!", "?")


def compared_times(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """Give each assertion that a clock has a say in, with the place of its cell, from 1."""
    timed: set[str] = set()
    for place, cell in code_cells(notebook):
        code = "\n".join("pass" if line.lstrip().startswith(MAGIC) else line for line in cell.source.splitlines())
        try:
            tree = ast.parse(code)
        except SyntaxError:  # a cell of another language, such as one that begins with %%bash
            continue
        for node in _in_order(tree):
            if isinstance(node, ast.Assert):
                if _reads(node.test, timed):
                    yield place, ast.unparse(node.test)
            else:
                timed |= _collected(node, timed)
                targets, value = _assignment(node)
                for target, part in _pairs(targets, value):
                    _mark(target, timed, _reads(part, timed))


def _collected(node: ast.stmt, timed: set[str]) -> set[str]:
    """Name the containers that are handed times, perhaps by a function that is called later."""
    found = set()
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in COLLECTING:
            container: ast.expr = call.func
            while isinstance(container, ast.Attribute | ast.Subscript | ast.Call):
                container = container.func if isinstance(container, ast.Call) else container.value
            if isinstance(container, ast.Name) and any(_reads(given, timed) for given in call.args):
                found.add(container.id)
    return found


def _in_order(tree: ast.AST) -> list[ast.stmt]:
    """List the statements in the order of their lines."""
    return sorted((node for node in ast.walk(tree) if isinstance(node, ast.stmt)), key=lambda node: node.lineno)


def _assignment(node: ast.stmt) -> tuple[list[ast.expr], ast.expr | None]:
    """Give what a statement assigns to, and the value."""
    if isinstance(node, ast.Assign):
        return node.targets, node.value
    if isinstance(node, ast.AugAssign | ast.AnnAssign):
        return [node.target], node.value
    if isinstance(node, ast.For):
        return [node.target], node.iter
    return [], None


def _pairs(targets: list[ast.expr], value: ast.expr | None) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Pair each target with its value; ``a, b = c, d`` one by one."""
    for target in targets:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            yield from zip(target.elts, value.elts, strict=True)
        elif value is not None:
            yield target, value


def _mark(target: ast.expr, timed: set[str], by_clock: bool) -> None:
    """Remember whether a name holds times. A part of a container, ``a["x"] = ...``, is remembered by its own words."""
    if isinstance(target, ast.Subscript | ast.Attribute):
        name = ast.unparse(target)
        (timed.add if by_clock else timed.discard)(name)
        return
    for name in (node.id for node in ast.walk(target) if isinstance(node, ast.Name)):
        (timed.add if by_clock else timed.discard)(name)


def _reads(expression: ast.AST, timed: set[str]) -> bool:
    """Say whether an expression reads a clock, or something computed from one.

    Callbacks that look at a clock have no say in what a fit returns.
    """
    for node in _without_callbacks(expression):
        if isinstance(node, ast.Attribute) and (node.attr in CLOCKS or ast.unparse(node.value) in MODULES):
            return True
        if isinstance(node, ast.Name) and (node.id in timed or node.id in CLOCKS):
            return True
        if isinstance(node, ast.Subscript) and ast.unparse(node) in timed:
            return True
    return False


def _without_callbacks(expression: ast.AST) -> Iterator[ast.AST]:
    """Walk through an expression, but for what is handed on under the name ``callbacks``."""
    yield expression
    for child in ast.iter_child_nodes(expression):
        if isinstance(child, ast.keyword) and child.arg == "callbacks":
            continue
        if isinstance(child, ast.Dict):
            values = [
                value
                for key, value in zip(child.keys, child.values, strict=True)
                if not (isinstance(key, ast.Constant) and key.value == "callbacks")
            ]
            for part in values:
                yield from _without_callbacks(part)
            continue
        yield from _without_callbacks(child)
