"""Which names are hidden, and which only look as if they were."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import TreeKind
from syncagent.core.errors import SettingsError
from syncagent.core.ignore import Ignore

PLAIN = Ignore(TreeKind.SYNAPSE)
INBOUND = "inbound-endpoints/WebSocketInboundEndpoint.xml"


@pytest.mark.parametrize(
    "path",
    [
        "api/Pizza.xml.back",
        "api/Pizza.xml.3.back",
        "api/Pizza.xml~",
        "api/.Pizza.xml.swp",
        "api/.Pizza.xml.swo",
        "api/4913",
        "api/Pizza.xml___jb_tmp___",
        "api/Pizza.xml___jb_old___",
        "api/.~tmp~",
        "api/.Pizza.xml.AbC123",
        "api/.nfs000000000a1b2c3d00000001",
        ".svn",
        ".git",
        "CVS",
        "lost+found",
        ".syncagent",
        ".syncagent-probe.part",
        "api/.7-0123456789abcdef0123456789abcdef.part",
        ".7-0123456789abcdef0123456789abcdef.fill",
        INBOUND,
        "inbound-endpoints/SecureWebSocketInboundEndpoint.xml",
        "inbound-endpoints/SecureWebhookServer.xml",
    ],
)
def test_a_temporary_name_is_hidden(path: str) -> None:
    assert PLAIN.hides(path)


@pytest.mark.parametrize(
    "path",
    [
        "api/Pizza.xml",
        "api/.Pizza.xml",  # Axis2 deploys it, so somebody has to see it
        "api/.Pizza.AbCxml",  # ends in xml without a dot: deployed at the start
        "executionplans/.Plan.siddhiql",
        "api/back",
        "api/49131",
        "api/Pizza.swp",
        "api/CVS.xml",
        "api/notes.txt",
        "api/WebSocketInboundEndpoint.xml",
        "inbound-endpoints/old/WebSocketInboundEndpoint.xml",
        "inbound-endpoints/Mine.xml",
    ],
)
def test_an_artifact_is_not_hidden(path: str) -> None:
    assert not PLAIN.hides(path)


def test_every_pattern_that_makes_no_sense_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        Ignore(TreeKind.SYNAPSE, ("*.md", "!", "[z-a]"))
    assert len(caught.value.mistakes) == 2
    assert "'!'" in caught.value.mistakes[0]
    assert "'[z-a]'" in caught.value.mistakes[1]


def test_only_a_synapse_tree_has_inbound_endpoints_of_one_node() -> None:
    assert not Ignore(TreeKind.GENERIC).hides(INBOUND)


def test_patterns_hide_and_show_again_and_the_last_match_wins() -> None:
    ignore = Ignore(TreeKind.SYNAPSE, ("*.txt", "!keep.txt", "/top.xml", "drafts/", "a/**/z.xml"))
    hidden = {
        path
        for path in ("x/a.txt", "x/keep.txt", "top.xml", "x/top.xml", "a/b/c/z.xml", "a/z.xml")
        if ignore.hides(path)
    }
    assert hidden == {"x/a.txt", "top.xml", "a/b/c/z.xml", "a/z.xml"}
    assert ignore.hides("x/drafts", folder=True)
    assert not ignore.hides("x/drafts")


def test_a_pattern_shows_what_is_hidden_by_default_but_never_our_own_names() -> None:
    ignore = Ignore(TreeKind.SYNAPSE, ("!*",))
    assert not ignore.hides(INBOUND)
    assert not ignore.hides("api/Pizza.xml.back")
    assert ignore.hides("api/x.part")
    assert ignore.hides(".syncagent", folder=True)


def test_what_lies_in_a_hidden_folder_is_hidden_on_its_way() -> None:
    ignore = Ignore(TreeKind.GENERIC, ("drafts/",))
    assert ignore.hides_way("api/drafts/x/Pizza.xml")
    assert ignore.hides_way(".git/config.xml")
    assert ignore.hides_way("api/Pizza.xml~")
    assert not ignore.hides_way("api/drafts.xml")


def test_rules_are_equal_if_they_hide_the_same_by_the_same_words() -> None:
    assert Ignore(TreeKind.SYNAPSE, ("a", "b")) == Ignore(TreeKind.SYNAPSE, ("a", "b"))
    others = [
        (TreeKind.SYNAPSE, ("b", "a")),
        (TreeKind.GENERIC, ("a", "b")),
        (TreeKind.SYNAPSE, ()),
    ]
    made = {Ignore(TreeKind.SYNAPSE, ("a", "b")), *(Ignore(*other) for other in others)}
    assert len(made) == 4


@given(name=st.from_regex(r"\.?[A-Za-z0-9_@ .-]{0,20}xml", fullmatch=True))
@settings(max_examples=100, deadline=None)
def test_nothing_that_synapse_would_deploy_is_hidden_by_default(name: str) -> None:
    assert not PLAIN.hides(f"api/{name}")
