"""What both ends of a new connection say first, and what must fit before anything else is said.

Sans-I/O. The dialling end sends the preface and its `Hello` at once; the other looks at that
hello before it sends its own, so that a dialler whose hello is not accepted never takes itself
for connected. The peer's name was proved by its key before; the hello must claim the same one.
Then both take the highest version that both speak. From there on `Conversation` turns messages
into bytes of that version and back.

An end that does not accept the other's hello says why in a `Bye`, so that the reason is known on
both sides: that is what a person looks at when an upgrade or a copied node went wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.errors import ProtocolError, RefusedError
from syncagent.core.wire.codec import decode, encode, limit_of
from syncagent.core.wire.frames import PREFACE, FrameReader, frame
from syncagent.core.wire.messages import VERSIONS, Bye, Hello

if TYPE_CHECKING:
    from syncagent.core.artifact import NodeName
    from syncagent.core.wire.messages import Message

_GREETING_VERSION = min(VERSIONS)
"""`Hello` and `Bye` are the same in all versions; this one is named until one is agreed."""


class Conversation:
    """One connection's bytes and messages, from this end.

    `peer` is the name that the other end's key proved.
    """

    def __init__(self, me: Hello, peer: NodeName) -> None:
        self._me = me
        self._peer = peer
        self._reader = FrameReader(limit_of)
        self._version: int | None = None
        self._hello: Hello | None = None
        self._opened = False
        self.dismissed = False
        """True once the other end has said that it does not want this one: no answer is due."""

    def open(self) -> bytes:
        """Return the preface and this end's hello, to be sent once."""
        assert not self._opened, "a conversation is opened once"
        self._opened = True
        return PREFACE + frame(encode(self._me, _GREETING_VERSION))

    @property
    def hello(self) -> Hello | None:
        """The other end's hello, once it came and was accepted."""
        return self._hello

    @property
    def version(self) -> int | None:
        """The protocol version that was agreed; None before."""
        return self._version

    def say(self, message: Message) -> bytes:
        """Return the bytes that send `message`. Raises ProtocolError if it can't be said.

        Before this end's hello went out and a version is agreed only `Bye` can.
        """
        if isinstance(message, Bye):
            preface = b"" if self._opened else PREFACE
            self._opened = True
            return preface + frame(encode(message, _GREETING_VERSION))
        if self._version is None or not self._opened:
            raise ProtocolError(f"{type(message).__name__} before a version was agreed")
        return frame(encode(message, self._version))

    def hear(self, data: bytes) -> list[Message]:
        """Take bytes as they came and return the messages that are whole now, without the hello.

        Raises ProtocolError if they break the protocol, RefusedError if the other end's hello is
        not acceptable or it refused ours. `str(error)` may be sent to it in a `Bye`.
        """
        messages: list[Message] = []
        for raw in self._reader.feed(data):
            if self._version is None:
                self._greet(decode(raw, _GREETING_VERSION))
                continue
            message = decode(raw, self._version)
            if isinstance(message, Hello):
                raise ProtocolError("a second hello")
            messages.append(message)
        return messages

    def _greet(self, message: Message) -> None:
        if isinstance(message, Bye):
            self.dismissed = True
            raise RefusedError(f"{self._peer} refuses this node: {message.reason}")
        if not isinstance(message, Hello):
            raise ProtocolError(f"{type(message).__name__} before a hello")
        self._version = agree(self._me, message, self._peer)
        self._hello = message


def agree(me: Hello, other: Hello, proved: NodeName) -> int:
    """Return the protocol version that both ends speak.

    Raises RefusedError if the other end is not who its key says, claims this node's own name, is
    of another cluster, or speaks no version that this end speaks.
    """
    if other.node == me.node:
        raise RefusedError(
            f"the other end says that it is {me.node}, which is this node's name",
            hint="a copied node keeps the name and key of its original: give it its own name in "
            "[node] and run `syncagent init --new-identity` there",
        )
    if other.node != proved:
        raise RefusedError(
            f"the other end's key is that of {proved}, but it says that it is {other.node}",
            hint=f"make [node] name there and the [[peer]] with that key here the same: {proved}",
        )
    if other.cluster != me.cluster:
        raise RefusedError(
            f"{proved} belongs to cluster {other.cluster!r}, this node to {me.cluster!r}",
            hint="make [cluster] name the same, or take the peer out of the settings",
        )
    common = set(me.versions) & set(other.versions)
    if not common:
        older = me.node if max(me.versions) < max(other.versions) else proved
        raise RefusedError(
            f"{proved} ({other.product}) speaks protocol {_listed(other.versions)}, "
            f"{me.node} ({me.product}) speaks {_listed(me.versions)}",
            hint=f"upgrade {older}; an agent speaks its own protocol version and the one before, "
            "so a cluster is upgraded node by node, one version at a time",
        )
    return max(common)


def _listed(versions: tuple[int, ...]) -> str:
    return " and ".join(str(version) for version in versions)
