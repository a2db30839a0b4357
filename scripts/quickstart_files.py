"""The first tour: files alone. A real upgrade, a hand edit, a broken file, a lost folder, a kill -9."""

import shutil

from quickstart_tour import HELD, INDENT, ROOT, Tour

from tests.e2e.cluster import Cluster, files_of

RELEASES = ROOT / "tests/data/corpus/apim-releases"
OLD, NEW = (RELEASES / tag / "synapse-configs/default" for tag in ("v3.2.0", "v4.0.0"))
WAIT = ("wait", "--timeout", "30s")
SEQUENCE = "sequences/_token_fault_.xml"


class Files(Tour):
    """Three agents, no gateways."""

    what = "Three agents on this machine"

    def __init__(self, folder):
        for tag, source in (("3.2.0", OLD), ("4.0.0", NEW)):
            shutil.copytree(source, folder / "releases" / tag)
        super().__init__(folder, Cluster(folder, {"gw-1": OLD, "gw-2": None, "gw-3": None}))

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

    def usage(self):
        return f"ls {self.folder}/gw-2/tree"
