"""The README's generated parts are what the program says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from syncagent.cli.help import CODES
from syncagent.core.errors import ExitCode

ROOT = Path(__file__).resolve().parents[3]


def test_the_readme_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "readme", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_exit_code_is_explained() -> None:
    assert set(CODES) == {*map(int, ExitCode), 130}
