"""Run ``python -m tools.play``."""

import sys

from tools.play import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
