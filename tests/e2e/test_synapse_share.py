"""Three real Synapse runtimes on one share that is pulled away: as a shadow's source, and in place.

Each form is one story, told by tests in their order. In the form shadow every API answers through every
gateway all the time. In place the runtimes undeploy what they don't see any more: no agent can keep them
from it, but each says so.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.cluster import files_of, until
from tests.e2e.gateways import Gateways, make_gateways
from tests.e2e.sharing_gateways import Caller, MountedShare
from tests.e2e.synapse import answering, put

pytestmark = [pytest.mark.e2e, pytest.mark.needs_synapse, pytest.mark.needs_root]

NAMES = ("gw-1", "gw-2", "gw-3")
PATIENCE_S = 120.0
"""Each runtime looks every 10 s, one after the other: manager, first worker, second worker."""
TAKEN_AWAY = "has been undeployed"


def stand(folder: Path, stack: ExitStack, *, shadow: bool) -> tuple[Gateways, MountedShare]:
    # Whatever hangs on a mount ends with it: the mounts are the last to be made and the first to go.
    mounts = ExitStack()
    share = MountedShare(folder, mounts, shadow=shadow)
    gateways = make_gateways(folder, *NAMES, share=share)
    stack.callback(gateways.close)
    stack.enter_context(mounts)
    gateways.agents.start()
    until(gateways.agents.synced, "every node is Synced")
    put(share.behind / "api/Hello.xml", answering("Hello", "/hello", "v1"))
    put(share.behind / "api/Other.xml", answering("Other", "/other", "o1"))
    until(lambda: gateways.say("/hello", "v1") == [*NAMES], "all serve it", PATIENCE_S)
    until(lambda: gateways.say("/other", "o1") == [*NAMES], "all serve both", PATIENCE_S)
    return gateways, share


@pytest.fixture(scope="module")
def shadow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateways, MountedShare]]:
    with ExitStack() as stack:
        yield stand(tmp_path_factory.mktemp("shadow"), stack, shadow=True)


def test_in_shadow_every_api_answers_while_the_share_is_gone(
    shadow: tuple[Gateways, MountedShare],
) -> None:
    gateways, share = shadow
    caller = Caller(gateways, ("/hello", "/other"))
    marks = {name: home.log_size() for name, home in gateways.homes.items()}
    with caller.calling():
        put(share.behind / "api/Hello.xml", answering("Hello", "/hello", "v2"))
        share.goes()
        until(lambda: "Mount the share" in gateways.reason("share"), "status says that it is gone")
        # What a gateway publishes itself goes on: by then each runtime has looked at its folders again.
        put(gateways.homes["gw-2"].config / "api/Mine.xml", answering("Mine", "/mine", "m1"))
        until(lambda: gateways.say("/mine", "m1") == [*NAMES], "nodes go on", PATIENCE_S)
        put(gateways.homes["gw-1"].config / "api/Mine.xml", answering("Mine", "/mine", "m2"))
        until(lambda: gateways.say("/mine", "m2") == [*NAMES], "and on", PATIENCE_S)
        share.comes_back()
        until((share.behind / "api/Mine.xml").is_file, "the share catches up")
        put(share.behind / "api/Other.xml", answering("Other", "/other", "o2"))
        until(lambda: gateways.say("/other", "o2") == [*NAMES], "it is the source", PATIENCE_S)
        until(lambda: gateways.say("/hello", "v2") == [*NAMES], "nothing got lost", PATIENCE_S)
    assert caller.calls > 100
    assert caller.failures == []
    for name, home in gateways.homes.items():
        assert TAKEN_AWAY not in home.log_text(marks[name]), f"{name} has undeployed nothing"
    until(lambda: files_of(share.behind) == files_of(gateways.tree), "all are equal")
    revisions = gateways.manager.ask("get", "revisions")
    assert isinstance(revisions, list)
    assert [row for row in revisions if row["deleted"]] == []


@pytest.fixture(scope="module")
def in_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateways, MountedShare]]:
    with ExitStack() as stack:
        yield stand(tmp_path_factory.mktemp("in-place"), stack, shadow=False)


def test_in_place_each_agent_says_what_its_runtime_did_without_the_share(
    in_place: tuple[Gateways, MountedShare],
) -> None:
    gateways, share = in_place
    full = files_of(share.behind)
    number = gateways.row("gw-1")["revision"]
    share.goes()
    until(lambda: gateways.serve("/hello") == ["gw-3"], "two have undeployed it", PATIENCE_S)
    until(lambda: unknown(gateways, "api/Hello") == ["gw-1", "gw-2"], "their agents say so")
    until(lambda: unknown(gateways, "api/Other") == ["gw-1", "gw-2"], "of all")
    for name in ("gw-1", "gw-2"):
        assert "the runtime has undeployed it" in gateways.words("api/Hello", name)
    done = gateways.manager.run("describe", "api/Hello")
    assert done.stdout.count(f"API named 'Hello' {TAKEN_AWAY}") == 2, "in the runtimes' words"
    # The third runtime hangs with its mount, and serves what it has.
    until(lambda: gateways.row("gw-3")["state"] == "Held", "the third is told of, too")
    for name, word in zip(NAMES, (".syncagent-root", "not connected", "not answer"), strict=True):
        status = gateways.agents[name].run("status")
        assert status.returncode == 0, status.stderr
        assert gateways.row(name)["state"] == "Held"
        assert word in gateways.reason(name)
    share.comes_back()
    until(lambda: gateways.say("/hello", "v1") == [*NAMES], "all serve it again", PATIENCE_S)
    gateways.deployed()
    assert gateways.states("api/Hello") == dict.fromkeys(NAMES, "Deployed")
    assert files_of(share.behind) == full
    assert gateways.row("gw-1")["revision"] == number


def unknown(gateways: Gateways, path: str) -> list[str]:
    """Return the nodes of which nobody can say that they serve it."""
    return [name for name, state in gateways.states(path).items() if state == "Unknown"]
