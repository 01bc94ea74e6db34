"""What the book consists of, by its table of contents. Read by the checks, and by what makes pages from results."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
FIRST = CONTENTS["root"]


def pages() -> list[str]:
    """The pages after the first one, without endings, relative to book/, in their order."""
    return [page["file"] for part in CONTENTS["parts"] for page in part["chapters"]]


def chapters() -> list[str]:
    """The pages that are notebooks."""
    return [page for page in pages() if (ROOT / "book" / f"{page}.ipynb").is_file()]
