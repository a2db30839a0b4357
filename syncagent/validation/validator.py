"""The `Validator` port: one artifact's bytes in, verdict and facts out. No I/O.

What is remembered from one artifact to the next (expressions, sequences of tokens) saves time, is
bounded, and changes no verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.artifact import Kind
from syncagent.core.dialect import Dialect
from syncagent.core.verdict import Examined, Facts, Problem
from syncagent.validation.document import parse
from syncagent.validation.siddhi import examine_plan
from syncagent.validation.synapse import examine_synapse

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

SIZE_MAX_BYTES = 5 * 1024 * 1024
"""Default limit for one artifact; real ones have up to 0.3 MB, a 50 MB one costs 0.8 GB to parse."""

SAMPLES = (
    (
        Kind.SEQUENCE,
        "sequences/a.xml",
        b'<sequence xmlns="http://ws.apache.org/ns/synapse" name="a"><sequence key="b"/></sequence>',
    ),
    (
        Kind.PLAN,
        "a.siddhiql",
        b"@Plan:name('a')\ndefine stream One (key string);\nfrom One select key insert into Two;\n",
    ),
)
"""One plain artifact of each sort."""


class ArtifactValidator:
    """Judges artifacts by their bytes alone, as the runtime that is to read them would.

    Threads may share one.
    """

    def __init__(
        self, size_max_bytes: int = SIZE_MAX_BYTES, dialect: Dialect = Dialect.WSO2
    ) -> None:
        self._size_max_bytes = size_max_bytes
        self._dialect = dialect

    def warm(self) -> None:
        """Make now, in some 50 ms, what the first artifact of each sort would have to wait for."""
        for kind, path, content in SAMPLES:
            self.examine(kind, path, content)

    def examine(self, kind: Kind, path: str, content: bytes) -> Examined:
        """Judge `content` as an artifact of `kind` at `path` (relative to its tree)."""
        too_large = size_problem(len(content), self._size_max_bytes)
        if too_large is not None:
            return Examined(Facts(), (too_large,))
        if kind is Kind.FILE:
            return Examined(Facts())
        if kind is Kind.PLAN:
            return Examined(*examine_plan(path, content))
        root: Element | Problem = parse(content)
        if isinstance(root, Problem):
            return Examined(Facts(), (root,))
        return Examined(*examine_synapse(kind, path, root, content, self._dialect))


def size_problem(size: int, size_max_bytes: int) -> Problem | None:
    """Tell whether a file of `size` bytes is over the limit."""
    if size <= size_max_bytes:
        return None
    return Problem("too-large", f"{size} bytes; {size_max_bytes} are allowed")
