"""Messages come back as they were sent; what was not sent by an agent never becomes one."""

import tracemalloc
from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import Digest, digest_of
from syncagent.core.errors import ProtocolError
from syncagent.core.manifest import Entry
from syncagent.core.revision import REVISION_ZERO, RevisionId, Token
from syncagent.core.verdict import Problem, Refused
from syncagent.core.wire import messages as m
from syncagent.core.wire import packing
from syncagent.core.wire.codec import MESSAGE_BYTES_MAX, decode, encode, limit_of
from tests.fakes.spoken import BY_TYPE, anything

D = digest_of(b"one")
RAW = bytes.fromhex(D[5:])
TOKEN = Token("apim", 3, NodeName("gw-1"), "i1")
R7 = RevisionId(3, 7, D)
R8 = RevisionId(3, 8, digest_of(b"eight"))
API = ArtifactPath(TreeName("synapse"), "api/Pizza.xml")
SEQUENCE = ArtifactPath(TreeName("synapse"), "sequences/main.xml")
ENTRY = Entry(D, 3)


def said(kind: int, *fields: object) -> bytes:
    return bytes((kind,)) + packing.pack(list(fields))


def test_there_is_a_strategy_for_every_message() -> None:
    assert set(BY_TYPE) == set(get_args(m.Message))


@pytest.mark.parametrize("kind", BY_TYPE, ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_message_comes_back_as_it_was_sent(kind: type, data: st.DataObject) -> None:
    message = data.draw(BY_TYPE[kind])
    assert decode(encode(message, 3), 3) == message


@settings(deadline=None, max_examples=100)
@given(anything)
def test_version_2_carries_all_but_hints(message: m.Message) -> None:
    if isinstance(message, m.Hint):
        with pytest.raises(ProtocolError, match="Hint can't be said in protocol version 2"):
            encode(message, 2)
        return
    assert decode(encode(message, 2), 2) == message


def test_a_hint_is_unknown_to_version_2() -> None:
    data = encode(m.Hint((API,)), 3)
    with pytest.raises(ProtocolError, match="not known in protocol version 2"):
        decode(data, 2)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from([m.Hello, m.Bye]).flatmap(BY_TYPE.__getitem__))
def test_hello_and_bye_are_the_same_in_all_versions(message: m.Message) -> None:
    assert encode(message, 1) == encode(message, 2) == encode(message, 3)


def test_a_hello_of_a_later_version_may_say_more() -> None:
    hello = decode(said(1, [9, 8], "apim", "gw-1", "i1", "syncagent 9", {"new": True}, 7), 1)
    assert hello == m.Hello((9, 8), "apim", NodeName("gw-1"), "i1", "syncagent 9")


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300))
@example(b"")
def test_random_bytes_are_refused_or_a_message_that_can_be_sent_again(noise: bytes) -> None:
    with suppress(ProtocolError):
        encode(decode(noise, 3), 3)


@settings(deadline=None, max_examples=300)
@given(anything, st.data())
def test_a_changed_message_is_refused_or_holds_the_rules(
    message: m.Message, data: st.DataObject
) -> None:
    raw = bytearray(encode(message, 3))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ProtocolError):
        encode(decode(bytes(raw), 3), 3)


@settings(deadline=None, max_examples=150)
@given(anything, st.data())
def test_a_message_cut_short_or_drawn_out_is_refused(
    message: m.Message, data: st.DataObject
) -> None:
    raw = encode(message, 3)
    with pytest.raises(ProtocolError):
        decode(raw[: data.draw(st.integers(0, len(raw) - 1))], 3)
    with pytest.raises(ProtocolError):
        decode(raw + b"\0", 3)


ZERO_RAW = [0, 0, bytes.fromhex(REVISION_ZERO.digest[5:])]
R7_RAW = [3, 7, RAW]
R8_RAW = [3, 8, RAW]
TOKEN_RAW = ["apim", 3, "gw-1", "i1"]
ONE_SIZE = b"\0\0\0\3"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "an empty message"),
        (b"\x7f", "message type 127 is not known"),
        (b"\xff", "message type 127 is not known"),
        (said(3, -1), "Ping: number: -1 is not in 0"),
        (said(3, 2**63), "Ping: number"),
        (said(3, True), "a whole number was expected, not bool"),
        (said(3, 1.0), "a whole number was expected, not float"),
        (said(3), "1 fields were expected, not 0"),
        (said(3, 1, 2), "1 fields were expected, not 2"),
        (bytes((3,)) + packing.pack({"a": 1}), "a list was expected, not dict"),
        (said(2, b"bytes"), "Bye: reason: text was expected, not bytes"),
        (said(2, "x" * 5000), "text of 5000 bytes"),
        (said(1, [], "apim", "gw-1", "i1", ""), "not a falling list"),
        (said(1, [1, 2], "apim", "gw-1", "i1", ""), "not a falling list"),
        (said(1, [2, 1], "", "gw-1", "i1", ""), "Hello: cluster: text of 0 bytes"),
        (said(1, [2, 1], "apim", "gw\n1", "i1", ""), "holds a control character"),
        (said(1, [2, 1], "apim", "n" * 300, "i1", ""), "text of 300 bytes"),
        (said(12, ["apim", 0, "gw-1", "i1"]), "Admit: token: 0 is not in 1"),
        (said(12, ["apim", 1, "gw-1"]), "4 fields were expected, not 3"),
        (said(33, [3, 7, RAW[:15]], RAW, RAW), "a digest has 16 bytes, not 15"),
        (said(33, [0, 7, RAW], RAW, RAW), "there is no revision"),
        (said(33, [3, 0, RAW], RAW, RAW), "there is no revision"),
        (said(33, [0, 0, RAW], RAW, RAW), "there is no revision"),
        (said(31, R7_RAW, "asleep", "", "", []), "'asleep' is not one of disk, "),
        (said(31, R7_RAW, "held", "", "", [["synapse", "a\0b", "x", "", 0, "error"]]), "one path"),
        (said(31, R7_RAW, "held", "", "", [["synapse", "a", "x", "", 0, "fatal"]]), "severity"),
        (said(11, None, ZERO_RAW, RAW, ["a/b"], RAW), "it holds a slash"),
        (said(11, None, ZERO_RAW, RAW, [".."], RAW), "leads out of the tree"),
        (said(11, None, ZERO_RAW, RAW, ["a", "a"], RAW), "a tree comes twice"),
        (said(21, R7_RAW, False, RAW * 2, [b"\1", RAW]), "1 bases for 2 blobs"),
        (said(21, R7_RAW, False, RAW, [b"\2", b""]), "do not fit their mask"),
        (said(21, R7_RAW, False, RAW[:9], [b"", b""]), "not a run of digests"),
        (said(21, R7_RAW, 1, b"", [b"", b""]), "true or false was expected"),
        (said(22, R7_RAW, [["synapse", "b\0a", RAW * 2, ONE_SIZE * 2]], True), "not sorted"),
        (said(22, R7_RAW, [["synapse", "a\0a", RAW * 2, ONE_SIZE * 2]], True), "comes twice"),
        (said(22, R7_RAW, [["synapse", "a\0b", RAW, ONE_SIZE]], True), "2 paths do not fit 1"),
        (said(22, R7_RAW, [["synapse", "a", RAW, b"\3"]], True), "do not fit 1 bytes of sizes"),
        (said(22, R7_RAW, [["synapse", "../a", RAW, ONE_SIZE]], True), "leads out of the tree"),
        (said(22, R7_RAW, [["synapse", "/etc/passwd", RAW, ONE_SIZE]], True), "is absolute"),
        (said(22, R7_RAW, [["synapse", "", b"", b""]], True), "not the path of an artifact"),
        (said(22, R7_RAW, [[7, "a", RAW, ONE_SIZE]], True), "text was expected, not int"),
        (said(22, R7_RAW, [["synapse", b"a", RAW, ONE_SIZE]], True), "paths were expected"),
        (said(22, R7_RAW, [["synapse", "\0" * 200_000, b"", b""]], True), "more than 200000 paths"),
        (said(25, R7_RAW, bytes(16 * 200_001)), "200001 digests, at most 200000"),
        (said(25, R7_RAW, "text"), "bytes were expected, not str"),
        (said(21, R7_RAW, False, b"", [bytes(200_001), b""]), "200001 bases, at most 200000"),
        (said(43, 1, [["synapse", "a"], ["synapse", "a"]], [], ""), "a path comes twice"),
        (said(1, list(range(99, 0, -1)), "apim", "gw-1", "i1", ""), "99 elements, at most 64"),
        (
            said(31, R7_RAW, "held", "", "", [["synapse", "a", "x", "", 0, "error"]] * 1001),
            "1001 ref",
        ),
        (said(23, [RAW, b"\xff\xff\xff\xff"], b""), "4294967295 bytes of blobs, at most"),
        (said(24, [RAW * 2, ONE_SIZE * 2], RAW, b""), "one entry was expected, not 2"),
        (said(24, [RAW, b"\xff\xff\xff\xff"], RAW, b""), "4294967295 bytes of blobs, at most"),
        (
            said(42, 1, R7_RAW, [["synapse", "a", b"\2", RAW, ONE_SIZE, RAW, ONE_SIZE]]),
            "must change",
        ),
        (
            said(42, 1, R7_RAW, [["synapse", "a", b"\4", b"", b"", RAW, ONE_SIZE]]),
            "1 paths do not fit",
        ),
        (
            said(42, 1, R7_RAW, [["synapse", "a", b"\1\1", b"", b"", RAW, ONE_SIZE]]),
            "do not fit 2",
        ),
        (
            said(42, 1, R7_RAW, [["synapse", "a", b"\1", RAW, ONE_SIZE, RAW, ONE_SIZE]]),
            "entries do",
        ),
        (
            said(42, 1, R7_RAW, [["synapse", "a\0a", b"\1\1", b"", b"", RAW * 2, ONE_SIZE * 2]]),
            "a path comes twice",
        ),
        (
            said(20, TOKEN_RAW, R7_RAW, R7_RAW, "gw-1", "", b"", None, []),
            "does not follow its parent",
        ),
        (said(20, TOKEN_RAW, [2, 8, RAW], R7_RAW, "gw-1", "", b"", None, []), "does not follow"),
        (b"\x83" + b"no zstd at all", "Ping: not a zstd frame"),
        (b"\x83" + packing.squeeze(bytes(20_000)), "at most 16384 are allowed"),
        (b"\x03" + bytes(20_000), "Ping of 20001 bytes, at most 16384"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_the_rule(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words.replace("(", r"\(")):
        decode(data, 2)


@pytest.mark.parametrize(
    "message",
    [
        m.Ping(-1),
        m.Ping(2**63),
        m.Done(RevisionId(0, 7, D), D),
        m.Hello((), "apim", NodeName("gw-1"), "i1", ""),
        m.Hello((2, 1), "apim", NodeName(""), "i1", ""),
        m.Surveyed(None, R7, D, (TreeName("a/b"),)),
        m.Blobs((Entry(D, 2**32),), b""),
        m.Blobs((Entry(D, 2**31),), b""),
        m.Want(R7, manifest=False, blobs=(D,), bases=(None, None)),
        m.Offer(TOKEN, R7, R7, NodeName("gw-1"), "", (), None),
        m.Offer(TOKEN, R8, REVISION_ZERO, NodeName("gw-1"), "", (), ()),
        m.Declined(R7, "asleep", ""),
        m.Report("\ud800"),
        m.ManifestPart(R7, ((SEQUENCE, ENTRY), (API, ENTRY)), last=True),
        m.ManifestPart(R7, ((API, ENTRY), (API, ENTRY)), last=True),
        m.Done(R7, Digest("xxh3:not hex")),
        m.Missing(R7, (Digest("xxh3:not hex"),)),
        m.Surveyed(None, R7, D, tuple(TreeName(f"t{n}") for n in range(5000))),
        m.Hello(tuple(range(99, 0, -1)), "apim", NodeName("gw-1"), "i1", ""),
        m.Report("x" * 34_000_000),
        m.Propose(
            1,
            R7,
            tuple(
                Change(API._replace(tree=TreeName(f"t{n % 2}")), None, ENTRY) for n in range(5000)
            ),
        ),
    ],
)
def test_this_end_does_not_say_what_the_other_would_refuse(message: m.Message) -> None:
    with pytest.raises(ProtocolError):
        encode(message, 2)


def test_a_reason_is_clipped_rather_than_a_reason_to_fail() -> None:
    bye = decode(encode(m.Bye("\u00e4" * 5000 + "\ud800"), 2), 2)
    assert bye == m.Bye("\u00e4" * 2048)
    assert decode(encode(m.Bye("bad \udcff name"), 2), 2) == m.Bye("bad ? name")


def test_of_very_many_refused_artifacts_the_first_thousand_travel() -> None:
    many = tuple(
        Refused(API._replace(path=f"api/{n}.xml"), Problem("doctype", "no")) for n in range(1500)
    )
    declined = decode(encode(m.Declined(R7, "refused", "", refused=many), 2), 2)
    assert isinstance(declined, m.Declined)
    assert declined.refused == many[:1000]


def test_ten_thousand_changes_take_about_the_space_of_their_digests() -> None:
    changes = tuple(
        Change(
            API._replace(path=f"api/admin--Api{n:05}_v1.0.xml"),
            None,
            Entry(digest_of(b"%d" % n), n),
        )
        for n in range(10_000)
    )
    offer = m.Offer(TOKEN, R8, R7, NodeName("gw-1"), "", (), changes)
    data = encode(offer, 2)
    assert len(data) < 10_000 * 26
    assert decode(data, 2) == offer


def test_a_small_frame_can_not_take_much_memory() -> None:
    bombs = [
        b"\x16" + b"\xdd\x00\x00\x10\x00" * 400 + bytes(4096),
        b"\x96" + packing.squeeze(b"\xdd\x00\x00\x10\x00" * 400 + bytes(3_000_000)),
        b"\x96" + packing.squeeze(bytes(60_000_000)),
        said(22, R7_RAW, [["synapse", "\0" * 3_000_000, b"", b""]], True),
    ]
    for bomb in bombs:
        tracemalloc.start()
        try:
            with pytest.raises(ProtocolError):
                decode(bomb, 2)
            assert tracemalloc.get_traced_memory()[1] < 40_000_000
        finally:
            tracemalloc.stop()


def test_no_type_may_have_more_bytes_than_the_largest() -> None:
    assert max(limit_of(first) for first in range(256)) == MESSAGE_BYTES_MAX
    assert limit_of(127) == limit_of(3) < 100_000
