"""Write figures and tables in the words of the pages that are made from measured results."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["figure", "machines", "spread", "table"]


def table(heads: list[str], rows: list[list[str]], right: int = 1) -> str:
    """Write a table in Markdown; columns from the `right`-th on are aligned to the right."""
    marks = ["---" if k < right else "---:" for k in range(len(heads))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, marks, *rows))


def machines(*named: str) -> str:
    """Join the names of machines, several of them in one text perhaps, so that each stands there once."""
    each = dict.fromkeys(name for text in named for name in text.split("; "))
    return "; ".join(each).replace(", 1 cores,", ", 1 core,")


def figure(value: float, unit: str) -> str:
    """Write a figure with its unit, in as many digits as one reads."""
    if unit == "s":
        if value >= 3600:
            return f"{value // 3600:.0f} h {value % 3600 / 60:.0f} min"
        return f"{value / 60:.0f} min" if value >= 600 else f"{value:.1f} s"
    digits = 0 if value >= 1000 or (unit == "ms" and value >= 100) else 1
    return f"{value:,.{digits}f} {unit}"


def spread(found: npt.NDArray[np.floating[Any]], unit: str) -> str:
    """Write the lowest and the highest of several runs, in brackets after their median; nothing for a single run."""
    lowest = figure(found.min(), unit).removesuffix(f" {unit}")
    return f" ({lowest} to {figure(found.max(), unit)})" if len(found) > 1 else ""
