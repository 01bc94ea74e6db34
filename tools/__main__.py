"""Run one of the tools: ``python -m tools NAME [WORDS]``."""

import sys
from importlib import import_module

COMMANDS = {
    "english": "tools.english",
    "notebooks": "tools.notebooks.check",
    "colab": "tools.notebooks.colab",
    "execute": "tools.notebooks.execute",
    "measure": "tools.notebooks.measure",
    "numbers": "tools.notebooks.prose",
    "pages": "tools.pages.measured",
    "play": "tools.play",
    "pdf": "tools.site.pdf",
    "picture": "tools.pages.picture",
    "rendered": "tools.pages.links",
    "workflows": "tools.workflows.check",
    "chapters": "tools.workflows.chapters",
    "changed": "tools.workflows.changed",
    "gpu": "tools.workflows.gpu",
    "gpu_report": "tools.workflows.gpu_report",
    "report": "tools.workflows.report",
    "dist": "tools.release.dist",
    "try": "tools.release.attempt",
    "lock": "tools.release.lock",
}


def main(arguments: list[str]) -> int:
    """Run the tool that is named first with the words behind it, and return its exit status."""
    if not arguments or arguments[0] not in COMMANDS:
        print(f"python -m tools NAME, where NAME is one of: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    name, *words = arguments
    status: int = import_module(COMMANDS[name]).main(words)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
