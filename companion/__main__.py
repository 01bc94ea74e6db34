"""In: the command line of ``python -m companion``. Out: what `companion` does. See the book's data page."""

import sys

from companion.cli import main

if __name__ == "__main__":
    sys.exit(main())
