"""What every tour of `scripts/quickstart` is made of: headlines, commands as typed, claims checked."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.e2e.cluster import files_of, until  # noqa: E402 - found by the line above

INDENT = "   "
COLOURED = sys.stdout.isatty() and "NO_COLOR" not in os.environ
HELD = 5
REJECTED = 6


class Broken(Exception):
    """A claim does not hold."""


def bold(text):
    return f"\033[1m{text}\033[0m" if COLOURED else text


def show(text):
    print(f"{INDENT}{text}", flush=True)


class Tour:
    """The cluster in `folder`, and a person's hands in it; `all_steps` is the story."""

    patience_s = 30.0
    """For a claim to become true."""

    def __init__(self, folder, cluster):
        self.folder = folder
        self.cluster = cluster
        self.manager, self.worker, self.other = cluster
        width = max(80, shutil.get_terminal_size().columns) - len(INDENT)
        for agent in cluster:
            agent.environment["COLUMNS"] = str(width)
        self.steps = 0

    def close(self):
        self.cluster.close()

    def logs(self):
        """Return the files to look at when a claim does not hold."""
        return [agent.log for agent in self.cluster]

    # --- what is printed ----------------------------------------------------------------------

    def headline(self, text):
        self.steps += 1
        print(f"\n{bold(f'{self.steps}. {text}')}", flush=True)

    def claim(self, text, fact):
        """Check a fact that may take a moment, then say it."""
        try:
            until(fact, text, self.patience_s)
        except AssertionError as error:
            raise Broken(str(error)) from None
        show(f"ok: {text}")

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
                show(line)
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
