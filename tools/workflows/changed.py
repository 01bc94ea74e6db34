"""List the pages of the book that differ from another commit, for the summary of a run: `make changed`.

The list is in Markdown, and new pages are marked. A page counts as changed when its file or its text twin did; changes
to the settings or to the look touch every page, and the list says so. So does a stored result for a page that reads it:
unless the page changed, too, its outputs may be those of the earlier one.
"""

import re
import subprocess
import sys

from tools import ROOT
from tools.contents import first, notebook_of, pages

EVERYWHERE = ("_config.yml", "_toc.yml", "book/_ext/", "book/_static/", "book/references.bib", "constraints.txt")
RESULTS = "companion/shelf/files/"
READ = re.compile(r"""load_result\(f?["']([^"']+)""")
NONE = "0" * 40  # what GitHub names as the commit before a branch's first one


def changed(files: dict[str, str]) -> list[str]:
    """Return the lines of the list, from git's letters (A, M, D) by file."""
    lines = []
    for page in [first(), *pages()]:
        letters = {files.get(f"book/{page}{ending}") for ending in (".ipynb", ".myst.md", ".md")} - {None}
        if letters:
            lines.append(f"- {'new' if letters == {'A'} else 'changed'}: `{page}.html`")
        elif results := outdated(page, files):
            told = ", ".join(f"`{name}`" for name in results)
            lines.append(f"- perhaps outdated: `{page}.html`, which may read {told}: make execute NB=book/{page}.ipynb")
    shared = [name for name in files if name.startswith(EVERYWHERE)]
    if shared:
        lines.append(f"- every page may look different, because of {', '.join(f'`{name}`' for name in shared)}")
    return lines or ["- none"]


def outdated(page: str, files: dict[str, str]) -> list[str]:
    """Name the stored results among changed files that a page reads, in an f-string whatever may stand there."""
    text = notebook_of(page).with_suffix(".myst.md")
    if not text.is_file():
        return []
    patterns = [
        re.sub(r"\\{.*?\\}", r"\\w+", re.escape(name)) for name in READ.findall(text.read_text(encoding="utf-8"))
    ]
    results = [name.removeprefix(RESULTS).removesuffix(".npz") for name in files if name.startswith(RESULTS)]
    return [name for name in results if any(re.fullmatch(pattern, name) for pattern in patterns)]


def main(arguments: list[str]) -> int:
    """Print the list of pages changed since the commit named, such as ``origin/main``; by default, the one before."""
    base = arguments[0] if arguments else ""
    if not base or base == NONE:
        base = "HEAD~1"
    command = ["git", "diff", "--name-status", "--no-renames", "--merge-base", base, "HEAD"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode:
        print(f"git knows no commit {base!r} to compare with: {run.stderr.strip()}", file=sys.stderr)
        return 1
    files = {name: letter for letter, name in (line.split("\t", 1) for line in run.stdout.splitlines())}
    print("### Changed pages\n\nThe preview is the artefact `book`; open its `index.html`.\n")
    print("\n".join(changed(files)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
