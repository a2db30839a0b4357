"""What `config/` offers is right: it loads, it is complete, and the real tools take it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from syncagent.agent.hands import lanes
from syncagent.agent.node.handing import LEAVE_S
from syncagent.core.settings import Limits, RolloutSettings
from syncagent.leases import elector
from syncagent.settings.keys import parse_key
from syncagent.settings.load import interpret
from syncagent.settings.table import SECTIONS
from syncagent.ssh.links import Pace

CONFIG = Path(__file__).resolve().parents[3] / "config"
HOME = "/opt/wso2am-3.1.0"


def example(tmp_path: Path) -> str:
    """The example, with the gateway's home where this test can make one."""
    (tmp_path / "repository/deployment/server/synapse-configs/default").mkdir(parents=True)
    text = (CONFIG / "syncagent.toml").read_text()
    assert text.count(HOME) == 1
    return text.replace(HOME, str(tmp_path)).replace("/var/lib/syncagent", str(tmp_path / "state"))


def tool(name: str) -> str:
    """Where a program is; a machine that must have all of them fails without it."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None and os.environ.get("SYNCAGENT_REQUIRE_ALL") == "1":
        pytest.fail(f"{name} is needed and not there")
    if found is None:
        pytest.skip(f"{name} is not there")
    return found


def test_the_example_loads(tmp_path: Path) -> None:
    settings = interpret(example(tmp_path), "syncagent.toml", {}).settings
    assert [tree.name for tree in settings.trees] == ["synapse", "extras"]
    assert [peer.name for peer in settings.peers] == ["gw-2", "gw-3"]
    assert settings.rollout == RolloutSettings()


def test_the_example_names_every_key_and_no_other(tmp_path: Path) -> None:
    text = example(tmp_path)
    heads = re.findall(r"^\[\[?(\w+)\]\]?$", text, re.MULTILINE)
    for known in SECTIONS:
        assert known.name in heads
        part = text.partition(f"\n[{known.name}]\n")[2] or text.partition(f"[[{known.name}]]\n")[2]
        part = part.partition("\n[")[0]
        named = re.findall(r"^(?:# )?(\w+) = ", part, re.MULTILINE)
        expected = [key.name for key in known.keys]
        assert sorted(set(named)) == sorted(expected), known.name


def test_what_the_example_shows_as_default_is_the_default(tmp_path: Path) -> None:
    text = example(tmp_path)
    plain = interpret(text, "syncagent.toml", {}).settings
    # What has no default is shown as an example, and not all of these fit together.
    no_default = "|".join(
        key.name
        for each in SECTIONS
        for key in each.keys
        if key.default in {None, ""} or each.name == "shared"
    )
    commented = rf"^# ((?!(?:{no_default}) )\w+ = (?:\"[^\"]*\"|\w+))"
    bare = re.sub(commented, r"\1", text, flags=re.MULTILINE)
    assert bare != text
    settings = interpret(bare, "syncagent.toml", {}).settings
    assert settings.limits == Limits(), "written quiet times win over those beside Carbon"
    assert settings.rollout == plain.rollout
    assert settings.election == plain.election
    assert (settings.mode, settings.writers, settings.apply) == (
        plain.mode,
        plain.writers,
        plain.apply,
    )


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    verify = tool("systemd-analyze")
    text = (CONFIG / "syncagent.service").read_text()
    program = "/usr/local/bin/syncagent"
    assert program in text
    unit = tmp_path / "syncagent.service"
    unit.write_text(text.replace(program, "/bin/true"))
    ran = subprocess.run([verify, "verify", unit], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    unit.write_text(text.replace("ProtectSystem=strict", "ProtectSystm=strict"))
    wrong = subprocess.run([verify, "verify", unit], capture_output=True, text=True, check=False)
    assert "ProtectSystm" in wrong.stderr, "this test would not see a mistake"


def test_the_gateway_s_unit_takes_the_wait_before_its_start(tmp_path: Path) -> None:
    verify = tool("systemd-analyze")
    program = "/usr/local/bin/syncagent"
    agent = (CONFIG / "syncagent.service").read_text().replace(program, "/bin/true")
    (tmp_path / "syncagent.service").write_text(agent)
    gateway = tmp_path / "wso2am.service"
    gateway.write_text("[Unit]\nDescription=a gateway\n[Service]\nExecStart=/bin/true\n")
    text = (CONFIG / "gateway-ready.conf").read_text()
    assert f"ExecStartPre={program} wait --ready --timeout 60s " in text
    drop_in = tmp_path / "wso2am.service.d/syncagent.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(text.replace(program, "/bin/true"))
    ran = subprocess.run([verify, "verify", gateway], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    drop_in.write_text(text.replace("ExecStartPre", "ExecStartPrae"))
    wrong = subprocess.run([verify, "verify", gateway], capture_output=True, text=True, check=False)
    assert "ExecStartPrae" in wrong.stderr, "this test would not see a mistake"


def test_the_unit_opens_what_the_example_needs_and_no_more() -> None:
    lines = (CONFIG / "syncagent.service").read_text().splitlines()
    unit = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    assert unit["ReadWritePaths"] == f"{HOME}/repository", "above every tree: one mount for renames"
    assert unit["RequiresMountsFor"].split() == ["/var/lib/syncagent", HOME]
    assert unit["StateDirectoryMode"] == "0700"
    assert unit["CapabilityBoundingSet"] == ""
    assert unit["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert unit["RestartPreventExitStatus"] == "2"
    assert "WatchdogSec" not in unit


def test_the_cron_entry_has_the_fields_of_cron_d() -> None:
    lines = (CONFIG / "syncagent.cron").read_text().splitlines()
    jobs = [line for line in lines if line and not re.match(r"#|\w+=", line)]
    assert len(jobs) == 1
    match = re.fullmatch(r"(\S+) (\S+) (\S+) (\S+) (\S+) (\w+) (syncagent .+)", jobs[0])
    assert match is not None
    assert match.group(1, 2, 3, 4, 5, 6) == ("*/15", "*", "*", "*", "*", "wso2carbon")
    assert "reconcile --if-busy skip" in match[7]
    assert "%" not in match[7], "cron takes a per cent sign for a line end"


@pytest.mark.needs_sshd
def test_sshd_gives_the_agents_user_nothing_but_the_forced_command(tmp_path: Path) -> None:
    sshd = tool("sshd")
    try:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    except OSError:
        if os.environ.get("SYNCAGENT_REQUIRE_ALL") == "1":
            pytest.fail("sshd needs /run/sshd, and this user can't make it")
        pytest.skip("sshd needs /run/sshd, and this user can't make it")
    key = tmp_path / "host"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    settings = tmp_path / "sshd_config"
    settings.write_text(f"HostKey {key}\n{(CONFIG / 'sshd_syncagent.conf').read_text()}")

    def effective(user: str) -> dict[str, str]:
        match = f"user={user},host=a,addr=127.0.0.1"
        command = [sshd, "-T", "-f", settings, "-C", match]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        return dict(line.split(" ", 1) for line in ran.stdout.splitlines() if " " in line)

    found = effective("wso2carbon")
    assert found["authorizedkeysfile"] == "/etc/syncagent/authorized_keys"
    assert found["authenticationmethods"] == "publickey"
    for name in (
        *("passwordauthentication", "kbdinteractiveauthentication", "permittty", "permituserrc"),
        *("permittunnel", "x11forwarding", "allowagentforwarding", "allowtcpforwarding"),
        *("allowstreamlocalforwarding", "gatewayports"),
    ):
        assert found[name] == "no", name
    assert effective("someone")["permittty"] == "yes", "other users are left alone"


def test_an_authorized_key_is_tied_to_one_peer_and_one_command() -> None:
    lines = (CONFIG / "authorized_keys.example").read_text().splitlines()
    entries = [line for line in lines if not line.startswith("#")]
    match = re.fullmatch(
        r'restrict,command="(\S+ serve --stdio --peer (\S+) --config \S+)" (\S+ \S+) (\S+)',
        entries[0],
    )
    assert match is not None
    assert match[2] == match[4]
    assert match[3] == parse_key(match[3])
    keygen = tool("ssh-keygen")
    ran = subprocess.run(
        [keygen, "-l", "-f", CONFIG / "authorized_keys.example"], capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_the_unit_waits_longer_for_the_agent_than_the_agent_takes_at_most() -> None:
    """Else a manager that hands over is killed, and takes its lease with it until that runs out."""
    (seconds,) = re.findall(
        r"^TimeoutStopSec=(\d+)s$", (CONFIG / "syncagent.service").read_text(), re.MULTILINE
    )
    to_hang_up = Pace().goodbye_s + Pace().tick_s
    assert int(seconds) >= LEAVE_S + lanes.JOIN_S + to_hang_up + 2 * elector.JOIN_S
