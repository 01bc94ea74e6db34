"""Draw the picture of README.md from the fit of its first example: `make picture`.

It takes a minute, so `make pages` does without. The picture holds a hash of the example that it was made from; a test
compares it with the example that README.md shows today.
"""

import contextlib
import hashlib
import io
import re
from pathlib import Path
from typing import Any

from tools import ROOT
from tools.pages.readme import PICTURE

__all__ = ["examples", "main", "mark"]

MARK = "Example"
SEED = 0
DRAWS = 500


def examples(page: Path) -> list[str]:
    """List the blocks of Python in a page of Markdown."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def mark(example: str) -> str:
    """Return what the picture of an example carries."""
    return hashlib.sha256(example.encode()).hexdigest()


def main(arguments: list[str]) -> int:
    """Run the example, draw what it found, and write the picture."""
    example = examples(ROOT / "README.md")[0]
    named: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(example, "README.md", "exec"), named)
    print(said.getvalue(), end="")
    draw(named["posterior"], named["moons"], ROOT / PICTURE, mark(example))
    print(f"{PICTURE}: {(ROOT / PICTURE).stat().st_size / 1000:.0f} kB")
    return 0


def draw(posterior: Any, moons: Any, file: Path, example: str) -> None:
    """Draw probability and uncertainty over the plane, on white, which is readable on light and dark pages."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    from companion import plots
    from companion.prediction import grid, predict

    plots.use_style()
    plane = grid()
    probabilities = predict(posterior, plane.points, DRAWS, SEED)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.1))
    plots.probability_surface(
        plane, probabilities, data=moons.train, label="probability of class 1", title="What it predicts", ax=axes[0]
    )
    plots.uncertainty_surface(
        plane,
        probabilities[..., 1].std(axis=0),
        label="sd of the probability",
        title="How sure it is",
        data=moons.train,
        ax=axes[1],
    )
    figure.savefig(file, dpi=120, metadata={MARK: example, "Software": None})
    plt.close(figure)
