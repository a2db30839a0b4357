"""A /proc in a folder: processes that a test starts and ends by hand."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class FakeProc:
    """Lists what `start` put there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        boot = folder / "sys/kernel/random"
        boot.mkdir(parents=True)
        (boot / "boot_id").write_text("0f1e2d3c-boot\n")

    def start(self, pid: int, *words: str, at: float, cwd: Path | None = None) -> None:
        """Have a process with this command line that began `at` seconds after the boot."""
        here = self.folder / str(pid)
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        (here / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
        ticks = round(at * TICKS)
        fields = ["S", *["0"] * 18, str(ticks), *["0"] * 30]
        (here / "stat").write_text(f"{pid} (java (or not) x) {' '.join(fields)}\n")
        if cwd is not None:
            (here / "cwd").symlink_to(cwd)

    def zombie(self, pid: int) -> None:
        """End a process whose parent has not looked yet."""
        stat = self.folder / str(pid) / "stat"
        stat.write_text(stat.read_text().replace(") S ", ") Z "))

    def end(self, pid: int) -> None:
        """End a process."""
        shutil.rmtree(self.folder / str(pid))
