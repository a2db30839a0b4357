"""Behind `scripts/quickstart`: tours whose steps say what they claim, do it, and check it.

A step prints a headline, the commands that a person would type, and what they really print; then
the tour itself looks at the files, and at what gateways answer. The first claim that does not hold
ends it with exit code 1.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from quickstart_files import Files
from quickstart_gateways import Gateways
from quickstart_tour import Broken, bold

from tests.e2e.cluster import until


def usage_of(walk):
    program = Path(sys.executable).parent / "syncagent"
    print(f"""
All of it goes on running. Look around, change files, stop one:
  export SYNCAGENT_CONFIG={walk.folder}/gw-1/settings.toml
  {program} status
  {program} get artifacts
  {walk.usage()}
Stop all and remove the folder:
  scripts/quickstart --stop {walk.folder}""")


def command_line_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def environment_of(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def is_agent(pid, folder):
    ours = f"SYNCAGENT_CONFIG={folder}/settings.toml".encode()
    return b"syncagent" in command_line_of(pid) and ours in environment_of(pid).split(b"\0")


def is_runtime(pid, folder):
    parts = command_line_of(pid).split(b"\0")
    return b"org.apache.synapse.SynapseServer" in parts and str(folder).encode() in parts


def stop(folder):
    """Stop what runs in `folder`: only processes that really are its agents and runtimes."""
    agents, runtimes = sorted(folder.glob("gw-*/pid")), sorted(folder.glob("gateways/gw-*/pid"))
    if not agents:
        sys.exit(f"quickstart: {folder} holds no cluster of the quickstart")
    for what, paths, is_ours in (("agent", agents, is_agent), ("runtime", runtimes, is_runtime)):
        for path in paths:
            pid = int(path.read_text())
            if is_ours(pid, path.parent):
                os.kill(pid, signal.SIGTERM)
                until(lambda pid=pid: not command_line_of(pid), f"the {what} {pid} ends")
                print(f"stopped the {what} of {path.parent.name}", flush=True)
    shutil.rmtree(folder)
    print(f"removed {folder}")


def report_failure(error, walk):
    print(f"\nNOT AS IT SAYS: {error}", file=sys.stderr)
    for log in walk.logs() if walk else ():
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        print(f"--- the end of {log}:", *lines[-15:], sep="\n", file=sys.stderr)


def tour(story, *, keep):
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="syncagent-quickstart-"))
    walk, kept = None, False
    try:
        print(f"{story.what}; all is in {folder}", flush=True)
        walk = story(folder)
        walk.all_steps()
        seconds = time.monotonic() - began
        print(f"\n{bold(f'All {walk.steps} steps were as they say')}, in {seconds:.0f} s.")
        kept = keep
    except (Broken, AssertionError, subprocess.SubprocessError) as error:
        report_failure(error, walk)
        return 1
    finally:
        if not kept:
            if walk:
                walk.close()
            shutil.rmtree(folder)
    if kept:
        usage_of(walk)
    return 0


def main():
    parser = argparse.ArgumentParser(prog="scripts/quickstart", description="See syncagent work.")
    parser.add_argument(
        "--synapse", action="store_true", help="on three real gateways, which are fetched first"
    )
    parser.add_argument("--keep", action="store_true", help="leave all of it running")
    parser.add_argument("--stop", metavar="DIR", type=Path, help="stop what --keep left running")
    wishes = parser.parse_args()
    if wishes.stop:
        stop(wishes.stop.resolve())
        return 0
    # As with ^C: what was started is ended, what was made is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return tour(Gateways if wishes.synapse else Files, keep=wishes.keep)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
