"""What is too large is refused where it is said, not only where it is heard."""

import random

import pytest

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.digest import Digest, digest_of
from syncagent.core.errors import ProtocolError
from syncagent.core.manifest import Entry
from syncagent.core.revision import RevisionId
from syncagent.core.wire import messages as m
from syncagent.core.wire.codec import decode, encode
from syncagent.core.wire.columns import ROWS_MAX, SIZE_MAX

T = TreeName("synapse")
D = digest_of(b"x")
R = RevisionId(1, 1, D)


def path(number: int) -> ArtifactPath:
    return ArtifactPath(T, f"{number:07}")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        pytest.param(
            m.ManifestPart(R, ((path(1), Entry(D, SIZE_MAX + 1)),), last=True),
            "a size is not in 0 to",
            id="a file of more than 4 GiB",
        ),
        pytest.param(
            m.ManifestPart(R, ((path(1), Entry(D, -1)),), last=True),
            "a size is not in 0 to",
            id="a file of less than nothing",
        ),
        pytest.param(
            m.Proposed(1, (path(1), path(1)), ()), "a path comes twice", id="a path said twice"
        ),
    ],
)
def test_what_can_t_be_heard_is_not_said(message: m.Message, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        encode(message, 2)


def test_more_rows_than_a_message_holds_are_not_said() -> None:
    many = [path(number) for number in range(ROWS_MAX + 1)]
    with pytest.raises(ProtocolError, match="rows, at most"):
        encode(m.ManifestPart(R, tuple((each, Entry(D, 1)) for each in many), last=True), 2)
    with pytest.raises(ProtocolError, match="paths, at most"):
        encode(m.Proposed(1, tuple(many), ()), 2)


def test_more_bytes_than_its_kind_may_have_are_not_said() -> None:
    long = ["x" * 250 + f"/{'y' * 250}" * 12 + f"/{number:05}" for number in range(12_000)]
    part = m.ManifestPart(
        R, tuple((ArtifactPath(T, name), Entry(D, 1)) for name in long), last=True
    )
    with pytest.raises(ProtocolError, match="may travel"):
        encode(part, 2)


def test_what_does_not_shrink_travels_as_it_is() -> None:
    chance = random.Random(1)
    noise = tuple(Digest(f"xxh3:{chance.getrandbits(128):032x}") for _ in range(2_000))
    want = m.Want(R, manifest=False, blobs=noise)
    data = encode(want, 2)
    assert decode(data, 2) == want
    assert len(data) < 16 * len(noise) + 200
    repeated = encode(m.Report("again " * 5_000), 2)
    assert len(repeated) < 1_000
