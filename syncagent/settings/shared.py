"""The section [shared], and where a tree of a gateway's home has its folder on the share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.settings import SharedForm
from syncagent.settings.section import Key, Section
from syncagent.settings.shapes import AbsolutePath, Choice

if TYPE_CHECKING:
    from syncagent.core.settings import SharedSettings

SERVER = "repository/deployment/server"
TENANTS = "repository/tenants"
"""Where a Carbon product keeps the super tenant's artifacts, and those of each other tenant."""

SHARED = Section(
    "shared",
    "Trees on a shared mount; for mode shared.",
    (
        Key(
            "form",
            Choice(tuple(form.value for form in SharedForm)),
            "shadow: the share is the source, the trees stay local; in-place: the trees are the mount.",
            SharedForm.SHADOW.value,
        ),
        Key(
            "server",
            AbsolutePath(),
            "Of form shadow: the share's folder for the home's repository/deployment/server.",
            "",
        ),
        Key(
            "tenants",
            AbsolutePath(),
            "Of form shadow: the share's folder for the home's repository/tenants.",
            "",
        ),
    ),
)


def inside(path: str, folder: str) -> bool:
    """Tell whether `path` is `folder` or lies below it."""
    return path == folder or path.startswith(folder + "/")


def share_of(path: str, home: str, shared: SharedSettings) -> str:
    """Return the share's folder for a tree at `path` of a gateway's home; empty if none is known."""
    for folder, share in ((SERVER, shared.server), (TENANTS, shared.tenants)):
        base = f"{home}/{folder}"
        if home and share and inside(path, base):
            return share + path.removeprefix(base)
    return ""
