"""`syncagent doctor` on a node in shared mode: is the share there, and is it the right one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.wiring.doctor_share import examine_share
from syncagent.fsio import Mount, OsFS
from syncagent.settings.load import load

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.terminal import CommandLine


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A node with one tree and a folder that stands for its share."""
    site = tmp_path / "site"
    for part in ("tree", "share"):
        (site / part).mkdir(parents=True)
    (site / "state").mkdir(mode=0o700)
    (site / "syncagent.toml").write_text(
        f'[cluster]\nname = "c"\nmode = "shared"\n[node]\nname = "gw-1"\n'
        f'state_dir = "{site}/state"\n[[tree]]\nname = "synapse"\nkind = "synapse"\n'
        f'path = "{site}/tree"\nshare = "{site}/share"\n'
    )
    return site


def share_checks(call: CommandLine, site: Path) -> list[tuple[str, str, str]]:
    answer = call("doctor", "-o", "json", "--config", str(site / "syncagent.toml")).json
    assert isinstance(answer, dict)
    return [
        (row["found"], row["text"], row["next"])
        for row in answer["checks"]
        if row["check"] == "share synapse"
    ]


def prepare(call: CommandLine, site: Path) -> None:
    config = str(site / "syncagent.toml")
    assert call("init", "--share", "--force", "--config", config).code == 0


def test_a_share_without_its_mark_is_said_with_what_to_do(call: CommandLine, site: Path) -> None:
    ((found, text, hint),) = share_checks(call, site)
    assert found == "fail"
    assert "has no .syncagent-root: the share is not mounted, or was never prepared" in text
    assert hint == "mount the share; if the folder is right: syncagent init --share"


def test_a_share_is_named_by_its_mark_and_a_local_disk_is_none(
    call: CommandLine, site: Path
) -> None:
    prepare(call, site)
    uuid = json.loads((site / "share/.syncagent-root").read_text())["uuid"]
    known, local = share_checks(call, site)
    assert known == ("ok", f"{site}/share: share:{uuid}", "")
    assert local[0] == "warn"
    assert "only this machine writes to" in local[1]


def test_another_share_than_the_node_knew_is_a_warning(call: CommandLine, site: Path) -> None:
    prepare(call, site)
    memory = site / "state/shares.json"
    uuid = json.loads(memory.read_text())["synapse"]
    memory.write_text(json.dumps({"synapse": "0a1b"}))
    assert share_checks(call, site)[0] == (
        "warn",
        f"{site}/share is share:{uuid}, and this node knew share:0a1b",
        "mount the right share, or approve what the agent holds",
    )


def test_in_push_mode_nothing_is_said_of_a_share(call: CommandLine, site: Path) -> None:
    path = site / "syncagent.toml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(x for x in lines if not x.startswith(("mode", "share"))))
    assert share_checks(call, site) == []


class Served(OsFS):
    """As if the share were mounted from a server, with these options."""

    def __init__(self, point: Path, fs_type: str, options: str) -> None:
        super().__init__()
        self.mount = Mount(99, 1, "0:9", "/", str(point), fs_type, "srv:/x", "rw", options)

    __slots__ = ("mount",)

    def mount_table(self) -> tuple[Mount, ...]:
        return (*super().mount_table(), self.mount)

    def statfs_type(self, path: str) -> int:
        self.stat(path)
        return 0x6969


@pytest.mark.parametrize(
    ("served", "found", "words"),
    [
        (("nfs4", "rw,vers=4.2"), "warn", "is seen up to 60 s late: attributes are cached"),
        (("nfs4", "rw,noac"), "ok", "what others change is seen at once: noac"),
        (("fuse.sshfs", "rw"), "ok", "is seen up to 20 s late"),
        (("fuse.bindfs", "rw"), "ok", "nothing is known of a cache of attributes"),
    ],
)
def test_how_late_a_mount_shows_what_others_did_is_said(
    call: CommandLine, site: Path, served: tuple[str, str], found: str, words: str
) -> None:
    prepare(call, site)
    settings = load(str(site / "syncagent.toml"), {})
    known, cached = examine_share(Served(site / "share", *served), settings)
    assert (known.what, known.found) == ("share synapse", "ok"), "it is no local disk"
    assert (cached.what, cached.found) == (f"mount {site}/share", found)
    assert cached.text.startswith(f"{served[0]} srv:/x (synapse): ")
    assert words in cached.text
    assert ("mount it with" in cached.hint) is ("late" in words)


def test_a_share_that_can_not_be_written_is_of_no_use_to_who_may_lead(
    call: CommandLine, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(call, site)
    monkeypatch.setattr("os.access", lambda _path, _mode: False)  # root may write everywhere
    settings = load(str(site / "syncagent.toml"), {})
    checks = list(examine_share(Served(site / "share", "nfs4", "rw"), settings))
    assert [check.found for check in checks] == ["ok", "fail", "warn"]
    assert "this node can't keep the share when it leads" in checks[1].text


@pytest.mark.parametrize("inside", [True, False])
def test_what_another_user_made_on_the_share_is_told(
    call: CommandLine, site: Path, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    prepare(call, site)
    own = (site / "share" if inside else site) / ".syncagent"
    own.mkdir()
    settings = load(str(site / "syncagent.toml"), {})
    assert [check.found for check in examine_share(OsFS(), settings)] == ["ok", "warn"]
    mine = own.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: mine + 1)
    told = list(examine_share(OsFS(), settings))[-1]
    assert told.found == "fail"
    assert told.text == f"{own} belongs to user {mine}, and this is user {mine + 1}"
