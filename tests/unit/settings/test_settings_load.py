"""From text to settings: what is taken, what is refused, on which line and in which words."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import TreeKind
from syncagent.core.errors import ExitCode, SettingsError
from syncagent.core.lease import Timing
from syncagent.core.settings import (
    Drift,
    HttpSettings,
    Limits,
    RolloutSettings,
    RuntimeSettings,
    Settings,
    WatchMode,
    Writers,
)
from syncagent.settings.load import interpret, load, read
from syncagent.settings.sheet import FILE_BYTES_MAX

KEY_2 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAHJ/sGrRAJE0e/Qnzv6fB+QCVFhtguKYV7MLVC5mraT"
KEY_3 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL/kuft6Rn1JhSoPxZxJY0CNRXEltVfLcYjO4qI++/Rn"
MINIMAL = """\
[cluster]
name = "c"
[node]
name = "gw-1"
state_dir = "/nowhere/state"
[[tree]]
name = "synapse"
kind = "synapse"
path = "/nowhere/tree"
"""


def loaded(text: str, **environ: str) -> Settings:
    return interpret(text, "s.toml", environ).settings


def mistakes_of(text: str, **environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        interpret(text, "s.toml", environ)
    assert caught.value.exit_code is ExitCode.USAGE
    assert f"{len(caught.value.mistakes)} mistake" in str(caught.value)
    return caught.value.mistakes


def says(words: str) -> Callable[[SettingsError], bool]:
    return lambda error: words in error.mistakes[0]


def only_mistake(text: str, **environ: str) -> str:
    mistakes = mistakes_of(text, **environ)
    assert len(mistakes) == 1, mistakes
    return mistakes[0]


def test_a_minimal_file_takes_every_default() -> None:
    settings = loaded(MINIMAL)
    assert settings.cluster == "c"
    assert settings.node == "gw-1"
    assert settings.limits == Limits()
    assert settings.writers is Writers.MANAGER
    assert settings.election.manager == "gw-1", "a node without peers leads itself"
    assert settings.runtime.kind == "auto"
    assert settings.http == HttpSettings(), "the TCP door is shut"


def test_every_value_lands_in_its_field() -> None:
    settings = loaded(
        MINIMAL.replace('name = "c"', 'name = "c"\nmode = "push"\nwriters = "any"').replace(
            'name = "gw-1"', 'name = "gw-1"\nlisten = "[fd00::1]:7421"\napply = false'
        )
        + f"""\
drift = "report"
ignore = ["*.bak", "/x y/"]
watch = "poll"
[[peer]]
name = "gw-1"
address = "gw-1:7421"
[[peer]]
name = "gw-2"
address = "10.0.0.12:7421"
key = "{KEY_2} admin@host"
[election]
manager = "gw-2"
lease = "30s"
renew = "10s"
operation = "4s"
margin = "2s"
[runtime]
kind = "none"
[http]
listen = "[::1]:7480"
token_file = "/t"
certificate = "/c"
certificate_key = "/k"
[rollout]
canary = "worker"
max_unavailable = "50%"
on_reject = "continue"
[limits]
delete_share = "12.5%"
file_size = "1MiB"
quarantine_age = "7d"
reconcile = "90s"
"""
    )
    tree = settings.trees[0]
    assert (tree.kind, tree.drift, tree.watch) == (TreeKind.SYNAPSE, Drift.REPORT, WatchMode.POLL)
    assert tree.ignore == ("*.bak", "/x y/")
    assert (settings.listen, settings.apply, settings.writers) == (
        "[fd00::1]:7421",
        False,
        Writers.ANY,
    )
    assert [(p.name, p.address, p.key) for p in settings.peers] == [
        ("gw-2", "10.0.0.12:7421", KEY_2)
    ], "the node's own entry is ignored and a key's comment dropped"
    election = settings.election
    assert (election.manager, election.lease_s, election.renew_s) == ("gw-2", 30, 10)
    assert (election.operation_s, election.margin_s) == (4, 2)
    assert settings.rollout.max_unavailable == 0.5
    assert (settings.rollout.canary, settings.rollout.on_reject) == ("worker", "continue")
    assert settings.http == HttpSettings("[::1]:7480", "/t", "/c", "/k")
    limits = settings.limits
    assert (limits.delete_share, limits.file_bytes) == (0.125, 1024**2)
    assert (limits.quarantine_s, limits.reconcile_s) == (604_800, 90)


def test_a_key_beside_its_defaults_is_a_full_set_of_limits() -> None:
    assert loaded(MINIMAL + '[limits]\npoll = "5s"\n').limits == Limits(poll_s=5.0)


PEERS = f"""\
[[peer]]
name = "gw-2"
address = "gw-2:7421"
key = "{KEY_2}"
[[peer]]
name = "gw-3"
address = "gw-3:7421"
[election]
manager = "gw-1"
"""


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        # line 10 is the first that is added
        ("[clutser]", "s.toml:10: there is no section [clutser]; did you mean cluster?"),
        ("[limits]\nfile = 3", "s.toml:11: [limits] has no key file; did you mean"),
        ("[limits]\nqwzx = 3", "s.toml:11: [limits] has no key qwzx; there are delete_apis,"),
        ("[limits]\nreconcile = 300", 's.toml:11: limits.reconcile = 300: a length of time needs a unit; write "300s"'),
        ('[limits]\nreconcile = "5"', 'write "5s"'),
        ('[limits]\nreconcile = "1s"', "s.toml:11: limits.reconcile = \"1s\": this has to be from 5s to 1d"),
        ("[limits]\nreconcile = true", "this has to be text in quotes"),
        ("[limits]\n\n\nfile_size = 5", 's.toml:13: limits.file_size = 5: a size needs a unit; write "5B"'),
        ('[limits]\nfile_size = "5MB"', "a size needs a whole number and a unit"),
        ('[limits]\nfile_size = "2GiB"', "this has to be from 1KiB to 1GiB"),
        ("[limits]\ndelete_share = 0.2", "a share needs a per cent sign"),
        ('[limits]\ndelete_apis = "10"', "this has to be a whole number, without quotes"),
        ("[limits]\ndelete_apis = true", "this has to be a whole number, without quotes"),
        ("[limits]\ndelete_apis = -1", "this has to be from 0 to"),
        ("[limits]\nhistory_revisions = 1", "this has to be from 2 to"),
        ('[limits]\nreconnect_first = "2m"', "s.toml:11: limits.reconnect_first is longer than limits.reconnect_max"),
        ('[limits]\nsettle_cap = "300ms"', "s.toml:11: limits.settle_created is longer than limits.settle_cap"),
        ('[rollout]\nordered = "yes"', "s.toml:11: rollout.ordered = \"yes\": this has to be true or false, without quotes"),
        ('[rollout]\non_reject = "stop"', 'write "hold" or "rollback" or "continue"'),
        ('[rollout]\ncanary = "all"', 'write "manager" or "worker" or "none"'),
        ('[runtime]\nkind = "tomcat"', 'write "auto" or "synapse" or "carbon" or "command" or "none"'),
        ('[runtime]\nkind = "carbon"', 's.toml:11: runtime.kind = "carbon" needs gateway.home, or runtime.log'),
        ('[runtime]\nlog = "/x"', "s.toml:11: runtime.log: whose log it is needs gateway.home, or runtime.kind"),
        ('[runtime]\nlog = "logs/x"', "s.toml:11: runtime.log = \"logs/x\": a daemon has no folder to start from"),
        ('[runtime]\nkind = "none"\nlog = "/x"', 's.toml:12: runtime.log is not read by runtime.kind = "none"; take it out'),
        ('[runtime]\nkind = "command"', 's.toml:11: runtime.kind = "command" needs runtime.command'),
        ('[runtime]\nkind = "command"\ncommand = []', 's.toml:11: runtime.kind = "command" needs runtime.command'),
        ('[runtime]\nkind = "command"\ncommand = ["deploy"]', "s.toml:12: runtime.command: 'deploy' is no path from / on"),
        ('[runtime]\nkind = "command"\ncommand = "/bin/deploy"', "s.toml:12: runtime.command = \"/bin/deploy\": this has to be a list of texts"),
        ('[runtime]\ncommand = ["/bin/deploy"]', 's.toml:11: runtime.command needs runtime.kind = "command"'),
        ('[runtime]\ntimeout = "10ms"', "s.toml:11: runtime.timeout = \"10ms\": this has to be from 1s to 1h"),
        ('[http]\nlisten = ":7480"', "s.toml:11: http.listen = \":7480\": '' is neither a host name nor an IP address"),
        ('[http]\ntoken_file = "/t"', "s.toml:11: http.token_file needs http.listen: without it there is no door"),
        ('[http]\nlisten = "a:1"\ncertificate_key = "/k"', "s.toml:12: http.certificate_key needs http.certificate"),
        ('[http]\nlisten = "a:1"\ntoken = "secret"', "s.toml:12: [http] has no key token; did you mean token_file?"),
        ('[election]\nmanager = "gw-9"', "s.toml:11: election.manager = 'gw-9' is no node; the nodes are gw-1"),
        ('[election]\nlease = "12s"\nrenew = "4s"', "s.toml:11: election.lease = 12s is too short: renew + 2 x operation + margin is 13s; make it at least that"),
        ('[election]\nrenew = "6s"\noperation="2s"', "s.toml:11: election.renew is too long: a lease of 15s has to outlive two lost renewals; write at most 5s"),
        ('[election]\nmargin = "1s"', "s.toml:11: election.margin is too short for a manager to stop in time; write at least 2s"),
        ('[gateway]\nhome = "opt/wso2"', "s.toml:11: gateway.home = \"opt/wso2\": a daemon has no folder to start from"),
        ('[gateway]\nhome = "~/wso2"', "~ means nothing to a daemon"),
        ('[gateway]\nhome = "/nowhere/wso2am"', "s.toml:11: gateway.home: there is no folder /nowhere/wso2am"),
        ('[peer]\nname = "x"', "s.toml:10: there may be several of these: write [[peer]] with two brackets"),
        ("[[limits]]\npoll = 1", "s.toml:10: this is a section: write [limits]"),
        ('[[peer]]\nname = "gw-2"\n[election]\nmanager="gw-1"', "s.toml:10: [[peer]] needs address and has none"),
        ('[[tree]]\nname = "other"\nkind = "generic"\npath = "/nowhere/tree/api"', "s.toml:13: tree other (/nowhere/tree/api) and tree synapse (/nowhere/tree) lie in each other"),
        ('[[tree]]\nname = "other"\nkind = "generic"\npath = "/nowhere/tree"', "s.toml:13: tree other (/nowhere/tree) and tree synapse"),
        ('[[tree]]\nname = "synapse"\nkind = "generic"\npath = "/else"', "s.toml:11: tree synapse is listed at s.toml:7 already"),
        ('[[tree]]\nname = "other"\npath = "/else"', "s.toml:10: tree other needs kind: no tree of that name"),
        ('[[tree]]\nname = "other"\nkind = "generic"', "s.toml:10: tree other needs path: no tree of that name"),
        ('[[tree]]\nname = "a/b"\nkind = "generic"\npath="/e"', 's.toml:11: tree.name = "a/b": this has to be 1 to 63 letters'),
        ('[[tree]]\nname = "b"\nkind = "generic"\npath="/e/../f"', "'..' is not taken here"),
        ('[[tree]]\nname = "b"\nkind = "generic"\npath="/"', "this can't be a path"),
        ('[[tree]]\nname = "b"\nkind = "generic"\npath="/e"\nignore="x"', "this has to be a list of texts"),
        ('[[tree]]\nname = "b"\nkind = "generic"\npath="/e"\nignore=["", 3]', "in the list is not a text of one line"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(added: str, expected: str) -> None:
    assert expected in only_mistake(MINIMAL + added + "\n")


def test_all_mistakes_about_the_runtime_are_said_at_once() -> None:
    text = '[runtime]\nkind = "none"\nlog = "/x"\ncommand = ["deploy"]\ntimeout = 5\n'
    text += '[rollout]\ncanary = "all"\nmax_unavailable = 25\nordered = 1\n'
    said = "\n".join(mistakes_of(MINIMAL + text))
    for words in ("12: runtime.log", "13: runtime.command", "14: runtime.timeout"):
        assert f"s.toml:{words}" in said
    for words in ("16: rollout.canary", "17: rollout.max_unavailable", "18: rollout.ordered"):
        assert f"s.toml:{words}" in said


def test_a_runtime_and_a_rollout_land_in_their_fields() -> None:
    settings = loaded(
        MINIMAL
        + """\
[runtime]
kind = "command"
command = ["/usr/local/bin/deploy", "--json"]
timeout = "90s"
[rollout]
canary = "worker"
max_unavailable = "50%"
on_reject = "rollback"
ordered = true
"""
    )
    assert settings.runtime == RuntimeSettings(
        "command", "", ("/usr/local/bin/deploy", "--json"), 90.0
    )
    assert settings.rollout == RolloutSettings("worker", 0.5, "rollback", ordered=True)


@pytest.mark.parametrize("kind", ["synapse", "carbon"])
def test_a_log_may_be_followed_where_no_home_is_known(kind: str) -> None:
    text = f'[runtime]\nkind = "{kind}"\nlog = "/var/log/gateway.log"\n'
    assert loaded(MINIMAL + text).runtime == RuntimeSettings(kind, "/var/log/gateway.log")


def test_the_kind_has_to_fit_the_home(tmp_path: Path) -> None:
    (tmp_path / "repository/conf/synapse-config").mkdir(parents=True)
    home = f'[gateway]\nhome = "{tmp_path}"\n[runtime]\nlog = "/var/log/x.log"\n'
    text = MINIMAL.partition("[[tree]]")[0] + home
    assert loaded(text).runtime.kind == "auto"
    assert loaded(text + 'kind = "synapse"\n').runtime.kind == "synapse"
    said = only_mistake(text + 'kind = "carbon"\n')
    assert 'runtime.kind = "carbon"' in said
    assert 'is Apache Synapse; write "auto", or "synapse"' in said
    gone = (text + 'kind = "synapse"\n').replace(str(tmp_path), "/nowhere/home")
    assert "gateway.home: there is no folder" in only_mistake(gone)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('name = "c"\n', "", "s.toml:1: [cluster] needs name and has none"),
        ('name = "gw-1"\n', "", "s.toml:3: [node] needs name"),
        ('name = "c"', 'name = "c"\nmode = "store"', 's.toml:3: cluster.mode = "store": "store" is not in this version; write "push" or "shared"'),
        ('name = "c"', 'name = "c"\nmode = "pull"', "none of the words known here"),
        ('name = "gw-1"', 'name = "gw-1"\nlisten = "7421"', 'write "HOST:PORT"'),
        ('name = "gw-1"', 'name = "gw-1"\nlisten = "fd00::1:7421"', 'in brackets: "[fd00::1]:7421"'),
        ('name = "gw-1"', 'name = "gw-1"\nlisten = "h:0"', "the port has to be from 1 to 65535"),
        ('name = "gw-1"', 'name = "gw-1"\nlisten = "h:65536"', "the port has to be from 1 to 65535"),
        ('name = "gw-1"', 'name = "gw-1"\nlisten = "h:\u0667"', "the port has to be"),
        ('name = "gw-1"', 'name = "gw-1"\nlisten = "a b:1"', "'a b' is neither a host name nor an IP address"),
        ('name = "gw-1"', 'name = "gw-1"\nlisten = "1.2.3.256:1"', "neither a host name nor an IP"),
        ('name = "gw-1"', 'name = "gw-1"\nlisten = "[1.2.3.4]:1"', "neither a host name nor an IP"),
        ('name = "gw-1"', 'name = "-x"', "this has to be 1 to 63 letters"),
        ('state_dir = "/nowhere/state"', 'state_dir = "state"', "a daemon has no folder to start from"),
        ('state_dir = "/nowhere/state"', 'state_dir = "/nowhere/tree/s"', "s.toml:5: node.state_dir lies in tree synapse (/nowhere/tree); move it out"),
        ('state_dir = "/nowhere/state"', 'state_dir = "/nowhere"', "s.toml:9: tree synapse lies in node.state_dir (/nowhere)"),
        ("[cluster]", 'name = "x"\n[cluster]', "s.toml:1: name stands outside of every section"),
        ("[cluster]", "[node.more]\n[cluster]", "s.toml:1: [node] has no key more"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_first_sections_is_named_with_its_line(
    old: str, new: str, expected: str
) -> None:
    text = MINIMAL.replace(old, new, 1)
    assert text != MINIMAL
    assert expected in only_mistake(text)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (KEY_2, KEY_2[:-8], "s.toml:13: peer.key = \"ssh-ed25519 AAAA"),
        (KEY_2, KEY_2[:-1] + "!", "cut or altered"),
        (KEY_2, "ssh-rsa " + KEY_2.split()[1], "cut or altered"),
        (KEY_2, KEY_2.split()[1], "this is no OpenSSH public key"),
        (KEY_2, "ssh-dss AAAA", "keys of type ssh-dss can't be used by a daemon"),
        (KEY_2, "restrict " + KEY_2, "options before the key type are not for here"),
        (f'"{KEY_2}"', '""', "no key is in it; leave it out"),
        (f'"{KEY_2}"', "[]", "no key is in it"),
        (f'"{KEY_2}"', "[1]", "this has to be text in quotes"),
        (KEY_2, "-----BEGIN OPENSSH PRIVATE KEY-----", "this is a private key"),
        ("gw-3:7421", "gw-2:7421", "s.toml:16: peer.address is that of the peer at s.toml:12 too"),
        ('name = "gw-3"', 'name = "gw-2"', "s.toml:15: peer.name is that of the peer at s.toml:11 too"),
        ('address = "gw-3:7421"', f'address = "gw-3:7421"\nkey = "{KEY_2} other"', "s.toml:17: peer.key is that of the peer at s.toml:13 too"),
        ('manager = "gw-1"', "", "s.toml:17: [election] needs manager: the name of the node that leads first; the nodes are gw-1, gw-2, gw-3"),
    ],
)  # fmt: skip
def test_a_mistake_among_peers_is_named_with_its_line(old: str, new: str, expected: str) -> None:
    assert expected in only_mistake(MINIMAL + PEERS.replace(old, new, 1))


@pytest.mark.parametrize("written", [f'["{KEY_2} a", "{KEY_3}"]', f'"""\n{KEY_2}\n{KEY_3} b\n"""'])
def test_a_peer_behind_another_ssh_server_has_several_keys(written: str) -> None:
    settings = loaded(MINIMAL + PEERS.replace(f'"{KEY_2}"', written))
    assert settings.peers[0].key == f"{KEY_2}\n{KEY_3}"


@pytest.mark.parametrize("bits", [1024, 2048])
def test_an_rsa_key_has_at_least_2048_bits(bits: int, tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = subprocess.run(
        ["ssh-keygen", "-q", "-t", "rsa", "-b", str(bits), "-N", "", "-f", str(path)],
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    text = MINIMAL + PEERS.replace(KEY_2, path.with_suffix(".pub").read_text().strip())
    if bits == 1024:
        assert "an RSA key of 1024 bits is too weak" in only_mistake(text)
    else:
        assert loaded(text).peers[0].key.startswith("ssh-rsa ")


@pytest.mark.parametrize("bits", ["256", "384", "521"])
def test_an_ecdsa_key_of_openssh_is_taken(bits: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-b", bits, "-N", "", "-f", str(path)]
    subprocess.run(command, check=True)
    line = path.with_suffix(".pub").read_text().strip()
    assert loaded(MINIMAL + PEERS.replace(KEY_2, line)).peers[0].key == " ".join(line.split()[:2])


lengths = st.integers(1, 300).map(lambda tenths: tenths / 10)


@settings(deadline=None, max_examples=60)
@given(lease=lengths, renew=lengths, operation=lengths, margin=lengths)
def test_a_lease_is_taken_exactly_if_the_core_takes_it(
    lease: float, renew: float, operation: float, margin: float
) -> None:
    text = MINIMAL + (
        f'[election]\nlease = "{lease + 3}s"\nrenew = "{renew}s"\n'
        f'operation = "{operation}s"\nmargin = "{margin}s"\n'
    )
    faults = Timing(lease + 3, renew, operation, margin).faults()
    if faults:
        assert len(mistakes_of(text)) == len(faults)
    else:
        assert loaded(text).election.lease_s == lease + 3


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = """\
[cluster]
mode = "store"
[node]
name = "gw 1"
state_dir = "state"
[[tree]]
name = "synapse"
kind = "synaps"
path = "tree"
[lmits]
x = 1
[limits]
reconcile = 300
"""
    mistakes = mistakes_of(text, SYNCAGENT_LIMITS__NOPE="1")
    lines = [int(mistake.split(":")[1]) for mistake in mistakes[:-1]]
    assert lines == [1, 2, 4, 5, 8, 9, 10, 13]
    assert mistakes[-1].startswith("SYNCAGENT_LIMITS__NOPE: ")


def test_nothing_to_keep_equal_is_a_mistake() -> None:
    text = MINIMAL[: MINIMAL.index("[[tree]]")]
    assert "there is nothing to keep equal" in only_mistake(text)


def test_paths_lose_what_does_not_count() -> None:
    text = MINIMAL.replace("/nowhere/tree", "//nowhere/./tree//")
    assert loaded(text).trees[0].path == "/nowhere/tree"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SYNCAGENT_LIMITS__RECONCILE": "10m"}, 600.0),
        ({"SYNCAGENT_LIMITS__reconcile": "10m"}, 600.0),
        ({"SYNCAGENT_CONFIG": "x", "SYNCAGENT_PORT": "tcp://1.2.3.4:5"}, 300.0),
    ],
)
def test_the_environment_overrides_keys(environ: dict[str, str], expected: float) -> None:
    assert loaded(MINIMAL, **environ).limits.reconcile_s == expected


def test_the_environment_overrides_numbers_flags_and_whole_arrays() -> None:
    settings = loaded(
        MINIMAL + PEERS,
        SYNCAGENT_LIMITS__DELETE_APIS="3",
        SYNCAGENT_NODE__APPLY="false",
        SYNCAGENT_NODE__NAME="gw-2",
        SYNCAGENT_PEER='[{name = "gw-1", address = "h:1"}]',
        SYNCAGENT_TREE='[{name = "t", kind = "generic", path = "/x", ignore = ["a"]}]',
    )
    assert settings.limits.delete_apis == 3
    assert settings.apply is False
    assert settings.node == "gw-2"
    assert [peer.name for peer in settings.peers] == ["gw-1"]
    assert [(tree.name, tree.ignore) for tree in settings.trees] == [("t", ("a",))]


def test_an_override_mends_a_mistake_of_the_file() -> None:
    text = MINIMAL + "[limits]\nreconcile = 300\n"
    assert loaded(text, SYNCAGENT_LIMITS__RECONCILE="300s").limits.reconcile_s == 300


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("SYNCAGENT_LIMITS__RECONCIL", "5m", "SYNCAGENT_LIMITS__RECONCIL: [limits] has no key reconcil; did you mean reconcile?"),
        ("SYNCAGENT_LIMIT__RECONCILE", "5m", "there is no section [limit] to override; did you mean limits?"),
        ("SYNCAGENT_SHARED__FORM", "shadow", 'SYNCAGENT_SHARED__FORM: shared.form needs cluster.mode = "shared"'),
        ("SYNCAGENT_PEER__NAME", "x", "override all of them with SYNCAGENT_PEER"),
        ("SYNCAGENT_PEER", "gw-2", "write a TOML array of tables"),
        ("SYNCAGENT_PEER", "[1]", "write a TOML array of tables"),
        ("SYNCAGENT_PEER", '[{name="x", adress="y:1"}]', "SYNCAGENT_PEER: [[peer]] has no key adress; did you mean address?"),
        ("SYNCAGENT_LIMITS__RECONCILE", "300", 'SYNCAGENT_LIMITS__RECONCILE: limits.reconcile = "300": a length of time needs a number and a unit; write "300s"'),
        ("SYNCAGENT_LIMITS__DELETE_APIS", "many", "this has to be a whole number"),
        ("SYNCAGENT_NODE__APPLY", "no", "this has to be true or false"),
        ("SYNCAGENT_NODE__APPLY", "true\ny = 1", "this has to be true or false"),
        ("SYNCAGENT_ELECTION__HOSTS", '["x:1"]', "election.hosts needs backend = \"zookeeper\"; this is \"static\""),
        ("SYNCAGENT_ELECTION__URL", "x", "SYNCAGENT_ELECTION__URL: election.url = \"x\": write postgresql://"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_a_mistake(variable: str, text: str, expected: str) -> None:
    assert any(expected in mistake for mistake in mistakes_of(MINIMAL, **{variable: text}))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[cluster]\nname = gw\n", ":2: this is not TOML"),
        (b"[cluster]\nname = 1\nname = 2\n", ":3: this is not TOML"),
        (b'[cluster]\nname = "open\n', ":2: this is not TOML"),
        (b"[cluster]\n\nname = [", ":3: this is not TOML"),
        (b"[cluster]\n# caf\xe9\n", ":2: byte 0xe9 is not UTF-8"),
        (b"x = " + b"[" * 100_000, "lists are nested too deep"),
        (b"#" * (FILE_BYTES_MAX + 1), "more than 1 MiB"),
        (b"", "[cluster] needs name"),
    ],
)
def test_a_file_that_is_no_settings_says_why(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load(str(path), {})
    assert str(path) in caught.value.mistakes[0]
    assert expected in caught.value.mistakes[0]
    assert caught.value.hint


def test_a_missing_file_or_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, check=says("there is no such file")) as caught:
        load(str(tmp_path / "none.toml"), {})
    assert "init" in caught.value.hint
    with pytest.raises(SettingsError, check=says("this is a folder")):
        load(str(tmp_path), {})
    with pytest.raises(SettingsError, check=says("it can't be read")):
        load(str(tmp_path / ("x" * 300)), {})


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert load(str(path), {}).node == "gw-1"


def test_origins_tell_where_each_value_was_written() -> None:
    found = interpret(MINIMAL + PEERS, "s.toml", {"SYNCAGENT_LIMITS__POLL": "3s"}).origins
    assert found["cluster.name"] == "s.toml:2"
    assert found["limits.poll"] == "SYNCAGENT_LIMITS__POLL"
    assert found["limits.reconcile"] == "default"
    assert found["peer.gw-2.address"] == "s.toml:12"


def test_loading_needs_no_heavy_library(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(MINIMAL)
    assert read(str(path), {}).source == str(path)
    program = (
        "import sys; from syncagent.settings.load import load; load(sys.argv[1], {}); "
        "heavy = {'cryptography', 'paramiko', 'lxml', 'yaml', 'asyncio', 'xml', 'subprocess'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
