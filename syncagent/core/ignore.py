"""Which names of a tree are nobody's artifacts: own files, editors', transfer tools', the runtime's.

Three layers. Our own temporary names are always hidden: taking one for an artifact would send a
half of a commit around the cluster. Then the patterns of `TreeSettings.ignore` (gitignore
syntax, the last match wins, `!` shows again). Then, for names that no pattern speaks of, what is
known to be temporary or a node's own.

A hidden name that ends in `xml` or `siddhiql` is an artifact unless it is known to be temporary:
Axis2 deploys `.Pizza.xml`, so somebody has to see it (facts: the hot scan of 1.7.9 takes dot
files, and at its start every Synapse takes whatever ends in `xml`). rsync's temporaries
(`.Pizza.xml.AbC123`) do not end so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec

from syncagent.core.artifact import TreeKind
from syncagent.core.digest import digest_of
from syncagent.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.core.digest import Digest

_OWN = re.compile(r"\.syncagent.*|.*\.part|\.[0-9a-f]+-[0-9a-f]{32}\.fill", re.DOTALL)

_TEMPORARY = re.compile(
    r"""
      .*\.back                              # what a runtime refused: X.xml.back, X.xml.3.back
    | .*~                                   # vim, Emacs, gedit; rsync's folder .~tmp~
    | \..*\.sw[a-z]                         # vim swap files
    | 4913                                  # vim asks by this name whether it may write a folder
    | .*___jb_(?:tmp|old|bak)___              # JetBrains safe write
    | \..+\.[A-Za-z0-9]{6}(?<!xml)          # rsync
    | \.nfs[0-9a-f]+                          # NFS: deleted while open
    | \.svn | \.git | CVS | lost\+found
    """,
    re.DOTALL | re.VERBOSE,
)

_OF_ONE_NODE = frozenset(
    f"inbound-endpoints/{name}.xml"
    for name in (
        "WebSocketInboundEndpoint",
        "SecureWebSocketInboundEndpoint",
        "SecureWebhookServer",
    )
)
"""Written anew at every start of a node, with that node's port and clear keystore passwords."""


def _compiled(patterns: Sequence[str]) -> GitIgnoreSpec:
    mistakes = []
    for pattern in patterns:
        try:
            GitIgnoreSpec.from_lines([pattern])
        except (ValueError, re.error) as error:
            mistakes.append(f"ignore pattern {pattern!r}: {error}")
    if mistakes:
        raise SettingsError("; ".join(mistakes), mistakes=tuple(mistakes))
    return GitIgnoreSpec.from_lines(patterns)


_RULES_VERSION = 1
"""Goes up when a rule above changes: what was remembered under the old ones is then forgotten."""


class Ignore:
    """The names that one tree does not show; immutable. Raises SettingsError for a bad pattern.

    >>> ignore = Ignore(TreeKind.SYNAPSE, ("*.txt", "!inbound-endpoints/SecureWebhookServer.xml"))
    >>> [ignore.hides(name) for name in ("api/P.xml", "api/.P.xml", "api/P.xml.back", "api/a.txt")]
    [False, False, True, True]
    >>> ignore.hides("inbound-endpoints/SecureWebhookServer.xml")
    False
    """

    __slots__ = ("_of_one_node", "_spec", "fingerprint")

    def __init__(self, kind: TreeKind, patterns: Sequence[str] = ()) -> None:
        self._spec = _compiled(patterns) if patterns else None
        self._of_one_node = _OF_ONE_NODE if kind is TreeKind.SYNAPSE else frozenset[str]()
        said = "\n".join((str(_RULES_VERSION), kind, *patterns))
        self.fingerprint: Digest = digest_of(said.encode("utf-8", "surrogatepass"))
        """Equal for equal rules."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ignore) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def hides(self, path: str, *, folder: bool = False) -> bool:
        """Tell whether `path` is ignored by its own name; what is above it is not looked at.

        Whoever walks a tree does not enter a hidden folder; for a path alone, see `hides_way`.
        """
        name = path.rpartition("/")[2]
        if _OWN.fullmatch(name):
            return True
        if self._spec is not None:
            said = self._spec.check_file(f"{path}/" if folder else path).include
            if said is not None:
                return said
        return _TEMPORARY.fullmatch(name) is not None or path in self._of_one_node

    def hides_way(self, path: str) -> bool:
        """Tell whether the file `path`, or a folder on the way to it, is ignored."""
        at = path.find("/")
        while at >= 0:
            if self.hides(path[:at], folder=True):
                return True
            at = path.find("/", at + 1)
        return self.hides(path)
