"""Ask Lighthouse how well pages serve their readers: speed, accessibility, good practice, and what search engines need.

It is a program of npm; `make site` installs it into ``.venv/lighthouse``. Times are those of its desktop: a page is
loaded once in a real Chromium, and Lighthouse computes from that how long it would take over a line of 10 Mbit/s.
"""

import json
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tools import ROOT
from tools.play.browser import FLAGS, chromium

__all__ = ["CATEGORIES", "program", "scores"]

CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
PROGRAM = ROOT / ".venv" / "lighthouse" / "node_modules" / ".bin" / "lighthouse"


def program() -> Path | None:
    """Find Lighthouse; None where it has not been installed."""
    return PROGRAM if PROGRAM.is_file() else None


def scores(address: str, categories: tuple[str, ...] = CATEGORIES) -> tuple[dict[str, float], list[str]]:
    """Measure a page.

    Returns
    -------
    scores
        Category to score, from 0 to 1; and "loading", that of performance without the time that scripts block the page.
    faults
        What took from the scores, worst first: each with its own score and what Lighthouse says of it.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        flags = " ".join(["--headless=new", *FLAGS])
        words = [
            str(PROGRAM), address, "--quiet", "--preset=desktop", "--disable-full-page-screenshot",
            f"--chrome-flags={flags}", f"--only-categories={','.join(categories)}",
            "--output=json", f"--output-path={file}",
        ]  # fmt: skip
        settings = {**os.environ, "CHROME_PATH": chromium() or ""}
        ran = subprocess.run(words, env=settings, capture_output=True, text=True, timeout=240, check=False)
        if not file.is_file():
            raise RuntimeError(f"Lighthouse gave no report of {address}: {ran.stderr[-500:]}")
        report = json.loads(file.read_text(encoding="utf-8"))
    weights = {part["id"]: part["weight"] for name in categories for part in report["categories"][name]["auditRefs"]}
    weighty = [a for a in report["audits"].values() if weights.get(a["id"]) and a.get("score") is not None]
    faults = [f"{a['id']} {a['score']}: {a.get('displayValue', a['title'])}" for a in sorted(weighty, key=_score)]
    found = {name: report["categories"][name]["score"] for name in categories}
    if "performance" in categories:
        found["loading"] = _loading(report)
    return found, faults[:6]


def _loading(report: dict[str, Any]) -> float:
    """Return the score of performance without the time that scripts block a page, which other programs lengthen."""
    parts = {part["id"]: part["weight"] for part in report["categories"]["performance"]["auditRefs"] if part["weight"]}
    parts.pop("total-blocking-time")
    return sum(weight * report["audits"][name]["score"] for name, weight in parts.items()) / sum(parts.values())


def _score(audit: dict[str, float]) -> float:
    return audit["score"]
