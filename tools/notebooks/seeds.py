"""Find the calls of a chapter whose random numbers nobody chose: what they print differs from run to run.

PyMC's functions draw from a generator of their own unless they are given ``random_seed``. A cell whose output nbval
does not compare may do so; where the output is compared, every such call names its seed.
"""

import ast
from collections.abc import Iterator

from nbformat import NotebookNode

from tools.notebooks import code_cells

__all__ = ["unseeded_calls"]

INFERENCES = {"ADVI", "FullRankADVI", "SVGD", "ASVGD"}
"""PyMC's inferences: the seed is theirs, and :func:`pymc.fit` ignores one beside them."""
DRAWING = INFERENCES | {
    "fit",
    "draw",
    "sample",
    "sample_smc",
    "sample_prior_predictive",
    "sample_posterior_predictive",
}
"""Functions of PyMC that draw random numbers and take ``random_seed``."""


def unseeded_calls(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """Give each call without a seed in the cells whose outputs are compared, with the place of its cell, from 1."""
    for place, cell in code_cells(notebook):
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            continue
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:  # a magic, or a cell of another language
            continue
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func)
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            if name.endswith("default_rng") and not call.args and "seed" not in given:
                yield place, ast.unparse(call)
            if not name.startswith("pm.") or name.removeprefix("pm.") not in DRAWING or "random_seed" in given:
                continue
            method = given.get("method")
            if name == "pm.fit" and method is not None and not isinstance(method, ast.Constant):
                continue  # the seed is the inference's
            yield place, ast.unparse(call)
