"""What the tests of the tools share: the programs of this environment."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def tool():
    """Run a program that was installed beside this Python."""

    def run(name, *words):
        program = Path(sys.executable).with_name(name)
        return subprocess.run([str(program), *words], capture_output=True, text=True, check=False)

    return run
