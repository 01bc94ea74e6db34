"""A figure of which variable of a PyMC model depends on which.

Explained in the chapter `book/pymc/moons`, section "The model". It is drawn with networkx and matplotlib, because
PyMC's own drawing needs the Graphviz program, which pip can't install.
"""

from __future__ import annotations

import networkx as nx
import pymc as pm
from matplotlib.axes import Axes

from companion.plots.style import CLASS_COLORS, INK, new_axes

__all__ = ["model_graph"]

_LOOKS = {
    "data": {"boxstyle": "round,pad=0.5", "facecolor": "#eceff1", "edgecolor": INK},
    "deterministic": {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": INK, "linestyle": "--"},
    "random": {"boxstyle": "round,pad=0.5,rounding_size=1.4", "facecolor": "white", "edgecolor": CLASS_COLORS[0]},
    "observed": {"boxstyle": "round,pad=0.5,rounding_size=1.4", "facecolor": "#d5e3ee", "edgecolor": CLASS_COLORS[0]},
}


def model_graph(model: pm.Model, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw which variable depends on which, from the top down.

    Random variables have round ends and are shaded if they are observed; data are grey boxes; variables that are
    computed from others have a dashed frame. Observed values have no box of their own: PyMC would let an arrow lead to
    them from the variable that they are values of, as though the data depended on it.

    Parameters
    ----------
    model
        PyMC model of any kind.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.
    """
    drawn = pm.model_to_networkx(model)
    observed = [name for rv in model.observed_RVs for name in drawn.successors(rv.name) if _kind(model, name) == "data"]
    drawn.remove_nodes_from(observed)
    ax = new_axes(ax, (7.2, 4.6))
    places = _places(drawn)
    boxes = {}
    for name, (across, down) in places.items():
        look = _LOOKS[_kind(model, name)] | {"linewidth": 1.3}
        text = ax.text(across, down, _text(drawn.nodes[name]), ha="center", va="center", fontsize=9, bbox=look)
        boxes[name] = text.get_bbox_patch()
    for start, end in drawn.edges:  # each arrow is cut where the boxes begin
        arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 2}
        arrow |= {"patchA": boxes[start], "patchB": boxes[end]}
        ax.annotate("", xy=places[end], xytext=places[start], arrowprops=arrow, zorder=4)
    ax.set(title=title or "", xlim=(-0.12, 1.12), ylim=(-0.14, 1.16))
    ax.set_axis_off()
    ax.figure.canvas.draw()  # the boxes get their sizes, so that the arrows end at them
    return ax


def _places(graph: nx.DiGraph) -> dict[str, tuple[float, float]]:
    """Place each variable in the unit square, below all that it depends on."""
    rows = list(nx.topological_generations(graph))
    places = {}
    for depth, row in enumerate(rows):
        for k, name in enumerate(row):
            across = 0.5 if len(row) == 1 else k / (len(row) - 1)
            places[name] = (across, 1 - depth / max(1, len(rows) - 1))
    return places


def _kind(model: pm.Model, name: str) -> str:
    """Say which kind of variable a name is, as `_LOOKS` lists them."""
    if name in {rv.name for rv in model.observed_RVs}:
        return "observed"
    if name in {rv.name for rv in model.free_RVs}:
        return "random"
    return "deterministic" if name in {d.name for d in model.deterministics} else "data"


def _text(node: dict[str, str]) -> str:
    """Write a variable's name and distribution, then each dimension with its length."""
    name, _, distribution = node["label"].split("\n")
    shape = str(node.get("cluster") or "").removeprefix("cluster")
    return "\n".join([f"{name} ~ {distribution}", *filter(None, shape.split(" x "))])
