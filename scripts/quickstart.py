"""The tour behind `scripts/quickstart`: each step says what it claims, does it, and checks it.

A step prints a headline, the commands that a person would type, and what they really print; then
the tour itself compares the trees byte by byte. The first claim that does not hold ends it with
exit code 1.
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.e2e.cluster import Cluster, files_of, until  # noqa: E402 - found by the line above

RELEASES = ROOT / "tests/data/corpus/apim-releases"
OLD, NEW = (RELEASES / tag / "synapse-configs/default" for tag in ("v3.2.0", "v4.0.0"))
WAIT = ("wait", "--timeout", "30s")
PATIENCE_S = 30.0
HELD = 5
INDENT = "   "
SEQUENCE = "sequences/_token_fault_.xml"
COLOURED = sys.stdout.isatty() and "NO_COLOR" not in os.environ


class Broken(Exception):
    """A claim does not hold."""


def bold(text):
    return f"\033[1m{text}\033[0m" if COLOURED else text


class Tour:
    """The cluster, and a person's hands in it."""

    def __init__(self, folder):
        self.folder = folder
        for tag, source in (("3.2.0", OLD), ("4.0.0", NEW)):
            shutil.copytree(source, folder / "releases" / tag)
        nodes = {"gw-1": OLD, "gw-2": None, "gw-3": None}
        self.cluster = Cluster(folder, nodes)
        self.manager, self.worker, self.other = self.cluster
        width = max(80, shutil.get_terminal_size().columns) - len(INDENT)
        for agent in self.cluster:
            agent.environment["COLUMNS"] = str(width)
        self.steps = 0

    # --- what is printed ----------------------------------------------------------------------

    def headline(self, text):
        self.steps += 1
        print(f"\n{bold(f'{self.steps}. {text}')}", flush=True)

    def claim(self, text, fact):
        """Check a fact that may take a moment, then say it."""
        try:
            until(fact, text, PATIENCE_S)
        except AssertionError as error:
            raise Broken(str(error)) from None
        print(f"{INDENT}ok: {text}", flush=True)

    def type(self, command):
        """Run a shell command in the cluster's folder, as a person would."""
        print(f"$ {command}", flush=True)
        bash = ["bash", "-c", command]
        subprocess.run(bash, cwd=self.folder, check=True, stdin=subprocess.DEVNULL)

    def ask(self, agent, *arguments, codes=(0,), only=()):
        """Run `syncagent ...` on a node and show what it prints, or what starts like `only`."""
        shown = f" | grep -E '^({'|'.join(only)})'" if only else ""
        print(f"{agent.name}$ syncagent {shlex.join(arguments)}{shown}", flush=True)
        done = agent.run(*arguments)
        for line in (done.stdout + done.stderr).splitlines():
            if line.strip() and (not only or line.startswith(only)):
                print(f"{INDENT}{line}", flush=True)
        if done.returncode not in codes:
            raise Broken(f"it exited with {done.returncode}, not {' or '.join(map(str, codes))}")
        return done

    # --- what is true -------------------------------------------------------------------------

    def has(self, agent, wanted):
        return files_of(agent.tree) == wanted

    def all_have(self, wanted):
        return all(self.has(agent, wanted) for agent in self.cluster)

    def row(self, name):
        status = self.manager.answer("status")
        return next(row for row in status["nodes"] if row["name"] == name)

    def reported(self, agent):
        return self.row(agent.name)["watch"] is not None

    # --- the steps ----------------------------------------------------------------------------

    def fill(self):
        self.headline("gw-1 holds the artifacts of API Manager 3.2.0; gw-2 and gw-3 start empty")
        self.cluster.start()
        self.ask(self.manager, *WAIT)
        self.claim("three trees are equal, byte for byte", lambda: self.all_have(files_of(OLD)))
        self.claim("every node has reported", lambda: all(map(self.reported, self.cluster)))
        self.ask(self.manager, "status")

    def upgrade(self):
        self.headline("The real upgrade to 4.0.0, made on gw-1: files added, edited and deleted")
        new = files_of(NEW)
        self.type("cp -rT releases/4.0.0 gw-1/tree")
        self.type("rm gw-1/tree/api/_{Authorize,OpenIDConfig,Revoke,Token,UserInfo}API_.xml")
        waited = self.ask(self.manager, *WAIT, codes=(0, HELD))
        if waited.returncode == HELD:
            self.ask(self.manager, "get", "held")
            print("   So many deletions at once wait for a person: here they are meant.")
            for hold in self.manager.ask("get", "held"):
                self.ask(self.manager, "approve", hold["id"])
            self.ask(self.manager, *WAIT)
        self.ask(self.manager, "diff", "1", codes=(0, 3), only=("add ", "update ", "delete "))
        print(
            f"{INDENT}SecureWebhookServer.xml came too, but every gateway writes its own: ignored."
        )
        self.ask(self.manager, "status")
        self.claim("three trees are those of 4.0.0, byte for byte", lambda: self.all_have(new))

    def hand_edit(self):
        self.headline("Somebody edits a file on a worker: put back, and the edit is kept")
        wanted = files_of(self.manager.tree)
        edited = self.worker.tree / SEQUENCE
        self.type(f"echo '<!-- quick fix -->' >> gw-2/tree/{SEQUENCE}")
        self.claim(
            "gw-2 has the cluster's bytes again",
            lambda: edited.read_bytes() == wanted[SEQUENCE] and self.has(self.worker, wanted),
        )
        self.claim("the edit is in quarantine", lambda: self.kept(SEQUENCE))
        self.ask(self.worker, "get", "quarantine")

    def kept(self, path):
        return any(row["path"] == path for row in self.worker.ask("get", "quarantine"))

    def broken_file(self):
        self.headline("A file is broken on gw-1: refused with line and reason, workers untouched")
        wanted = files_of(self.worker.tree)
        self.type(f"truncate --size 300 gw-1/tree/{SEQUENCE}")
        self.claim("gw-1 refuses it", lambda: self.manager.ask("get", "refused"))
        self.ask(self.manager, "get", "refused")
        self.ask(self.manager, "validate", f"tree/{SEQUENCE}", codes=(6,))
        untouched = all(self.has(agent, wanted) for agent in (self.worker, self.other))
        self.claim("both workers keep the last good version", lambda: untouched)
        self.type(f"cp releases/4.0.0/{SEQUENCE} gw-1/tree/sequences/")
        self.claim("mended: nothing is refused", lambda: not self.manager.ask("get", "refused"))

    def folder_gone(self):
        self.headline("A folder vanishes on gw-1, as with a lost mount: held, nothing is deleted")
        wanted = files_of(self.worker.tree)
        self.type("mv gw-1/tree/sequences gw-1/elsewhere")
        self.claim("it is held", lambda: self.manager.ask("get", "held"))
        self.ask(self.manager, "get", "held")
        untouched = all(self.has(agent, wanted) for agent in (self.worker, self.other))
        self.claim("both workers still have every file", lambda: untouched)
        self.type("mv gw-1/elsewhere gw-1/tree/sequences")
        self.claim("it came back: nothing is held", lambda: not self.manager.ask("get", "held"))

    def killed(self):
        self.headline("kill -9 on gw-3, then a change: the others go on, gw-3 catches up later")
        wanted = files_of(self.manager.tree)
        self.type("kill -9 $(cat gw-3/pid)")
        self.other.ended()
        self.type(f"echo '<!-- of today -->' >> gw-1/tree/{SEQUENCE}")
        wanted[SEQUENCE] += b"<!-- of today -->\n"
        self.claim("gw-2 has the change", lambda: self.has(self.worker, wanted))
        self.claim("gw-1 calls gw-3 Offline", lambda: self.row("gw-3")["state"] == "Offline")
        self.ask(self.manager, "status")
        print("gw-3$ syncagent run &", flush=True)
        self.cluster.start("gw-3")
        self.claim("gw-3 has the change too", lambda: self.has(self.other, wanted))
        self.claim("gw-1 calls all three Synced", self.cluster.synced)
        self.ask(self.manager, "status")

    def all_steps(self):
        self.fill()
        self.upgrade()
        self.hand_edit()
        self.broken_file()
        self.folder_gone()
        self.killed()


def usage_of(folder):
    program = Path(sys.executable).parent / "syncagent"
    print(f"""
The agents go on running. Look around, change files, stop one:
  export SYNCAGENT_CONFIG={folder}/gw-1/settings.toml
  {program} status
  {program} get artifacts
  ls {folder}/gw-2/tree
Stop all and remove the folder:
  scripts/quickstart --stop {folder}""")


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


def stop(folder):
    """Stop the agents of `folder`: only processes that really are its agents."""
    pids = sorted(folder.glob("gw-*/pid"))
    if not pids:
        sys.exit(f"quickstart: {folder} holds no cluster of the quickstart")
    for path in pids:
        pid = int(path.read_text())
        ours = f"SYNCAGENT_CONFIG={path.parent}/settings.toml".encode()
        if b"syncagent" not in command_line_of(pid) or ours not in environment_of(pid).split(b"\0"):
            continue
        os.kill(pid, signal.SIGTERM)
        until(lambda pid=pid: not command_line_of(pid), f"the agent {pid} ends")
        print(f"stopped {path.parent.name}")
    shutil.rmtree(folder)
    print(f"removed {folder}")


def report_failure(error, walk):
    print(f"\nNOT AS IT SAYS: {error}", file=sys.stderr)
    for agent in walk.cluster if walk else ():
        lines = agent.log.read_text().splitlines() if agent.log.exists() else []
        print(f"--- log of {agent.name}, its end:", *lines[-15:], sep="\n", file=sys.stderr)


def tour(*, keep):
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="syncagent-quickstart-"))
    walk, kept = None, False
    try:
        print(f"Three agents on this machine; all is in {folder}")
        walk = Tour(folder)
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
                walk.cluster.close()
            shutil.rmtree(folder)
    if kept:
        usage_of(folder)
    return 0


def main():
    parser = argparse.ArgumentParser(prog="scripts/quickstart", description="See syncagent work.")
    parser.add_argument("--keep", action="store_true", help="leave the agents running")
    parser.add_argument("--stop", metavar="DIR", type=Path, help="stop what --keep left running")
    wishes = parser.parse_args()
    if wishes.stop:
        stop(wishes.stop.resolve())
        return 0
    # As with ^C: what was started is ended, what was made is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return tour(keep=wishes.keep)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
